import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { RunEvent } from '../../../runtime/runs/index.ts';
import { gapFree } from '../../runtime/runs/harness.ts';
import { type Answer, type SeenRequest, startFakeOpenAI } from '../../support/fake-openai.ts';
import { assertWhole, dataOf, me, textSoFar } from './loop-harness.ts';
import { openKilled, RUN_IDS } from './loop-kill-child.ts';

const KILLS = process.env.KOAGENT_TEST_FULL ? 40 : 6;
const CHILD = fileURLToPath(new URL('./loop-kill-child.ts', import.meta.url));
const ROUNDS = 3;

/** Some rounds of tools, then the answer. */
const scripted = ({ body }: SeenRequest): Answer => {
  const rounds = body.messages.filter(({ role }: { role: string }) => role === 'assistant').length;
  const afterFirst = delay(20 + Math.random() * 60);
  const text = [`round `, `${rounds} `, 'of it'];
  if (rounds === ROUNDS) return { thinking: 'so', text, afterFirst };
  const note = (n: number) => ({ id: `call_${n}`, name: 'note', arguments: `{"text":"${rounds}.${n}"}` });
  return { text, toolCalls: [note(1), note(2)], afterFirst };
};

test('SIGKILL in the middle of answers and tool loops: every answer ends right, its log is whole and takes nothing back', async (t) => {
  await using openai = await startFakeOpenAI();
  openai.always(scripted);
  const folder = await mkdtemp(join(tmpdir(), 'koagent-kill-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const seen = new Map<string, Map<number, RunEvent>>(RUN_IDS.map((id) => [id, new Map()]));

  /** One life, killed after so many new lines of output. Resolves with whether it came to its end. */
  const live = (killAfter: number) =>
    new Promise<boolean>((resolve, reject) => {
      const child = spawn(process.execPath, [CHILD, folder, openai.url], { stdio: ['ignore', 'pipe', 'inherit'] });
      let count = 0;
      let done = false;
      createInterface(child.stdout).on('line', (line) => {
        if (line === 'done') done = true;
        if (!line.startsWith('{')) return;
        const event = JSON.parse(line) as RunEvent;
        const events = seen.get(event.logId);
        const known = events?.get(event.seq);
        if (known) assert.deepEqual(event, known);
        else count += 1;
        events?.set(event.seq, event);
        if (count === killAfter) child.kill('SIGKILL');
      });
      child.on('error', reject);
      child.on('close', (code, signal) => {
        if (signal === 'SIGKILL' || code === 0) resolve(done);
        else reject(new Error(`The child ended with code ${code}`));
      });
    });

  let kills = 0;
  while (kills < KILLS && !(await live(3 + Math.ceil(Math.random() * 25)))) kills += 1;
  const loop = await openKilled(folder, openai.url);
  t.after(() => loop.dispose());
  const text = Array.from({ length: ROUNDS + 1 }, (_, n) => `round ${n} of it`).join('\n\n');
  let rewritten = 0;
  for (const id of RUN_IDS) {
    await loop.start({ message: id, mode: 'deep' }, id);
    const { run, events, answer } = await loop.ended(id);
    assert.equal(run.status, 'succeeded', JSON.stringify(run.error));
    assert.equal(answer?.text, text);
    assert.equal(answer?.toolCalls, 2 * ROUNDS);
    assertWhole(events);
    assert.equal(textSoFar(events), text);
    rewritten += dataOf(events, 'system_message').length;
    const all = await loop.runs.events(me, id, 0, 100_000);
    assert.ok(gapFree(all));
    for (const [seq, event] of seen.get(id) ?? []) assert.deepEqual(JSON.parse(JSON.stringify(all[seq])), event);
  }
  // A call may be carried out again after a kill, but always with the same key and the same arguments.
  const effects = existsSync(join(folder, 'effects'))
    ? readFileSync(join(folder, 'effects'), 'utf8').trim().split('\n')
    : [];
  assert.equal(new Set(effects).size, RUN_IDS.length * 2 * ROUNDS);
  assert.ok(effects.length <= RUN_IDS.length * 2 * ROUNDS + kills * 2 * RUN_IDS.length);
  t.diagnostic(`${kills} kills, ${rewritten} parts of answers written anew, ${effects.length} calls of tools`);
});
