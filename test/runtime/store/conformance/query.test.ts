import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Binary, type Collection, Decimal128, type Document, Double, Long, MaxKey, MinKey, ObjectId } from 'mongodb';
import { useTarget, withCode } from './target.ts';

let c: Collection<Document>;
const target = useTarget(async (opened) => {
  c = opened.collection();
  await c.insertMany(docs as never[]);
});

const docs: Document[] = [
  {
    _id: 1,
    n: 1,
    s: 'apple',
    tags: ['a', 'b'],
    sub: { x: 1, y: 'p' },
    list: [
      { k: 1, v: 'a' },
      { k: 2, v: 'b' },
    ],
  },
  { _id: 2, n: 2.5, s: 'Banana', tags: [], sub: { x: 2 }, list: [{ k: 1, v: 'b' }] },
  { _id: 3, n: Long.fromString('9007199254740993'), s: '中文', tags: ['b', 'c', 'd'], sub: null },
  { _id: 4, n: null, s: '', at: new Date('2024-01-01'), flag: true },
  { _id: 5, n: [5, 10], s: 'apricot', tags: 'a', flag: false },
  { _id: 6, n: Decimal128.fromString('2.5'), s: 'a\nb', nested: [[1, 2], [3]] },
];

const ids = async (filter: Document): Promise<number[]> =>
  (await c.find(filter).sort({ _id: 1 }).toArray()).map(({ _id }) => Number(_id));

const cases: [string, Document, number[]][] = [
  ['equality of numbers ignores the type', { n: 2.5 }, [2, 6]],
  ['equality of a long is exact', { n: Long.fromString('9007199254740993') }, [3]],
  ['a neighbouring long does not match', { n: Long.fromString('9007199254740992') }, []],
  ['null matches null and missing', { sub: null }, [3, 4, 5, 6]],
  ['a nested null matches where the path ends early', { 'sub.y': null }, [2, 3, 4, 5, 6]],
  ['$exists tells missing from null', { sub: { $exists: false } }, [4, 5, 6]],
  ['$gt compares within the type', { n: { $gt: 2 } }, [2, 3, 5, 6]],
  ['$lt does not match null or text', { n: { $lt: 2 } }, [1]],
  ['$gte and $lte with null match null and missing', { sub: { $gte: null } }, [3, 4, 5, 6]],
  ['comparison of text is by bytes', { s: { $gt: 'a', $lt: 'b' } }, [1, 5, 6]],
  ['two conditions on an array may hold for two elements', { n: { $gt: 6, $lt: 7 } }, [5]],
  ['$elemMatch wants one element', { n: { $elemMatch: { $gt: 6, $lt: 7 } } }, []],
  ['$elemMatch on documents', { list: { $elemMatch: { k: 1, v: 'b' } } }, [2]],
  ['dotted conditions may hold for two elements', { 'list.k': 2, 'list.v': 'a' }, [1]],
  ['a position in an array', { 'list.0.v': 'b' }, [2]],
  ['an element of an array or a plain value', { tags: 'a' }, [1, 5]],
  ['a whole array', { tags: ['a', 'b'] }, [1]],
  ['an empty array', { tags: [] }, [2]],
  ['an array within an array', { nested: [1, 2] }, [6]],
  ['$in with several types', { n: { $in: [1, 10, null] } }, [1, 4, 5]],
  ['$in with a pattern', { s: { $in: [/^ap/, '中文'] } }, [1, 3, 5]],
  ['$nin', { n: { $nin: [1, 2.5] } }, [3, 4, 5]],
  ['$ne of an array element', { tags: { $ne: 'b' } }, [2, 4, 5, 6]],
  ['$all', { tags: { $all: ['b', 'c'] } }, [3]],
  ['$size', { tags: { $size: 3 } }, [3]],
  ['$not', { n: { $not: { $gt: 2 } } }, [1, 4]],
  ['$mod', { n: { $mod: [5, 0] } }, [5]],
  ['$type by name', { n: { $type: 'long' } }, [3]],
  ['$type number', { n: { $type: 'number' } }, [1, 2, 3, 5, 6]],
  ['$type array', { tags: { $type: 'array' } }, [1, 2, 3]],
  ['$regex with options', { s: { $regex: '^A', $options: 'i' } }, [1, 5, 6]],
  ['$regex with an inline option', { s: { $regex: '(?i)^BAN' } }, [2]],
  ['$regex over lines', { s: /^b/m }, [6]],
  ['$or', { $or: [{ n: 1 }, { flag: true }] }, [1, 4]],
  ['$nor', { $nor: [{ n: 1 }, { s: /a/ }] }, [3, 4]],
  ['$and', { $and: [{ tags: 'b' }, { tags: 'c' }] }, [3]],
  ['$expr compares two fields', { $expr: { $eq: ['$_id', '$n'] } }, [1]],
  ['$expr keeps the BSON order of types', { $expr: { $gt: ['$s', 5] } }, [1, 2, 3, 4, 5, 6]],
  ['MinKey and MaxKey are below and above all', { n: { $gt: new MinKey(), $lt: new MaxKey() } }, [1, 2, 3, 4, 5, 6]],
  ['$bitsAllSet', { _id: { $bitsAllSet: 5 } }, [5]],
  ['$bitsAnyClear by positions', { _id: { $bitsAnyClear: [0] } }, [2, 4, 6]],
  ['$jsonSchema', { $jsonSchema: { required: ['flag'], properties: { flag: { enum: [true] } } } }, [4]],
  ['a date range', { at: { $gte: new Date('2023-12-31'), $lt: new Date('2024-01-02') } }, [4]],
  ['an embedded document is compared with the order of its fields', { sub: { x: 1, y: 'p' } }, [1]],
  ['another order of fields is another document', { sub: { y: 'p', x: 1 } }, []],
  ['$comment changes nothing', { n: 1, $comment: 'hello' }, [1]],
  ['a false and a missing flag differ', { flag: false }, [5]],
];
for (const [title, filter, expected] of cases) {
  test(`find: ${title}`, async () => {
    assert.deepEqual(await ids(filter), expected);
  });
}

test('find: unknown and unsupported operators are refused with their codes', async () => {
  await assert.rejects(ids({ n: { $nope: 1 } }), withCode(2));
  await assert.rejects(ids({ $nope: [] }), withCode(2));
  await assert.rejects(ids({ $or: [] }), withCode(2));
  await assert.rejects(ids({ n: { $in: 5 } }), withCode(2));
  await assert.rejects(ids({ s: { $regex: '(' } }), withCode(51091));
  await assert.rejects(ids({ $text: { $search: 'x' } }), withCode(27));
  await assert.rejects(
    ids({ at: { $near: [0, 0] } }),
    (error: unknown) => error instanceof Error && 'code' in error && (error.code === 2 || error.code === 291),
  );
});

test('sort: all types come in the order of BSON', async () => {
  const mixed = target.collection();
  const values: unknown[] = [
    new MaxKey(),
    /x/,
    new Date(0),
    true,
    false,
    new ObjectId(),
    new Binary(Buffer.from('a')),
    [0],
    { a: 1 },
    'b',
    'a',
    Long.fromNumber(3),
    2.5,
    new Double(-1),
    null,
    new MinKey(),
  ];
  await mixed.insertMany(values.map((v, i) => ({ _id: i, v })) as never[]);
  const order = (await mixed.find({}, { sort: { v: 1 } }).toArray()).map(({ _id }) => Number(_id));
  // The array sorts by its smallest element: 0, between -1 and 2.5.
  assert.deepEqual(order, [15, 14, 13, 7, 12, 11, 10, 9, 8, 6, 5, 4, 3, 2, 1, 0]);
  const backward = (await mixed.find({}, { sort: { v: -1 } }).toArray()).map(({ _id }) => Number(_id));
  assert.deepEqual(backward, [...order].reverse());
});

test('find: sort, skip and limit together', async () => {
  assert.deepEqual(
    (await c.find({}, { sort: { _id: -1 }, skip: 1, limit: 2 }).toArray()).map(({ _id }) => _id),
    [5, 4],
  );
});

const projections: [string, Document, Document, Document][] = [
  ['inclusion keeps the order of the document', { _id: 1 }, { s: 1, n: 1 }, { _id: 1, n: 1, s: 'apple' }],
  ['exclusion', { _id: 1 }, { list: 0, tags: 0, sub: 0 }, { _id: 1, n: 1, s: 'apple' }],
  ['without _id', { _id: 1 }, { _id: 0, s: 1 }, { s: 'apple' }],
  ['a dotted path through arrays', { _id: 1 }, { 'list.v': 1 }, { _id: 1, list: [{ v: 'a' }, { v: 'b' }] }],
  ['a nested document instead of a dotted path', { _id: 1 }, { sub: { x: 1 } }, { _id: 1, sub: { x: 1 } }],
  ['$slice', { _id: 3 }, { tags: { $slice: 2 }, n: 0, s: 0, sub: 0 }, { _id: 3, tags: ['b', 'c'] }],
  ['$slice with skip from the end', { _id: 3 }, { tags: { $slice: [-2, 1] }, _id: 1 }, { _id: 3, tags: ['c'] }],
  ['$elemMatch', { _id: 1 }, { list: { $elemMatch: { v: 'b' } } }, { _id: 1, list: [{ k: 2, v: 'b' }] }],
  ['the positional operator', { _id: 1, 'list.k': 2 }, { 'list.$': 1 }, { _id: 1, list: [{ k: 2, v: 'b' }] }],
  ['an expression', { _id: 1 }, { up: { $toUpper: '$s' } }, { _id: 1, up: 'APPLE' }],
  ['a literal', { _id: 1 }, { fixed: { $literal: 5 } }, { _id: 1, fixed: 5 }],
];
for (const [title, filter, projection, expected] of projections) {
  test(`projection: ${title}`, async () => {
    assert.deepEqual(await c.findOne(filter, { projection }), expected);
  });
}

test('projection: inclusion and exclusion do not mix', async () => {
  await assert.rejects(c.findOne({}, { projection: { a: 1, b: 0 } }), withCode(31254));
  await assert.rejects(c.findOne({}, { projection: { b: 0, a: 1 } }), withCode(31253));
});

test('count and distinct: filter, skip, limit; array elements count one by one', async () => {
  assert.equal(await c.countDocuments({ tags: 'b' }), 2);
  assert.equal(await c.countDocuments({}, { skip: 1, limit: 3 }), 3);
  assert.equal(await c.estimatedDocumentCount(), 6);
  assert.deepEqual(await c.distinct('tags'), ['a', 'b', 'c', 'd']);
  assert.deepEqual(await c.distinct('list.k', { _id: { $lt: 3 as never } }), [1, 2]);
});
