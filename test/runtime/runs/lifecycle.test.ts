import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AppError } from '../../../core/errors.ts';
import { defineRunKind, RunCancelled, type RunContext, type RunOutcome } from '../../../core/run-kind.ts';
import { systemClock } from '../../../runtime/runs/index.ts';
import { openTestDatabase } from '../../support/database.ts';
import {
  allEvents,
  cutOff,
  gapFree,
  gate,
  ManualClock,
  openRuns,
  recordingLog,
  types,
  until,
  user,
} from './harness.ts';

const me = user();
const code = (expected: string) => (error: unknown) => error instanceof AppError && error.code === expected;

/** A kind whose executions are handed to the test. */
function scripted<Result>(execute: (context: RunContext<unknown>) => Promise<Result>, name = 'scripted') {
  const outcomes: RunOutcome<Result>[] = [];
  const kind = defineRunKind<unknown, Result>({
    kind: name,
    execute,
    async settled({ outcome }) {
      outcomes.push(outcome);
    },
  });
  return { kind, outcomes };
}

test('start: a run is stored, carried out, ended in its log, and settled with its result', async (t) => {
  const { kind, outcomes } = scripted(async ({ emit, step, node, input, attempt, principal }) => {
    await emit('hello', { input });
    const doubled = await step('double', async () => (input as number) * 2, {
      events: (result) => [{ type: 'doubled', data: { result } }],
    });
    const echoed = await node('echo', { type: 'echo', input: doubled });
    return { doubled, echoed, attempt, who: principal.accountId };
  });
  const runs = await openRuns(t, { kinds: [kind] });
  const started = await runs.start(me, 'scripted', 21, { events: [{ type: 'asked', data: { by: 'test' } }] });
  assert.equal(started.status, 'running');
  assert.equal(started.logId, started.id);
  const run = await runs.ended(me, started.id);
  const result = { doubled: 42, echoed: { got: 42, attempt: 1 }, attempt: 1, who: 'account-1' };
  assert.equal(run.status, 'succeeded');
  assert.deepEqual(run.result, result);
  assert.deepEqual(run.input, 21);
  assert.ok(run.startedAt && run.finishedAt && run.startedAt <= run.finishedAt);
  assert.deepEqual(outcomes, [{ status: 'succeeded', result }]);

  const events = await allEvents(runs, run.logId);
  assert.deepEqual(types(events), ['asked', 'run_started', 'hello', 'doubled', 'run_succeeded']);
  assert.ok(gapFree(events));
  assert.deepEqual(events[1]?.data, { kind: 'scripted', attempt: 1 });
  assert.deepEqual(events[3]?.data, { result: 42 });
  assert.ok(events.every((event) => event.runId === run.id && event.at instanceof Date));
  assert.deepEqual(await runs.lastEvent(me, run.logId), events[4]);
  assert.deepEqual(await runs.lastEvent(me, run.logId, ['hello', 'asked']), events[2]);
  assert.equal(await runs.lastEvent(me, run.logId, ['never']), undefined);
  assert.deepEqual(await runs.events(me, run.logId, 3), events.slice(3));
  assert.deepEqual(await runs.events(me, run.logId, 1, 2), events.slice(1, 3));
  assert.deepEqual(await runs.events(me, run.logId, 99), []);
  assert.equal(await runs.active(me), 0);
  assert.equal(runs.running, 0);
});

test('start: unknown kinds, ids that are used twice, and a closed service', async (t) => {
  const { kind, outcomes } = scripted(async ({ input }) => input);
  const runs = await openRuns(t, { kinds: [kind] });
  await assert.rejects(runs.start(me, 'nothing', {}), code('RUN_KIND_UNKNOWN'));
  const [one, two] = await Promise.all([
    runs.start(me, 'scripted', 'first', { id: 'fixed' }),
    runs.start(me, 'scripted', 'first', { id: 'fixed' }),
  ]);
  assert.equal(one.id, two.id);
  await runs.ended(me, 'fixed');
  const third = await runs.start(me, 'scripted', 'second', { id: 'fixed' });
  assert.equal(third.result, 'first');
  assert.equal(outcomes.length, 1);
  const other = user('tenant-b');
  await assert.rejects(runs.start(other, 'scripted', 'x', { id: 'fixed', logId: 'own' }), code('RUN_ID_TAKEN'));
  await assert.rejects(runs.start(other, 'scripted', 'x', { id: 'fixed' }), code('LOG_ID_TAKEN'));
  await assert.rejects(runs.start(other, 'scripted', 'x', { logId: 'fixed' }), code('LOG_ID_TAKEN'));
  await runs.close();
  await assert.rejects(runs.start(me, 'scripted', {}), code('SHUTTING_DOWN'));
  await assert.rejects(runs.append(me, 'fixed', [{ type: 'late', data: {} }]), code('SHUTTING_DOWN'));
});

test('failure: expected errors keep code and text, unexpected ones are logged and stored without their message', async (t) => {
  const { log, lines } = recordingLog();
  const { kind, outcomes } = scripted(async ({ input }) => {
    if (input === 'expected') throw new AppError('quota_exceeded', 'NO_MORE', { zh: '没有了', en: 'none left' });
    throw new TypeError('secret detail');
  });
  const bad = defineRunKind({
    kind: 'bad',
    execute: (): Promise<never> => {
      throw new RangeError('thrown at once');
    },
    terminal: () => {
      throw new Error('no event');
    },
    settled: async () => {
      throw new Error('cannot settle');
    },
  });
  const clock = { ...systemClock, after: (_ms: number, act: () => void) => systemClock.after(1, act) };
  const runs = await openRuns(t, { kinds: [kind, bad], log, clock, options: { graceMs: 1 } });
  const first = await runs.ended(me, (await runs.start(me, 'scripted', 'expected')).id);
  assert.equal(first.status, 'failed');
  assert.deepEqual(first.error, {
    kind: 'quota_exceeded',
    code: 'NO_MORE',
    message: { zh: '没有了', en: 'none left' },
  });
  const second = await runs.ended(me, (await runs.start(me, 'scripted', 'unexpected')).id);
  assert.equal(second.error?.code, 'INTERNAL_ERROR');
  const last = await runs.lastEvent(me, second.logId);
  assert.equal(last?.type, 'run_failed');
  assert.ok(!JSON.stringify([second, last]).includes('secret detail'));
  assert.ok(lines.some((line) => JSON.stringify(line).includes('secret detail') && line.runId === second.id));
  assert.equal(outcomes.length, 2);
  // A kind that breaks everywhere ends its run all the same, and nothing else.
  const third = await runs.ended(me, (await runs.start(me, 'bad', {})).id);
  assert.equal(third.status, 'failed');
  assert.deepEqual(types(await allEvents(runs, third.logId)), ['run_started', 'run_failed']);
  assert.equal((await runs.ended(me, (await runs.start(me, 'scripted', 'expected')).id)).status, 'failed');
});

test('terminal: a kind names its own last event', async (t) => {
  const kind = defineRunKind<{ fail?: boolean }, string>({
    kind: 'own',
    execute: async ({ input }) => {
      if (input.fail) throw new AppError('invalid', 'BROKEN', { zh: '坏', en: 'broken' });
      return 'fine';
    },
    terminal: (outcome, { input }) => ({ type: 'task_complete', data: { outcome, input } }),
  });
  const runs = await openRuns(t, { kinds: [kind] });
  const run = await runs.ended(me, (await runs.start(me, 'own', {})).id);
  const events = await allEvents(runs, run.logId);
  assert.deepEqual(types(events), ['run_started', 'task_complete']);
  assert.deepEqual(events[1]?.data, { outcome: { status: 'succeeded', result: 'fine' }, input: {} });
  const failed = await runs.ended(me, (await runs.start(me, 'own', { fail: true })).id);
  assert.equal(types(await allEvents(runs, failed.logId)).at(-1), 'task_complete');
});

test('steps: run once each, in parallel, and refuse a second use of a key at the same time', async (t) => {
  let count = 0;
  const both = gate();
  const { kind } = scripted(async ({ step }) => {
    const one = step('one', async () => {
      count += 1;
      if (count === 2) both.resolve();
      await both.promise;
      return { at: new Date(0), none: undefined };
    });
    const two = step('two', async () => {
      count += 1;
      if (count === 2) both.resolve();
      await both.promise;
      return 2;
    });
    await assert.rejects(
      step('one', async () => 0),
      code('STEP_KEY_IN_USE'),
    );
    const first = await one;
    return {
      first,
      second: await two,
      again: await step('one', async () => 'never'),
      nothing: await step('none', async () => undefined),
    };
  });
  const runs = await openRuns(t, { kinds: [kind] });
  const run = await runs.ended(me, (await runs.start(me, 'scripted', {})).id);
  // A result has the form in which a later attempt would get it.
  const stored = { at: '1970-01-01T00:00:00.000Z' };
  assert.deepEqual(run.result, { first: stored, second: 2, again: stored });
  assert.equal(count, 2);
});

test('values: large inputs, results, step results and events come back as they were, bytes included', async (t) => {
  const text = '数据'.repeat(150_000);
  const bytes = new Uint8Array(600_000).map((_, index) => index % 251);
  const { kind, outcomes } = scripted(async ({ step, emit, input }) => {
    const first = await step('large', async () => ({
      input,
      pdf: bytes,
      parts: [bytes.slice(0, 3), { deep: bytes.buffer }],
    }));
    const again = await step('large', async () => ({ ...first, input: 'never' }));
    await Promise.all([emit('before', { n: 1 }), emit('large', { text }), emit('after', { n: 2 })]);
    return again;
  });
  const runs = await openRuns(t, { kinds: [kind] });
  const run = await runs.ended(me, (await runs.start(me, 'scripted', { text })).id);
  const expected = { input: { text }, pdf: bytes, parts: [bytes.slice(0, 3), { deep: bytes.buffer }] };
  assert.deepEqual(run.result, expected);
  assert.deepEqual(run.input, { text });
  assert.deepEqual(outcomes, [{ status: 'succeeded', result: expected }]);
  const events = await allEvents(runs, run.logId);
  assert.deepEqual(types(events), ['run_started', 'before', 'large', 'after', 'run_succeeded']);
  assert.deepEqual(events[2]?.data, { text });
  const buckets = await runs.database.connection.collection('run_log').find().toArray();
  assert.ok(buckets.every((bucket) => JSON.stringify(bucket).length < 10_000));
});

test('values: hostile keys and shapes are stored exactly or refused', async (t) => {
  const strange = JSON.parse(
    '{"__proto__":{"a":1},"$set":{"a.b":1},"":null,"constructor":{"prototype":0},"_bsontype":"x"}',
  );
  let deep: unknown = 1;
  for (let level = 0; level < 500; level += 1) deep = { deep };
  const circular: Record<string, unknown> = {};
  circular.self = circular;
  const { kind } = scripted(async ({ emit, step, input }) => {
    await emit('strange', strange);
    await emit('deep', { deep });
    if (input === 'circular event') await emit('circular', circular);
    if (input === 'circular step') await step('circular', async () => circular);
    if (input === 'circular result') return circular;
    if (input === 'ignored') void emit('circular', circular);
    return step('strange', async () => strange);
  });
  const runs = await openRuns(t, { kinds: [kind] });
  const run = await runs.ended(me, (await runs.start(me, 'scripted', strange)).id);
  assert.deepEqual(run.result, strange);
  assert.deepEqual(run.input, strange);
  const events = await allEvents(runs, run.logId);
  assert.deepEqual(events[1]?.data, strange);
  assert.deepEqual(events[2]?.data, { deep });
  for (const input of ['circular event', 'circular step', 'circular result', 'ignored']) {
    const failed = await runs.ended(me, (await runs.start(me, 'scripted', input)).id);
    assert.equal(failed.error?.code, 'VALUE_NOT_STORABLE', input);
    assert.equal((await runs.lastEvent(me, failed.logId))?.type, 'run_failed');
  }
});

test('logs: several runs and callers from outside share one, gap-free and in order', async (t) => {
  const go = gate();
  const { kind } = scripted(async ({ emit, input }) => {
    for (let n = 0; n < 50; n += 1) void emit('tick', { n, input });
    await go.promise;
    for (let n = 50; n < 100; n += 1) void emit('tick', { n, input });
  });
  const runs = await openRuns(t, { kinds: [kind] });
  const logId = 'task-1';
  const made = await runs.append(me, logId, [{ type: 'created', data: {} }]);
  assert.deepEqual(
    made.map(({ seq, runId, type }) => ({ seq, runId, type })),
    [{ seq: 0, runId: '', type: 'created' }],
  );
  const one = await runs.start(me, 'scripted', 1, { logId });
  const noise = Promise.all(
    Array.from({ length: 20 }, (_, n) =>
      runs.append(me, logId, [
        { type: 'outside', data: { n } },
        { type: 'outside', data: { n } },
      ]),
    ),
  );
  go.resolve();
  await runs.ended(me, one.id);
  await noise;
  await runs.ended(me, (await runs.start(me, 'scripted', 2, { logId })).id);
  const events = await allEvents(runs, logId);
  assert.equal(events.length, 1 + 40 + 2 * 102);
  assert.ok(gapFree(events));
  for (const input of [1, 2]) {
    const ticks = events.filter(({ type, data }) => type === 'tick' && data.input === input);
    assert.deepEqual(
      ticks.map(({ data }) => data.n),
      Array.from({ length: 100 }, (_, n) => n),
    );
  }
  for (const batch of await noise) assert.equal(batch[0]?.data.n, batch[1]?.data.n);
});

test('logs: what may wait is stored with what somebody else writes, or after some milliseconds', async (t) => {
  const clock = new ManualClock();
  const [together, rest, ready] = [gate(), gate(), [gate(), gate(), gate()]];
  let left = 3;
  const kind = defineRunKind<number, null>({
    kind: 'chatty',
    async execute({ emit, input }) {
      ready[input]?.resolve();
      await together.promise;
      // All in one turn, so in one write; from then on the writer knows that there are many.
      await emit('first', {});
      left -= 1;
      if (left === 0) rest.resolve();
      await rest.promise;
      if (input === 2) await new Promise((resolve) => setImmediate(resolve));
      await emit('piece', { input }, { mayWait: input !== 2 });
      await emit('piece', { input }, { mayWait: true });
      return null;
    },
  });
  const runs = await openRuns(t, { kinds: [kind], clock });
  const started = await Promise.all([0, 1, 2].map((input) => runs.start(user(), 'chatty', input)));
  await Promise.all(ready.map(({ promise }) => promise));
  const signal = AbortSignal.timeout(10_000);
  together.resolve();
  // The hurry of one takes the others along, without any time passing.
  for (const { logId } of started) await until(runs.subscribe(user(), logId, 0, signal), 'piece');
  for (let turn = 0; turn < 50; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(runs.running, 3, 'the second pieces wait');
  clock.pass(20);
  for (const { id } of started) assert.equal((await runs.ended(user(), id, signal)).status, 'succeeded');
});

test('tenants: nobody sees, ends, follows or writes what belongs to another one', async (t) => {
  const hold = gate();
  const { kind } = scripted(async ({ emit }) => {
    await emit('secret', { text: 'mine' });
    await hold.promise;
  });
  const runs = await openRuns(t, { kinds: [kind] });
  const other = user('tenant-b');
  const run = await runs.start(me, 'scripted', {});
  await until(runs.subscribe(me, run.logId, 0), 'secret');
  assert.equal(await runs.get(other, run.id), undefined);
  assert.equal(await runs.cancel(other, run.id), undefined);
  await assert.rejects(runs.ended(other, run.id), code('RUN_NOT_FOUND'));
  assert.deepEqual(await runs.events(other, run.logId), []);
  assert.equal(await runs.lastEvent(other, run.logId), undefined);
  assert.equal(await runs.active(other), 0);
  assert.equal(await runs.active(me), 1);
  const stop = new AbortController();
  const nothing = runs.subscribe(other, run.logId, 0, stop.signal)[Symbol.asyncIterator]().next();
  await assert.rejects(runs.append(other, run.logId, [{ type: 'forged', data: {} }]), code('LOG_ID_TAKEN'));
  hold.resolve();
  await runs.ended(me, run.id);
  stop.abort();
  assert.deepEqual(await nothing, { done: true, value: undefined });
  assert.deepEqual(types(await allEvents(runs, run.logId)), ['run_started', 'secret', 'run_succeeded']);
});

test('cancel: a running run is told why, cleans up, and ends as cancelled whatever it does', async (t) => {
  const begun = [gate(), gate()];
  const { kind, outcomes } = scripted(async ({ signal, emit, step, node, input }) => {
    begun[input as number]?.resolve();
    const { promise, resolve } = gate();
    signal.addEventListener('abort', () => resolve());
    await promise;
    assert.ok(signal.reason instanceof RunCancelled);
    assert.equal(signal.reason.reason, 'no longer needed');
    await assert.rejects(
      step('more', async () => 1),
      code('RUN_CANCELLED'),
    );
    await assert.rejects(node('more', { type: 'echo', input: 1 }), code('RUN_CANCELLED'));
    await emit('cleaned_up', {});
    if (input === 0) throw new Error('on the way out');
    return 'finished all the same';
  });
  const runs = await openRuns(t, { kinds: [kind] });
  for (const input of [0, 1]) {
    const run = await runs.start(me, 'scripted', input);
    await begun[input]?.promise;
    const both = await Promise.all([runs.cancel(me, run.id, 'no longer needed'), runs.cancel(me, run.id, 'twice')]);
    for (const cancelled of both) assert.equal(cancelled?.status, 'cancelled');
    const events = await allEvents(runs, run.logId);
    assert.deepEqual(types(events), ['run_started', 'cleaned_up', 'run_cancelled']);
    assert.deepEqual(events.at(-1)?.data, { reason: 'no longer needed' });
    // A run that has ended stays as it is.
    assert.deepEqual(await runs.cancel(me, run.id, 'again'), both[0]);
    assert.equal((await allEvents(runs, run.logId)).length, 3);
  }
  assert.deepEqual(outcomes, Array(2).fill({ status: 'cancelled', reason: 'no longer needed' }));
  assert.equal(await runs.cancel(me, 'unknown'), undefined);
});

test('cancel: a kind that ignores it is ended after the grace time, and what it does later is ignored', async (t) => {
  const clock = new ManualClock();
  const { log, lines } = recordingLog();
  const begun = gate();
  const wake = gate();
  const finished = gate();
  const { kind } = scripted(async ({ emit, step }) => {
    begun.resolve();
    await wake.promise;
    await emit('zombie', {});
    await assert.rejects(
      step('zombie', async () => 1),
      code('RUN_CANCELLED'),
    );
    finished.resolve();
    throw new Error('late failure');
  });
  const runs = await openRuns(t, { kinds: [kind], clock, log, options: { graceMs: 5000 } });
  const run = await runs.start(me, 'scripted', {});
  await begun.promise;
  const cancelled = runs.cancel(me, run.id);
  while (!lines.some(({ msg }) => String(msg).includes('grace'))) {
    clock.pass(1000);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal((await cancelled)?.status, 'cancelled');
  wake.resolve();
  await finished.promise;
  assert.deepEqual(types(await allEvents(runs, run.logId)), ['run_started', 'run_cancelled']);
  assert.ok(lines.some(({ msg }) => String(msg).includes('ignored')));
});

test('cancel: waiting runs end at once with their start events and a terminal event', async (t) => {
  const hold = gate();
  const begun = gate();
  const executed: unknown[] = [];
  const { kind, outcomes } = scripted(async ({ input }) => {
    executed.push(input);
    begun.resolve();
    await hold.promise;
  });
  const runs = await openRuns(t, { kinds: [kind], options: { limits: { total: 1 } } });
  const first = await runs.start(me, 'scripted', 'first');
  await begun.promise;
  const second = await runs.start(me, 'scripted', 'second', { events: [{ type: 'asked', data: {} }] });
  assert.equal(second.status, 'pending');
  assert.deepEqual(types(await allEvents(runs, second.logId)), ['asked']);
  const third = await runs.start(me, 'scripted', 'third');
  assert.equal((await runs.cancel(me, second.id))?.status, 'cancelled');
  assert.deepEqual(types(await allEvents(runs, second.logId)), ['asked', 'run_cancelled']);
  hold.resolve();
  assert.equal((await runs.ended(me, first.id)).status, 'succeeded');
  assert.equal((await runs.ended(me, third.id)).status, 'succeeded');
  assert.deepEqual(executed, ['first', 'third']);
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ['cancelled', 'succeeded', 'succeeded'],
  );
});

test('cancel: at every moment around the start the run has one terminal event', async (t) => {
  const { kind } = scripted(async ({ step, signal }) => {
    for (let n = 0; n < 3; n += 1) {
      signal.throwIfAborted();
      await step(`step ${n}`, async () => n);
    }
  });
  const runs = await openRuns(t, { kinds: [kind], options: { limits: { total: 4 } } });
  const ends = await Promise.all(
    Array.from({ length: 60 }, async (_, index) => {
      const id = `run-${index}`;
      const started = runs.start(me, 'scripted', index, { id, events: [{ type: 'asked', data: {} }] });
      for (let turn = 0; turn < index % 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      const early = await runs.cancel(me, id);
      await started;
      const run = early ?? (await runs.cancel(me, id));
      assert.ok(run?.status === 'cancelled' || run?.status === 'succeeded', run?.status);
      const events = types(await allEvents(runs, id));
      const terminal = events.filter((type) => /^run_(succeeded|failed|cancelled)$/.test(type));
      assert.equal(terminal.length, 1, events.join(' '));
      assert.equal(events.lastIndexOf('asked'), 0, events.join(' '));
      assert.equal(events.at(-1), `run_${run.status}`);
      return run.status;
    }),
  );
  assert.ok(ends.includes('cancelled'));
});

test('nodes: events pass, progress and logs arrive, cut-off attempts are repeated with the same key', async (t) => {
  const keys: string[] = [];
  const progress: number[] = [];
  const { kind } = scripted(async ({ node }) =>
    node(
      'write',
      { type: 'writer', input: 'x', config: { tone: 'sober' } },
      {
        onEvent(type, data) {
          if (type === 'noise') return false;
          return type === 'token' ? { type: 'text_chunk', data: { content: data.text } } : undefined;
        },
        onProgress: (fraction) => progress.push(fraction),
        events: (result) => [{ type: 'written', data: { result } }],
      },
    ),
  );
  const runs = await openRuns(t, {
    kinds: [kind],
    executor: {
      describe: () => [{ type: 'writer', version: 1, retries: 3 }],
      async run({ idempotencyKey, attempt, config }, { onEvent, onProgress, onLog }) {
        keys.push(idempotencyKey);
        onLog?.('info', 'writing');
        await onEvent?.('token', { text: `t${attempt}` });
        await onEvent?.('noise', {});
        await onEvent?.('other', {});
        onProgress?.(attempt / 4);
        if (attempt < 4) throw cutOff();
        return { attempt, config };
      },
    },
  });
  const run = await runs.ended(me, (await runs.start(me, 'scripted', {})).id);
  assert.deepEqual(run.result, { attempt: 4, config: { tone: 'sober' } });
  assert.deepEqual(keys, Array(4).fill(`${run.id}:write`));
  assert.deepEqual(progress, [0.25, 0.5, 0.75, 1]);
  assert.deepEqual(types(await allEvents(runs, run.logId)), [
    'run_started',
    ...Array(3).fill(['text_chunk', 'other', 'step_retried']).flat(),
    'text_chunk',
    'other',
    'written',
    'run_succeeded',
  ]);
});

test('nodes: the limit of repetitions, other errors, a full pool, a hook that throws', async (t) => {
  let calls = 0;
  const { kind } = scripted(async ({ node, input }) =>
    node(
      'it',
      { type: String(input), input: 0 },
      {
        onEvent() {
          throw new Error('hook');
        },
      },
    ),
  );
  const runs = await openRuns(t, {
    kinds: [kind],
    executor: {
      async run({ type, attempt }, { onEvent }, signal) {
        calls += 1;
        if (type === 'dies') throw cutOff();
        if (type === 'refuses') throw new AppError('invalid', 'NODE_INPUT_INVALID', { zh: '错', en: 'wrong' });
        if (type === 'full' && calls < 3)
          throw new AppError('unavailable', 'POOL_QUEUE_FULL', { zh: '满', en: 'full' });
        if (type === 'hook') {
          onEvent?.('any', {});
          signal?.throwIfAborted();
        }
        return { attempt };
      },
    },
  });
  const end = async (input: string) => {
    calls = 0;
    return runs.ended(me, (await runs.start(me, 'scripted', input)).id);
  };
  const dead = await end('dies');
  assert.equal(dead.error?.code, 'NODE_RETRIES_EXHAUSTED');
  assert.deepEqual(dead.error?.details, { node: 'dies', attempts: 3 });
  assert.equal(calls, 3);
  assert.equal((await end('refuses')).error?.code, 'NODE_INPUT_INVALID');
  assert.equal(calls, 1);
  assert.deepEqual((await end('full')).result, { attempt: 1 });
  assert.equal(calls, 3);
  assert.equal((await end('hook')).error?.code, 'INTERNAL_ERROR');
});

test('parallel nodes: when one fails the others are told to stop, and the terminal event is the last one', async (t) => {
  const stopped = gate<unknown>();
  const { kind } = scripted(async ({ node }) => {
    await Promise.all([node('slow', { type: 'slow', input: 0 }), node('fails', { type: 'fails', input: 0 })]);
  });
  const runs = await openRuns(t, {
    kinds: [kind],
    executor: {
      run: ({ type }, { onEvent }, signal) =>
        new Promise((_resolve, reject) => {
          if (type === 'fails')
            setImmediate(() => reject(new AppError('invalid', 'BROKEN', { zh: '坏', en: 'broken' })));
          signal?.addEventListener('abort', () => {
            void onEvent?.('late', {});
            stopped.resolve(signal.reason);
            reject(signal.reason);
          });
        }),
    },
  });
  const run = await runs.ended(me, (await runs.start(me, 'scripted', {})).id);
  assert.equal(run.error?.code, 'BROKEN');
  assert.ok(code('RUN_ENDED')(await stopped.promise));
  assert.deepEqual(types(await allEvents(runs, run.logId)), ['run_started', 'run_failed']);
});

test('shutdown: runs stop where they are, keep what they have, and go on after the next start', async (t) => {
  const database = await openTestDatabase(t);
  const begun = gate();
  let done = 0;
  const execute = async ({ step, node, emit, signal }: RunContext) => {
    await step('first', async () => {
      done += 1;
      return done;
    });
    await emit('waiting', {});
    begun.resolve();
    const result = await node('long', { type: 'long', input: 0 });
    signal.throwIfAborted();
    return result;
  };
  const stopping: unknown[] = [];
  const first = await openRuns(t, {
    database,
    kinds: [scripted(execute).kind],
    executor: {
      run: (_task, _hooks, signal) =>
        new Promise((_resolve, reject) => {
          signal?.addEventListener('abort', () => {
            stopping.push(signal.reason);
            reject(new AppError('cancelled', 'NODE_CANCELLED', { zh: '取消', en: 'cancelled' }));
          });
        }),
    },
    options: { limits: { total: 1 } },
  });
  const run = await first.start(me, 'scripted', {});
  await begun.promise;
  const waiting = await first.start(me, 'scripted', {});
  const waits = [run, waiting].map(({ id }) => assert.rejects(first.ended(me, id), code('SHUTTING_DOWN')));
  await first.close();
  await Promise.all(waits);
  assert.equal(stopping.length, 1);
  assert.ok(code('RUN_INTERRUPTED')(stopping[0]));

  const second = await openRuns(t, { database, kinds: [scripted(execute).kind] });
  const ended = await second.ended(me, run.id);
  assert.equal(ended.status, 'succeeded');
  assert.equal(ended.attempt, 2);
  // Not counted as cut off: it was an orderly end.
  assert.deepEqual(ended.result, { got: 0, attempt: 1 });
  assert.deepEqual(types(await allEvents(second, run.logId)), [
    'run_started',
    'waiting',
    'run_resumed',
    'waiting',
    'run_succeeded',
  ]);
  assert.equal((await second.ended(me, waiting.id)).attempt, 1);
  assert.equal(done, 2);
});
