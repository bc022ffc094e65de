import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type BenchServer, startBenchServer } from './server.ts';
import { percentile, printTable } from './table.ts';

const HELP = `Usage: npm run bench -- chat [--tokens N] [--pause MS] [--streams A,B,C]

Answers of a model endpoint (a process of this machine) forwarded to many clients at once. Overhead is what lies between the client and
the endpoint on the way there and back, up to the first token; "direct" asks the endpoint itself.

  --tokens N     tokens of one answer, default 200
  --pause MS     time between two tokens of the endpoint, default 50
  --streams L    answers at the same time, default 1,100,500
`;

/** Answers at once of one account: each account is a tenant with a limit of its own. */
const PER_ACCOUNT = 20;

interface Stream {
  /** Milliseconds to the first token, without what the endpoint itself took. */
  overhead: number;
  tokens: number;
}

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      tokens: { type: 'string', default: '200' },
      pause: { type: 'string', default: '50' },
      streams: { type: 'string', default: '1,100,500' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(HELP);
    return;
  }
  const tokens = Number(values.tokens);
  const counts = values.streams.split(',').map(Number);
  await measure({ tokens, pauseMs: Number(values.pause), counts });
  console.log();
  // As fast as it goes: what is forwarded a second, and what a token costs.
  await measure({ tokens, pauseMs: 0, counts: counts.filter((count) => count <= 100) });
}

async function measure({ tokens, pauseMs, counts }: { tokens: number; pauseMs: number; counts: number[] }) {
  const upstream = await startUpstream(tokens, pauseMs);
  const server = await startBenchServer({
    DEEPSEEK_API_KEY: 'bench',
    DEEPSEEK_BASE_URL: `${upstream.url}/v1`,
  });
  try {
    const logins = await accounts(server, Math.ceil(Math.max(...counts) / PER_ACCOUNT));
    const ask = (at: number) => () =>
      chat(`${server.url}/api/v1/chat/stream`, logins[at % logins.length] ?? '', {
        content: `question ${at}`,
        modelType: 'deepseek-v3',
      });
    const direct = () => chat(`${upstream.url}/v1/chat/completions`, '', { model: 'm', stream: true, messages: [] });
    await Promise.all(Array.from({ length: 20 }, (_, at) => ask(at)()));
    const rows: (string | number)[][] = [
      [
        pauseMs > 0 ? `${tokens} tokens, one every ${pauseMs} ms` : `${tokens} tokens, as fast as it goes`,
        'failed',
        'first token p50',
        'p99',
        'tokens/s',
        'direct',
        'CPU per 1000 tokens',
        'MiB per stream',
      ],
    ];
    for (const count of counts) {
      const alone = await together(Array.from({ length: count }, () => direct));
      const [cpu, memory] = [server.cpuSeconds(), server.memory()];
      let peak = memory;
      const sampler = setInterval(() => {
        peak = Math.max(peak, server.memory());
      }, 250);
      // One stream alone says little: the same again, one after another.
      const rounds = count === 1 ? (pauseMs > 0 ? 5 : 40) : 1;
      const results = [];
      for (let round = 0; round < rounds; round += 1)
        results.push(await together(Array.from({ length: count }, (_, at) => ask(at))));
      clearInterval(sampler);
      const streams = results.flatMap(({ streams: all }) => all);
      const total = streams.reduce((sum, stream) => sum + stream.tokens, 0);
      const seconds = results.reduce((sum, result) => sum + result.seconds, 0);
      const overheads = streams.map(({ overhead }) => overhead);
      rows.push([
        `${count} at once`,
        results.reduce((sum, { failed }) => sum + failed, 0),
        `${percentile(overheads, 0.5).toFixed(1)} ms`,
        `${percentile(overheads, 0.99).toFixed(1)} ms`,
        Math.round(total / seconds),
        Math.round((count * tokens) / alone.seconds),
        `${(((server.cpuSeconds() - cpu) / total) * 1_000_000).toFixed(0)} ms`,
        count === 1 ? '-' : Math.max(0, (peak - memory) / count).toFixed(2),
      ]);
    }
    printTable(rows);
  } finally {
    await server.stop();
    upstream.child.kill();
  }
}

/** Starts all at the same time and waits for the last. */
async function together(asks: (() => Promise<Stream>)[]) {
  const begin = performance.now();
  const outcomes = await Promise.allSettled(asks.map((ask) => ask()));
  const failures = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as Error] : []));
  if (failures[0] !== undefined) console.error(`failed: ${failures[0].message}`);
  return {
    seconds: (performance.now() - begin) / 1000,
    streams: outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : [])),
    failed: failures.length,
  };
}

const agent = new Agent({ keepAlive: false, maxSockets: 10_000 });

/** Reads one answer to its end. */
function chat(url: string, token: string, body: Record<string, unknown>): Promise<Stream> {
  return new Promise((resolve, reject) => {
    const begin = performance.timeOrigin + performance.now();
    const content = JSON.stringify(body);
    const sent = request(
      url,
      {
        method: 'POST',
        agent,
        headers: {
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(content),
          ...(token !== '' && { authorization: `Bearer ${token}` }),
        },
      },
      (response) => {
        let overhead = Number.NaN;
        let text = '';
        let counted = 0;
        response.setEncoding('utf8').on('data', (chunk: string) => {
          if (Number.isNaN(overhead)) {
            const marks = /@([\d.]+),([\d.]+)@/.exec(text + chunk);
            if (marks)
              overhead = performance.timeOrigin + performance.now() - begin - (Number(marks[2]) - Number(marks[1]));
          }
          text = (text + chunk).slice(-64_000);
          counted += chunk.split(' word').length - 1;
        });
        response.on('error', reject);
        response.on('end', () => {
          if (response.statusCode === 200 && text.includes('[DONE]') && !Number.isNaN(overhead))
            resolve({ overhead, tokens: counted + 1 });
          else reject(new Error(`${response.statusCode} ${text.slice(-300)}`));
        });
      },
    );
    sent.on('error', reject);
    sent.end(content);
  });
}

async function accounts({ url }: BenchServer, count: number): Promise<string[]> {
  const post = async (path: string, body: object) => {
    const response = await fetch(`${url}/api/v1${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as { data: { accessToken: string } };
  };
  const tokens: string[] = [];
  for (let number = 0; number < count; number += 1) {
    const login = { email: `chat-${number}@example.com`, password: 'password123' };
    await post('/auth/register', { ...login, name: 'bench' });
    tokens.push((await post('/auth/login', login)).data.accessToken);
  }
  return tokens;
}

async function startUpstream(tokens: number, pauseMs: number): Promise<{ url: string; child: ChildProcess }> {
  const file = join(import.meta.dirname, 'chat', 'upstream.ts');
  const child = spawn(process.execPath, [file, String(tokens), String(pauseMs)], {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
  if (child.stdout === null) throw new Error('the endpoint has no output');
  const [port] = (await once(child.stdout, 'data')) as [Buffer];
  return { url: `http://127.0.0.1:${port.toString().trim()}`, child };
}
