import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { AuditEntry } from '../../../core/audit.ts';
import { AppError } from '../../../core/errors.ts';
import type { Mount, MountContext } from '../../../core/http/mount.ts';
import { EventStream } from '../../../core/http/route.ts';
import { revoked, serveRoutes } from '../../support/http.ts';

const SUMMARY = { zh: '一件事', en: 'A thing' };
const failure: Mount['failure'] = (error, language) => ({
  status: error.kind === 'unauthenticated' ? 401 : error.kind === 'too_large' ? 413 : 400,
  body: { problem: error.code, text: error.text[language] },
  headers: { 'x-problem': 'yes' },
});
const mount = (fields: Partial<Mount>): Mount => ({
  method: 'POST',
  path: '/v9/things/:id',
  summary: SUMMARY,
  handler: async () => ({ body: { ok: true } }),
  failure,
  ...fields,
});

async function serve(t: TestContext, mounts: Mount[], limits?: Record<string, unknown>) {
  const entries: AuditEntry[] = [];
  const http = await serveRoutes(t, [], limits ?? {}, [], { record: (entry) => void entries.push(entry) }, mounts);
  const call = (method: string, path: string, options: { token?: string; body?: string; headers?: object } = {}) =>
    fetch(http.url + path, {
      method,
      headers: {
        'content-type': 'application/json',
        ...(options.token && { authorization: `Bearer ${options.token}` }),
        ...options.headers,
      },
      ...(options.body !== undefined && { body: options.body }),
    });
  return { http, entries, call };
}

test('the handler gets the caller, the path, parsed JSON, and what is known of the request', async (t) => {
  let seen: MountContext | undefined;
  const { call, entries } = await serve(t, [
    mount({
      handler: async (context) => {
        seen = context;
        context.touch('touched');
        return { status: 201, body: { made: true }, headers: { 'x-more': '1' } };
      },
    }),
  ]);
  const answer = await call('POST', '/v9/things/a%20b?q=1', {
    token: 'api',
    body: '{"n":1}',
    headers: { 'x-trace-id': 'trace-7', 'accept-language': 'en' },
  });
  assert.deepEqual([answer.status, await answer.json()], [201, { made: true }]);
  assert.deepEqual(
    ['x-trace-id', 'x-more', 'x-ratelimit-limit', 'cache-control'].map((name) => answer.headers.get(name)),
    ['trace-7', '1', '1200', 'no-store'],
  );
  assert.ok(seen);
  assert.deepEqual(
    [seen.principal.accountId, seen.principal.kind, seen.params, seen.body],
    ['api', 'api', { id: 'a b' }, { n: 1 }],
  );
  assert.deepEqual([seen.request.language, seen.request.traceId], ['en', 'trace-7']);
  const { at: _, ip: _ip, ...entry } = entries[0] ?? assert.fail();
  assert.deepEqual(entry, {
    tenantId: 'home',
    accountId: 'api',
    principal: 'api',
    method: 'POST',
    route: '/v9/things/:id',
    action: SUMMARY,
    objectIds: ['a b', 'touched'],
    status: 201,
    traceId: 'trace-7',
  });
});

test('JWTs and API tokens are let in, in the tenant that the request names', async (t) => {
  const { call } = await serve(t, [
    mount({ method: 'GET', handler: async ({ principal }) => ({ body: [principal.kind, principal.tenantId] }) }),
  ]);
  const who = async (token: string, tenant?: string) => {
    const answer = await call('GET', '/v9/things/1', { token, headers: tenant ? { 'x-tenant-id': tenant } : {} });
    return [answer.status, await answer.json()];
  };
  assert.deepEqual(await who('user:studio'), [200, ['user', 'home']]);
  assert.deepEqual(await who('api'), [200, ['api', 'home']]);
  assert.deepEqual(await who('user:studio', 'bank'), [200, ['user', 'bank']]);
  assert.equal((await who('user:studio', 'foreign'))[0], 400);
});

test('failures have the form of the protocol: caller, body, size, rate, bugs', async (t) => {
  const { call, entries } = await serve(
    t,
    [
      mount({
        maxBodyBytes: 100,
        handler: async ({ body }) => {
          if (body === undefined) throw new Error('a bug');
          throw new AppError('invalid', 'THING_WRONG', { zh: '不对', en: 'wrong' });
        },
      }),
    ],
    { limits: { mounts: { user: 6, admin: 6, anonymous: 100, login: 1 } } },
  );
  const problem = async (options: Parameters<typeof call>[2]) => {
    const answer = await call('POST', '/v9/things/1', options);
    assert.equal(answer.headers.get('x-problem'), 'yes');
    const { problem: code } = (await answer.json()) as { problem: string };
    return [answer.status, code];
  };
  const token = 'user:studio';
  assert.deepEqual(await problem({}), [401, 'UNAUTHENTICATED']);
  assert.deepEqual(await problem({ token: 'expired:studio' }), [401, 'UNAUTHENTICATED']);
  assert.deepEqual(await problem({ token, body: '{' }), [400, 'BODY_MALFORMED']);
  assert.deepEqual(await problem({ token, body: `"${'x'.repeat(100)}"` }), [413, 'BODY_TOO_LARGE']);
  assert.deepEqual(await problem({ token, body: 'a=1', headers: { 'content-type': 'text/plain' } }), [
    400,
    'CONTENT_TYPE_WRONG',
  ]);
  assert.deepEqual(await problem({ token, body: '{}' }), [400, 'THING_WRONG']);
  assert.deepEqual(await problem({ token }), [400, 'INTERNAL_ERROR']);
  assert.deepEqual(await problem({ token }), [400, 'INTERNAL_ERROR']);
  assert.deepEqual(await problem({ token }), [400, 'RATE_LIMITED']);
  assert.equal(entries.length, 7, 'of known callers');
});

test('other methods and the rest of a path go to the mount that takes any', async (t) => {
  const { call } = await serve(t, [
    mount({ method: 'ANY', path: '/v9/{*rest}', handler: async ({ params }) => ({ status: 404, body: params }) }),
    mount({ path: '/v9/things' }),
  ]);
  const token = 'user:studio';
  assert.equal((await call('POST', '/v9/things', { token })).status, 200);
  assert.equal((await call('DELETE', '/v9/things', { token })).status, 404);
  const answer = await call('GET', '/v9/a/b', { token });
  assert.deepEqual([answer.status, await answer.json()], [404, { rest: 'a/b' }]);
  assert.equal((await call('GET', '/v8/things', { token })).status, 404);
});

test('an event stream ends with the client, and with its token', async (t) => {
  const ended = Promise.withResolvers<void>();
  const { call, entries } = await serve(t, [
    mount({
      handler: async ({ request }) =>
        new EventStream(
          (async function* () {
            try {
              yield { data: { n: 1 } };
              while (!request.signal.aborted) {
                await new Promise((resolve) => setTimeout(resolve, 50));
                yield { data: 'more' };
              }
            } finally {
              ended.resolve();
            }
          })(),
        ),
    }),
  ]);
  const answer = await call('POST', '/v9/things/1', { token: 'user:stream' });
  assert.match(answer.headers.get('content-type') ?? '', /^text\/event-stream/);
  const reader = answer.body?.getReader() ?? assert.fail();
  assert.equal(new TextDecoder().decode((await reader.read()).value), 'data: {"n":1}\n\n');
  assert.equal(entries[0]?.status, 200);
  revoked.add('user:stream');
  t.after(() => revoked.delete('user:stream'));
  await assert.rejects(async () => {
    while (!(await reader.read()).done);
  });
  await ended.promise;
});

test('two mounts of one path, and paths of the core, stop the start', async (t) => {
  await assert.rejects(serve(t, [mount({}), mount({})]), /declared twice/);
  await assert.rejects(serve(t, [mount({ path: '/api/v1/more' })]), /belongs to the core/);
});
