import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { defineRunKind } from '../../../core/run-kind.ts';
import { eventJson, perEvent, type RunEvent, type Runs } from '../../../runtime/runs/index.ts';
import { allEvents, gapFree, gate, openRuns, types, until, user } from './harness.ts';

const me = user();

interface Burst {
  count: number;
  /** Whether the run waits until the burst is stored. */
  wait: boolean;
  /** Ends the burst with a checkpoint. */
  step: boolean;
  size: number;
}

const chatty = defineRunKind<Burst[], void>({
  kind: 'chatty',
  async execute({ input, emit, step }) {
    let n = 0;
    for (const [index, { count, wait, size, step: checkpoint }] of input.entries()) {
      const all: Promise<void>[] = [];
      for (let at = 0; at < count; at += 1) all.push(emit('tick', { n: n++, text: 'x'.repeat(size) }));
      if (wait) await Promise.all(all);
      if (checkpoint) await step(`checkpoint ${index}`, async () => index);
    }
  },
});

const LAST = 'run_succeeded';

test('subscribe: whoever is cut off at random and resumes gets exactly the stored sequence', async (t) => {
  // A small cache makes readers fall back to the store all the time.
  const runs = await openRuns(t, { kinds: [chatty], options: { cacheBytes: 20_000 } });
  const burst = fc.record({
    count: fc.integer({ min: 0, max: 300 }),
    wait: fc.boolean(),
    step: fc.boolean(),
    size: fc.constantFrom(1, 10, 300),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(burst, { minLength: 1, maxLength: 5 }),
      fc.array(fc.array(fc.integer({ min: 1, max: 200 }), { maxLength: 8 }), { minLength: 1, maxLength: 6 }),
      async (bursts, followers) => {
        const run = await runs.start(me, 'chatty', bursts);
        const seen = await Promise.all(followers.map((cuts) => followInPieces(runs, run.logId, cuts)));
        await runs.ended(me, run.id);
        const stored = await allEvents(runs, run.logId);
        assert.ok(gapFree(stored));
        assert.equal(stored.length, 2 + bursts.reduce((sum, { count }) => sum + count, 0));
        for (const events of seen) assert.deepEqual(events, stored);
        const from = Math.floor(stored.length / 2);
        assert.deepEqual(await until(runs.subscribe(me, run.logId, from), LAST), stored.slice(from));
        const ticks = stored.filter(({ type }) => type === 'tick').map(({ data }) => data.n);
        assert.deepEqual(ticks, [...ticks.keys()]);
      },
    ),
    { numRuns: 20 },
  );
});

async function followInPieces(runs: Runs, logId: string, cuts: number[]): Promise<RunEvent[]> {
  const events: RunEvent[] = [];
  for (const cut of [...cuts, Number.POSITIVE_INFINITY]) {
    let left = cut;
    for await (const event of runs.subscribe(me, logId, events.length)) {
      events.push(event);
      left -= 1;
      if (event.type === LAST) return events;
      if (left === 0) break;
    }
  }
  throw new Error('The subscription ended by itself');
}

test('subscribe: an event is delivered only when it is stored', async (t) => {
  const runs = await openRuns(t, { kinds: [chatty] });
  const collection = runs.database.connection.collection<{ logId: string; to: number }>('run_log');
  const run = await runs.start(me, 'chatty', Array(20).fill({ count: 3, wait: true, step: false, size: 1 }));
  for await (const event of runs.subscribe(me, run.logId, 0)) {
    const stored = await collection.countDocuments({ logId: run.logId, to: { $gt: event.seq } });
    assert.ok(stored > 0, `event ${event.seq}`);
    if (event.type === LAST) break;
  }
});

test('subscribe: a thousand followers of one run get every event, as shared objects', async (t) => {
  const go = gate();
  const kind = defineRunKind<unknown, void>({
    kind: 'popular',
    async execute({ emit }) {
      await go.promise;
      for (let n = 0; n < 200; n += 1) {
        const stored = emit('tick', { n });
        if (n % 20 === 0) await stored;
      }
    },
  });
  const runs = await openRuns(t, { kinds: [kind] });
  const run = await runs.start(me, 'popular', {});
  let serialised = 0;
  const view = perEvent((event) => {
    serialised += 1;
    return eventJson(event);
  });
  const follow = async () => {
    const seen: string[] = [];
    for await (const event of runs.subscribe(me, run.logId, 0)) {
      seen.push(view(event));
      if (event.type === LAST) return seen;
    }
    throw new Error('ended');
  };
  const followers = Array.from({ length: 1000 }, follow);
  go.resolve();
  const [first, ...others] = await Promise.all(followers);
  assert.equal(first?.length, 202);
  for (const other of others) assert.deepEqual(other, first);
  assert.equal(serialised, 202);
  assert.deepEqual(JSON.parse(first?.[1] ?? ''), {
    logId: run.logId,
    runId: run.id,
    seq: 1,
    type: 'tick',
    data: { n: 0 },
    at: JSON.parse(first?.[1] ?? '').at,
  });
});

test('subscribe: a follower that does not read neither slows the run nor misses anything when it goes on', async (t) => {
  const runs = await openRuns(t, { kinds: [chatty], options: { cacheBytes: 100_000 } });
  const run = await runs.start(me, 'chatty', Array(40).fill({ count: 250, wait: true, step: false, size: 200 }));
  const slow = runs.subscribe(me, run.logId, 0)[Symbol.asyncIterator]();
  const events: RunEvent[] = [(await slow.next()).value];
  assert.equal((await runs.ended(me, run.id)).status, 'succeeded');
  while (events.at(-1)?.type !== LAST) events.push((await slow.next()).value);
  assert.equal(events.length, 10_002);
  assert.ok(gapFree(events));
  assert.deepEqual(types(events).slice(0, 2), ['run_started', 'tick']);
  await slow.return?.();
});

test('subscribe: ends by its signal, by return while it waits, and with the service', async (t) => {
  const kind = defineRunKind<unknown, void>({
    kind: 'quiet',
    execute: ({ signal }) =>
      new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
  });
  const runs = await openRuns(t, { kinds: [kind] });
  const run = await runs.start(me, 'quiet', {});
  const open = (signal?: AbortSignal) => runs.subscribe(me, run.logId, 1, signal)[Symbol.asyncIterator]();
  const stop = new AbortController();
  const bySignal = open(stop.signal);
  const waiting = bySignal.next();
  stop.abort();
  assert.deepEqual(await waiting, { done: true, value: undefined });
  assert.deepEqual(await bySignal.next(), { done: true, value: undefined });
  assert.deepEqual(await open(AbortSignal.abort()).next(), { done: true, value: undefined });

  const byReturn = open();
  const pending = byReturn.next();
  await byReturn.return?.();
  assert.deepEqual(await pending, { done: true, value: undefined });

  const byClose = open().next();
  await runs.close();
  assert.deepEqual(await byClose, { done: true, value: undefined });
});

test('subscribe: a log that does not exist yet, and an offset beyond its end', async (t) => {
  const runs = await openRuns(t, { kinds: [chatty] });
  const early = until(runs.subscribe(me, 'later', 0), 'third');
  const beyond = until(runs.subscribe(me, 'later', 2), 'third');
  await runs.append(me, 'later', [{ type: 'first', data: {} }]);
  await runs.append(me, 'later', [
    { type: 'second', data: {} },
    { type: 'third', data: {} },
  ]);
  assert.deepEqual(types(await early), ['first', 'second', 'third']);
  assert.deepEqual(types(await beyond), ['third']);
  assert.deepEqual(types(await runs.events(me, 'later', -5)), ['first', 'second', 'third']);
});

test('emit: events that come faster than they can be stored end the run instead of filling the memory', async (t) => {
  const kind = defineRunKind<unknown, void>({
    kind: 'flood',
    async execute({ emit, signal }) {
      const text = 'x'.repeat(100_000);
      for (let n = 0; n < 2000 && !signal.aborted; n += 1) void emit('flood', { text });
    },
  });
  const runs = await openRuns(t, { kinds: [kind] });
  const run = await runs.ended(me, (await runs.start(me, 'flood', {})).id);
  assert.equal(run.error?.code, 'RUN_LOG_OVERFLOW');
  const last = await runs.lastEvent(me, run.logId);
  assert.equal(last?.type, 'run_failed');
  assert.ok((last?.seq ?? 0) > 100 && (last?.seq ?? 0) < 500, `${last?.seq} events`);
});
