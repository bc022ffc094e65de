import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import { connect } from 'node:net';
import { Readable } from 'node:stream';
import { text as textOf } from 'node:stream/consumers';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { AppError } from '../../../core/errors.ts';
import {
  defineRoute,
  defineRoutes,
  EmptyReply,
  EventStream,
  FileReply,
  type RouteSet,
} from '../../../core/http/route.ts';
import { id, nullable, oneOf, Type, text, time } from '../../../core/schema.ts';
import { callApi } from '../../support/api-client.ts';
import { startTestServer } from '../../support/app.ts';
import { inOnePass } from '../../support/effort.ts';
import { revoked, serveRoutes } from '../../support/http.ts';

const UUID = '60322db3-f884-4a1e-a9b3-6eeb07fbab47';
const at = new Date('2024-01-01T00:00:00.250Z');

const refuse = () => {
  throw new AppError('conflict', 'TAKEN', { zh: '已存在', en: 'Exists already' });
};

/** The same small resource in all five dialects. */
const dialects: RouteSet[] = (
  [
    ['reports', '/outline', 'tenant'],
    ['studio', '/knowledge', 'user'],
    ['tasks', '/prompts', 'api'],
    ['research', '/projects', 'user'],
    ['lowcode', '/workflows', 'user'],
  ] as const
).map(([contract, path, auth]) =>
  defineRoutes(contract, {
    tag: { zh: 'test', en: 'test' },
    codes: contract === 'studio' ? { TAKEN: 40002 } : contract === 'lowcode' ? { TAKEN: 'EMAIL_EXISTS' } : {},
    routes: [
      defineRoute({
        method: 'POST',
        path,
        auth,
        summary: { zh: 'create', en: 'create' },
        status: contract === 'research' || contract === 'lowcode' ? 201 : 200,
        body: Type.Object({
          name: text({ minLength: 1, maxLength: 10, label: { zh: '名称', en: 'Name' } }),
          kind: Type.Optional(oneOf(['a', 'b'], { label: { zh: '类别', en: 'Kind' } })),
          count: Type.Integer({ minimum: 1, default: 3 }),
          note: Type.Optional(nullable(Type.String())),
        }),
        reply: Type.Object({
          id: id('project'),
          name: Type.String(),
          count: Type.Integer(),
          created: time(),
          note: nullable(Type.String()),
        }),
        handler: ({ body }) => ({ id: UUID, created: at, secret: 'x', note: null, ...body }),
      }),
      defineRoute({
        method: 'GET',
        path,
        auth,
        summary: { zh: 'list', en: 'list' },
        paged: { sortBy: ['name', 'created'] },
        reply: Type.Object({ id: id('project') }),
        handler: ({ paging }) => ({ items: [{ id: UUID, offset: paging.offset }], total: 31 }),
      }),
      defineRoute({
        method: 'GET',
        path: `${path}/:id`,
        auth,
        summary: { zh: 'read', en: 'read' },
        params: Type.Object({ id: id('project') }),
        reply: Type.Object({ known: Type.String() }),
        handler: ({ params }) => ({ known: params.id }),
      }),
      defineRoute({
        method: 'DELETE',
        path: `${path}/:id`,
        auth,
        summary: { zh: 'conflict', en: 'conflict' },
        handler: refuse,
      }),
      defineRoute({
        method: 'PUT',
        path: `${path}/:id`,
        auth,
        summary: { zh: 'a bug', en: 'a bug' },
        handler: () => {
          throw new TypeError('the password is hunter2');
        },
      }),
    ],
  }),
);
const asReports = { token: 'user', headers: { 'X-Tenant-Id': 't1' } };

test('creation: each contract has its own envelope, id and time', async (t) => {
  const { call } = await serveRoutes(t, dialects);
  const body = { name: '  报告 ', extra: 1 };
  const same = { name: '报告', count: 3, note: null };
  assert.deepEqual((await call('POST', '/outline', { ...asReports, body })).body, {
    code: 200,
    message: 'success',
    data: { ...same, id: UUID, created: '2024-01-01T00:00:00' },
  });
  assert.deepEqual((await call('POST', '/knowledge', { token: 'user', body })).body, {
    code: 200,
    message: 'success',
    data: { ...same, id: 1, created: '2024-01-01T00:00:00Z' },
  });
  assert.deepEqual((await call('POST', '/prompts', { token: 'api', body })).body, {
    success: true,
    ...same,
    id: UUID,
    created: 1704067200.25,
  });
  const research = await call('POST', '/projects', { token: 'user', body });
  assert.equal(research.status, 201);
  const { timestamp, ...rest } = research.body as { timestamp: string };
  assert.match(timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.deepEqual(rest, {
    success: true,
    data: { ...same, id: `proj-${UUID}`, created: '2024-01-01T00:00:00.250Z' },
    message: '操作成功',
  });
  const lowcode = await call('POST', '/workflows', { token: 'user', body });
  assert.equal(lowcode.status, 201);
  assert.deepEqual(lowcode.body, { ...same, id: UUID, created: '2024-01-01T00:00:00' });
});

test('wrong fields: each contract has its own status and form, in Chinese and English', async (t) => {
  const { call } = await serveRoutes(t, dialects);
  const body = { name: '   ', kind: 'c', count: 'x' };
  const reports = await call('POST', '/outline', { ...asReports, body });
  assert.equal(reports.status, 400);
  assert.deepEqual(reports.body, {
    code: 400,
    message: '参数校验失败',
    data: null,
    errors: [
      { field: 'name', message: '名称不能为空' },
      { field: 'kind', message: '类别必须是 a、b 之一' },
      { field: 'count', message: 'count应为整数' },
    ],
  });
  const studio = await call('POST', '/knowledge', { token: 'user', body: {} });
  assert.deepEqual([studio.status, studio.body], [400, { code: 40000, message: 'name: 名称不能为空', data: null }]);
  const tasks = await call('POST', '/prompts', {
    token: 'api',
    body: { name: 'x'.repeat(11) },
    headers: { 'Accept-Language': 'en-GB' },
  });
  assert.deepEqual(
    [tasks.status, tasks.body],
    [400, { success: false, error: 'name: Name must not exceed 10 characters' }],
  );
  const research = await call('POST', '/projects', { token: 'user', body });
  assert.equal(research.status, 422);
  const { error } = research.body as { error: { code: string; details: unknown[] } };
  assert.equal(error.code, 'VALIDATION_ERROR');
  assert.deepEqual(error.details[0], { field: 'name', message: '名称不能为空' });
  const lowcode = await call('POST', '/workflows', { token: 'user', body });
  assert.equal(lowcode.status, 422);
  assert.partialDeepStrictEqual(lowcode.body, {
    detail: 'name: 名称不能为空',
    error_code: 'VALIDATION_ERROR',
    status_code: 422,
  });
});

test('wrong fields: what is too long is not looked at in all of its parts', async (t) => {
  const { call } = await serveRoutes(t, [
    defineRoutes('research', {
      tag: { zh: 'test', en: 'test' },
      codes: {},
      routes: [
        defineRoute({
          method: 'POST',
          path: '/projects',
          auth: 'user',
          summary: { zh: 'create', en: 'create' },
          // Takes the square of the length.
          body: Type.Object({
            few: Type.Optional(
              Type.Array(Type.Union([Type.String(), Type.Object({ path: Type.String() })]), { maxItems: 2 }),
            ),
            any: Type.Optional(Type.Array(Type.Object({ path: Type.Optional(text()) }))),
            name: text({ maxLength: 10, pattern: '^.+a.+b.+$' }),
            note: Type.String({ maxLength: 20_000 }),
          }),
          handler: () => undefined,
        }),
      ],
    }),
  ]);
  const fields = async (body: object) =>
    (await call('POST', '/projects', { token: 'user', body })).body.error.details.map(
      ({ field, message }: { field: string; message: string }) => `${field}: ${message}`,
    );
  const long = await inOnePass(() => fields({ name: 'a'.repeat(1_000_000), note: '' }));
  assert.deepEqual(long, ['name: name不能超过 10 个字符']);
  const good = { name: 'xaxbx', note: '' };
  const many = (item: unknown) => new Array(500_000).fill(item);
  await inOnePass(async () => {
    assert.deepEqual((await fields({ ...good, few: many(1) })).slice(0, 1), ['few[0]: few[0]应为文本']);
    assert.deepEqual(await fields({ ...good, few: many('') }), ['few: few不能超过 2 项']);
    assert.deepEqual(await fields({ ...good, any: many({}) }), ['any: any不能超过 50000 项']);
  });
  assert.deepEqual(await fields({ name: 'xaxbx', note: 'x'.repeat(20_001) }), ['note: note不能超过 20000 个字符']);
});

test('lists: each contract has its own paging query and body', async (t) => {
  const { call } = await serveRoutes(t, dialects);
  const data = async (path: string, options: object) =>
    ((await call('GET', path, options)).body as { data: unknown }).data;
  assert.deepEqual(await data('/outline?page=2&size=15', asReports), {
    records: [{ id: UUID }],
    total: 31,
    page: 2,
    size: 15,
    pages: 3,
  });
  assert.deepEqual(await data('/knowledge', { token: 'user' }), {
    items: [{ id: 1 }],
    total: 31,
    page: 1,
    page_size: 20,
  });
  assert.deepEqual((await call('GET', '/prompts?limit=1000&offset=-4', { token: 'api' })).body, {
    success: true,
    data: [{ id: UUID }],
    total: 31,
  });
  assert.deepEqual(await data('/projects?page=2&sortBy=created', { token: 'user' }), {
    items: [{ id: `proj-${UUID}` }],
    pagination: { page: 2, pageSize: 20, total: 31, totalPages: 2, hasNext: false, hasPrev: true },
  });
  assert.deepEqual((await call('GET', '/workflows', { token: 'user' })).body, [{ id: UUID }]);
  for (const [path, status, options] of [
    ['/outline?size=101', 400, asReports],
    ['/outline?page=abc', 400, asReports],
    ['/knowledge?page_size=101', 400, { token: 'user' }],
    ['/projects?pageSize=0', 422, { token: 'user' }],
    ['/projects?sortBy=password', 422, { token: 'user' }],
    ['/workflows?limit=101', 422, { token: 'user' }],
    ['/workflows?skip=-1', 422, { token: 'user' }],
    ['/workflows?limit=1&limit=2', 422, { token: 'user' }],
  ] as const) {
    assert.equal((await call('GET', path, options)).status, status, path);
  }
});

test('ids: every contract takes its own form, and others are ids that nobody has', async (t) => {
  const { call } = await serveRoutes(t, dialects);
  const read = async (path: string) =>
    ((await call('GET', path, { token: 'user' })).body as { data: { known: string } }).data?.known;
  assert.equal(await read(`/projects/proj-${UUID}`), UUID);
  assert.equal(await read(`/projects/${UUID}`), `unknown:${UUID}`);
  await call('POST', '/knowledge', { token: 'user', body: { name: 'a' } });
  assert.equal(await read('/knowledge/1'), UUID);
  assert.equal(await read('/knowledge/2'), 'unknown:2');
  assert.deepEqual((await call('GET', '/knowledge/x', { token: 'user' })).status, 400);
});

test('conflicts and bugs: the status is the contract’s, internals stay in the log', async (t) => {
  const { call } = await serveRoutes(t, dialects);
  const conflict = async (path: string, options: object) =>
    (await call('DELETE', path, options)) as { status: number; body: Record<string, unknown> };
  assert.deepEqual((await conflict('/outline/x', asReports)).body, { code: 409, message: '已存在', data: null });
  assert.deepEqual((await conflict('/knowledge/1', { token: 'user' })).body, {
    code: 40002,
    message: '已存在',
    data: null,
  });
  assert.equal((await conflict('/prompts/x', { token: 'api' })).status, 409);
  assert.equal((await conflict('/projects/x', { token: 'user' })).status, 409);
  assert.deepEqual((await conflict('/workflows/x', { token: 'user' })).body, {
    detail: '已存在',
    error_code: 'EMAIL_EXISTS',
    status_code: 400,
  });
  for (const [path, options] of [
    ['/outline/x', asReports],
    ['/knowledge/1', { token: 'user' }],
    ['/prompts/x', { token: 'api' }],
    ['/projects/x', { token: 'user' }],
    ['/workflows/x', { token: 'user' }],
  ] as const) {
    const { status, text: sent } = await call('PUT', path, options);
    assert.equal(status, 500, path);
    assert.doesNotMatch(sent, /hunter2|TypeError/);
  }
});

test('callers: tokens, roles, blocked accounts and tenants', async (t) => {
  const { call } = await serveRoutes(t, [
    ...dialects,
    defineRoutes('research', {
      tag: { zh: 'admin', en: 'admin' },
      codes: {},
      routes: [
        defineRoute({
          method: 'GET',
          path: '/admin/users',
          auth: 'admin',
          summary: { zh: 'x', en: 'x' },
          reply: Type.Object({}),
          handler: () => ({}),
        }),
      ],
    }),
  ]);
  const status = async (path: string, options: object = {}) => (await call('GET', path, options)).status;
  assert.equal(await status('/projects'), 401);
  assert.equal(await status('/projects', { token: 'nonsense' }), 401);
  assert.equal(await status('/projects', { token: 'api' }), 401);
  assert.equal(await status('/prompts', { token: 'user' }), 401);
  assert.equal(await status('/projects', { token: 'blocked' }), 403);
  assert.equal(await status('/admin/users', { token: 'user' }), 403);
  assert.equal(await status('/admin/users', { token: 'admin' }), 200);
  assert.equal(await status('/outline', { token: 'user' }), 400);
  assert.equal(await status('/outline'), 401);
  assert.equal(await status('/outline', { token: 'user', headers: { 'X-Tenant-Id': 'foreign' } }), 403);
  const challenged = await call('GET', '/workflows');
  assert.equal(challenged.headers.get('www-authenticate'), 'Bearer');
  const missing = await call('GET', '/outline', { token: 'user' });
  assert.deepEqual((missing.body as { errors: unknown }).errors, [
    { field: 'X-Tenant-Id', message: '租户标识不能为空' },
  ]);
});

test('bodies: what cannot be read is told in the contract’s form', async (t) => {
  const { call, url } = await serveRoutes(t, dialects);
  const send = async (
    body: string | Uint8Array,
    headers: Record<string, string> = { 'content-type': 'application/json' },
  ) =>
    (await call('POST', '/projects', { token: 'user', body, headers })) as {
      status: number;
      body: { error: { code: string } };
    };
  const codeOf = async (...given: Parameters<typeof send>) => {
    const { status, body } = await send(...given);
    return `${status} ${body.error.code}`;
  };
  assert.equal(await codeOf('{"name":'), '400 BAD_REQUEST');
  assert.equal(await codeOf('name=x', { 'content-type': 'text/plain' }), '400 BAD_REQUEST');
  assert.equal(await codeOf(new Uint8Array([0x22, 0xff, 0xfe, 0x22])), '400 BAD_REQUEST');
  assert.equal(await codeOf('{}', { 'content-type': 'application/json; charset=gbk' }), '400 BAD_REQUEST');
  assert.equal(await codeOf('[]'), '422 VALIDATION_ERROR');
  assert.equal(await codeOf('null'), '422 VALIDATION_ERROR');
  assert.equal(await codeOf('"text"'), '422 VALIDATION_ERROR');
  assert.equal(await codeOf(''), '422 VALIDATION_ERROR');
  assert.equal(await codeOf('['.repeat(100_000)), '400 BAD_REQUEST');
  assert.equal(await codeOf(`{"name":"${'x'.repeat(3 << 20)}"}`), '413 PAYLOAD_TOO_LARGE');
  assert.equal(
    await codeOf('{"name":"a"}', { 'content-type': 'application/json', 'content-encoding': 'gzip' }),
    '400 BAD_REQUEST',
  );
  const bomb = gzipSync(Buffer.alloc(64 << 20, 0x20));
  assert.equal(
    await codeOf(bomb, { 'content-type': 'application/json', 'content-encoding': 'gzip' }),
    '413 PAYLOAD_TOO_LARGE',
  );
  const proto = await send('{"name":"a","__proto__":{"note":"polluted"}}');
  assert.equal(proto.status, 201);
  assert.equal(({} as { note?: string }).note, undefined);
  const chunked = await new Promise<number | undefined>((resolve) => {
    const sent = request(
      `${url}/api/v1/projects`,
      { method: 'POST', headers: { authorization: 'Bearer user', 'content-type': 'application/json' } },
      ({ statusCode }) => resolve(statusCode),
    );
    sent.on('error', () => undefined);
    for (let count = 0; count < 40; count++) sent.write(`${'x'.repeat(100_000)}`);
    sent.end();
  });
  assert.equal(chunked, 413);
});

test('a body that is too large: who listens only after sending everything hears so, and the connection goes on', async (t) => {
  const { url } = await serveRoutes(t, dialects);
  const socket = connect(Number(new URL(url).port), '127.0.0.1').setEncoding('utf8');
  t.after(() => socket.destroy());
  const head = (length: number) =>
    `POST /api/v1/projects HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer user\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`;
  const answered = async () => {
    let answer = '';
    socket.resume();
    for (;;) {
      answer += await once(socket, 'data').then(([text]) => text);
      if (answer.includes('\r\n\r\n') && answer.endsWith('}')) break;
    }
    socket.pause();
    return answer.slice(0, answer.indexOf('\r\n'));
  };
  socket.pause();
  socket.write(head(20 << 20));
  for (let sent = 0; sent < 20; sent += 1) {
    await new Promise((resolve) => socket.write('x'.repeat(1 << 20), resolve));
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.equal(await answered(), 'HTTP/1.1 413 Payload Too Large');
  socket.write(`${head(12)}{"name":"a"}`);
  assert.equal(await answered(), 'HTTP/1.1 201 Created');
  // Nobody waits for the end of this one.
  socket.write(head(2 ** 40));
  assert.equal(await answered(), 'HTTP/1.1 413 Payload Too Large');
  await once(socket.resume(), 'close');
});

test('paths: slashes, HEAD, OPTIONS, unknown ones and wrong methods', async (t) => {
  const { call, url } = await serveRoutes(t, dialects, { origins: ['https://app.example'] });
  assert.equal((await call('GET', '/projects/', { token: 'user' })).status, 200);
  assert.equal((await call('GET', '/projects//', { token: 'user' })).status, 404);
  assert.equal((await call('HEAD', '/projects', { token: 'user' })).status, 200);
  assert.equal((await call('OPTIONS', '/projects')).status, 204);
  const wrong = await call('DELETE', '/tasks/task_1', { token: 'user:research' });
  assert.equal(wrong.status, 405);
  assert.deepEqual(wrong.body, { code: 405, message: '此路径不支持 DELETE 方法', data: null });
  assert.equal((await call('DELETE', '/tasks/task_1', { token: 'api' })).body.success, false);
  assert.match(wrong.headers.get('allow') ?? '', /GET, PUT|PUT, GET/);
  const unknown = async (path: string, token?: string) =>
    (await call('GET', path, token ? { token } : {})).body as Record<string, unknown>;
  assert.deepEqual(Object.keys(await unknown('/nowhere')), [
    'code',
    'message',
    'data',
    'success',
    'error',
    'detail',
    'error_code',
    'status_code',
  ]);
  assert.deepEqual(await unknown('/nowhere', 'user:lowcode'), {
    detail: '资源不存在',
    error_code: 'NOT_FOUND',
    status_code: 404,
  });
  assert.deepEqual(await unknown('/workflows/a/b/c/d'), {
    detail: '资源不存在',
    error_code: 'NOT_FOUND',
    status_code: 404,
  });
  assert.deepEqual(await unknown('/nowhere', 'api'), { success: false, error: '资源不存在' });
  // documented, but no plugin brings it
  assert.deepEqual(await unknown('/executions', 'user:research'), {
    detail: '资源不存在',
    error_code: 'NOT_FOUND',
    status_code: 404,
  });
  const merged = await unknown('/users/me');
  assert.deepEqual(
    [merged.code, merged.data, merged.success, (merged.error as { code: string }).code],
    [40100, null, false, 'UNAUTHORIZED'],
  );
  assert.equal((await fetch(`${url}/elsewhere`)).status, 404);
  assert.equal(
    (await fetch(`${url}/api/v1/projects/%E0%A4%A`, { headers: { authorization: 'Bearer user' } })).status < 500,
    true,
  );
  const page = await fetch(`${url}/api/v1/projects`, { headers: { origin: 'https://app.example' } });
  assert.equal(page.headers.get('access-control-allow-origin'), 'https://app.example');
  const other = await fetch(`${url}/api/v1/projects`, { headers: { origin: 'https://evil.example' } });
  assert.equal(other.headers.get('access-control-allow-origin'), null);
  assert.equal(
    (await call('GET', '/projects', { headers: { 'X-Trace-Id': 'abc-1' } })).headers.get('x-trace-id'),
    'abc-1',
  );
  assert.match(
    (await call('GET', '/projects', { headers: { 'X-Trace-Id': 'x'.repeat(129) } })).headers.get('x-trace-id') ?? '',
    /^[0-9a-f-]{36}$/,
  );
});

test('limits: research counts 100 a minute for a user and 500 for an administrator, and tells', async (t) => {
  const { call } = await serveRoutes(t, dialects);
  const first = await call('GET', '/projects', { token: 'user' });
  assert.deepEqual([first.headers.get('x-ratelimit-limit'), first.headers.get('x-ratelimit-remaining')], ['100', '99']);
  assert.equal((await call('GET', '/projects', { token: 'admin' })).headers.get('x-ratelimit-limit'), '500');
  const statuses = new Map<number, number>();
  for (let count = 0; count < 104; count++) {
    const { status, headers } = await call('GET', '/projects', { token: 'user' });
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
    if (status === 429) assert.ok(Number(headers.get('retry-after')) > 0);
  }
  assert.deepEqual(
    [...statuses],
    [
      [200, 99],
      [429, 5],
    ],
  );
  assert.equal((await call('GET', '/workflows', { token: 'user' })).status, 200);
});

test('caching: research data carries a tag that answers 304', async (t) => {
  const { call } = await serveRoutes(t, dialects);
  const first = await call('GET', '/projects', { token: 'user' });
  const tag = first.headers.get('etag') ?? '';
  assert.match(tag, /^"/);
  assert.equal(first.headers.get('cache-control'), 'private, no-cache');
  // `no-cache` is what fetch adds by itself.
  for (const cacheControl of ['max-age=0', 'no-cache']) {
    const headers = { 'if-none-match': tag, 'cache-control': cacheControl };
    assert.equal((await call('GET', '/projects', { token: 'user', headers })).status, 304, cacheControl);
  }
});

test('streams, files and empty answers', async (t) => {
  let ended = 0;
  async function* events(signal: AbortSignal) {
    try {
      yield { id: 0, data: { text: '你\n好' } };
      yield { data: '[DONE]' };
      if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    } finally {
      ended++;
    }
  }
  const { url, http } = await serveRoutes(t, [
    defineRoutes('reports', {
      tag: { zh: 'x', en: 'x' },
      codes: {},
      routes: [
        defineRoute({
          method: 'GET',
          path: '/tasks/:taskId/progress',
          auth: 'tenant',
          summary: { zh: 'x', en: 'x' },
          replyType: 'events',
          handler: ({ request: { signal }, params: _params }) => new EventStream(events(signal), { retryMs: 3000 }),
        }),
        defineRoute({
          method: 'POST',
          path: '/reports/:id/export',
          auth: 'tenant',
          summary: { zh: 'x', en: 'x' },
          replyType: 'file',
          handler: () =>
            new FileReply(new TextEncoder().encode('pdf'), {
              filename: 'ABC公司报告.pdf',
              contentType: 'application/pdf',
            }),
        }),
        defineRoute({
          method: 'GET',
          path: '/outline/gone',
          auth: 'none',
          summary: { zh: 'x', en: 'x' },
          handler: () => new EmptyReply(204),
        }),
      ],
    }),
  ]);
  const stream = await fetch(`${url}/api/v1/tasks/a/progress?tenantId=t1&token=user`);
  assert.equal(stream.headers.get('content-type'), 'text/event-stream; charset=utf-8');
  assert.equal(stream.headers.get('x-accel-buffering'), 'no');
  const reader = stream.body?.getReader();
  let seen = '';
  while (!seen.includes('[DONE]')) seen += new TextDecoder().decode((await reader?.read())?.value);
  assert.equal(seen, 'retry: 3000\n\nid: 0\ndata: {"text":"你\\n好"}\n\ndata: [DONE]\n\n');
  await reader?.cancel();
  const differ = await fetch(`${url}/api/v1/tasks/a/progress?tenantId=t1&token=user`, {
    headers: { 'X-Tenant-Id': 't2' },
  });
  assert.equal(differ.status, 400);
  assert.equal((await fetch(`${url}/api/v1/tasks/a/progress?tenantId=t1`)).status, 401);
  const file = await fetch(`${url}/api/v1/reports/r/export`, {
    method: 'POST',
    headers: { authorization: 'Bearer user', 'X-Tenant-Id': 't' },
  });
  assert.equal(file.headers.get('content-type'), 'application/pdf');
  assert.equal(
    file.headers.get('content-disposition'),
    `attachment; filename="ABC.pdf"; filename*=UTF-8''ABC%E5%85%AC%E5%8F%B8%E6%8A%A5%E5%91%8A.pdf`,
  );
  assert.equal(await file.text(), 'pdf');
  assert.equal((await fetch(`${url}/api/v1/outline/gone`)).status, 204);
  const head = await fetch(`${url}/api/v1/tasks/a/progress?tenantId=t1&token=user`, { method: 'HEAD' });
  assert.deepEqual([head.status, head.headers.get('content-type')], [200, 'text/event-stream; charset=utf-8']);

  // An open stream ends with the server, and its source is closed.
  const open = await fetch(`${url}/api/v1/tasks/a/progress?tenantId=t1&token=user`);
  await http.close(2000);
  await open.text();
  assert.equal(ended, 2);
});

const research = (...routes: RouteSet['routes']): RouteSet =>
  defineRoutes('research', { tag: { zh: 'x', en: 'x' }, codes: {}, routes });

test('an event stream goes no faster than its client reads, and one that does not read is cut off', async (t) => {
  const text = 'x'.repeat(64 * 1024);
  const over = Promise.withResolvers<number>();
  const { url } = await serveRoutes(t, [
    research(
      defineRoute({
        method: 'GET',
        path: '/history/stream',
        auth: 'none',
        summary: { zh: 'x', en: 'x' },
        replyType: 'events',
        async handler() {
          async function* endless() {
            let count = 0;
            try {
              for (; count < 5000; count++) yield { id: count, data: text };
            } finally {
              over.resolve(count);
            }
          }
          return new EventStream(endless(), { stalledMs: 300 });
        },
      }),
    ),
  ]);
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  t.after(() => socket.destroy());
  socket.pause();
  socket.write('GET /api/v1/history/stream HTTP/1.1\r\nHost: x\r\n\r\n');
  const sent = await over.promise;
  // What the two ends of the connection hold, and not a byte in memory beyond it.
  assert.ok(sent < 500, `${sent} messages of 64 KiB were taken`);
});

test('a file is ended when nobody reads it; an answer that takes its time to be made is not', async (t) => {
  const over = Promise.withResolvers<number>();
  const { url } = await serveRoutes(
    t,
    [
      research(
        defineRoute({
          method: 'GET',
          path: '/history/file',
          auth: 'none',
          replyType: 'file',
          summary: { zh: 'x', en: 'x' },
          handler() {
            let count = 0;
            const content = new Readable({
              highWaterMark: 1,
              read() {
                count += 1;
                this.push(Buffer.alloc(64 * 1024));
              },
              destroy(error, done) {
                over.resolve(count);
                done(error);
              },
            });
            return new FileReply(content, { filename: 'a.bin', contentType: 'application/octet-stream' });
          },
        }),
        defineRoute({
          method: 'GET',
          path: '/history',
          auth: 'none',
          summary: { zh: 'x', en: 'x' },
          reply: Type.Object({}),
          async handler() {
            await new Promise((resolve) => setTimeout(resolve, 900));
            return {};
          },
        }),
      ),
    ],
    {},
    [],
    undefined,
    [],
    { unreadMs: 200 },
  );
  const slow = fetch(`${url}/api/v1/history`);
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  t.after(() => socket.destroy());
  socket.pause();
  socket.write('GET /api/v1/history/file HTTP/1.1\r\nHost: x\r\n\r\n');
  assert.ok((await over.promise) < 500);
  assert.equal((await slow).status, 200);
});

test('an event stream is cut off when its token is revoked: nobody takes it for whole', async (t) => {
  const { url } = await serveRoutes(t, [
    research(
      defineRoute({
        method: 'GET',
        path: '/history/stream',
        auth: 'user',
        summary: { zh: 'x', en: 'x' },
        replyType: 'events',
        async handler({ request: { signal } }) {
          async function* ticks() {
            for (let count = 0; !signal.aborted; count++) {
              yield { data: { count } };
              await new Promise((resolve) => setTimeout(resolve, 50));
            }
          }
          return new EventStream(ticks());
        },
      }),
    ),
  ]);
  const stream = await fetch(`${url}/api/v1/history/stream`, { headers: { authorization: 'Bearer user:once' } });
  assert.equal(stream.status, 200);
  revoked.add('user:once');
  assert.ok(stream.body);
  const decoder = new TextDecoder();
  let seen = '';
  // It would go on for ever.
  await assert.rejects(async () => {
    for await (const bytes of stream.body ?? []) seen += decoder.decode(bytes, { stream: true });
  });
  assert.match(seen, /"count":0/);
});

test('bodies of shared routes: unreadable and oversized ones are told as such', async (t) => {
  const { url } = await startTestServer(t);
  const register = async (body: string, type = 'application/json') => {
    const answer = await callApi(url, 'POST', '/auth/register', { body, headers: { 'content-type': type } });
    return [answer.status, answer.body.error_code];
  };
  assert.deepEqual(await register('{'), [422, 'VALIDATION_ERROR']);
  assert.equal((await register(`{"name":"${'x'.repeat(3 << 20)}"}`))[0], 413);
  const missing = await callApi(url, 'POST', '/auth/register', { body: { email: 'a@b.cn', password: 'Abc12345' } });
  assert.deepEqual(
    missing.body.error.details.map(({ field }: { field: string }) => field),
    ['name', 'username'],
  );
  const form = await callApi(url, 'POST', '/auth/login', { body: new URLSearchParams() });
  assert.deepEqual([form.status, form.body.success], [422, undefined]);
});

test('login limit: all spellings of an address share one count', async (t) => {
  const { url } = await startTestServer(t);
  const statuses = [];
  for (const letter of ['b', 'ｂ', '𝐛', '𝓫', 'ⓑ', 'B', '𝚋']) {
    const body = { email: `${letter}@example.com`, password: 'wrong' };
    statuses.push((await callApi(url, 'POST', '/auth/login', { body })).status);
  }
  assert.deepEqual(statuses, [401, 401, 401, 401, 401, 429, 429]);
});

test('the same method and path twice in one contract stops the start', async (t) => {
  await assert.rejects(
    serveRoutes(t, [...dialects, ...dialects.slice(0, 1)]),
    /declared twice for the reports contract/,
  );
});

test('what is no HTTP request is told why, in a body for all clients', async (t) => {
  const { url } = await serveRoutes(t, dialects);
  const answerTo = async (line: string) => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    socket.write(`${line}\r\nHost: x\r\n\r\n`);
    const [head = '', body = ''] = (await textOf(socket)).split('\r\n\r\n');
    assert.match(head, /X-Trace-Id: \S+/);
    return { status: Number(head.split(' ')[1]), ...JSON.parse(body) };
  };
  const chinese = await answerTo('GET /api/v1/history?keyword=骨质 HTTP/1.1');
  assert.match(chinese.message, /百分号编码.*percent-encoded/);
  assert.deepEqual([chinese.status, chinese.success, chinese.data, chinese.status_code], [400, false, null, 400]);
  const long = await answerTo(`GET /api/v1/history?keyword=${'x'.repeat(20_000)} HTTP/1.1`);
  assert.deepEqual([long.status, long.code], [431, 431]);
  assert.equal((await answerTo('HELLO')).status, 400);
});
