import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { MongoClient } from 'mongodb';
import { openStore } from '../../../runtime/store/index.ts';

const project = join(import.meta.dirname, '../../..');

interface Result {
  code: number;
  output: string;
}

/** Runs a command of `scripts/` on a data folder, as npm would. */
function command(name: string, args: string[], dataDir: string): Promise<Result> {
  return new Promise((done) => {
    const { MONGODB_URI: _uri, ...env } = process.env;
    execFile(
      process.execPath,
      [join(project, 'scripts', `${name}.ts`), ...args],
      { env: { ...env, KOAGENT_DATA_DIR: dataDir } },
      (error, stdout, stderr) =>
        done({ code: typeof error?.code === 'number' ? error.code : error ? 1 : 0, output: stdout + stderr }),
    );
  });
}

async function folders(t: TestContext): Promise<{ data: string; other: string }> {
  const root = await mkdtemp(join(tmpdir(), 'koagent-scripts-'));
  t.after(() => rm(root, { recursive: true }));
  return { data: join(root, 'data'), other: join(root, 'other') };
}

async function use<T>(data: string, work: (client: MongoClient) => Promise<T>): Promise<T> {
  const store = await openStore({ folder: join(data, 'store') });
  const client = await new MongoClient(store.uri).connect();
  try {
    return await work(client);
  } finally {
    await client.close();
    await store.close();
  }
}

const count = (client: MongoClient) => client.db('koagent').collection('c').countDocuments();

test('backup and restore: with the server running and without; restore keeps what was there before', {
  timeout: 60_000,
}, async (t) => {
  const { data } = await folders(t);
  const [one, two] = [join(data, 'one.db'), join(data, 'two.db')];
  await use(data, async (client) => {
    await client
      .db('koagent')
      .collection('c')
      .insertMany([{ n: 1 }, { n: 2 }]);
    const running = await command('backup', [one], data);
    assert.equal(running.code, 0, running.output);
    await client.db('koagent').collection('c').insertOne({ n: 3 });
    const refused = await command('restore', [one], data);
    assert.equal(refused.code, 1);
    assert.match(refused.output, /in use by another process/);
  });
  assert.equal((await command('backup', [two], data)).code, 0);
  const again = await command('backup', [two], data);
  assert.equal(again.code, 1);
  assert.match(again.output, /exists already/);

  const restored = await command('restore', [one], data);
  assert.equal(restored.code, 0, restored.output);
  assert.equal(await use(data, count), 2);
  assert.ok((await readdir(join(data, 'store'))).some((name) => name.startsWith('store.db.before-')));
  assert.equal((await command('restore', [two], data)).code, 0);
  assert.equal(await use(data, count), 3);
});

test('restore: what is no backup is refused and changes nothing', async (t) => {
  const { data } = await folders(t);
  await use(data, (client) => client.db('koagent').collection('c').insertOne({ n: 1 }));
  const broken = join(data, 'broken.db');
  await writeFile(broken, 'no database at all, but long enough to look like one'.repeat(200));
  const refused = await command('restore', [broken], data);
  assert.equal(refused.code, 1);
  assert.match(refused.output, /not a usable backup/);
  assert.equal((await command('restore', [join(data, 'missing.db')], data)).code, 1);
  assert.equal(await use(data, count), 1);
});

test('move-store: to another server and back', { timeout: 60_000 }, async (t) => {
  const { data, other } = await folders(t);
  await use(data, (client) =>
    client
      .db('koagent')
      .collection('c')
      .insertMany([{ n: 1 }, { n: 2 }]),
  );
  // Another embedded store stands for the MongoDB; for this command it is one.
  const server = await openStore({ folder: join(other, 'store') });
  const there = await new MongoClient(server.uri).connect();
  const up = await command('move-store', [server.uri], data);
  assert.equal(up.code, 0, up.output);
  assert.match(up.output, /the same on both sides/);
  await there.db('koagent').collection('c').insertOne({ n: 3 });
  const empty = `${data}-back`;
  const back = await command('move-store', ['--from', server.uri], empty);
  assert.equal(back.code, 0, back.output);
  await there.close();
  await server.close();
  assert.equal(await use(empty, count), 3);
});

test('commands: --help and missing arguments tell the use', async (t) => {
  const { data } = await folders(t);
  for (const name of ['backup', 'restore', 'move-store']) {
    const help = await command(name, ['--help'], data);
    assert.equal(help.code, 0);
    assert.match(help.output, new RegExp(`usage: npm run ${name}`));
    assert.equal((await command(name, [], data)).code, 2);
  }
});
