import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chooseContract, type Evidence, sharedRoutes } from '../../../core/contracts/choose.ts';
import { documentedRoutes, segmentOwners } from '../../../core/contracts/documented.ts';

const NO_TOKEN_ROUTES = ['POST /auth/login', 'POST /auth/register', 'GET /health'];
const UUID = '60322db3-f884-4a1e-a9b3-6eeb07fbab47';

const ask = (route: string, given: Partial<Evidence> & { headers?: Record<string, string> } = {}) => {
  const { headers = {}, ...rest } = given;
  const choice = chooseContract({
    route,
    candidates: documentedRoutes.get(route) ?? [],
    authenticated: !NO_TOKEN_ROUTES.includes(route),
    token: { kind: 'none' },
    header: (name) => headers[name],
    query: {},
    params: [],
    bodyKeys: [],
    contentType: 'none',
    ...rest,
  });
  return 'contract' in choice ? choice.contract : choice.merged.join('+');
};
const jwt = (...audience: ('studio' | 'research' | 'lowcode' | 'reports' | 'tasks')[]) =>
  ({ token: { kind: 'jwt', audience, valid: true } }) as const;
const expired = (...audience: ('studio' | 'research' | 'lowcode')[]) =>
  ({ token: { kind: 'jwt', audience, valid: false } }) as const;
const api = { token: { kind: 'api' } } as const;
const opaque = { token: { kind: 'opaque' } } as const;

test('the documents name 110 endpoints, 97 of them distinct, 12 shared', () => {
  const all = [...documentedRoutes.values()];
  assert.equal(
    all.reduce((count, names) => count + names.length, 0),
    110,
  );
  assert.equal(all.length, 97);
  const shared = [...documentedRoutes].filter(([, names]) => names.length > 1).map(([route]) => route);
  assert.deepEqual(shared.sort(), [...sharedRoutes].sort());
});

const table: [route: string, given: Parameters<typeof ask>[1], expected: string][] = [
  ['POST /auth/login', { contentType: 'form', bodyKeys: ['username', 'password'] }, 'lowcode'],
  ['POST /auth/login', { contentType: 'json', bodyKeys: ['email', 'password'] }, 'research'],
  ['POST /auth/login', { contentType: 'json', bodyKeys: ['username', 'password'] }, 'lowcode'],
  ['POST /auth/login', { contentType: 'json' }, 'research'],
  ['POST /auth/login', {}, 'research+lowcode'],
  ['POST /auth/login', { ...jwt('lowcode'), contentType: 'json', bodyKeys: ['email'] }, 'research'],
  ['POST /auth/register', { contentType: 'json', bodyKeys: ['username', 'email'] }, 'lowcode'],
  ['POST /auth/register', { contentType: 'json', bodyKeys: ['email', 'name'] }, 'research'],
  ['POST /auth/register', { contentType: 'json', bodyKeys: ['email'] }, 'research+lowcode'],

  ['GET /users/me', jwt('studio'), 'studio'],
  ['GET /users/me', jwt('research'), 'research'],
  ['GET /users/me', jwt('lowcode'), 'research'],
  ['GET /users/me', expired('studio'), 'studio'],
  ['GET /users/me', {}, 'studio+research'],
  ['GET /users/me', opaque, 'studio+research'],
  ['GET /users/me', { headers: { 'x-api-contract': 'studio' } }, 'studio'],
  ['GET /users/me', { headers: { 'x-api-contract': 'reports' } }, 'studio+research'],
  ['GET /users/me', jwt('research', 'studio'), 'research'],

  ['GET /agents', jwt('studio'), 'studio'],
  ['GET /agents', { ...jwt('research'), query: { page_size: '5' } }, 'research'],
  ['GET /agents', { query: { page: '1' } }, 'studio'],
  ['GET /agents', { query: { category: 'x' } }, 'research'],
  ['GET /agents', {}, 'studio+research'],
  ['GET /agents/:', { params: ['12'] }, 'studio'],
  ['GET /agents/:', { params: ['agent-picos'] }, 'research'],
  ['GET /agents/:', { ...jwt('research'), params: ['12'] }, 'research'],

  ['POST /conversations', api, 'tasks'],
  ['POST /conversations', jwt('studio'), 'studio'],
  ['POST /conversations', { ...jwt('research'), bodyKeys: ['agent_id'] }, 'research'],
  ['POST /conversations', { bodyKeys: ['agent_id'] }, 'studio'],
  ['POST /conversations', { bodyKeys: ['projectId', 'agentId'] }, 'research'],
  ['POST /conversations', { bodyKeys: ['prompt_name'] }, 'tasks'],
  ['POST /conversations', {}, 'tasks'],
  ['POST /conversations', { ...jwt('lowcode'), bodyKeys: ['agent_id'] }, 'studio'],

  ['GET /conversations', api, 'tasks'],
  ['GET /conversations', jwt('research'), 'research'],
  ['GET /conversations', jwt('studio'), 'research'],
  ['GET /conversations', { query: { limit: '1' } }, 'tasks'],
  ['GET /conversations', { query: { pageSize: '1' } }, 'research'],
  ['GET /conversations', {}, 'tasks'],
  ['GET /conversations/:', { query: { full: '1' }, params: ['x'] }, 'tasks'],
  ['GET /conversations/:', { params: ['conv_20260123_234245_036'] }, 'tasks'],
  ['GET /conversations/:', { params: [`conv-${UUID}`] }, 'research'],
  ['GET /conversations/:', { params: ['x'] }, 'research'],
  ['GET /conversations/:', { ...jwt('research'), params: ['conv_20260123_234245_036'] }, 'research'],
  ['DELETE /conversations/:', { ...api, params: ['x'] }, 'tasks'],
  ['DELETE /conversations/:', { params: ['conv_1'] }, 'tasks'],
  ['DELETE /conversations/:', { params: ['x'] }, 'research'],

  ['GET /tasks/:', { ...api, params: ['task_1'] }, 'tasks'],
  ['GET /tasks/:', { ...jwt('studio'), params: [UUID] }, 'reports'],
  ['GET /tasks/:', { headers: { 'x-tenant-id': 't' }, params: [UUID] }, 'reports'],
  ['GET /tasks/:', { query: { tenantId: 't' }, params: [UUID] }, 'reports'],
  ['GET /tasks/:', { query: { from: '0' }, params: ['x'] }, 'tasks'],
  ['GET /tasks/:', { params: ['task_9'] }, 'reports'],
  ['GET /tasks/:', { params: [UUID] }, 'tasks'],
  ['GET /tasks/:', { params: ['x'] }, 'reports+tasks'],
  ['GET /tasks/:', { ...opaque, params: ['task_9'] }, 'tasks'],
  ['POST /tasks/:/cancel', { ...api, params: ['x'] }, 'tasks'],
  ['POST /tasks/:/cancel', { headers: { 'x-tenant-id': 't' }, params: ['x'] }, 'reports'],
  ['POST /tasks/:/cancel', { params: [UUID] }, 'tasks'],
  ['POST /tasks/:/cancel', { params: ['x'] }, 'reports+tasks'],

  ['GET /health', {}, 'studio'],
  ['GET /tasks', {}, 'reports'],
  ['POST /agents', jwt('research'), 'studio'],
];
for (const [route, given, expected] of table) {
  const { token, ...shown } = given ?? {};
  const title = `${route} ${JSON.stringify(shown)}${token ? ` with a token ${JSON.stringify(token)}` : ''}: ${expected}`;
  test(title, () => assert.equal(ask(route, given), expected));
}

test('every shared route has rows in the table above', () => {
  assert.deepEqual(
    sharedRoutes.filter((route) => !table.some(([tested]) => tested === route)),
    [],
  );
});

test('unknown paths belong to the APIs with the same first segment', () => {
  assert.deepEqual(segmentOwners('workflows'), ['lowcode']);
  assert.deepEqual(segmentOwners('users'), ['studio', 'research']);
  assert.deepEqual(segmentOwners('nonsense'), []);
});
