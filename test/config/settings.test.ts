import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { loadSettings } from '../../config/settings.ts';

const folder = (t: TestContext) => {
  const path = mkdtempSync(join(tmpdir(), 'koagent-settings-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
};

test('settings: defaults, and a secret that is made once and readable by its owner only', (t) => {
  const dataDir = join(folder(t), 'data');
  const first = loadSettings({ KOAGENT_DATA_DIR: dataDir });
  assert.deepEqual([first.host, first.port, first.logLevel], ['127.0.0.1', 8037, 'info']);
  assert.ok(first.jwtSecret.length >= 32);
  assert.equal(statSync(join(dataDir, 'jwt.secret')).mode & 0o777, 0o600);
  assert.equal(loadSettings({ KOAGENT_DATA_DIR: dataDir }).jwtSecret, first.jwtSecret);
});

test('settings: wrong values are refused by the name of the variable', (t) => {
  const dataDir = folder(t);
  for (const [name, env] of [
    ['PORT', { PORT: '70000' }],
    ['PORT', { PORT: 'http' }],
    ['KOAGENT_LOG_LEVEL', { KOAGENT_LOG_LEVEL: 'loud' }],
    ['KOAGENT_JWT_SECRET', { KOAGENT_JWT_SECRET: 'short' }],
    ['KOAGENT_ADMIN_PASSWORD', { KOAGENT_ADMIN_EMAIL: 'a@b.cn' }],
    ['KOAGENT_ADMIN_EMAIL', { KOAGENT_ADMIN_PASSWORD: 'Abc12345' }],
  ] as const) {
    assert.throws(() => loadSettings({ KOAGENT_DATA_DIR: dataDir, ...env }), {
      code: 'SETTING_INVALID',
      message: new RegExp(name),
    });
  }
});

test('settings: an emptied secret and a data folder that is a file are refused, not used', (t) => {
  const dataDir = folder(t);
  writeFileSync(join(dataDir, 'jwt.secret'), '');
  assert.throws(() => loadSettings({ KOAGENT_DATA_DIR: dataDir }), { code: 'SECRET_INVALID', message: /jwt\.secret/ });
  writeFileSync(join(dataDir, 'file'), '');
  assert.throws(() => loadSettings({ KOAGENT_DATA_DIR: join(dataDir, 'file') }), {
    code: 'SETTING_INVALID',
    message: /KOAGENT_DATA_DIR/,
  });
});
