import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { loadSettings } from '../../config/settings.ts';
import { createLogger } from '../../core/log.ts';
import { createVault, keyIdOf } from '../../core/vault.ts';
import { dataSourceModel } from '../../plugins/data-sources/models/data-source.ts';
import { openDatabase } from '../../scripts/open-database.ts';

const SCRIPT = join(import.meta.dirname, '../../scripts/rotate-key.ts');
const NEW = 'the new key of at least thirty-two characters';
const OLD = 'the old key of at least thirty-two characters';

/** A data folder with `count` sources of two tenants, each with the secret of its number. */
async function installation(t: TestContext, env: Record<string, string>, count: number) {
  const dataDir = mkdtempSync(join(tmpdir(), 'koagent-rotate-'));
  t.after(() => rmSync(dataDir, { recursive: true, force: true }));
  const settings = loadSettings({ ...env, KOAGENT_DATA_DIR: dataDir });
  const withSources = async <T>(work: (sources: ReturnType<typeof dataSourceModel>) => Promise<T>) => {
    const database = await openDatabase(settings, createLogger('silent'));
    try {
      return await work(dataSourceModel(database));
    } finally {
      await database.close();
    }
  };
  const vault = createVault(settings);
  await withSources(async (sources) => {
    for (let at = 0; at < count; at += 1) {
      const tenantId = `tenant-${at % 2}`;
      const objectId = `source-${at}`;
      await sources.in({ tenantId }).insert({
        _id: objectId,
        ownerId: 'o',
        name: 'n',
        type: 'api',
        description: null,
        config: {},
        secrets: at === 0 ? null : vault.seal(`secret ${at}`, { tenantId, objectId }),
        status: 'active',
        revision: 1,
        lastConnectedAt: null,
      });
    }
  });
  return {
    dataDir,
    /** Opens every secret with the keys of `env`; gives the ids of the keys in use. */
    async check(env: Record<string, string>) {
      const reader = createVault(loadSettings({ ...env, KOAGENT_DATA_DIR: dataDir }));
      const found = await withSources((sources) => sources.acrossTenants('test').find({ secrets: { $ne: null } }));
      assert.equal(found.length, count - 1);
      for (const { _id, tenantId, secrets } of found)
        assert.equal(reader.open(String(secrets), { tenantId, objectId: _id }), `secret ${_id.split('-')[1]}`);
      return new Set(found.map(({ secrets }) => keyIdOf(String(secrets))));
    },
    rotate: (env: Record<string, string> = {}, args: string[] = []) =>
      promisify(execFile)(process.execPath, [SCRIPT, ...args], {
        env: {
          PATH: process.env.PATH,
          NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE,
          KOAGENT_DATA_DIR: dataDir,
          ...env,
        },
      }),
  };
}

const ring = (dataDir: string) => JSON.parse(readFileSync(join(dataDir, 'secret.keys'), 'utf8'));

test('rotate-key: every secret of every tenant gets the new key, and the old one goes', async (t) => {
  const { dataDir, check, rotate } = await installation(t, {}, 30);
  const [before] = await check({});
  const { stdout } = await rotate();
  assert.match(stdout, /29 secrets encrypted again/);
  const [after, ...more] = await check({});
  assert.notEqual(after, before);
  assert.equal(more.length, 0);
  assert.deepEqual([ring(dataDir).active, Object.keys(ring(dataDir).keys)], [after, [after]]);
  const kept = await rotate({}, ['--keep']);
  assert.match(kept.stdout, /29 secrets/);
  assert.deepEqual(Object.keys(ring(dataDir).keys).length, 2, 'with --keep the old key stays for backups');
});

test('rotate-key: with keys of the environment the first one takes over', async (t) => {
  const { check, rotate } = await installation(t, { KOAGENT_SECRET_KEY: OLD }, 5);
  const { stdout } = await rotate({ KOAGENT_SECRET_KEY: `${NEW},${OLD}` });
  assert.match(stdout, /4 secrets encrypted again/);
  assert.equal((await check({ KOAGENT_SECRET_KEY: NEW })).size, 1);
});

test('rotate-key: a missing key is told and nothing is lost', async (t) => {
  const { check, rotate } = await installation(t, { KOAGENT_SECRET_KEY: OLD }, 5);
  await assert.rejects(rotate({ KOAGENT_SECRET_KEY: NEW }), /The key of a stored secret is missing/);
  await check({ KOAGENT_SECRET_KEY: OLD });
});
