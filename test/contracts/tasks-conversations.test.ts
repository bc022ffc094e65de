import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { databaseService } from '../../core/data/database.ts';
import type { Answer } from '../support/api-client.ts';
import { startTaskServer } from '../support/task-server.ts';

const { server, model, client } = await startTaskServer(
  { after },
  { conversations: { tasks: { sweepMinutes: 0.01 } } },
);

const failure = ({ status, body }: Answer): number => {
  assert.deepEqual([body.success, typeof body.error], [false, 'string'], JSON.stringify(body));
  return status;
};
const LOCAL_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}$/;

test('POST /conversations: without a body, with names, with bad ones', async () => {
  const bot = await client('create');
  const json = { 'content-type': 'application/json' };
  const good: unknown[] = [
    undefined,
    '',
    {},
    { prompt_name: null, personalization_name: null },
    { prompt_name: 'p' },
    { more: 1 },
  ];
  for (const body of good) {
    const { status, body: answer } = await bot.call('POST', '/conversations', body, body === undefined ? {} : json);
    assert.equal(status, 200, JSON.stringify(body));
    assert.match(answer.conversation_id, /^conv_\d{8}_\d{6}_\d{3}$/);
  }
  const bad: unknown[] = [{ prompt_name: 5 }, { personalization_name: ['x'] }, '{"prompt_name":', '[]', '"x"'];
  for (const body of bad)
    assert.equal(failure(await bot.call('POST', '/conversations', body, json)), 400, JSON.stringify(body));
  assert.equal((await bot.call('GET', '/conversations')).body.total, good.length);
});

test('POST /conversations: ids are unique however many are made at once', async () => {
  const bots = await Promise.all(['many-a', 'many-b'].map((name) => client(name)));
  const made = await Promise.all(Array.from({ length: 150 }, (_, at) => bots[at % 2]?.call('POST', '/conversations')));
  const ids = made.map((answer) => answer?.body.conversation_id);
  for (const id of ids) assert.match(id, /^conv_\d{8}_\d{6}_\d{3}$/);
  assert.equal(new Set(ids).size, 150);
});

test('GET /conversations: pages, order, shape', async () => {
  const bot = await client('list');
  assert.deepEqual((await bot.call('GET', '/conversations')).body, { success: true, data: [], total: 0 });
  const ids: string[] = [];
  for (let at = 0; at < 25; at++) ids.push((await bot.call('POST', '/conversations')).body.conversation_id);
  const list = async (query = '') => (await bot.call('GET', `/conversations${query}`)).body;
  const listed = async (query: string) => (await list(query)).data.map(({ id }: { id: string }) => id);
  const newest = ids.toReversed();
  assert.deepEqual(await listed(''), newest.slice(0, 20));
  assert.deepEqual(await listed('?limit=5&offset=3'), newest.slice(3, 8));
  assert.deepEqual(await listed('?limit=0'), newest.slice(0, 1));
  assert.deepEqual(await listed('?limit=500'), newest);
  assert.deepEqual(await listed('?limit=abc&offset=-4'), newest.slice(0, 20));
  assert.deepEqual([await listed('?offset=99'), (await list('?offset=99')).total], [[], 25]);

  // What was changed last comes first.
  model.reply({ text: 'hello' });
  const [first = ''] = ids;
  await bot.ask('hi', { conversation_id: first, run_mode: 'thinking' });
  const [top] = (await list('?limit=1')).data;
  const { created_at, updated_at, ...rest } = top;
  assert.deepEqual(rest, {
    id: first,
    title: '模型起的标题',
    run_mode: 'thinking',
    model_key: 'gpt-4o-mini',
    custom_prompt_name: null,
    personalization_name: null,
    messages_count: 2,
  });
  for (const at of [created_at, updated_at]) assert.match(at, LOCAL_TIME);
  assert.ok(updated_at > created_at);
  assert.equal(
    first,
    `conv_${created_at.slice(0, 10).replaceAll('-', '')}_${created_at.slice(11, 19).replaceAll(':', '')}_${first.slice(-3)}`,
  );
});

test('GET /conversations/{id}: with and without messages', async () => {
  const bot = await client('detail');
  const { conversation_id } = (await bot.call('POST', '/conversations')).body;
  const get = async (query = '') => (await bot.call('GET', `/conversations/${conversation_id}${query}`)).body;
  const fresh = await get('?full=true');
  assert.deepEqual(Object.keys(fresh), ['success', 'data']);
  const { created_at, updated_at, token_statistics, ...rest } = fresh.data;
  assert.deepEqual(rest, {
    id: conversation_id,
    title: '新对话',
    messages: [],
    todo_list: null,
    metadata: {
      project_path: 'project',
      thinking_mode: false,
      run_mode: 'fast',
      model_key: null,
      custom_prompt_name: null,
      personalization_name: null,
      has_images: false,
      total_messages: 0,
      total_tools: 0,
      status: 'active',
    },
  });
  assert.match(token_statistics.updated_at, LOCAL_TIME);
  assert.deepEqual(
    { ...token_statistics, updated_at: '' },
    {
      total_input_tokens: 0,
      total_output_tokens: 0,
      total_tokens: 0,
      current_context_tokens: 0,
      updated_at: '',
    },
  );

  model.reply({ toolCalls: [{ id: 'c1', name: 'list_files', arguments: '{}' }] }, { text: '没有文件' });
  await bot.ask('有哪些文件', { conversation_id });
  await bot.ask('谢谢', { conversation_id });
  for (const query of ['', '?full=0', '?full=no', '?full=false']) assert.equal((await get(query)).data.messages, null);
  const { data } = await get('?full=1');
  assert.deepEqual(
    data.messages.map(({ role, content }: Record<string, string>) => [role, role === 'tool' ? '' : content]),
    [
      ['user', '有哪些文件'],
      ['assistant', ''],
      ['tool', ''],
      ['assistant', '没有文件'],
      ['user', '谢谢'],
      ['assistant', 'ok'],
    ],
  );
  for (const message of data.messages) assert.match(message.timestamp, LOCAL_TIME);
  assert.deepEqual([data.metadata.total_messages, data.metadata.total_tools], [6, 1]);
  assert.deepEqual(
    { ...data.token_statistics, updated_at: '' },
    {
      total_input_tokens: 30,
      total_output_tokens: 15,
      total_tokens: 45,
      current_context_tokens: 15,
      updated_at: '',
    },
  );
  assert.equal((await bot.call('GET', '/conversations')).body.data[0].messages_count, 6);
});

test('DELETE /conversations/{id}: with its messages and tasks; not while a task runs', async () => {
  const bot = await client('delete');
  const { conversationId, data } = await bot.ask('bye');
  const path = `/conversations/${conversationId}`;
  const { promise, resolve } = Promise.withResolvers<void>();
  model.reply({ text: ['a', 'b'], afterFirst: promise });
  const running = await bot.send('wait', { conversation_id: conversationId });
  assert.equal(failure(await bot.call('DELETE', path)), 409);
  resolve();
  await bot.finished(running.task_id);

  const stranger = await client('delete-stranger');
  const refused = await stranger.call('DELETE', path);
  assert.equal(failure(refused), 404);
  assert.equal(refused.body.message, refused.body.error);

  const gone = await bot.call('DELETE', path);
  assert.deepEqual([gone.status, gone.body], [200, { success: true, message: '对话已删除' }]);
  const again = await bot.call('DELETE', path);
  assert.deepEqual([again.status, Object.keys(again.body)], [404, ['success', 'error', 'message']]);
  assert.equal(failure(await bot.call('GET', path)), 404);
  for (const id of [data.task_id, running.task_id]) assert.equal(failure(await bot.call('GET', `/tasks/${id}`)), 404);
  assert.equal(failure(await bot.call('POST', '/messages', { message: 'x', conversation_id: conversationId })), 400);
  assert.equal((await bot.call('GET', '/conversations')).body.total, 0);
  const database = server.server.app.host.find(databaseService);
  for (const [collection, filter] of [
    ['messages', { conversationId }],
    ['run_log', { logId: data.task_id }],
    ['runs', { _id: data.task_id }],
  ] as const) {
    assert.equal(await database?.connection.collection(collection).countDocuments(filter as object), 0, collection);
  }
  for (const method of ['GET', 'DELETE']) {
    const unknown = await bot.call(method, '/conversations/conv_20200101_000000_000');
    assert.equal(failure(unknown), 404);
  }
});

test('finished tasks can be read for a while; then they and their events are gone, the conversation is not', async () => {
  const bot = await client('expiry');
  const { data, conversationId } = await bot.ask('remember me');
  const kept = await bot.ask('me too', { conversation_id: conversationId });
  const { connection } = server.server.app.host.find(databaseService) ?? {};
  assert.ok(connection);
  const longAgo = new Date(Date.now() - 7 * 24 * 3600_000 - 1000);
  await connection.collection('agent_tasks').updateOne({ _id: data.task_id }, { $set: { endedAt: longAgo } });
  assert.equal(failure(await bot.call('GET', `/tasks/${data.task_id}`)), 404);
  for (let left = 1; left > 0; await delay(50))
    left = await connection.collection('run_log').countDocuments({ logId: data.task_id });
  assert.equal(await connection.collection('runs').countDocuments({ _id: data.task_id }), 0);
  assert.equal((await bot.call('GET', `/tasks/${kept.data.task_id}`)).status, 200);
  const messages = (await bot.call('GET', `/conversations/${conversationId}?full=1`)).body.data.messages;
  assert.equal(messages.length, 4);
});
