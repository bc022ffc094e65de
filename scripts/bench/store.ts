import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Collection, MongoClient } from 'mongodb';
import { loadSettings } from '../../config/settings.ts';
import { openStore } from '../../runtime/store/index.ts';
import { percentile, printTable } from './table.ts';

/** The documents of the measurement: about 1 KB of BSON. */
interface Sample {
  _id: number;
  key: string;
  group: number;
  rank: number;
  body: string;
}

interface Row {
  what: string;
  size: number;
  perSecond: number;
  p50: number;
  p99: number;
  /** The wanted rate or time, when there is one. */
  target?: { perSecond?: number; p50?: number; p99?: number };
}

const help = `Usage: npm run bench -- store [--sizes 10000,100000,1000000] [--folder <path>]

Measures the embedded store through the official driver; with MONGODB_URI also a MongoDB, and prints the ratio.`;

const body = 'x'.repeat(900);
const sample = (n: number): Sample => ({
  _id: n,
  key: `key-${(n * 7919) % 1_000_003}-${n}`,
  group: n % 1000,
  rank: (n * 31) % 100_000,
  body,
});

/** Runs one operation `total` times in `lanes` lanes and takes the time of each. */
async function measure(
  what: string,
  size: number,
  total: number,
  lanes: number,
  run: (n: number) => Promise<unknown>,
  per = 1,
): Promise<Row> {
  const times: number[] = [];
  let next = 0;
  const begin = performance.now();
  await Promise.all(
    Array.from({ length: lanes }, async () => {
      while (next < total) {
        const n = next++;
        const start = performance.now();
        await run(n);
        times.push(performance.now() - start);
      }
    }),
  );
  const seconds = (performance.now() - begin) / 1000;
  return { what, size, perSecond: (total * per) / seconds, p50: percentile(times, 0.5), p99: percentile(times, 0.99) };
}

async function fill(c: Collection<Sample>, from: number, to: number): Promise<Row> {
  const batches = Math.floor((to - from) / 1000);
  return measure(
    'insertMany(1000)',
    to,
    batches,
    1,
    (n) => c.insertMany(Array.from({ length: 1000 }, (_, i) => sample(from + n * 1000 + i))),
    1000,
  );
}

/** A scan in one connection and indexed reads in another, at the same time. */
async function besideScan(
  c: Collection<Sample>,
  size: number,
  what: string,
  scan: () => Promise<unknown>,
): Promise<Row[]> {
  let running = true;
  const begin = performance.now();
  let took = 0;
  const work = scan().then(() => {
    running = false;
    took = performance.now() - begin;
  });
  const times: number[] = [];
  while (running) {
    const start = performance.now();
    await c.findOne({ key: sample((times.length * 7919) % size).key });
    times.push(performance.now() - start);
  }
  await work;
  return [
    { what, size, perSecond: 1000 / took, p50: took, p99: took },
    {
      what: `  indexed read during it`,
      size,
      perSecond: (times.length / took) * 1000,
      p50: percentile(times, 0.5),
      p99: percentile(times, 0.99),
      target: { p99: 50 },
    },
  ];
}

async function measureAll(uri: string, sizes: number[]): Promise<Row[]> {
  const client = await new MongoClient(uri, { maxPoolSize: 40 }).connect();
  const db = client.db('koagent_bench');
  await db.dropDatabase();
  const c = db.collection<Sample>('samples');
  await c.createIndex({ key: 1 });
  await c.createIndex({ group: 1, rank: -1 });
  const rows: Row[] = [];
  let filled = 0;
  let extra = 100_000_000;
  for (const size of sizes) {
    rows.push({ ...(await fill(c, filled, size)), ...(size <= 100_000 && { target: { perSecond: 20_000 } }) });
    filled = size;
    const any = (n: number) => sample((n * 7919) % size);
    await measure('', size, 500, 1, (n) => c.findOne({ _id: any(n)._id }));
    rows.push({
      ...(await measure('findOne by _id', size, 4000, 1, (n) => c.findOne({ _id: any(n)._id }))),
      target: { p50: 0.5 },
    });
    rows.push({
      ...(await measure('findOne by _id, 8 readers', size, 8000, 8, (n) => c.findOne({ _id: any(n)._id }))),
      target: { perSecond: 4000 },
    });
    rows.push({
      ...(await measure('findOne by index', size, 4000, 1, (n) => c.findOne({ key: any(n).key }))),
      target: { p50: 0.5 },
    });
    rows.push({
      ...(await measure('findOne by index, 8 readers', size, 8000, 8, (n) => c.findOne({ key: any(n).key }))),
      target: { perSecond: 4000 },
    });
    rows.push(
      await measure('range + sort + limit 20', size, 1000, 1, (n) =>
        c
          .find({ group: n % 1000, rank: { $lt: 90_000 } })
          .sort({ rank: -1 })
          .limit(20)
          .toArray(),
      ),
    );
    rows.push(await measure('insertOne, 1 writer', size, 1000, 1, () => c.insertOne(sample(++extra))));
    rows.push({
      ...(await measure('insertOne, 32 writers', size, 8000, 32, () => c.insertOne(sample(++extra)))),
      target: { perSecond: 5000 },
    });
    rows.push(
      await measure('updateOne $inc, 1 writer', size, 1000, 1, (n) =>
        c.updateOne({ _id: any(n)._id }, { $inc: { count: 1 } }),
      ),
    );
    rows.push({
      ...(await measure('updateOne $inc, 32 writers', size, 6000, 32, (n) =>
        c.updateOne({ _id: any(n)._id }, { $inc: { count: 1 } }),
      )),
      target: { perSecond: 2500 },
    });
    rows.push(...(await besideScan(c, size, 'scan (no index, no hit)', () => c.countDocuments({ body: /y$/ }))));
    rows.push(
      ...(await besideScan(c, size, '$group over all', () =>
        c.aggregate([{ $group: { _id: '$group', n: { $sum: 1 }, top: { $max: '$rank' } } }]).toArray(),
      )),
    );
    rows.push(
      ...(await besideScan(c, size, 'sort without index', () =>
        c
          .find({}, { sort: { body: 1, rank: 1 }, projection: { _id: 1 }, batchSize: 10_000 })
          .limit(1000)
          .toArray(),
      )),
    );
    await c.deleteMany({ _id: { $gt: 100_000_000 } });
  }
  await client.close();
  return rows;
}

const verdict = ({ target, perSecond, p50, p99 }: Row): string => {
  if (!target) return '';
  const met =
    (target.perSecond ?? 0) <= perSecond &&
    (target.p50 ?? Number.POSITIVE_INFINITY) >= p50 &&
    (target.p99 ?? Number.POSITIVE_INFINITY) >= p99;
  const wanted = target.perSecond
    ? `>= ${target.perSecond}/s`
    : target.p50
      ? `p50 <= ${target.p50} ms`
      : `p99 <= ${target.p99} ms`;
  return `${met ? 'ok' : 'MISSED'} (${wanted})`;
};

function print(rows: Row[], other: Row[] | undefined): void {
  const lines = rows.map((row, i) => {
    const reference = other?.[i];
    return [
      row.what,
      row.size,
      row.perSecond >= 10 ? row.perSecond.toFixed(0) : row.perSecond.toFixed(2),
      row.p50.toFixed(2),
      row.p99.toFixed(2),
      verdict(row),
      ...(reference ? [`${(row.perSecond / reference.perSecond).toFixed(2)}x`] : []),
    ];
  });
  printTable([
    ['what', 'documents', 'per second', 'p50 ms', 'p99 ms', 'target', ...(other ? ['to MongoDB'] : [])],
    ...lines,
  ]);
}

/** Measures the embedded store and prints a table. */
export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: { sizes: { type: 'string' }, folder: { type: 'string' }, help: { type: 'boolean' } },
  });
  if (values.help) {
    console.log(help);
    return;
  }
  const sizes = (values.sizes ?? '10000,100000,1000000').split(',').map(Number);
  const folder = await mkdtemp(join(values.folder ?? tmpdir(), 'koagent-bench-'));
  try {
    let store = await openStore({ folder });
    let peak = 0;
    const watch = setInterval(() => {
      peak = Math.max(peak, process.memoryUsage.rss());
    }, 50);
    const rows = await measureAll(store.uri, sizes);
    clearInterval(watch);
    await store.close();
    const begin = performance.now();
    store = await openStore({ folder });
    const opened = performance.now() - begin;
    await store.close();
    const uri = loadSettings({ ...process.env, KOAGENT_DATA_DIR: folder }).mongodbUri;
    print(rows, uri ? await measureAll(uri, sizes) : undefined);
    console.log(
      `\nopen with ${sizes.at(-1)} documents: ${opened.toFixed(0)} ms; resident memory with client and server in one process: at most ${(peak / 1048576).toFixed(0)} MB`,
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
