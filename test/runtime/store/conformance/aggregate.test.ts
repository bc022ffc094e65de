import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Collection, Decimal128, type Document, Double, Long } from 'mongodb';
import { useTarget, withCode } from './target.ts';

let orders: Collection<Document>;
let people: Collection<Document>;
const target = useTarget(async ({ db }) => {
  orders = db.collection('orders');
  people = db.collection('people');
  await orders.insertMany([
    { _id: 1, who: 'ann', sum: 10, items: ['a', 'b'], at: new Date('2024-01-05') },
    { _id: 2, who: 'bob', sum: 5, items: [], at: new Date('2024-01-20') },
    { _id: 3, who: 'ann', sum: 7.5, items: ['b'], at: new Date('2024-02-01') },
    { _id: 4, who: 'cat', items: null, at: new Date('2024-02-02') },
  ] as never[]);
  await people.insertMany([
    { _id: 'ann', age: 30, boss: 'cat' },
    { _id: 'bob', age: 40, boss: 'ann' },
    { _id: 'cat', age: 50 },
  ] as never[]);
  await people.createIndex({ boss: 1 });
});

const run = (...pipeline: Document[]) => orders.aggregate(pipeline).toArray();
const byId = { $sort: { _id: 1 } };

const cases: [string, Document[], unknown][] = [
  ['$match and $count', [{ $match: { sum: { $gt: 5 } } }, { $count: 'n' }], [{ n: 2 }]],
  ['$count of nothing is nothing', [{ $match: { sum: 99 } }, { $count: 'n' }], []],
  [
    '$group with the usual accumulators',
    [
      {
        $group: {
          _id: '$who',
          n: { $sum: 1 },
          total: { $sum: '$sum' },
          mean: { $avg: '$sum' },
          least: { $min: '$sum' },
          most: { $max: '$sum' },
        },
      },
      byId,
    ],
    [
      { _id: 'ann', n: 2, total: 17.5, mean: 8.75, least: 7.5, most: 10 },
      { _id: 'bob', n: 1, total: 5, mean: 5, least: 5, most: 5 },
      { _id: 'cat', n: 1, total: 0, mean: null, least: null, most: null },
    ],
  ],
  [
    '$group collects in order',
    [
      byId,
      {
        $group: {
          _id: null,
          first: { $first: '$who' },
          last: { $last: '$who' },
          all: { $push: '$sum' },
          count: { $count: {} },
        },
      },
    ],
    [{ _id: null, first: 'ann', last: 'cat', all: [10, 5, 7.5], count: 4 }],
  ],
  [
    '$group by a document with a missing field',
    [{ $group: { _id: { s: '$sum', m: { $month: '$at' } } } }, { $match: { '_id.m': 2 } }, { $sort: { '_id.s': 1 } }],
    [{ _id: { m: 2 } }, { _id: { s: 7.5, m: 2 } }],
  ],
  [
    '$addToSet',
    [{ $group: { _id: null, who: { $addToSet: '$who' } } }, { $project: { _id: 0, n: { $size: '$who' } } }],
    [{ n: 3 }],
  ],
  [
    '$group with an expression over the documents',
    [{ $group: { _id: { $cond: [{ $gt: ['$sum', 6] }, 'big', 'small'] }, n: { $sum: 1 } } }, byId],
    [
      { _id: 'big', n: 2 },
      { _id: 'small', n: 2 },
    ],
  ],
  [
    '$firstN, $topN and $maxN',
    [
      {
        $group: {
          _id: null,
          top: { $topN: { n: 2, sortBy: { sum: -1 }, output: '$_id' } },
          max: { $maxN: { input: '$sum', n: 1 } },
        },
      },
    ],
    [{ _id: null, top: [1, 3], max: [10] }],
  ],
  [
    '$project computes and renames',
    [
      { $match: { _id: 1 } },
      { $project: { name: '$who', double: { $multiply: ['$sum', 2] }, year: { $year: '$at' } } },
    ],
    [{ _id: 1, name: 'ann', double: 20, year: 2024 }],
  ],
  ['$project without _id', [{ $match: { _id: 1 } }, { $project: { _id: 0, who: 1 } }], [{ who: 'ann' }]],
  [
    '$project by exclusion',
    [{ $match: { _id: 2 } }, { $project: { at: 0, items: 0 } }],
    [{ _id: 2, who: 'bob', sum: 5 }],
  ],
  [
    '$addFields nests and overwrites',
    [{ $match: { _id: 2 } }, { $addFields: { 'x.y': '$sum', who: { $toUpper: '$who' } } }, { $unset: ['at', 'items'] }],
    [{ _id: 2, who: 'BOB', sum: 5, x: { y: 5 } }],
  ],
  [
    '$unwind drops empty and missing',
    [{ $unwind: '$items' }, { $sort: { _id: 1, items: 1 } }, { $project: { items: 1 } }],
    [
      { _id: 1, items: 'a' },
      { _id: 1, items: 'b' },
      { _id: 3, items: 'b' },
    ],
  ],
  [
    '$unwind keeps them when asked, with the position',
    [
      { $unwind: { path: '$items', preserveNullAndEmptyArrays: true, includeArrayIndex: 'i' } },
      { $sort: { _id: 1, i: 1 } },
      { $project: { items: 1, i: 1 } },
    ],
    [
      { _id: 1, items: 'a', i: 0 },
      { _id: 1, items: 'b', i: 1 },
      { _id: 2, i: null },
      { _id: 3, items: 'b', i: 0 },
      { _id: 4, items: null, i: null },
    ],
  ],
  [
    '$lookup by fields',
    [
      { $match: { _id: { $lte: 2 } } },
      { $lookup: { from: 'people', localField: 'who', foreignField: '_id', as: 'p' } },
      { $project: { 'p.age': 1 } },
      byId,
    ],
    [
      { _id: 1, p: [{ age: 30 }] },
      { _id: 2, p: [{ age: 40 }] },
    ],
  ],
  [
    '$lookup with a pipeline and variables',
    [
      { $match: { _id: 1 } },
      {
        $lookup: {
          from: 'people',
          let: { w: '$who' },
          pipeline: [{ $match: { $expr: { $eq: ['$boss', '$$w'] } } }, { $project: { _id: 1 } }],
          as: 'staff',
        },
      },
      { $project: { staff: 1 } },
    ],
    [{ _id: 1, staff: [{ _id: 'bob' }] }],
  ],
  [
    '$graphLookup follows to the end',
    [
      { $match: { _id: 2 } },
      {
        $graphLookup: {
          from: 'people',
          startWith: '$who',
          connectFromField: 'boss',
          connectToField: '_id',
          as: 'chain',
          depthField: 'd',
        },
      },
      { $project: { 'chain._id': 1, 'chain.d': 1 } },
      { $unwind: '$chain' },
      { $sort: { 'chain.d': 1 } },
      { $replaceRoot: { newRoot: '$chain' } },
    ],
    [
      { _id: 'bob', d: 0 },
      { _id: 'ann', d: 1 },
      { _id: 'cat', d: 2 },
    ],
  ],
  [
    '$facet',
    [{ $facet: { n: [{ $count: 'n' }], top: [{ $sort: { sum: -1 } }, { $limit: 1 }, { $project: { who: 1 } }] } }],
    [{ n: [{ n: 4 }], top: [{ _id: 1, who: 'ann' }] }],
  ],
  ['$sortByCount', [{ $sortByCount: '$who' }, { $limit: 1 }], [{ _id: 'ann', count: 2 }]],
  [
    '$bucket',
    [{ $bucket: { groupBy: '$sum', boundaries: [0, 6, 20], default: 'other', output: { n: { $sum: 1 } } } }, byId],
    [
      { _id: 0, n: 1 },
      { _id: 6, n: 2 },
      { _id: 'other', n: 1 },
    ],
  ],
  [
    '$unionWith',
    [
      { $project: { _id: 1 } },
      { $unionWith: { coll: 'people', pipeline: [{ $project: { _id: 1 } }] } },
      { $count: 'n' },
    ],
    [{ n: 7 }],
  ],
  ['$replaceWith', [{ $match: { _id: 1 } }, { $replaceWith: { a: '$who' } }], [{ a: 'ann' }]],
  [
    '$setWindowFields',
    [
      { $match: { who: 'ann' } },
      {
        $setWindowFields: {
          partitionBy: '$who',
          sortBy: { _id: 1 },
          output: { running: { $sum: '$sum', window: { documents: ['unbounded', 'current'] } } },
        },
      },
      { $project: { running: 1 } },
      byId,
    ],
    [
      { _id: 1, running: 10 },
      { _id: 3, running: 17.5 },
    ],
  ],
  ['$sample takes as many as asked', [{ $sample: { size: 2 } }, { $count: 'n' }], [{ n: 2 }]],
  [
    '$skip and $limit in the middle',
    [{ $project: { _id: 1 } }, byId, { $skip: 1 }, { $limit: 2 }],
    [{ _id: 2 }, { _id: 3 }],
  ],
  [
    'dates and text',
    [
      { $match: { _id: 1 } },
      {
        $project: {
          _id: 0,
          d: { $dateToString: { date: '$at', format: '%Y-%m-%d' } },
          c: { $concat: ['$who', '!'] },
          s: { $size: '$items' },
        },
      },
    ],
    [{ d: '2024-01-05', c: 'ann!', s: 2 }],
  ],
  [
    '$map, $filter, $reduce',
    [
      { $match: { _id: 1 } },
      {
        $project: {
          _id: 0,
          m: { $map: { input: '$items', as: 'i', in: { $concat: ['$$i', 'x'] } } },
          f: { $filter: { input: '$items', cond: { $eq: ['$$this', 'b'] } } },
        },
      },
    ],
    [{ m: ['ax', 'bx'], f: ['b'] }],
  ],
  [
    '$ifNull and $cond',
    [
      { $match: { _id: 4 } },
      {
        $project: {
          _id: 0,
          v: { $ifNull: ['$sum', 'none'] },
          s: { $cond: [{ $eq: ['$who', 'cat'] }, 'c', 'd'] },
        },
      },
    ],
    [{ v: 'none', s: 'c' }],
  ],
  [
    '$$ROOT',
    [{ $match: { _id: 2 } }, { $project: { _id: 0, doc: '$$ROOT' } }, { $project: { 'doc._id': 1 } }],
    [{ doc: { _id: 2 } }],
  ],
];
for (const [title, pipeline, expected] of cases) {
  test(`aggregate: ${title}`, async () => {
    assert.deepEqual(await run(...pipeline), expected);
  });
}

test('aggregate: fields that are taken over keep their types', async () => {
  const c = target.collection();
  await c.insertOne({ _id: 1 as never, d: new Double(1), l: Long.fromNumber(2), dec: Decimal128.fromString('3.0') });
  const [found] = await c
    .aggregate([{ $project: { d: 1, copy: '$l', dec: 1 } }, { $addFields: { x: 1 } }], { promoteValues: false })
    .toArray();
  assert.ok(found?.d instanceof Double);
  assert.ok(found.copy instanceof Long);
  assert.equal(String(found.dec), '3.0');
});

test('$sum: decimals and long integers are exact', async () => {
  const c = target.collection();
  await c.insertMany([
    { d: Decimal128.fromString('0.1'), l: Long.fromString('9007199254740993') },
    { d: Decimal128.fromString('0.2'), l: Long.fromNumber(1) },
  ]);
  const [found] = await c
    .aggregate([{ $group: { _id: null, d: { $sum: '$d' }, l: { $sum: '$l' } } }], { promoteLongs: false })
    .toArray();
  assert.equal(String(found?.d), '0.3');
  assert.equal(String(found?.l), '9007199254740994');
});

test('$out and $merge: results are stored', async () => {
  const out = target.collection();
  await orders.aggregate([{ $group: { _id: '$who', n: { $sum: 1 } } }, { $out: out.collectionName }]).toArray();
  assert.deepEqual(await out.find().sort({ _id: 1 }).toArray(), [
    { _id: 'ann', n: 2 },
    { _id: 'bob', n: 1 },
    { _id: 'cat', n: 1 },
  ]);
  await orders
    .aggregate([
      { $match: { who: 'ann' } },
      { $group: { _id: '$who', sum: { $sum: '$sum' } } },
      { $merge: { into: out.collectionName } },
    ])
    .toArray();
  await orders
    .aggregate([
      { $limit: 1 },
      { $project: { _id: 'new', n: { $literal: 9 } } },
      { $merge: { into: out.collectionName, whenNotMatched: 'insert' } },
    ])
    .toArray();
  assert.deepEqual(await out.find().sort({ _id: 1 }).toArray(), [
    { _id: 'ann', n: 2, sum: 17.5 },
    { _id: 'bob', n: 1 },
    { _id: 'cat', n: 1 },
    { _id: 'new', n: 9 },
  ]);
});

test('aggregate: wrong stages and expressions are refused with their codes', async () => {
  await assert.rejects(run({ $nope: 1 }), withCode(40324));
  await assert.rejects(run({ $match: {}, $limit: 1 }), withCode(40323));
  await assert.rejects(run({ $limit: 0 }), withCode(15958));
  await assert.rejects(run({ $group: { n: 1 } }), withCode(15955));
  await assert.rejects(
    run({ $project: { x: { $nope: 1 } } }),
    (error: unknown) => error instanceof Error && 'code' in error && (error.code === 168 || error.code === 31325),
  );
  await assert.rejects(run({ $out: 'x' }, { $match: {} }), withCode(40601));
  await assert.rejects(orders.aggregate([{ $changeStream: {} }]).toArray(), withCode(40573));
});
