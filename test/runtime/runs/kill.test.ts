import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { RunEvent } from '../../../runtime/runs/index.ts';
import { allEvents, gapFree, types } from './harness.ts';
import { me, openKilled, RUN_IDS, STEPS } from './kill-child.ts';

const KILLS = process.env.KOAGENT_TEST_FULL ? 60 : 8;
const CHILD = fileURLToPath(new URL('./kill-child.ts', import.meta.url));

test('SIGKILL: runs on the embedded store end right, nothing twice, and no event that was seen is ever taken back', async (t) => {
  let killed = 0;
  let rounds = 0;
  while (killed < KILLS) {
    rounds += 1;
    killed += await round(t, KILLS - killed);
  }
  t.diagnostic(`${killed} kills in ${rounds} rounds`);
});

/** Kills the process of a set of runs again and again until they have ended. Resolves with the number of kills. */
async function round(t: TestContext, most: number): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'koagent-kill-'));
  let last: Awaited<ReturnType<typeof openKilled>> | undefined;
  t.after(async () => {
    await last?.dispose();
    await rm(folder, { recursive: true, force: true });
  });
  const seen = new Map<string, Map<number, RunEvent>>(RUN_IDS.map((id) => [id, new Map()]));
  let killed = 0;
  let replayed = 0;

  /** One life: killed after so many lines of output. Resolves with whether it came to its end. */
  const live = (killAfter: number) =>
    new Promise<boolean>((resolve, reject) => {
      const child = spawn(process.execPath, [CHILD, folder], { stdio: ['ignore', 'pipe', 'inherit'] });
      let count = 0;
      let done = false;
      createInterface(child.stdout).on('line', (line) => {
        count += 1;
        if (count === killAfter) child.kill('SIGKILL');
        if (line === 'done') done = true;
        if (!line.startsWith('{')) return;
        const event = JSON.parse(line) as RunEvent;
        const known = seen.get(event.logId)?.get(event.seq);
        if (known) assert.deepEqual(event, known);
        seen.get(event.logId)?.set(event.seq, event);
      });
      child.on('error', reject);
      child.on('close', (code, signal) => {
        if (signal === 'SIGKILL') {
          killed += 1;
          resolve(done);
        } else if (code === 0) resolve(done);
        else reject(new Error(`The child ended with code ${code}`));
      });
    });

  // The output of the lives before is replayed, so each life gets a little further before it is killed.
  while (killed < most && !(await live(replayed + Math.ceil(Math.random() * 20)))) {
    replayed = [...seen.values()].reduce((sum, events) => sum + events.size, 0);
  }
  const runs = await openKilled(folder);
  last = runs;
  let attempts = 0;
  for (const [n, id] of RUN_IDS.entries()) {
    await runs.start(me, 'killed', { n }, { id, events: [{ type: 'asked', data: {} }] });
    const run = await runs.ended(me, id);
    attempts = Math.max(attempts, run.attempt);
    assert.equal(run.status, 'succeeded', JSON.stringify(run.error));
    assert.equal(run.result, (STEPS * (STEPS - 1)) / 2 + 3 + n);
    const events = await allEvents(runs, id);
    assert.ok(gapFree(events));
    const all = types(events);
    assert.deepEqual(all.slice(0, 2), ['asked', 'run_started']);
    assert.equal(all.at(-1), 'run_succeeded');
    assert.equal(all.filter((type) => type === 'run_succeeded').length, 1);
    assert.deepEqual(
      events.filter(({ type }) => type === 'step_done').map(({ data }) => data.at),
      Array.from({ length: STEPS }, (_, at) => at),
    );
    for (const [seq, event] of seen.get(id) ?? []) {
      assert.deepEqual(JSON.parse(JSON.stringify(events[seq])), event, `${id} ${seq}`);
    }
  }
  assert.ok(killed < 4 || attempts >= 2, `${killed} kills, at most ${attempts} attempts`);
  return killed;
}
