import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { type Answer, serveAccounts, TEST_ADMIN } from '../support/accounts.ts';

// Source: low-code document, section on authentication; the values are those of its samples.
const { call, accounts } = await serveAccounts({ after }, { limits: { lowcode: { login: 1000 } } });
const person = { username: 'testuser', email: 'test@example.com', password: 'password123' };
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const form = (fields: Record<string, string>) => new URLSearchParams(fields);
const login = (username = person.username, password = person.password) =>
  call('POST', '/auth/login', { body: form({ username, password }) });

function failure({ status, body }: Answer, wanted: number, code: string, field?: string) {
  assert.deepEqual([status, body.error_code, body.status_code], [wanted, code, wanted], JSON.stringify(body));
  assert.equal(typeof body.detail, 'string');
  if (field !== undefined) assert.deepEqual(body.errors[0].loc, [field], JSON.stringify(body));
}

test('POST /auth/register: the sample', async () => {
  const { status, body } = await call('POST', '/auth/register', { body: person });
  assert.equal(status, 201);
  const { id, created_at, ...rest } = body;
  assert.match(id, UUID);
  assert.match(created_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$/);
  assert.deepEqual(rest, { username: 'testuser', email: 'test@example.com', role: 'user' });
});

test('POST /auth/register: taken names are 400 with a code of their own, wrong fields 422', async () => {
  const register = (fields: object) =>
    call('POST', '/auth/register', {
      body: { username: 'another', email: 'another@example.com', password: 'password123', ...fields },
    });
  failure(await register({ username: 'TestUser' }), 400, 'USERNAME_EXISTS');
  failure(await register({ email: 'TEST@example.com' }), 400, 'EMAIL_EXISTS');
  for (const username of ['ab', 'x'.repeat(51), 'a b c', 'test@example.com', 'test＠example.com', 7])
    failure(await register({ username }), 422, 'VALIDATION_ERROR', 'username');
  for (const email of ['wrong', 'a@b', null]) failure(await register({ email }), 422, 'VALIDATION_ERROR', 'email');
  for (const password of ['12345', 'p'.repeat(129)])
    failure(await register({ password }), 422, 'VALIDATION_ERROR', 'password');
  assert.equal((await register({ password: '123456' })).status, 201, 'six characters of any kind');
});

test('POST /auth/login: the sample, by user name and by address, without regard to case', async () => {
  for (const name of ['testuser', 'TESTUSER', 'test@example.com', ' testuser ']) {
    const { status, body } = await login(name);
    assert.equal(status, 200, name);
    assert.deepEqual(Object.keys(body), ['access_token', 'token_type']);
    assert.match(body.access_token, /^eyJ/);
    assert.equal(body.token_type, 'bearer');
  }
});

test('POST /auth/login: other fields of an OAuth2 form are ignored; multipart works too', async () => {
  const fields = { grant_type: 'password', scope: '', client_id: '', client_secret: '', ...person };
  assert.equal((await call('POST', '/auth/login', { body: form(fields) })).status, 200);
  const multipart = new FormData();
  multipart.set('username', person.username);
  multipart.set('password', person.password);
  assert.equal((await call('POST', '/auth/login', { body: multipart })).status, 200);
});

test('POST /auth/login: wrong is 401 and tells nothing, missing is 422', async () => {
  const wrong = await login('testuser', 'wrong1234');
  failure(wrong, 401, 'UNAUTHORIZED');
  assert.equal(wrong.headers.get('www-authenticate'), 'Bearer');
  assert.deepEqual((await login('nobody', 'wrong1234')).body, wrong.body);
  failure(
    await call('POST', '/auth/login', { body: form({ username: 'testuser' }) }),
    422,
    'VALIDATION_ERROR',
    'password',
  );
  const nested = await call('POST', '/auth/login', {
    body: 'username[$ne]=x&password[$ne]=x',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
  });
  failure(nested, 422, 'VALIDATION_ERROR');
});

test('GET /auth/me: the sample', async () => {
  const { access_token: token } = (await login()).body;
  const { status, body } = await call('GET', '/auth/me', { token });
  assert.equal(status, 200);
  const { id, ...rest } = body;
  assert.match(id, UUID);
  assert.deepEqual(rest, { username: 'testuser', email: 'test@example.com', role: 'user' });
  const none = await call('GET', '/auth/me');
  failure(none, 401, 'UNAUTHORIZED');
  assert.equal(none.headers.get('www-authenticate'), 'Bearer');
  failure(await call('GET', '/auth/me', { token: 'garbage' }), 401, 'UNAUTHORIZED');
});

test('one account, every login: tokens of one API work on the paths of the others, in the form of the path', async () => {
  const { access_token: token } = (await login()).body;
  const research = await accounts.login('research', 'test@example.com', 'password123');
  assert.equal((await call('GET', '/auth/me', { token: research.accessToken })).body.username, 'testuser');
  const me = await call('GET', '/users/me', { token });
  assert.equal(me.status, 200);
  const own = (await call('GET', '/users/me', { token: research.accessToken })).body.data;
  assert.deepEqual([own.name, own.email], ['testuser', 'test@example.com']);
  const studio = await accounts.login('studio', 'test@example.com', 'password123');
  const shown = (await call('GET', '/users/me', { token: studio.accessToken })).body.data;
  assert.deepEqual([shown.nickname, typeof shown.id], ['testuser', 'number']);
});

test('an account without a user name shows its address, which logs it in', async () => {
  await accounts.register({ email: 'plain@example.com', password: 'Abc12345' }, 'strong');
  const { access_token: token } = (await login('plain@example.com', 'Abc12345')).body;
  assert.equal((await call('GET', '/auth/me', { token })).body.username, 'plain@example.com');
});

test('a blocked account is forbidden', async () => {
  const { account } = await accounts.login('lowcode', 'plain@example.com', 'Abc12345');
  const { access_token: token } = (await login('plain@example.com', 'Abc12345')).body;
  const root = await accounts.login('lowcode', TEST_ADMIN.email, TEST_ADMIN.password);
  await accounts.setStatus(
    { kind: 'user', accountId: root.account.id, tenantId: 't', roles: ['admin'] },
    account.id,
    'inactive',
  );
  failure(await call('GET', '/auth/me', { token }), 403, 'FORBIDDEN');
  failure(await login('plain@example.com', 'Abc12345'), 403, 'FORBIDDEN');
});
