import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { getPriority } from 'node:os';
import { suite, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { failure, fixture, startPool, task, untilStarted } from './support.ts';

const act = (what: string, count = 1, input: unknown = {}, extra = {}) =>
  task('test.act-isolated', { what, count }, input, extra);

suite('isolated process', { concurrency: false }, () => {
  test('starts with the first task, is kept, and ends when idle', async (t) => {
    const pool = await startPool(t, { isolated: { idleMs: 150 } });
    assert.equal(pool.stats().isolated.pid, undefined);
    await pool.run(act('nothing'));
    const { pid } = pool.stats().isolated;
    assert.ok(pid !== undefined && pid !== process.pid);
    await pool.run(act('nothing'));
    assert.equal(pool.stats().isolated.pid, pid);
    await until(() => isGone(pid));
    assert.equal(pool.stats().isolated.pid, undefined);
    assert.deepEqual(await pool.run(act('nothing')), { result: 'nothing' });
    assert.equal(pool.stats().isolated.restarts, 0);
  });

  test('its threads leave the processor to those that answer requests', async (t) => {
    const pool = await startPool(t);
    const own = getPriority();
    assert.deepEqual(await pool.run(task('test.act', { what: 'priority' })), { result: own });
    assert.deepEqual(await pool.run(act('priority')), { result: Math.min(19, own + 10) });
  });

  test('SIGKILL in the middle: its tasks are cut off, repeated they succeed, and the shared lane notices nothing', async (t) => {
    const pool = await startPool(t, { isolated: { threads: 2 } });
    const shared = untilStarted();
    const neighbour = pool.run(task('test.act', { what: 'wait', count: 1500 }), shared.hooks);
    await shared.started;
    const given = [act('wait', 60_000), act('wait', 60_000)];
    const starts = given.map(() => untilStarted());
    const runs = given.map((one, i) => failure(pool.run(one, starts[i]?.hooks)));
    await Promise.all(starts.map(({ started }) => started));
    const { pid } = pool.stats().isolated;
    assert.ok(pid !== undefined);
    process.kill(pid, 'SIGKILL');
    for (const error of await Promise.all(runs)) {
      assert.equal(error.code, 'NODE_CUT_OFF');
      assert.deepEqual(error.details, { reason: 'process', attempt: 1, alone: false, cause: 'signal SIGKILL' });
    }
    const again = await Promise.all(
      given.map((one) => pool.run({ ...one, attempt: 2, config: { what: 'wait', count: 10 } })),
    );
    assert.deepEqual(again, [{ result: 'waited' }, { result: 'waited' }]);
    assert.deepEqual(await neighbour, { result: 'waited' });
    assert.equal(pool.stats().isolated.restarts, 1);
  });

  for (const what of ['grow-map', 'grow-array', 'grow-buffers']) {
    test(`memory: ${what} without end is cut off, and the server goes on`, async (t) => {
      const pool = await startPool(t, { isolated: { memoryMb: 320 } });
      const error = await failure(pool.run(act(what, 1, {}, { timeoutMs: 60_000 })));
      assert.equal(error.code, 'NODE_CUT_OFF');
      assert.equal(error.details?.alone, true);
      assert.deepEqual(await pool.run(act('nothing')), { result: 'nothing' });
    });
  }

  test('quarantine: who kills the process twice does not take others along a second time', async (t) => {
    const pool = await startPool(t, { isolated: { threads: 3 } });
    const guilty = act('kill-process');
    const innocents = [act('wait', 60_000), act('wait', 60_000)];
    const first = await Promise.all([guilty, ...innocents].map((one) => failure(pool.run(one))));
    assert.deepEqual(
      first.map(({ code, details }) => [code, details?.alone]),
      [
        ['NODE_CUT_OFF', false],
        ['NODE_CUT_OFF', false],
        ['NODE_CUT_OFF', false],
      ],
    );
    const repeat = { attempt: 2 };
    const [again, ...rest] = await Promise.all([
      failure(pool.run({ ...guilty, ...repeat })),
      ...innocents.map((one) => pool.run({ ...one, ...repeat, config: { what: 'wait', count: 200 } })),
      pool.run(act('wait', 200)),
    ]);
    assert.equal(again.code, 'NODE_CUT_OFF');
    assert.equal(again.details?.alone, true);
    assert.deepEqual(rest, [{ result: 'waited' }, { result: 'waited' }, { result: 'waited' }]);
  });

  // Deno takes no options from the environment.
  const skip = 'Deno' in globalThis;
  test('a process that cannot start: everybody is told, and close ends', { skip }, async (t) => {
    const pool = await startPool(t, { env: { NODE_OPTIONS: '--no-such-option' } });
    const errors = await Promise.all([1, 2, 3, 4, 5, 6].map(() => failure(pool.run(act('nothing')))));
    for (const { code, details } of errors) assert.deepEqual([code, details?.reason], ['NODE_CUT_OFF', 'start']);
  });

  test('cancel while the process starts ends at once', async (t) => {
    const pool = await startPool(t);
    const controller = new AbortController();
    const run = failure(pool.run(act('wait', 60_000), {}, controller.signal));
    await setTimeout(0);
    controller.abort();
    assert.equal((await run).code, 'NODE_CANCELLED');
    assert.deepEqual(await pool.run(act('nothing')), { result: 'nothing' });
  });

  test('close: the process is gone', async (t) => {
    const pool = await startPool(t);
    await pool.run(act('nothing'));
    const { pid } = pool.stats().isolated;
    await pool.close();
    assert.ok(pid !== undefined && isGone(pid));
  });

  test('the process dies with its parent, even from SIGKILL and in a busy loop', async () => {
    const parent = spawn(process.execPath, [fileURLToPath(fixture('pool-parent.ts'))], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = await once(parent.stdout, 'data');
    const pid = Number(String(line).trim());
    assert.ok(pid > 0 && !isGone(pid));
    parent.kill('SIGKILL');
    await until(() => isGone(pid));
  });
});

/** No process, or one that has ended and nobody has waited for. */
function isGone(pid: number): boolean {
  try {
    return /^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch (error) {
    if (process.platform === 'linux') return (error as NodeJS.ErrnoException).code === 'ENOENT';
  }
  try {
    return !process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}

/** For what sends no event: the end of a process that is not a child of ours. */
async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 500; i += 1) {
    if (condition()) return;
    await setTimeout(20);
  }
  assert.fail('not within 10 s');
}
