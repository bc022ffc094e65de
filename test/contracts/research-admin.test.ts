import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { authenticatorService } from '../../core/auth.ts';
import { usageService } from '../../runtime/usage/index.ts';
import type { Answer, CallOptions } from '../support/api-client.ts';
import { startTestServer, type TestServer } from '../support/app.ts';
import { changedManifest } from '../support/manifest.ts';

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const USER_ID = /^user-[0-9a-f-]{36}$/;
const ADMIN = { email: 'root@example.com', password: 'Root12345' };
const PASSWORD = 'password123';

function disposableFolder(t: { after(dispose: () => unknown): void }): string {
  const folder = mkdtempSync(join(tmpdir(), 'koagent-audit-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

// Source: research document, section 8; contracts/research.md, rows 28-30 and section 2.7.
describe('administration', () => {
  const disposers: (() => unknown)[] = [];
  const owner = { after: (dispose: () => unknown) => void disposers.push(dispose) } as never;
  let server: TestServer;
  let admin: string;

  before(async () => {
    const manifest = changedManifest(owner, ({ http, runtime }) => {
      http.limits.research = { user: 100_000, admin: 100_000, anonymous: 100_000, login: 100_000 };
      runtime.budgets = { perAccount: { tokens: 1000, period: 'day' } };
    });
    server = await startTestServer(owner, {
      KOAGENT_MANIFEST: manifest,
      KOAGENT_ADMIN_EMAIL: ADMIN.email,
      KOAGENT_ADMIN_PASSWORD: ADMIN.password,
    });
    admin = (await login(ADMIN.email, ADMIN.password)).body.data.accessToken;
  });
  after(async () => {
    for (const dispose of disposers.reverse()) await dispose();
  });

  const call = (method: string, path: string, options: CallOptions = {}) =>
    server.call(method, path, { ...options, token: options.token ?? admin });
  const login = (email: string, password = PASSWORD) =>
    server.call('POST', '/auth/login', { body: { email, password } });

  async function person(name: string): Promise<{ id: string; email: string; token: string }> {
    const email = `${name}@example.com`;
    const made = await server.call('POST', '/auth/register', { body: { email, password: PASSWORD, name } });
    assert.equal(made.status, 201, made.text);
    return { id: made.body.data.userId, email, token: (await login(email)).body.data.accessToken };
  }

  function success({ status, body, text }: Answer, wanted = 200) {
    assert.equal(status, wanted, text);
    assert.equal(body.success, true);
    assert.match(body.timestamp, TIME);
    return body.data;
  }

  function failure({ status, body, text }: Answer, wanted: number, code: string, field?: string) {
    assert.deepEqual([status, body?.success, body?.error?.code], [wanted, false, code], text);
    if (field !== undefined) assert.equal(body.error.details[0].field, field);
  }

  test('every route is for administrators alone', async () => {
    const { token, id } = await person('plain');
    for (const [method, path, body] of [
      ['GET', '/admin/users'],
      ['PATCH', `/admin/users/${id}`, { status: 'active' }],
      ['GET', '/admin/statistics'],
      ['GET', '/admin/audit-log'],
      ['GET', '/admin/usage'],
    ] as const) {
      failure(await call(method, path, { token, body }), 403, 'FORBIDDEN');
      failure(await server.call(method, path, { body }), 401, 'UNAUTHORIZED');
    }
  });

  test('GET /admin/users: the sample', async () => {
    const one = await person('zhangsan');
    const { items, pagination } = success(
      await call('GET', '/admin/users?page=1&pageSize=20&status=active&keyword=zhangs'),
    );
    assert.deepEqual(pagination, { page: 1, pageSize: 20, total: 1, totalPages: 1, hasNext: false, hasPrev: false });
    const [{ createdAt, lastLoginAt, ...item }] = items;
    assert.match(createdAt, TIME);
    assert.match(lastLoginAt, TIME);
    assert.deepEqual(item, {
      id: one.id,
      email: one.email,
      name: 'zhangsan',
      role: 'user',
      status: 'active',
      kbUsed: 0,
      conversationCount: 0,
    });
  });

  test('GET /admin/users: counts what other plugins have of an account; one that never logged in has null', async () => {
    const one = await person('counted');
    for (const name of ['First', 'Second']) {
      const made = await call('POST', '/knowledge-bases', { token: one.token, body: { name } });
      assert.equal(made.status, 201, made.text);
    }
    await server.call('POST', '/auth/register', {
      body: { email: 'new@counted.example', password: PASSWORD, name: 'n' },
    });
    const { items } = success(await call('GET', '/admin/users?keyword=counted&sortBy=email&sortOrder=asc'));
    assert.deepEqual(
      items.map((item: Record<string, unknown>) => [item.email, item.kbUsed, item.lastLoginAt === null]),
      [
        ['counted@example.com', 2, false],
        ['new@counted.example', 0, true],
      ],
    );
  });

  test('GET /admin/users: pages, and what is wrong with a query', async () => {
    for (const name of ['page-a', 'page-b', 'page-c']) await person(name);
    const first = success(await call('GET', '/admin/users?keyword=page-&pageSize=2'));
    assert.deepEqual(
      first.items.map(({ name }: { name: string }) => name),
      ['page-c', 'page-b'],
      'newest first',
    );
    assert.deepEqual([first.pagination.total, first.pagination.totalPages, first.pagination.hasNext], [3, 2, true]);
    const beyond = success(await call('GET', '/admin/users?keyword=page-&page=9'));
    assert.deepEqual([beyond.items, beyond.pagination.hasNext], [[], false]);
    for (const [query, field] of [
      ['status=gone', 'status'],
      ['pageSize=101', 'pageSize'],
      ['page=0', 'page'],
      ['sortBy=password', 'sortBy'],
    ] as const) {
      failure(await call('GET', `/admin/users?${query}`), 422, 'VALIDATION_ERROR', field);
    }
    assert.equal(success(await call('GET', '/admin/users?keyword=.*')).pagination.total, 0, 'taken literally');
  });

  test('PATCH /admin/users/:id: the sample; tokens end at once, and logins are refused', async () => {
    const one = await person('suspended');
    const answer = await call('PATCH', `/admin/users/${one.id}`, { body: { status: 'suspended' } });
    assert.equal(success(answer), undefined);
    assert.equal(answer.body.message, '用户状态已更新');
    assert.deepEqual(Object.keys(answer.body).sort(), ['message', 'success', 'timestamp']);
    failure(await call('GET', '/users/me', { token: one.token }), 403, 'FORBIDDEN');
    failure(await login(one.email), 403, 'FORBIDDEN');
    const { items } = success(await call('GET', '/admin/users?status=suspended'));
    assert.deepEqual(
      items.map(({ id }: { id: string }) => id),
      [one.id],
    );
    success(await call('PATCH', `/admin/users/${one.id}`, { body: { status: 'inactive' } }));
    failure(await login(one.email), 403, 'FORBIDDEN');
    success(await call('PATCH', `/admin/users/${one.id}`, { body: { status: 'active' } }));
    success(await call('GET', '/users/me', { token: one.token }));
  });

  test('PATCH /admin/users/:id: the own account is 409, unknown ones are 404, wrong fields 422', async () => {
    const me = success(await call('GET', '/users/me'));
    failure(await call('PATCH', `/admin/users/${me.id}`, { body: { status: 'inactive' } }), 409, 'CONFLICT');
    failure(await call('PATCH', `/admin/users/${me.id}`, { body: { status: 'active' } }), 409, 'CONFLICT');
    const nobody = 'user-11111111-1111-4111-8111-111111111111';
    for (const id of [nobody, 'user-123', 'nobody', '7']) {
      failure(await call('PATCH', `/admin/users/${id}`, { body: { status: 'active' } }), 404, 'NOT_FOUND');
    }
    for (const body of [{}, { status: 'gone' }, { status: null }, { status: ['active'] }]) {
      failure(await call('PATCH', `/admin/users/${nobody}`, { body }), 422, 'VALIDATION_ERROR', 'status');
    }
    failure(
      await call('PATCH', `/admin/users/${nobody}`, { body: '{', headers: { 'content-type': 'application/json' } }),
      400,
      'BAD_REQUEST',
    );
  });

  test('GET /admin/statistics: the sample', async () => {
    const before = success(await call('GET', '/admin/statistics'));
    const one = await person('statistics');
    await call('POST', '/knowledge-bases', { token: one.token, body: { name: 'one more' } });
    await call('PATCH', `/admin/users/${one.id}`, { body: { status: 'inactive' } });
    const now = success(await call('GET', '/admin/statistics'));
    assert.deepEqual(Object.keys(now), ['users', 'conversations', 'agents', 'knowledgeBases']);
    assert.deepEqual(now.users, {
      total: before.users.total + 1,
      active: before.users.active,
      newToday: before.users.newToday + 1,
      new7Days: before.users.new7Days + 1,
    });
    assert.deepEqual(Object.keys(now.conversations), ['total', 'today', 'avgPerUser']);
    assert.ok(Array.isArray(now.agents.mostUsed));
    assert.equal(now.knowledgeBases.total, before.knowledgeBases.total + 1);
    assert.deepEqual(Object.keys(now.knowledgeBases), ['total', 'totalDocuments', 'totalSizeGB']);
  });

  test('conversations are counted with general chats and without deleted ones', async () => {
    const one = await person('talker');
    const before = success(await call('GET', '/admin/statistics'));
    const open = async () =>
      success(await call('POST', '/conversations', { token: one.token, body: { agentId: 'agent-picos' } }), 201).id;
    const [kept, gone] = [await open(), await open()];
    assert.notEqual(kept, gone);
    await call('DELETE', `/conversations/${gone}`, { token: one.token });
    const chat = { content: '你好', modelType: 'deepseek-v3' };
    await call('POST', '/chat/stream', { token: one.token, body: chat });
    const { items } = success(await call('GET', '/admin/users?keyword=talker'));
    assert.equal(items[0].conversationCount, 2);
    const { conversations, agents, users } = success(await call('GET', '/admin/statistics'));
    assert.equal(conversations.total, before.conversations.total + 2);
    assert.equal(conversations.today, before.conversations.today + 2);
    assert.equal(conversations.avgPerUser, Math.round((conversations.total / users.total) * 10) / 10);
    const picos = agents.mostUsed.find(({ agentId }: { agentId: string }) => agentId === 'agent-picos');
    assert.deepEqual([picos?.name, picos?.count], ['PICOS构建', 1]);
    // The answer of the general chat was a call of a model.
    const usage = success(await call('GET', '/users/me/usage', { token: one.token }));
    assert.equal(usage.totals.calls, 1);
  });

  test('GET /users/me/usage and /admin/usage: tokens by day and model, and what is left', async () => {
    const one = await person('spender');
    const check = await server.server.app.host.find(authenticatorService)?.check(one.token);
    const usage = server.server.app.host.find(usageService);
    assert.ok(check && 'identity' in check && usage);
    const call1 = {
      runId: 'r1',
      kind: 'chat',
      model: 'm1',
      inputTokens: 70,
      outputTokens: 30,
      cachedTokens: 10,
      estimated: false,
    };
    await usage.record(check.identity.principal, call1);
    await usage.record(check.identity.principal, { ...call1, model: 'm2' });
    const date = new Date().toISOString().slice(0, 10);
    const sums = { calls: 1, inputTokens: 70, outputTokens: 30, totalTokens: 100, cachedTokens: 10, cost: [] };
    const own = success(await call('GET', '/users/me/usage', { token: one.token }));
    assert.deepEqual(own.totals, {
      calls: 2,
      inputTokens: 140,
      outputTokens: 60,
      totalTokens: 200,
      cachedTokens: 20,
      cost: [],
    });
    assert.deepEqual(own.days, [
      { date, model: 'm1', ...sums },
      { date, model: 'm2', ...sums },
    ]);
    const [{ resetAt, ...budget }] = own.budgets;
    assert.match(resetAt, TIME);
    assert.deepEqual(budget, { scope: 'account', resource: 'tokens', quota: 1000, used: 200 });

    const ofOne = success(await call('GET', `/admin/usage?accountId=${one.id}&startDate=${date}&endDate=${date}`));
    assert.deepEqual(ofOne.days, own.days);
    assert.ok(success(await call('GET', '/admin/usage')).totals.calls >= 2);
    assert.equal(success(await call('GET', '/admin/usage?endDate=2020-01-01')).totals.calls, 0);
    assert.equal(
      success(await call('GET', '/users/me/usage', { token: (await person('idle')).token })).totals.calls,
      0,
    );
    failure(await call('GET', '/admin/usage?startDate=2026-02-30'), 422, 'VALIDATION_ERROR', 'startDate');
    failure(await call('GET', '/admin/usage?startDate=yesterday'), 422, 'VALIDATION_ERROR', 'startDate');
    failure(
      await call('GET', '/admin/usage?startDate=2026-02-02&endDate=2026-02-01'),
      422,
      'VALIDATION_ERROR',
      'endDate',
    );
  });

  describe('audit log', () => {
    const log = async (query: string) => {
      await delay(150);
      return success(await call('GET', `/admin/audit-log?${query}`));
    };

    test('who did what to which object, when, from where, and how it ended', async () => {
      const one = await person('audited');
      const made = await call('POST', '/knowledge-bases', {
        token: one.token,
        body: { name: 'very-private' },
        headers: { 'x-trace-id': 'trace-audit' },
      });
      const id = made.body.data.id;
      await call('DELETE', `/knowledge-bases/${id}`, { token: one.token });
      await call('DELETE', `/knowledge-bases/${id}`, { token: one.token });
      await login(one.email, 'wrong-password');

      const { items, pagination } = await log(`accountId=${one.id}`);
      assert.equal(pagination.total, 5);
      assert.deepEqual(
        items.map((item: Record<string, unknown>) => [item.method, item.route, item.status]),
        [
          ['DELETE', '/api/v1/knowledge-bases/:id', 404],
          ['DELETE', '/api/v1/knowledge-bases/:id', 204],
          ['POST', '/api/v1/knowledge-bases', 201],
          ['POST', '/api/v1/auth/login', 200],
          ['POST', '/api/v1/auth/register', 201],
        ],
      );
      const [, , { id: entryId, at, tenantId, objectIds, action, ip, ...entry }] = items;
      assert.match(entryId, /^[0-9a-f-]{36}$/);
      assert.match(at, TIME);
      assert.match(tenantId, /^account-/);
      assert.match(one.id, USER_ID);
      assert.ok(objectIds.includes(id) && objectIds.includes(id.replace('kb-', '')));
      assert.match(action, /知识库/);
      assert.match(ip, /127\.0\.0\.1/);
      assert.deepEqual(entry, {
        accountId: one.id,
        principal: 'user',
        contract: 'research',
        method: 'POST',
        route: '/api/v1/knowledge-bases',
        status: 201,
        traceId: 'trace-audit',
      });
      const all = JSON.stringify(await log('pageSize=100'));
      for (const secret of ['very-private', PASSWORD, 'wrong-password', one.token, one.email]) {
        assert.ok(!all.includes(secret), secret);
      }
    });

    test('filters: object, action in words, route, time, pages', async () => {
      const one = await person('filtered');
      const made = await call('POST', '/knowledge-bases', { token: one.token, body: { name: 'n' } });
      const { id } = made.body.data;
      const byObject = await log(`objectId=${id}`);
      assert.deepEqual(
        byObject.items.map(({ accountId }: { accountId: string }) => accountId),
        [one.id],
      );
      assert.equal((await log(`objectId=${id.replace('kb-', '')}`)).pagination.total, 1);
      const logins = await log(`action=${encodeURIComponent('登录')}&pageSize=100`);
      assert.ok(logins.items.length > 1);
      assert.ok(logins.items.every(({ route }: { route: string }) => route.startsWith('/api/v1/auth/')));
      const failed = await log('route=/api/v1/auth/login&pageSize=100');
      assert.ok(failed.items.every(({ route }: { route: string }) => route === '/api/v1/auth/login'));
      const unknown = failed.items.filter(({ status }: { status: number }) => status === 401);
      assert.ok(unknown.length > 0 && unknown.every(({ accountId }: { accountId: unknown }) => accountId === null));
      assert.equal((await log('endDate=2020-01-01')).pagination.total, 0);
      const today = new Date().toISOString().slice(0, 10);
      assert.ok((await log(`startDate=${today}&endDate=${today}&pageSize=1`)).pagination.totalPages > 5);
      failure(await call('GET', '/admin/audit-log?startDate=x'), 422, 'VALIDATION_ERROR', 'startDate');
      failure(await call('GET', '/admin/audit-log?pageSize=1000'), 422, 'VALIDATION_ERROR', 'pageSize');
    });

    test('every API is in it, and what waits at shutdown is stored', async (t) => {
      const { body } = await server.call('POST', '/users/register', {
        body: { email: 'studio@example.com', password: PASSWORD },
      });
      assert.equal(body.code, 200);
      const { items } = await log('route=/api/v1/users/register');
      assert.equal(items[0].contract, 'studio');
      assert.ok(items[0].objectIds.includes(String(body.data.id)), 'the number that the API shows');

      const stopped = await startTestServer(t, {
        KOAGENT_DATA_DIR: disposableFolder(t),
        KOAGENT_ADMIN_EMAIL: ADMIN.email,
        KOAGENT_ADMIN_PASSWORD: ADMIN.password,
      });
      await stopped.call('POST', '/auth/login', { body: ADMIN });
      await stopped.server.close();
      const again = await startTestServer(t, { KOAGENT_DATA_DIR: stopped.dataDir });
      const token = (await again.call('POST', '/auth/login', { body: ADMIN })).body.data.accessToken;
      const found = success(await again.call('GET', '/admin/audit-log?action=Logs', { token }));
      assert.ok(found.items.length >= 1);
    });
  });
});
