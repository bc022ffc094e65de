import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { defineService } from '../../../core/service.ts';
import type { HostCaller, PoolHooks } from '../../../runtime/pool/index.ts';
import { actType, echoType, failure, type LaneName, principal, startPool, task, untilStarted } from './support.ts';

/** What both lanes promise. */
for (const lane of ['shared', 'isolated'] satisfies LaneName[]) {
  suite(`${lane} lane`, { concurrency: false }, () => {
    const act = (what: string, count = 1, input: unknown = {}, extra = {}) =>
      task(actType(lane), { what, count }, input, extra);

    let pool: Awaited<ReturnType<typeof startPool>>;
    before(async () => {
      pool = await startPool();
    });
    after(() => pool.close({ graceMs: 0 }));

    test('run: defaults are filled, and the node sees its step', async () => {
      const input = {
        text: 'hi',
        data: { bytes: new Uint8Array([1, 2, 3]), at: new Date(5), none: undefined, big: 3n },
      };
      const given = task(echoType(lane), undefined, input, { attempt: 3, idempotencyKey: 'step-7' });
      assert.deepEqual(await pool.run(given), {
        ...input,
        text: '> hi',
        attempt: 3,
        idempotencyKey: 'step-7',
        run: { id: 'run-1', tenantId: 'tenant-1' },
      });
    });

    test('run: what does not fit the schemas is refused with its fields', async () => {
      const config = await failure(pool.run(task(echoType(lane), { times: 0 }, { text: 'hi' })));
      assert.equal(config.code, 'NODE_CONFIG_INVALID');
      assert.equal(config.kind, 'invalid');
      assert.equal(config.fields?.[0]?.field, 'times');
      const input = await failure(pool.run(task(echoType(lane), {}, { txt: 'hi' })));
      assert.equal(input.code, 'NODE_INPUT_INVALID');
      assert.deepEqual(
        input.fields?.map(({ field }) => field),
        ['text'],
      );
      const output = await failure(pool.run(act('wrong-output')));
      assert.equal(output.code, 'NODE_OUTPUT_INVALID');
      assert.equal(output.kind, 'internal');
    });

    test('run: what is no plain data is refused with its path', async () => {
      const given = { text: 'hi', data: [{ callback: () => 1 }] };
      const input = await failure(pool.run(task(echoType(lane), {}, given)));
      assert.equal(input.code, 'NODE_INPUT_INVALID');
      assert.equal(input.fields?.[0]?.field, 'data.0.callback');
      const output = await failure(pool.run(act('function-output')));
      assert.equal(output.code, 'NODE_OUTPUT_INVALID');
      assert.equal(output.fields?.[0]?.field, 'result');
      assert.deepEqual(await pool.run(act('nothing')), { result: 'nothing' });
    });

    test('run: an AppError of the node keeps all it says', async () => {
      const { kind, code, text, details, retryAfter } = await failure(pool.run(act('throw-app-error')));
      assert.deepEqual(
        { kind, code, text, details, retryAfter },
        {
          kind: 'conflict',
          code: 'TEST_CONFLICT',
          text: { zh: '冲突', en: 'Conflict' },
          details: { a: [1, { b: 2 }] },
          retryAfter: 7,
        },
      );
    });

    test('run: any other error is internal, and its stack is logged', async () => {
      const error = await failure(pool.run(act('throw-error')));
      assert.equal(error.kind, 'internal');
      assert.equal(error.code, 'INTERNAL_ERROR');
      assert.ok(pool.lines.some((line) => line.includes('RangeError: out of range') && line.includes('act.ts')));
    });

    test('run: unknown types and versions are refused', async () => {
      assert.equal((await failure(pool.run(task('test.nobody', {})))).code, 'NODE_UNKNOWN');
      assert.equal((await failure(pool.run({ ...act('nothing'), version: 9 }))).code, 'NODE_UNKNOWN');
    });

    test('events: 100,000 arrive complete and in order before the result', async () => {
      const seen: unknown[] = [];
      const output = await pool.run(act('emit', 100_000), { onEvent: (_type, data) => void seen.push(data.i) });
      assert.deepEqual(output, { result: 100_000 });
      assert.equal(seen.length, 100_000);
      assert.ok(seen.every((value, index) => value === index));
    });

    test('events: an asynchronous hook gets one after another, and all before the result', async () => {
      const seen: unknown[] = [];
      let atWork = 0;
      await pool.run(act('emit', 200), {
        onEvent: async (_type, data) => {
          assert.equal(++atWork, 1);
          await setImmediate();
          atWork -= 1;
          seen.push(data.i);
        },
      });
      assert.deepEqual(seen, [...Array(200).keys()]);
    });

    test('events: each is what it was when it was emitted; one that is not JSON fails the node', async () => {
      const seen: unknown[] = [];
      await pool.run(act('mutate-event'), { onEvent: (type, data) => void seen.push([type, data]) });
      assert.deepEqual(seen, [
        ['first', { n: 1 }],
        ['second', { n: 2 }],
      ]);
      assert.equal((await failure(pool.run(act('emit-bad')))).code, 'NODE_EVENT_INVALID');
    });

    test('events: a node that is faster than its host is held up', async () => {
      const rssBefore = process.memoryUsage.rss();
      const never = new Promise<void>(() => undefined);
      let taken = 0;
      const hooks: PoolHooks = {
        onEvent: () => {
          taken += 1;
          return never;
        },
      };
      const error = await failure(pool.run(act('emit-endless', 1, {}, { timeoutMs: 500 }), hooks));
      assert.equal(error.code, 'NODE_TIMEOUT');
      assert.equal(taken, 1);
      assert.ok(process.memoryUsage.rss() - rssBefore < 100 * 1024 * 1024, 'the host keeps no more than its window');
    });

    test('events: a hook that fails ends the node with its error', async () => {
      const { hooks } = untilStarted({
        onEvent: () => {
          throw new Error('the log is full');
        },
      });
      await assert.rejects(pool.run(act('wait', 60_000), hooks), /the log is full/);
      assert.deepEqual(await pool.run(act('nothing')), { result: 'nothing' });
    });

    test('progress and log: the latest progress of a batch, clamped to 0-1; logs in order with events', async () => {
      const seen: unknown[] = [];
      await pool.run(act('progress'), {
        onProgress: (fraction) => void seen.push(fraction),
        onLog: (level, message, data) => void seen.push([level, message, data]),
      });
      assert.deepEqual(seen, [['info', 'half way', { at: 0.5 }], 0.5, 1]);
      await pool.run(act('progress'));
      assert.ok(pool.lines.some((line) => line.includes('half way') && line.includes('run-1')));
    });

    test('host services: result, failure, and what does not exist', async (t) => {
      const callers: HostCaller[] = [];
      const pool = await startPool(t);
      pool.expose(defineService('test-store'), {
        get: (caller: HostCaller, key: string, bytes: Uint8Array) => {
          callers.push(caller);
          return { key, sum: bytes.reduce((a, b) => a + b, 0), back: bytes };
        },
        fail: () => {
          throw new RangeError('no');
        },
      });
      const output = await pool.run(act('host', 1, { value: new Uint8Array([1, 2, 3]) }));
      assert.deepEqual(output, {
        result: {
          got: { key: 'a', sum: 6, back: new Uint8Array([1, 2, 3]) },
          failures: [
            { kind: 'internal', code: 'INTERNAL_ERROR', details: { reason: 'no' } },
            {
              kind: 'unavailable',
              code: 'SERVICE_NOT_AVAILABLE',
              details: { service: 'test-store', method: 'missing' },
            },
            {
              kind: 'unavailable',
              code: 'SERVICE_NOT_AVAILABLE',
              details: { service: 'test-store', method: 'constructor' },
            },
          ],
        },
      });
      const { signal, ...who } = callers[0] ?? assert.fail('the host was not called');
      assert.deepEqual(who, { id: 'run-1', tenantId: 'tenant-1', principal });
      assert.ok(signal.aborted, 'the caller is gone once its task is over');
      assert.equal((await failure(pool.run(act('unknown-service')))).code, 'SERVICE_NOT_AVAILABLE');
    });

    test('host services: a call that hangs ends with its task; calls under way are limited', async (t) => {
      const pool = await startPool(t);
      pool.expose('test-store', { hang: () => new Promise(() => undefined), get: async () => 'got' });
      assert.equal((await failure(pool.run(act('host-hang', 1, {}, { timeoutMs: 200 })))).code, 'NODE_TIMEOUT');
      const { result } = (await pool.run(act('many-calls', 300))) as { result: string[] };
      assert.equal(result.filter((code) => code === 'ok').length, 256);
      assert.equal(result.filter((code) => code === 'SERVICE_CALLS_FULL').length, 44);
    });

    test('host services: a call is answered when the events before it have been taken', async (t) => {
      const pool = await startPool(t);
      let taken = 0;
      pool.expose('test-store', { get: async () => taken });
      const onEvent = async () => {
        await setImmediate();
        taken += 1;
      };
      assert.deepEqual(await pool.run(act('emit-then-call', 20), { onEvent }), { result: 'in order' });
    });

    test('local services: made once per thread, and used without the host', async () => {
      const [a, b] = [await pool.run(act('local')), await pool.run(act('local'))];
      assert.deepEqual(a, b);
      assert.partialDeepStrictEqual(a, { result: { doubled: 42, same: true } });
    });

    test('local services: one that cannot be made is not available, and the log says why', async (t) => {
      const pool = await startPool(t, { local: [{ key: 'test-local', module: 'file:///nowhere.ts', options: {} }] });
      assert.equal((await failure(pool.run(act('local')))).code, 'SERVICE_NOT_AVAILABLE');
      assert.deepEqual(await pool.run(act('nothing')), { result: 'nothing' });
    });

    test('abort: before, in the queue, while running, after', async (t) => {
      const pool = await startPool(t, { shared: { tasksPerThread: 1 } });
      const before = await failure(pool.run(act('nothing'), {}, AbortSignal.abort()));
      assert.equal(before.code, 'NODE_CANCELLED');

      const [running, queued, late] = [new AbortController(), new AbortController(), new AbortController()];
      const first = untilStarted();
      const firstRun = failure(pool.run(act('wait', 60_000), first.hooks, running.signal));
      await first.started;
      const queuedRun = failure(pool.run(act('nothing'), {}, queued.signal));
      assert.equal(pool.stats()[lane].queued, 1);
      queued.abort();
      assert.equal((await queuedRun).code, 'NODE_CANCELLED');
      assert.equal(pool.stats()[lane].queued, 0);
      running.abort();
      assert.equal((await firstRun).code, 'NODE_CANCELLED');
      assert.equal((await firstRun).kind, 'cancelled');

      assert.deepEqual(await pool.run(act('nothing'), {}, late.signal), { result: 'nothing' });
      late.abort();
      assert.equal(pool.stats()[lane].running, 0);
    });

    test('abort: a node that does not give up is replaced within the grace time', async () => {
      for (const what of ['ignore-signal', 'busy', 'emit-endless']) {
        const controller = new AbortController();
        const { started, hooks } = untilStarted();
        if (what === 'emit-endless') hooks.onEvent = () => controller.abort();
        const run = failure(pool.run(act(what), hooks, controller.signal));
        if (what !== 'emit-endless') {
          await started;
          controller.abort();
        }
        assert.equal((await run).code, 'NODE_CANCELLED', what);
        assert.deepEqual(await pool.run(act('nothing')), { result: 'nothing' });
      }
    });

    test('deadline: of the task; a node that ignores it is replaced', async () => {
      for (const what of ['wait', 'ignore-signal', 'busy']) {
        const error = await failure(pool.run(act(what, 60_000, {}, { timeoutMs: 200 })));
        assert.equal(error.code, 'NODE_TIMEOUT', what);
        assert.equal(error.kind, 'timeout');
        assert.deepEqual(error.details, { type: actType(lane), timeoutMs: 200 });
      }
      assert.deepEqual(await pool.run(act('nothing')), { result: 'nothing' });
    });

    test('queue: the limit is kept', async (t) => {
      const pool = await startPool(t, { shared: { tasksPerThread: 1, maxQueue: 2 }, isolated: { maxQueue: 2 } });
      const controller = new AbortController();
      const runs = [1, 2, 3].map(() => failure(pool.run(act('wait', 60_000), {}, controller.signal)));
      await setImmediate();
      const { code, kind, retryAfter } = await failure(pool.run(act('nothing')));
      assert.deepEqual({ code, kind, retryAfter }, { code: 'POOL_QUEUE_FULL', kind: 'unavailable', retryAfter: 1 });
      controller.abort();
      for (const run of runs) assert.equal((await run).code, 'NODE_CANCELLED');
    });

    test('a node that ends its thread: the attempt is cut off, and a repetition runs', async () => {
      for (const what of ['exit', 'uncaught']) {
        const given = act(what, 1, {}, { attempt: 2 });
        const error = await failure(pool.run(given));
        assert.equal(error.code, 'NODE_CUT_OFF', what);
        assert.equal(error.kind, 'unavailable');
        assert.partialDeepStrictEqual(error.details, { reason: 'thread', attempt: 2, alone: true });
        assert.deepEqual(await pool.run({ ...act('nothing'), idempotencyKey: given.idempotencyKey }), {
          result: 'nothing',
        });
      }
    });

    test('a forgotten rejected promise is logged and ends nothing', async () => {
      assert.deepEqual(await pool.run(act('unhandled')), { result: 'survived' });
      assert.ok(pool.lines.some((line) => line.includes('unhandled') && line.includes('forgotten')));
    });

    test('environment: nodes see only what the pool was given', async () => {
      assert.deepEqual(await pool.run(act('env')), { result: [] });
    });

    test('bytes: 50 MB come out whole, and what the caller passed in stays usable', async () => {
      const given = { large: new Uint8Array(3_000_000).fill(7) };
      const output = (await pool.run(act('bytes', 50_000_000, { value: given }))) as {
        result: { bytes: Uint8Array; list: unknown; buffer: ArrayBuffer; got: typeof given };
      };
      const { bytes, list, buffer, got } = output.result;
      assert.equal(bytes.length, 50_000_000);
      assert.ok(bytes instanceof Uint8Array);
      for (let i = 0; i < bytes.length; i += 4096) assert.equal(bytes[i], (i / 4096) % 256);
      assert.deepEqual(list, [{ small: new Uint8Array([1, 2, 3]) }]);
      assert.equal(buffer.byteLength, 5);
      assert.deepEqual(got.large, given.large);
      assert.equal(given.large.length, 3_000_000);
    });

    test('close: running and waiting tasks are cut off, later ones refused', async (t) => {
      const pool = await startPool(t, { shared: { tasksPerThread: 1 } });
      const { started, hooks } = untilStarted();
      const running = failure(pool.run(act('busy'), hooks));
      await started;
      const waiting = failure(pool.run(act('nothing')));
      const closing = pool.close({ graceMs: 100 });
      assert.equal((await failure(pool.run(act('nothing')))).code, 'POOL_CLOSED');
      for (const error of [await running, await waiting]) {
        assert.equal(error.code, 'NODE_CUT_OFF');
        assert.equal(error.details?.reason, 'closing');
      }
      await closing;
      assert.deepEqual(pool.stats()[lane].threads, 0);
    });

    test('close: a task that ends within the grace time keeps its result', async (t) => {
      const pool = await startPool(t);
      const { started, hooks } = untilStarted();
      const running = pool.run(act('wait', 50), hooks);
      await started;
      await pool.close({ graceMs: 10_000 });
      assert.deepEqual(await running, { result: 'waited' });
    });
  });
}
