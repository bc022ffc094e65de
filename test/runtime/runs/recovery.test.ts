import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AppError } from '../../../core/errors.ts';
import { defineRunKind, type RunContext, type RunKind } from '../../../core/run-kind.ts';
import type { NodeExecutor, Run, RunEvent, Runs } from '../../../runtime/runs/index.ts';
import { openTestDatabase } from '../../support/database.ts';
import {
  allEvents,
  cutOff,
  DyingDatabase,
  gapFree,
  gate,
  ManualClock,
  openRuns,
  recordingLog,
  types,
  until,
  user,
} from './harness.ts';

const me = user();
const STEPS = ['plan', 'chapter 0', 'chapter 1', 'chapter 2', 'render'];

/** A run like a report: a step, nodes in parallel with events of their own, a step with a large result, settlement. */
function reportKind(settled: unknown[] = []): RunKind<{ title: string }, unknown> {
  return defineRunKind<{ title: string }, unknown>({
    kind: 'report',
    async execute({ emit, step, node, input }) {
      void emit('progress', { percent: 0 });
      const plan = await step('plan', async () => ({ chapters: 3, title: input.title }), {
        events: () => [{ type: 'step_done', data: { key: 'plan' } }],
      });
      const chapters = await Promise.all(
        Array.from({ length: plan.chapters }, (_, n) =>
          node<{ text: string }>(
            `chapter ${n}`,
            { type: 'chapter', input: { n } },
            { events: () => [{ type: 'step_done', data: { key: `chapter ${n}` } }] },
          ),
        ),
      );
      void emit('progress', { percent: 90 });
      const bytes = await step('render', async () => new Uint8Array([1, 2, 3]), {
        events: () => [{ type: 'step_done', data: { key: 'render' } }],
      });
      return { text: chapters.map(({ text }) => text).join(' '), size: bytes.length };
    },
    async settled({ outcome }) {
      settled.push(outcome);
    },
  });
}

const chapterExecutor: NodeExecutor = {
  async run({ input }, { onEvent }) {
    const { n } = input as { n: number };
    void onEvent?.('token', { n });
    return { text: `text ${n}` };
  },
};

const EXPECTED = { text: 'text 0 text 1 text 2', size: 3 };

function checkLog(events: readonly RunEvent[], message: string) {
  assert.ok(gapFree(events), `${message}: gaps`);
  const all = types(events);
  assert.deepEqual(all.slice(0, 2), ['asked', 'run_started'], message);
  assert.equal(all.at(-1), 'run_succeeded', message);
  for (const once of ['asked', 'run_started', 'run_succeeded']) {
    assert.equal(all.filter((type) => type === once).length, 1, `${message}: ${once} ${all.join(' ')}`);
  }
  const done = events.filter(({ type }) => type === 'step_done').map(({ data }) => data.key);
  assert.deepEqual([...done].sort(), [...STEPS].sort(), message);
}

const start = (runs: Runs, id: string) =>
  runs.start(me, 'report', { title: 'T' }, { id, events: [{ type: 'asked', data: {} }] });

test('recovery: a crash at every write, carried out or not, ends in the right result, nothing twice in the log', async (t) => {
  const database = await openTestDatabase(t);
  let crashes = 0;
  for (let at = 1; ; at += 1) {
    let survived = 0;
    for (const carriedOut of [false, true]) {
      const id = `run-${at}-${carriedOut}`;
      const dying = new DyingDatabase(database, at, carriedOut);
      const settled: unknown[] = [];
      const first = await openRuns(
        { after: async () => undefined },
        { database: dying.database, kinds: [reportKind(settled)], executor: chapterExecutor },
      );
      const ended = start(first, id).then(() => first.ended(me, id));
      if ((await Promise.race([ended, dying.died.promise])) === undefined) crashes += 1;
      else survived += 1;

      const second = await openRuns(t, { database, kinds: [reportKind(settled)], executor: chapterExecutor });
      // What a client does that got no answer.
      await start(second, id);
      const run = await second.ended(me, id);
      assert.deepEqual(run.result, EXPECTED, id);
      assert.ok(settled.length >= 1, id);
      for (const outcome of settled) assert.deepEqual(outcome, { status: 'succeeded', result: EXPECTED });
      checkLog(await allEvents(second, id), id);
      assert.equal(await second.active(me), 0);
      assert.equal(await database.connection.collection('runs').countDocuments({ open: true }), 0, id);
      await second.close();
    }
    if (survived === 2) break;
  }
  assert.ok(crashes >= 12, `only ${crashes} crashes`);
});

test('recovery: any series of crashes while several runs are under way', async (t) => {
  const database = await openTestDatabase(t);
  let round = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ at: fc.integer({ min: 1, max: 25 }), carriedOut: fc.boolean() }), { maxLength: 4 }),
      async (crashes) => {
        round += 1;
        const ids = [0, 1, 2].map((n) => `series-${round}-${n}`);
        for (const { at, carriedOut } of crashes) {
          const dying = new DyingDatabase(database, at, carriedOut);
          const runs = await Promise.race([
            openRuns(
              { after: async () => undefined },
              {
                database: dying.database,
                kinds: [reportKind()],
                executor: chapterExecutor,
              },
            ),
            dying.died.promise,
          ]);
          if (!runs) continue;
          const all = Promise.all(ids.map((id) => start(runs, id).then(() => runs.ended(me, id))));
          await Promise.race([all, dying.died.promise]);
        }
        const runs = await openRuns(t, { database, kinds: [reportKind()], executor: chapterExecutor });
        for (const id of ids) {
          await start(runs, id);
          assert.deepEqual((await runs.ended(me, id)).result, EXPECTED);
          checkLog(await allEvents(runs, id), `${id} after ${JSON.stringify(crashes)}`);
        }
        await runs.close();
      },
    ),
    { numRuns: 15 },
  );
});

test('recovery: nodes that bring the process down are repeated up to their limit, with the same key', async (t) => {
  const database = await openTestDatabase(t);
  const attempts: { attempt: number; key: string }[] = [];
  const kind = defineRunKind<unknown, unknown>({
    kind: 'deadly',
    execute: async ({ step, node }) => [
      await step('safe', async () => 'kept'),
      await node('deadly', { type: 'deadly', input: 0 }),
    ],
  });
  const id = 'deadly';
  let run: Run | undefined;
  for (let life = 1; life <= 8 && !run; life += 1) {
    const dying = new DyingDatabase(database, Number.POSITIVE_INFINITY, true);
    const died = gate();
    const runs = await openRuns(
      { after: async () => undefined },
      {
        database: dying.database,
        kinds: [kind],
        options: { forgivenDeaths: 1 },
        executor: {
          run({ attempt, idempotencyKey }) {
            attempts.push({ attempt, key: idempotencyKey });
            died.resolve();
            return new Promise(() => undefined);
          },
        },
      },
    );
    await runs.start(me, 'deadly', {}, { id });
    run = await Promise.race([runs.ended(me, id), died.promise.then(() => undefined)]);
    dying.kill();
  }
  // The first death is not counted: the note of the begin had not been written yet.
  assert.deepEqual(
    attempts.map(({ attempt }) => attempt),
    [1, 1, 2, 3, 4],
  );
  assert.deepEqual(new Set(attempts.map(({ key }) => key)), new Set(['deadly:deadly']));
  assert.equal(run?.error?.code, 'NODE_RETRIES_EXHAUSTED');
  assert.equal(run?.attempt, 6);
  assert.deepEqual(run?.error?.details, { node: 'deadly', attempts: 4 });
});

test('recovery: a node that runs for long is noted while it runs, one that failed by itself is not counted', async (t) => {
  const database = await openTestDatabase(t);
  const clock = new ManualClock();
  const begun = gate();
  const kind = defineRunKind<unknown, unknown>({
    kind: 'long',
    async execute({ node, signal }) {
      await node('fails', { type: 'fails', input: 0 }).catch(() => undefined);
      signal.throwIfAborted();
      return node('long', { type: 'long', input: 0 });
    },
  });
  const notes = () =>
    database.connection
      .collection('run_log')
      .find({ started: { $exists: true } })
      .toArray();
  const dying = new DyingDatabase(database, Number.POSITIVE_INFINITY, true);
  const first = await openRuns(
    { after: async () => undefined },
    {
      database: dying.database,
      clock,
      kinds: [kind],
      executor: {
        async run({ type }) {
          clock.pass(250);
          while ((await notes()).length < (type === 'fails' ? 1 : 2))
            await new Promise((resolve) => setImmediate(resolve));
          if (type === 'fails') throw new AppError('invalid', 'BROKEN', { zh: '坏', en: 'broken' });
          begun.resolve();
          return new Promise(() => undefined);
        },
      },
    },
  );
  await first.start(me, 'long', {}, { id: 'long' });
  await begun.promise;
  dying.kill();
  const attempts: Record<string, number> = {};
  const second = await openRuns(t, {
    database,
    kinds: [kind],
    executor: {
      async run({ type, attempt }) {
        attempts[type] = attempt;
        return 'done';
      },
    },
  });
  assert.equal((await second.ended(me, 'long')).result, 'done');
  assert.deepEqual(attempts, { fails: 1, long: 2 });
});

test('recovery: a run that is cut off again and again is given up with a terminal event', async (t) => {
  const database = await openTestDatabase(t);
  let lives = 0;
  let run: Run | undefined;
  while (!run) {
    lives += 1;
    assert.ok(lives < 10);
    const dying = new DyingDatabase(database, Number.POSITIVE_INFINITY, true);
    const died = gate();
    const kind = defineRunKind<unknown, unknown>({
      kind: 'poison',
      execute() {
        died.resolve();
        return new Promise(() => undefined);
      },
    });
    const runs = await openRuns(
      { after: async () => undefined },
      { database: dying.database, kinds: [kind], options: { maxTakeovers: 3 } },
    );
    await runs.start(me, 'poison', {}, { id: 'poison' });
    run = await Promise.race([runs.ended(me, 'poison'), died.promise.then(() => undefined)]);
    dying.kill();
  }
  assert.equal(lives, 5);
  assert.equal(run.error?.code, 'RUN_ABANDONED');
});

test('recovery: runs whose kind is missing wait for it, and many waiting runs are taken up in their order', async (t) => {
  const database = await openTestDatabase(t);
  const order: unknown[] = [];
  const kind = defineRunKind<number, number>({
    kind: 'counted',
    execute: async ({ input }) => {
      order.push(input);
      return input;
    },
  });
  const blocked = defineRunKind<unknown, void>({ kind: 'counted', execute: () => new Promise(() => undefined) });
  const dying = new DyingDatabase(database, Number.POSITIVE_INFINITY, true);
  const first = await openRuns(
    { after: async () => undefined },
    { database: dying.database, kinds: [blocked], options: { limits: { total: 1, queuedTotal: 10 } } },
  );
  for (let n = 0; n < 40; n += 1) await first.start(me, 'counted', n, { id: `n-${n}` });
  assert.equal(await first.active(me), 40);
  dying.kill();

  const second = await openRuns(t, { database, kinds: [], options: { limits: { total: 1, queuedTotal: 10 } } });
  assert.equal(second.running, 0);
  second.register(kind);
  for (let n = 0; n < 40; n += 1) assert.equal((await second.ended(me, `n-${n}`)).status, 'succeeded');
  assert.deepEqual(
    order,
    Array.from({ length: 40 }, (_, n) => n),
  );
});

test('lease: a process that stops renewing loses its runs, writes nothing more, and the other one ends them', async (t) => {
  const database = await openTestDatabase(t);
  const { log, lines } = recordingLog();
  const begun = gate<RunContext>();
  const wake = gate();
  const refused = gate<unknown>();
  const slow = defineRunKind<unknown, string>({
    kind: 'slow',
    async execute(context) {
      await context.step('one', async () => 1);
      begun.resolve(context);
      await wake.promise;
      await context.step('two', async () => 'by the first').catch((error: unknown) => refused.resolve(error));
      return 'by the first';
    },
  });
  const fast = defineRunKind<unknown, string>({
    kind: 'slow',
    async execute({ step }) {
      const one = await step('one', async () => 2);
      await step('two', async () => 'by the second');
      return `by the second with ${one}`;
    },
  });
  const frozen = new ManualClock();
  const options = { exclusive: false, leaseMs: 3000, pollMs: 5 };
  const first = await openRuns(
    { after: async () => undefined },
    { database, kinds: [slow], options, clock: frozen, log },
  );
  const run = await first.start(me, 'slow', {});
  const context = await begun.promise;

  // Its clock stands still, as when a process is stopped; the other one's is ahead by more than a lease.
  const clock = new ManualClock();
  clock.pass(4000);
  const second = await openRuns(t, { database, kinds: [fast], options, clock });
  const ended = second.ended(me, run.id);
  while ((await second.get(me, run.id))?.status !== 'succeeded') clock.pass(5);
  assert.equal((await ended).result, 'by the second with 1');
  wake.resolve();
  const error = await refused.promise;
  assert.ok(error instanceof AppError && error.code === 'RUN_INTERRUPTED', String(error));
  assert.ok(context.signal.aborted);
  const events = await allEvents(second, run.logId);
  assert.deepEqual(types(events), ['run_started', 'run_resumed', 'run_succeeded']);
  assert.ok(gapFree(events));
  // The first one notices by its own clock as well, and gives up whatever it had.
  frozen.pass(3000);
  assert.ok(lines.some(({ msg }) => String(msg).includes('lease was lost')));
  await first.close({ timeoutMs: 10 });
});

test('lease: processes that are alive leave each other alone, cancel each other’s runs, and follow them', async (t) => {
  const database = await openTestDatabase(t);
  const clock = new ManualClock();
  const options = { exclusive: false, leaseMs: 30_000, pollMs: 100 };
  const begun = gate();
  const kind = defineRunKind<unknown, void>({
    kind: 'held',
    async execute({ emit, signal }) {
      for (let n = 0; n < 3; n += 1) await emit('tick', { n });
      begun.resolve();
      await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    },
  });
  const first = await openRuns(t, { database, kinds: [kind], options, clock });
  const second = await openRuns(t, { database, kinds: [kind], options, clock });
  const run = await first.start(me, 'held', {});
  await begun.promise;
  await second.recover();
  assert.equal(second.running, 0);
  const stream = second.subscribe(me, run.logId, 0)[Symbol.asyncIterator]();
  for (const type of ['run_started', 'tick', 'tick', 'tick']) assert.equal((await stream.next()).value?.type, type);
  // Events from outside, out of the other process, do not cost the first one its run.
  await second.append(me, run.logId, [{ type: 'from_outside', data: {} }]);
  await first.append(me, run.logId, [{ type: 'from_here', data: {} }]);
  const last = stream.next();
  const cancelled = second.cancel(me, run.id, 'from afar');
  let done = false;
  void cancelled.then(() => {
    done = true;
  });
  while (!done) {
    clock.pass(100);
    await database.ping();
  }
  assert.equal((await cancelled)?.status, 'cancelled');
  assert.equal((await last).value?.type, 'from_outside');
  assert.deepEqual(types(await allEvents(first, run.logId)), [
    'run_started',
    'tick',
    'tick',
    'tick',
    'from_outside',
    'from_here',
    'run_cancelled',
  ]);
  await stream.return?.();
});

test('store failure: a run is interrupted, not failed, and goes on when the store is back', async (t) => {
  const database = await openTestDatabase(t);
  const dying = new DyingDatabase(database, Number.POSITIVE_INFINITY, true);
  let runsOfStep = 0;
  const kind = defineRunKind<unknown, string>({
    kind: 'patient',
    async execute({ step, attempt, input }) {
      await step('before', async () => 0);
      if (attempt === 1) dying.fail(input as number);
      return step('after', async () => {
        runsOfStep += 1;
        return 'done';
      });
    },
  });
  const quick = {
    now: () => Date.now(),
    after: (_ms: number, act: () => void) => {
      const timer = setTimeout(act, 1);
      return () => clearTimeout(timer);
    },
  };
  const runs = await openRuns(t, { database: dying.database, kinds: [kind], clock: quick });
  // Short enough to be waited out, long enough to interrupt the run, long enough to keep it from being given back at once.
  for (const [failures, attempts] of [
    [3, 1],
    [12, 2],
    [60, 2],
  ] as const) {
    const { id } = await runs.start(me, 'patient', failures);
    await until(runs.subscribe(me, id, 0), 'run_succeeded');
    const run = await runs.ended(me, id);
    assert.equal(run.result, 'done');
    assert.equal(run.attempt, attempts);
    const events = types(await allEvents(runs, run.logId));
    assert.deepEqual(events, ['run_started', ...(attempts > 1 ? ['run_resumed'] : []), 'run_succeeded']);
  }
  assert.ok(runsOfStep >= 3);
});

test('node cut off in the process: earlier deaths count as well', async (t) => {
  const database = await openTestDatabase(t);
  const kind = defineRunKind<unknown, unknown>({
    kind: 'mixed',
    execute: ({ node }) => node('it', { type: 'it', input: 0 }),
  });
  const attempts: number[] = [];
  for (let life = 0; life < 2; life += 1) {
    const dying = new DyingDatabase(database, Number.POSITIVE_INFINITY, true);
    const died = gate();
    const runs = await openRuns(
      { after: async () => undefined },
      {
        database: dying.database,
        kinds: [kind],
        options: { forgivenDeaths: 0 },
        executor: {
          run({ attempt }) {
            attempts.push(attempt);
            died.resolve();
            return new Promise(() => undefined);
          },
        },
      },
    );
    await runs.start(me, 'mixed', {}, { id: 'mixed' });
    await died.promise;
    dying.kill();
  }
  const last = await openRuns(t, {
    database,
    kinds: [kind],
    options: { forgivenDeaths: 0 },
    executor: {
      async run({ attempt }) {
        attempts.push(attempt);
        throw cutOff();
      },
    },
  });
  const run = await last.ended(me, 'mixed');
  assert.equal(run.error?.code, 'NODE_RETRIES_EXHAUSTED');
  assert.deepEqual(attempts, [1, 1, 2, 3]);
});
