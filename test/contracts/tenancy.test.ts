import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Answer, type CallOptions, callApi } from '../support/api-client.ts';
import { startTestServer } from '../support/app.ts';
import { apiToken } from '../support/people.ts';

/** What a stranger sends where a route wants a body; the checks of the body pass, so that only the owner is in the way. */
const BODIES: Readonly<Record<string, unknown>> = {
  'PUT /tasks/:taskId': { taskName: 'mine now' },
  'POST /tasks/:taskId/outline': {
    title: 't',
    rootNode: { nodeId: 'r', title: 'r', children: [{ nodeId: 'a', title: 'a' }] },
  },
  'POST /outline/:outlineId/confirm': { confirmerId: 'x', confirmerName: 'x' },
  'POST /tasks/:taskId/data-packages': { knowledgeUnitId: 'ku_1', autoData: { a: 1 } },
  'POST /tasks/:taskId/reports': { title: 'x' },
  'PUT /workflows/:workflow_id': { name: 'mine now' },
  'POST /executions/:execution_id/nodes/:node_id/approve': { approved: true },
  'PUT /data-sources/:data_source_id': { name: 'mine now' },
  'POST /data-sources/:data_source_id/query': { query: '$' },
  'POST /knowledge-bases/:id/documents': textFile('intruder.txt', '不该出现的文字'),
  'PUT /agents/:agent_id': { name: 'mine now' },
  'PUT /projects/:id': { name: 'mine now' },
  'POST /conversations/:conversation_id/messages': { content: 'x', stream: false },
  'POST /conversations/:id/messages/stream': { content: 'x' },
};

const AGENT = { name: 'a', prompt_template: 'p', model_config: { provider: 'openai', model_name: 'gpt-4o' } };

function textFile(name: string, text: string): FormData {
  const form = new FormData();
  form.set('file', new Blob([text]), name);
  return form;
}

/** A workflow that waits for an approval. */
const WORKFLOW = {
  name: 'w',
  nodes: [
    { id: 'start-1', type: 'start' },
    { id: 'human-1', type: 'human' },
  ],
  edges: [{ source: 'start-1', target: 'human-1' }],
};

const UUID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/;
const UNKNOWN_ID = '00000000-0000-4000-8000-000000000000';

async function account(url: string, name: string): Promise<{ token: string; tenant: string }> {
  const body = { email: `${name}@example.com`, password: 'Abc12345' };
  await callApi(url, 'POST', '/users/register', { body });
  const { data } = (await callApi(url, 'POST', '/users/login', { body })).body;
  return { token: data.access_token, tenant: `${name}-bank` };
}

test('every route with an id: other tenants and other users find nothing and change nothing', async (t) => {
  const { url, server } = await startTestServer(t);
  const [owner, stranger] = [await account(url, 'owner'), await account(url, 'stranger')];
  const as = (who: CallOptions, method: string, path: string, body?: unknown, contract?: string): Promise<Answer> =>
    callApi(url, method, path, { ...who, body, ...(contract && { headers: { 'x-api-contract': contract } }) });
  const created = async (path: string, body: unknown) => (await as(owner, 'POST', path, body)).body.data;

  const { taskId } = await created('/tasks', { taskName: '贷前调查报告' });
  const { outlineId } = await created(`/tasks/${taskId}/outline`, BODIES['POST /tasks/:taskId/outline']);
  const { packageId } = await created(`/tasks/${taskId}/data-packages`, {
    knowledgeUnitId: 'ku_1',
    autoData: { 企业名称: 'ABC公司' },
  });
  await created(`/outline/${outlineId}/confirm`, BODIES['POST /outline/:outlineId/confirm']);
  await created(`/data-packages/${packageId}/confirm`, {});
  const { reportId } = await created(`/tasks/${taskId}/reports`, { title: 'r' });
  await as(owner, 'GET', `/tasks/${taskId}/progress`);
  await as(stranger, 'POST', '/tasks', { taskName: 'own' });
  const { id: workflow_id } = (await as(owner, 'POST', '/workflows', WORKFLOW)).body;
  const { id: execution_id } = (await as(owner, 'POST', '/executions', { workflow_id })).body;
  const base = await created('/knowledge-bases', { name: '资料' });
  const documents = `/knowledge-bases/${base.id}/documents`;
  const document = await created(documents, textFile('own.txt', '自己的文字'));
  /** By name, or by the first part of the path and the name where several plugins use the name. */
  const source = { name: 's', type: 'json', config: { data: [1] } };
  const { id: data_source_id } = (await as(owner, 'POST', '/data-sources', source)).body;
  // API accounts are other people, and own what their part of the tasks API makes.
  const [apiOwner, apiStranger] = [
    { token: await apiToken(server, 'owner') },
    { token: await apiToken(server, 'stranger') },
  ];
  await as(apiOwner, 'POST', '/prompts', { name: 'owned', content: 'p' });
  await as(apiOwner, 'POST', '/personalizations', { name: 'owned', content: {} });
  const task = (await as(apiOwner, 'POST', '/messages', { message: '你好' })).body;
  const agent = await created('/agents', AGENT);
  const own = (await as(owner, 'GET', '/agents', undefined, 'research')).body.data.at(-1);
  const project = await created('/projects', { name: 'own' });
  const { id: conversation } = await created('/conversations', { agent_id: agent.id });
  await as(owner, 'POST', `/conversations/${conversation}/messages`, { content: '你好', stream: false });
  const [talk] = (await as(owner, 'GET', '/conversations', undefined, 'research')).body.data.items;
  const readTalk = async () => (await as(owner, 'GET', `/conversations/${talk.id}`, undefined, 'research')).body.data;
  const talkBefore = await readTalk();
  const chatting = { content: '你好', modelType: 'deepseek-v3' };
  const chat = (await as(owner, 'POST', '/chat/stream', chatting)).headers.get('x-conversation-id') ?? '';
  const ids: Readonly<Record<string, string>> = {
    data_source_id,
    agent_id: String(agent.id),
    'agents.id': own.id,
    'tasks.task_id': task.task_id,
    'conversations.conversation_id': task.conversation_id,
    'projects.id': project.id,
    'studio:conversation_id': String(conversation),
    'research:conversations.id': talk.id,
    'messages.id': talkBefore.messages[1].id,
    'chat.id': chat,
    'prompts.name': 'owned',
    'personalizations.name': 'owned',
    'knowledge-bases.id': base.id,
    kbId: base.id,
    docId: document.id,
    taskId,
    outlineId,
    packageId,
    reportId,
    workflow_id,
    execution_id,
    node_id: 'human-1',
    version: '1',
    a: '1',
    b: '1',
    // Templates belong to nobody.
    template_id: 'no-such-template',
  };
  const before = (await as(owner, 'GET', `/tasks/${taskId}`)).body.data;
  assert.equal(before.status, 'COMPLETED');

  let tried = 0;
  for (const { contract, routes } of server.app.host.routes) {
    for (const { method, path, auth } of routes) {
      const names = [...path.matchAll(/:([^/]+)/g)].map(([, name]) => String(name));
      if (names.length === 0) continue;
      const route = `${method} ${path}`;
      if (auth === 'admin') {
        // Whose object it is does not matter there.
        const refused = await as(stranger, method, path.replace(/:[^/]+/g, UNKNOWN_ID), undefined, contract);
        assert.equal(refused.status, 403, `${contract} ${route}: ${refused.text}`);
        continue;
      }
      const first = `${path.split('/')[1]}.`;
      const idOf = (name: string) =>
        [`${contract}:${first}${name}`, `${contract}:${name}`, first + name, name].map((key) => ids[key]).find(Boolean);
      // A new route has to say here whose objects its ids name.
      assert.ok(
        names.every((name) => idOf(name) !== undefined),
        `${contract} ${route}: no object to try it with`,
      );
      const target = path.replace(/:([^/]+)/g, (_, name: string) => idOf(name) ?? '');
      const intruder = auth === 'api' ? apiStranger : stranger;
      const foreign = await as(intruder, method, target, BODIES[route], contract);
      assert.equal(foreign.status, 404, `${contract} ${route} in the stranger's own tenant: ${foreign.text}`);
      const nobodys = target.replace(UUID, UNKNOWN_ID).replace(/(?<=^\/\w+\/)\d+(?=\/|$)/, '123456');
      const unknown = await as(intruder, method, nobodys, BODIES[route], contract);
      assert.deepEqual(
        [unknown.status, unknown.body?.message, unknown.body?.detail, unknown.body?.error],
        [foreign.status, foreign.body?.message, foreign.body?.detail, foreign.body?.error],
        `${route}: foreign and unknown differ`,
      );
      if (auth === 'tenant') {
        const intruding = await as({ ...stranger, tenant: owner.tenant }, method, target, BODIES[route]);
        assert.equal(intruding.status, 403, `${contract} ${route} in the owner's tenant: ${intruding.text}`);
        const nowhere = await as({ token: stranger.token }, method, target, BODIES[route]);
        assert.equal(nowhere.status, 400, `${contract} ${route} without a tenant`);
      }
      assert.equal(
        (await callApi(url, method, target, { tenant: owner.tenant, body: BODIES[route] })).status,
        401,
        `${contract} ${route} without a token`,
      );
      tried++;
    }
  }
  assert.ok(tried >= 35, `${tried} routes tried`);
  const workflow = (await as(owner, 'GET', `/workflows/${workflow_id}`)).body;
  assert.deepEqual([workflow.name, workflow.version], ['w', 1]);
  assert.equal((await as(owner, 'GET', `/executions/${execution_id}`)).body.status, 'running');
  assert.deepEqual((await as(stranger, 'GET', '/workflows')).body, []);
  assert.deepEqual((await as(stranger, 'GET', '/knowledge-bases')).body.data, []);
  const kept = (await as(owner, 'GET', documents)).body.data;
  assert.deepEqual(
    kept.map(({ filename }: { filename: string }) => filename),
    ['own.txt'],
  );
  assert.deepEqual((await as(stranger, 'GET', '/executions')).body, []);
  assert.deepEqual((await as(stranger, 'GET', '/data-sources')).body, []);
  assert.equal((await as(owner, 'GET', `/data-sources/${data_source_id}`)).body.name, 's');
  assert.deepEqual((await as(owner, 'GET', `/agents/${agent.id}`)).body.data, agent);
  assert.equal((await as(stranger, 'GET', '/agents')).body.data.total, 0);
  assert.deepEqual(await readTalk(), talkBefore);
  for (const path of ['/projects', '/conversations', '/history']) {
    const list = await as(stranger, 'GET', path, undefined, 'research');
    assert.equal(list.body.data.pagination.total, 0, path);
  }
  assert.deepEqual((await as(stranger, 'GET', '/chat/conversations')).body.data, []);
  assert.equal((await as(owner, 'GET', '/chat/conversations')).body.data[0].id, chat);
  assert.equal((await as(owner, 'GET', `/projects/${project.id}`)).body.data.name, 'own');
  assert.deepEqual((await as(owner, 'GET', `/tasks/${taskId}`)).body.data, before);
  assert.equal((await as(apiOwner, 'GET', `/tasks/${task.task_id}`)).body.data.error, null);
  assert.equal((await as(apiOwner, 'GET', `/conversations/${task.conversation_id}`)).status, 200);
  const listed = (await as(stranger, 'GET', '/tasks')).body.data;
  assert.deepEqual(
    listed.records.map(({ taskName }: { taskName: string }) => taskName),
    ['own'],
  );
});
