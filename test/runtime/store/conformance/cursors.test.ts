import assert from 'node:assert/strict';
import { test } from 'node:test';
import { useTarget, withCode } from './target.ts';

const target = useTarget();

async function filled(count: number, size = 10) {
  const c = target.collection();
  await c.insertMany(Array.from({ length: count }, (_, i) => ({ _id: i as never, pad: 'x'.repeat(size) })));
  return c;
}

test('cursor: many batches give every document once, in order', async () => {
  const c = await filled(5000);
  const seen: number[] = [];
  for await (const doc of c.find({}, { batchSize: 7 }).sort({ _id: 1 })) seen.push(Number(doc._id));
  assert.deepEqual(
    seen,
    Array.from({ length: 5000 }, (_, i) => i),
  );
});

test('cursor: the first batch has 101 documents, then as many as fit', async () => {
  const c = await filled(500);
  const first = await target.db.command({ find: c.collectionName });
  assert.equal(first.cursor.firstBatch.length, 101);
  const next = await target.db.command({ getMore: first.cursor.id, collection: c.collectionName });
  assert.equal(next.cursor.nextBatch.length, 399);
  assert.equal(Number(next.cursor.id), 0);
});

test('cursor: a batch stays below 16 MiB', async () => {
  const c = await filled(40, 1024 * 1024);
  const first = await target.db.command({ find: c.collectionName, batchSize: 1000 });
  assert.ok(first.cursor.firstBatch.length < 17);
  let seen = first.cursor.firstBatch.length;
  for (let id = first.cursor.id; Number(id) !== 0; ) {
    const next = await target.db.command({ getMore: id, collection: c.collectionName });
    seen += next.cursor.nextBatch.length;
    id = next.cursor.id;
  }
  assert.equal(seen, 40);
});

test('cursor: batchSize 0 opens it without reading', async () => {
  const c = await filled(3);
  const first = await target.db.command({ find: c.collectionName, batchSize: 0 });
  assert.equal(first.cursor.firstBatch.length, 0);
  assert.notEqual(Number(first.cursor.id), 0);
  const next = await target.db.command({ getMore: first.cursor.id, collection: c.collectionName });
  assert.equal(next.cursor.nextBatch.length, 3);
});

test('cursor: limit and singleBatch close it', async () => {
  const c = await filled(300);
  assert.equal((await c.find().limit(150).toArray()).length, 150);
  const single = await target.db.command({ find: c.collectionName, batchSize: 5, singleBatch: true });
  assert.equal(single.cursor.firstBatch.length, 5);
  assert.equal(Number(single.cursor.id), 0);
});

test('cursor: documents inserted and deleted meanwhile do not disturb it', async () => {
  const c = await filled(1000);
  const seen: number[] = [];
  for await (const doc of c.find({}, { batchSize: 10 }).sort({ _id: 1 })) {
    seen.push(Number(doc._id));
    if (seen.length % 100 === 0) await c.deleteOne({ _id: (Number(doc._id) - 50) as never });
  }
  assert.deepEqual(
    seen,
    Array.from({ length: 1000 }, (_, i) => i),
  );
});

test('cursor: killed and unknown cursors answer 43, another collection is refused', async () => {
  const c = await filled(300);
  const first = await target.db.command({ find: c.collectionName, batchSize: 2 });
  await assert.rejects(target.db.command({ getMore: first.cursor.id, collection: 'other' }), withCode(13));
  const killed = await target.db.command({ killCursors: c.collectionName, cursors: [first.cursor.id] });
  assert.equal(killed.cursorsKilled.length, 1);
  await assert.rejects(target.db.command({ getMore: first.cursor.id, collection: c.collectionName }), withCode(43));
});

test('cursor: aggregation, listIndexes and listCollections open cursors too', async () => {
  const c = await filled(400);
  assert.equal(
    (await c.aggregate([{ $match: {} }, { $project: { x: '$_id' } }], { batchSize: 3 }).toArray()).length,
    400,
  );
  for (let i = 0; i < 5; i++) await c.createIndex({ [`f${i}`]: 1 });
  assert.equal((await c.listIndexes({ batchSize: 2 }).toArray()).length, 6);
  assert.ok((await target.db.listCollections({}, { batchSize: 1 }).toArray()).length > 1);
});

test('maxTimeMS: a query that takes longer ends with 50', async () => {
  const c = await filled(20_000, 20);
  await c.insertMany(Array.from({ length: 20_000 }, () => ({ pad: 'y'.repeat(20) })));
  const slow = c.find(
    { $expr: { $gt: [{ $strLenCP: { $concat: ['$pad', '$pad', '$pad'] } }, 1000] } },
    { maxTimeMS: 20 },
  );
  await assert.rejects(slow.toArray(), withCode(50));
});
