import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { createRunStore } from '../../../runtime/runs/model.ts';
import { createRunWriter, type NewRun } from '../../../runtime/runs/run-writer.ts';
import { openTestDatabase } from '../../support/database.ts';
import { DyingDatabase } from './harness.ts';

const run = (more: Partial<NewRun> = {}): NewRun => {
  const _id = randomUUID();
  return {
    _id,
    tenantId: 'tenant-a',
    kind: 'test',
    logId: _id,
    logStart: 0,
    ownerId: 'account-1',
    principal: '{}',
    status: 'running',
    attempt: 1,
    takeovers: 0,
    open: true,
    holder: 'me',
    ...more,
  };
};
const ended = (status: 'succeeded' | 'failed' = 'succeeded') => ({
  set: { status, finishedAt: new Date() },
  unset: { open: '', holder: '' } as const,
});

test('begins and ends at the same time share their commands, and each is stored as it is', async (t) => {
  const inner = await openTestDatabase(t);
  const counting = new DyingDatabase(inner, Number.POSITIVE_INFINITY, true);
  const store = createRunStore(counting.database);
  const writer = createRunWriter(store);
  await inner.ready();
  const before = counting.writes;
  const stored = await Promise.all(
    Array.from({ length: 100 }, (_, at) => writer.insert(run({ tenantId: `t-${at % 3}`, input: String(at) }))),
  );
  assert.ok(counting.writes - before <= 3, `${counting.writes - before} commands`);
  for (const document of stored) assert.deepEqual(await store.runs.in(document).get(document._id), document);

  const ends = await Promise.all(stored.map((document) => writer.end(document, 'me', ended())));
  assert.deepEqual(new Set(ends), new Set([true]));
  assert.ok(counting.writes - before <= 6, `${counting.writes - before} commands`);
  const [first] = stored;
  assert.ok(first);
  const found = await store.runs.in(first).get(first._id);
  assert.deepEqual([found?.status, found?.open, found?.holder], ['succeeded', undefined, undefined]);
});

test('an end is stored once, by the holder alone; told again it is the same', async (t) => {
  const database = await openTestDatabase(t);
  const store = createRunStore(database);
  const writer = createRunWriter(store);
  await database.ready();
  const [mine, lost, gone] = await Promise.all(
    [run(), run({ holder: 'other' }), run()].map((one) => writer.insert(one)),
  );
  assert.ok(mine && lost && gone);
  await store.runs.in(gone).delete({ _id: gone._id });
  const end = ended();
  const all = () => Promise.all([mine, lost, gone].map((one) => writer.end(one, 'me', end)));
  assert.deepEqual(await all(), [true, false, false]);
  assert.deepEqual(await all(), [true, false, false], 'the answer may have been lost');
  assert.equal(await writer.end(mine, 'me', ended('failed')), false, 'another end comes too late');
  assert.equal((await store.runs.in(mine).get(mine._id))?.status, 'succeeded');
  assert.equal((await store.runs.in(lost).get(lost._id))?.status, 'running');
});

test('when a command fails each run learns what became of it', async (t) => {
  const inner = await openTestDatabase(t);
  const failing = new DyingDatabase(inner, Number.POSITIVE_INFINITY, true);
  const store = createRunStore(failing.database);
  const writer = createRunWriter(store);
  await inner.ready();
  // The first goes alone; of the others' command one is there already, as if its answer had been lost.
  const twice = run();
  const [first, second, third] = [run(), run(), run()];
  await writer.insert(twice);
  const all = [first, second, twice, third].map((one) => writer.insert(one));
  assert.deepEqual(
    (await Promise.allSettled(all)).map(({ status }) => status),
    ['fulfilled', 'fulfilled', 'fulfilled', 'fulfilled'],
  );
  for (const { _id, tenantId } of [first, second, third]) assert.ok(await store.runs.in({ tenantId }).get(_id));

  failing.fail(1);
  await assert.rejects(writer.insert(run()), { code: 'DATABASE_UNAVAILABLE' });
  assert.ok(await writer.insert(run()), 'the next one is stored');
});
