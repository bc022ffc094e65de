import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EMAIL_PATTERN, emailKey, requireUsernameKey } from '../../../plugins/auth/names.ts';
import { checkPassword, createPasswords } from '../../../plugins/auth/passwords.ts';
import { createRecent } from '../../../plugins/auth/recent.ts';
import { inOnePass } from '../../support/effort.ts';

test('passwords: argon2id with its parameters; right, wrong and absent ones', async () => {
  const passwords = createPasswords();
  const stored = await passwords.hash('Abc12345');
  assert.match(stored, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
  assert.notEqual(stored, await passwords.hash('Abc12345'), 'salted');
  assert.equal(await passwords.verify(stored, 'Abc12345'), true);
  assert.equal(await passwords.verify(stored, 'abc12345'), false);
  assert.equal(await passwords.verify(undefined, 'no account has this password'), false);
});

test('passwords: composed and decomposed letters are the same password', async () => {
  const passwords = createPasswords();
  assert.equal(await passwords.verify(await passwords.hash('Pass\u00e9123'), 'Passe\u0301123'), true);
});

test('passwords: an unknown account takes about as long as a wrong password', async () => {
  const passwords = createPasswords();
  const stored = await passwords.hash('Abc12345');
  await passwords.verify(undefined, 'warm up');
  const times = { known: [] as number[], unknown: [] as number[] };
  for (let round = 0; round < 9; round += 1) {
    for (const [name, hash] of [
      ['known', stored],
      ['unknown', undefined],
    ] as const) {
      const start = process.cpuUsage();
      await passwords.verify(hash, 'wrong password 1');
      const { user, system } = process.cpuUsage(start);
      times[name].push(user + system);
    }
  }
  const median = (values: number[]) => values.sort((x, y) => x - y)[4] ?? 0;
  const ratio = median(times.unknown) / median(times.known);
  assert.ok(ratio > 0.5 && ratio < 2, `CPU time ratio ${ratio}`);
});

test('passwords: many at once wait their turn, too many are refused', async () => {
  const passwords = createPasswords();
  const results = await Promise.allSettled(Array.from({ length: 210 }, () => passwords.hash('Abc12345')));
  const refused = results.filter((result) => result.status === 'rejected');
  assert.equal(refused.length, 8);
  for (const { reason } of refused) assert.equal(reason.code, 'LOGIN_BUSY');
  assert.ok(await passwords.hash('Abc12345'), 'and afterwards it goes on');
});

test('checkPassword: each rule has its limits', () => {
  const fails = (password: string, rule: 'strong' | 'mixed' | 'short') => {
    try {
      checkPassword(password, rule, 'newPassword');
      return undefined;
    } catch (error) {
      const { code, kind, fields } = error as { code: string; kind: string; fields: { field: string }[] };
      assert.deepEqual([code, kind, fields[0]?.field], ['WEAK_PASSWORD', 'invalid', 'newPassword']);
      return true;
    }
  };
  for (const good of ['Abc12345', 'password1', 'пароль12', `a1${'x'.repeat(126)}`])
    assert.equal(fails(good, 'strong'), undefined, good);
  for (const bad of ['Abc1234', '12345678', 'abcdefgh', '密码密码1234', `a1${'x'.repeat(127)}`, ''])
    assert.equal(fails(bad, 'strong'), true, bad);
  assert.equal(fails('new456', 'mixed'), undefined);
  assert.equal(fails('new45', 'mixed'), true);
  assert.equal(fails('123456', 'mixed'), true);
  assert.equal(fails('123456', 'short'), undefined);
  assert.equal(fails('12345', 'short'), true);
});

test('emailKey: one form for all spellings of an address', () => {
  const same: [string, string][] = [
    ['User@Example.COM', 'user@example.com'],
    ['张三@例子.中国', '张三@xn--fsqu00a.xn--fiqs8s'],
    ['张三@xn--fsqu00a.xn--fiqs8s', '张三@xn--fsqu00a.xn--fiqs8s'],
    ['a.b+tag@sub.example.co', 'a.b+tag@sub.example.co'],
    ["o'neil@example.org", "o'neil@example.org"],
  ];
  for (const [email, key] of same) assert.equal(emailKey(email), key);
  const wrong = [
    '',
    'plain',
    '@example.com',
    'a@',
    'a@b',
    'a@localhost',
    'a@127.0.0.1',
    'a@127.1',
    'a@[::1]',
    'a b@example.com',
    'a@exa mple.com',
    'a@@example.com',
    'a@b@example.com',
    '.a@example.com',
    'a.@example.com',
    'a..b@example.com',
    'a@-x.com',
    'a@x..com',
    'a@.com',
    'a\n@example.com',
    'a@example.com\n',
    'a\0@example.com',
    '<a@example.com>',
    'a@example.c',
    'a@example.com/x',
    'a@example.com?x',
    `${'a'.repeat(65)}@example.com`,
    `a@${'b'.repeat(250)}.com`,
    'a@exam_ple.com',
    'a"b@example.com',
    'a@ex%61mple.com',
  ];
  for (const email of wrong) assert.equal(emailKey(email), undefined, JSON.stringify(email));
});

test('requireUsernameKey: one form without regard to case; nothing that could be an address', () => {
  for (const good of ['testuser', 'Zhang_San-1', '张三丰', 'a.b', 'ÄÖÜ'])
    assert.equal(requireUsernameKey(good), good.toLowerCase());
  assert.equal(requireUsernameKey('Ｔｅｓｔ'), 'test');
  const wrong = [
    'ab',
    'x'.repeat(51),
    'with blank',
    'a@b.com',
    'a＠b.com',
    'tab\tx',
    'zero\u200bwidth',
    'rtl\u202etxt',
    'nul\0x',
    '',
  ];
  for (const bad of wrong)
    assert.throws(() => requireUsernameKey(bad), { code: 'USERNAME_INVALID' }, JSON.stringify(bad));
});

test('recent: reads once for many at the same time, again after the time to live, and at once after forget', async () => {
  let now = 0;
  let reads = 0;
  const recent = createRecent({
    ttlMs: 100,
    size: 2,
    now: () => now,
    load: async (key) => {
      reads += 1;
      return `${key}${reads}`;
    },
  });
  assert.deepEqual(await Promise.all([recent.get('a'), recent.get('a')]), ['a1', 'a1']);
  now = 99;
  assert.equal(await recent.get('a'), 'a1');
  now = 101;
  assert.equal(await recent.get('a'), 'a2');
  const overtaken = recent.get('b');
  recent.forget('b');
  assert.equal(await overtaken, 'b3');
  assert.equal(await recent.get('b'), 'b4');
  await recent.get('c');
  assert.equal(await recent.get('a'), 'a6', 'the oldest went when there were too many');
});

test('recent: a failed read is not kept', async () => {
  let fail = true;
  const recent = createRecent({
    ttlMs: 1000,
    size: 10,
    load: async () => {
      if (fail) throw new Error('store is away');
      return 1;
    },
  });
  await assert.rejects(recent.get('x'), /store is away/);
  fail = false;
  assert.equal(await recent.get('x'), 1);
});

test('the pattern of addresses decides in one pass, however long the text', async () => {
  const pattern = new RegExp(EMAIL_PATTERN);
  for (const right of ['a@b.c', 'user.name+tag@mail.example.com', '张三@例子.中国'])
    assert.ok(pattern.test(right), right);
  for (const wrong of ['a', 'a@b', '@b.c', 'a@b.', 'a@.b', 'a@b..c', 'a b@c.d', 'a@b@c.d'])
    assert.ok(!pattern.test(wrong), wrong);
  for (const long of ['a.', '.', 'a', '@', '.@']) {
    assert.ok(!(await inOnePass(() => pattern.test(`a@${long.repeat(500_000)}@`), long)));
  }
});
