import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Value } from 'typebox/value';
import { connectDatabase } from '../../core/data/connect.ts';
import { createLogger } from '../../core/log.ts';
import { type AuthConfig, authConfig, createAuth } from '../../plugins/auth/setup.ts';
import { openStore } from '../../runtime/store/index.ts';

const dataDir = await mkdtemp(join(tmpdir(), 'koagent-token-'));
after(() => rm(dataDir, { recursive: true, force: true }));

/** Runs the command in the data folder of this file. */
const token = (...args: string[]): Promise<{ code: number; lines: string[]; errors: string }> =>
  new Promise((resolve) => {
    const script = join(import.meta.dirname, '../../scripts/token.ts');
    const { PATH, HOME, NODE_COMPILE_CACHE } = process.env;
    const env = { PATH, HOME, NODE_COMPILE_CACHE, KOAGENT_DATA_DIR: dataDir };
    execFile(process.execPath, [script, ...args], { env, timeout: 30_000 }, (error, stdout, stderr) => {
      const code = error ? Number(error.code ?? -1) : 0;
      resolve({ code, lines: stdout.trimEnd().split('\n'), errors: stderr });
    });
  });

test('token: works on the store of a running server, and without a server', async () => {
  const store = await openStore({ folder: join(dataDir, 'store') });
  const made = await token('create', ' Bot ', '--note', 'nightly');
  assert.equal(made.code, 0, made.errors);
  const value = made.lines.at(-1) ?? '';
  assert.match(value, /^[\w-]{43}$/);
  const database = await connectDatabase(store.uri, { log: createLogger('silent') });
  const jwtSecret = (await readFile(join(dataDir, 'jwt.secret'), 'utf8')).trim();
  const config = { ...(Value.Default(authConfig, {}) as AuthConfig), cacheMs: 0 };
  const auth = createAuth({ database, jwtSecret, config });
  await database.ready();
  assert.equal((await auth.authenticator.check(value)).kind, 'api');

  const { id } = await auth.accounts.register({ email: 'op@example.com', password: 'Abc12345' }, 'strong');
  const operator = await token(
    'operator',
    '--aud',
    'studio,research',
    '--tenants',
    'a,b',
    '--days',
    '1',
    'OP@example.com',
  );
  assert.equal(operator.code, 0, operator.errors);
  const check = await auth.authenticator.check(operator.lines.at(-1));
  assert.ok(check.kind === 'jwt');
  assert.deepEqual([check.audience, check.identity.principal.accountId], [['studio', 'research'], id]);
  assert.equal((await auth.authenticator.inTenant(check.identity, 'b')).tenantId, 'b');
  await assert.rejects(auth.authenticator.inTenant(check.identity, 'c'), { code: 'TENANT_FORBIDDEN' });
  const loginId = /operator token (\S+),/.exec(operator.errors)?.[1] ?? '';
  assert.equal((await token('revoke', loginId)).code, 0);
  assert.equal((await auth.authenticator.check(operator.lines.at(-1))).kind, 'invalid');

  assert.equal((await token('member', 'add', 'bank-1', 'op@example.com')).code, 0);
  const stranger = await auth.accounts.register({ email: 'x@example.com', password: 'Abc12345' }, 'strong');
  const login = await auth.accounts.login('research', 'x@example.com', 'Abc12345');
  const identity = await auth.authenticator.check(login.accessToken);
  assert.ok(identity.kind === 'jwt' && identity.identity.principal.accountId === stranger.id);
  await assert.rejects(auth.authenticator.inTenant(identity.identity, 'bank-1'), { code: 'TENANT_FORBIDDEN' });
  assert.equal((await token('member', 'add', 'bank-1', 'x@example.com')).code, 0);
  assert.equal((await auth.authenticator.inTenant(identity.identity, 'bank-1')).tenantId, 'bank-1');
  await database.close();
  await store.close();

  const listed = await token('list');
  assert.match(listed.lines.join('\n'), /^api\tbot\tactive\t.*\tnightly$/m);
  assert.equal(listed.lines.join('\n').includes(value), false, 'the token is not shown again');
  assert.equal((await token('revoke', 'BOT')).code, 0);
  assert.match((await token('list')).lines.join('\n'), /^api\tbot\trevoked /m);
});

test('token: mistakes are told in a sentence and with an exit code', async () => {
  const cases: [number, RegExp, string[]][] = [
    [2, /unknown command/, []],
    [2, /unknown command: toString/, ['toString']],
    [2, /takes 1 argument/, ['create']],
    [1, /1-64 characters/, ['create', 'a b']],
    [1, /no token of nobody/, ['revoke', 'nobody']],
    [1, /no account nobody@example.com/, ['operator', '--aud', 'studio', 'nobody@example.com']],
    [2, /--aud needs/, ['operator', '--aud', 'studio,tasks', 'op@example.com']],
    [2, /--days needs/, ['operator', '--aud', 'studio', '--days=0', 'op@example.com']],
  ];
  for (const [code, message, args] of cases) {
    const result = await token(...args);
    assert.equal(result.code, code, args.join(' '));
    assert.match(result.errors, message);
  }
  const help = await token('--help');
  assert.equal(help.code, 0);
  assert.match(help.lines[0] ?? '', /^usage:/);
});
