import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { addKey, createVault, forgetKeys, keyIdOf } from '../../core/vault.ts';

const place = { tenantId: 'acme', objectId: 'source-1' };
const code = (wanted: string) => ({ code: wanted });
const LONG = 'a key of at least thirty-two characters';

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'koagent-vault-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

test('vault: what is sealed opens at its place, and the same text is never sealed alike', (t) => {
  const vault = createVault({ dataDir: folder(t) });
  const sealed = vault.seal('pässwörd 密码', place);
  assert.equal(vault.open(sealed, place), 'pässwörd 密码');
  assert.match(sealed, /^v1\.[0-9a-f]{8}\.[\w-]+$/);
  assert.notEqual(vault.seal('pässwörd 密码', place), sealed);
  assert.equal(vault.open(vault.seal('', place), place), '');
});

test('vault: a value of another tenant or object, a changed one and garbage do not open', (t) => {
  const vault = createVault({ dataDir: folder(t) });
  const sealed = vault.seal('secret', place);
  const [version, id, data = ''] = sealed.split('.');
  const changed = Buffer.from(data, 'base64url');
  for (let at = 0; at < changed.length; at += 1) {
    changed[at] = (changed[at] ?? 0) ^ 1;
    const broken = `${version}.${id}.${changed.toString('base64url')}`;
    assert.throws(() => vault.open(broken, place), code('VAULT_VALUE_BROKEN'), `byte ${at}`);
    changed[at] = (changed[at] ?? 0) ^ 1;
  }
  for (const other of [
    { ...place, tenantId: 'other' },
    { ...place, objectId: 'source-2' },
    { tenantId: 'acme","source-1', objectId: '' },
  ])
    assert.throws(() => vault.open(sealed, other), code('VAULT_VALUE_BROKEN'));
  for (const garbage of ['', 'secret', 'v1', `v1.${id}.AAAA`, sealed.replace('v1', 'v2')])
    assert.throws(() => vault.open(garbage, place), code('VAULT_VALUE_BROKEN'), garbage);
  assert.throws(() => vault.open(`v1.00000000.${data}`, place), code('VAULT_KEY_MISSING'));
});

test('vault: the key is made once, readable by its owner only, and kept by a restart', (t) => {
  const dataDir = folder(t);
  const sealed = createVault({ dataDir }).seal('secret', place);
  assert.deepEqual(readdirSync(dataDir), ['secret.keys']);
  assert.equal(statSync(join(dataDir, 'secret.keys')).mode & 0o777, 0o600);
  assert.equal(createVault({ dataDir }).open(sealed, place), 'secret');
  writeFileSync(join(dataDir, 'secret.keys'), '{"active":"x"');
  assert.throws(() => createVault({ dataDir }).open(sealed, place), code('VAULT_KEYS_UNREADABLE'));
});

test('vault: with a key of the environment nothing is written, and a list of keys opens with each and seals with the first', (t) => {
  const dataDir = folder(t);
  const before = createVault({ dataDir, secretKey: LONG });
  const sealed = before.seal('secret', place);
  assert.deepEqual(readdirSync(dataDir), []);
  const after = createVault({ dataDir, secretKey: `${LONG} two, ${LONG}` });
  assert.equal(after.open(sealed, place), 'secret');
  assert.deepEqual([before.isStale(sealed), after.isStale(sealed)], [false, true]);
  assert.throws(() => before.open(after.seal('secret', place), place), code('VAULT_KEY_MISSING'));
});

test('vault: a running one follows a rotation; old keys open until they are forgotten', (t) => {
  const dataDir = folder(t);
  const running = createVault({ dataDir });
  const old = running.seal('old', place);
  assert.equal(running.isStale(old), false);
  const active = addKey(dataDir);
  assert.equal(running.isStale(old), true);
  const fresh = running.seal('fresh', place);
  assert.equal(keyIdOf(fresh), active);
  assert.equal(running.open(old, place), 'old');
  assert.deepEqual(forgetKeys(dataDir, new Set([keyIdOf(old)])), []);
  assert.deepEqual(forgetKeys(dataDir, new Set()), [keyIdOf(old)]);
  assert.throws(() => running.open(old, place), code('VAULT_KEY_MISSING'));
  assert.equal(running.open(fresh, place), 'fresh');
  assert.equal(readFileSync(join(dataDir, 'secret.keys'), 'utf8').includes('fresh'), false);
});

test('vault: going from a key of the folder to one of the environment keeps what is stored readable', (t) => {
  const dataDir = folder(t);
  const sealed = createVault({ dataDir }).seal('secret', place);
  const vault = createVault({ dataDir, secretKey: LONG });
  assert.deepEqual([vault.open(sealed, place), vault.isStale(sealed)], ['secret', true]);
});
