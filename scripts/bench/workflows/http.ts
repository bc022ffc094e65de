import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import Koa from 'koa';
import { startBenchServer } from '../server.ts';
import { percentile, printTable } from '../table.ts';
import { type Client, createClient, repeat } from './client.ts';
import { small } from './graphs.ts';

const CLIENTS = [1, 16, 64];
/** So that what is measured is compiled. */
const WARM_EXECUTIONS = 2000;

/**
 * Completed executions over HTTP: every client posts one, asks until it is completed (every 2 ms, or as many as there are clients), and posts the next. Beside it a bare Koa server in
 * this process that answers a POST and a GET and does nothing.
 */
export async function overHttp(seconds: number): Promise<void> {
  const rows: (string | number)[][] = [
    ['over HTTP', 'clients', 'a second', 'of bare Koa', 'p50', 'p99', 'server CPU ms each', 'server MiB'],
  ];
  const bare = await bareRates(seconds);
  const row = (name: string, clients: number, times: number[], ms: number, more: (string | number)[]) => {
    const rate = times.length / (ms / 1000);
    const ratio = (rate / (bare.get(clients) ?? rate)).toFixed(2);
    const [p50, p99] = [percentile(times, 0.5), percentile(times, 0.99)];
    rows.push([name, clients, Math.round(rate), ratio, `${p50.toFixed(1)} ms`, `${p99.toFixed(1)} ms`, ...more]);
  };
  const server = await startBenchServer();
  const client = createClient(`${server.url}/api/v1`);
  try {
    const once = await prepare(client);
    await warmUp(once);
    for (const clients of CLIENTS) {
      const cpu = server.cpuSeconds();
      const begin = performance.now();
      // Clients that ask without a pause would measure how they ask.
      const times = await repeat(seconds * 1000, clients, () => once(Math.max(2, clients)));
      const ms = performance.now() - begin;
      const cpuMs = ((server.cpuSeconds() - cpu) * 1000) / times.length;
      row('durable executions', clients, times, ms, [cpuMs.toFixed(2), Math.round(server.memory())]);
    }
    for (const [clients, rate] of bare) rows.push(['bare Koa, POST and GET', clients, Math.round(rate), '1.00']);
    printTable(rows.map((cells) => [...cells, ...Array.from({ length: 8 - cells.length }, () => '')]));
  } finally {
    client.close();
    await server.stop();
  }
}

/** @returns carries one execution out, with a pause between two questions */
async function prepare(client: Client): Promise<(pauseMs: number) => Promise<void>> {
  const person = { username: 'bench', password: 'password123' };
  await client.call('POST', '/auth/register', { ...person, email: 'bench@example.com' });
  client.token = String((await client.call('POST', '/auth/login', new URLSearchParams(person))).access_token);
  const { id } = await client.call('POST', '/workflows', { name: 'bench', ...small });
  return async (pauseMs) => {
    const started = await client.call('POST', `/workflows/${id}/execute`, { input_data: { text: 'x', n: 1 } });
    for (;;) {
      const { status } = await client.call('GET', `/executions/${started.id}/status`);
      if (status === 'completed') return;
      if (status === 'failed') throw new Error('an execution failed');
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  };
}

async function warmUp(once: (pauseMs: number) => Promise<void>): Promise<void> {
  let left = WARM_EXECUTIONS;
  const worker = async () => {
    while (left-- > 0) await once(16);
  };
  await Promise.all(Array.from({ length: 16 }, worker));
}

/** Pairs of a POST and a GET a second, by clients. */
async function bareRates(seconds: number): Promise<Map<number, number>> {
  const koa = new Koa();
  koa.use((ctx) => {
    ctx.body = { id: '0f8fad5b-d9cb-469f-a165-70867728950e', status: 'completed', progress: 100, current_node: null };
  });
  const server = createServer(koa.callback());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  const client = createClient(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const pair = async () => {
    await client.call('POST', '/execute', { input_data: { text: 'x', n: 1 } });
    await client.call('GET', '/status');
  };
  try {
    await repeat(1000, 16, pair);
    const rates = new Map<number, number>();
    for (const clients of CLIENTS) {
      const begin = performance.now();
      const times = await repeat((seconds * 1000) / 2, clients, pair);
      rates.set(clients, times.length / ((performance.now() - begin) / 1000));
    }
    return rates;
  } finally {
    client.close();
    server.close();
  }
}
