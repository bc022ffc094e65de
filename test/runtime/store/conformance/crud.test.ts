import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  Binary,
  Decimal128,
  Double,
  Int32,
  Long,
  MongoBulkWriteError,
  MongoServerError,
  ObjectId,
  Timestamp,
  UUID,
} from 'mongodb';
import { useTarget, withCode } from './target.ts';

const target = useTarget();

test('insert: a document without _id gets one, and comes back as it was', async () => {
  const c = target.collection();
  const { insertedId } = await c.insertOne({ a: 1, list: [1, 'x', null], nested: { deep: { b: true } } });
  assert.deepEqual(await c.findOne({ _id: insertedId }), {
    _id: insertedId,
    a: 1,
    list: [1, 'x', null],
    nested: { deep: { b: true } },
  });
});

test('insert: every type comes back exactly, also after an update of another field', async () => {
  const c = target.collection();
  const doc = {
    _id: new ObjectId(),
    int: new Int32(7),
    long: Long.fromString('9007199254740993'),
    small: Long.fromNumber(5),
    double: new Double(3),
    half: new Double(0.5),
    decimal: Decimal128.fromString('1.10'),
    date: new Date('2024-02-29T12:00:00.123Z'),
    binary: new Binary(Buffer.from([0, 1, 2, 255])),
    uuid: new UUID('7f3c9e1a-5d7b-4a3e-9c53-0d6a3b1f2e4d'),
    stamp: new Timestamp({ t: 5, i: 6 }),
    nothing: null,
    nested: { double: new Double(4), list: [new Double(1), Long.fromNumber(2)] },
  };
  await c.insertOne(doc);
  await c.updateOne({ _id: doc._id }, { $set: { other: 1 } });
  const raw = await c.findOne({ _id: doc._id }, { promoteValues: false });
  assert.deepEqual(raw, { ...doc, other: new Int32(1) });
  assert.ok(raw?.long instanceof Long && raw.nested.double instanceof Double);
});

test('insert: a second document with the same _id is refused with 11000', async () => {
  const c = target.collection();
  await c.insertOne({ _id: 5 as never });
  await assert.rejects(c.insertOne({ _id: 5 as never }), (error: unknown) => {
    assert.ok(error instanceof MongoServerError);
    assert.equal(error.code, 11000);
    assert.deepEqual(error.keyPattern, { _id: 1 });
    assert.deepEqual(error.keyValue, { _id: 5 });
    return true;
  });
});

test('insertMany: ordered ends at the first error, unordered goes on', async () => {
  const c = target.collection();
  const docs = [{ _id: 1 }, { _id: 1 }, { _id: 2 }] as never[];
  const ordered = await c.insertMany(docs).then(
    () => undefined,
    (error: unknown) => error,
  );
  assert.ok(ordered instanceof MongoBulkWriteError);
  assert.equal(ordered.result.insertedCount, 1);
  assert.equal(await c.countDocuments(), 1);
  const unordered = await c.insertMany(docs, { ordered: false }).then(
    () => undefined,
    (error: unknown) => error,
  );
  assert.ok(unordered instanceof MongoBulkWriteError);
  assert.equal(unordered.result.insertedCount, 1);
  assert.deepEqual(
    (await c.find().sort({ _id: 1 }).toArray()).map(({ _id }) => _id),
    [1, 2],
  );
});

test('insert: a regular expression, array or undefined as _id is refused', async () => {
  const c = target.collection();
  await assert.rejects(c.insertOne({ _id: [1] as never }), MongoServerError);
  await assert.rejects(c.insertOne({ _id: /x/ as never }), MongoServerError);
});

test('bulkWrite: mixed operations are carried out in order and counted', async () => {
  const c = target.collection();
  const result = await c.bulkWrite([
    { insertOne: { document: { _id: 1 as never, n: 1 } } },
    { updateOne: { filter: { _id: 1 as never }, update: { $inc: { n: 1 } } } },
    { updateOne: { filter: { _id: 2 as never }, update: { $set: { n: 5 } }, upsert: true } },
    { replaceOne: { filter: { _id: 2 as never }, replacement: { n: 6 } } },
    { deleteOne: { filter: { _id: 1 as never } } },
  ]);
  assert.deepEqual(
    [result.insertedCount, result.modifiedCount, result.upsertedCount, result.deletedCount],
    [1, 2, 1, 1],
  );
  assert.deepEqual(await c.find().toArray(), [{ _id: 2, n: 6 }]);
});

test('findOneAndUpdate: before, after, upsert, sort and projection', async () => {
  const c = target.collection();
  await c.insertMany([
    { k: 'a', n: 1 },
    { k: 'a', n: 2 },
  ]);
  const before = await c.findOneAndUpdate({ k: 'a' }, { $inc: { n: 10 } }, { sort: { n: -1 }, projection: { _id: 0 } });
  assert.deepEqual(before, { k: 'a', n: 2 });
  const after = await c.findOneAndUpdate(
    { k: 'a' },
    { $inc: { n: 10 } },
    { sort: { n: -1 }, returnDocument: 'after', projection: { n: 1, _id: 0 } },
  );
  assert.deepEqual(after, { n: 22 });
  const made = await c.findOneAndUpdate(
    { k: 'b' },
    { $setOnInsert: { x: 1 }, $set: { y: 2 } },
    { upsert: true, returnDocument: 'after', projection: { _id: 0 } },
  );
  assert.deepEqual(made, { k: 'b', x: 1, y: 2 });
  assert.equal(await c.findOneAndUpdate({ k: 'zzz' }, { $set: { y: 1 } }), null);
  assert.equal((await c.findOneAndDelete({ k: 'b' }))?.y, 2);
  assert.equal((await c.findOneAndReplace({ n: 22 }, { k: 'r' }, { returnDocument: 'after' }))?.k, 'r');
});

test('update: matched and modified are counted apart', async () => {
  const c = target.collection();
  await c.insertMany([{ n: 1 }, { n: 1 }, { n: 2 }]);
  const result = await c.updateMany({ n: { $gte: 1 } }, { $set: { n: 1 } });
  assert.deepEqual([result.matchedCount, result.modifiedCount], [3, 1]);
});

test('upsert: the filter gives the first fields, an _id of the filter is kept', async () => {
  const c = target.collection();
  const result = await c.updateOne(
    { _id: 'me' as never, 'a.b': 1, c: { $gt: 4 } },
    { $set: { d: 2 } },
    { upsert: true },
  );
  assert.equal(result.upsertedId, 'me');
  assert.deepEqual(await c.findOne(), { _id: 'me', a: { b: 1 }, d: 2 });
});

test('delete: one or all', async () => {
  const c = target.collection();
  await c.insertMany([{ n: 1 }, { n: 1 }, { n: 2 }]);
  assert.equal((await c.deleteOne({ n: 1 })).deletedCount, 1);
  assert.equal((await c.deleteMany({})).deletedCount, 2);
});

test('update: _id cannot be changed (66), unknown operators are refused (9), two operators on one path conflict (40)', async () => {
  const c = target.collection();
  await c.insertOne({ _id: 1 as never, a: 1 });
  await assert.rejects(c.updateOne({ a: 1 }, { $set: { _id: 2 } } as never), withCode(66));
  await assert.rejects(c.updateOne({ a: 1 }, { $nope: { a: 2 } } as never), withCode(9));
  await assert.rejects(c.updateOne({ a: 1 }, { $set: { b: 2 }, $inc: { b: 2 } }), withCode(40));
  await assert.rejects(c.updateOne({ a: 1 }, { $set: { 'a.b': 2 } }), withCode(28));
  await assert.rejects(c.updateOne({ a: 1 }, { $inc: { a: 'x' } } as never), withCode(14));
});

test('documents with hostile field names are stored as data', async () => {
  const c = target.collection();
  const doc = JSON.parse('{"_id":1,"__proto__":{"x":1},"constructor":"c","toString":2}');
  await c.insertOne(doc);
  await c.updateOne({ _id: 1 as never }, { $set: { y: 1 } });
  const found = await c.findOne({ constructor: 'c' as never });
  assert.deepEqual(Object.keys(found ?? {}), ['_id', '__proto__', 'constructor', 'toString', 'y']);
  assert.equal(({} as Record<string, unknown>).x, undefined);
});
