import assert from 'node:assert/strict';
import { after, afterEach, test } from 'node:test';
import { openStream, parseStream, textOf } from '../support/answer-stream.ts';
import { startTestServer } from '../support/app.ts';
import { type Person, startConversationServer } from '../support/conversation-server.ts';
import type { Reply } from '../support/fake-openai.ts';
import { signIn } from '../support/people.ts';

const MOMENT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const idOf = (prefix: string) =>
  new RegExp(`^${prefix}-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`);
const UNKNOWN = '00000000-0000-4000-8000-000000000000';

const { server, model, research, studio } = await startConversationServer({ after });
afterEach(() => model.clear());

const conversing = ({ call }: Person) => ({
  make: async (more: object = {}): Promise<string> =>
    (await call('POST', '/conversations', { agentId: 'agent-picos', ...more })).body.data.id,
  read: async (id: string) => (await call('GET', `/conversations/${id}`)).body.data,
  ask: async (id: string, content: string, more: object = {}) =>
    parseStream((await call('POST', `/conversations/${id}/messages/stream`, { content, ...more })).text),
});

/** Status and code of a failure, and its fields. */
const failure = async (answer: Promise<{ status: number; body: { success: boolean; error: { code: string } } }>) => {
  const { status, body } = await answer;
  assert.equal(body.success, false);
  const { code, details } = body.error as { code: string; details?: { field: string }[] };
  return [status, code, ...(details ?? []).map(({ field }) => field)].join(' ');
};

test('4.1 to 4.4, 4.6, 7.1: the samples of the document', async () => {
  const user = await research('user@example.com');
  const { call } = user;
  const project = (await call('POST', '/projects', { name: 'XX药物研究' })).body.data.id;
  const sample = { projectId: project, agentId: 'agent-picos', title: 'PICOS构建', modelName: 'deepseek-v3' };
  const made = await call('POST', '/conversations', sample);
  assert.equal(made.status, 201);
  const { id, createdAt, ...rest } = made.body.data;
  assert.match(id, idOf('conv'));
  assert.match(createdAt, MOMENT);
  assert.deepEqual(rest, { ...sample, messageCount: 0 });

  model.reply({
    text: ['好', '的', '，我们开始构建PICOS...'],
    usage: { prompt_tokens: 4500, completion_tokens: 500, total_tokens: 5000 },
  });
  const sent = await call('POST', `/conversations/${id}/messages/stream`, { content: '请帮我构建PICOS框架' });
  assert.deepEqual([sent.status, sent.headers.get('content-type')], [200, 'text/event-stream; charset=utf-8']);
  const messages = parseStream(sent.text);
  assert.deepEqual(messages[0]?.data, { type: 'start', conversationId: id });
  assert.ok(messages.slice(1, -1).every(({ data }) => data.type === 'token' && Object.keys(data).length === 2));
  const { messageId, ...done } = messages.at(-1)?.data ?? {};
  assert.match(messageId, idOf('msg'));
  assert.deepEqual(done, { type: 'done', tokens: 500 });

  const {
    createdAt: same,
    updatedAt,
    messages: stored,
    ...detail
  } = (await call('GET', `/conversations/${id}`)).body.data;
  assert.equal(same, createdAt);
  assert.match(updatedAt, MOMENT);
  assert.deepEqual(detail, { id, ...sample, messageCount: 2 });
  assert.deepEqual(
    stored.map(({ createdAt: at, ...message }: { createdAt: string }) => {
      assert.match(at, MOMENT);
      return message;
    }),
    [
      { id: stored[0].id, role: 'user', content: '请帮我构建PICOS框架' },
      { id: messageId, role: 'assistant', content: '好的，我们开始构建PICOS...', isPinned: false, tokens: 500 },
    ],
  );

  const listed = (await call('GET', `/conversations?projectId=${project}&page=1&pageSize=20`)).body.data;
  assert.deepEqual(listed.items, [
    {
      id,
      title: 'PICOS构建',
      agentId: 'agent-picos',
      agentName: 'PICOS构建',
      projectId: project,
      projectName: 'XX药物研究',
      modelName: 'deepseek-v3',
      messageCount: 2,
      totalTokens: 5000,
      createdAt,
      updatedAt,
    },
  ]);
  assert.equal(listed.pagination.total, 1);

  const today = new Date().toISOString().slice(0, 10);
  const query = `page=1&pageSize=20&agentId=agent-picos&startDate=${today}&endDate=${today}`;
  const [item] = (await call('GET', `/history?${query}`)).body.data.items;
  const { lastMessageAt, ...shown } = item;
  assert.match(lastMessageAt, MOMENT);
  assert.deepEqual(shown, {
    conversationId: id,
    title: 'PICOS构建',
    agentId: 'agent-picos',
    agentName: 'PICOS构建',
    projectId: project,
    projectName: 'XX药物研究',
    source: 'project',
    messageCount: 2,
    createdAt,
  });

  const gone = await call('DELETE', `/conversations/${id}`);
  assert.deepEqual([gone.status, gone.text], [204, '']);
  assert.equal(await failure(call('GET', `/conversations/${id}`)), '404 NOT_FOUND');
  assert.equal(await failure(call('DELETE', `/conversations/${id}`)), '404 NOT_FOUND');
  assert.equal(await failure(call('POST', `/conversations/${id}/messages/stream`, { content: 'x' })), '404 NOT_FOUND');
  assert.equal(await failure(call('POST', `/messages/${messageId}/pin`)), '404 NOT_FOUND');
  for (const path of ['/conversations?page=1', '/history']) {
    assert.equal((await call('GET', path)).body.data.pagination.total, 0);
  }
});

test('making one: defaults, and what is refused', async () => {
  const { call } = await research('making@example.com');
  const post = (body: unknown) => call('POST', '/conversations', body, { headers: { 'x-api-contract': 'research' } });
  const { title, projectId, modelName } = (await post({ agentId: 'agent-picos', projectId: null })).body.data;
  assert.deepEqual([title, projectId, modelName], ['PICOS构建', null, 'deepseek-v3']);
  for (const name of ['deepseek-v3', 'qwen3-72b', 'gemini-pro']) {
    assert.equal((await post({ agentId: 'agent-picos', modelName: name })).body.data.modelName, name);
  }
  for (const [body, expected] of [
    [{}, '422 VALIDATION_ERROR agentId'],
    [{ agentId: 'agent-nobody' }, '404 NOT_FOUND'],
    [{ agentId: 'agent-picos', projectId: `proj-${UNKNOWN}` }, '404 NOT_FOUND'],
    [{ agentId: 'agent-picos', projectId: 'proj-1' }, '404 NOT_FOUND'],
    [{ agentId: 'agent-picos', modelName: 'gpt-17' }, '422 VALIDATION_ERROR modelName'],
    [{ agentId: 'agent-picos', title: '' }, '422 VALIDATION_ERROR title'],
    [{ agentId: 'agent-picos', title: 'x'.repeat(201) }, '422 VALIDATION_ERROR title'],
  ] as const) {
    assert.equal(await failure(post(body)), expected, JSON.stringify(body));
  }
  const { data } = (await call('GET', '/agents')).body;
  const bound: { id: string }[] = [];
  for (const { id } of data) {
    const answer = await post({ agentId: id });
    if (answer.status !== 201) bound.push({ id });
    else continue;
    assert.equal(await failure(Promise.resolve(answer)), '422 VALIDATION_ERROR projectId');
    const project = (await call('POST', '/projects', { name: '项目' })).body.data.id;
    assert.equal((await post({ agentId: id, projectId: project })).status, 201);
  }
  assert.ok(bound.length > 0 && bound.every(({ id }) => id !== 'agent-picos' && id !== 'agent-topic-evaluation'));
});

test('the same conversation in studio and research', async () => {
  const { token, call } = await studio('both@example.com');
  const settings = { provider: 'openai', model_name: 'gpt-4o-mini' };
  const agent = (await call('POST', '/agents', { name: '我的智能体', prompt_template: '你好', model_config: settings }))
    .body.data;
  const made = (await call('POST', '/conversations', { agent_id: agent.id, title: '共用' })).body.data;
  await call('POST', `/conversations/${made.id}/messages`, { content: '一' });
  const login = { email: 'both@example.com', password: 'Abc12345' };
  const other = (await server.call('POST', '/auth/login', { body: login })).body.data.accessToken;
  assert.notEqual(other, token);
  const as = (method: string, path: string, body?: unknown) => server.call(method, path, { token: other, body });
  const [item] = (await as('GET', '/conversations')).body.data.items;
  assert.deepEqual(
    [item.title, item.agentName, item.modelName, item.messageCount, item.projectId],
    ['共用', '我的智能体', 'gpt-4o-mini', 2, null],
  );
  const stream = await as('POST', `/conversations/${item.id}/messages/stream`, { content: '二' });
  assert.equal(parseStream(stream.text).at(-1)?.data.type, 'done');
  const { items } = (await call('GET', `/conversations/${made.id}/messages`)).body.data;
  assert.deepEqual(
    items.map(({ content }: { content: string }) => content),
    ['一', 'ok', '二', 'ok'],
  );
});

test('sending: what is wrong before the start is a JSON error', async () => {
  const user = await research('sending@example.com');
  const { make, read } = conversing(user);
  const id = await make();
  const stranger = await research('sending-stranger@example.com');
  const foreign = (await stranger.call('POST', '/knowledge-bases', { name: '别人的' })).body.data.id;
  const send = (body: unknown, who = user) => who.call('POST', `/conversations/${id}/messages/stream`, body);
  for (const content of [undefined, '', '  ', 'x'.repeat(32_001), 7, null]) {
    assert.equal(await failure(send({ content })), '422 VALIDATION_ERROR content');
  }
  for (const [kbReferences, expected] of [
    [[foreign], '404 NOT_FOUND'],
    [['kb-1'], '404 NOT_FOUND'],
    [[`kb-${UNKNOWN}`], '404 NOT_FOUND'],
    ['kb-1', '422 VALIDATION_ERROR kbReferences'],
    [[1], '422 VALIDATION_ERROR kbReferences[0]'],
    [Array(4).fill(foreign), '422 VALIDATION_ERROR kbReferences'],
  ] as const) {
    assert.equal(await failure(send({ content: 'x', kbReferences })), expected);
  }
  assert.equal(await failure(send({ content: 'x' }, stranger)), '404 NOT_FOUND');
  assert.equal(await failure(send('{"content"')), '400 BAD_REQUEST');
  assert.deepEqual((await read(id)).messages, []);
});

test('one answer at a time is 409; deleting the conversation ends the answer', async () => {
  const user = await research('busy@example.com');
  const { make, read } = conversing(user);
  const id = await make();
  const path = `/conversations/${id}/messages/stream`;
  model.reply({ text: ['开头', '结尾'], afterFirst: new Promise(() => undefined) });
  const stream = await openStream(server.url, path, { token: user.token, body: { content: '你好' } });
  assert.equal((await stream.next())?.data.type, 'start');
  assert.deepEqual((await stream.next())?.data, { type: 'token', content: '开头' });
  assert.equal(await failure(user.call('POST', path, { content: '再问' })), '409 CONFLICT');
  const { messageCount, messages } = await read(id);
  assert.deepEqual([messageCount, messages.length, messages[0].content], [1, 1, '你好']);

  const gone = await user.call('DELETE', `/conversations/${id}`);
  assert.equal(gone.status, 204);
  const rest = await stream.rest();
  assert.deepEqual(
    rest.map(({ data }) => [data.type, data.code]),
    [['error', 'CONFLICT']],
  );
  assert.equal(await model.asked.at(-1)?.ended, 'aborted');
});

test('a client that goes away loses nothing; one that comes back goes on where its stream broke off', async () => {
  const user = await research('back@example.com');
  const { make, read } = conversing(user);
  const id = await make();
  const path = `/conversations/${id}/messages/stream`;
  const { promise: more, resolve: goOn } = Promise.withResolvers<void>();
  model.reply({ text: ['一', '二', '三'], afterFirst: more });
  const stream = await openStream(server.url, path, { token: user.token, body: { content: '数数' } });
  await stream.next();
  const first = await stream.next();
  stream.leave();
  const back = await openStream(server.url, path, {
    token: user.token,
    body: { content: '数数' },
    lastEventId: first?.id ?? -1,
  });
  assert.deepEqual((await back.next())?.data, { type: 'start', conversationId: id });
  goOn();
  const rest = await back.rest();
  assert.equal((first?.data.content ?? '') + textOf(rest), '一二三');
  const { messages } = await read(id);
  assert.deepEqual([messages.length, messages[1].content, messages[1].id], [2, '一二三', rest.at(-1)?.data.messageId]);
});

for (const [name, reply, code, kept] of [
  ['401', { status: 401 }, 'SERVICE_UNAVAILABLE', ''],
  ['429', { status: 429, headers: { 'retry-after': '0' } }, 'SERVICE_UNAVAILABLE', ''],
  ['500', { status: 500 }, 'SERVICE_UNAVAILABLE', ''],
  ['half a stream', { fault: 'half' }, 'SERVICE_UNAVAILABLE', 'begin '],
  ['silence in the middle', { fault: 'stall' }, 'SERVICE_UNAVAILABLE', 'begin '],
  ['nothing', { fault: 'nothing' }, 'SERVICE_UNAVAILABLE', ''],
] as [string, Reply, string, string][]) {
  test(`model: ${name} ends the stream with an error; message and partial answer are kept`, async () => {
    const user = await research('faults@example.com');
    const { make, read, ask } = conversing(user);
    const id = await make();
    model.reply(...Array(5).fill(reply));
    const messages = await ask(id, '你好');
    model.clear();
    const { type, message, ...last } = messages.at(-1)?.data ?? {};
    assert.deepEqual([type, last], ['error', { code }]);
    assert.match(message, /\p{Script=Han}/u);
    assert.equal(textOf(messages), kept);
    const stored = (await read(id)).messages.map(({ content }: { content: string }) => content);
    assert.deepEqual(stored, ['你好', ...(kept === '' ? [] : [kept])]);
    assert.equal(textOf(await ask(id, '再来')), 'ok');
  });
}

test('knowledge bases: named ones are searched and cited; nothing found is said', async () => {
  const user = await research('knowledge@example.com');
  const { call } = user;
  const { make, read, ask } = conversing(user);
  const base = (await call('POST', '/knowledge-bases', { name: '骨质疏松' })).body.data.id;
  const form = new FormData();
  form.set(
    'file',
    new Blob(['# 诊断标准\n\n双能X线测定的T值小于或等于-2.5为骨质疏松。\n\n# 流行病学\n\n绝经后女性患病率较高。']),
    '指南.md',
  );
  await call('POST', `/knowledge-bases/${base}/documents`, form);
  for (let status = ''; status !== 'completed'; ) {
    [{ status }] = (await call('GET', `/knowledge-bases/${base}/documents`)).body.data;
  }
  const id = await make();
  model.reply({ text: '诊断标准是T值不高于-2.5【1】。' });
  const messages = await ask(id, '骨质疏松的诊断标准是什么？', { kbReferences: [base, base] });
  const system = model.asked.at(-1)?.body.messages[0].content;
  assert.match(system, /## 参考资料\n[\s\S]*<material ref="1" title="指南\.md[^"]*">/);
  const done = messages.at(-1)?.data;
  const [citation] = done.citations;
  assert.match(citation.documentId, idOf('doc'));
  assert.deepEqual(
    [done.citations.length, citation.number, citation.filename, citation.page, citation.pageEnd],
    [1, 1, '指南.md', null, null],
  );
  const [, answer] = (await read(id)).messages;
  assert.match(answer.content, /^诊断标准是T值不高于-2\.5【1】。\n\n参考来源：\n\[1\] 指南\.md/);
  assert.equal(textOf(messages), answer.content);
  assert.deepEqual(answer.citations, done.citations);

  model.reply({ text: '资料中没有。' });
  const nothing = await ask(id, 'qwertz asdfgh', { kbReferences: [base] });
  assert.equal(
    textOf(nothing),
    '资料中没有。\n\n(Nothing about this question was found in the chosen knowledge bases; the answer above cites none of them.)',
  );
  assert.equal(nothing.at(-1)?.data.citations, undefined);
});

test('lists: filters, order, pages', async () => {
  const user = await research('lists@example.com');
  const { call } = user;
  const { make, ask } = conversing(user);
  const project = (await call('POST', '/projects', { name: '项目' })).body.data.id;
  const a = await make({ title: 'a', projectId: project });
  const b = await make({ title: 'b', agentId: 'agent-topic-evaluation' });
  const c = await make({ title: 'c.*[x]', projectId: project });
  await ask(a, '关于 100% 的问题 (a+b)');
  const titles = async (path: string) => {
    const { items, pagination } = (await call('GET', path)).body.data;
    return [items.map(({ title }: { title: string }) => title[0]).join(''), pagination.total];
  };
  assert.deepEqual(await titles('/conversations'), ['acb', 3]);
  assert.deepEqual(await titles('/conversations?sortBy=createdAt'), ['cba', 3]);
  assert.deepEqual(await titles('/conversations?sortBy=createdAt&sortOrder=asc&pageSize=2'), ['ab', 3]);
  assert.deepEqual(await titles(`/conversations?projectId=${project}`), ['ac', 2]);
  assert.deepEqual(await titles('/conversations?agentId=agent-topic-evaluation'), ['b', 1]);
  assert.deepEqual(await titles(`/conversations?projectId=proj-${UNKNOWN}`), ['', 0]);
  assert.deepEqual(await titles('/conversations?page=5'), ['', 3]);

  const words = (text: string) => titles(`/history?keyword=${encodeURIComponent(text)}`);
  assert.deepEqual(await titles('/history'), ['acb', 3]);
  assert.deepEqual(await words('(A+B)'), ['a', 1]);
  assert.deepEqual(await words('100%'), ['a', 1]);
  assert.deepEqual(await words('.*['), ['c', 1]);
  assert.deepEqual(await words('OK'), ['a', 1]);
  assert.deepEqual(await words('x.y'), ['', 0]);
  assert.deepEqual(await titles(`/history?projectId=${project}&agentId=agent-picos&keyword=c`), ['c', 1]);
  // Fields of a filter that was left alone.
  assert.deepEqual(await titles('/history?projectId=&agentId=&startDate=&endDate=&keyword='), ['acb', 3]);
  const sources = (await call('GET', '/history')).body.data.items.map(({ source }: { source: string }) => source);
  assert.deepEqual(sources, ['project', 'project', 'global']);

  const now = new Date();
  const day = (shift: number) => new Date(now.getTime() + shift * 86_400_000).toISOString().slice(0, 10);
  const range = (from: string, to: string) =>
    titles(`/history?startDate=${encodeURIComponent(from)}&endDate=${encodeURIComponent(to)}`);
  assert.deepEqual(await range(day(-1), day(0)), ['acb', 3]);
  assert.deepEqual(await range(day(0), day(0)), ['acb', 3]);
  assert.deepEqual(await range(day(-2), day(-1)), ['', 0]);
  assert.deepEqual(await range(day(1), day(1)), ['', 0]);
  const { createdAt } = (await call('GET', `/conversations/${b}`)).body.data;
  assert.deepEqual(await range(createdAt, createdAt), ['b', 1]);
  assert.deepEqual(await range('2025-10-01T00:00:00+08:00', '2099-12-31T23:59'), ['acb', 3]);
  for (const [query, field] of [
    [`startDate=${day(0)}&endDate=${day(-1)}`, 'endDate'],
    ['startDate=2025-02-30', 'startDate'],
    ['startDate=yesterday', 'startDate'],
    ['endDate=2025-13-01', 'endDate'],
    ['page=0', 'page'],
    ['pageSize=101', 'pageSize'],
  ]) {
    assert.equal(await failure(call('GET', `/history?${query}`)), `422 VALIDATION_ERROR ${field}`, query);
  }
  assert.equal(await failure(call('GET', '/conversations?sortBy=title')), '422 VALIDATION_ERROR sortBy');
  assert.ok(c);
});

test('the offline model answers from the background of the project and says that it is none', async (t) => {
  const offline = await startTestServer(t);
  const call = await signIn(offline, 'research', 'user@example.com');
  const description = '本研究计划在三家医院招募120名绝经后女性。主要结局为骨密度变化。';
  const projectId = (await call('POST', '/projects', { name: '骨质疏松研究', description })).body.data.id;
  const { id } = (await call('POST', '/conversations', { agentId: 'agent-picos', projectId })).body.data;
  const { text } = await call('POST', `/conversations/${id}/messages/stream`, { content: '计划招募多少名女性？' });
  const messages = parseStream(text);
  assert.match(textOf(messages), /未使用语言模型[\s\S]*招募120名绝经后女性/);
  const { messages: stored } = (await call('GET', `/conversations/${id}`)).body.data;
  assert.equal(stored[1].content, textOf(messages));
  assert.equal(stored[1].tokens, messages.at(-1)?.data.tokens);
});
