import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { type Document, deserialize, serialize } from 'bson';
import { useTarget, withCode } from './conformance/target.ts';

/** What a broken or hostile client sends. After each attack the server has to serve others as before. */
const target = useTarget();
const onlyEmbedded = { skip: process.env.MONGODB_URI !== undefined };

async function open(): Promise<Socket> {
  const path = target.client.options.hosts[0]?.socketPath ?? '';
  const socket = connect(path);
  await once(socket, 'connect');
  socket.on('error', () => socket.destroy());
  return socket;
}

function message(
  body: Uint8Array,
  options: { length?: number; opCode?: number; flags?: number; kind?: number } = {},
): Buffer {
  const head = Buffer.alloc(21);
  head.writeInt32LE(options.length ?? 21 + body.length, 0);
  head.writeInt32LE(1, 4);
  head.writeInt32LE(options.opCode ?? 2013, 12);
  head.writeUInt32LE(options.flags ?? 0, 16);
  head[20] = options.kind ?? 0;
  return Buffer.concat([head, body]);
}

/** The answer to one message; undefined when the server closes the connection. */
async function ask(bytes: Buffer): Promise<Document | undefined> {
  const socket = await open();
  const chunks: Buffer[] = [];
  const answer = new Promise<Document | undefined>((resolve) => {
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      const all = Buffer.concat(chunks);
      if (all.length >= 4 && all.length >= all.readInt32LE(0)) resolve(deserialize(all.subarray(21)));
    });
    socket.on('close', () => resolve(undefined));
  });
  socket.write(bytes);
  const result = await answer;
  socket.destroy();
  return result;
}

async function stillServes(): Promise<void> {
  assert.equal((await target.db.command({ ping: 1 })).ok, 1);
}

const ping = serialize({ ping: 1, $db: 'test' });

test(
  'wire: wrong lengths, operation codes and bytes that are no message close only that connection',
  onlyEmbedded,
  async () => {
    for (const bytes of [
      Buffer.from('GET / HTTP/1.1\r\n\r\n'),
      message(ping, { length: 15 }),
      message(ping, { length: -1 }),
      message(ping, { length: 48_000_001 }),
      message(ping, { opCode: 99 }),
      Buffer.alloc(64, 0xff),
    ]) {
      assert.equal(await ask(bytes), undefined);
    }
    await stillServes();
  },
);

test('wire: invalid BSON and sections are answered with an error, the connection goes on', onlyEmbedded, async () => {
  const broken: Buffer[] = [];
  const good = Buffer.from(serialize({ insert: 'x', $db: 'test', documents: [{ a: 'text', b: { c: [1, 2] } }] }));
  for (let i = 4; i < good.length; i++) {
    const copy = Buffer.from(good);
    copy[i] = (copy[i] ?? 0) ^ 0xff;
    broken.push(message(copy));
  }
  broken.push(message(ping, { kind: 7 }), message(ping, { flags: 4 }), message(ping.subarray(0, 10), { length: 31 }));
  for (const bytes of broken) {
    const answer = await ask(bytes);
    assert.ok(answer === undefined || typeof answer.ok === 'number', `byte pattern ${bytes.toString('hex')}`);
  }
  await stillServes();
});

test(
  'wire: a message in single bytes is understood, a half one is forgotten with its connection',
  onlyEmbedded,
  async () => {
    const socket = await open();
    const whole = message(ping);
    for (const byte of whole) socket.write(Buffer.from([byte]));
    const [chunk] = (await once(socket, 'data')) as [Buffer];
    assert.equal(deserialize(chunk.subarray(21)).ok, 1);
    socket.write(message(ping, { length: 40_000_000 }));
    socket.destroy();
    await stillServes();
  },
);

test('wire: many messages at once are answered in order', onlyEmbedded, async () => {
  const socket = await open();
  socket.write(Buffer.concat(Array.from({ length: 500 }, () => message(ping))));
  let bytes = 0;
  const one = 21 + serialize({ ok: 1 }).length;
  for await (const chunk of socket) {
    bytes += (chunk as Buffer).length;
    if (bytes >= one * 500) break;
  }
  assert.equal(bytes, one * 500);
});

test('wire: a client that does not read is cut off and costs bounded memory', onlyEmbedded, async () => {
  const c = target.collection();
  await c.insertMany(Array.from({ length: 15 }, () => ({ pad: 'x'.repeat(1024 * 1024) })));
  const socket = await open();
  socket.pause();
  const query = message(serialize({ find: c.collectionName, $db: target.db.databaseName }));
  const closed = once(socket, 'close');
  for (let i = 0; i < 40 && !socket.destroyed; i++) socket.write(query);
  await stillServes();
  socket.resume(); // what was sent is read to its end; then the server's end shows
  socket.on('data', () => undefined);
  await Promise.race([closed, once(socket, 'end'), new Promise((done) => setTimeout(done, 3000).unref())]);
  socket.destroy();
  await stillServes();
});

test('messages of nearly 48 MB are taken; documents of more than 16 MiB in them are refused', async () => {
  const c = target.collection();
  await c.insertMany(Array.from({ length: 3 }, () => ({ pad: Buffer.alloc(15_500_000) })));
  assert.equal(await c.countDocuments(), 3);
  await c.drop();
});

test('queries: server-side JavaScript is refused at any depth', onlyEmbedded, async () => {
  const c = target.collection();
  await c.insertOne({ a: 1 });
  const js = { $function: { body: 'function(){ return 1 }', args: [], lang: 'js' } };
  for (const query of [
    () => c.find({ $where: 'sleep(1000)' }).toArray(),
    () => c.find({ $or: [{ $and: [{ $where: 'true' }] }] }).toArray(),
    () => c.find({ $expr: js }).toArray(),
    () => c.find({}, { projection: { x: js } }).toArray(),
    () => c.aggregate([{ $project: { x: { $map: { input: [1], in: js } } } }]).toArray(),
    () => c.aggregate([{ $setWindowFields: { output: { x: { $sum: js } } } }]).toArray(),
    () => c.aggregate([{ $bucket: { groupBy: js, boundaries: [0, 1] } }]).toArray(),
    () => c.aggregate([{ $facet: { a: [{ $project: { x: js } }] } }]).toArray(),
    () => c.aggregate([{ $lookup: { from: 'x', pipeline: [{ $project: { x: js } }], as: 'y' } }]).toArray(),
    () => c.updateOne({}, [{ $set: { x: js } }]),
    () =>
      c
        .aggregate([
          {
            $group: {
              _id: null,
              x: { $accumulator: { init: 'x', accumulate: 'y', accumulateArgs: [], merge: 'z', lang: 'js' } },
            },
          },
        ])
        .toArray(),
  ]) {
    await assert.rejects(query(), withCode(2));
  }
});

test('queries: hostile field names reach nothing but the document', async () => {
  const c = target.collection();
  await c.insertOne({ _id: 1 as never, a: 1 });
  for (const path of ['__proto__.polluted', 'constructor.prototype.polluted', 'a.__proto__.x']) {
    await c
      .updateOne({ _id: 1 as never }, { $set: { [path]: 'yes' } })
      .catch((error: unknown) => assert.ok(withCode(28)(error)));
    await c.find({ [path]: 'yes' }).toArray();
    await c.find({}, { projection: { [path]: 1 } }).toArray();
    await c
      .find({})
      .sort({ [path]: 1 })
      .toArray();
    await c.distinct(path);
    await c
      .aggregate([{ $addFields: { [path]: 1 } }])
      .toArray()
      .catch((error: unknown) => assert.ok(error instanceof Error));
    await c
      .aggregate([{ $project: { x: `$${path}` } }])
      .toArray()
      .catch((error: unknown) => assert.ok(error instanceof Error));
  }
  assert.equal(({} as Record<string, unknown>).polluted, undefined);
  await stillServes();
});

test('queries: very large and very deep ones end with a result or an error', async () => {
  const c = target.collection();
  await c.insertMany(Array.from({ length: 100 }, (_, n) => ({ n })));
  await c.createIndex({ n: 1 });
  assert.equal(await c.countDocuments({ n: { $in: Array.from({ length: 200_000 }, (_, i) => i + 50) } }), 50);
  const nested = (depth: number, leaf: Document, wrap: (inner: Document) => Document): Document =>
    depth === 0 ? leaf : wrap(nested(depth - 1, leaf, wrap));
  assert.equal(await c.countDocuments(nested(30, { n: 5 }, (inner) => ({ $and: [inner] }))), 1);
  await assert.rejects(c.find(nested(500, { n: 5 }, (inner) => ({ $and: [inner] }))).toArray());
  await assert.rejects(c.insertOne(nested(500, { n: 5 }, (inner) => ({ a: inner }))));
  await assert.rejects(
    c.aggregate([{ $project: { x: nested(300, { $add: [1, 1] }, (inner) => ({ $add: [inner, 1] })) } }]).toArray(),
  );
  const orders = Array.from({ length: 2000 }, (_, i) => ({ n: i }));
  assert.equal(await c.countDocuments({ $or: orders }), 100);
  await stillServes();
});

test('results over 16 MiB: a document or an answer that is too large is refused with 10334', async () => {
  const c = target.collection();
  await c.insertMany(Array.from({ length: 24 }, (_, i) => ({ pad: String.fromCharCode(65 + i).repeat(1024 * 1024) })));
  const tooLarge = (error: unknown) =>
    error instanceof Error && 'code' in error && (error.code === 10334 || error.code === 17217);
  await assert.rejects(c.distinct('pad'), tooLarge);
  await assert.rejects(c.aggregate([{ $group: { _id: null, all: { $push: '$pad' } } }]).toArray(), tooLarge);
  await stillServes();
});

test('errors that would quote megabytes are answered short', async () => {
  const c = target.collection();
  const long = 'x'.repeat(15_000_000);
  await c.createIndex({ s: 1 }, { unique: true });
  await c.insertOne({ s: long });
  await assert.rejects(c.insertOne({ s: long }), withCode(11000));
  await assert.rejects(c.updateOne({ s: 'new' }, { $set: { s: long } }, { upsert: true }), withCode(11000));
  await assert.rejects(c.find({ [`$${long}`]: 1 }).toArray(), withCode(2));
  await stillServes();
});

test('cursors: ten thousand open ones are held, one more is refused, and all can be killed', {
  ...onlyEmbedded,
  timeout: 120_000,
}, async () => {
  const c = target.collection();
  await c.insertMany(Array.from({ length: 200 }, () => ({ pad: 'x'.repeat(100) })));
  const ids: unknown[] = [];
  for (let i = 0; i < 100; i++) {
    const batch = await Promise.all(
      Array.from({ length: 100 }, () => target.db.command({ find: c.collectionName, batchSize: 2 })),
    );
    ids.push(...batch.map(({ cursor }) => cursor.id));
  }
  await assert.rejects(target.db.command({ find: c.collectionName, batchSize: 2 }), withCode(146));
  const killed = await target.db.command({ killCursors: c.collectionName, cursors: ids });
  assert.equal(killed.cursorsKilled.length, 10_000);
  assert.equal((await target.db.command({ find: c.collectionName, batchSize: 2 })).cursor.firstBatch.length, 2);
});
