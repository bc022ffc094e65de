import assert from 'node:assert/strict';
import { after, afterEach, test } from 'node:test';
import { openStream, parseStream, textOf } from '../support/answer-stream.ts';
import { startTestServer } from '../support/app.ts';
import { startConversationServer } from '../support/conversation-server.ts';
import type { Reply } from '../support/fake-openai.ts';
import { signIn } from '../support/people.ts';

const MOMENT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;
const AGENT = {
  name: '智能客服助手',
  description: '用于解答常见产品问题',
  prompt_template: '你是一个专业的客服助手...',
  model_config: { provider: 'openai', model_name: 'gpt-4o', temperature: 0.5, max_tokens: 2048 },
};

const { server, model, studio } = await startConversationServer({ after });
afterEach(() => model.clear());
const user = await studio('user@example.com');
const makeAgent = async (changes: object = {}) =>
  (await user.call('POST', '/agents', { ...AGENT, ...changes })).body.data;
const agent = await makeAgent();
const makeConversation = async (agentId = agent.id, more: object = {}): Promise<number> =>
  (await user.call('POST', '/conversations', { agent_id: agentId, ...more })).body.data.id;
const history = async (id: number) => (await user.call('GET', `/conversations/${id}/messages`)).body.data.items;
const send = (id: number, content: string, more: object = {}, headers: Record<string, string> = {}) =>
  user.call('POST', `/conversations/${id}/messages`, { content, ...more }, { headers });
/** Sends a message and reads the stream to its end. */
const ask = async (id: number, content: string) => {
  const { status, headers, text } = await send(id, content);
  assert.equal(status, 200, text);
  assert.equal(headers.get('content-type'), 'text/event-stream; charset=utf-8');
  return parseStream(text);
};
const asked = () => model.asked.at(-1)?.body;

test('4.1 to 4.3: the samples of the document', async () => {
  const made = await user.call('POST', '/conversations', { agent_id: agent.id });
  assert.equal(made.status, 200);
  const { id, created_at, updated_at, ...rest } = made.body.data;
  assert.deepEqual([made.body.code, made.body.message, Number.isInteger(id)], [200, 'success', true]);
  assert.match(created_at, MOMENT);
  assert.match(updated_at, MOMENT);
  assert.deepEqual(rest, { agent_id: agent.id, title: '新对话' });

  model.reply({ text: ['你好', '，', '请问有什么可以帮您？'] });
  const messages = await ask(id, '你好，我想咨询一下产品的保修政策以及如何申请退货退款，谢谢');
  const done = messages.at(-1)?.data;
  assert.deepEqual(Object.keys(done).sort(), ['message_id', 'type']);
  assert.equal(done.type, 'done');
  assert.ok(messages.slice(0, -1).every(({ data }) => data.type === 'token' && Object.keys(data).length === 2));
  assert.equal(textOf(messages), '你好，请问有什么可以帮您？');

  const listed = await user.call('GET', `/conversations/${id}/messages?page=1&page_size=50`);
  const { items, ...page } = listed.body.data;
  assert.deepEqual(page, { total: 2, page: 1, page_size: 50 });
  for (const item of items) assert.match(item.created_at, MOMENT);
  assert.deepEqual(
    items.map(({ created_at: _, ...item }: { created_at: string }) => item),
    [
      {
        id: items[0].id,
        conversation_id: id,
        role: 'user',
        content: '你好，我想咨询一下产品的保修政策以及如何申请退货退款，谢谢',
      },
      { id: done.message_id, conversation_id: id, role: 'assistant', content: '你好，请问有什么可以帮您？' },
    ],
  );
  assert.ok(Number.isInteger(items[0].id));
  const { model: name, temperature, messages: sent } = asked();
  assert.deepEqual([name, temperature, sent[0]], ['gpt-4o', 0.5, { role: 'system', content: AGENT.prompt_template }]);
});

test('titles: given ones stay, the default gives way to the start of the first message', async () => {
  const research = { headers: { 'x-api-contract': 'research' } };
  const title = async (id: number) => {
    const { items } = (await user.call('GET', '/conversations?page=1', undefined, research)).body.data;
    const made = (await user.call('POST', '/conversations', { agent_id: agent.id })).body.data.id;
    assert.ok(made > id);
    return items[0].title;
  };
  const given = (await user.call('POST', '/conversations', { agent_id: agent.id, title: '  退货  ' })).body.data;
  assert.equal(given.title, '退货');
  await ask(given.id, '第一个问题');
  assert.equal(await title(given.id), '退货');
  const blank = (await user.call('POST', '/conversations', { agent_id: agent.id, title: ' ' })).body.data;
  assert.equal(blank.title, '新对话');
  await ask(blank.id, `一行\n另一行 ${'很长'.repeat(30)}`);
  assert.equal(await title(blank.id), `一行 另一行 ${'很长'.repeat(11)}…`.slice(0, 30));
  const english = await user.call(
    'POST',
    '/conversations',
    { agent_id: agent.id },
    { headers: { 'accept-language': 'en' } },
  );
  assert.equal(english.body.data.title, 'New conversation');
});

test('the model gets the filled template, the conversation so far and the new message; nothing is filled twice', async () => {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: what looks like a place of another language stays as it is
  const template = 'A {context} B {question} C {other} { question } {} {{unknown}} ${x} %s \u0007 $& $1 {{{context}}}';
  const { id: agentId } = await makeAgent({ prompt_template: template });
  const id = await makeConversation(agentId);
  const first = 'my {context} {{userInput}} $& \u0001\u001b[31m {question} {{projectBackground}}';
  model.reply({ text: 'one' }, { text: 'two' });
  await ask(id, first);
  const none = '(none)';
  assert.deepEqual(asked().messages, [
    {
      role: 'system',
      content: `A ${none} B ${first} C {other} { question } {} {{unknown}} \${x} %s \u0007 $& $1 {${none}}`,
    },
    { role: 'user', content: first },
  ]);
  await ask(id, 'and now?');
  assert.deepEqual(asked().messages.slice(1), [
    { role: 'user', content: first },
    { role: 'assistant', content: 'one' },
    { role: 'user', content: 'and now?' },
  ]);
  assert.equal((await history(id))[0].content, first);
});

test('JSON instead of a stream: by `stream: false`, or by what the client accepts', async () => {
  const id = await makeConversation();
  model.reply({ text: '第一' }, { text: '第二' }, { text: '第三' }, { text: '第四' });
  const json = await send(id, '一', { stream: false });
  assert.equal(json.status, 200);
  const { user_message, assistant_message } = json.body.data;
  assert.deepEqual(Object.keys(json.body.data), ['user_message', 'assistant_message']);
  assert.deepEqual([user_message, assistant_message], await history(id));
  assert.deepEqual([user_message.content, assistant_message.content], ['一', '第一']);
  const accepted = await send(id, '二', {}, { accept: 'application/json' });
  assert.equal(accepted.body.data.assistant_message.content, '第二');
  const both = await send(id, '三', {}, { accept: 'application/json, text/event-stream' });
  assert.equal(textOf(parseStream(both.text)), '第三');
  const explicit = await send(id, '四', { stream: true }, { accept: 'application/json' });
  assert.equal(textOf(parseStream(explicit.text)), '第四');
  assert.equal((await history(id)).length, 8);
});

test('what is wrong before the model is asked is a JSON error, and leaves nothing', async () => {
  const id = await makeConversation();
  const stranger = await studio('stranger@example.com');
  const requests = model.asked.length;
  const code = async (answer: ReturnType<typeof user.call>) => {
    const { status, body } = await answer;
    assert.equal(body.data, null);
    return [status, body.code];
  };
  assert.deepEqual(await code(user.call('POST', '/conversations', { agent_id: 999_999 })), [404, 40401]);
  assert.deepEqual(await code(stranger.call('POST', '/conversations', { agent_id: agent.id })), [404, 40401]);
  for (const body of [{}, { agent_id: 'x' }, { agent_id: 1.5 }, { agent_id: agent.id, title: 'x'.repeat(201) }]) {
    assert.deepEqual(await code(user.call('POST', '/conversations', body, studioForm)), [400, 40000]);
  }
  assert.deepEqual(await code(send(999_999, '你好')), [404, 40402]);
  assert.deepEqual(await code(stranger.call('POST', `/conversations/${id}/messages`, { content: 'x' })), [404, 40402]);
  assert.deepEqual(await code(user.call('POST', '/conversations/abc/messages', { content: 'x' })), [400, 40000]);
  for (const content of ['', '  \n\t ', 'x'.repeat(32_001), '汉'.repeat(32_001), 42, null, undefined, ['x']]) {
    assert.deepEqual(await code(user.call('POST', `/conversations/${id}/messages`, { content })), [400, 40000]);
  }
  assert.deepEqual(await code(user.call('POST', `/conversations/${id}/messages`, '{"content":')), [400, 40000]);
  const wrong = await user.call('POST', `/conversations/${id}/messages`, { content: '' });
  assert.match(wrong.body.message, /^content: /);
  for (const query of ['page_size=101', 'page=0', 'page=x']) {
    assert.deepEqual(await code(user.call('GET', `/conversations/${id}/messages?${query}`)), [400, 40000]);
  }
  assert.deepEqual(await code(stranger.call('GET', `/conversations/${id}/messages`)), [404, 40402]);
  assert.deepEqual(await history(id), []);
  assert.equal(model.asked.length, requests);
});

const studioForm = { headers: { 'x-api-contract': 'studio' } };

test('the longest message is taken whole, and trimmed', async () => {
  const id = await makeConversation();
  const content = '汉'.repeat(32_000);
  await ask(id, `  ${content}\n`);
  assert.equal((await history(id))[0].content, content);
  assert.equal(asked().messages.at(-1).content, content);
});

test('history: oldest first, in pages, empty beyond the end', async () => {
  const id = await makeConversation();
  for (const content of ['一', '二', '三']) await ask(id, content);
  const page = async (query: string) => {
    const { items, total } = (await user.call('GET', `/conversations/${id}/messages?${query}`)).body.data;
    return [items.map(({ content }: { content: string }) => content).join(), total];
  };
  assert.deepEqual(await page('page=1&page_size=2'), ['一,ok', 6]);
  assert.deepEqual(await page('page=3&page_size=2'), ['三,ok', 6]);
  assert.deepEqual(await page('page=4&page_size=2'), ['', 6]);
});

test('one answer at a time; a client that goes away loses nothing, one that comes back goes on where it stopped', async () => {
  const id = await makeConversation();
  const path = `/conversations/${id}/messages`;
  const { promise: more, resolve: goOn } = Promise.withResolvers<void>();
  model.reply({ text: ['开头', '，中间', '，结尾'], afterFirst: more });
  const stream = await openStream(server.url, path, { token: user.token, body: { content: '讲个故事' } });
  const first = await stream.next();
  assert.deepEqual(first?.data, { type: 'token', content: '开头' });
  stream.leave();

  const busy = await send(id, '另一个问题');
  assert.deepEqual([busy.status, busy.body.code, busy.body.data], [400, 40000, null]);
  const other = await openStream(server.url, path, {
    token: user.token,
    body: { content: '另一个问题' },
    lastEventId: first?.id ?? -1,
  });
  assert.equal(other.status, 400);

  const back = await openStream(server.url, path, {
    token: user.token,
    body: { content: '讲个故事' },
    lastEventId: first?.id ?? -1,
  });
  goOn();
  const rest = await back.rest();
  assert.equal(textOf(rest), '，中间，结尾');
  assert.equal(rest.at(-1)?.data.type, 'done');
  assert.ok((rest[0]?.id ?? 0) > (first?.id ?? 0));
  assert.deepEqual(
    (await history(id)).map(({ content }: { content: string }) => content),
    ['讲个故事', '开头，中间，结尾'],
  );

  // From the very beginning, in the middle, and after the end: nothing is asked anew.
  const requests = model.asked.length;
  const whole = await openStream(server.url, path, {
    token: user.token,
    body: { content: '讲个故事' },
    lastEventId: 0,
  });
  assert.equal(textOf(await whole.rest()), '开头，中间，结尾');
  const end = await openStream(server.url, path, {
    token: user.token,
    body: { content: '讲个故事' },
    lastEventId: rest.at(-1)?.id ?? 0,
  });
  assert.deepEqual(
    (await end.rest()).map(({ data }) => data.type),
    ['done'],
  );
  assert.equal(model.asked.length, requests);
  // The same words once more are a new message.
  await ask(id, '讲个故事');
  assert.equal((await history(id)).length, 4);
});

test('a deleted agent: its conversations can be read, a new message is refused', async () => {
  const { id: agentId } = await makeAgent();
  const id = await makeConversation(agentId);
  await ask(id, '在吗');
  await user.call('DELETE', `/agents/${agentId}`);
  assert.equal((await history(id)).length, 2);
  const refused = await send(id, '还在吗');
  assert.deepEqual([refused.status, refused.body.code], [404, 40401]);
  assert.equal((await history(id)).length, 2);
});

const FAULTS: [name: string, reply: Reply, kept: string][] = [
  ['401', { status: 401 }, ''],
  ['429', { status: 429, headers: { 'retry-after': '0' } }, ''],
  ['500', { status: 500 }, ''],
  ['a proxy’s page', { fault: 'html' }, ''],
  ['a connection that is cut', { fault: 'reset' }, ''],
  ['an empty stream', { fault: 'nothing' }, ''],
  ['an error as event', { fault: 'error-event' }, ''],
  ['no answer at all', { fault: 'silent' }, ''],
  ['half a stream', { fault: 'half' }, 'begin '],
  ['no end', { fault: 'no-finish' }, 'begin '],
  ['an event that is not JSON', { fault: 'broken-json' }, 'begin '],
  ['silence in the middle', { fault: 'stall' }, 'begin '],
];
/** Its model has no other one behind it. */
const lonely = await makeAgent({ model_config: { provider: 'openai', model_name: 'gpt-4o-mini' } });
for (const [name, reply, kept] of FAULTS) {
  test(`model: ${name} ends the stream with \`error\`; what there was is kept, and the conversation is free`, async () => {
    const id = await makeConversation(lonely.id);
    model.reply(...Array(5).fill(reply));
    const messages = await ask(id, '你好');
    model.clear(); // what was left over, before the next message
    const last = messages.at(-1)?.data;
    assert.deepEqual(Object.keys(last), ['type', 'content']);
    assert.equal(last.type, 'error');
    assert.match(last.content, /\p{Script=Han}/u);
    assert.doesNotMatch(JSON.stringify(messages), /127\.0\.0\.1|sk-test|stack|node_modules/);
    assert.equal(textOf(messages), kept);
    assert.deepEqual(
      (await history(id)).map(({ role, content }: { role: string; content: string }) => [role, content]),
      [['user', '你好'], ...(kept === '' ? [] : [['assistant', kept]])],
    );
    model.reply({ text: '好了' });
    assert.equal(textOf(await ask(id, '再来')), '好了');
    assert.deepEqual(
      asked().messages.map(({ role }: { role: string }) => role),
      ['system', 'user', ...(kept === '' ? [] : ['assistant']), 'user'],
    );
  });
}

test('model: an endless answer is cut off', async () => {
  const id = await makeConversation(lonely.id);
  model.reply({ fault: 'endless' });
  const messages = await ask(id, '一直写');
  assert.equal(messages.at(-1)?.data.type, 'error');
  const [, answer] = await history(id);
  assert.ok(answer.content.startsWith('begin and on') && answer.content.length <= 500_000, answer.content.length);
});

test('model: as JSON a failed call is 500 with the code 50001', async () => {
  const id = await makeConversation(lonely.id);
  for (const reply of [{ status: 401 }, { fault: 'half' }] as Reply[]) {
    model.reply(...Array(5).fill(reply));
    const failed = await send(id, '你好', { stream: false });
    model.clear();
    assert.deepEqual([failed.status, failed.body.code, failed.body.data], [500, 50001, null]);
    assert.equal(typeof failed.body.message, 'string');
  }
});

test('the documents of an agent: the best passages go to the model, what the answer cites is told and kept', async () => {
  const { id: agentId } = await makeAgent({ prompt_template: '你是客服。' });
  const upload = async (name: string, text: string) => {
    const form = new FormData();
    form.set('agent_id', String(agentId));
    form.set('file', new Blob([text]), name);
    return (await user.call('POST', '/knowledge/documents/upload', form)).body.data;
  };
  const warranty = await upload('保修.md', '# 保修政策\n\n整机保修期为三年，自购买之日起计算。电池保修期为一年。');
  await upload('退货.md', '# 退货政策\n\n收到商品后七天内可以无理由退货，运费由商家承担。');
  const id = await makeConversation(agentId);
  model.reply({ text: '整机保修三年[1]。参见 [2](http://x) 与 `a[2]`。' });
  const messages = await ask(id, '整机保修期是多久？');
  const { messages: sent } = asked();
  assert.match(sent[0].content, /^你是客服。\n\n## 参考资料\n\n/);
  assert.match(sent[0].content, /<material ref="1" title="保修\.md[^"]*">\n[\s\S]*整机保修期为三年/);
  const done = messages.at(-1)?.data;
  const [citation] = done.citations;
  assert.equal(done.citations.length, 1);
  assert.deepEqual(
    [citation.number, citation.document_id, citation.filename, citation.page, Number.isInteger(citation.chunk_id)],
    [1, warranty.id, '保修.md', null, true],
  );
  assert.match(citation.content, /整机保修期为三年/);
  const [, answer] = await history(id);
  assert.equal(answer.content, '整机保修三年[1]。参见 [2](http://x) 与 `a[2]`。\n\n参考来源：\n[1] 保修.md, 保修政策');
  assert.equal(textOf(messages), answer.content);
  assert.deepEqual(answer.citations, done.citations);

  // The list of sources is no part of what the model is told later.
  model.reply({ text: '没有资料。' });
  const off = await ask(id, 'zzz qqq xyzzy');
  assert.equal(asked().messages[2].content, '整机保修三年[1]。参见 [2](http://x) 与 `a[2]`。');
  assert.match(asked().messages[0].content, /没有找到与本次提问有关的资料/);
  assert.equal(textOf(off), '没有资料。');
  assert.equal(off.at(-1)?.data.citations, undefined);
});

test('the offline model: quotes the documents of the agent and says that it is none', async (t) => {
  const offline = await startTestServer(t);
  const call = await signIn(offline, 'studio', 'user@example.com');
  const { id: agentId } = (await call('POST', '/agents', { ...AGENT, prompt_template: '根据资料回答：{context}' })).body
    .data;
  const form = new FormData();
  form.set('agent_id', String(agentId));
  form.set('file', new Blob(['整机保修期为三年，自购买之日起计算。\n\n收到商品后七天内可以无理由退货。']), '手册.txt');
  await call('POST', '/knowledge/documents/upload', form);
  const { id } = (await call('POST', '/conversations', { agent_id: agentId })).body.data;
  const { text, headers } = await call('POST', `/conversations/${id}/messages`, { content: '整机的保修期是多久？' });
  assert.equal(headers.get('content-type'), 'text/event-stream; charset=utf-8');
  const messages = parseStream(text);
  assert.match(textOf(messages), /未使用语言模型[\s\S]*整机保修期为三年[\s\S]*\[1\][\s\S]*参考来源：\n\[1\] 手册\.txt/);
  const done = messages.at(-1)?.data;
  assert.deepEqual([done.type, done.citations[0].filename], ['done', '手册.txt']);
  const { items } = (await call('GET', `/conversations/${id}/messages`)).body.data;
  assert.equal(items[1].content, textOf(messages));
});

test('the integer ids of messages follow their order, also in a stream and after an answer that failed', async () => {
  const id = await makeConversation();
  await ask(id, '第一个问题');
  model.reply({ fault: 'half' });
  assert.equal((await ask(id, '第二个问题')).at(-1)?.data.type, 'error');
  await ask(id, '第三个问题');
  const ids = (await history(id)).map((message: { id: number }) => message.id);
  assert.equal(ids.length, 6);
  assert.deepEqual(
    ids,
    ids.toSorted((a: number, b: number) => a - b),
  );
});

test('an answer without a word is kept, and no part of what the model is told later', async () => {
  const id = await makeConversation();
  model.reply({ text: '' });
  assert.equal((await ask(id, '第一个问题')).at(-1)?.data.type, 'done');
  assert.equal((await history(id)).length, 2);
  await ask(id, '第二个问题');
  const { messages: sent } = asked();
  assert.deepEqual(sent.map(({ role, content }: { role: string; content: string }) => [role, content]).slice(1), [
    ['user', '第一个问题'],
    ['user', '第二个问题'],
  ]);
});
