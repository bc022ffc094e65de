import { monitorEventLoopDelay } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { MessageChannel } from 'node:worker_threads';
import { Piscina } from 'piscina';
import { createLogger } from '../../core/log.ts';
import { systemPrincipal } from '../../core/principal.ts';
import { createPool, type Pool, type PoolHooks } from '../../runtime/pool/index.ts';
import { percentile, printTable } from './table.ts';

const help = `Usage: npm run bench -- pool [--seconds <n>]

Measures the worker lanes, and bare Piscina in the same run. --seconds: length of each measurement (2).`;

const THREADS = 2;
const IN_FLIGHT = 64;
const file = (name: string) => new URL(`./pool/${name}.ts`, import.meta.url).href;

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: { seconds: { type: 'string', default: '2' }, help: { type: 'boolean' } },
  });
  if (values.help) return console.log(help);
  const ms = Number(values.seconds) * 1000;
  const pool = await createPool({
    log: createLogger('error'),
    nodes: ['noop', 'noop-isolated', 'work', 'work-isolated'].map(file),
    shared: { threads: THREADS, tasksPerThread: IN_FLIGHT / THREADS },
    isolated: { threads: THREADS },
  });
  try {
    await measureTasks(pool, ms);
    await measureData(pool, ms);
    await measureDelay(pool, ms);
  } finally {
    await pool.close({ graceMs: 0 });
  }
}

async function measureTasks(pool: Pool, ms: number): Promise<void> {
  const piscina = new Piscina({
    filename: file('noop-task'),
    minThreads: THREADS,
    maxThreads: THREADS,
    concurrentTasksPerWorker: IN_FLIGHT / THREADS,
    atomics: 'async',
  });
  const withPort = async (n: number) => {
    const { port1, port2 } = new MessageChannel();
    const answer = new Promise((resolve) => port1.once('message', resolve));
    await piscina.run({ value: { n }, port: port2 }, { transferList: [port2], name: 'withPort' });
    await answer;
    port1.close();
  };
  const bare = await rate(ms, IN_FLIGHT, (n) => piscina.run({ n }));
  const port = await rate(ms, IN_FLIGHT, withPort);
  const shared = await rate(ms, IN_FLIGHT, (n) => call(pool, 'bench.noop', {}, { n }));
  const bareAlone = await rate(ms, 1, (n) => piscina.run({ n }));
  const sharedAlone = await rate(ms, 1, (n) => call(pool, 'bench.noop', {}, { n }));
  const isolated = await rate(ms, THREADS, (n) => call(pool, 'bench.noop-isolated', {}, { n }));
  const isolatedAlone = await rate(ms, 1, (n) => call(pool, 'bench.noop-isolated', {}, { n }));
  await piscina.destroy();
  const row = (what: string, inFlight: number, { perSecond, p50, p99 }: Rate, base: Rate) => [
    what,
    inFlight,
    perSecond.toFixed(0),
    (perSecond / base.perSecond).toFixed(2),
    p50.toFixed(3),
    p99.toFixed(3),
  ];
  printTable([
    ['no-op tasks', 'in flight', 'tasks/s', 'ratio', 'p50 ms', 'p99 ms'],
    row('bare Piscina', IN_FLIGHT, bare, bare),
    row('bare Piscina, a port per task', IN_FLIGHT, port, bare),
    row('shared lane', IN_FLIGHT, shared, bare),
    row('bare Piscina', 1, bareAlone, bareAlone),
    row('shared lane', 1, sharedAlone, bareAlone),
    row('isolated lane', THREADS, isolated, bareAlone),
    row('isolated lane', 1, isolatedAlone, bareAlone),
  ]);
}

async function measureData(pool: Pool, ms: number): Promise<void> {
  const rows: (string | number)[][] = [['events and bytes', 'shared', 'isolated']];
  const both = async (what: string, measure: (type: string) => Promise<string>) => {
    rows.push([what, await measure('bench.work'), await measure('bench.work-isolated')]);
  };
  const eventRate = async (type: string, hooks: PoolHooks) => {
    const { perSecond } = await rate(ms, 1, () => call(pool, type, { events: 10_000 }, {}, hooks));
    return `${(perSecond * 10_000).toFixed(0)}/s`;
  };
  await both('events of one node', (type) => eventRate(type, { onEvent: () => undefined }));
  await both('events, asynchronous host', (type) => eventRate(type, { onEvent: async () => undefined }));
  await both('result of 10 MB', async (type) => {
    const { p50 } = await rate(ms, 1, () => call(pool, type, { bytes: 10_000_000 }, {}));
    return `${p50.toFixed(1)} ms`;
  });
  printTable(rows);
}

/** The main thread while every thread of both lanes computes, emits and returns. */
async function measureDelay(pool: Pool, ms: number): Promise<void> {
  const rows: (string | number)[][] = [['event loop delay of the main thread', 'p50 ms', 'p99 ms', 'max ms']];
  const measure = async (what: string, load: () => Promise<unknown>) => {
    const histogram = monitorEventLoopDelay({ resolution: 1 });
    histogram.enable();
    await load();
    histogram.disable();
    // The timer of the histogram itself takes 1 ms of each value.
    const shown = [histogram.percentile(50), histogram.percentile(99), histogram.max];
    rows.push([what, ...shown.map((ns) => Math.max(0, ns / 1e6 - 1).toFixed(1))]);
  };
  const hooks = { onEvent: () => undefined };
  const config = { ms: 5, events: 200, bytes: 100_000 };
  await measure('idle', () => new Promise((resolve) => setTimeout(resolve, ms)));
  await measure('both lanes saturated', () =>
    Promise.all([
      rate(ms, IN_FLIGHT, () => call(pool, 'bench.work', config, {}, hooks)),
      rate(ms, THREADS * 2, () => call(pool, 'bench.work-isolated', { ...config, ms: 50 }, {}, hooks)),
    ]),
  );
  printTable(rows);
}

interface Rate {
  perSecond: number;
  p50: number;
  p99: number;
}

/** Repeats a task for so long in so many lanes; the first ones warm up. */
async function rate(ms: number, inFlight: number, work: (n: number) => Promise<unknown>): Promise<Rate> {
  let n = 0;
  await Promise.all(Array.from({ length: inFlight }, () => work(n++)));
  const times: number[] = [];
  const begin = performance.now();
  const end = begin + ms;
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      for (let start = performance.now(); start < end; ) {
        await work(n++);
        const now = performance.now();
        times.push(now - start);
        start = now;
      }
    }),
  );
  const seconds = (performance.now() - begin) / 1000;
  return { perSecond: times.length / seconds, p50: percentile(times, 0.5), p99: percentile(times, 0.99) };
}

let lastKey = 0;

const call = (pool: Pool, type: string, config: Record<string, unknown>, input: unknown, hooks: PoolHooks = {}) =>
  pool.run(
    {
      type,
      config,
      input,
      run: { id: 'bench', tenantId: 'bench' },
      principal: systemPrincipal('bench'),
      idempotencyKey: `bench-${++lastKey}`,
      attempt: 1,
    },
    hooks,
  );
