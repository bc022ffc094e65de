import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MongoClient } from 'mongodb';
import { openTestServer } from '../../support/database.ts';

interface Job {
  _id: string;
  group: string;
  taken: number;
}

const CLAIMERS = 8;

test('one document is changed once however many callers want it', async (t) => {
  const uri = await openTestServer(t);
  const clients = await Promise.all(Array.from({ length: CLAIMERS }, () => new MongoClient(uri).connect()));
  t.after(() => Promise.all(clients.map((client) => client.close())));
  const all = clients.map((client) => client.db().collection<Job>('jobs'));
  const [first] = all;
  assert.ok(first);
  // Enough other documents that a search without an index takes several turns.
  await first.insertMany(Array.from({ length: 5000 }, (_, at) => ({ _id: `other-${at}`, group: `g${at}`, taken: 9 })));

  for (let round = 0; round < 40; round++) {
    const _id = `job-${round}`;
    await first.insertOne({ _id, group: 'open', taken: 0 });
    // by an unindexed field, by _id, and by update and delete instead of findAndModify
    const filter = round % 2 === 0 ? { group: 'open', taken: 0 } : { _id, taken: 0 };
    const claims =
      round % 4 < 2
        ? await Promise.all(
            all.map(async (jobs) => (await jobs.findOneAndUpdate(filter, { $inc: { taken: 1 } })) !== null),
          )
        : await Promise.all(
            all.map(async (jobs) => (await jobs.updateOne(filter, { $inc: { taken: 1 } })).matchedCount === 1),
          );
    assert.equal(claims.filter(Boolean).length, 1, `round ${round}`);
    assert.equal((await first.findOne({ _id }))?.taken, 1);
    const removed = await Promise.all(
      all.map(async (jobs) => (await jobs.deleteOne({ group: 'open', taken: 1 })).deletedCount),
    );
    assert.equal(
      removed.reduce((sum, count) => sum + count, 0),
      1,
      `round ${round}`,
    );
  }
});

test('increments of many callers all count, and an upsert makes one document', async (t) => {
  const uri = await openTestServer(t);
  const clients = await Promise.all(Array.from({ length: CLAIMERS }, () => new MongoClient(uri).connect()));
  t.after(() => Promise.all(clients.map((client) => client.close())));
  const counters = clients.map((client) => client.db().collection<{ _id: string; value: number }>('counters'));
  const seen = await Promise.all(
    counters.flatMap((collection) =>
      Array.from({ length: 50 }, () =>
        collection.findOneAndUpdate({ _id: 'n' }, { $inc: { value: 1 } }, { upsert: true, returnDocument: 'after' }),
      ),
    ),
  );
  const values = seen.map((document) => document?.value ?? 0).sort((a, b) => a - b);
  assert.deepEqual(
    values,
    Array.from({ length: CLAIMERS * 50 }, (_, at) => at + 1),
  );
});
