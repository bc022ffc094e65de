import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GridFSBucket, type ObjectId } from 'mongodb';
import { useTarget, withCode } from './target.ts';

const target = useTarget();

test('collections: created, listed, renamed, dropped', async () => {
  await target.db.createCollection('one');
  await assert.rejects(target.db.command({ create: 'one', validator: { a: 1 } }), withCode(48));
  await target.db.collection('one').insertOne({ a: 1 });
  await target.db.collection('one').rename('two');
  const names = (await target.db.listCollections({ name: { $in: ['one', 'two'] } }).toArray()).map(({ name }) => name);
  assert.deepEqual(names, ['two']);
  assert.equal(await target.db.collection('two').countDocuments(), 1);
  await target.db.createCollection('three');
  await assert.rejects(target.db.collection('two').rename('three'), withCode(48));
  await target.db.collection('two').rename('three', { dropTarget: true });
  assert.equal(await target.db.collection('three').drop(), true);
  assert.equal(await target.db.collection('three').drop(), true);
});

test('databases: listed while they hold something, dropped with all collections', async () => {
  const other = target.client.db(`${target.db.databaseName}_other`);
  await other.collection('x').insertOne({});
  await other.collection('y').insertOne({});
  const names = async () =>
    (await target.client.db().admin().listDatabases({ nameOnly: true })).databases.map(({ name }) => name);
  assert.ok((await names()).includes(other.databaseName));
  await other.dropDatabase();
  assert.ok(!(await names()).includes(other.databaseName));
});

test('names: what MongoDB refuses is refused with 73', async () => {
  await assert.rejects(target.db.command({ insert: 'a$b', documents: [{ a: 1 }] }), withCode(73));
  await assert.rejects(target.db.command({ insert: '', documents: [{ a: 1 }] }), withCode(73));
});

test('validators: a document that does not fit is refused with 121, on insert and update; collMod changes the rule', async () => {
  const c = target.collection();
  await target.db.createCollection(c.collectionName, {
    validator: {
      $jsonSchema: { bsonType: 'object', required: ['n'], properties: { n: { bsonType: 'int', minimum: 1 } } },
    },
  });
  await c.insertOne({ n: 1 });
  await assert.rejects(c.insertOne({ n: 'x' }), withCode(121));
  await assert.rejects(c.updateOne({}, { $set: { n: 0 } }), withCode(121));
  await c.insertOne({ n: 'x' }, { bypassDocumentValidation: true });
  await target.db.command({ collMod: c.collectionName, validator: {} });
  await c.insertOne({ n: 'y' });
  assert.equal(await c.countDocuments(), 3);
});

test('collMod: the time of a TTL index is changed and listed', async () => {
  const c = target.collection();
  await c.createIndex({ at: 1 }, { expireAfterSeconds: 100 });
  const reply = await target.db.command({
    collMod: c.collectionName,
    index: { keyPattern: { at: 1 }, expireAfterSeconds: 50 },
  });
  assert.deepEqual([Number(reply.expireAfterSeconds_old), Number(reply.expireAfterSeconds_new)], [100, 50]);
  assert.equal((await c.indexes())[1]?.expireAfterSeconds, 50);
  await assert.rejects(target.db.command({ collMod: 'missing' }), withCode(26));
});

test('server: hello, ping, buildInfo, serverStatus and getParameter answer', async () => {
  const hello = await target.db.command({ hello: 1 });
  assert.equal(hello.isWritablePrimary, true);
  assert.equal(hello.maxBsonObjectSize, 16 * 1024 * 1024);
  assert.equal((await target.db.command({ ping: 1 })).ok, 1);
  assert.match((await target.db.admin().buildInfo()).version, /^\d+\.\d+/);
  assert.ok((await target.db.admin().serverStatus()).uptime >= 0);
  assert.ok(
    (await target.client.db('admin').command({ getParameter: 1, featureCompatibilityVersion: 1 }))
      .featureCompatibilityVersion,
  );
});

test('unknown commands answer 59', async () => {
  await assert.rejects(target.db.command({ nope: 1 }), withCode(59));
});

test('validate: indexes agree with the documents', async () => {
  const c = target.collection();
  await c.insertMany([{ a: [1, 2] }, { a: 3 }]);
  await c.createIndex({ a: 1 });
  const report = await target.db.command({ validate: c.collectionName });
  assert.equal(report.valid, true);
  assert.deepEqual(report.keysPerIndex, { _id_: 2, a_1: 3 });
});

test('GridFS: a file goes in and out in parts, is found and deleted', async () => {
  const bucket = new GridFSBucket(target.db, { bucketName: 'files', chunkSizeBytes: 100_000 });
  const data = Buffer.from(Array.from({ length: 350_001 }, (_, i) => i % 251));
  const upload = bucket.openUploadStream('a.bin', { metadata: { tenant: 't' } });
  await new Promise<void>((done, fail) => {
    upload.on('finish', () => done()).on('error', fail);
    upload.end(data);
  });
  const read = async (options = {}) => {
    const parts: Buffer[] = [];
    for await (const part of bucket.openDownloadStream(upload.id as ObjectId, options)) parts.push(part as Buffer);
    return Buffer.concat(parts);
  };
  assert.ok((await read()).equals(data));
  assert.ok((await read({ start: 99_999, end: 200_001 })).equals(data.subarray(99_999, 200_001)));
  assert.equal((await bucket.find({ 'metadata.tenant': 't' }).toArray())[0]?.length, 350_001);
  await bucket.delete(upload.id as ObjectId);
  assert.equal(await target.db.collection('files.chunks').countDocuments(), 0);
});

test('sizes: a document over 16 MiB is refused, also when an update makes it', async () => {
  const c = target.collection();
  await c.insertOne({ _id: 1 as never, s: 'x'.repeat(15 * 1024 * 1024) });
  await assert.rejects(c.insertOne({ s: 'x'.repeat(17 * 1024 * 1024) }));
  await assert.rejects(
    c.updateOne({}, { $set: { t: 'x'.repeat(2 * 1024 * 1024) } }),
    (error: unknown) => error instanceof Error && 'code' in error && (error.code === 10334 || error.code === 17419),
  );
  assert.equal(await c.countDocuments({ t: { $exists: true } }), 0);
});

test('without sessions: a transaction fails with a clear message', { skip: !target.embedded }, async () => {
  await assert.rejects(
    target.client.withSession((session) =>
      session.withTransaction(async () => target.collection().insertOne({}, { session })),
    ),
    /does not support sessions|Transaction numbers/,
  );
  await assert.rejects(
    target.db.command({ insert: 'x', documents: [{}], txnNumber: 1, autocommit: false, startTransaction: true }),
    withCode(20),
  );
});
