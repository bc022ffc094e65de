import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defineRunKind, type RunContext, type RunKind, RunWaiting } from '../../../core/run-kind.ts';
import type { Run, Runs } from '../../../runtime/runs/index.ts';
import { openTestDatabase } from '../../support/database.ts';
import { allEvents, DyingDatabase, gapFree, gate, ManualClock, openRuns, types, user } from './harness.ts';

const me = user();
const kindOf = (execute: (context: RunContext<unknown>) => Promise<unknown>, name = 'scripted') =>
  defineRunKind<unknown, unknown>({ kind: name, execute });

/** Waits for two approvals, then stores both in one step. */
const approvals: RunKind<unknown, unknown> = kindOf(async ({ given, checkpoint, finished, result }) => {
  await checkpoint([{ key: 'asked', result: 1, events: [{ type: 'asked', data: {} }] }]);
  const missing = ['a', 'b'].filter((key) => !given(key) && !finished().includes(`got ${key}`));
  for (const key of ['a', 'b']) {
    const gift = given(key);
    if (gift) void checkpoint([{ key: `got ${key}`, result: gift.data, events: [{ type: 'got', data: { key } }] }]);
  }
  if (missing.length > 0) return new RunWaiting(missing.map((key) => ({ key })));
  return { a: await result('got a'), b: await result('got b') };
}, 'approvals');

const resting = async (runs: Runs, id: string): Promise<Run> => {
  for (;;) {
    const run = await runs.get(me, id);
    if (run?.status === 'waiting') return run;
    await new Promise((resolve) => setImmediate(resolve));
  }
};

test('waiting: a run rests without a place, is woken by what it is given, and gets every gift once', async (t) => {
  const runs = await openRuns(t, { kinds: [approvals], options: { limits: { total: 1, perTenant: 1 } } });
  const { id } = await runs.start(me, 'approvals', null);
  await resting(runs, id);
  const other = await runs.start(me, 'approvals', null);
  await resting(runs, other.id);
  // Two rest although there is one place. It is free a moment after the rest is stored.
  while (runs.running > 0) await new Promise((resolve) => setImmediate(resolve));

  assert.equal(await runs.signal(me, id, 'a', { by: 'first' }), true);
  assert.equal(await runs.signal(me, id, 'a', { by: 'second' }), false);
  assert.equal(await runs.signal(user('tenant-b'), id, 'b', 1), false, 'other tenants');
  assert.equal(await runs.signal(me, 'nothing', 'b', 1), false);
  const large = 'x'.repeat(400_000);
  assert.equal(await runs.signal(me, id, 'b', large), true);
  const run = await runs.ended(me, id);
  const { a, b } = run.result as { a: unknown; b: unknown };
  assert.deepEqual(a, { by: 'first' });
  assert.ok(b === large);
  assert.equal(await runs.signal(me, id, 'c', 1), false, 'it has ended');
  const events = await allEvents(runs, id);
  assert.ok(gapFree(events));
  assert.equal(types(events).filter((type) => type === 'asked').length, 1);
  assert.deepEqual(
    events.filter(({ type }) => type === 'got').map(({ data }) => data.key),
    ['a', 'b'],
  );
});

test('waiting: a gift that comes while the run works is told, and one in the last moment is not missed', async (t) => {
  const begun = gate();
  const heard = gate<string>();
  let rounds = 0;
  const kind = kindOf(async ({ given, onGiven, signal }) => {
    rounds += 1;
    if (rounds === 1) {
      // Which of the two comes first is open.
      const stop = onGiven((key) => {
        if (key === 'early') heard.resolve(key);
      });
      begun.resolve();
      assert.equal(await heard.promise, 'early');
      stop();
      assert.equal(given('early')?.data, 7);
    }
    signal.throwIfAborted();
    const late = given('late');
    return late ? late.data : new RunWaiting([{ key: 'late' }]);
  });
  const runs = await openRuns(t, { kinds: [kind] });
  const { id } = await runs.start(me, 'scripted', null);
  await begun.promise;
  // Both arrive while the first round is under way; the second one is noticed when the run wants to rest.
  const [early, late] = await Promise.all([runs.signal(me, id, 'early', 7), runs.signal(me, id, 'late', 'now')]);
  assert.deepEqual([early, late], [true, true]);
  assert.equal((await runs.ended(me, id)).result, 'now');
  assert.ok(rounds <= 2);
});

test('waiting: its moment wakes a run, also when it came while no process was there', async (t) => {
  const clock = new ManualClock();
  const database = await openTestDatabase(t);
  const kind = () =>
    kindOf(async ({ step }) => {
      const until = await step('until', async () => clock.now() + 3 * 86_400_000);
      return clock.now() >= until ? 'woken' : new RunWaiting([{ key: 'never', until: new Date(until) }]);
    });
  const first = await openRuns(t, { kinds: [kind()], clock, database });
  const { id } = await first.start(me, 'scripted', null);
  await resting(first, id);
  clock.pass(86_400_000);
  assert.equal((await first.get(me, id))?.status, 'waiting');
  const other = await first.start(me, 'scripted', null);
  await resting(first, other.id);
  await first.close();
  clock.pass(2 * 86_400_000);

  const second = await openRuns(t, { kinds: [kind()], clock, database });
  assert.equal((await second.ended(me, id)).result, 'woken');
  assert.equal((await second.get(me, other.id))?.status, 'waiting', 'its moment is a day later');
  const woken = second.ended(me, other.id);
  clock.pass(86_400_000);
  assert.equal((await woken).result, 'woken');
});

test('waiting: a resting run is cancelled at once, at every moment around its rest', async (t) => {
  const runs = await openRuns(t, { kinds: [approvals] });
  for (let turns = 0; turns < 40; turns += 1) {
    const { id } = await runs.start(me, 'approvals', null);
    for (let at = 0; at < turns; at += 1) await new Promise((resolve) => setImmediate(resolve));
    const cancelled = await runs.cancel(me, id, 'enough');
    assert.equal(cancelled?.status, 'cancelled');
    const events = await allEvents(runs, id);
    assert.equal(types(events).at(-1), 'run_cancelled');
    assert.ok(gapFree(events));
  }
  assert.equal(await runs.active(me), 0);
});

test('waiting: a crash at every write around gifts loses none and repeats nothing', async (t) => {
  const database = await openTestDatabase(t);
  let crashes = 0;
  for (let at = 1; ; at += 1) {
    let survived = 0;
    for (const carriedOut of [false, true]) {
      const id = `wait-${at}-${carriedOut}`;
      const dying = new DyingDatabase(database, at, carriedOut);
      const first = await openRuns({ after: async () => undefined }, { database: dying.database, kinds: [approvals] });
      const drive = async (runs: Runs) => {
        await runs.start(me, 'approvals', null, { id });
        await runs.signal(me, id, 'a', 1);
        await runs.signal(me, id, 'b', 2);
        return runs.ended(me, id);
      };
      if ((await Promise.race([drive(first), dying.died.promise])) === undefined) crashes += 1;
      else survived += 1;
      const second = await openRuns(t, { database, kinds: [approvals] });
      const run = await drive(second);
      assert.deepEqual(run.result, { a: 1, b: 2 }, id);
      const events = await allEvents(second, id);
      assert.ok(gapFree(events));
      for (const [type, times] of [
        ['asked', 1],
        ['got', 2],
        ['run_succeeded', 1],
      ] as const) {
        assert.equal(types(events).filter((each) => each === type).length, times, `${id} ${type}: ${types(events)}`);
      }
      await second.close();
    }
    if (survived === 2) break;
  }
  assert.ok(crashes >= 10, `${crashes} crashes`);
});

test('checkpoint: many results share few writes, keep their order with large ones, and are there after a crash', async (t) => {
  const database = await openTestDatabase(t);
  const large = 'y'.repeat(300_000);
  const stop = gate();
  const stored = gate();
  const kind = (crash: boolean) =>
    kindOf(async ({ checkpoint, finished, result, emit, attempt }) => {
      const before = finished();
      for (let n = before.length; n < 500; n += 1) {
        const record = { key: `k${n}`, result: n === 100 ? large : n, events: [{ type: 'done', data: { n } }] };
        void checkpoint([record]);
        void checkpoint([record]);
      }
      await emit('all', { attempt });
      if (crash) {
        stored.resolve();
        await stop.promise;
      }
      return {
        before: before.length,
        sum: Number(await result('k7')) + Number(await result('k499')),
        large: await result('k100'),
      };
    });
  const dying = new DyingDatabase(database, Number.POSITIVE_INFINITY, true);
  const first = await openRuns({ after: async () => undefined }, { database: dying.database, kinds: [kind(true)] });
  const { id } = await first.start(me, 'scripted', null);
  await stored.promise;
  assert.ok(dying.writes < 25, `${dying.writes} writes`);
  dying.kill();
  stop.resolve();

  const second = await openRuns(t, { database, kinds: [kind(false)] });
  const run = await second.ended(me, id);
  assert.deepEqual(run.result, { before: 500, sum: 506, large });
  const done = (await allEvents(second, id)).filter(({ type }) => type === 'done').map(({ data }) => data.n);
  assert.deepEqual(
    done,
    Array.from({ length: 500 }, (_, n) => n),
  );
  const steps = await second.steps(me, id);
  assert.equal(steps?.keys.length, 500);
  assert.equal(await steps?.load('k100'), large);
  assert.equal(await second.steps(user('tenant-b'), id), undefined);
});

test('lists: by kind, subject, owner, status and text, newest first; all tenants for administrators only', async (t) => {
  const kind = kindOf(async ({ input }) => {
    if (input === 'bad') throw Object.assign(new Error('x'), {});
    return input;
  });
  const runs = await openRuns(t, { kinds: [kind, approvals] });
  const stranger = user('tenant-b', 'account-2');
  const admin = { ...user('tenant-root', 'root'), roles: ['user', 'admin'] as const };
  const ids: string[] = [];
  for (const [who, subject, input] of [
    [me, 'w1', 'one'],
    [me, 'w2', 'bad'],
    [stranger, 'w3', 'three'],
    [me, 'w1', 'Four (x)'],
  ] as const) {
    const { id } = await runs.start(who, 'scripted', input, { meta: { subject, search: `name ${input}` } });
    await runs.ended(who, id);
    ids.push(id);
  }
  const hidden = await runs.start(me, 'scripted', 'unlisted');
  await runs.ended(me, hidden.id);
  const list = async (principal: typeof me, filter: object) =>
    (await runs.list(principal, { kind: 'scripted', ...filter }, { offset: 0, limit: 100 })).map(({ id }) =>
      ids.indexOf(id),
    );
  assert.deepEqual(await list(me, {}), [3, 1, 0]);
  assert.deepEqual(await list(me, { subject: 'w1' }), [3, 0]);
  assert.deepEqual(await list(me, { subject: 'w3' }), [], 'other tenants');
  assert.deepEqual(await list(me, { status: ['failed'] }), [1]);
  assert.deepEqual(await list(me, { search: 'FOUR (x)' }), [3]);
  assert.deepEqual(await list(me, { search: 'Internal server' }), [1], 'the text of a failure');
  assert.deepEqual(await list(me, { search: 'internal_error' }), [], 'not the fields of its record');
  assert.deepEqual(await list(me, { ownerId: 'account-9' }), []);
  assert.deepEqual(await list(admin, { everyTenant: true }), [3, 2, 1, 0]);
  assert.equal(await runs.count(me, { kind: 'scripted' }), 3);
  await assert.rejects(runs.list(me, { kind: 'scripted', everyTenant: true }, { offset: 0, limit: 1 }), {
    code: 'ADMIN_REQUIRED',
  });
  assert.equal((await runs.get(admin, ids[2] ?? '', { everyTenant: true }))?.subject, 'w3');
  await assert.rejects(runs.get(me, ids[2] ?? '', { everyTenant: true }), { code: 'ADMIN_REQUIRED' });

  const waiting = await runs.start(me, 'approvals', null, { meta: { subject: 'w1' } });
  await resting(runs, waiting.id);
  const large = await runs.start(me, 'scripted', 'z'.repeat(400_000), { meta: { subject: 'w1' } });
  await runs.ended(me, large.id);
  const files = () => runs.database.connection.collection('run-values.files').countDocuments();
  assert.equal(await files(), 2, 'input and result');
  assert.equal(await runs.delete(stranger, { kind: 'scripted', subject: 'w1' }), 0);
  assert.equal(await runs.delete(me, { kind: 'scripted', subject: 'w2', id: large.id }), 0, 'of another subject');
  assert.equal(await runs.delete(me, { kind: 'scripted', subject: 'w1', id: large.id }), 1);
  assert.equal(await runs.delete(me, { kind: 'scripted', subject: 'w1' }), 2);
  assert.equal(await runs.delete(me, { kind: 'approvals', subject: 'w1' }), 1);
  assert.deepEqual(await list(me, {}), [1]);
  assert.equal(await files(), 0);
  const left = await runs.database.connection.collection('run_log').distinct('logId');
  assert.deepEqual(left.sort(), [ids[1], ids[2], hidden.id].sort());
});

test('state: what a run is up to without its data, from its begin to its deletion, within its tenant', async (t) => {
  const begun = gate();
  const kind = kindOf(async ({ given }) => {
    begun.resolve();
    return given('a') ? 'x'.repeat(1000) : new RunWaiting([{ key: 'a' }]);
  });
  const runs = await openRuns(t, { kinds: [kind] });
  const { id } = await runs.start(me, 'scripted', 'y'.repeat(1000), { meta: { subject: 'thing' } });
  const status = async (who = me) => (await runs.state(who, id))?.status;
  assert.equal(await status(), 'running');
  const stranger = user('tenant-b');
  assert.equal(await status(stranger), undefined);
  await resting(runs, id);
  // The store knows a moment before this process has put the run away.
  while ((await status()) === 'running') await new Promise(setImmediate);
  assert.equal(await status(), 'waiting');
  await runs.signal(me, id, 'a', null);
  await runs.ended(me, id);
  assert.deepEqual(await runs.state(me, id), {
    id,
    kind: 'scripted',
    tenantId: me.tenantId,
    ownerId: me.accountId,
    logId: id,
    status: 'succeeded',
  });
  assert.equal(await status(stranger), undefined);
  await assert.rejects(runs.state(stranger, id, { everyTenant: true }), { code: 'ADMIN_REQUIRED' });
  const admin = { ...stranger, roles: ['user', 'admin'] as ('user' | 'admin')[] };
  assert.equal((await runs.state(admin, id, { everyTenant: true }))?.status, 'succeeded');
  await runs.delete(me, { kind: 'scripted', subject: 'thing' });
  assert.equal(await status(), undefined);
});
