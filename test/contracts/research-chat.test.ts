import assert from 'node:assert/strict';
import { after, afterEach, test } from 'node:test';
import { openStream, parseStream, textOf } from '../support/answer-stream.ts';
import { startConversationServer } from '../support/conversation-server.ts';

const MOMENT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const ID = /^conv-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const UNKNOWN = '00000000-0000-4000-8000-000000000000';
const SAMPLE = { content: '你好,介绍一下自己', modelType: 'deepseek-v3' };

const { server, model, research } = await startConversationServer({ after });
afterEach(() => model.clear());
const user = await research('user@example.com');
const { call } = user;
const chat = async (body: object) => {
  const answer = await call('POST', '/chat/stream', body);
  assert.equal(answer.status, 200, answer.text);
  return { id: answer.headers.get('x-conversation-id') ?? '', messages: parseStream(answer.text) };
};
const list = async () => (await call('GET', '/chat/conversations')).body.data;
const failure = async (answer: ReturnType<typeof call>) => {
  const { status, body } = await answer;
  assert.equal(body.success, false);
  const fields = Array.isArray(body.error.details) ? body.error.details : [];
  return [status, body.error.code, ...fields.map(({ field }: { field: string }) => field)].join(' ');
};

test('9.1 to 9.3: the samples of the document', async () => {
  model.reply({
    text: ['你', '好', '！', '我'],
    usage: { prompt_tokens: 20, completion_tokens: 4, total_tokens: 24 },
  });
  const { id, messages } = await chat(SAMPLE);
  assert.match(id, ID);
  assert.equal(messages.at(-1)?.data, '[DONE]');
  const pieces = messages.slice(0, -1).map(({ data }) => data);
  const { conversationId, ...first } = pieces[0];
  assert.equal(conversationId, id);
  assert.deepEqual(first, { content: first.content, usage: null });
  for (const piece of pieces.slice(1, -1)) assert.deepEqual(piece, { content: piece.content, usage: null });
  assert.deepEqual(pieces.at(-1), { content: '', usage: { promptTokens: 20, completionTokens: 4, totalTokens: 24 } });
  assert.equal(textOf(messages.slice(0, -1)), '你好！我');
  assert.equal(model.asked.at(-1)?.body.model, 'deepseek-chat');

  const me = (await call('GET', '/users/me')).body.data;
  const [item] = await list();
  const { createdAt, updatedAt, ...rest } = item;
  assert.match(createdAt, MOMENT);
  assert.match(updatedAt, MOMENT);
  assert.deepEqual(rest, { id, userId: me.id, title: '你好,介绍一下自己', modelName: 'deepseek-v3' });

  const gone = await call('DELETE', `/chat/conversations/${id}`);
  assert.equal(gone.status, 200);
  const { timestamp, ...body } = gone.body;
  assert.match(timestamp, MOMENT);
  assert.deepEqual(body, { success: true, message: '删除成功' });
  assert.deepEqual(await list(), []);
  assert.equal(await failure(call('DELETE', `/chat/conversations/${id}`)), '404 NOT_FOUND');
  assert.equal(await failure(call('POST', '/chat/stream', { ...SAMPLE, conversationId: id })), '404 NOT_FOUND');
});

test('a conversation goes on: history, another model, the order of the list', async () => {
  const { id } = await chat({ ...SAMPLE, content: '记住数字 42' });
  const other = await chat({ ...SAMPLE, content: `长标题${'很长'.repeat(30)}` });
  assert.equal([...(await list())[0].title].length, 30);
  model.reply({ text: '42' });
  const next = await chat({ content: '是什么数字', modelType: 'qwen3-72b', conversationId: id });
  assert.equal(next.id, id);
  const items = await list();
  assert.deepEqual(
    items.slice(0, 2).map((item: { id: string; modelName: string }) => [item.id, item.modelName]),
    [
      [id, 'qwen3-72b'],
      [other.id, 'deepseek-v3'],
    ],
  );
  assert.equal(items[0].title, '记住数字 42');
  const back = await chat({ ...SAMPLE, content: '确定吗', conversationId: id });
  assert.ok(back);
  assert.deepEqual(
    model.asked.at(-1)?.body.messages.map(({ role }: { role: string }) => role),
    ['system', 'user', 'assistant', 'user', 'assistant', 'user'],
  );
  // General chats are no conversations of the other list, and the other way round.
  assert.equal((await call('GET', '/conversations?page=1')).body.data.pagination.total, 0);
  assert.equal((await call('GET', '/history')).body.data.pagination.total, 0);
  assert.equal(await failure(call('GET', `/conversations/${id}`)), '404 NOT_FOUND');
  assert.equal(await failure(call('DELETE', `/conversations/${id}`)), '404 NOT_FOUND');
  const made = (await call('POST', '/conversations', { agentId: 'agent-picos' })).body.data.id;
  assert.equal(await failure(call('POST', '/chat/stream', { ...SAMPLE, conversationId: made })), '404 NOT_FOUND');
  assert.equal(await failure(call('DELETE', `/chat/conversations/${made}`)), '404 NOT_FOUND');
});

test('wrong requests are JSON errors, and no conversation is made', async () => {
  const before = (await list()).length;
  const stranger = await research('stranger@example.com');
  const base = (await stranger.call('POST', '/knowledge-bases', { name: '别人的' })).body.data.id;
  for (const [body, expected] of [
    [{}, '422 VALIDATION_ERROR content modelType'],
    [{ ...SAMPLE, content: ' ' }, '422 VALIDATION_ERROR content'],
    [{ ...SAMPLE, content: 'x'.repeat(32_001) }, '422 VALIDATION_ERROR content'],
    [{ content: 'x' }, '422 VALIDATION_ERROR modelType'],
    [{ ...SAMPLE, modelType: 'gpt-17' }, '422 VALIDATION_ERROR modelType'],
    [{ ...SAMPLE, knowledgeBaseIds: [base] }, '404 NOT_FOUND'],
    [{ ...SAMPLE, knowledgeBaseIds: Array(4).fill(base) }, '422 VALIDATION_ERROR knowledgeBaseIds'],
    [{ ...SAMPLE, conversationId: `conv-${UNKNOWN}` }, '404 NOT_FOUND'],
    [{ ...SAMPLE, conversationId: 'x' }, '404 NOT_FOUND'],
  ] as const) {
    assert.equal(await failure(call('POST', '/chat/stream', body)), expected, JSON.stringify(body));
  }
  const { id } = await chat(SAMPLE);
  assert.equal(
    await failure(stranger.call('POST', '/chat/stream', { ...SAMPLE, conversationId: id })),
    '404 NOT_FOUND',
  );
  assert.equal(await failure(stranger.call('DELETE', `/chat/conversations/${id}`)), '404 NOT_FOUND');
  assert.equal((await list()).length, before + 1);
  const anonymous = await server.call('POST', '/chat/stream', { body: SAMPLE });
  assert.deepEqual([anonymous.status, anonymous.body.error.code], [401, 'UNAUTHORIZED']);
});

test('one answer at a time is 409; a lost stream is taken up; deleting ends the answer and takes the messages', async () => {
  model.reply({ text: ['开头', '结尾'], afterFirst: new Promise(() => undefined) });
  const stream = await openStream(server.url, '/chat/stream', { token: user.token, body: SAMPLE });
  const id = stream.headers.get('x-conversation-id') ?? '';
  const first = await stream.next();
  assert.deepEqual(first?.data, { content: '开头', usage: null, conversationId: id });
  assert.equal(
    await failure(call('POST', '/chat/stream', { content: '再问', modelType: 'deepseek-v3', conversationId: id })),
    '409 CONFLICT',
  );
  const back = await openStream(server.url, '/chat/stream', {
    token: user.token,
    body: { ...SAMPLE, conversationId: id },
    lastEventId: (first?.id ?? 0) - 1,
  });
  assert.deepEqual((await back.next())?.data, first?.data);
  assert.equal((await call('DELETE', `/chat/conversations/${id}`)).status, 200);
  for (const open of [stream, back]) {
    const rest = (await open.rest()).map(({ data }) => data);
    assert.equal(rest.length, 2);
    assert.equal(rest[0].error.code, 'CONFLICT');
    assert.equal(rest[1], '[DONE]');
  }
});

test('a failure after the start: an error piece, then [DONE]', async () => {
  model.reply(...Array(5).fill({ status: 500 }));
  const { messages, id } = await chat(SAMPLE);
  model.clear();
  const [piece, done] = messages.map(({ data }) => data);
  assert.deepEqual([messages.length, Object.keys(piece), done], [2, ['error'], '[DONE]']);
  assert.equal(piece.error.code, 'SERVICE_UNAVAILABLE');
  assert.match(piece.error.message, /\p{Script=Han}/u);
  const again = await chat({ ...SAMPLE, conversationId: id });
  assert.equal(textOf(again.messages.slice(0, -1)), 'ok');
});

test('knowledge bases: searched and cited', async () => {
  const base = (await call('POST', '/knowledge-bases', { name: '肺癌' })).body.data.id;
  const form = new FormData();
  form.set('file', new Blob(['非小细胞肺癌约占全部肺癌的百分之八十五。']), '综述.txt');
  await call('POST', `/knowledge-bases/${base}/documents`, form);
  for (let status = ''; status !== 'completed'; ) {
    [{ status }] = (await call('GET', `/knowledge-bases/${base}/documents`)).body.data;
  }
  model.reply({ text: '约占85%[1]' });
  const { messages } = await chat({ ...SAMPLE, content: '非小细胞肺癌占多少？', knowledgeBaseIds: [base] });
  assert.match(model.asked.at(-1)?.body.messages[0].content, /<material ref="1" title="综述\.txt">/);
  assert.equal(textOf(messages.slice(0, -1)), '约占85%[1]\n\n参考来源：\n[1] 综述.txt');
});

test('the list shows fifty at most', async () => {
  const { call: busy } = await research('fifty@example.com');
  for (let at = 0; at < 51; at += 1) await busy('POST', '/chat/stream', { ...SAMPLE, content: `第 ${at} 个` });
  const items = (await busy('GET', '/chat/conversations')).body.data;
  assert.deepEqual([items.length, items[0].title, items[49].title], [50, '第 50 个', '第 1 个']);
});
