import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Identity } from '../../../core/auth.ts';
import type { Principal } from '../../../core/principal.ts';
import { systemPrincipal } from '../../../core/principal.ts';
import type { AccountDocument } from '../../../plugins/auth/models/account.ts';
import type { LoginApi } from '../../../plugins/auth/public.ts';
import { type AuthConfig, createAuth } from '../../../plugins/auth/setup.ts';
import { openTestDatabase } from '../../support/database.ts';

const database = await openTestDatabase({ after });
const config: AuthConfig = {
  openRegistration: true,
  trialDays: 30,
  kbQuota: 3,
  tenantsPerAccount: 5,
  cacheMs: 60_000,
  studio: { access: 1800, refresh: 604_800 },
  research: { access: 604_800, refresh: 2_592_000 },
  lowcode: { access: 86_400 },
};
let clock = Date.parse('2026-05-10T08:00:00Z');
const jwtSecret = 'a secret of at least thirty-two characters';
const auth = createAuth({ database, jwtSecret, config, now: () => clock });
const { accounts, authenticator, logins, apiTokens } = auth;
await database.ready();

let count = 0;
const person = async () => {
  count += 1;
  const email = `person${count}@example.com`;
  const account = await accounts.register({ email, password: 'Abc12345' }, 'strong');
  return { email, id: account.id, account };
};
const identityOf = async (token: string): Promise<Identity> => {
  const check = await authenticator.check(token);
  assert.ok(check.kind === 'jwt' || check.kind === 'api', `token is ${check.kind}`);
  return check.identity;
};
const kindOf = async (token: string) => (await authenticator.check(token)).kind;
const loginAs = async (email: string, api: LoginApi = 'research') => {
  const tokens = await accounts.login(api, email, 'Abc12345');
  const { principal } = await identityOf(tokens.accessToken);
  return { ...tokens, refreshToken: tokens.refreshToken ?? '', principal };
};
const admin = async (): Promise<Principal> => {
  await accounts.ensureAdmin({ email: 'root@example.com', password: 'Root12345' });
  return (await identityOf((await accounts.login('research', 'root@example.com', 'Root12345')).accessToken)).principal;
};

test('register: one account for all APIs; email and user name are unique without regard to case', async () => {
  const made = await accounts.register(
    { email: 'Zhang@Example.com', password: 'Abc12345', username: 'Zhang', nickname: '张三' },
    'strong',
  );
  assert.equal(made.email, 'Zhang@Example.com', 'shown as given');
  assert.equal(made.role, 'user');
  assert.equal(made.homeTenantId, `account-${made.id}`);
  assert.equal(made.trialEndsAt.getTime(), clock + 30 * 86_400_000);
  assert.equal('passwordHash' in made, false);
  const again = (fields: object) =>
    accounts.register({ email: 'other@example.com', password: 'Abc12345', ...fields }, 'strong');
  await assert.rejects(again({ email: 'zhang@EXAMPLE.com' }), { kind: 'conflict', code: 'EMAIL_TAKEN' });
  await assert.rejects(again({ username: 'ＺＨＡＮＧ' }), { kind: 'conflict', code: 'USERNAME_TAKEN' });
  await assert.rejects(again({ username: 'zhang@example.com' }), { code: 'USERNAME_INVALID' });
  await assert.rejects(again({ email: 'no address' }), { code: 'EMAIL_INVALID', kind: 'invalid' });
  await assert.rejects(again({ password: '12345678' }), { code: 'WEAK_PASSWORD' });
  for (const api of ['studio', 'research', 'lowcode'] as const) {
    const { account } = await accounts.login(api, 'ZHANG@example.com', 'Abc12345');
    assert.equal(account.id, made.id);
  }
  assert.equal((await accounts.login('lowcode', 'zhang', 'Abc12345')).account.id, made.id);
});

test('register: of many at once with one address or name exactly one wins, and leaves no stray tenants', async () => {
  const before = await database.connection.collection('tenants').countDocuments({});
  const results = await Promise.allSettled(
    Array.from({ length: 6 }, (_, n) =>
      accounts.register(
        {
          email: n % 2 ? 'race@example.com' : `race${n}@example.com`,
          username: n % 2 ? `racer${n}` : 'racer',
          password: 'Abc12345',
        },
        'strong',
      ),
    ),
  );
  const codes = results.map((result) => (result.status === 'fulfilled' ? 'made' : result.reason.code)).sort();
  assert.deepEqual(codes, ['EMAIL_TAKEN', 'EMAIL_TAKEN', 'USERNAME_TAKEN', 'USERNAME_TAKEN', 'made', 'made']);
  assert.equal(await database.connection.collection('tenants').countDocuments({}), before + 2);
});

test('register: closed registration refuses', async () => {
  const closed = createAuth({ database, jwtSecret, config: { ...config, openRegistration: false } });
  await assert.rejects(closed.accounts.register({ email: 'x@example.com', password: 'Abc12345' }, 'strong'), {
    kind: 'forbidden',
    code: 'REGISTRATION_CLOSED',
  });
});

test('display name: falls back from name to nickname, user name and address', async () => {
  const named = async (fields: object) =>
    (
      await accounts.register(
        { email: `name${Math.random().toString(36).slice(2)}@example.com`, password: 'Abc12345', ...fields },
        'strong',
      )
    ).displayName;
  assert.equal(await named({ name: '李四', nickname: 'n', username: 'lisi1' }), '李四');
  assert.equal(await named({ nickname: '小李', username: 'lisi2' }), '小李');
  assert.equal(await named({ username: 'lisi3' }), 'lisi3');
  assert.match(await named({}), /^name[a-z0-9]+$/);
});

test('login: an unknown account and a wrong password give the same error', async () => {
  const { email } = await person();
  const errors = await Promise.all(
    [
      accounts.login('studio', email, 'wrong1234'),
      accounts.login('studio', 'nobody@example.com', 'wrong1234'),
      accounts.login('studio', '{"$ne":null}', 'x'),
    ].map((login) =>
      login.then(
        () => assert.fail(),
        (error) => [error.kind, error.code, error.text, error.details],
      ),
    ),
  );
  assert.deepEqual(errors[1], errors[0]);
  assert.deepEqual(errors[2], errors[0]);
  assert.deepEqual(errors[0]?.slice(0, 2), ['unauthenticated', 'LOGIN_FAILED']);
});

test('login: gives the lifetimes of its API and notes the time', async () => {
  const { email, id } = await person();
  clock += 60_000;
  assert.deepEqual(
    [(await loginAs(email, 'studio')).expiresIn, (await loginAs(email, 'research')).expiresIn],
    [1800, 604_800],
  );
  const lowcode = await accounts.login('lowcode', email, 'Abc12345');
  assert.deepEqual([lowcode.expiresIn, lowcode.refreshToken], [86_400, undefined]);
  const stored = await database.connection.collection<AccountDocument>('accounts').findOne({ _id: id });
  assert.equal(stored?.lastLoginAt?.getTime(), clock);
});

test('check: tells what a bearer value is, with the audience of the login', async () => {
  const { email, id, account } = await person();
  const { accessToken, refreshToken } = await loginAs(email, 'studio');
  const check = await authenticator.check(accessToken);
  assert.ok(check.kind === 'jwt');
  assert.deepEqual(check.audience, ['studio']);
  assert.equal(check.identity.blocked, false);
  const { tokenId, loginId, ...principal } = check.identity.principal;
  assert.ok(tokenId && loginId);
  assert.deepEqual(principal, { kind: 'user', accountId: id, tenantId: account.homeTenantId, roles: ['user'] });
  assert.deepEqual(await authenticator.check(undefined), { kind: 'none' });
  assert.deepEqual(await authenticator.check(refreshToken), { kind: 'invalid', audience: ['studio'], jwt: true });
  assert.deepEqual(await authenticator.check('opaque'), { kind: 'invalid', audience: [], jwt: false });
  assert.deepEqual(await authenticator.check('x'.repeat(100_000)), { kind: 'invalid', audience: [], jwt: false });
  clock += 1801_000;
  assert.deepEqual(await authenticator.check(accessToken), { kind: 'invalid', audience: ['studio'], jwt: true });
});

test('check: a token of an account or a login that is gone grants nothing', async () => {
  const { email, id } = await person();
  const { accessToken, principal } = await loginAs(email);
  const fresh = createAuth({ database, jwtSecret, config });
  await database.connection.collection<AccountDocument>('logins').deleteOne({ _id: principal.loginId ?? '' });
  assert.equal((await fresh.authenticator.check(accessToken)).kind, 'invalid');
  const second = await loginAs(email);
  await database.connection.collection<AccountDocument>('accounts').deleteOne({ _id: id });
  const later = createAuth({ database, jwtSecret, config, now: () => clock });
  assert.equal((await later.authenticator.check(second.accessToken)).kind, 'invalid');
  await assert.rejects(later.accounts.refresh('research', second.refreshToken), { code: 'ACCOUNT_NOT_FOUND' });
});

test('refresh (studio): each token works once; a used one that comes again ends the login', async () => {
  const { email } = await person();
  const first = await loginAs(email, 'studio');
  const second = await accounts.refresh('studio', first.refreshToken);
  assert.ok(second.refreshToken && second.refreshToken !== first.refreshToken);
  assert.equal(await kindOf(second.accessToken), 'jwt');
  const third = await accounts.refresh('studio', second.refreshToken);
  await assert.rejects(accounts.refresh('studio', first.refreshToken), {
    kind: 'unauthenticated',
    code: 'REFRESH_INVALID',
  });
  assert.equal(await kindOf(third.accessToken), 'invalid', 'the whole family ends');
  await assert.rejects(accounts.refresh('studio', third.refreshToken ?? ''), { code: 'REFRESH_INVALID' });
});

test('refresh (studio): of two uses at once at most one succeeds', async () => {
  const { email } = await person();
  const { refreshToken } = await loginAs(email, 'studio');
  const results = await Promise.allSettled(Array.from({ length: 5 }, () => accounts.refresh('studio', refreshToken)));
  assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1);
});

test('refresh (research): the token stays and no new one is given; it ends after 30 days', async () => {
  const { email } = await person();
  const { refreshToken } = await loginAs(email);
  for (let day = 0; day < 29; day += 7) {
    const { accessToken, ...rest } = await accounts.refresh('research', refreshToken);
    assert.equal(await kindOf(accessToken), 'jwt');
    assert.deepEqual(rest, { expiresIn: 604_800 });
    clock += 7 * 86_400_000;
  }
  await assert.rejects(accounts.refresh('research', refreshToken), { code: 'REFRESH_INVALID' });
});

test('refresh: the token of another API, an access token and a forged one are refused', async () => {
  const { email } = await person();
  const studio = await loginAs(email, 'studio');
  const research = await loginAs(email, 'research');
  const other = createAuth({
    database,
    jwtSecret: 'another secret of thirty-two characters',
    config,
    now: () => clock,
  });
  const forged = (await other.accounts.login('studio', email, 'Abc12345')).refreshToken ?? '';
  const refused = { code: 'REFRESH_INVALID' };
  await assert.rejects(accounts.refresh('research', studio.refreshToken), refused);
  await assert.rejects(accounts.refresh('studio', research.refreshToken), refused);
  await assert.rejects(accounts.refresh('lowcode', research.refreshToken), refused);
  await assert.rejects(accounts.refresh('research', research.accessToken), refused);
  await assert.rejects(accounts.refresh('studio', forged), refused);
  await assert.rejects(accounts.refresh('studio', 'garbage'), refused);
  assert.ok(await accounts.refresh('studio', studio.refreshToken), 'and the right one still works');
});

test('logout: ends the tokens of this login and of no other', async () => {
  const { email } = await person();
  const one = await loginAs(email);
  const two = await loginAs(email);
  await accounts.logout(one.principal);
  assert.equal(await kindOf(one.accessToken), 'invalid');
  await assert.rejects(accounts.refresh('research', one.refreshToken), { code: 'REFRESH_INVALID' });
  assert.equal(await kindOf(two.accessToken), 'jwt');
  assert.ok(await accounts.refresh('research', two.refreshToken));
});

test('changePassword: checks old and new, ends other logins and every refresh token', async () => {
  const { email } = await person();
  const here = await loginAs(email);
  const there = await loginAs(email);
  const studio = await loginAs(email, 'studio');
  const change = (old: string, next: string) => accounts.changePassword(here.principal, old, next);
  const wrong =
    (code: string, field: string) => (error: { code: string; kind: string; fields: { field: string }[] }) => {
      assert.deepEqual([error.kind, error.code, error.fields[0]?.field], ['invalid', code, field]);
      return true;
    };
  await assert.rejects(change('wrong123', 'new456'), wrong('PASSWORD_WRONG', 'oldPassword'));
  await assert.rejects(change('Abc12345', 'Abc12345'), wrong('PASSWORD_UNCHANGED', 'newPassword'));
  await assert.rejects(change('Abc12345', 'short'), wrong('WEAK_PASSWORD', 'newPassword'));
  await assert.rejects(change('Abc12345', '1234567'), wrong('WEAK_PASSWORD', 'newPassword'));
  await change('Abc12345', 'new456');
  assert.equal(await kindOf(here.accessToken), 'jwt', 'this login goes on');
  assert.equal(await kindOf(there.accessToken), 'invalid');
  for (const [api, { refreshToken }] of [
    ['research', here],
    ['research', there],
    ['studio', studio],
  ] as const) {
    await assert.rejects(accounts.refresh(api, refreshToken), { code: 'REFRESH_INVALID' });
  }
  assert.equal(await kindOf(here.accessToken), 'jwt', 'trying the ended refresh token does no harm');
  await assert.rejects(accounts.login('research', email, 'Abc12345'), { code: 'LOGIN_FAILED' });
  assert.ok(await accounts.login('research', email, 'new456'));
});

test('changePassword: in a studio login too the access token goes on when its ended refresh token is tried', async () => {
  const { email } = await person();
  const { accessToken, refreshToken, principal } = await loginAs(email, 'studio');
  await accounts.changePassword(principal, 'Abc12345', 'new456');
  await assert.rejects(accounts.refresh('studio', refreshToken), { code: 'REFRESH_INVALID' });
  assert.equal(await kindOf(accessToken), 'jwt');
});

test('changePassword: of two at once one wins', async () => {
  const { email } = await person();
  const { principal } = await loginAs(email);
  const results = await Promise.allSettled(
    ['one111', 'two222'].map((next) => accounts.changePassword(principal, 'Abc12345', next)),
  );
  assert.deepEqual(results.map((r) => (r.status === 'fulfilled' ? 'changed' : r.reason.code)).sort(), [
    'PASSWORD_WRONG',
    'changed',
  ]);
});

test('login: one that the change of the password overtakes does not count', async () => {
  const { email } = await person();
  const { principal } = await loginAs(email);
  // All of them read the old password's hash; some finish before the change is stored and some after.
  const racing = Array.from({ length: 6 }, () => accounts.login('research', email, 'Abc12345'));
  const [, ...late] = await Promise.allSettled([accounts.changePassword(principal, 'Abc12345', 'new456'), ...racing]);
  for (const result of late) {
    if (result.status === 'fulfilled') assert.equal(await kindOf(result.value.accessToken), 'invalid');
    else assert.equal(result.reason.code, 'LOGIN_FAILED');
  }
});

test('revocation and blocking: another process sees them when its cache has expired', async () => {
  const root = await admin();
  const { email, id } = await person();
  const other = createAuth({ database, jwtSecret, config: { ...config, cacheMs: 5000 }, now: () => clock });
  const { accessToken, principal } = await loginAs(email);
  const second = await loginAs(email);
  const kinds = async () => {
    const check = await other.authenticator.check(accessToken);
    return check.kind === 'jwt' && check.identity.blocked ? 'blocked' : check.kind;
  };
  assert.equal(await kinds(), 'jwt');
  await accounts.setStatus(root, id, 'suspended');
  clock += 5001;
  assert.equal(await kinds(), 'blocked');
  await accounts.setStatus(root, id, 'active');
  await accounts.logout(principal);
  clock += 5001;
  assert.equal(await kinds(), 'invalid');
  assert.equal((await other.authenticator.check(second.accessToken)).kind, 'jwt');
});

test('setStatus: a blocked account is refused at once everywhere, and comes back', async () => {
  const root = await admin();
  const { email, id } = await person();
  const { accessToken, refreshToken, principal } = await loginAs(email);
  assert.equal((await identityOf(accessToken)).blocked, false, 'in the cache now');
  for (const status of ['suspended', 'inactive'] as const) {
    assert.equal((await accounts.setStatus(root, id, status)).status, status);
    assert.equal((await identityOf(accessToken)).blocked, true);
    const blocked = { kind: 'forbidden', code: 'ACCOUNT_BLOCKED' };
    await assert.rejects(accounts.login('research', email, 'Abc12345'), blocked);
    await assert.rejects(accounts.refresh('research', refreshToken), blocked);
    await assert.rejects(
      accounts.login('research', email, 'wrong1234'),
      { code: 'LOGIN_FAILED' },
      'not told without the password',
    );
  }
  await accounts.setStatus(root, id, 'active');
  assert.equal((await identityOf(accessToken)).blocked, false);
  assert.ok(await accounts.refresh('research', refreshToken));
  await assert.rejects(accounts.setStatus(principal, id, 'active'), { kind: 'forbidden', code: 'ADMIN_REQUIRED' });
  await assert.rejects(accounts.setStatus(root, root.accountId, 'suspended'), {
    kind: 'conflict',
    code: 'OWN_ACCOUNT',
  });
  await assert.rejects(accounts.setStatus(root, 'nobody', 'active'), { code: 'ACCOUNT_NOT_FOUND' });
});

test('profile: quota, use and trial; the counter is another plugin’s', async () => {
  const { email, id } = await person();
  const { principal } = await loginAs(email);
  const before = await accounts.profile(principal);
  assert.deepEqual([before.kbQuota, before.kbUsed, before.isTrial], [3, 0, true]);
  const stop = accounts.countUsage(
    'knowledgeBases',
    async (ids) => new Map(ids.map((each) => [each, each === id ? 2 : 9])),
  );
  assert.equal((await accounts.profile(principal)).kbUsed, 2);
  stop();
  assert.equal((await accounts.profile(principal)).kbUsed, 0);
  clock += 30 * 86_400_000;
  assert.equal((await accounts.profile(principal)).isTrial, false);
});

test('updateProfile: changes name and picture, and refuses addresses that are none', async () => {
  const { email } = await person();
  const { principal } = await loginAs(email);
  const changed = await accounts.updateProfile(principal, { name: '李四', avatar: 'https://example.com/a.png' });
  assert.deepEqual([changed.displayName, changed.avatar], ['李四', 'https://example.com/a.png']);
  const cleared = await accounts.updateProfile(principal, { avatar: null });
  assert.deepEqual([cleared.displayName, cleared.avatar], ['李四', undefined]);
  for (const avatar of [
    'javascript:alert(1)',
    'data:text/html,x',
    'no address',
    '//example.com/x',
    'ftp://example.com/x',
  ]) {
    await assert.rejects(accounts.updateProfile(principal, { avatar }), { code: 'AVATAR_INVALID' }, avatar);
  }
  await assert.rejects(accounts.updateProfile(principal, {}), { code: 'PROFILE_EMPTY' });
});

test('list and statistics: for administrators only; the keyword is taken literally', async () => {
  const root = await admin();
  await accounts.register({ email: 'find.me@example.com', password: 'Abc12345', name: '王五(测试)' }, 'strong');
  const find = async (keyword: string) =>
    (await accounts.list(root, { keyword, offset: 0, limit: 10 })).items.map(({ email }) => email);
  assert.deepEqual(await find('FIND.me'), ['find.me@example.com']);
  assert.deepEqual(await find('五(测'), ['find.me@example.com']);
  assert.deepEqual(await find('find_me'), []);
  assert.deepEqual(await find('(a+)+$'), []);
  const page = await accounts.list(root, { status: 'active', offset: 2, limit: 3 });
  assert.equal(page.items.length, 3);
  const statistics = await accounts.statistics(root);
  assert.equal(statistics.total, (await accounts.list(root, { offset: 0, limit: 1 })).total);
  assert.ok(statistics.active <= statistics.total && statistics.newToday <= statistics.new7Days);
  const { principal } = await loginAs((await person()).email);
  await assert.rejects(accounts.list(principal, { offset: 0, limit: 1 }), { code: 'ADMIN_REQUIRED' });
  await assert.rejects(accounts.statistics(principal), { code: 'ADMIN_REQUIRED' });
});

test('ensureAdmin: makes, keeps and updates; whoever had the address before does not become one', async () => {
  await admin();
  assert.equal(await accounts.ensureAdmin({ email: 'ROOT@example.com', password: 'Root12345' }), 'kept');
  assert.equal(await accounts.ensureAdmin({ email: 'root@example.com', password: 'Other12345' }), 'updated');
  await assert.rejects(accounts.login('research', 'root@example.com', 'Root12345'), { code: 'LOGIN_FAILED' });
  assert.equal(await accounts.ensureAdmin({ email: 'root@example.com', password: 'Root12345' }), 'updated');
  const early = await person();
  const session = await loginAs(early.email);
  assert.equal(await accounts.ensureAdmin({ email: early.email, password: 'Admin12345' }), 'updated');
  assert.equal(await kindOf(session.accessToken), 'invalid');
  await assert.rejects(accounts.login('research', early.email, 'Abc12345'), { code: 'LOGIN_FAILED' });
  const { accessToken } = await accounts.login('research', early.email, 'Admin12345');
  assert.deepEqual((await identityOf(accessToken)).principal.roles, ['user', 'admin']);
  await assert.rejects(accounts.ensureAdmin({ email: 'weak@example.com', password: 'weak' }), {
    code: 'WEAK_PASSWORD',
  });
});

test('inTenant: the home tenant is the account’s own and nobody else’s', async () => {
  const one = await loginAs((await person()).email);
  const two = await loginAs((await person()).email);
  const identity = await identityOf(one.accessToken);
  assert.deepEqual(await authenticator.inTenant(identity, one.principal.tenantId), one.principal);
  const forbidden = { kind: 'forbidden', code: 'TENANT_FORBIDDEN' };
  await assert.rejects(authenticator.inTenant(identity, two.principal.tenantId), forbidden);
  await assert.rejects(authenticator.inTenant(identity, 'account-00000000-0000-4000-8000-000000000000'), forbidden);
  await assert.rejects(authenticator.inTenant(identity, 'api-00000000-0000-4000-8000-000000000000'), forbidden);
});

test('inTenant: a tenant belongs to whoever used it first, and to its members', async () => {
  const root = await identityOf((await accounts.login('research', 'root@example.com', 'Root12345')).accessToken);
  const owner = await loginAs((await person()).email);
  const memberAccount = await person();
  const member = await identityOf((await loginAs(memberAccount.email)).accessToken);
  const forbidden = { kind: 'forbidden', code: 'TENANT_FORBIDDEN' };
  const entered = await authenticator.inTenant(await identityOf(owner.accessToken), 'bank-1');
  assert.deepEqual(entered, { ...owner.principal, tenantId: 'bank-1' });
  await assert.rejects(authenticator.inTenant(member, 'bank-1'), forbidden);
  await assert.rejects(authenticator.inTenant(root, 'bank-1'), forbidden, 'administrators neither');
  await assert.rejects(accounts.addTenantMember(member.principal, 'bank-1', memberAccount.id), forbidden);
  await assert.rejects(accounts.addTenantMember(owner.principal, 'nobody-has-it', memberAccount.id), forbidden);
  await assert.rejects(accounts.addTenantMember(owner.principal, 'bank-1', 'nobody'), { code: 'ACCOUNT_NOT_FOUND' });
  await accounts.addTenantMember(owner.principal, 'bank-1', memberAccount.id);
  assert.equal((await authenticator.inTenant(member, 'bank-1')).tenantId, 'bank-1');
  await accounts.removeTenantMember(owner.principal, 'bank-1', memberAccount.id);
  await assert.rejects(authenticator.inTenant(member, 'bank-1'), forbidden);
  await accounts.addTenantMember(systemPrincipal('bank-1'), 'bank-1', memberAccount.id);
  assert.ok(await authenticator.inTenant(member, 'bank-1'));
});

test('inTenant: of many first uses at once exactly one account gets the tenant', async () => {
  const identities = await Promise.all(
    Array.from({ length: 5 }, async () => identityOf((await loginAs((await person()).email)).accessToken)),
  );
  const results = await Promise.allSettled(identities.map((identity) => authenticator.inTenant(identity, 'bank-race')));
  assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1);
});

test('inTenant: ids of a wrong form are refused, and squatting has a limit', async () => {
  const identity = await identityOf((await loginAs((await person()).email)).accessToken);
  for (const id of ['', 'with blank', 'a/b', '租户', 'x'.repeat(65), '$ne', 'a\nb', '../x']) {
    await assert.rejects(
      authenticator.inTenant(identity, id),
      { kind: 'invalid', code: 'TENANT_INVALID' },
      JSON.stringify(id),
    );
  }
  const { principal } = identity;
  for (let n = 0; n < 5; n += 1) await authenticator.inTenant(identity, `${principal.accountId}:${n}`);
  await assert.rejects(authenticator.inTenant(identity, `${principal.accountId}:5`), { code: 'TENANT_FORBIDDEN' });
  assert.ok(await authenticator.inTenant(identity, `${principal.accountId}:4`));
});

test('operator token: several APIs, listed tenants only, survives a change of the password, can be revoked', async () => {
  const { email, id } = await person();
  const { token, loginId } = await logins.startOperator({
    accountId: id,
    audience: ['studio', 'research'],
    tenants: ['op-1', 'bank-1'],
    days: 30,
  });
  const check = await authenticator.check(token);
  assert.ok(check.kind === 'jwt');
  assert.deepEqual(check.audience, ['studio', 'research']);
  assert.equal((await authenticator.inTenant(check.identity, 'bank-1')).tenantId, 'bank-1', 'the list decides alone');
  assert.equal((await authenticator.inTenant(check.identity, 'op-1')).tenantId, 'op-1');
  await assert.rejects(authenticator.inTenant(check.identity, 'op-2'), { code: 'TENANT_FORBIDDEN' });
  const stranger = await identityOf((await loginAs((await person()).email)).accessToken);
  await assert.rejects(
    authenticator.inTenant(stranger, 'op-1'),
    { code: 'TENANT_FORBIDDEN' },
    'not to be claimed behind its back',
  );
  await assert.rejects(accounts.refresh('studio', token), { code: 'REFRESH_INVALID' });
  await accounts.changePassword((await loginAs(email)).principal, 'Abc12345', 'new456');
  assert.equal(await kindOf(token), 'jwt');
  assert.ok((await logins.listOperator()).some(({ _id }) => _id === loginId));
  assert.equal(await logins.end(loginId), true);
  assert.equal(await kindOf(token), 'invalid');
});

test('API accounts: opaque token once, stored as a hash; name trimmed and in lower case; revoked at once', async () => {
  const token = await apiTokens.create('  Batch-Bot ', 'nightly');
  assert.match(token, /^[\w-]{43}$/);
  const identity = await identityOf(token);
  assert.deepEqual([identity.principal.kind, identity.principal.roles], ['api', ['user']]);
  assert.equal(identity.principal.tenantId, `api-${identity.principal.accountId}`);
  await assert.rejects(authenticator.inTenant(identity, 'bank-2'), { code: 'TENANT_FORBIDDEN' });
  const stored = JSON.stringify(await database.connection.collection('api_accounts').find({}).toArray());
  assert.equal(stored.includes(token), false);
  await assert.rejects(apiTokens.create('batch-bot'), { kind: 'conflict', code: 'API_ACCOUNT_EXISTS' });
  for (const name of ['', ' ', 'a b', '../x', '-x', 'x'.repeat(65), '$x']) {
    await assert.rejects(apiTokens.create(name), { code: 'API_NAME_INVALID' }, name);
  }
  assert.deepEqual(
    (await apiTokens.list()).map(({ name, note, revokedAt }) => [name, note, revokedAt]),
    [['batch-bot', 'nightly', undefined]],
  );
  assert.equal(await apiTokens.revoke('BATCH-BOT'), true);
  assert.equal(await kindOf(token), 'invalid');
  assert.equal(await apiTokens.revoke('batch-bot'), false);
  const renewed = await apiTokens.create('batch-bot');
  assert.equal((await identityOf(renewed)).principal.accountId, identity.principal.accountId, 'its data stays its own');
  assert.equal(await kindOf(token), 'invalid');
});
