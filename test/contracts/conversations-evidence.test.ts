import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startTestServer } from '../support/app.ts';
import { apiToken } from '../support/people.ts';

const { call, server } = await startTestServer({ after });
const login = { email: 'user@example.com', password: 'Abc12345', name: '张三' };
await call('POST', '/auth/register', { body: login });
const studio = (await call('POST', '/users/login', { body: login })).body.data.access_token;
const research = (await call('POST', '/auth/login', { body: login })).body.data.accessToken;
const form = new URLSearchParams({ username: login.email, password: login.password });
const lowcode = (await call('POST', '/auth/login', { body: form })).body.access_token;
const tasks = await apiToken(server, 'tasks');
const settings = { provider: 'openai', model_name: 'gpt-4o' };
const agent = { name: 'a', prompt_template: 'p', model_config: settings };
const agentId = (await call('POST', '/agents', { token: studio, body: agent })).body.data.id;

/** The API whose form a body has. */
function speaker(body: Record<string, unknown>): string {
  const { success, error, code } = body;
  if (success === false) return typeof error === 'string' ? 'tasks' : 'research';
  if (typeof code === 'number') return 'studio';
  return success === true && 'timestamp' in body ? 'research' : 'tasks';
}

const POST: [who: string, token: string | undefined, body: unknown, status: number, api: string][] = [
  ['research', research, { agentId: 'agent-picos' }, 201, 'research'],
  // A token counts more than the rest of the request.
  ['research', research, { agent_id: 1 }, 422, 'research'],
  ['studio', studio, { agent_id: agentId }, 200, 'studio'],
  ['studio', studio, { agentId: 'agent-picos' }, 400, 'studio'],
  ['studio', studio, undefined, 400, 'studio'],
  ['tasks', tasks, { agent_id: agentId }, 200, 'tasks'],
  ['tasks', tasks, undefined, 200, 'tasks'],
  ['a token of a third API', lowcode, { agent_id: agentId }, 200, 'studio'],
  ['a token of a third API', lowcode, { agentId: 'agent-picos' }, 201, 'research'],
  ['nobody', undefined, { agent_id: 1 }, 401, 'studio'],
  ['nobody', undefined, { agentId: 'x' }, 401, 'research'],
  ['nobody', undefined, { modelName: 'x' }, 401, 'research'],
  ['nobody', undefined, { prompt_name: 'x' }, 401, 'tasks'],
  ['nobody', undefined, undefined, 401, 'tasks'],
  ['an unknown token', 'free text', { agent_id: 1 }, 401, 'tasks'],
];
test('POST /conversations: the token, then what the body names', async () => {
  for (const [who, token, body, status, api] of POST) {
    const answer = await call('POST', '/conversations', { ...(token && { token }), body });
    const what = `${who} with ${JSON.stringify(body)}: ${answer.text}`;
    assert.deepEqual([answer.status, speaker(answer.body)], [status, api], what);
  }
});

test('GET /conversations: the token, then the form of the paging', async () => {
  const cases: [string | undefined, string, number, string][] = [
    [research, '', 200, 'research'],
    [research, '?limit=5', 200, 'research'],
    [tasks, '', 200, 'tasks'],
    [tasks, '?page=1', 200, 'tasks'],
    [studio, '', 200, 'research'],
    [lowcode, '?pageSize=5', 200, 'research'],
    [undefined, '?limit=5&offset=0', 401, 'tasks'],
    [undefined, '?pageSize=5', 401, 'research'],
    [undefined, '?agentId=agent-picos', 401, 'research'],
    [undefined, '?sortBy=createdAt', 401, 'research'],
    [undefined, '', 401, 'tasks'],
  ];
  for (const [token, query, status, api] of cases) {
    const answer = await call('GET', `/conversations${query}`, token ? { token } : {});
    assert.deepEqual([answer.status, speaker(answer.body)], [status, api], `${query}: ${answer.text}`);
  }
});

test('GET and DELETE /conversations/{id}: the token, then the form of the id', async () => {
  const ofResearch = (await call('POST', '/conversations', { token: research, body: { agentId: 'agent-picos' } })).body
    .data.id;
  const ofTasks = (await call('POST', '/conversations', { token: tasks })).body.conversation_id;
  const other = (await call('POST', '/conversations', { token: research, body: { agentId: 'agent-picos' } })).body.data
    .id;
  const cases: [string, string, string | undefined, number, string][] = [
    ['GET', ofResearch, research, 200, 'research'],
    ['GET', `${ofResearch}?full=1`, research, 200, 'research'],
    ['GET', ofResearch, studio, 200, 'research'],
    ['GET', ofResearch, lowcode, 200, 'research'],
    ['GET', ofTasks, research, 404, 'research'],
    ['GET', `${ofTasks}?full=1`, tasks, 200, 'tasks'],
    ['GET', ofResearch, tasks, 404, 'tasks'],
    ['GET', ofTasks, undefined, 401, 'tasks'],
    ['GET', ofResearch, undefined, 401, 'research'],
    ['GET', 'something?full=1', undefined, 401, 'tasks'],
    ['GET', 'something', undefined, 401, 'research'],
    ['DELETE', ofTasks, undefined, 401, 'tasks'],
    ['DELETE', ofResearch, undefined, 401, 'research'],
    ['DELETE', ofTasks, research, 404, 'research'],
    ['DELETE', ofResearch, tasks, 404, 'tasks'],
    ['DELETE', ofTasks, tasks, 200, 'tasks'],
  ];
  for (const [method, path, token, status, api] of cases) {
    const answer = await call(method, `/conversations/${path}`, token ? { token } : {});
    assert.deepEqual([answer.status, speaker(answer.body)], [status, api], `${method} ${path}: ${answer.text}`);
  }
  for (const [id, token] of [
    [ofResearch, research],
    [other, studio],
  ]) {
    const gone = await call('DELETE', `/conversations/${id}`, { token });
    assert.deepEqual([gone.status, gone.text], [204, '']);
  }
});
