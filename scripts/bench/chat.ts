import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Ask, askAll, type Round, wish } from './chat/client.ts';
import { type BenchServer, startBenchServer } from './server.ts';
import { percentile, printTable } from './table.ts';

const HELP = `Usage: npm run bench -- chat [--tokens N] [--pause MS] [--streams A,B,C] [--rounds N]

Answers of a model endpoint (a process of this machine) forwarded to many clients. The overhead of a first token is what lies between the
client and the endpoint on the way there and back; "direct" is the same, asked of the endpoint itself. Processor time is that of the server
alone, threads and start of the answers included; of several rounds the one with the least counts, so that a busy machine matters less.

  --tokens N     tokens of one answer, default 200
  --pause MS     time between two tokens of the endpoint, default 50
  --streams L    answers at the same time, default 1,100,500
  --rounds N     repetitions of each, default 2
`;

/** Answers at once of one account: each account is a tenant with a limit of its own. */
const PER_ACCOUNT = 20;
/** Code that has run a few times only is slow: what a server does in its first minute is not what is asked here. */
const WARM_UP = { alone: 150, together: 100 };
/** Answers one after another, for the time to the first token. */
const ONE_BY_ONE = 100;

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      tokens: { type: 'string', default: '200' },
      pause: { type: 'string', default: '50' },
      streams: { type: 'string', default: '1,100,500' },
      rounds: { type: 'string', default: '2' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(HELP);
    return;
  }
  const [tokens, pauseMs, rounds] = [values.tokens, values.pause, values.rounds].map(Number) as [
    number,
    number,
    number,
  ];
  const counts = values.streams.split(',').map(Number);
  const endpoint = await startEndpoint();
  const server = await startBenchServer({ DEEPSEEK_API_KEY: 'bench', DEEPSEEK_BASE_URL: `${endpoint.url}/v1` });
  try {
    const bench = new Bench(server, endpoint.url, await accounts(server, Math.ceil(Math.max(...counts) / PER_ACCOUNT)));
    await bench.warmUp();
    await bench.firstTokens();
    await bench.forward(`at once, ${wish(tokens, pauseMs)}`, { counts, tokens, pauseMs, rounds });
    const many = counts.filter((count) => count > 1);
    // In the end all of them are under way, as on a server that is in use.
    const spread = { counts: many, tokens, pauseMs, rounds, spreadMs: tokens * pauseMs };
    await bench.forward('one after another, until all are under way', spread);
    const fast = { counts: counts.filter((count) => count <= 100), tokens, pauseMs: 0, rounds };
    await bench.forward('at once, as fast as it goes', fast);
  } finally {
    await server.stop();
    endpoint.child.kill();
  }
}

interface Load {
  counts: readonly number[];
  tokens: number;
  pauseMs: number;
  rounds: number;
  /** The begins are spread over so long. */
  spreadMs?: number;
}

class Bench {
  readonly #server: BenchServer;
  readonly #endpoint: string;
  readonly #tokens: readonly string[];

  constructor(server: BenchServer, endpoint: string, tokens: readonly string[]) {
    this.#server = server;
    this.#endpoint = endpoint;
    this.#tokens = tokens;
  }

  async warmUp(): Promise<void> {
    for (let at = 0; at < WARM_UP.alone; at += 1) await this.#ask(1, 3, 0);
    await this.#ask(WARM_UP.together, 40, 5);
  }

  /** One answer at a time. */
  async firstTokens(): Promise<void> {
    const measure = async (name: string, round: () => Promise<Round>) => {
      const overheads: number[] = [];
      for (let at = 0; at < ONE_BY_ONE; at += 1)
        for (const { overhead } of (await round()).answers) overheads.push(overhead);
      return [name, ...[0.1, 0.5, 0.99].map((share) => `${percentile(overheads, share).toFixed(1)} ms`)];
    };
    printTable([
      ['first token, one answer at a time', 'p10', 'p50', 'p99'],
      await measure('overhead of the server', () => this.#ask(1, 5, 5)),
      await measure('direct', () => this.#direct(1, 5, 5)),
    ]);
    console.log();
  }

  async forward(title: string, { counts, tokens, pauseMs, rounds, spreadMs = 0 }: Load): Promise<void> {
    const rows: (string | number)[][] = [
      [title, 'failed', 'first token p50', 'p99', 'tokens/s', 'of direct', 'CPU of 1000 tokens', 'MiB per stream'],
    ];
    for (const count of counts) {
      const everyMs = spreadMs / count;
      const direct = rateOf(await this.#direct(count, tokens, pauseMs, everyMs));
      const results = [];
      for (let round = 0; round < rounds; round += 1)
        results.push(await this.#watched(count, tokens, pauseMs, everyMs));
      const overheads = results.flatMap(({ answers }) => answers.map(({ overhead }) => overhead));
      const rate = Math.max(...results.map(rateOf));
      rows.push([
        `${count} answers`,
        results.reduce((sum, { failures }) => sum + failures.length, 0),
        `${percentile(overheads, 0.5).toFixed(1)} ms`,
        `${percentile(overheads, 0.99).toFixed(1)} ms`,
        Math.round(rate),
        `${((100 * rate) / direct).toFixed(0)} %`,
        `${Math.min(...results.map(({ cpuMs }) => cpuMs)).toFixed(0)} ms`,
        count === 1 ? '-' : (Math.max(...results.map(({ grownMiB }) => grownMiB)) / count).toFixed(2),
      ]);
    }
    printTable(rows);
    console.log();
  }

  /** A round with what it cost the server. */
  async #watched(count: number, tokens: number, pauseMs: number, everyMs: number) {
    const server = this.#server;
    const [cpu, memory] = [server.cpuSeconds(), server.memory()];
    let peak = memory;
    const sampler = setInterval(() => {
      peak = Math.max(peak, server.memory());
    }, 250);
    const round = await this.#ask(count, tokens, pauseMs, everyMs);
    clearInterval(sampler);
    const total = round.answers.reduce((sum, answer) => sum + answer.tokens, 0);
    return { ...round, cpuMs: ((server.cpuSeconds() - cpu) / total) * 1_000_000, grownMiB: peak - memory };
  }

  #ask(count: number, tokens: number, pauseMs: number, everyMs = 0): Promise<Round> {
    const url = `${this.#server.url}/api/v1/chat/stream`;
    const asks = Array.from({ length: count }, (_, at): Ask => {
      const content = `question ${at}: ${wish(tokens, pauseMs)}`;
      return { url, token: this.#tokens[at % this.#tokens.length] ?? '', body: { content, modelType: 'deepseek-v3' } };
    });
    return reported(askAll(asks, everyMs));
  }

  #direct(count: number, tokens: number, pauseMs: number, everyMs = 0): Promise<Round> {
    const messages = [{ role: 'user', content: wish(tokens, pauseMs) }];
    const ask = {
      url: `${this.#endpoint}/v1/chat/completions`,
      token: '',
      body: { model: 'm', stream: true, messages },
    };
    return reported(
      askAll(
        Array.from({ length: count }, () => ask),
        everyMs,
      ),
    );
  }
}

const rateOf = ({ answers, seconds }: Round): number => answers.reduce((sum, { tokens }) => sum + tokens, 0) / seconds;

async function reported(round: Promise<Round>): Promise<Round> {
  const [first] = (await round).failures;
  if (first) console.error(`failed: ${first.message}`);
  return round;
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

async function startEndpoint(): Promise<{ url: string; child: ChildProcess }> {
  const file = join(import.meta.dirname, 'chat', 'endpoint.ts');
  const child = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
  if (child.stdout === null) throw new Error('the endpoint has no output');
  const [port] = (await once(child.stdout, 'data')) as [Buffer];
  return { url: `http://127.0.0.1:${port.toString().trim()}`, child };
}
