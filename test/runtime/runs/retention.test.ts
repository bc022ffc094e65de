import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defineRunKind, RunWaiting } from '../../../core/run-kind.ts';
import { openRuns, user } from './harness.ts';

const me = user();
const DAY_MS = 86_400_000;
const kindOf = (kind: string, removable: boolean) =>
  defineRunKind<unknown, unknown>({
    kind,
    removable,
    execute: async ({ input }) => (input === 'wait' ? new RunWaiting([{ key: 'a' }]) : `did ${input}`),
  });
const kinds = [kindOf('history', true), kindOf('other', true), kindOf('depended-on', false)];

test('retention: what ended long ago goes with its log and values; what goes on, is new, or of another kind stays', async (t) => {
  const runs = await openRuns(t, { kinds, options: { keepDays: { history: 30, 'of-a-plugin-that-is-off': 1 } } });
  const { connection } = runs.database;
  const old = new Date(Date.now() - 31 * DAY_MS);
  const begin = async (kind: string, input: string, { aged = true, who = me } = {}) => {
    const { id } = await runs.start(who, kind, input, { meta: { subject: 'thing' } });
    if (input === 'wait') while ((await runs.get(who, id))?.status !== 'waiting') await new Promise(setImmediate);
    else await runs.ended(who, id);
    const $set = { createdAt: old, ...(input !== 'wait' && { finishedAt: old }) };
    if (aged) await connection.collection<{ _id: string }>('runs').updateOne({ _id: id }, { $set });
    return id;
  };
  const gone = [
    await begin('history', 'small'),
    await begin('history', 'x'.repeat(400_000)),
    await begin('history', 'of somebody else', { who: user('tenant-b') }),
  ];
  const stay = [
    await begin('history', 'new', { aged: false }),
    await begin('history', 'wait'),
    await begin('other', 'small'),
    await begin('depended-on', 'small'),
  ];
  // Begun long ago, but it has ended a moment ago.
  const late = await begin('history', 'late');
  stay.push(late);
  const ended = { $set: { finishedAt: new Date() } };
  await connection.collection<{ _id: string }>('runs').updateOne({ _id: late }, ended);

  assert.equal(await runs.sweep(AbortSignal.abort()), 0, 'a shutdown does not wait for it');
  assert.equal(await runs.sweep(), gone.length);
  assert.equal(await runs.sweep(), 0);
  for (const id of gone) assert.equal(await runs.state(me, id), undefined);
  const left = await connection.collection('runs').distinct('_id');
  assert.deepEqual(left.sort(), stay.toSorted());
  // The one that waits has said nothing yet.
  const logs = stay.filter((id) => id !== stay[1]);
  assert.deepEqual((await connection.collection('run_log').distinct('logId')).sort(), logs.sort());
  assert.equal(await connection.collection('run-values.files').countDocuments(), 0);
  assert.ok(await runs.signal(me, stay[1] ?? '', 'a', null), 'the one that waits goes on');
});

test('retention: nothing is removed unless it was asked for, and a kind that others depend on is refused at start', async (t) => {
  const runs = await openRuns(t, { kinds });
  const { id } = await runs.start(me, 'history', 'x', { meta: { subject: 'thing' } });
  await runs.ended(me, id);
  const old = new Date(0);
  await runs.database.connection.collection('runs').updateMany({}, { $set: { createdAt: old, finishedAt: old } });
  assert.equal(await runs.sweep(), 0);
  await assert.rejects(openRuns(t, { kinds, options: { keepDays: { 'depended-on': 7 } } }), {
    code: 'RUN_KIND_NOT_REMOVABLE',
  });
});
