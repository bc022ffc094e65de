import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Decimal128, type Document, Double, Int32, Long } from 'mongodb';
import { useTarget, withCode } from './target.ts';

const target = useTarget();

interface Case {
  title: string;
  from: Document;
  update: Document | Document[];
  to: Document;
  filter?: Document;
  arrayFilters?: Document[];
}

const cases: Case[] = [
  { title: '$set makes documents on the way', from: {}, update: { $set: { 'a.b.c': 1 } }, to: { a: { b: { c: 1 } } } },
  {
    title: '$set in an array by position, filling with null',
    from: { a: [1] },
    update: { $set: { 'a.3': 4 } },
    to: { a: [1, null, null, 4] },
  },
  {
    title: 'new fields are added in the order of their names',
    from: {},
    update: { $set: { b: 1, a: 2 } },
    to: { a: 2, b: 1 },
  },
  {
    title: '$unset of a field and of an array element',
    from: { a: 1, l: [1, 2] },
    update: { $unset: { a: 1, 'l.0': 1 } },
    to: { l: [null, 2] },
  },
  {
    title: '$inc, $mul, $min, $max',
    from: { i: 1, m: 3, lo: 5, hi: 5 },
    update: { $inc: { i: 2, fresh: 7 }, $mul: { m: 2, zero: 4 }, $min: { lo: 3 }, $max: { hi: 3 } },
    to: { i: 3, m: 6, lo: 3, hi: 5, fresh: 7, zero: 0 },
  },
  {
    title: '$min and $max order by BSON type',
    from: { a: 'text', b: 1 },
    update: { $min: { a: 5 }, $max: { b: 'text' } },
    to: { a: 5, b: 'text' },
  },
  {
    title: '$rename',
    from: { a: 1, s: { x: 2 } },
    update: { $rename: { a: 'b', 's.x': 's.y' } },
    to: { s: { y: 2 }, b: 1 },
  },
  {
    title: '$push of one, of each, sorted and cut',
    from: { a: [3], b: [{ n: 2 }] },
    update: { $push: { a: { $each: [1, 2], $sort: 1, $slice: 2 }, b: { $each: [{ n: 1 }], $sort: { n: 1 } }, c: 9 } },
    to: { a: [1, 2], b: [{ n: 1 }, { n: 2 }], c: [9] },
  },
  {
    title: '$push at a position',
    from: { a: [1, 4] },
    update: { $push: { a: { $each: [2, 3], $position: 1 } } },
    to: { a: [1, 2, 3, 4] },
  },
  {
    title: '$push with a negative slice keeps the last',
    from: { a: [1, 2] },
    update: { $push: { a: { $each: [3], $slice: -2 } } },
    to: { a: [2, 3] },
  },
  {
    title: '$addToSet compares by value',
    from: { a: [1, { x: 1 }] },
    update: { $addToSet: { a: { $each: [1, 2, { x: 1 }, 2] } } },
    to: { a: [1, { x: 1 }, 2] },
  },
  {
    title: '$pull by value, condition and document',
    from: { a: [1, 2, 3], b: [{ x: 1, y: 1 }, { x: 2 }] },
    update: { $pull: { a: { $gte: 2 }, b: { x: 1 } } },
    to: { a: [1], b: [{ x: 2 }] },
  },
  {
    title: '$pullAll and $pop',
    from: { a: [1, 2, 1], b: [1, 2, 3], c: [1, 2] },
    update: { $pullAll: { a: [1] }, $pop: { b: 1, c: -1 } },
    to: { a: [2], b: [1, 2], c: [2] },
  },
  { title: '$bit', from: { a: 13 }, update: { $bit: { a: { and: 10 } } }, to: { a: 8 } },
  {
    title: 'the positional operator',
    from: { l: [{ k: 1 }, { k: 2 }] },
    filter: { 'l.k': 2 },
    update: { $set: { 'l.$.v': 9 } },
    to: { l: [{ k: 1 }, { k: 2, v: 9 }] },
  },
  {
    title: 'the positional operator with $elemMatch',
    from: {
      l: [
        { k: 1, v: 1 },
        { k: 1, v: 5 },
      ],
    },
    filter: { l: { $elemMatch: { k: 1, v: { $gt: 3 } } } },
    update: { $inc: { 'l.$.v': 1 } },
    to: {
      l: [
        { k: 1, v: 1 },
        { k: 1, v: 6 },
      ],
    },
  },
  {
    title: 'all elements',
    from: { l: [{ v: 1 }, { v: 2 }] },
    update: { $inc: { 'l.$[].v': 10 } },
    to: { l: [{ v: 11 }, { v: 12 }] },
  },
  {
    title: 'array filters',
    from: { l: [1, 5, 9] },
    update: { $set: { 'l.$[big]': 0 } },
    arrayFilters: [{ big: { $gt: 4 } }],
    to: { l: [1, 0, 0] },
  },
  {
    title: 'nested array filters',
    from: {
      l: [
        { k: 1, m: [1, 2] },
        { k: 2, m: [1, 2] },
      ],
    },
    update: { $inc: { 'l.$[a].m.$[b]': 10 } },
    arrayFilters: [{ 'a.k': 2 }, { b: 1 }],
    to: {
      l: [
        { k: 1, m: [1, 2] },
        { k: 2, m: [11, 2] },
      ],
    },
  },
  {
    title: 'a pipeline',
    from: { a: 1, b: 2, old: 1 },
    update: [{ $set: { sum: { $add: ['$a', '$b'] } } }, { $unset: 'old' }],
    to: { a: 1, b: 2, sum: 3 },
  },
  {
    title: 'a pipeline with $replaceWith',
    from: { a: { x: 1 } },
    update: [{ $replaceWith: { $mergeObjects: [{ _id: '$_id' }, '$a'] } }],
    to: { x: 1 },
  },
  {
    title: '$setOnInsert does nothing to a document that is there',
    from: { a: 1 },
    update: { $setOnInsert: { b: 1 }, $set: { a: 2 } },
    to: { a: 2 },
  },
];
for (const { title, from, update, to, filter = {}, arrayFilters } of cases) {
  test(`update: ${title}`, async () => {
    const c = target.collection();
    await c.insertOne({ _id: 1 as never, ...from });
    await c.updateOne({ _id: 1 as never, ...filter }, update, arrayFilters ? { arrayFilters } : {});
    const found = await c.findOne({ _id: 1 as never });
    assert.deepEqual(found, { _id: 1, ...to });
    assert.deepEqual(Object.keys(found ?? {}), ['_id', ...Object.keys(to)]);
  });
}

test('$inc and $mul: the widest type wins, an int that overflows becomes a long, a long that overflows is refused', async () => {
  const c = target.collection();
  await c.insertOne({
    _id: 1 as never,
    i: new Int32(2147483647),
    d: new Int32(1),
    l: Long.MAX_VALUE,
    dec: Decimal128.fromString('0.1'),
    same: new Double(1),
  });
  await c.updateOne({}, { $inc: { i: 1, d: new Double(1), dec: Decimal128.fromString('0.2'), same: 1 } });
  const found = await c.findOne({}, { promoteValues: false });
  assert.ok(found?.i instanceof Long && found.i.equals(2147483648));
  assert.ok(found.d instanceof Double && found.d.value === 2);
  assert.equal(String(found.dec), '0.3');
  assert.ok(found.same instanceof Double && found.same.value === 2);
  await assert.rejects(c.updateOne({}, { $inc: { l: 1 } }), withCode(2));
});

test('$currentDate: a date or a timestamp', async () => {
  const c = target.collection();
  await c.insertOne({ _id: 1 as never });
  const before = Date.now() - 1000;
  await c.updateOne({}, { $currentDate: { d: true, t: { $type: 'timestamp' } } } as Document);
  const found = await c.findOne();
  assert.ok(found?.d instanceof Date && found.d.getTime() >= before);
  assert.equal(found?.t?._bsontype, 'Timestamp');
});

test('upsert: $setOnInsert, arrays and operators build the document', async () => {
  const c = target.collection();
  const result = await c.updateOne(
    { k: 1, 'x.y': 2, z: { $in: [3] } },
    { $setOnInsert: { a: 1 }, $push: { l: 1 as never }, $inc: { n: 2 } },
    { upsert: true },
  );
  assert.equal(result.upsertedCount, 1);
  assert.deepEqual(await c.findOne({}, { projection: { _id: 0 } }), { k: 1, x: { y: 2 }, z: 3, a: 1, l: [1], n: 2 });
});

test('updateMany: a change of the indexed field meets each document once', async () => {
  const c = target.collection();
  await c.insertMany(Array.from({ length: 500 }, (_, n) => ({ n })));
  await c.createIndex({ n: 1 });
  const result = await c.updateMany({ n: { $gte: 0 } }, { $inc: { n: 1000 } });
  assert.equal(result.modifiedCount, 500);
  assert.equal(await c.countDocuments({ n: { $gte: 1000, $lt: 1500 } }), 500);
});

test('replaceOne: all fields but _id are replaced; operators are refused', async () => {
  const c = target.collection();
  await c.insertOne({ _id: 1 as never, a: 1 });
  await c.replaceOne({ _id: 1 as never }, { b: 2 });
  assert.deepEqual(await c.findOne(), { _id: 1, b: 2 });
  await assert.rejects(c.replaceOne({ _id: 1 as never }, { _id: 2 as never, b: 1 }), withCode(66));
});

test('update: errors of arrays and array filters carry their codes', async () => {
  const c = target.collection();
  await c.insertOne({ _id: 1 as never, a: 1, l: [1] });
  await assert.rejects(c.updateOne({}, { $push: { a: 1 } } as never), withCode(2));
  await assert.rejects(
    c.updateOne({}, { $pop: { a: 1 } } as never),
    (error: unknown) => error instanceof Error && 'code' in error && (error.code === 14 || error.code === 2),
  );
  await assert.rejects(c.updateOne({}, { $set: { 'l.$[x]': 1 } }), withCode(2));
  await assert.rejects(c.updateOne({}, { $set: { a: 1 } }, { arrayFilters: [{ x: 1 }] }), withCode(9));
  await assert.rejects(c.updateOne({}, { $set: { 'l.$': 1 } }), withCode(2));
  await assert.rejects(c.updateOne({}, { $rename: { a: 'a' } }), withCode(2));
  await assert.rejects(c.updateOne({}, { $set: { 'a..b': 1 } }), withCode(56));
});
