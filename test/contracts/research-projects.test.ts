import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startConversationServer } from '../support/conversation-server.ts';

const MOMENT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const ID = /^proj-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const UNKNOWN = 'proj-00000000-0000-4000-8000-000000000000';

const { model, research } = await startConversationServer({ after });

test('3.1 to 3.5: the samples of the document', async () => {
  const { call } = await research('user@example.com');
  const sample = { name: '骨质疏松研究', description: '探索肠道菌群与骨质疏松的关系...' };
  const made = await call('POST', '/projects', sample);
  assert.equal(made.status, 201);
  const { id, createdAt, updatedAt, ...rest } = made.body.data;
  assert.deepEqual([made.body.success, rest], [true, { ...sample, conversationCount: 0 }]);
  assert.match(id, ID);
  assert.match(createdAt, MOMENT);
  assert.match(updatedAt, MOMENT);
  assert.match(made.body.timestamp, MOMENT);

  const listed = await call('GET', '/projects?page=1&pageSize=20');
  assert.deepEqual(listed.body.data, {
    items: [made.body.data],
    pagination: { page: 1, pageSize: 20, total: 1, totalPages: 1, hasNext: false, hasPrev: false },
  });
  assert.deepEqual((await call('GET', `/projects/${id}`)).body.data, made.body.data);

  const changes = { name: 'XX药物III期临床试验（更新）', description: '更新后的项目背景...' };
  const changed = await call('PUT', `/projects/${id}`, changes);
  assert.equal(changed.status, 200);
  const { updatedAt: later, ...after } = changed.body.data;
  assert.deepEqual(after, { id, ...changes, conversationCount: 0, createdAt });
  assert.ok(later >= updatedAt);
  // A full update: what is not given is empty.
  assert.equal((await call('PUT', `/projects/${id}`, { name: '新名' })).body.data.description, '');

  const gone = await call('DELETE', `/projects/${id}`);
  assert.deepEqual([gone.status, gone.text], [204, '']);
  for (const [method, body] of [['GET'], ['PUT', changes], ['DELETE']] as const) {
    const { status, body: failure } = await call(method, `/projects/${id}`, body);
    assert.deepEqual([status, failure.success, failure.error.code], [404, false, 'NOT_FOUND']);
  }
  assert.equal((await call('GET', '/projects')).body.data.pagination.total, 0);
});

test('wrong fields are 422 and name the field', async () => {
  const { call } = await research('wrong@example.com');
  const fields = async (method: string, path: string, body?: unknown) => {
    const answer = await call(method, path, body);
    assert.deepEqual([answer.status, answer.body.error.code], [422, 'VALIDATION_ERROR'], answer.text);
    return answer.body.error.details.map(({ field }: { field: string }) => field).join();
  };
  for (const name of [undefined, '', '  ', 'x'.repeat(101), 7]) {
    assert.equal(await fields('POST', '/projects', { name }), 'name');
  }
  assert.equal(await fields('POST', '/projects', { name: 'x', description: 'x'.repeat(5001) }), 'description');
  assert.equal(await fields('PUT', `/projects/${UNKNOWN}`, {}), 'name');
  for (const [query, field] of [
    ['page=0', 'page'],
    ['pageSize=101', 'pageSize'],
    ['sortBy=secret', 'sortBy'],
    ['sortOrder=up', 'sortOrder'],
  ]) {
    assert.equal(await fields('GET', `/projects?${query}`), field);
  }
  const broken = await call('POST', '/projects', '{"name":');
  assert.deepEqual([broken.status, broken.body.error.code], [400, 'BAD_REQUEST']);
});

test('the list: pages, order, words; what is another’s is not there', async () => {
  const { call } = await research('lists@example.com');
  for (const name of ['b 心血管', 'c 肿瘤 .*', 'a 肿瘤'])
    await call('POST', '/projects', { name, description: '<b>描述</b>' });
  const names = async (query: string) => {
    const { items, pagination } = (await call('GET', `/projects?${query}`)).body.data;
    return [items.map(({ name }: { name: string }) => name.slice(0, 1)).join(''), pagination.total];
  };
  assert.deepEqual(await names(''), ['acb', 3]);
  assert.deepEqual(await names('sortBy=createdAt&sortOrder=asc'), ['bca', 3]);
  assert.deepEqual(await names('sortBy=name&sortOrder=asc'), ['abc', 3]);
  assert.deepEqual(await names('page=2&pageSize=2'), ['b', 3]);
  assert.deepEqual(await names('page=9'), ['', 3]);
  assert.deepEqual(await names(`keyword=${encodeURIComponent('肿瘤')}`), ['ac', 2]);
  assert.deepEqual(await names(`keyword=${encodeURIComponent('.*')}`), ['c', 1]);
  assert.deepEqual(await names(`keyword=${encodeURIComponent('<B>描')}`), ['acb', 3]);
  const second = (await call('GET', '/projects?page=2&pageSize=2')).body.data.pagination;
  assert.deepEqual(second, { page: 2, pageSize: 2, total: 3, totalPages: 2, hasNext: false, hasPrev: true });
  const stranger = await research('lists-stranger@example.com');
  assert.equal((await stranger.call('GET', '/projects')).body.data.pagination.total, 0);
});

test('conversationCount counts what is not deleted; deleting a project deletes its conversations', async () => {
  const { call } = await research('counts@example.com');
  const { id } = (await call('POST', '/projects', { name: '项目' })).body.data;
  const other = (await call('POST', '/projects', { name: '另一个' })).body.data.id;
  const converse = async (projectId: string) =>
    (await call('POST', '/conversations', { agentId: 'agent-picos', projectId })).body.data.id as string;
  const [one, two] = [await converse(id), await converse(id)];
  const kept = await converse(other);
  const count = async () => (await call('GET', `/projects/${id}`)).body.data.conversationCount;
  assert.equal(await count(), 2);
  await call('DELETE', `/conversations/${one}`);
  assert.equal(await count(), 1);
  assert.deepEqual(
    (await call('GET', '/projects')).body.data.items.map(
      (item: { conversationCount: number }) => item.conversationCount,
    ),
    [1, 1],
  );
  await call('DELETE', `/projects/${id}`);
  assert.equal((await call('GET', `/conversations/${two}`)).status, 404);
  assert.equal((await call('GET', `/conversations/${kept}`)).status, 200);
  assert.equal((await call('GET', '/history')).body.data.pagination.total, 1);
  const refused = await call('POST', '/conversations', { agentId: 'agent-picos', projectId: id });
  assert.deepEqual([refused.status, refused.body.error.code], [404, 'NOT_FOUND']);
});

test('4.5: pinned messages and the text of the project are the background of its conversations', async () => {
  const { call } = await research('pins@example.com');
  const project = (await call('POST', '/projects', { name: '降压研究', description: '比较两种降压药 {{userInput}}' }))
    .body.data.id;
  const converse = async (projectId?: string) =>
    (await call('POST', '/conversations', { agentId: 'agent-picos', ...(projectId && { projectId }) })).body.data.id;
  const id = await converse(project);
  const say = (conversation: string, content: string) =>
    call('POST', `/conversations/${conversation}/messages/stream`, { content });
  const read = async (conversation: string) => (await call('GET', `/conversations/${conversation}`)).body.data.messages;
  model.reply({ text: '人群：成年高血压患者 {{projectBackground}}' });
  await say(id, '先定人群');
  const [question, answer] = await read(id);
  assert.deepEqual([answer.isPinned, question.isPinned], [false, undefined]);

  const pinned = await call('POST', `/messages/${answer.id}/pin`);
  assert.equal(pinned.status, 200);
  const { timestamp, ...body } = pinned.body;
  assert.match(timestamp, MOMENT);
  assert.deepEqual(body, { success: true, message: '已固定到项目背景' });
  assert.equal((await call('POST', `/messages/${answer.id}/pin`)).status, 200);
  assert.equal((await call('POST', `/messages/${question.id}/pin`)).status, 200);
  assert.deepEqual(
    (await read(id)).map(({ isPinned }: { isPinned: boolean }) => isPinned),
    [true, true],
  );

  const second = await converse(project);
  await say(second, '继续');
  const system = () => model.asked.at(-1)?.body.messages[0].content as string;
  const background = system().slice(system().indexOf('## 项目背景'), system().indexOf('## 参考资料'));
  assert.match(background, /比较两种降压药 \{\{userInput\}\}/);
  assert.match(background, /人群：成年高血压患者 \{\{projectBackground\}\}[\s\S]*先定人群/);
  assert.equal((await call('GET', `/projects/${project}`)).body.data.description, '比较两种降压药 {{userInput}}');

  // What was pinned in a conversation goes with it; without a project there is no background.
  await call('DELETE', `/conversations/${id}`);
  await say(second, '再继续');
  assert.doesNotMatch(system(), /成年高血压患者/);
  const global = await converse();
  await say(global, '问题');
  assert.doesNotMatch(system(), /比较两种降压药/);
  const [loose] = await read(global);
  const refused = await call('POST', `/messages/${loose.id}/pin`);
  assert.deepEqual([refused.status, refused.body.error.code], [422, 'VALIDATION_ERROR']);

  const stranger = await research('pins-stranger@example.com');
  const [mine] = await read(second);
  for (const path of [
    `/messages/${answer.id}/pin`,
    '/messages/msg-1/pin',
    `/messages/${UNKNOWN.replace('proj', 'msg')}/pin`,
  ]) {
    assert.equal((await call('POST', path)).status, 404, path);
  }
  assert.equal((await stranger.call('POST', `/messages/${mine.id}/pin`)).status, 404);
});
