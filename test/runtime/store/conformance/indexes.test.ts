import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Collection, Document, Sort } from 'mongodb';
import { useTarget, withCode } from './target.ts';

const target = useTarget();

interface Stage {
  stage: string;
  indexName?: string;
  inputStage?: Stage;
  inputStages?: Stage[];
}

/** All stages of the winning plan, from the top: `['FETCH', 'IXSCAN a_1']`. */
async function plan(c: Collection<Document>, filter: Document, sort?: Sort): Promise<string[]> {
  const cursor = c.find(filter);
  if (sort) cursor.sort(sort);
  const { queryPlanner } = await cursor.explain('queryPlanner');
  const flat = (stage: Stage): string[] => [
    stage.indexName ? `${stage.stage} ${stage.indexName}` : stage.stage,
    ...(stage.inputStage ? flat(stage.inputStage) : []),
    ...(stage.inputStages ?? []).flatMap(flat),
  ];
  return flat(queryPlanner.winningPlan.queryPlan ?? queryPlanner.winningPlan);
}

async function filled(...keys: Document[]): Promise<Collection<Document>> {
  const c = target.collection();
  await c.insertMany(
    Array.from({ length: 300 }, (_, n) => ({
      n,
      even: n % 2 === 0,
      s: `s${n}`,
      tags: [`t${n % 10}`, `u${n % 7}`],
      sub: { x: n % 50 },
      text: n % 3 === 0 ? `p${n}` : null,
    })),
  );
  for (const key of keys) await c.createIndex(key as never);
  return c;
}

test('indexes: created, listed, dropped; the same again is nothing', async () => {
  const c = target.collection();
  assert.equal(await c.createIndex({ a: 1, b: -1 }), 'a_1_b_-1');
  await c.createIndex({ a: 1, b: -1 });
  await c.createIndex({ c: 1 }, { name: 'mine', unique: true, sparse: true });
  assert.deepEqual(
    (await c.indexes()).map(({ name, key, unique }) => ({ name, key, unique })),
    [
      { name: '_id_', key: { _id: 1 }, unique: undefined },
      { name: 'a_1_b_-1', key: { a: 1, b: -1 }, unique: undefined },
      { name: 'mine', key: { c: 1 }, unique: true },
    ],
  );
  await c.dropIndex('mine');
  assert.equal((await c.indexes()).length, 2);
  await c.dropIndexes();
  assert.equal((await c.indexes()).length, 1);
});

test('indexes: conflicts and wrong definitions are refused with their codes', async () => {
  const c = target.collection();
  await c.createIndex({ a: 1 }, { name: 'x' });
  await assert.rejects(c.createIndex({ b: 1 }, { name: 'x' }), withCode(86));
  await assert.rejects(c.createIndex({ a: 1 }, { name: 'y' }), withCode(85));
  await assert.rejects(c.createIndex({ a: 1 }, { name: 'x', unique: true }), withCode(86));
  await assert.rejects(c.createIndex({ a: 0 } as never), withCode(67));
  await assert.rejects(c.dropIndex('nope'), withCode(27));
  await assert.rejects(c.dropIndex('_id_'), withCode(72));
  await assert.rejects(target.db.collection('missing').dropIndex('a'), withCode(26));
});

test('unique: 11000 with keyPattern and keyValue for insert, update and the building of the index', async () => {
  const c = target.collection();
  await c.createIndex({ a: 1, 'b.c': 1 }, { unique: true });
  await c.insertMany([
    { a: 1, b: { c: 2 } },
    { a: 1, b: { c: 3 } },
  ]);
  const error = await c.insertOne({ a: 1, b: { c: 2 } }).then(
    (): Document => ({}),
    (e: Document) => e,
  );
  assert.deepEqual([error.code, error.keyPattern, error.keyValue], [11000, { a: 1, 'b.c': 1 }, { a: 1, 'b.c': 2 }]);
  await assert.rejects(c.updateOne({ 'b.c': 3 }, { $set: { 'b.c': 2 } }), withCode(11000));
  await c.insertMany([{ d: 1 }]);
  await assert.rejects(c.createIndex({ d: 1 }, { unique: true }), withCode(11000));
  assert.equal((await c.indexes()).length, 2);
});

test('unique: a missing field counts as null, unless the index is sparse or partial', async () => {
  const c = target.collection();
  await c.createIndex({ a: 1 }, { unique: true });
  await c.insertOne({});
  await assert.rejects(c.insertOne({}), withCode(11000));
  const sparse = target.collection();
  await sparse.createIndex({ a: 1 }, { unique: true, sparse: true });
  await sparse.insertMany([{}, {}, { a: 1 }]);
  await assert.rejects(sparse.insertOne({ a: 1 }), withCode(11000));
  const partial = target.collection();
  await partial.createIndex({ a: 1 }, { unique: true, partialFilterExpression: { live: true } });
  await partial.insertMany([{ a: 1 }, { a: 1 }, { a: 1, live: true }]);
  await assert.rejects(partial.insertOne({ a: 1, live: true }), withCode(11000));
  await assert.rejects(partial.updateOne({ live: { $exists: false } }, { $set: { live: true } }), withCode(11000));
});

test('unique multikey: elements clash between documents, not within one', async () => {
  const c = target.collection();
  await c.createIndex({ tags: 1 }, { unique: true });
  await c.insertOne({ tags: ['a', 'a', 'b'] });
  const error = await c.insertOne({ tags: ['c', 'b'] }).then(
    (): Document => ({}),
    (e: Document) => e,
  );
  assert.deepEqual([error.code, error.keyValue], [11000, { tags: 'b' }]);
});

test('compound: two arrays in one index are refused with 171', async () => {
  const c = target.collection();
  await c.createIndex({ a: 1, b: 1 });
  await assert.rejects(c.insertOne({ a: [1], b: [2] }), withCode(171));
});

const plans: [string, Document[], Document, Sort | undefined, string[]][] = [
  ['equality', [{ n: 1 }], { n: 5 }, undefined, ['FETCH', 'IXSCAN n_1']],
  ['a range', [{ n: 1 }], { n: { $gt: 5, $lt: 9 } }, undefined, ['FETCH', 'IXSCAN n_1']],
  ['$in', [{ n: 1 }], { n: { $in: [1, 2] } }, undefined, ['FETCH', 'IXSCAN n_1']],
  ['a prefix of text', [{ s: 1 }], { s: /^s1/ }, undefined, ['FETCH', 'IXSCAN s_1']],
  ['a dotted path', [{ 'sub.x': 1 }], { 'sub.x': 7 }, undefined, ['FETCH', 'IXSCAN sub.x_1']],
  ['an array', [{ tags: 1 }], { tags: 't1' }, undefined, ['FETCH', 'IXSCAN tags_1']],
  [
    'the first fields of a compound index',
    [{ even: 1, n: 1 }],
    { even: true },
    undefined,
    ['FETCH', 'IXSCAN even_1_n_1'],
  ],
  [
    'equality then range of a compound index',
    [{ even: 1, n: 1 }],
    { even: true, n: { $lt: 9 } },
    undefined,
    ['FETCH', 'IXSCAN even_1_n_1'],
  ],
  ['a sort', [{ n: 1 }], {}, { n: -1 }, ['FETCH', 'IXSCAN n_1']],
  ['equality then sort', [{ even: 1, n: -1 }], { even: true }, { n: 1 }, ['FETCH', 'IXSCAN even_1_n_-1']],
  [
    '$or by union',
    [{ n: 1 }, { s: 1 }],
    { $or: [{ n: 1 }, { s: 's9' }] },
    undefined,
    ['FETCH', 'OR', 'IXSCAN n_1', 'IXSCAN s_1'],
  ],
  ['nothing', [{ n: 1 }], { even: true }, undefined, ['COLLSCAN']],
];
for (const [title, keys, filter, sort, expected] of plans) {
  test(`plan: ${title}`, async () => {
    const c = await filled(...keys);
    const found = await plan(c, filter, sort);
    if (target.embedded) assert.deepEqual(found, expected);
    else
      assert.deepEqual(
        found.filter((stage) => stage.includes('SCAN')).sort(),
        expected.filter((stage) => stage.includes('SCAN')).sort(),
      );
  });
}

test('plan: a sort without an index is one of its own', async () => {
  const c = await filled();
  assert.deepEqual(await plan(c, {}, { n: 1 }), ['SORT', 'COLLSCAN']);
});

test('plan: sparse and partial indexes serve only queries they are complete for', async () => {
  const c = await filled();
  await c.createIndex({ text: 1 }, { sparse: true });
  await c.createIndex({ n: 1 }, { partialFilterExpression: { even: true } });
  assert.deepEqual(await plan(c, { text: 'p3' }), ['FETCH', 'IXSCAN text_1']);
  assert.deepEqual(await plan(c, { text: null }), ['COLLSCAN']);
  assert.deepEqual(await plan(c, { n: 4 }), ['COLLSCAN']);
  assert.deepEqual(await plan(c, { n: 4, even: true }), ['FETCH', 'IXSCAN n_1']);
  assert.equal(await c.countDocuments({ text: null }), 200);
  assert.equal(await c.countDocuments({ n: { $lt: 10 } }), 10);
  assert.equal(await c.countDocuments({ n: { $lt: 10 }, even: true }), 5);
});

test('hint: by name and by key; an unknown one is refused', async () => {
  const c = await filled({ n: 1 }, { even: 1 });
  const byName = await c.find({ n: 4, even: true }).hint('even_1').explain('executionStats');
  assert.ok(byName.executionStats.totalKeysExamined >= 150);
  assert.equal((await c.find({ n: 4 }).hint({ n: 1 }).toArray()).length, 1);
  await assert.rejects(c.find({ n: 4 }).hint('nope').toArray(), withCode(2));
});

test('hidden: an index that is hidden by collMod is not used', async () => {
  const c = await filled({ n: 1 });
  await target.db.command({ collMod: c.collectionName, index: { name: 'n_1', hidden: true } });
  assert.deepEqual(await plan(c, { n: 4 }), ['COLLSCAN']);
  await target.db.command({ collMod: c.collectionName, index: { name: 'n_1', hidden: false } });
  assert.deepEqual(await plan(c, { n: 4 }), ['FETCH', 'IXSCAN n_1']);
});

test('explain executionStats: an indexed query reads only what it returns', async () => {
  const c = await filled({ n: 1 });
  const { executionStats } = await c.find({ n: { $gte: 10, $lt: 15 } }).explain('executionStats');
  assert.deepEqual(
    [executionStats.nReturned, executionStats.totalKeysExamined, executionStats.totalDocsExamined],
    [5, 5, 5],
  );
});

test('long keys: equality, uniqueness, prefix and order hold beyond the length that is indexed', async () => {
  const c = target.collection();
  const long = 'x'.repeat(2000);
  await c.createIndex({ s: 1 }, { unique: true });
  await c.insertMany([
    { _id: 1 as never, s: `${long}b` },
    { _id: 2 as never, s: `${long}a` },
    { _id: 3 as never, s: 'y' },
    { _id: 4 as never, s: long },
  ]);
  await assert.rejects(c.insertOne({ s: `${long}a` }), withCode(11000));
  assert.equal((await c.findOne({ s: `${long}b` }))?._id, 1);
  assert.deepEqual(
    (
      await c
        .find({ s: { $gt: long } })
        .sort({ s: 1 })
        .toArray()
    ).map(({ _id }) => _id),
    [2, 1, 3],
  );
  assert.deepEqual(
    (
      await c
        .find({ s: { $lte: `${long}a` } })
        .sort({ s: -1 })
        .toArray()
    ).map(({ _id }) => _id),
    [2, 4],
  );
  assert.equal(await c.countDocuments({ s: /^xxx/ }), 3);
});
