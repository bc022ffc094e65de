import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { type Answer, serveAccounts, TEST_ADMIN } from '../support/accounts.ts';

// Source: research document, sections on authentication, 1 and 2; the values are those of its samples.
const { call, accounts } = await serveAccounts(
  { after },
  { limits: { research: { login: 1000, user: 10_000, admin: 10_000 } } },
);
const person = { email: 'user@example.com', password: 'password123', name: '张三' };
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const USER_ID = /^user-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const login = async (email = person.email, password = person.password) =>
  (await call('POST', '/auth/login', { body: { email, password } })).body.data;

function success({ status, body }: Answer, wanted: number, message?: string) {
  assert.equal(status, wanted, JSON.stringify(body));
  assert.equal(body.success, true);
  assert.match(body.timestamp, TIME);
  assert.equal(typeof body.message, 'string');
  if (message !== undefined) assert.equal(body.message, message);
  return body.data;
}

function failure({ status, body }: Answer, wanted: number, code: string, field?: string) {
  assert.deepEqual([status, body.success, body.error.code], [wanted, false, code], JSON.stringify(body));
  assert.match(body.timestamp, TIME);
  assert.equal(typeof body.error.message, 'string');
  if (field !== undefined) {
    assert.ok(
      body.error.details.some((detail: { field: string; message: string }) => detail.field === field && detail.message),
      JSON.stringify(body),
    );
  }
  return body.error;
}

test('POST /auth/register: the sample', async () => {
  const answer = await call('POST', '/auth/register', { body: person });
  const { userId, ...data } = success(answer, 201);
  assert.match(userId, USER_ID);
  assert.deepEqual(data, { email: person.email, message: '注册成功，请登录' });
});

test('POST /auth/register: the message follows the language of the request', async () => {
  const body = { email: 'english@example.com', password: 'password123', name: 'Ann' };
  const answer = await call('POST', '/auth/register', { body, headers: { 'accept-language': 'en' } });
  assert.equal(success(answer, 201).message, 'Registered, please log in');
});

test('POST /auth/register: a taken address is 409, wrong fields are 422 with each field', async () => {
  failure(await call('POST', '/auth/register', { body: { ...person, email: 'USER@EXAMPLE.COM' } }), 409, 'CONFLICT');
  const error = failure(
    await call('POST', '/auth/register', { body: { email: 'wrong', password: 'short', name: ' ' } }),
    422,
    'VALIDATION_ERROR',
  );
  assert.deepEqual(error.details.map(({ field }: { field: string }) => field).sort(), ['email', 'name', 'password']);
  assert.deepEqual(
    error.details.find(({ field }: { field: string }) => field === 'email'),
    { field: 'email', message: '邮箱格式不正确' },
  );
  const register = (fields: object) =>
    call('POST', '/auth/register', {
      body: { email: 'new@example.com', password: 'password123', name: 'N', ...fields },
    });
  for (const password of ['12345678', 'abcdefgh', 'p1'.repeat(65)])
    failure(await register({ password }), 422, 'VALIDATION_ERROR', 'password');
  for (const email of ['a@b', 'a..b@example.com', 'a@exam ple.com', 'a@example.com\n<script>', { $ne: 1 }]) {
    failure(await register({ email }), 422, 'VALIDATION_ERROR', 'email');
  }
  failure(await register({ name: 'n'.repeat(51) }), 422, 'VALIDATION_ERROR', 'name');
  failure(
    await call('POST', '/auth/register', {
      body: '{"email":"x","name":',
      headers: { 'content-type': 'application/json', 'x-api-contract': 'research' },
    }),
    400,
    'BAD_REQUEST',
  );
});

test('POST /auth/register: of many at once with one address one is made', async () => {
  const body = { email: 'race@example.com', password: 'password123', name: 'R' };
  const answers = await Promise.all(Array.from({ length: 6 }, () => call('POST', '/auth/register', { body })));
  assert.deepEqual(answers.map(({ status }) => status).sort(), [201, 409, 409, 409, 409, 409]);
});

test('POST /auth/login: the sample', async () => {
  const answer = await call('POST', '/auth/login', { body: { email: person.email, password: person.password } });
  const { accessToken, refreshToken, user, ...rest } = success(answer, 200);
  assert.deepEqual(rest, { expiresIn: 604800 });
  assert.match(accessToken, /^eyJ/);
  assert.match(refreshToken, /^eyJ/);
  const { id, ...who } = user;
  assert.match(id, USER_ID);
  assert.deepEqual(who, { email: person.email, name: '张三', role: 'user' });
});

test('POST /auth/login: an unknown address and a wrong password look the same', async () => {
  const wrong = failure(
    await call('POST', '/auth/login', { body: { email: person.email, password: 'wrong1234' } }),
    401,
    'UNAUTHORIZED',
  );
  const unknown = failure(
    await call('POST', '/auth/login', { body: { email: 'nobody@example.com', password: 'wrong1234' } }),
    401,
    'UNAUTHORIZED',
  );
  assert.deepEqual(unknown, wrong);
  failure(await call('POST', '/auth/login', { body: { email: person.email } }), 422, 'VALIDATION_ERROR', 'password');
  failure(
    await call('POST', '/auth/login', { body: { email: person.email, password: { $ne: '' } } }),
    422,
    'VALIDATION_ERROR',
    'password',
  );
});

test('POST /auth/refresh: the sample; the refresh token stays valid', async () => {
  const { accessToken, refreshToken } = await login();
  for (let round = 0; round < 2; round += 1) {
    const data = success(await call('POST', '/auth/refresh', { body: { refreshToken } }), 200);
    assert.deepEqual(Object.keys(data), ['accessToken', 'expiresIn']);
    assert.equal(data.expiresIn, 604800);
    success(await call('GET', '/users/me', { token: data.accessToken }), 200);
  }
  for (const wrong of [
    accessToken,
    'garbage',
    (await accounts.login('studio', person.email, person.password)).refreshToken,
  ]) {
    failure(await call('POST', '/auth/refresh', { body: { refreshToken: wrong } }), 401, 'UNAUTHORIZED');
  }
  failure(await call('POST', '/auth/refresh', { body: {} }), 422, 'VALIDATION_ERROR', 'refreshToken');
});

test('POST /auth/logout: 204 without a body; the tokens of this login end, others stay', async () => {
  const [one, two] = [await login(), await login()];
  const answer = await call('POST', '/auth/logout', { token: one.accessToken });
  assert.deepEqual([answer.status, answer.text], [204, '']);
  failure(await call('POST', '/auth/logout', { token: one.accessToken }), 401, 'UNAUTHORIZED');
  failure(await call('POST', '/auth/refresh', { body: { refreshToken: one.refreshToken } }), 401, 'UNAUTHORIZED');
  success(await call('GET', '/users/me', { token: two.accessToken }), 200);
  assert.equal((await call('POST', '/auth/logout', { token: two.accessToken, body: { any: 'thing' } })).status, 204);
  failure(await call('POST', '/auth/logout'), 401, 'UNAUTHORIZED');
});

test('GET /users/me: the sample, with avatar and status', async () => {
  const { accessToken: token } = await login();
  const answer = await call('GET', '/users/me', { token });
  const { id, trialEndsAt, createdAt, ...data } = success(answer, 200);
  assert.match(id, USER_ID);
  assert.match(createdAt, TIME);
  assert.equal(Date.parse(trialEndsAt) - Date.parse(createdAt) > 29 * 86_400_000, true);
  assert.deepEqual(data, {
    email: person.email,
    name: '张三',
    role: 'user',
    status: 'active',
    avatarUrl: null,
    kbQuota: 3,
    kbUsed: 0,
    isTrial: true,
  });
  // Without a cache-control of its own fetch would ask for a full answer.
  const conditional = { 'if-none-match': answer.headers.get('etag') ?? '', 'cache-control': 'max-age=0' };
  const again = await call('GET', '/users/me', { token, headers: conditional });
  assert.equal(again.status, 304);
});

test('GET /users/me: without a token 401, with a refresh token 401', async () => {
  const { refreshToken } = await login();
  failure(await call('GET', '/users/me', { token: refreshToken }), 401, 'UNAUTHORIZED');
  const merged = await call('GET', '/users/me');
  assert.deepEqual([merged.status, merged.body.code, merged.body.error.code], [401, 40100, 'UNAUTHORIZED']);
});

test('PATCH /users/me: the sample; wrong values are 422', async () => {
  const { accessToken: token } = await login();
  const patch = (body: unknown) => call('PATCH', '/users/me', { token, body });
  const { id, ...data } = success(await patch({ name: '李四', avatarUrl: 'https://example.com/a.png' }), 200);
  assert.match(id, USER_ID);
  assert.deepEqual(data, { name: '李四', avatarUrl: 'https://example.com/a.png' });
  assert.deepEqual(success(await patch({ avatarUrl: null }), 200), { id, name: '李四', avatarUrl: null });
  assert.equal(success(await patch({ name: ' 王五 ' }), 200).name, '王五');
  failure(await patch({}), 422, 'VALIDATION_ERROR');
  failure(await patch({ role: 'admin' }), 422, 'VALIDATION_ERROR');
  for (const avatarUrl of ['javascript:alert(1)', 'x', 7])
    failure(await patch({ avatarUrl }), 422, 'VALIDATION_ERROR', 'avatarUrl');
  for (const name of ['', '  ', 'n'.repeat(51), null]) failure(await patch({ name }), 422, 'VALIDATION_ERROR', 'name');
});

test('POST /users/me/change-password: the sample passwords; all refresh tokens end', async () => {
  const account = { email: 'change@example.com', password: 'password123', name: 'C' };
  await call('POST', '/auth/register', { body: account });
  const { accessToken: token, refreshToken } = await login(account.email);
  const other = await login(account.email);
  const change = (oldPassword: unknown, newPassword: unknown) =>
    call('POST', '/users/me/change-password', { token, body: { oldPassword, newPassword } });
  failure(await change('wrong123', 'new456'), 422, 'VALIDATION_ERROR', 'oldPassword');
  failure(await change('password123', 'password123'), 422, 'VALIDATION_ERROR', 'newPassword');
  for (const weak of ['new45', '123456', 'abcdef', 'n1'.repeat(65), null])
    failure(await change('password123', weak), 422, 'VALIDATION_ERROR', 'newPassword');
  const done = await change('password123', 'new456');
  assert.equal(success(done, 200, '密码修改成功'), undefined);
  assert.equal('data' in done.body, false);
  for (const ended of [refreshToken, other.refreshToken])
    failure(await call('POST', '/auth/refresh', { body: { refreshToken: ended } }), 401, 'UNAUTHORIZED');
  success(await call('GET', '/users/me', { token }), 200);
  failure(await call('GET', '/users/me', { token: other.accessToken }), 401, 'UNAUTHORIZED');
  failure(
    await call('POST', '/auth/login', { body: { email: account.email, password: account.password } }),
    401,
    'UNAUTHORIZED',
  );
  assert.ok((await login(account.email, 'new456')).accessToken);
});

test('inactive and suspended accounts cannot log in, and their tokens stop at once', async () => {
  const account = { email: 'blocked@example.com', password: 'password123', name: 'B' };
  await call('POST', '/auth/register', { body: account });
  const { accessToken: token, refreshToken, user } = await login(account.email);
  const root = await accounts.login('research', TEST_ADMIN.email, TEST_ADMIN.password);
  const admin = { kind: 'user', accountId: root.account.id, tenantId: 't', roles: ['admin'] } as const;
  for (const status of ['inactive', 'suspended'] as const) {
    await accounts.setStatus(admin, user.id.replace('user-', ''), status);
    failure(await call('GET', '/users/me', { token }), 403, 'FORBIDDEN');
    failure(await call('POST', '/auth/login', { body: account }), 403, 'FORBIDDEN');
    failure(await call('POST', '/auth/refresh', { body: { refreshToken } }), 403, 'FORBIDDEN');
  }
  await accounts.setStatus(admin, user.id.replace('user-', ''), 'active');
  success(await call('GET', '/users/me', { token }), 200);
});

test('the configured administrator has the role admin', async () => {
  assert.equal((await login(TEST_ADMIN.email, TEST_ADMIN.password)).user.role, 'admin');
});

test('login: five attempts a minute for one address and account', async () => {
  const limited = await serveAccounts({ after });
  const attempt = (email: string) => limited.call('POST', '/auth/login', { body: { email, password: 'wrong1234' } });
  for (let n = 0; n < 5; n += 1) failure(await attempt('victim@example.com'), 401, 'UNAUTHORIZED');
  const refused = await attempt('VICTIM@example.com');
  failure(refused, 429, 'RATE_LIMIT');
  assert.ok(Number(refused.headers.get('retry-after')) > 0);
  failure(await attempt('other@example.com'), 401, 'UNAUTHORIZED');
});
