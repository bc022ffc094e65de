import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Answer } from '../support/api-client.ts';
import type { Reply } from '../support/fake-openai.ts';
import { startTaskServer, type TaskClient, type TaskEvent } from '../support/task-server.ts';

const { model, client } = await startTaskServer({ after });

const failure = ({ status, body }: Answer): number => {
  assert.deepEqual([body.success, typeof body.error], [false, 'string'], JSON.stringify(body));
  return status;
};
const types = (events: readonly TaskEvent[]) => events.map(({ type }) => type);
const messagesOf = async (who: TaskClient, conversationId: string) =>
  (await who.call('GET', `/conversations/${conversationId}?full=1`)).body.data.messages;

/** What a model endpoint may do, how often it is asked then, and what of the answer is kept. */
const FAULTS: { name: string; reply: Reply; asked: number; kept?: string }[] = [
  { name: 'wrong credentials', reply: { status: 401 }, asked: 1 },
  { name: 'a request that it does not take', reply: { status: 400 }, asked: 1 },
  { name: 'too many requests', reply: { status: 429, headers: { 'retry-after': '0' } }, asked: 5 },
  { name: 'a failing server', reply: { status: 500 }, asked: 5 },
  { name: 'a page of a proxy', reply: { fault: 'html' }, asked: 5 },
  { name: 'a cut connection', reply: { fault: 'reset' }, asked: 5 },
  { name: 'no event at all', reply: { fault: 'nothing' }, asked: 5 },
  { name: 'an error in the stream', reply: { fault: 'error-event' }, asked: 5 },
  { name: 'half a stream', reply: { fault: 'half' }, asked: 1, kept: 'begin ' },
  { name: 'an event that is no JSON', reply: { fault: 'broken-json' }, asked: 1, kept: 'begin ' },
];

for (const { name, reply, asked, kept } of FAULTS) {
  test(`a model endpoint with ${name}: the task fails as documented, the conversation goes on`, async () => {
    const bot = await client(`fault-${name.replaceAll(' ', '-')}`);
    const before = model.asked.length;
    model.reply(...Array.from({ length: asked }, () => reply));
    const { status, error, events, conversationId } = await bot.ask('hi');
    assert.equal(status, 'failed');
    assert.equal(model.asked.length - before, asked);
    const errors = events.filter(({ type }) => type === 'error').map(({ data }) => data);
    assert.equal(errors.length, asked);
    for (const [at, data] of errors.slice(0, -1).entries()) {
      assert.deepEqual(
        [data.retry, data.attempt, data.max_attempts, typeof data.retry_in],
        [true, at + 1, 5, 'number'],
      );
    }
    const last = events.at(-1);
    assert.deepEqual([last?.type, last?.data.retry, last?.data.message], ['error', false, error]);
    assert.ok(error && !/sk-test|127\.0\.0\.1/.test(JSON.stringify(events)), 'nothing of keys and addresses');
    const messages = await messagesOf(bot, conversationId);
    assert.deepEqual(
      messages.map(({ role, content }: Record<string, string>) => [role, content]),
      [['user', 'hi'], ...(kept === undefined ? [] : [['assistant', kept]])],
    );
    assert.equal((await bot.ask('again', { conversation_id: conversationId })).status, 'succeeded');
  });
}

test('a failure that passes is told and made up for', async () => {
  const bot = await client('passing');
  model.reply({ status: 503 }, { status: 429 }, { text: 'at last' });
  const { status, events } = await bot.ask('hi');
  assert.equal(status, 'succeeded');
  assert.deepEqual(types(events).slice(2), [
    'ai_message_start',
    'error',
    'error',
    'text_start',
    'text_chunk',
    'text_end',
    'token_update',
    'task_complete',
  ]); // prettier-ignore
});

test('an endless stream is ended by a cancel', async () => {
  const bot = await client('endless');
  model.reply({ fault: 'endless' });
  const { task_id, conversation_id } = await bot.send('hi');
  await bot.finished(task_id, { until: ({ idx }) => idx > 20 });
  await bot.call('POST', `/tasks/${task_id}/cancel`);
  const { status, events } = await bot.finished(task_id);
  assert.deepEqual([status, types(events).at(-1)], ['canceled', 'task_stopped']);
  const text = events
    .filter(({ type }) => type === 'text_chunk')
    .map(({ data }) => data.content)
    .join('');
  assert.equal((await messagesOf(bot, conversation_id))[1].content, text);
  assert.equal((await bot.ask('again', { conversation_id })).status, 'succeeded');
});

test('tool arguments that are no JSON, tools that nobody has, paths that lead out: the model is told', async () => {
  const bot = await client('bad-calls');
  model.reply(
    {
      text: 'let me see',
      toolCalls: [
        { id: 'a', name: 'read_file', arguments: '{"path": "x' },
        { id: 'b', name: 'no_such_tool', arguments: '{}' },
        { id: 'c', name: 'read_file', arguments: '{"path": 5}' },
        { id: 'd', name: 'read_file', arguments: '{"path": "../../../etc/passwd"}' },
      ],
    },
    { text: 'sorry' },
  );
  const { status, events, conversationId } = await bot.ask('hi');
  assert.equal(status, 'succeeded');
  const updates = events.filter(({ type }) => type === 'update_action').map(({ data }) => data);
  assert.deepEqual(updates.map(({ preparing_id }) => preparing_id).sort(), ['a', 'b', 'c', 'd']);
  assert.deepEqual([...new Set(updates.map((data) => data.status))], ['failed']);
  const told = model.asked.at(-1)?.body.messages.filter(({ role }: { role: string }) => role === 'tool');
  assert.equal(told.length, 4);
  assert.match(told[1].content, /there is no tool no_such_tool/);
  const messages = await messagesOf(bot, conversationId);
  assert.equal(messages.length, 7);
  assert.equal(messages[1].tool_calls[0].function.arguments, '{"path": "x');
});

test('messages of any characters are taken as they are', async () => {
  const bot = await client('characters');
  const odd = [
    '{{userInput}} {context} $(x) %s',
    '\u0000\u0001\u001b[31m',
    '🇨🇳👨‍👩‍👧',
    'x'.repeat(32_001),
    '\u202eevil',
    '<script>',
  ];
  for (const message of odd) {
    const { status, events, conversationId } = await bot.ask(message);
    assert.equal(status, 'succeeded');
    assert.equal(events[0]?.data.message, message.trim());
    assert.equal((await messagesOf(bot, conversationId))[0].content, message.trim());
    assert.equal(model.asked.at(-1)?.body.messages.at(-1).content, message.trim());
  }
  const broken = await bot.ask('half a sign \ud83d!');
  assert.equal(broken.events[0]?.data.message, 'half a sign \ufffd!');
});

test('a budget that is used up: quota_exceeded, then the final error', async (t) => {
  const limited = await startTaskServer(t, {}, { runtime: { budgets: { perAccount: { tokens: 20, period: 'day' } } } });
  const bot = await limited.client('poor');
  limited.model.reply({ text: 'one' }, { text: 'two' });
  await bot.ask('first');
  await bot.ask('second');
  const { status, error, events } = await bot.ask('third');
  assert.equal(status, 'failed');
  assert.deepEqual(types(events).slice(2), ['ai_message_start', 'quota_exceeded', 'error']);
  const [quota, last] = events.slice(-2);
  assert.equal(quota?.data.type, 'tokens');
  assert.ok(new Date(quota?.data.reset_at).getTime() > Date.now());
  assert.deepEqual([last?.data.error_code, last?.data.message], ['BUDGET_EXCEEDED', error]);
  assert.equal((await limited.client('rich').then((other) => other.ask('hi'))).status, 'succeeded');
});

test('a full queue and a server that shuts down: 503, and nothing is left of the message', async (t) => {
  const busy = await startTaskServer(
    t,
    { conversations: { tasks: { tasksPerAccount: 5 } } },
    { runtime: { runs: { perTenant: 1, queuedPerTenant: 1 } } },
  );
  const bot = await busy.client('busy');
  const { promise, resolve } = Promise.withResolvers<void>();
  busy.model.reply({ text: ['a', 'b'], afterFirst: promise });
  const first = await bot.send('one');
  const second = await bot.send('two');
  const refused = await bot.call('POST', '/messages', { message: 'three' });
  assert.equal(failure(refused), 503);
  assert.ok(Number(refused.headers.get('retry-after')) > 0);
  assert.equal((await bot.call('GET', '/conversations')).body.total, 2);
  // One that waits for its turn can be stopped before it has begun.
  assert.equal((await bot.call('GET', `/tasks/${second.task_id}`)).body.data.status, 'running');
  await bot.call('POST', `/tasks/${second.task_id}/cancel`);
  const stopped = await bot.finished(second.task_id);
  assert.deepEqual(
    [stopped.status, types(stopped.events)],
    ['canceled', ['user_message', 'conversation_resolved', 'task_stopped']],
  );
  resolve();
  assert.equal((await bot.finished(first.task_id)).status, 'succeeded');

  await busy.server.server.runs.close({ timeoutMs: 100 });
  assert.equal(failure(await bot.call('POST', '/messages', { message: 'too late' })), 503);
  assert.equal((await bot.call('GET', '/conversations')).body.total, 2);
});
