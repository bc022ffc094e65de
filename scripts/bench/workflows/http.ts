import { Agent, request } from 'node:http';
import { startBenchServer } from '../server.ts';
import { percentile, printTable } from '../table.ts';
import { small } from './graphs.ts';

type Json = Record<string, unknown>;

/** Completed executions over HTTP: every client posts one, asks until it is completed, and posts the next. */
export async function overHttp(seconds: number): Promise<void> {
  const server = await startBenchServer();
  const agent = new Agent({ keepAlive: true, maxSockets: 128 });
  let token = '';
  const call = (method: string, path: string, body?: Json | URLSearchParams): Promise<Json> =>
    new Promise((resolve, reject) => {
      const form = body instanceof URLSearchParams;
      const content = body === undefined ? undefined : form ? body.toString() : JSON.stringify(body);
      const sent = request(
        `${server.url}/api/v1${path}`,
        {
          method,
          agent,
          headers: {
            ...(token !== '' && { authorization: `Bearer ${token}` }),
            ...(content !== undefined && {
              'content-type': form ? 'application/x-www-form-urlencoded' : 'application/json',
              'content-length': Buffer.byteLength(content),
            }),
          },
        },
        (response) => {
          let text = '';
          response.setEncoding('utf8').on('data', (chunk: string) => {
            text += chunk;
          });
          response.on('end', () => {
            if ((response.statusCode ?? 500) < 300) resolve(JSON.parse(text) as Json);
            else reject(new Error(`${method} ${path}: ${response.statusCode} ${text.slice(0, 200)}`));
          });
        },
      );
      sent.on('error', reject);
      sent.end(content);
    });
  try {
    const person = { username: 'bench', password: 'password123' };
    await call('POST', '/auth/register', { ...person, email: 'bench@example.com' });
    token = String((await call('POST', '/auth/login', new URLSearchParams(person))).access_token);
    const { id } = await call('POST', '/workflows', { name: 'bench', ...small });
    const once = async (pauseMs: number) => {
      const begin = performance.now();
      const started = await call('POST', `/workflows/${id}/execute`, { input_data: { text: 'x', n: 1 } });
      for (;;) {
        const { status } = await call('GET', `/executions/${started.id}/status`);
        if (status === 'completed') return performance.now() - begin;
        if (status === 'failed') throw new Error('an execution failed');
        await new Promise((resolve) => setTimeout(resolve, pauseMs));
      }
    };
    for (let warm = 0; warm < 300; warm += 1) await once(0);
    const rows: (string | number)[][] = [['over HTTP, clients', 'completed/s', 'p50', 'p99', 'server MiB']];
    for (const clients of [1, 16, 64]) {
      const times: number[] = [];
      // Many clients that ask without a pause would measure how they ask.
      const pauseMs = clients === 1 ? 0 : clients;
      const begin = performance.now();
      const worker = async () => {
        while (performance.now() - begin < seconds * 1000) times.push(await once(pauseMs));
      };
      await Promise.all(Array.from({ length: clients }, worker));
      const rate = times.length / ((performance.now() - begin) / 1000);
      const [p50, p99] = [percentile(times, 0.5), percentile(times, 0.99)];
      rows.push([
        clients,
        Math.round(rate),
        `${p50.toFixed(1)} ms`,
        `${p99.toFixed(1)} ms`,
        Math.round(server.memory()),
      ]);
    }
    printTable(rows);
  } finally {
    agent.destroy();
    await server.stop();
  }
}
