import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type Document, MongoClient } from 'mongodb';
import mongoose from 'mongoose';
import { AppError } from '../../../core/errors.ts';
import { checkStoreFile, findStoreUri, openStore, type StoreOptions } from '../../../runtime/store/index.ts';
import { moveAll } from '../../../runtime/store/move.ts';
import { withCode } from './conformance/target.ts';

async function folderFor(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'koagent-embedded-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function opened(t: TestContext, options: Partial<StoreOptions> = {}) {
  const folder = options.folder ?? (await folderFor(t));
  const store = await openStore({ ...options, folder });
  const client = await new MongoClient(store.uri).connect();
  t.after(async () => {
    await client.close();
    await store.close();
  });
  return { folder, store, client, db: client.db('test') };
}

const locked = (error: unknown) =>
  error instanceof AppError && error.code === 'STORE_LOCKED' && error.message.includes('in use by another process');

test('lock: a second owner in this process or another one is refused and told who has it; it may connect instead', async (t) => {
  const { folder, store, db } = await opened(t);
  await assert.rejects(openStore({ folder }), locked);
  const script = `
    import { openStore, findStoreUri } from ${JSON.stringify(new URL('../../../runtime/store/index.ts', import.meta.url).href)};
    import { MongoClient } from 'mongodb';
    const refused = await openStore({ folder: process.argv[1] }).then(() => 'opened', (error) => error.code);
    const client = await new MongoClient(findStoreUri(process.argv[1])).connect();
    await client.db('test').collection('c').insertOne({ from: 'outside' });
    await client.close();
    console.log(refused);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script, folder], {
    cwd: join(import.meta.dirname, '../../..'),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.on('data', (chunk) => {
    output += chunk;
  });
  await once(child, 'close');
  assert.equal(output.trim(), 'STORE_LOCKED');
  assert.equal(await db.collection('c').countDocuments({ from: 'outside' }), 1);
  assert.equal(findStoreUri(folder), store.uri);
});

test('open: a folder with a long path works, and the socket is for the owner only', async (t) => {
  const folder = join(await folderFor(t), 'a-very-long-name-'.repeat(8));
  mkdirSync(folder, { recursive: true });
  const { client, db } = await opened(t, { folder });
  await db.command({ ping: 1 });
  const socket = client.options.hosts[0]?.socketPath ?? '';
  assert.ok(socket.length < 108 && socket.endsWith('.sock'));
  assert.equal(statSync(socket).mode & 0o777, 0o600);
});

test('close: what was acknowledged is there after opening again; the folder is free', async (t) => {
  const folder = await folderFor(t);
  const store = await openStore({ folder });
  const client = await new MongoClient(store.uri).connect();
  await client
    .db('test')
    .collection('c')
    .insertMany([{ n: 1 }, { n: 2 }]);
  await client.db('test').collection('c').createIndex({ n: 1 }, { unique: true });
  await client.close();
  await store.close();
  await store.close();
  const again = await opened(t, { folder });
  assert.equal(await again.db.collection('c').countDocuments(), 2);
  await assert.rejects(again.db.collection('c').insertOne({ n: 2 }), withCode(11000));
});

test('a catastrophic regular expression: other clients wait no longer than the limit, and it is refused from then on', async (t) => {
  const { store, client, db } = await opened(t, { regexLimitMs: 200 });
  await db.collection('c').insertOne({ s: `${'a'.repeat(60)}!` });
  // A back reference keeps V8 from its linear engine.
  const evil = db.collection('c').find({ s: { $regex: '^(a|aa)+(b)?\\2c$' } });
  await assert.rejects(evil.toArray());
  await assert.rejects(db.collection('c').findOne({ s: { $regex: '^(a|aa)+(b)?\\2c$' } }), withCode(51091));
  assert.equal(await client.db('test').collection('c').countDocuments(), 1);
  assert.ok((await store.stats()).restarts >= 1);
});

test('an exponential pattern without back references ends by itself', async (t) => {
  const { store, db } = await opened(t, { regexLimitMs: 3000 });
  await db.collection('c').insertOne({ s: `${'a'.repeat(40)}!` });
  assert.equal(await db.collection('c').countDocuments({ s: /^(a+)+$/ }), 0);
  assert.equal((await store.stats()).restarts, 0);
});

test('disk full: the writer gets 14031, nothing is damaged, and writing goes on when there is room again', async (t) => {
  const { folder, store, client, db } = await opened(t, { maxFileMiB: 8 });
  const c = db.collection('c');
  await c.createIndex({ key: 1 }, { unique: true });
  let written = 0;
  let failure: unknown;
  while (failure === undefined) {
    await c.insertOne({ _id: written as never, key: `k${written}`, body: 'x'.repeat(50_000) }).then(
      () => written++,
      (error: unknown) => {
        failure = error;
      },
    );
  }
  assert.ok(withCode(14031)(failure));
  assert.ok(written > 50);
  assert.equal(await c.countDocuments({}), written);
  assert.equal((await db.command({ validate: 'c', full: true })).valid, true);
  await c.deleteMany({ key: { $gt: 'k5' } });
  await c.insertOne({ key: 'new', body: 'x'.repeat(50_000) });
  // A whole group of writers fails together or not at all.
  const results = await Promise.allSettled(
    Array.from({ length: 400 }, (_, i) => c.insertOne({ key: `g${i}`, body: 'x'.repeat(50_000) })),
  );
  const acknowledged = results.filter(({ status }) => status === 'fulfilled').length;
  assert.ok(acknowledged < 400);
  assert.equal(await c.countDocuments({ key: /^g/ }), acknowledged);
  await client.close();
  await store.close();
  const again = await opened(t, { folder });
  assert.equal(await again.db.collection('c').countDocuments({ key: /^g/ }), acknowledged);
});

test('backup: a copy made while writers work is whole, and opens as a store', async (t) => {
  const { store, db } = await opened(t);
  const c = db.collection('c');
  await c.createIndex({ n: 1 }, { unique: true });
  await c.insertMany(Array.from({ length: 5000 }, (_, n) => ({ n, body: 'x'.repeat(500) })));
  let writing = true;
  const writer = (async () => {
    for (let n = 5000; writing; n++) await c.insertOne({ n, body: 'y'.repeat(500) });
  })();
  const copy = join(await folderFor(t), 'store.db');
  await store.backup(copy);
  writing = false;
  await writer;
  checkStoreFile(copy);
  const restored = await opened(t, { folder: join(copy, '..') });
  const count = await restored.db.collection('c').countDocuments();
  assert.ok(count >= 5000 && count <= (await c.countDocuments()));
  assert.equal((await restored.db.command({ validate: 'c', full: true })).valid, true);
});

test('backup: another process asks the owner by a command; an existing file is not overwritten', async (t) => {
  const { client, folder } = await opened(t);
  await client.db('test').collection('c').insertOne({ a: 1 });
  const file = join(folder, 'copy.db');
  await client.db('admin').command({ koagentBackup: file });
  assert.ok(existsSync(file));
  checkStoreFile(file);
  await assert.rejects(client.db('admin').command({ koagentBackup: file }), withCode(2));
  assert.throws(() => checkStoreFile(join(import.meta.dirname, 'embedded.test.ts')));
});

test('move: all collections with indexes and rules are copied, verified by hash, and the copy goes on where it was cut off', async (t) => {
  const from = await opened(t);
  const to = await opened(t);
  await from.db.createCollection('ruled', { validator: { n: { $gte: 0 } } });
  await from.db.collection('ruled').insertMany(
    Array.from({ length: 1200 }, (_, n) => ({
      n,
      at: new Date(n),
      d: new mongoose.mongo.Double(n),
      l: new mongoose.mongo.Long(n),
    })),
  );
  await from.db.collection('ruled').createIndex({ n: 1 }, { unique: true, name: 'mine' });
  await from.db
    .collection<{ _id: string | number }>('mixed')
    .insertMany(Array.from({ length: 700 }, (_, i) => ({ _id: i % 2 ? i : `s${i}` })));
  let reports = 0;
  const cut = moveAll(from.client, to.client, () => {
    if (++reports === 3) throw new Error('cut off');
  });
  await assert.rejects(cut, /cut off/);
  const results = await moveAll(from.client, to.client, () => undefined);
  assert.deepEqual(
    results.map(({ ns, count, same }) => [ns, count, same]),
    [
      ['test.mixed', 700, true],
      ['test.ruled', 1200, true],
    ],
  );
  assert.deepEqual(
    (await to.db.collection('ruled').indexes()).map(({ name }) => name),
    ['_id_', 'mine'],
  );
  await assert.rejects(to.db.collection('ruled').insertOne({ n: -1 }), withCode(121));
  assert.deepEqual((await to.db.listCollections().toArray()).map(({ name }) => name).sort(), ['mixed', 'ruled']);
  await assert.rejects(
    moveAll(from.client, to.client, () => undefined),
    /not empty/,
  );
});

test('mongoose: models, validation, populate, lean, sessions refused with a clear message', async (t) => {
  const { store } = await opened(t);
  const connection = await mongoose.createConnection(store.uri).asPromise();
  t.after(() => connection.close());
  const Team = connection.model('Team', new mongoose.Schema({ name: { type: String, unique: true, required: true } }));
  const person = new mongoose.Schema(
    {
      name: String,
      team: { type: mongoose.Schema.Types.ObjectId, ref: 'Team' },
      tags: [String],
      extra: { type: Map, of: Number },
      price: mongoose.Schema.Types.Decimal128,
      big: BigInt,
    },
    { timestamps: true, optimisticConcurrency: true },
  );
  const Person = connection.model('Person', person);
  await Team.init();
  const team = await Team.create({ name: 'red' });
  const made = await Person.create({
    name: 'ann',
    team: team._id,
    tags: ['a'],
    extra: { x: 1 },
    price: '1.50',
    big: 9007199254740993n,
  });
  const found = await Person.findOne({ 'extra.x': 1 }).populate<{ team: { name: string } }>('team').orFail();
  assert.equal(found.team.name, 'red');
  assert.equal(String(found.price), '1.50');
  assert.equal(found.big, 9007199254740993n);
  found.tags.push('b');
  await found.save();
  const stale = await Person.findById(made._id).orFail();
  await Person.updateOne({ _id: made._id }, { $inc: { __v: 1 } });
  stale.name = 'late';
  await assert.rejects(stale.save(), mongoose.Error.VersionError);
  await assert.rejects(Team.create({ name: 'red' }), withCode(11000));
  const seen: string[] = [];
  for await (const doc of Person.find().cursor({ batchSize: 1 })) seen.push(doc.name ?? '');
  assert.deepEqual(seen, ['ann']);
  await assert.rejects(
    connection.transaction(async (session) => {
      await Team.create([{ name: 'blue' }], { session });
    }),
    /sessions|ransaction/,
  );
});

test('memory: a query that would hold too much ends with 146, and gives back what it held', async (t) => {
  const { store, db } = await opened(t, { memoryMiB: 16 });
  const c = db.collection('c');
  await c.insertMany(Array.from({ length: 20 }, (_, i) => ({ pad: String.fromCharCode(65 + i).repeat(1024 * 1024) })));
  for (const pipeline of [
    [{ $group: { _id: null, all: { $push: '$pad' } } }],
    [{ $group: { _id: '$pad' } }],
    [{ $facet: { a: [{ $count: 'n' }] } }],
    [{ $bucketAuto: { groupBy: '$pad', buckets: 2 } }],
    [{ $sample: { size: 15 } }],
  ]) {
    await assert.rejects(c.aggregate(pipeline).toArray(), withCode(146), JSON.stringify(pipeline));
  }
  await assert.rejects(c.distinct('pad'), withCode(146));
  assert.equal((await store.stats()).queryMemoryBytes, 0);
  assert.equal((await c.find().sort({ pad: -1 }).toArray()).length, 20);
});

test('sort: what does not fit into memory is sorted on disk, in the same order', async (t) => {
  const { store, db } = await opened(t, { memoryMiB: 8 });
  const c = db.collection('c');
  const total = 12_000;
  for (let from = 0; from < total; from += 1000) {
    await c.insertMany(
      Array.from({ length: 1000 }, (_, i) => ({ n: ((from + i) * 7919) % 1009, i: from + i, pad: 'x'.repeat(800) })),
    );
  }
  const inOrder = async (cursor: AsyncIterable<Document>) => {
    let [count, last, before] = [0, -1, -1];
    for await (const { n = -1, i = -1 } of cursor) {
      assert.ok(n > last || (n === last && i > before), 'the order holds, and is stable');
      [last, before] = [n, i];
      count++;
    }
    assert.equal(count, total);
  };
  await inOrder(c.aggregate([{ $addFields: { extra: 1 } }, { $sort: { n: 1 } }]));
  await inOrder(c.find().sort({ n: 1 }));
  const backward = await c.find().sort({ n: -1, i: -1 }).skip(5000).limit(5000).toArray();
  assert.equal(backward.length, 5000);
  assert.ok(backward.every(({ n }, i) => i === 0 || n <= (backward[i - 1]?.n ?? 0)));
  assert.equal((await store.stats()).queryMemoryBytes, 0);
});

test('collections and indexes that come and go under load: every command ends, nothing is damaged or left behind', async (t) => {
  const { store, db } = await opened(t);
  const random = (below: number) => Math.floor(Math.random() * below);
  const any = () => db.collection(`c${random(3)}`);
  const actions: (() => Promise<unknown>)[] = [
    () =>
      any().insertMany(
        Array.from({ length: 100 }, () => ({
          a: random(50),
          b: [random(9), random(9)],
          u: random(1e9),
          s: 'x'.repeat(random(500)),
        })),
      ),
    () => any().updateMany({ a: random(50) }, { $inc: { a: 1 }, $push: { b: random(9) as never } }),
    () => any().updateOne({ u: random(1000) }, { $set: { z: 1 } }, { upsert: true }),
    () => any().deleteMany({ a: random(50) }),
    () =>
      any()
        .find({ $or: [{ a: random(50) }, { b: random(9) }] }, { batchSize: 5 })
        .sort({ s: 1 })
        .toArray(),
    () =>
      any()
        .aggregate([{ $unwind: '$b' }, { $group: { _id: '$b', n: { $sum: 1 } } }])
        .toArray(),
    () => any().createIndex({ a: 1, b: 1 }),
    () => any().createIndex({ u: 1 }, { unique: true }),
    () => any().dropIndexes(),
    () => (random(3) === 0 ? any().drop() : any().countDocuments({ a: { $lt: 9 } })),
    () =>
      any()
        .aggregate([{ $match: { a: { $lt: 10 } } }, { $out: `c${random(3)}` }])
        .toArray(),
    () => any().findOneAndUpdate({ a: random(50) }, { $inc: { n: 1 } }, { sort: { u: 1 } }),
  ];
  // Dropped meanwhile, cursor gone, not there, double key: what a client may be told.
  const expected = new Set([175, 43, 26, 27, 11000, 276]);
  const lane = async () => {
    for (let i = 0; i < 40; i++) {
      await actions[random(actions.length)]?.().catch((error: unknown) => {
        assert.ok(error instanceof Error && 'code' in error && expected.has(Number(error.code)), String(error));
      });
    }
  };
  await Promise.all(Array.from({ length: 12 }, lane));
  for (const { name } of await db.listCollections().toArray()) {
    assert.match(name, /^c\d$/);
    const report = await db.command({ validate: name, full: true });
    assert.equal(report.valid, true, JSON.stringify(report.errors));
  }
  const { queryMemoryBytes, cursors, restarts } = await store.stats();
  assert.deepEqual({ queryMemoryBytes, cursors, restarts }, { queryMemoryBytes: 0, cursors: 0, restarts: 0 });
});
