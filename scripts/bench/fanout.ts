import { request } from 'node:http';
import { demoData } from '../demo/data.ts';
import { ReportsClient } from '../demo/reports-client.ts';
import { type BenchServer, startBenchServer } from './server.ts';
import { percentile, printTable } from './table.ts';

const CLIENTS = [1, 100, 1000];

/** The events of one report to many SSE clients at once: how long after the first the last client has each event. */
export async function run(_args: string[]): Promise<void> {
  const server = await startBenchServer();
  try {
    const rows: (string | number)[][] = [['clients', 'events each', 'spread p50', 'spread p99', 'report', 'memory']];
    for (const clients of CLIENTS) rows.push(await measure(server, clients));
    printTable(rows);
  } finally {
    await server.stop();
  }
}

async function measure(server: BenchServer, clients: number): Promise<(string | number)[]> {
  const client = await ReportsClient.register(server.url, `fan-${clients}-${Math.random().toString(36).slice(2)}`);
  const { taskId } = await client.post('/tasks', demoData.task);
  const { outlineId } = await client.post(`/tasks/${taskId}/outline`, demoData.outline);
  await client.post(`/outline/${outlineId}/confirm`, { confirmerId: 'b', confirmerName: 'b' });
  for (const entry of demoData.packages) {
    const { packageId } = await client.post(`/tasks/${taskId}/data-packages`, entry);
    await client.post(`/data-packages/${packageId}/confirm`, {});
  }
  // When each client had the event of an id.
  const arrivals = new Map<string, number[]>();
  const opened: Promise<void>[] = [];
  const ended: Promise<void>[] = [];
  for (let count = 0; count < clients; count++) {
    const { promise, resolve } = Promise.withResolvers<void>();
    opened.push(promise);
    ended.push(follow(`${server.url}/api/v1/tasks/${taskId}/progress`, client.headers, arrivals, resolve));
  }
  await Promise.all(opened);
  const started = performance.now();
  await client.post(`/tasks/${taskId}/reports`, demoData.report);
  await Promise.all(ended);
  const took = performance.now() - started;
  const complete = [...arrivals.values()].filter((times) => times.length === clients);
  const lost = [...arrivals.values()].length - complete.length;
  if (lost > 0) throw new Error(`${lost} events did not reach all ${clients} clients`);
  const spreads = complete.map((times) => Math.max(...times) - Math.min(...times)).slice(1);
  return [
    clients,
    complete.length,
    `${percentile(spreads, 0.5).toFixed(1)} ms`,
    `${percentile(spreads, 0.99).toFixed(1)} ms`,
    `${Math.round(took)} ms`,
    `${Math.round(server.memory())} MiB`,
  ];
}

function follow(
  url: string,
  headers: Record<string, string>,
  arrivals: Map<string, number[]>,
  onOpen: () => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { headers, agent: false }, (response) => {
      if (response.statusCode !== 200) reject(new Error(`progress: ${response.statusCode}`));
      let rest = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        onOpen();
        const now = performance.now();
        const lines = (rest + chunk).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) {
          if (!line.startsWith('id: ')) continue;
          arrivals.set(line, [...(arrivals.get(line) ?? []), now]);
        }
      });
      response.on('end', resolve);
      response.on('error', reject);
    });
    sent.on('error', reject);
    sent.end();
  });
}
