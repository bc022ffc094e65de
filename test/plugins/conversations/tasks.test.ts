import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLogger } from '../../../core/log.ts';
import type { Principal } from '../../../core/principal.ts';
import { defineRunKind, type RunKind } from '../../../core/run-kind.ts';
import { taskModel } from '../../../plugins/conversations/models/task.ts';
import { createEventIndex } from '../../../plugins/conversations/tasks/event-index.ts';
import { createConversationIds } from '../../../plugins/conversations/tasks/ids.ts';
import { readPartialAnswer } from '../../../plugins/conversations/tasks/partial.ts';
import { createTaskSlots } from '../../../plugins/conversations/tasks/slots.ts';
import type { RunEvent } from '../../../runtime/runs/service.ts';
import { openRuns } from '../../runtime/runs/harness.ts';
import { openTestDatabase } from '../../support/database.ts';

const principal: Principal = { kind: 'api', accountId: 'account-1', tenantId: 'api-1', roles: ['user'] };
const other: Principal = { ...principal, accountId: 'account-2', tenantId: 'api-2' };

test('conversation ids: one a millisecond, in order, also when the clock stands still or goes back', () => {
  let now = new Date(2026, 0, 23, 23, 42, 45, 36).getTime();
  const next = createConversationIds(() => now);
  assert.equal(next(), 'conv_20260123_234245_036');
  assert.equal(next(), 'conv_20260123_234245_037');
  now -= 5000;
  assert.equal(next(), 'conv_20260123_234245_038');
  const many = Array.from({ length: 3000 }, next);
  assert.deepEqual(many, [...new Set(many)].sort());
});

/** A log of `text_chunk`s with events between them that clients do not see. */
function logOf(length: number, hidden: ReadonlySet<number>) {
  let reads = 0;
  const at = new Date();
  const event = (seq: number): RunEvent => ({
    logId: 'log',
    runId: 'run',
    seq,
    type: hidden.has(seq) ? 'run_resumed' : 'text_chunk',
    data: { content: `${seq}` },
    at,
  });
  const log = {
    length,
    get reads() {
      return reads;
    },
    async events(_: Principal, __: string, from = 0, limit = 1000) {
      const found = Array.from({ length: Math.max(0, Math.min(limit, log.length - from)) }, (_, n) => event(from + n));
      reads += found.length;
      return found;
    },
  };
  return log;
}

test('event index: numbers without gaps over what clients see, from any offset, after any pause', async () => {
  const hidden = new Set([0, 1, 5, 6, 7, 999, 1000, 1001, 2500, 4999]);
  const log = logOf(5000, hidden);
  const seen = Array.from({ length: 5000 }, (_, seq) => seq).filter((seq) => !hidden.has(seq));
  for (const from of [0, 1, 3, 4, 995, 996, 997, 2490, 4000, seen.length - 1, seen.length, seen.length + 5]) {
    // One that knows the log, and one that does not.
    for (const index of [createEventIndex(log), createEventIndex(log)]) {
      const { events, more } = await index.read(principal, 'log', from);
      assert.equal(more, false);
      assert.deepEqual(
        events.map(({ event }) => event.seq),
        seen.slice(from),
        `from ${from}`,
      );
      assert.deepEqual(
        events.map(({ idx }) => idx),
        seen.slice(from).map((_, at) => from + at),
      );
    }
  }
});

test('event index: a poll reads what is new alone, and as much as one answer holds', async () => {
  const log = logOf(0, new Set([0, 700]));
  const index = createEventIndex(log, { limits: { events: 400, characters: 1_000_000 } });
  let next = 0;
  for (let length = 0; length <= 3000; length += 30) {
    log.length = length;
    const before = log.reads;
    const { events } = await index.read(principal, 'log', next);
    next += events.length;
    assert.ok(log.reads - before <= 31, `${log.reads - before} events read`);
  }
  assert.equal(next, 2998);
  const first = await index.read(principal, 'log', 0);
  assert.deepEqual([first.events.length, first.more], [400, true]);
  const rest = await index.read(principal, 'log', 2900);
  assert.deepEqual([rest.events.length, rest.more], [98, false]);
  const small = createEventIndex(log, { limits: { events: 400, characters: 1000 } });
  assert.equal((await small.read(principal, 'log', 0)).events.length, 10);

  // One that was forgotten is read again.
  const few = createEventIndex(log, { logs: 1 });
  await few.read(principal, 'log', 10);
  await few.read(principal, 'another', 0);
  assert.equal((await few.read(principal, 'log', 698)).events[0]?.event.seq, 699);
  assert.equal((await few.read(principal, 'log', 699)).events[0]?.event.seq, 701);
});

async function openSlots(t: Parameters<typeof openRuns>[0], limit: number) {
  const database = await openTestDatabase(t);
  const release = new Map<string, () => void>();
  const kind = defineRunKind<string, null>({
    kind: 'task',
    async execute({ input, signal }) {
      await new Promise<void>((resolve) => {
        release.set(input, resolve);
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
      return null;
    },
  }) as RunKind;
  const runs = await openRuns(t, { database, kinds: [kind] });
  const tasks = taskModel(database);
  await database.ready();
  const log = createLogger('silent');
  const open = () => createTaskSlots({ tasks, runs, limit, log });
  return { slots: open(), open, runs, tasks, release, database };
}

test('slots: as many as the limit says, however many ask at once; each account has its own', async (t) => {
  const { slots, tasks } = await openSlots(t, 3);
  const take = (id: string, who = principal) => slots.take(who, { id, conversationId: 'conv' });
  const asked = await Promise.allSettled(Array.from({ length: 20 }, (_, at) => take(`task-${at}`)));
  const refused = asked.filter((outcome) => outcome.status === 'rejected');
  assert.equal(refused.length, 17);
  for (const { reason } of refused) assert.equal(reason.code, 'TASK_RUNNING');
  await take('mine', other);
  const taken = await tasks.in(principal).find({ slot: { $exists: true } });
  assert.deepEqual(taken.map(({ slot }) => slot).sort(), [0, 1, 2]);
  const [first, second] = taken;
  assert.ok(first && second);
  await slots.end(principal, first._id, { end: 'succeeded' });
  await slots.drop(principal, second._id);
  await take('next');
  await take('after-next');
  await assert.rejects(take('too-many'), { code: 'TASK_RUNNING' });
  // What has ended once stays as it ended.
  await slots.end(principal, first._id, { end: 'failed', error: { zh: 'x', en: 'x' } });
  assert.equal((await tasks.in(principal).get(first._id))?.end, 'succeeded');
});

test('slots: what a crash has left taken is given back', async (t) => {
  const { slots, open, runs, tasks, release, database } = await openSlots(t, 1);
  // Between the place and the run: another process finds no run, and none of its own that is about to start.
  await slots.take(principal, { id: 'never-started', conversationId: 'conv' });
  const later = open();
  const stored = database.connection.collection('agent_tasks');
  await stored.updateMany({}, { $set: { host: 'dead' } });
  await later.recover();
  assert.equal(await tasks.in(principal).get('never-started'), undefined);

  // A task that runs keeps its place, also over a recovery; a run that has ended gives it back when it settles.
  await later.take(principal, { id: 'running', conversationId: 'conv' });
  await runs.start(principal, 'task', 'running', { id: 'running' });
  await open().recover();
  await assert.rejects(later.take(principal, { id: 'second', conversationId: 'conv' }), { code: 'TASK_RUNNING' });
  while (!release.has('running')) await new Promise(setImmediate);
  release.get('running')?.();
  await runs.ended(principal, 'running');
  await later.end(principal, 'running', { end: 'succeeded' });
  await later.take(principal, { id: 'second', conversationId: 'conv' });
});

test('a partial answer: texts, thoughts and tools as the log has them, without what was discarded', async () => {
  const parts: [string, Record<string, unknown>][] = [
    ['user_message', { message: 'q' }],
    ['text_chunk', { content: 'dis' }],
    ['tool_start', { preparing_id: 'x', name: 'a', arguments: {} }],
    ['system_message', { content: {}, discards_iteration: 1 }],
    ['thinking_chunk', { content: 'hm' }],
    ['text_chunk', { content: 'on' }],
    ['text_chunk', { content: 'e' }],
    ['tool_start', { preparing_id: 'c1', name: 'a', arguments: { n: 1 } }],
    ['tool_start', { preparing_id: 'c2', name: 'b', arguments: {} }],
    ['update_action', { preparing_id: 'c2', status: 'completed', result: 'two' }],
    ['update_action', { preparing_id: 'c1', status: 'failed', result: 'Error: one' }],
    ['token_update', { cumulative_input_tokens: 10, cumulative_output_tokens: 4, current_context_tokens: 14 }],
    ['text_chunk', { content: 'two' }],
    ['tool_start', { preparing_id: 'c3', name: 'a', arguments: {} }],
    ['update_action', { preparing_id: 'c3', status: 'cancelled', result: null }],
    ['task_stopped', {}],
  ];
  const log = parts.map(([type, data], seq) => ({ logId: 'l', runId: 'l', seq, type, data, at: new Date() }));
  const events = async (_: Principal, __: string, from = 0) => log.slice(from);
  assert.deepEqual(await readPartialAnswer({ events }, principal, 'l'), {
    text: 'one\n\ntwo',
    messages: [
      {
        role: 'assistant',
        content: 'one',
        thinking: 'hm',
        toolCalls: [
          { id: 'c1', name: 'a', arguments: { n: 1 }, raw: '{"n":1}' },
          { id: 'c2', name: 'b', arguments: {}, raw: '{}' },
        ],
      },
      { role: 'tool', toolCallId: 'c1', content: 'Error: one' },
      { role: 'tool', toolCallId: 'c2', content: 'two' },
      { role: 'assistant', content: 'two', toolCalls: [{ id: 'c3', name: 'a', arguments: {}, raw: '{}' }] },
      { role: 'tool', toolCallId: 'c3', content: 'Error: not carried out' },
    ],
    toolCalls: 3,
    used: { input: 10, output: 4, context: 14 },
  });
});
