import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Database } from '../../../core/data/database.ts';
import { AppError } from '../../../core/errors.ts';
import type { RunKind } from '../../../core/run-kind.ts';
import { conversationModel } from '../../../plugins/conversations/models/conversation.ts';
import { messageModel } from '../../../plugins/conversations/models/message.ts';
import { loadHistory } from '../../../plugins/conversations/service/history.ts';
import type { ConversationParts } from '../../../plugins/conversations/service/parts.ts';
import { createStore } from '../../../plugins/conversations/service/store.ts';
import { createTurns, type TakenFields, type Turn } from '../../../plugins/conversations/service/turns.ts';
import { DyingDatabase, gate, openRuns, recordingLog, user } from '../../runtime/runs/harness.ts';
import { openTestDatabase } from '../../support/database.ts';

type Owner = Parameters<typeof openRuns>[0];

const principal = user();
const USAGE = { inputTokens: 10, outputTokens: 3 };

/** Conversations whose answers come from `answer`; the run kind is the smallest that keeps to the rules. */
async function open(
  t: Owner,
  options: {
    database?: Database;
    answer?: (turn: Turn, signal: AbortSignal) => Promise<string>;
    runOptions?: NonNullable<Parameters<typeof openRuns>[1]['options']>;
  } = {},
) {
  const { answer = async ({ content }) => `re: ${content}` } = options;
  let turns: ReturnType<typeof createTurns>;
  const kind: RunKind<{ turn: Turn }, string> = {
    kind: 'chat',
    async execute({ principal: who, runId, input, signal }) {
      await turns.resume(who, runId, input.turn);
      return answer(input.turn, signal);
    },
    async settled({ principal: who, runId, input, outcome }) {
      const content = outcome.status === 'succeeded' ? outcome.result : undefined;
      await turns.settle(who, runId, input.turn, {
        usage: USAGE,
        ...(content !== undefined && {
          answer: { content, turn: [{ role: 'assistant', content }], status: 'complete' as const },
        }),
      });
    },
  };
  const database = options.database ?? (await openTestDatabase(t));
  const models = { conversations: conversationModel(database), messages: messageModel(database) };
  const runs = await openRuns(t, { kinds: [], database, ...(options.runOptions && { options: options.runOptions }) });
  const parts = { ...models, runs, log: recordingLog().log } as unknown as ConversationParts;
  turns = createTurns(parts);
  const store = createStore(parts);
  await store.recover();
  await turns.recover();
  runs.register(turns.answeredBy(kind as unknown as RunKind));
  const create = () => store.insert(principal, { kind: 'general', title: 'new', titleFrom: 'default' });
  return {
    ...models,
    database,
    runs,
    turns,
    store,
    parts,
    create,
    /** A message for which a conversation is made. */
    sendNew: (conversationId: string, content: string, make = store.insert) => {
      const fields = { _id: conversationId, kind: 'general', title: 'new', titleFrom: 'default' } as const;
      const place = { conversationId, make: (taken: TakenFields) => make(principal, { ...fields, ...taken }) };
      return turns.begin(principal, place, { content }, { kind: 'chat', input: (turn) => ({ turn }) });
    },
    send: (conversation: Awaited<ReturnType<typeof create>>, content: string) =>
      turns.begin(principal, conversation, { content }, { kind: 'chat', input: (turn) => ({ turn }) }),
    read: (conversationId: string) => models.messages.in(principal).find({ conversationId }, { sort: { position: 1 } }),
    look: (id: string) => models.conversations.in(principal).get(id),
  };
}

test('a turn: message and answer are stored in order, counted, and the conversation is free again', async (t) => {
  const { create, send, runs, read, look, parts } = await open(t);
  const conversation = await create();
  for (const content of ['one', 'two']) {
    const { run } = await send(conversation, content);
    await runs.ended(principal, run.id);
  }
  const messages = await read(conversation._id);
  assert.deepEqual(
    messages.map(({ role, content, position, tokens, status }) => ({ role, content, position, tokens, status })),
    [
      { role: 'user', content: 'one', position: 2, tokens: 0, status: 'complete' },
      { role: 'assistant', content: 're: one', position: 3, tokens: 3, status: 'complete' },
      { role: 'user', content: 'two', position: 4, tokens: 0, status: 'complete' },
      { role: 'assistant', content: 're: two', position: 5, tokens: 3, status: 'complete' },
    ],
  );
  const after = await look(conversation._id);
  assert.deepEqual(
    [after?.messageCount, after?.inputTokens, after?.outputTokens, after?.activeRunId],
    [4, 20, 6, undefined],
  );
  const history = await loadHistory(parts, principal, {
    conversationId: conversation._id,
    before: 5,
    windowTokens: 1000,
  });
  assert.deepEqual(history, [
    { role: 'user', content: 'one' },
    { role: 'assistant', content: 're: one' },
    { role: 'user', content: 'two' },
  ]);
  const short = await loadHistory(parts, principal, { conversationId: conversation._id, before: 6, windowTokens: 12 });
  assert.deepEqual(short, [
    { role: 'user', content: 'two' },
    { role: 'assistant', content: 're: two' },
  ]);
});

test('one answer at a time: of many messages at once one is taken, the others are refused and leave nothing', async (t) => {
  const { promise, resolve } = gate();
  const { create, send, runs, read, look } = await open(t, {
    answer: async () => {
      await promise;
      return 'done';
    },
  });
  const conversation = await create();
  const tries = await Promise.allSettled(['a', 'b', 'c', 'd', 'e'].map((content) => send(conversation, content)));
  const taken = tries.filter((one) => one.status === 'fulfilled');
  const codes = tries.flatMap((one) => (one.status === 'rejected' ? [(one.reason as AppError).code] : []));
  assert.equal(taken.length, 1);
  assert.deepEqual(codes, Array(4).fill('CONVERSATION_BUSY'));
  assert.equal((await look(conversation._id))?.messageCount, 1);
  resolve();
  await runs.ended(principal, taken[0]?.value.run.id ?? '');
  assert.equal((await read(conversation._id)).length, 2);
});

test('a failed answer leaves the message and frees the conversation; so does a run that cannot be started', async (t) => {
  const { create, send, runs, turns, read, look } = await open(t, {
    answer: async () => {
      throw new AppError('unavailable', 'MODEL_DOWN', { zh: '不可用', en: 'down' });
    },
  });
  const conversation = await create();
  const { run } = await send(conversation, 'hello');
  assert.equal((await runs.ended(principal, run.id)).status, 'failed');
  assert.deepEqual(
    (await read(conversation._id)).map(({ role }) => role),
    ['user'],
  );
  const refused = turns.begin(
    principal,
    conversation,
    { content: 'x' },
    { kind: 'nobody', input: (turn) => ({ turn }), set: { title: 'x', titleFrom: 'message' } },
  );
  await assert.rejects(refused, { code: 'RUN_KIND_UNKNOWN' });
  const after = await look(conversation._id);
  assert.deepEqual(
    [after?.messageCount, after?.activeRunId, after?.title, after?.titleFrom],
    [1, undefined, 'new', 'default'],
  );
});

test('a conversation that a crash has left taken is free: at once when its process is dead, else after the time for a start', async (t) => {
  const database = await openTestDatabase(t);
  const shared = { database, runOptions: { exclusive: false, leaseMs: 60_000 } };
  const { runs: other, ...elsewhere } = await open(t, shared);
  await other.ended(principal, (await elsewhere.send(await elsewhere.create(), 'joins')).run.id);
  const { create, send, runs, conversations, look, turns } = await open(t, shared);
  const conversation = await create();
  const leave = (activeHost: string, since: number) =>
    conversations.in(principal).update(
      { _id: conversation._id },
      {
        $set: { activeRunId: 'gone', activeSince: new Date(since), activeHost },
        $inc: { messageCount: 1, turns: 1 },
      },
    );
  await leave(other.host, Date.now());
  await assert.rejects(send(conversation, 'too early'), { code: 'CONVERSATION_BUSY' });
  await turns.recover();
  assert.equal((await look(conversation._id))?.activeRunId, 'gone');
  await leave(other.host, Date.now() - 60_000);
  const { run } = await send(conversation, 'hello');
  await runs.ended(principal, run.id);
  assert.equal((await look(conversation._id))?.messageCount, 2);
  await leave('dead', Date.now());
  const again = await send(conversation, 'hello again');
  await runs.ended(principal, again.run.id);
  assert.equal((await look(conversation._id))?.messageCount, 4);
  await leave('dead', Date.now());
  await turns.recover();
  const after = await look(conversation._id);
  assert.deepEqual([after?.activeRunId, after?.messageCount], [undefined, 4]);
});

test('a run that comes too late stores nothing: somebody else has the conversation', async (t) => {
  const { promise, resolve } = gate();
  const { create, send, runs, read, look, conversations } = await open(t, {
    answer: async () => {
      await promise;
      return 'late';
    },
  });
  const conversation = await create();
  const { run } = await send(conversation, 'hello');
  await conversations.in(principal).update({ _id: conversation._id }, { $set: { activeRunId: 'other' } });
  resolve();
  await runs.ended(principal, run.id);
  assert.deepEqual(
    (await read(conversation._id)).map(({ role }) => role),
    ['user'],
  );
  assert.equal((await look(conversation._id))?.activeRunId, 'other');
});

test('deleting ends the answer under way and removes the messages of a general chat', async (t) => {
  const begun = gate();
  const { create, send, store, runs, read, look } = await open(t, {
    answer: (_turn, signal) => {
      begun.resolve();
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    },
  });
  const conversation = await create();
  const { run } = await send(conversation, 'hello');
  await begun.promise;
  await assert.rejects(store.remove(user('tenant-a', 'stranger'), 'general', conversation._id), {
    code: 'CONVERSATION_NOT_FOUND',
  });
  await store.remove(principal, 'general', conversation._id);
  assert.equal(await runs.get(principal, run.id), undefined);
  assert.deepEqual(await read(conversation._id), []);
  const after = await look(conversation._id);
  assert.deepEqual([after?.deleted, after?.removing, after?.activeRunId], [true, undefined, undefined]);
  await assert.rejects(send(conversation, 'more'), { code: 'CONVERSATION_NOT_FOUND' });
});

test('whatever write a crash cuts off, message and answer are there once after the next start, or neither', async (t) => {
  const database = await openTestDatabase(t);
  let crashes = 0;
  for (let at = 1, cut = true; cut; at += 1) {
    for (const carriedOut of [false, true]) {
      const before = await open(t, { database });
      const conversation = await before.create();
      await before.runs.close();

      const dying = new DyingDatabase(database, at, carriedOut);
      const sent = open({ after: async () => undefined }, { database: dying.database }).then(async (doomed) => {
        const { run } = await doomed.send(conversation, 'hello');
        await doomed.runs.ended(principal, run.id);
      });
      await Promise.race([sent, dying.died.promise]);
      cut = dying.writes >= at;
      if (cut) crashes += 1;
      dying.kill();
      const { runs, turns, read, look, send } = await open(t, { database });
      const last = (await look(conversation._id))?.lastRunId;
      if (last !== undefined && (await runs.get(principal, last))) await turns.ended(principal, last);
      const where = `write ${at}, carried out: ${carriedOut}`;
      // Also when it was taken for a run that was never stored.
      assert.equal((await look(conversation._id))?.activeRunId, undefined, where);
      const stored = (await read(conversation._id)).map(({ content }) => content);
      assert.ok(stored.length === 0 || stored.join() === 'hello,re: hello', `${where}: ${stored}`);
      assert.equal((await look(conversation._id))?.messageCount, stored.length, where);
      const { run } = await send(conversation, 'again');
      await runs.ended(principal, run.id);
      assert.equal((await look(conversation._id))?.messageCount, stored.length + 2, where);
      await runs.close();
    }
  }
  assert.ok(crashes >= 10, `only ${crashes} crashes`);
});

test('a conversation is made with its first message; one that cannot be made, or be answered, leaves nothing', async (t) => {
  const { sendNew, runs, read, look, turns } = await open(t);
  const { run } = await sendNew('conversation-1', 'hello');
  await turns.ended(principal, run.id);
  const { turns: count, messageCount, activeRunId, lastRunId } = (await look('conversation-1')) ?? {};
  assert.deepEqual([count, messageCount, activeRunId, lastRunId], [1, 2, undefined, run.id]);
  assert.deepEqual(
    (await read('conversation-1')).map(({ content, position }) => [content, position]),
    [
      ['hello', 2],
      ['re: hello', 3],
    ],
  );

  const full = new Error('the disk is full');
  await assert.rejects(
    sendNew('conversation-2', 'hello', () => Promise.reject(full)),
    full,
  );
  while (runs.running > 0) await new Promise((resolve) => setImmediate(resolve));
  await runs.close();
  await assert.rejects(sendNew('conversation-4', 'too late'), { code: 'SHUTTING_DOWN' });
  for (const id of ['conversation-2', 'conversation-4']) {
    assert.deepEqual([await look(id), await read(id)], [undefined, []], id);
  }
});

test('whatever write a crash cuts off, a new conversation has its message and an answer after the next start, or is not there', async (t) => {
  const database = await openTestDatabase(t);
  let crashes = 0;
  for (let at = 1, cut = true; cut; at += 1) {
    for (const carriedOut of [false, true]) {
      const id = `conversation-${at}-${carriedOut}`;
      const dying = new DyingDatabase(database, at, carriedOut);
      let told = false;
      const sent = open({ after: async () => undefined }, { database: dying.database }).then(async (doomed) => {
        const { run } = await doomed.sendNew(id, 'hello');
        told = true;
        await doomed.runs.ended(principal, run.id);
      });
      await Promise.race([sent, dying.died.promise]);
      cut = dying.writes >= at;
      if (cut) crashes += 1;
      dying.kill();
      const { runs, turns, read, look } = await open(t, { database });
      const where = `write ${at}, carried out: ${carriedOut}`;
      const taken = (await look(id))?.activeRunId;
      if (taken !== undefined && (await runs.get(principal, taken))) await turns.ended(principal, taken);
      while (runs.running > 0) await new Promise((resolve) => setImmediate(resolve));
      const conversation = await look(id);
      const stored = (await read(id)).map(({ content }) => content);
      if (told) assert.equal(stored.join(), 'hello,re: hello', where);
      if (conversation) {
        assert.ok(stored.length === 0 || stored.join() === 'hello,re: hello', `${where}: ${stored}`);
        assert.deepEqual([conversation.messageCount, conversation.activeRunId], [stored.length, undefined], where);
      }
      await runs.close();
    }
  }
  assert.ok(crashes >= 10, `only ${crashes} crashes`);
});
