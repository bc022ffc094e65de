import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startTestServer, type TestServer } from '../../support/app.ts';
import { type ReportClient, reportClient } from './client.ts';

// Requests at the edges of the documented rules, against the offline model.

const closers: (() => Promise<void>)[] = [];
const owner = { after: (close: unknown) => void closers.unshift(close as () => Promise<void>) };
let server: TestServer;
let client: ReportClient;

before(async () => {
  server = await startTestServer(owner);
  client = await reportClient(server.url, 'bank-edge');
});

after(async () => {
  for (const close of closers) await close();
});

const newTask = async (): Promise<string> => (await client.ok('POST', '/tasks', { taskName: '贷前调查' })).taskId;

test('progress: a reconnect with the current id of a waiting task gets the current state at once', async () => {
  const taskId = await newTask();
  const first = await client.progress(taskId);
  const current = await first.next();
  first.close();
  const again = await client.progress(taskId, { lastEventId: current?.id ?? -1 });
  assert.equal(again.status, 200);
  const repeated = await again.next();
  assert.deepEqual(repeated, current);
  await client.ok('POST', `/tasks/${taskId}/outline`, { title: '大纲', rootNode: { nodeId: 'r', title: 'r' } });
  const next = await again.next();
  assert.equal(next?.data.status, 'PENDING_OUTLINE_CONFIRM');
  assert.ok((next?.id ?? 0) > (current?.id ?? 0));
  again.close();
});
