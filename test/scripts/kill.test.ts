import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemPrincipal } from '../../core/principal.ts';
import { type DemoNode, demoData } from '../../scripts/demo/data.ts';
import { callApi } from '../support/api-client.ts';
import { startTestServer } from '../support/app.ts';
import { type ServerProcess, startServerProcess } from '../support/server-process.ts';

const KILLS = 20;
const TENANT = 'bank';
/** From the request to a finished report it takes about a second; the kills are spread over that and a little beyond. */
const LATEST_KILL_MS = 1400;

/** The demo's outline has a text per section. */
const leavesOf = ({ nodeId, children = [] }: DemoNode): string[] =>
  children.length > 0 ? children.flatMap(leavesOf) : [nodeId];

test(`a report completes after SIGKILL at any moment: ${KILLS} random ones, no chapter twice, a log without gaps`, async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'koagent-kill-'));
  t.after(() => rmSync(dataDir, { recursive: true, force: true }));
  let server: ServerProcess = await startServerProcess({ KOAGENT_DATA_DIR: dataDir });
  t.after(() => server.kill());
  const account = { email: 'kill@example.com', password: 'Abc12345' };
  await callApi(server.url, 'POST', '/users/register', { body: account });
  const { access_token: token } = (await callApi(server.url, 'POST', '/users/login', { body: account })).body.data;
  const call = async (method: string, path: string, body?: unknown) => {
    const answer = await callApi(server.url, method, path, { token, tenant: TENANT, body });
    assert.equal(answer.status, 200, `${method} ${path}: ${answer.text}`);
    return answer.body.data;
  };

  const chapters = leavesOf(demoData.outline.rootNode);
  const tasks: string[] = [];
  let interrupted = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    const { taskId } = await call('POST', '/tasks', demoData.task);
    tasks.push(taskId);
    const { outlineId } = await call('POST', `/tasks/${taskId}/outline`, demoData.outline);
    await call('POST', `/outline/${outlineId}/confirm`, { confirmerId: 'u', confirmerName: '张三' });
    for (const entry of demoData.packages) {
      const { packageId } = await call('POST', `/tasks/${taskId}/data-packages`, entry);
      await call('POST', `/data-packages/${packageId}/confirm`);
    }
    const { reportId } = await call('POST', `/tasks/${taskId}/reports`, demoData.report);
    // The moment is the subject of the test, not a wait for something.
    await new Promise((resolve) => setTimeout(resolve, Math.random() * LATEST_KILL_MS));
    const before = await call('GET', `/tasks/${taskId}`);
    await server.kill();
    if (before.status === 'GENERATING') interrupted++;

    server = await startServerProcess({ KOAGENT_DATA_DIR: dataDir });
    // The stream ends with the task.
    const stream = await callApi(server.url, 'GET', `/tasks/${taskId}/progress`, { token, tenant: TENANT });
    assert.match(stream.text, /"status":"COMPLETED"/);
    const after = await call('GET', `/tasks/${taskId}`);
    assert.equal(after.status, 'COMPLETED', after.errorMessage);
    assert.deepEqual(
      after.reports.map(({ status }: { status: string }) => status),
      ['COMPLETED'],
    );
    const pdf = await callApi(server.url, 'POST', `/reports/${reportId}/export`, { token, tenant: TENANT });
    assert.equal(pdf.text.slice(0, 5), '%PDF-');
  }
  assert.ok(interrupted >= KILLS / 4, `only ${interrupted} of ${KILLS} kills hit a running report`);
  assert.equal(await server.stop(), 0);

  const { server: reader } = await startTestServer(t, { KOAGENT_DATA_DIR: dataDir });
  for (const taskId of tasks) {
    const logId = `${taskId.slice('task_'.length)}`;
    const events = await reader.runs.events(systemPrincipal(TENANT), logId, 0, 10_000);
    assert.deepEqual(
      events.map(({ seq }) => seq),
      events.map((_, at) => at),
      'gap-free',
    );
    const written = events.filter(({ type }) => type === 'chapter_done').map(({ data }) => String(data.nodeId));
    assert.deepEqual(written.sort(), [...chapters].sort(), 'each chapter once');
    const progress = events
      .filter(({ type, data }) => type === 'state' && data.status === 'GENERATING')
      .map(({ data }) => Number(data.progress));
    assert.deepEqual(
      progress,
      [...progress].sort((a, b) => a - b),
      'progress never falls',
    );
    assert.equal(events.filter(({ type }) => type === 'run_succeeded').length, 1, 'one terminal event');
  }
});
