import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { failure, fixture, startPool, task, untilStarted } from './support.ts';

const act = (what: string, count = 1, input: unknown = {}, extra = {}) =>
  task('test.act', { what, count }, input, extra);

suite('shared threads', { concurrency: false }, () => {
  test('many tasks share one thread', async (t) => {
    const pool = await startPool(t, { shared: { threads: 2, tasksPerThread: 50 } });
    const starts = Array.from({ length: 100 }, () => untilStarted());
    const controller = new AbortController();
    const runs = starts.map(({ hooks }) => failure(pool.run(act('wait', 60_000), hooks, controller.signal)));
    await Promise.all(starts.map(({ started }) => started));
    assert.deepEqual(pool.stats().shared, { threads: 2, running: 100, queued: 0, restarts: 0 });
    controller.abort();
    for (const run of runs) assert.equal((await run).code, 'NODE_CANCELLED');
    assert.equal(pool.stats().shared.restarts, 0);
  });

  test('a node that never gives up but leaves the event loop alone: its neighbours go on to their end', async (t) => {
    const pool = await startPool(t);
    const answer = Promise.withResolvers<string>();
    pool.expose('test-store', { hang: () => answer.promise });
    const neighbour = untilStarted();
    const neighbourRun = pool.run(act('host-hang'), neighbour.hooks);
    await neighbour.started;
    const stubborn = await failure(pool.run(act('ignore-signal', 1, {}, { timeoutMs: 100 })));
    assert.equal(stubborn.code, 'NODE_TIMEOUT');
    assert.equal(pool.stats().shared.restarts, 1);
    assert.deepEqual(await pool.run(act('nothing')), { result: 'nothing' });
    assert.equal(pool.stats().shared.threads, 2, 'the old thread lives as long as its tasks');
    answer.resolve('answered');
    assert.deepEqual(await neighbourRun, { result: 'answered' });
    assert.equal(pool.stats().shared.threads, 1);
  });

  test('a thread that stood still for a while takes up what has waited for it', async (t) => {
    const pool = await startPool(t, { shared: { threads: 1, tasksPerThread: 8 } });
    const controller = new AbortController();
    const { started, hooks } = untilStarted();
    const still = failure(pool.run(act('stand-still', 1600), hooks, controller.signal));
    await started;
    await delay(1500);
    const waited = pool.run(act('nothing'));
    assert.equal(pool.stats().shared.queued, 1);
    assert.deepEqual(await Promise.race([waited, delay(5000, 'never')]), { result: 'nothing' });
    controller.abort();
    await still;
  });

  test('a busy loop: nobody else fails by it, and it is found out when it runs alone', async (t) => {
    const pool = await startPool(t, { shared: { threads: 2, tasksPerThread: 8 } });
    const neighbour = act('wait', 60_000, {}, { timeoutMs: 60_000 });
    // One on each thread, so that the loop is sure to have a neighbour.
    const neighbours = [neighbour, act('wait', 60_000)];
    const runs: ReturnType<typeof failure>[] = [];
    for (const one of neighbours) {
      const occupied = untilStarted();
      runs.push(failure(pool.run(one, occupied.hooks)));
      await occupied.started;
    }
    const loop = act('busy', 1, {}, { timeoutMs: 300 });
    const first = await failure(pool.run(loop));
    assert.equal(first.code, 'NODE_CUT_OFF');
    assert.equal(first.details?.reason, 'unresponsive');
    const hit = await Promise.race(runs);
    assert.equal(hit.code, 'NODE_CUT_OFF');
    const again = await Promise.all([
      failure(pool.run({ ...loop, attempt: 2 })),
      pool.run({ ...neighbour, attempt: 2, config: { what: 'wait', count: 10 } }),
    ]);
    assert.equal(again[0].code, 'NODE_TIMEOUT');
    assert.deepEqual(again[1], { result: 'waited' });
    await pool.close({ graceMs: 0 });
    await Promise.all(runs);
  });

  test('a blocked thread gets no new tasks', async (t) => {
    const pool = await startPool(t, { shared: { threads: 2, tasksPerThread: 1000 } });
    const { started, hooks } = untilStarted();
    const controller = new AbortController();
    const loop = failure(pool.run(act('busy'), hooks, controller.signal));
    await started;
    // Long enough for the lane to see it; tasks given to the blocked thread before that wait for its end.
    await pool.run(act('wait', 2500)).catch((error) => assert.equal(error.code, 'NODE_CUT_OFF'));
    const results = await Promise.all(Array.from({ length: 50 }, () => pool.run(act('nothing'))));
    assert.equal(results.length, 50);
    controller.abort();
    assert.equal((await loop).code, 'NODE_CANCELLED');
  });

  test('a thread that dies takes its tasks along once; repeated they run alone', async (t) => {
    const pool = await startPool(t);
    const exit = act('exit');
    const neighbour = act('wait', 60_000);
    const { started, hooks } = untilStarted();
    const run = failure(pool.run(neighbour, hooks));
    await started;
    for (const error of await Promise.all([failure(pool.run(exit)), run])) {
      assert.equal(error.code, 'NODE_CUT_OFF');
      assert.equal(error.details?.alone, false);
    }
    const [again, other] = await Promise.all([
      failure(pool.run({ ...exit, attempt: 2 })),
      pool.run({ ...neighbour, attempt: 2, config: { what: 'wait', count: 200 } }),
    ]);
    assert.equal(again.details?.alone, true);
    assert.deepEqual(other, { result: 'waited' });
  });

  test('ready: all threads are up before the first task', async (t) => {
    const pool = await startPool(t, { shared: { threads: 2 } });
    assert.equal(pool.stats().shared.threads, 0);
    await pool.ready();
    assert.deepEqual(pool.stats().shared, { threads: 2, running: 0, queued: 0, restarts: 0 });
    assert.deepEqual(await pool.run(act('nothing')), { result: 'nothing' });
  });

  test('ready: node files are loaded, services of the threads make themselves ready', async (t) => {
    const pool = await startPool(t, { shared: { threads: 1 } });
    await pool.ready([act('local').type]);
    const { result } = (await pool.run(act('local'))) as { result: { instance: string } };
    assert.match(result.instance, /^ready /);
    assert.equal((await failure(pool.ready(['nobody knows']))).code, 'NODE_UNKNOWN');
  });

  test('describe: types, versions and JSON Schemas; the newest version is the default', async (t) => {
    const pool = await startPool(t);
    const described = pool.describe().find(({ type }) => type === 'test.echo-isolated');
    assert.partialDeepStrictEqual(described, {
      version: 1,
      lane: 'isolated',
      retries: 5,
      timeoutMs: 300_000,
      config: {
        type: 'object',
        properties: { times: { type: 'integer', minimum: 1, default: 1 }, prefix: { type: 'string', default: '> ' } },
      },
    });
    await pool.addNodes([fixture('nodes/echo-v2.ts')]);
    assert.deepEqual(await pool.run(task('test.echo', {}, { text: 'hi' })), { text: 'hi, second version' });
    assert.partialDeepStrictEqual(await pool.run(task('test.echo', {}, { text: 'hi' }, { version: 1 })), {
      text: '> hi',
    });
  });

  test('node files: one that is no node, and a type declared twice, are refused', async (t) => {
    const pool = await startPool(t);
    const noNode = await failure(pool.addNodes([fixture('services/local.ts')]));
    assert.equal(noNode.code, 'NODE_FILE_INVALID');
    assert.equal((await failure(pool.addNodes(['file:///nowhere.ts']))).code, 'NODE_FILE_INVALID');
    assert.equal((await failure(pool.addNodes([fixture('nodes/echo-twice.ts')]))).code, 'NODE_DUPLICATE');
    await pool.addNodes([fixture('nodes/echo.ts')]);
  });
});
