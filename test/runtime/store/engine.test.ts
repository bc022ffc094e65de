import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Decimal128, Double, Long, ObjectId } from 'bson';
import fc from 'fast-check';
import { type Doc, decode, encode } from '../../../runtime/store/bson.ts';
import { runCommand } from '../../../runtime/store/commands/index.ts';
import { Database } from '../../../runtime/store/database.ts';
import { Engine, type Reply } from '../../../runtime/store/engine.ts';
import { compare, encodeKey } from '../../../runtime/store/keys.ts';
import { calculate } from '../../../runtime/store/numbers.ts';
import { expire } from '../../../runtime/store/ttl.ts';

/** Parts of the store in this thread, where a test can pass the time. */
async function makeEngine(t: TestContext): Promise<{ engine: Engine; run(body: Doc): Promise<Reply> }> {
  const folder = await mkdtemp(join(tmpdir(), 'koagent-engine-'));
  const database = new Database(join(folder, 'store.db'), { cacheMiB: 8 });
  const engine = new Engine(database, { memoryBytes: 2 ** 26, maxCursors: 100, cursorTimeoutMs: 60_000 });
  t.after(async () => {
    database.sqlite.close();
    await rm(folder, { recursive: true });
  });
  return {
    engine,
    async run(body) {
      const [name = ''] = Object.keys(body);
      const reply = await runCommand(engine, { name, body: decode(encode(body)), db: 'test', sequences: new Map() });
      if (database.inTransaction) database.commit();
      return reply;
    },
  };
}

test('TTL: documents go when their time is over, by the clock given; others stay', async (t) => {
  const { engine, run } = await makeEngine(t);
  const now = Date.parse('2024-06-01T12:00:00Z');
  const at = (seconds: number) => new Date(now - seconds * 1000);
  await run({ createIndexes: 'c', indexes: [{ key: { at: 1 }, name: 'at_1', expireAfterSeconds: 60 }] });
  await run({
    insert: 'c',
    documents: [
      { _id: 1, at: at(61) },
      { _id: 2, at: at(59) },
      { _id: 3 },
      { _id: 4, at: 'text' },
      { _id: 5, at: [at(10), at(100)] },
    ],
  });
  assert.equal(await expire(engine, now), 2);
  assert.deepEqual(
    (await run({ distinct: 'c', key: '_id' })).values,
    [2, 3, 4].map((id) => decode(encode({ id })).id),
  );
  assert.equal(await expire(engine, now + 5000), 1);
  assert.equal(await expire(engine, now + 5000), 0);
});

test('TTL: a partial index removes only what it covers', async (t) => {
  const { engine, run } = await makeEngine(t);
  await run({
    createIndexes: 'c',
    indexes: [{ key: { at: 1 }, name: 'at_1', expireAfterSeconds: 0, partialFilterExpression: { done: true } }],
  });
  await run({
    insert: 'c',
    documents: [
      { at: new Date(0), done: true },
      { at: new Date(0), done: false },
    ],
  });
  assert.equal(await expire(engine), 1);
  assert.equal((await run({ count: 'c' })).n, 1);
});

test('cursors: one that nobody reads is closed after its time, a used one stays', async (t) => {
  const { engine, run } = await makeEngine(t);
  await run({ insert: 'c', documents: Array.from({ length: 50 }, (_, i) => ({ i })) });
  const first = await run({ find: 'c', batchSize: 2 });
  const second = await run({ find: 'c', batchSize: 2 });
  assert.equal(engine.cursors.size, 2);
  await engine.sweepCursors(Date.now() + 59_000);
  assert.equal(engine.cursors.size, 2);
  const used = engine.cursors.get(Number(second.cursor?.id));
  if (used) used.lastUsed = Date.now() + 30_000;
  await engine.sweepCursors(Date.now() + 61_000);
  assert.deepEqual([...engine.cursors.keys()], [Number(second.cursor?.id)]);
  await assert.rejects(run({ getMore: new Long(Number(first.cursor?.id)), collection: 'c' }), { code: 43 });
});

test('an index build that was cut off is removed at the next start', async (t) => {
  const { engine, run } = await makeEngine(t);
  await run({ insert: 'c', documents: [{ a: 1 }] });
  const collection = engine.database.find('test', 'c');
  assert.ok(collection);
  engine.database.addIndex(collection, { v: 2, key: { a: 1 }, name: 'half', hidden: true, building: true });
  engine.database.commit();
  engine.database.load();
  assert.deepEqual([...(engine.database.find('test', 'c')?.indexes.keys() ?? [])], ['_id_']);
});

test('rollback: the catalogue and the counts are as they were', async (t) => {
  const { engine, run } = await makeEngine(t);
  await run({ insert: 'c', documents: [{ _id: 1 }] });
  assert.equal((await run({ count: 'c' })).n, 1);
  engine.database.create('test', 'other');
  const collection = engine.database.find('test', 'c');
  assert.ok(collection);
  engine.database.insert(collection, encode({ _id: 2 }));
  engine.database.rollback();
  assert.equal(engine.database.find('test', 'other'), undefined);
  assert.equal((await run({ count: 'c' })).n, 1);
  await run({ insert: 'c', documents: [{ _id: 2 }] });
});

// --- keys and numbers ------------------------------------------------------------------------------

const numeric = fc.oneof(
  fc.double({ noNaN: true }),
  fc.integer(),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map((n) => Long.fromBigInt(n)),
  fc
    .tuple(fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n }), fc.integer({ min: -25, max: 25 }))
    .map(([digits, exponent]) => Decimal128.fromString(`${digits}E${exponent}`)),
  fc.constantFrom(0, -0, 1, 2 ** 53, 2 ** 53 + 2, 2 ** 63, -(2 ** 63), Number.MIN_VALUE, Number.POSITIVE_INFINITY),
);

/** The exact value as a fraction; infinities as their sign. */
function fraction(value: unknown): { top: bigint; bottom: bigint } | number {
  if (value instanceof Long) return { top: value.toBigInt(), bottom: 1n };
  if (value instanceof Decimal128) {
    const [, sign, whole = '', part = '', exponent = '0'] =
      /^(-?)(\d+)\.?(\d*)(?:E([+-]?\d+))?$/.exec(value.toString()) ?? [];
    const top = BigInt(whole + part) * (sign ? -1n : 1n);
    const power = Number(exponent) - part.length;
    return power >= 0 ? { top: top * 10n ** BigInt(power), bottom: 1n } : { top, bottom: 10n ** BigInt(-power) };
  }
  let number = Number(value);
  if (!Number.isFinite(number)) return number;
  let bottom = 1n;
  while (!Number.isInteger(number)) {
    number *= 2;
    bottom *= 2n;
  }
  return { top: BigInt(number), bottom };
}

test('keys: numbers of all types are ordered by their exact values', () => {
  fc.assert(
    fc.property(numeric, numeric, (a, b) => {
      const [x, y] = [fraction(a), fraction(b)];
      let expected: number;
      if (typeof x === 'number' || typeof y === 'number')
        expected = (typeof x === 'number' ? x : 0) - (typeof y === 'number' ? y : 0) || 0;
      else {
        const difference = x.top * y.bottom - y.top * x.bottom;
        expected = difference > 0n ? 1 : difference < 0n ? -1 : 0;
      }
      assert.equal(Math.sign(compare(a, b)), Math.sign(expected), `${a} and ${b}`);
    }),
    { numRuns: 2000 },
  );
});

test('keys: texts are ordered by their UTF-8 bytes, and no key is the beginning of another', () => {
  const value = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(fc.integer()),
    fc.dictionary(fc.string(), fc.integer()),
    fc.double(),
    fc.constant(new ObjectId()),
  );
  fc.assert(
    fc.property(value, value, fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (a, b, s, t) => {
      const [x, y] = [encodeKey(a), encodeKey(b)];
      if (!x.equals(y)) assert.ok(!y.subarray(0, x.length).equals(x));
      assert.equal(Math.sign(compare(s, t)), Math.sign(Buffer.compare(Buffer.from(s), Buffer.from(t))));
    }),
    { numRuns: 1000 },
  );
});

test('numbers: sums of decimals and long integers are exact', () => {
  assert.equal(String(calculate('+', Decimal128.fromString('0.1'), Decimal128.fromString('0.2'))), '0.3');
  assert.equal(String(calculate('*', Decimal128.fromString('1.5'), new Double(2))), '3.0');
  assert.equal(String(calculate('+', Long.fromString('9007199254740993'), 1)), '9007199254740994');
});

// --- Deno ------------------------------------------------------------------------------------------

const deno = join(import.meta.dirname, '../../../node_modules/.bin/deno');

test('Deno: the store opens, serves mongoose and closes', {
  skip: !existsSync(deno) && 'Deno is not installed',
  timeout: 60_000,
}, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'koagent-deno-'));
  t.after(() => rm(folder, { recursive: true }));
  const child = spawn(deno, ['run', '-A', '--no-check', join(import.meta.dirname, 'support/deno.ts'), folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
    cwd: join(import.meta.dirname, '../../..'),
  });
  let output = '';
  for await (const chunk of child.stdout) output += chunk;
  assert.equal(output.trim().split('\n').at(-1), 'stored 3, indexed 2, backup ok');
});
