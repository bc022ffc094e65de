import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemPrincipal } from '../../../core/principal.ts';
import { startTestServer } from '../../support/app.ts';
import { startFakeOpenAI } from '../../support/fake-openai.ts';
import { startServerProcess } from '../../support/server-process.ts';
import { clientWith, manifestWith, type ReportClient, reportClient } from './client.ts';

// A server that is killed in the middle of a report, again and again, until the report is done.

const KILLS = process.env.KOAGENT_TEST_FULL ? 20 : 4;
const CHAPTERS = 12;

/** A small deterministic generator, so that a failing series can be repeated: KOAGENT_TEST_SEED. */
const random = (() => {
  let state = Number(process.env.KOAGENT_TEST_SEED ?? Date.now() % 1_000_000);
  console.log(`# seed ${state}`);
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return state / 2_147_483_648;
  };
})();

const freePort = async (): Promise<number> => {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as { port: number };
  probe.close();
  return port;
};

test(`kill -9: reports that are cut off ${KILLS} times are completed, nothing is written twice`, async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'koagent-kill-'));
  t.after(() => rmSync(dataDir, { recursive: true, force: true }));
  const openai = await startFakeOpenAI();
  t.after(() => openai.close());
  // Slow enough that a kill falls between chapters, quick enough that the report ends.
  openai.always(() => ({
    text: '本节内容[D1]。',
    gate: new Promise((resolve) => setTimeout(resolve, 100 + random() * 300)),
  }));
  const port = await freePort();
  const env = {
    PORT: String(port),
    KOAGENT_DATA_DIR: dataDir,
    KOAGENT_LOG_LEVEL: 'info',
    OPENAI_API_KEY: 'k',
    OPENAI_BASE_URL: openai.url,
    KOAGENT_MANIFEST: manifestWith(t, '{ chaptersAtOnce: 2 }'),
  };
  let child = await startServerProcess(env);
  t.after(() => child.kill());
  const client: ReportClient = await reportClient(child.url, 'bank-1');
  const units = Array.from({ length: CHAPTERS }, (_, at) => `ku_kill_${at}`);
  const { taskId } = await client.taskWithOutline(units);
  for (const unit of units) await client.confirmedPackage(taskId, unit, { 单元: unit, 收入: { 2021: 10, 2022: 12 } });

  for (let kill = 0; kill < KILLS; kill += 1) {
    // Every kill falls into a running report; one that got done in between is followed by another.
    const { status } = await client.ok('GET', `/tasks/${taskId}`);
    if (status !== 'GENERATING') await client.ok('POST', `/tasks/${taskId}/reports`, { title: `报告${kill}` });
    // Some kills hit the recovery or the start, some the chapters, some the rendering.
    await new Promise((resolve) => setTimeout(resolve, random() * 1800));
    await child.kill();
    child = await startServerProcess(env);
  }
  const messages = await (await client.progress(taskId, { lastEventId: 0 })).until();
  assert.equal(messages.at(-1)?.data.status, 'COMPLETED');
  const { reports } = await client.ok('GET', `/tasks/${taskId}`);
  for (const { reportId, status } of reports) {
    assert.equal(status, 'COMPLETED');
    assert.ok((await client.call('POST', `/reports/${reportId}/export`)).text.startsWith('%PDF'));
  }
  await child.kill();

  const reopened = await startTestServer(t, { KOAGENT_DATA_DIR: dataDir });
  const events = await reopened.server.runs.events(systemPrincipal('bank-1'), taskId.replace('task_', ''), 0, 100_000);
  assert.deepEqual(
    events.map(({ seq }) => seq),
    events.map((_, at) => at),
    'the log has no gap',
  );
  const runs = Map.groupBy(
    events.filter(({ type }) => type !== 'state' && !type.startsWith('task_')),
    ({ runId }) => runId,
  );
  const writing = [...runs.values()].filter((of) => of.some(({ type }) => type === 'chapter_done'));
  assert.equal(writing.length, reports.length);
  for (const of of writing) {
    const done = of.filter(({ type }) => type === 'chapter_done').map(({ data }) => String(data.nodeId));
    assert.deepEqual(done.toSorted(), units.map((_, at) => `node_${at + 1}`).toSorted());
    for (const type of ['report_rendered', 'run_succeeded', 'run_started']) {
      assert.equal(of.filter((event) => event.type === type).length, 1, type);
    }
    const { runId } = of[0] ?? { runId: '' };
    const shown = events
      .filter((event) => event.runId === runId && event.type === 'state')
      .map(({ data }) => Number(data.progress));
    assert.deepEqual(
      shown,
      shown.toSorted((a, b) => a - b),
      'progress never falls',
    );
  }
  assert.equal(events.filter(({ data }) => data.status === 'COMPLETED').length, reports.length);
  const resumed = events.filter(({ type }) => type === 'run_resumed').length;
  console.log(`# ${KILLS} kills, ${reports.length} reports, ${resumed} times taken up again`);
  assert.ok(resumed >= KILLS / 2, `only ${resumed} kills fell into a report`);
});

test('shutdown: a report that a stopping server lets go of is completed by the next one', async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'koagent-stop-'));
  t.after(() => rmSync(dataDir, { recursive: true, force: true }));
  const openai = await startFakeOpenAI();
  t.after(() => openai.close());
  const env = { KOAGENT_DATA_DIR: dataDir, OPENAI_API_KEY: 'k', OPENAI_BASE_URL: openai.url };
  const first = await startTestServer(t, env);
  const client = await reportClient(first.url, 'bank-1');
  const { taskId } = await client.taskWithOutline(['ku_001', 'ku_002']);
  for (const unit of ['ku_001', 'ku_002']) await client.confirmedPackage(taskId, unit);
  openai.reply({ text: '第一章。' });
  openai.always({ fault: 'silent' });
  await client.ok('POST', `/tasks/${taskId}/reports`, { title: '报告' });
  const stream = await client.progress(taskId);
  // One chapter is done, the other hangs in its model call.
  const seen = await stream.until(({ data }) => data.progress > 40);
  await first.server.close();

  openai.always({ text: '第二章。' });
  const second = await startTestServer(t, env);
  const again = clientWith(second.url, 'bank-1', client.token);
  const rest = await (await again.progress(taskId, { lastEventId: seen.at(-1)?.id ?? 0 })).until();
  assert.equal(rest.at(-1)?.data.status, 'COMPLETED');
  const events = await second.server.runs.events(systemPrincipal('bank-1'), taskId.replace('task_', ''), 0, 1000);
  assert.equal(events.filter(({ type }) => type === 'chapter_done').length, 2);
});
