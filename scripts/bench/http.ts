import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import autocannon from 'autocannon';
import Koa from 'koa';
import { ReportsClient } from '../demo/reports-client.ts';
import { startBenchServer } from './server.ts';
import { printTable } from './table.ts';

const SECONDS = 5;
const CONNECTIONS = 32;

/** Requests a second of `/health` and of an authenticated read, beside a bare Koa server in this process. */
export async function run(_args: string[]): Promise<void> {
  const bare = new Koa();
  bare.use((ctx) => {
    ctx.body = { success: true, status: 'ok', version: '1', timestamp: new Date().toISOString() };
  });
  const baseline = createServer(bare.callback());
  await new Promise<void>((resolve) => baseline.listen(0, '127.0.0.1', () => resolve()));
  const bareUrl = `http://127.0.0.1:${(baseline.address() as AddressInfo).port}/health`;
  const server = await startBenchServer();
  try {
    const client = await ReportsClient.register(server.url, 'bench');
    const { taskId } = await client.post('/tasks', { taskName: 'bench' });
    const base = await measure(bareUrl);
    const health = await measure(`${server.url}/api/v1/health`);
    const read = await measure(`${server.url}/api/v1/tasks/${taskId}`, client.headers);
    const row = (name: string, { requests, latency, non2xx }: autocannon.Result) => [
      name,
      Math.round(requests.average),
      (requests.average / base.requests.average).toFixed(2),
      `${latency.p50} ms`,
      `${latency.p99} ms`,
      non2xx,
    ];
    printTable([
      ['', 'requests/s', 'of bare Koa', 'p50', 'p99', 'not 2xx'],
      row('bare Koa, same answer', base),
      row('GET /health', health),
      row('GET /tasks/{id}, authenticated', read),
    ]);
  } finally {
    await server.stop();
    baseline.close();
  }
}

const measure = (url: string, headers: Record<string, string> = {}) =>
  autocannon({ url, headers, connections: CONNECTIONS, duration: SECONDS, workers: 1 });
