import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { connectDatabase } from '../../core/data/connect.ts';
import { createLogger } from '../../core/log.ts';
import type { Principal } from '../../core/principal.ts';
import { defineRunKind, type RunKind } from '../../core/run-kind.ts';
import { createRuns, eventJson, type Runs } from '../../runtime/runs/index.ts';
import { openStore } from '../../runtime/store/index.ts';

const HELP = `Usage: node scripts/bench.ts runs [--seconds N]

Durable runs on the embedded store in a temporary folder: events per second, runs per second with three nodes each, and
the fan-out of one run's events to followers in this process.

  --seconds N   time per figure, default 5
`;

interface EventInput {
  events: number;
}

const principal: Principal = { kind: 'system', accountId: 'bench', tenantId: 'bench', roles: [] };

/** Appends events of a usual size, and lets the store catch up now and then as a token stream does. */
const writer = defineRunKind<EventInput, void>({
  kind: 'bench-events',
  async execute({ input, emit }) {
    for (let n = 1; n <= input.events; n += 1) {
      const stored = emit('text_chunk', { content: 'a few words of an answer', index: n, elapsed: 0.031 });
      if (n % 500 === 0) await stored;
    }
  },
});

const threeNodes = defineRunKind<{ text: string }, unknown>({
  kind: 'bench-nodes',
  async execute({ input, node }) {
    const start = await node('start', { type: 'start', input });
    const changed = await node('transform', { type: 'transform', input: start });
    return node('end', { type: 'end', input: changed });
  },
});

/** Measures the durable runs. */
export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: { seconds: { type: 'string', default: '5' }, help: { type: 'boolean', default: false } },
  });
  if (values.help) {
    console.log(HELP);
    return;
  }
  const ms = Number(values.seconds) * 1000;
  const folder = await mkdtemp(join(tmpdir(), 'koagent-bench-'));
  const store = await openStore({ folder });
  const log = createLogger('error');
  const database = await connectDatabase(store.uri, { log });
  const runs = createRuns({
    database,
    log,
    executor: { run: async ({ input }) => input },
    kinds: [writer, threeNodes] as unknown as RunKind[],
    options: { exclusive: true },
  });
  try {
    await database.ready();
    await runs.recover();
    const rows: Record<string, string | number>[] = [];
    for (const count of [1, 100]) rows.push(await appendRate(runs, count, ms));
    for (const concurrency of [1, 16, 64]) rows.push(await runRate(runs, concurrency, ms));
    for (const followers of [1, 100, 1000]) rows.push(await fanOut(runs, followers));
    console.table(rows);
  } finally {
    await runs.close();
    await database.close();
    await store.close();
    await rm(folder, { recursive: true, force: true });
  }
}

async function appendRate(runs: Runs, count: number, ms: number) {
  const events = Math.ceil(20_000 / count);
  return measured(`events appended, ${count} run(s) at once`, ms, events * count, async () => {
    await Promise.all(Array.from({ length: count }, () => carryOut(runs, 'bench-events', { events })));
  });
}

async function runRate(runs: Runs, concurrency: number, ms: number) {
  const each: number[] = [];
  const batch = Math.max(20, concurrency * 4);
  const row = await measured(`runs with 3 nodes, ${concurrency} at once`, ms, batch, async () => {
    let left = batch;
    const lane = async () => {
      while (left-- > 0) {
        const begin = performance.now();
        await carryOut(runs, 'bench-nodes', { text: 'input' });
        each.push(performance.now() - begin);
      }
    };
    await Promise.all(Array.from({ length: concurrency }, lane));
  });
  each.sort((a, b) => a - b);
  const at = (share: number) => Number((each[Math.floor(each.length * share)] ?? 0).toFixed(1));
  return { ...row, 'p50 ms': at(0.5), 'p99 ms': at(0.99) };
}

async function fanOut(runs: Runs, followers: number) {
  const events = 5000;
  let characters = 0;
  return measured(`deliveries of one run's events, ${followers} follower(s)`, 0, events * followers, async () => {
    const { id, logId } = await runs.start(principal, 'bench-events', { events });
    await Promise.all(
      Array.from({ length: followers }, async () => {
        for await (const event of runs.subscribe(principal, logId, 0)) {
          characters += eventJson(event).length;
          if (event.type.startsWith('run_') && event.type !== 'run_started') return;
        }
      }),
    );
    await runs.ended(principal, id);
    if (characters === 0) throw new Error('Nothing was delivered');
  });
}

const carryOut = async (runs: Runs, kind: string, input: unknown) => {
  const { id } = await runs.start(principal, kind, input);
  const ended = await runs.ended(principal, id);
  if (ended.status !== 'succeeded') throw new Error(`A run ended as ${ended.status}: ${ended.error?.code}`);
};

/** Repeats `work` for `ms` after one round that does not count. */
async function measured(what: string, ms: number, units: number, work: () => Promise<void>) {
  if (ms > 0) await work();
  const delay = monitorEventLoopDelay({ resolution: 5 });
  delay.enable();
  const cpu = process.cpuUsage();
  const begin = performance.now();
  let rounds = 0;
  do {
    await work();
    rounds += 1;
  } while (performance.now() - begin < ms);
  const seconds = (performance.now() - begin) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  delay.disable();
  return {
    what,
    'per second': Math.round((units * rounds) / seconds),
    'CPU ms per 1000': Number(((user + system) / rounds / units).toFixed(1)),
    'loop delay p99 ms': Number((delay.percentile(99) / 1e6).toFixed(1)),
    'RSS MB': Math.round(process.memoryUsage().rss / 2 ** 20),
  };
}
