import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { serveAccounts, TEST_ADMIN } from '../support/accounts.ts';

// Source: studio document, 2.1 to 2.4; the values are those of its samples.
const { call, accounts } = await serveAccounts({ after }, { limits: { studio: { login: 1000 } } });
const person = { email: 'user@example.com', password: 'Abc12345', nickname: '张三' };
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;
const login = async (email = person.email, password = person.password) =>
  (await call('POST', '/users/login', { body: { email, password } })).body.data;
const failure =
  (code: number, message: RegExp) =>
  (answer: { status: number; body: { code: number; message: string; data: null } }) => {
    assert.deepEqual(Object.keys(answer.body), ['code', 'message', 'data']);
    assert.deepEqual([answer.status, answer.body.code, answer.body.data], [Math.floor(code / 100), code, null]);
    assert.match(answer.body.message, message);
  };

test('POST /users/register: the sample', async () => {
  const { status, body } = await call('POST', '/users/register', { body: person });
  assert.equal(status, 200);
  const { created_at, ...data } = body.data;
  assert.deepEqual(
    { ...body, data },
    { code: 200, message: 'success', data: { id: 1, email: person.email, nickname: '张三' } },
  );
  assert.match(created_at, TIME);
});

test('POST /users/register: without a nickname it is null; ids count', async () => {
  const { body } = await call('POST', '/users/register', { body: { email: 'two@example.com', password: 'Abc12345' } });
  assert.deepEqual([body.data.id, body.data.nickname], [2, null]);
  assert.deepEqual(Object.keys(body.data), ['id', 'email', 'nickname', 'created_at']);
});

test('POST /users/register: what is wrong gets its code', async () => {
  const register = (fields: object) =>
    call('POST', '/users/register', { body: { email: 'new@example.com', password: 'Abc12345', ...fields } });
  failure(40002, /邮箱/)(await register({ email: 'USER@example.com' }));
  for (const password of ['Abc1234', '12345678', 'abcdefgh', 'x1'.repeat(65)])
    failure(40003, /密码/)(await register({ password }));
  for (const email of [
    'no address',
    '',
    'a@b',
    `${'a'.repeat(60)}@${'b'.repeat(200)}.com`,
    'a@-b.com',
    7,
    null,
    { $ne: null },
    ['a@b.com'],
  ]) {
    failure(40000, /email/)(await register({ email }));
  }
  failure(40000, /nickname/)(await register({ nickname: 'n'.repeat(51) }));
  failure(40000, /password/)(await register({ password: undefined }));
  failure(
    40000,
    /./,
  )(await call('POST', '/users/register', { body: '{"email":', headers: { 'content-type': 'application/json' } }));
  failure(40000, /./)(await call('POST', '/users/register'));
});

test('POST /users/register: unknown fields cannot make an administrator', async () => {
  const body = JSON.parse(
    '{"email":"sly@example.com","password":"Abc12345","role":"admin","status":"x","_id":"1","__proto__":{"role":"admin"}}',
  );
  const { status } = await call('POST', '/users/register', { body });
  assert.equal(status, 200);
  const { account } = await accounts.login('studio', 'sly@example.com', 'Abc12345');
  assert.deepEqual([account.role, account.status], ['user', 'active']);
});

test('POST /users/login: the sample', async () => {
  const { status, body } = await call('POST', '/users/login', {
    body: { email: person.email, password: person.password },
  });
  assert.equal(status, 200);
  assert.deepEqual(Object.keys(body), ['code', 'message', 'data']);
  const { access_token, refresh_token, ...rest } = body.data;
  assert.deepEqual(rest, { token_type: 'bearer', expires_in: 1800 });
  assert.match(access_token, /^eyJ/);
  assert.match(refresh_token, /^eyJ/);
});

test('POST /users/login: an unknown address and a wrong password look the same', async () => {
  const wrong = await call('POST', '/users/login', { body: { email: person.email, password: 'Wrong1234' } });
  const unknown = await call('POST', '/users/login', { body: { email: 'nobody@example.com', password: 'Wrong1234' } });
  failure(40101, /./)(wrong);
  assert.deepEqual(unknown.body, wrong.body);
  failure(40101, /./)(await call('POST', '/users/login', { body: { email: 'no address', password: 'x' } }));
  failure(40000, /password/)(await call('POST', '/users/login', { body: { email: person.email } }));
  failure(40000, /email/)(await call('POST', '/users/login', { body: { email: { $gt: '' }, password: { $gt: '' } } }));
});

test('POST /users/refresh: both tokens are new; a used one is refused and ends the family', async () => {
  const first = await login();
  const { status, body } = await call('POST', '/users/refresh', { body: { refresh_token: first.refresh_token } });
  assert.equal(status, 200);
  const { access_token, refresh_token, ...rest } = body.data;
  assert.deepEqual(rest, { token_type: 'bearer', expires_in: 1800 });
  assert.notEqual(access_token, first.access_token);
  assert.notEqual(refresh_token, first.refresh_token);
  assert.equal((await call('GET', '/users/me', { token: access_token })).status, 200);
  failure(40102, /./)(await call('POST', '/users/refresh', { body: { refresh_token: first.refresh_token } }));
  failure(40102, /./)(await call('POST', '/users/refresh', { body: { refresh_token } }));
  failure(40100, /./)(await call('GET', '/users/me', { token: access_token }));
});

test('POST /users/refresh: an access token, one of another API and garbage are refused', async () => {
  const { access_token } = await login();
  const research = await accounts.login('research', person.email, person.password);
  for (const refresh_token of [access_token, research.refreshToken, 'garbage', 'a.b.c']) {
    failure(40102, /./)(await call('POST', '/users/refresh', { body: { refresh_token } }));
  }
  failure(40000, /refresh_token/)(await call('POST', '/users/refresh', { body: {} }));
  failure(40000, /refresh_token/)(await call('POST', '/users/refresh', { body: { refresh_token: null } }));
});

test('GET /users/me: the sample', async () => {
  const { access_token: token } = await login();
  const { body, headers } = await call('GET', '/users/me', { token });
  const { created_at, ...data } = body.data;
  assert.deepEqual(
    { ...body, data },
    { code: 200, message: 'success', data: { id: 1, email: person.email, nickname: '张三', avatar: null } },
  );
  assert.match(created_at, TIME);
  assert.equal(headers.get('cache-control'), 'no-store');
  const { principal } = { principal: await accounts.login('studio', person.email, person.password) };
  await accounts.updateProfile(
    { kind: 'user', accountId: principal.account.id, tenantId: 't', roles: [] },
    { avatar: 'https://example.com/a.png' },
  );
  assert.equal((await call('GET', '/users/me', { token })).body.data.avatar, 'https://example.com/a.png');
});

test('GET /users/me: a refresh token does not let anybody in', async () => {
  const { refresh_token } = await login();
  failure(40100, /./)(await call('GET', '/users/me', { token: refresh_token }));
});

test('a blocked account is forbidden at once, and cannot log in or refresh', async () => {
  await call('POST', '/users/register', { body: { email: 'blocked@example.com', password: 'Abc12345' } });
  const { access_token: token, refresh_token } = await login('blocked@example.com', 'Abc12345');
  const root = await accounts.login('studio', TEST_ADMIN.email, TEST_ADMIN.password);
  const { account } = await accounts.login('studio', 'blocked@example.com', 'Abc12345');
  await accounts.setStatus(
    { kind: 'user', accountId: root.account.id, tenantId: 't', roles: ['admin'] },
    account.id,
    'suspended',
  );
  failure(40300, /./)(await call('GET', '/users/me', { token }));
  failure(40300, /./)(await call('POST', '/users/refresh', { body: { refresh_token } }));
  failure(
    40300,
    /./,
  )(await call('POST', '/users/login', { body: { email: 'blocked@example.com', password: 'Abc12345' } }));
  failure(
    40101,
    /./,
  )(await call('POST', '/users/login', { body: { email: 'blocked@example.com', password: 'Wrong1234' } }));
});

test('an account of another API shows the best name it has', async () => {
  await accounts.register({ email: 'r@example.com', password: 'Abc12345', name: '李四' }, 'strong');
  const { access_token: token } = await login('r@example.com', 'Abc12345');
  assert.equal((await call('GET', '/users/me', { token })).body.data.nickname, '李四');
});
