import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { after, test } from 'node:test';
import mongoose from 'mongoose';
import { connectDatabase } from '../../../core/data/connect.ts';
import { createNumbers } from '../../../core/data/numbers.ts';
import { createLogger } from '../../../core/log.ts';
import { openTestDatabase } from '../../support/database.ts';

const database = await openTestDatabase({ after });
const files = database.files('uploads');
const numbers = createNumbers(database);
await database.ready();
const a = { tenantId: 'tenant-a' };
const b = { tenantId: 'tenant-b' };
const sha = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

test('files: bytes and streams come back, with name, size and any metadata', async () => {
  const bytes = randomBytes(700_000);
  const metadata = { 'a.b': 1, $x: [{ __proto__: null, y: 2 }] };
  const stored = await files.write(a, { filename: '报告 1.pdf', content: bytes, metadata });
  assert.equal(stored.size, bytes.length);
  const opened = await files.open(a, stored.id);
  assert.ok(opened);
  assert.equal(opened.filename, '报告 1.pdf');
  assert.equal(JSON.stringify(opened.metadata), JSON.stringify(metadata));
  assert.equal(sha(await buffer(opened.stream)), sha(bytes));
  const fromStream = await files.write(a, { filename: 's', content: Readable.from([bytes, bytes]) });
  assert.equal(fromStream.size, 2 * bytes.length);
  assert.equal(sha((await files.read(a, fromStream.id)) ?? new Uint8Array()), sha(Buffer.concat([bytes, bytes])));
  const empty = await files.write(a, { filename: 'empty', content: new Uint8Array() });
  assert.equal((await files.read(a, empty.id))?.length, 0);
});

test('files: another tenant neither reads nor deletes a file, and may use the same id', async () => {
  const mine = await files.write(a, { id: 'same', filename: 'a', content: Buffer.from('mine') });
  assert.equal(await files.open(b, mine.id), undefined);
  assert.equal(await files.read(b, mine.id), undefined);
  assert.equal(await files.delete(b, mine.id), false);
  await files.write(b, { id: 'same', filename: 'b', content: Buffer.from('theirs') });
  assert.equal(String(await files.read(a, 'same')), 'mine');
  assert.equal(String(await files.read(b, 'same')), 'theirs');
  assert.equal(await files.delete(a, 'same'), true);
  assert.equal(await files.delete(a, 'same'), false);
  assert.equal(String(await files.read(b, 'same')), 'theirs');
});

test('files: the same id again keeps the first content, also when written at the same time', async () => {
  const writes = Array.from({ length: 5 }, (_, n) =>
    files.write(a, { id: 'once', filename: `f${n}`, content: Buffer.alloc(600_000, n) }),
  );
  const names = new Set((await Promise.all(writes)).map(({ filename }) => filename));
  assert.equal(names.size, 1);
  const [name] = names;
  const content = await files.read(a, 'once');
  assert.ok(content?.every((byte) => byte === Number(name?.slice(1))));
  const entry = await database.connection.collection('uploads.files').find({ 'metadata.fileId': 'once' }).toArray();
  assert.equal(entry.length, 1);
  const orphans = await database.connection.collection('uploads.chunks').countDocuments({
    files_id: { $nin: await database.connection.collection('uploads.files').distinct('_id') },
  });
  assert.equal(orphans, 0);
});

test('files: an upload that fails leaves no file and no chunks', async () => {
  const chunks = () => database.connection.collection('uploads.chunks').countDocuments({});
  const before = await chunks();
  async function* failing() {
    yield randomBytes(600_000);
    throw new Error('cut off');
  }
  await assert.rejects(files.write(a, { id: 'cut', filename: 'x', content: Readable.from(failing()) }), /cut off/);
  assert.equal(await files.open(a, 'cut'), undefined);
  assert.equal(await chunks(), before);
  assert.equal(await database.connection.collection('uploads.uploads').countDocuments({}), 0);
});

test('files: what a crash left of an upload is cleared away at the next start, whole files are not', async () => {
  const raw = (part: string) => database.connection.collection(`swept.${part}`);
  const stored = await database.files('swept').write(a, { filename: 'whole', content: Buffer.from('whole') });
  const whole = await raw('files').findOne({});
  const [cut, running] = [new mongoose.mongo.ObjectId(), new mongoose.mongo.ObjectId()];
  await raw('chunks').insertMany([cut, running].map((files_id) => ({ files_id, n: 0, data: Buffer.from('part') })));
  const old = new Date(Date.now() - 2 * 86_400_000);
  await raw('uploads').insertMany([
    { _id: cut, startedAt: old },
    { _id: running, startedAt: new Date() },
    { _id: whole?._id, startedAt: old },
  ]);
  const restarted = await connectDatabase(database.uri, { log: createLogger('silent') });
  assert.equal(String(await restarted.files('swept').read(a, stored.id)), 'whole');
  await restarted.ready();
  assert.equal(String(await restarted.files('swept').read(a, stored.id)), 'whole');
  assert.deepEqual(await raw('chunks').distinct('files_id'), [whole?._id, running]);
  assert.deepEqual(await raw('uploads').distinct('_id'), [running]);
  await restarted.close();
});

test('numbers: count from 1 per kind and never change', async () => {
  const first = await numbers.numberOf('agent', ['x', 'y', 'x']);
  assert.deepEqual([...first.entries()].sort(), [
    ['x', 1],
    ['y', 2],
  ]);
  assert.deepEqual(await numbers.numberOf('agent', ['y']), new Map([['y', 2]]));
  assert.deepEqual(await numbers.numberOf('other', ['y']), new Map([['y', 1]]));
  assert.equal(await numbers.idOf('agent', 2), 'y');
  for (const wrong of [0, -1, 3, 1.5, Number.NaN, 2 ** 60]) assert.equal(await numbers.idOf('agent', wrong), undefined);
  assert.deepEqual(await numbers.numberOf('agent', []), new Map());
});

test('numbers: another process, without the cache, sees the same numbers', async () => {
  const second = await connectDatabase(database.uri, { log: createLogger('silent') });
  const theirs = createNumbers(second);
  assert.equal(await theirs.idOf('agent', 1), 'x');
  const ids = Array.from({ length: 40 }, (_, n) => `race-${n}`);
  const answers = await Promise.all(
    Array.from({ length: 12 }, (_, n) => (n % 2 ? numbers : theirs).numberOf('race', n % 3 ? ids : [...ids].reverse())),
  );
  const [one, ...others] = answers.map((answer) => ids.map((id) => answer.get(id)));
  for (const other of others) assert.deepEqual(other, one);
  assert.equal(new Set(one).size, ids.length);
  for (const id of ids) assert.equal(await numbers.idOf('race', answers[0]?.get(id) ?? 0), id);
  await second.close();
});

test('numbers: ids seen for the first time at once in one process leave no gap', async () => {
  const ids = Array.from({ length: 30 }, (_, n) => `gapless-${n}`);
  await Promise.all(ids.flatMap((id) => [numbers.numberOf('gapless', [id]), numbers.numberOf('gapless', [id])]));
  const all = await numbers.numberOf('gapless', ids);
  assert.deepEqual(
    [...all.values()].sort((x, y) => x - y),
    ids.map((_, n) => n + 1),
  );
});

test('connectDatabase: a server that is not there gives DATABASE_UNAVAILABLE in time', async () => {
  await assert.rejects(
    connectDatabase('mongodb://127.0.0.1:9/none', { log: createLogger('silent'), serverSelectionTimeoutMs: 200 }),
    { kind: 'unavailable', code: 'DATABASE_UNAVAILABLE' },
  );
});
