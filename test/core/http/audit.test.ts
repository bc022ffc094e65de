import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { AuditEntry } from '../../../core/audit.ts';
import { AppError } from '../../../core/errors.ts';
import { defineRoute, defineRoutes, EventStream, type Route } from '../../../core/http/route.ts';
import { id, Type } from '../../../core/schema.ts';
import { serveRoutes, type TestHttp } from '../../support/http.ts';

const SUMMARY = { zh: '做一件事', en: 'Does something' };

async function serve(t: TestContext, routes: Route[], limits?: Record<string, unknown>) {
  const entries: AuditEntry[] = [];
  const set = defineRoutes('research', { tag: SUMMARY, codes: {}, routes });
  const http: TestHttp = await serveRoutes(t, [set], limits ?? {}, [], { record: (entry) => void entries.push(entry) });
  return { http, entries };
}

const thing = Type.Object({ id: id('project'), ownerId: id('user'), name: Type.String() });
const [THING, PART_OF, OWNER] = [1, 2, 3].map((digit) => `${String(digit).repeat(8)}-1111-4111-8111-111111111111`);
const value = { id: THING, ownerId: OWNER, name: 'secret plan' };

test('a change is noted with who, what, to which objects, when, from where and how it ended', async (t) => {
  const { http, entries } = await serve(t, [
    defineRoute({
      method: 'PATCH',
      path: '/things/:thingId/parts/:partId',
      auth: 'user',
      summary: SUMMARY,
      params: Type.Object({ thingId: id('project'), partId: Type.String() }),
      body: Type.Object({ name: Type.String() }),
      reply: thing,
      handler: () => value,
    }),
  ]);
  const before = Date.now();
  const answer = await http.call('PATCH', `/things/proj-${PART_OF}/parts/p1`, {
    token: 'user:research',
    body: { name: 'secret plan' },
    headers: { 'x-trace-id': 'trace-1' },
  });
  assert.equal(answer.status, 200, answer.text);
  assert.equal(entries.length, 1);
  const { at, ...entry } = entries[0] ?? assert.fail();
  assert.ok(at.getTime() >= before && at.getTime() <= Date.now());
  assert.deepEqual(entry, {
    tenantId: 'home',
    accountId: 'user',
    principal: 'user',
    contract: 'research',
    method: 'PATCH',
    route: '/api/v1/things/:thingId/parts/:partId',
    action: SUMMARY,
    objectIds: [`proj-${PART_OF}`, 'p1', PART_OF, THING, OWNER, `proj-${THING}`, `user-${OWNER}`],
    status: 200,
    ip: '127.0.0.1',
    traceId: 'trace-1',
  });
  assert.ok(!JSON.stringify(entries).includes('secret'));
});

test('reading is not noted, whoever reads', async (t) => {
  const { http, entries } = await serve(t, [
    defineRoute({ method: 'GET', path: '/things', auth: 'user', summary: SUMMARY, reply: thing, handler: () => value }),
  ]);
  await http.call('GET', '/things', { token: 'user:research' });
  await http.call('HEAD', '/things', { token: 'user:research' });
  assert.deepEqual(entries, []);
});

test('what fails is noted with its status: in the handler, the body, the rights, the rate, and as a bug', async (t) => {
  let failure: Error = new AppError('conflict', 'THING_BUSY', { zh: '忙', en: 'busy' });
  const { http, entries } = await serve(
    t,
    [
      defineRoute({
        method: 'POST',
        path: '/things/:id',
        auth: 'admin',
        summary: SUMMARY,
        body: Type.Object({ name: Type.String() }),
        handler: () => {
          throw failure;
        },
      }),
    ],
    { limits: { research: { user: 2, admin: 100, anonymous: 100, login: 5 } } },
  );
  const call = (token: string, body: unknown = { name: 'x' }) => http.call('POST', '/things/7', { token, body });
  await call('admin:research');
  failure = new Error('a bug');
  await call('admin:research');
  await call('admin:research', {});
  await call('admin:research', '{');
  await call('user:research');
  await call('user:research');
  await call('user:research');
  await call('blocked:research');
  assert.deepEqual(
    entries.map(({ accountId, status }) => [accountId, status]),
    [
      ['admin', 409],
      ['admin', 500],
      ['admin', 422],
      ['admin', 400],
      ['user', 403],
      ['user', 403],
      ['user', 429],
      ['blocked', 403],
    ],
  );
});

test('nobody known: not noted, except for logins, which tell whose account it was', async (t) => {
  const { http, entries } = await serve(t, [
    defineRoute({
      method: 'POST',
      path: '/things',
      auth: 'user',
      summary: SUMMARY,
      handler: () => undefined,
    }),
    defineRoute({
      method: 'POST',
      path: '/auth/enter',
      auth: 'none',
      limit: 'login',
      summary: SUMMARY,
      body: Type.Object({ email: Type.String(), password: Type.String() }),
      handler: ({ body, request }) => {
        if (body.password !== 'right') throw new AppError('unauthenticated', 'NO', { zh: '否', en: 'no' });
        request.identify({ accountId: 'a1', tenantId: 't1' });
      },
    }),
    defineRoute({
      method: 'POST',
      path: '/auth/join',
      auth: 'none',
      summary: SUMMARY,
      body: Type.Object({ email: Type.String() }),
      handler: ({ request }) => request.identify({ accountId: 'a2', tenantId: 't2' }),
    }),
    defineRoute({ method: 'POST', path: '/auth/ask', auth: 'none', summary: SUMMARY, handler: () => undefined }),
  ]);
  await http.call('POST', '/things');
  await http.call('POST', '/things', { token: 'expired:research' });
  await http.call('POST', '/nowhere', { token: 'user:research' });
  await http.call('POST', '/auth/ask');
  await http.call('POST', '/auth/enter', { body: { email: 'me@example.com', password: 'wrong' } });
  await http.call('POST', '/auth/enter', { body: { email: 'me@example.com', password: 'right' } });
  await http.call('POST', '/auth/join', { body: { email: 'new@example.com' } });
  assert.deepEqual(
    entries.map(({ route, accountId, tenantId, status }) => [route, accountId, tenantId, status]),
    [
      ['/api/v1/auth/enter', undefined, undefined, 401],
      ['/api/v1/auth/enter', 'a1', 't1', 200],
      ['/api/v1/auth/join', 'a2', 't2', 200],
    ],
  );
  assert.ok(!JSON.stringify(entries).includes('example.com'));
});

test('an event stream is noted when it begins', async (t) => {
  const gate = Promise.withResolvers<void>();
  const { http, entries } = await serve(t, [
    defineRoute({
      method: 'POST',
      path: '/things/stream',
      auth: 'user',
      summary: SUMMARY,
      replyType: 'events',
      handler: () =>
        new EventStream(
          (async function* () {
            yield { data: 'first' };
            await gate.promise;
          })(),
        ),
    }),
  ]);
  const response = await fetch(`${http.url}/api/v1/things/stream`, {
    method: 'POST',
    headers: { authorization: 'Bearer user:research' },
  });
  const reader = response.body?.getReader() ?? assert.fail();
  await reader.read();
  assert.deepEqual(
    entries.map(({ status }) => status),
    [200],
  );
  gate.resolve();
  while (!(await reader.read()).done);
  assert.equal(entries.length, 1);
});
