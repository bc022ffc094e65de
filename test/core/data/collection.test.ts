import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Collection, Document } from '../../../core/data/database.ts';
import { jsonField } from '../../../core/data/json.ts';
import { openTestDatabase } from '../../support/database.ts';

interface Note {
  title: string;
  ownerId?: string;
  rank?: number;
  free?: unknown;
  steps?: { key: string; result?: unknown }[];
}

const database = await openTestDatabase({ after });
const notes = database.tenantModel<Note>(
  'notes',
  {
    title: { type: String, required: true, maxlength: 20 },
    ownerId: String,
    rank: { type: Number, default: 7 },
    free: jsonField(),
    steps: [{ key: String, result: jsonField() }],
  },
  {
    indexes: [
      { fields: { title: 1 }, unique: true },
      { fields: { rank: 1 }, acrossTenants: true },
    ],
  },
);
const settings = database.globalModel<{ value: string }>(
  'settings',
  { value: String },
  { indexes: [{ fields: { value: 1 }, unique: true }] },
);
await database.ready();

const a = { tenantId: 'tenant-a' };
const b = { tenantId: 'tenant-b' };
const titles = Array.from({ length: 200 }, (_, n) => `t${n}`);
const title = () => titles.pop() ?? 'none left';

test('insert: gives a plain document with id, times, tenant and defaults', async () => {
  const name = title();
  const note = await notes.in(a).insert({ title: name, steps: [{ key: 'k' }] });
  assert.match(note._id, /^[0-9a-f-]{36}$/);
  assert.equal(note.tenantId, 'tenant-a');
  assert.equal(note.rank, 7);
  assert.ok(note.createdAt instanceof Date);
  assert.deepEqual(note.updatedAt, note.createdAt);
  assert.deepEqual(note.steps, [{ key: 'k' }], 'sub-documents get no ids');
  const stored = await notes.in(a).get(note._id);
  assert.deepEqual(stored, note);
  assert.equal(Object.getPrototypeOf(stored), Object.prototype);
});

test('writes: what the schema does not allow is refused', async () => {
  const scope = notes.in(a);
  await assert.rejects(scope.insert({ title: 'x'.repeat(21) }), { name: 'ValidationError' });
  await assert.rejects(scope.insert({} as Note), { name: 'ValidationError' });
  await assert.rejects(scope.insert({ title: title(), other: 1 } as Note), { name: 'StrictModeError' });
  const note = await scope.insert({ title: title() });
  await assert.rejects(scope.update({ _id: note._id }, { $set: { title: 'x'.repeat(21) } }), {
    name: 'ValidationError',
  });
  await assert.rejects(scope.update({ _id: note._id }, { $set: { other: 1 } as object }), { name: 'StrictModeError' });
  await assert.rejects(scope.find({ other: 1 } as object), { name: 'StrictModeError' });
  await assert.rejects(scope.findOne({ ownerId: undefined }), /Undefined value in a filter/);
  assert.deepEqual(await scope.get(note._id), note);
});

test('tenant scope: reads, changes, counts and deletes never leave the tenant', async () => {
  const mine = await notes.in(a).insert({ title: title(), ownerId: 'scope' });
  const theirs = await notes.in(b).insert({ title: mine.title, ownerId: 'scope' });
  assert.equal(await notes.in(a).get(theirs._id), undefined);
  assert.equal(await notes.in(a).findOne({ _id: theirs._id, tenantId: 'tenant-b' }), undefined);
  assert.equal(await notes.in(a).findOne({ $or: [{ _id: theirs._id }, { tenantId: 'tenant-b' }] }), undefined);
  assert.deepEqual(
    (await notes.in(a).find({ ownerId: 'scope' })).map((n) => n._id),
    [mine._id],
  );
  assert.equal(await notes.in(a).count({ ownerId: 'scope' }), 1);
  assert.equal(await notes.in(a).update({ _id: theirs._id }, { $set: { rank: 1 } }), undefined);
  assert.equal(await notes.in(a).updateMany({ _id: { $in: [theirs._id, mine._id] } }, { $set: { rank: 2 } }), 1);
  assert.equal(await notes.in(a).delete({ _id: theirs._id }), 0);
  const grouped = await notes
    .in(a)
    .aggregate<{ _id: string; n: number }>([
      { $match: { ownerId: 'scope' } },
      { $group: { _id: '$tenantId', n: { $sum: 1 } } },
    ]);
  assert.deepEqual(grouped, [{ _id: 'tenant-a', n: 1 }]);
  const seen: string[] = [];
  for await (const note of notes.in(b).iterate({ ownerId: 'scope' })) seen.push(note._id);
  assert.deepEqual(seen, [theirs._id]);
  assert.deepEqual(await notes.in(b).get(theirs._id), theirs, 'unchanged');
  assert.equal(await notes.acrossTenants('test of the scope').count({ ownerId: 'scope' }), 2);
});

test('tenant scope: a caller without a tenant, a foreign tenant in a write and operators that escape are refused', async () => {
  assert.throws(() => notes.in({ tenantId: '' }), TypeError);
  assert.throws(() => notes.in({} as { tenantId: string }), TypeError);
  const scope = notes.in(a);
  const foreign = { title: title(), tenantId: 'tenant-b' } as Note;
  await assert.rejects(scope.insert(foreign), /another tenant/);
  await assert.rejects(scope.insertMany([foreign]), /another tenant/);
  await assert.rejects(notes.acrossTenants('test').insert({ title: title() }), { name: 'ValidationError' });
  const updates: object[] = [
    { $set: { tenantId: 'tenant-b' } },
    { $setOnInsert: { tenantId: 'tenant-b' } },
    { $unset: { tenantId: '' } },
    { $rename: { title: 'tenantId' } },
    { $set: { _id: 'x' } },
    { title: 'no operator' },
    [{ $set: { tenantId: 'tenant-b' } }],
  ];
  for (const update of updates) await assert.rejects(scope.update({}, update), TypeError, JSON.stringify(update));
  for (const update of updates) await assert.rejects(scope.updateMany({}, update), TypeError, JSON.stringify(update));
  for (const filter of [{ $where: 'true' }, { $or: [{ $where: 'true' }] }, { $expr: { $function: {} } }] as object[]) {
    await assert.rejects(scope.find(filter), TypeError, JSON.stringify(filter));
    await assert.rejects(scope.delete(filter), TypeError, JSON.stringify(filter));
  }
  const stages: Record<string, unknown>[] = [
    { $lookup: { from: 'notes', as: 'all', pipeline: [] } },
    { $unionWith: 'notes' },
    { $graphLookup: { from: 'notes' } },
    { $out: 'stolen' },
    { $merge: 'stolen' },
    { $facet: { all: [{ $unionWith: 'notes' }] } },
    { $match: { $expr: { $function: { body: 'x', args: [], lang: 'js' } } } },
    { $project: { x: { $accumulator: {} } } },
    { $collStats: {} },
    { $match: {}, $out: 'x' },
    {},
  ];
  for (const stage of stages) await assert.rejects(scope.aggregate([stage]), TypeError, JSON.stringify(stage));
});

test('unique indexes: DUPLICATE names the fields, within the tenant only', async () => {
  const name = title();
  const first = await notes.in(a).insert({ title: name });
  const duplicate = { kind: 'conflict', code: 'DUPLICATE', details: { keys: ['title'] } };
  await assert.rejects(notes.in(a).insert({ title: name }), duplicate);
  await assert.rejects(notes.in(a).insertMany([{ title: title() }, { title: name }]), duplicate);
  const other = await notes.in(a).insert({ title: title() });
  await assert.rejects(notes.in(a).update({ _id: other._id }, { $set: { title: name } }), duplicate);
  await notes.in(b).insert({ title: name });
  await assert.rejects(notes.in(a).insert({ _id: first._id, title: title() }), {
    ...duplicate,
    details: { keys: ['_id'] },
  });
  await settings.insert({ value: 'one' });
  await assert.rejects(settings.insert({ value: 'one' }), { ...duplicate, details: { keys: ['value'] } });
});

test('unique indexes: of many inserts at once exactly one wins', async () => {
  const name = title();
  const results = await Promise.allSettled(Array.from({ length: 20 }, () => notes.in(a).insert({ title: name })));
  assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1);
});

test('update: upsert makes a document with id, tenant, defaults and times; then changes it', async () => {
  const name = title();
  const made = await notes
    .in(a)
    .update({ title: name }, { $set: { ownerId: 'o' }, $inc: { rank: 1 } }, { upsert: true });
  assert.ok(made);
  assert.match(made._id, /^[0-9a-f-]{36}$/);
  assert.equal(made.tenantId, 'tenant-a');
  assert.equal(made.rank, 1);
  assert.ok(made.createdAt instanceof Date && made.updatedAt instanceof Date);
  const changed = await notes.in(a).update({ title: name }, { $inc: { rank: 1 } }, { upsert: true });
  assert.deepEqual({ ...changed, updatedAt: made.updatedAt }, { ...made, rank: 2 });
  const byId = await settings.update({ _id: 'fixed' }, { $set: { value: 'v' } }, { upsert: true });
  assert.equal(byId?._id, 'fixed');
});

test('update: of many claims of one document exactly one wins', async () => {
  const note = await notes.in(a).insert({ title: title(), rank: 0 });
  const claims = await Promise.all(
    Array.from({ length: 20 }, () => notes.in(a).update({ _id: note._id, rank: 0 }, { $set: { rank: 1 } })),
  );
  assert.equal(claims.filter(Boolean).length, 1);
});

test('find: sort, skip, limit and fields; an unbounded list is refused', async () => {
  const scope = notes.in({ tenantId: 'tenant-lists' });
  await scope.insertMany(Array.from({ length: 25 }, (_, rank) => ({ title: `n${rank}`, rank })));
  const page = await scope.find({}, { sort: { rank: -1 }, skip: 5, limit: 3, fields: ['rank'] });
  assert.deepEqual(
    page.map(({ rank }) => rank),
    [19, 18, 17],
  );
  assert.deepEqual(Object.keys(page[0] ?? {}).sort(), ['_id', 'rank']);
  assert.deepEqual(await scope.find({}, { limit: 0 }), []);
  assert.equal((await scope.find({})).length, 25);
  const many = notes.in({ tenantId: 'tenant-many' });
  for (let at = 0; at < 10_001; at += 2000) {
    await many.insertMany(Array.from({ length: Math.min(2000, 10_001 - at) }, (_, n) => ({ title: `m${at + n}` })));
  }
  await assert.rejects(many.find({}), RangeError);
  assert.equal((await many.find({}, { limit: 10_000 })).length, 10_000);
  let seen = 0;
  for await (const { _id } of many.iterate({}, { fields: ['title'] })) seen += _id ? 1 : 0;
  assert.equal(seen, 10_001);
  for await (const { _id } of many.iterate({})) {
    assert.ok(_id);
    break;
  }
});

test('free-form fields: any keys survive insert, update, find and aggregate, and stay JSON', async () => {
  const hostile = JSON.parse(
    '{"$set":{"a":1},"a.b":2,"__proto__":{"polluted":true},"constructor":{"prototype":1},"_bsontype":"ObjectId","isMongooseBuffer":true,"deep":{"":[{"$ref":"x"}]},"ok":{"n":1.5,"list":[1,null,"x"]}}',
  ) as Record<string, unknown>;
  const scope: Collection<Note & Document> = notes.in(a);
  const note = await scope.insert({
    title: title(),
    free: hostile,
    steps: [{ key: 'k', result: { ok: 1, bad: hostile } }],
  });
  assert.deepEqual(note.free, hostile);
  const read = await scope.get(note._id);
  assert.equal(JSON.stringify(read?.free), JSON.stringify(hostile));
  assert.deepEqual(read?.steps, [{ key: 'k', result: { ok: 1, bad: hostile } }]);
  assert.equal(({} as { polluted?: boolean }).polluted, undefined);
  const changed = await scope.update(
    { _id: note._id },
    { $set: { free: [hostile] }, $push: { steps: { key: 'l', result: hostile } } as object },
  );
  assert.deepEqual(changed?.free, [hostile]);
  assert.deepEqual(changed?.steps?.[1]?.result, hostile);
  const [found] = await scope.aggregate<Note>([{ $match: { _id: note._id } }, { $project: { free: 1 } }]);
  assert.deepEqual(found?.free, [hostile]);
  const plain = await scope.insert({ title: title(), free: { kind: 'plain', empty: {}, nested: { n: 3 } } });
  const byField = await scope.findOne({ 'free.nested.n': 3 } as object);
  assert.deepEqual(byField, plain, 'safe values can be queried');
  await scope.update({ _id: plain._id }, { $set: { free: { nested: { n: { n: {} } } } } });
  assert.deepEqual((await scope.get(plain._id))?.free, { nested: { n: { n: {} } } });
});

test('large documents: over 16 MiB is refused with a clear error', async () => {
  const huge = { title: title(), free: 'x'.repeat(17 * 1024 * 1024) };
  await assert.rejects(notes.in(a).insert(huge), { kind: 'too_large', code: 'DOCUMENT_TOO_LARGE' });
  assert.equal(await notes.in(a).count({ title: huge.title }), 0);
});

test('declaring a collection again gives the same one; differently is refused', () => {
  const declare = (extra: object) =>
    database.tenantModel<{ value: string }>(
      'twice',
      { value: String, ...extra },
      { indexes: [{ fields: { value: 1 } }] },
    );
  declare({});
  declare({});
  assert.throws(() => declare({ more: Number }), /declared twice/);
  assert.throws(() => database.globalModel('twice', { value: String }), /declared twice/);
});

test('ready: makes the indexes with the tenant first, and replaces one whose options changed', async () => {
  const indexes = await database.connection.collection('notes').listIndexes().toArray();
  const keys = indexes.map(({ key, unique }) => [Object.keys(key).join(), unique === true]);
  assert.deepEqual(keys, [
    ['_id', false],
    ['tenantId,title', true],
    ['rank', false],
  ]);
  await database.connection.collection('expiring').createIndex({ at: 1 }, { expireAfterSeconds: 10 });
  database.globalModel('expiring', { at: Date }, { indexes: [{ fields: { at: 1 }, expireAfterSeconds: 20 }] });
  await database.ready();
  const [, made] = await database.connection.collection('expiring').listIndexes().toArray();
  assert.equal(made?.expireAfterSeconds, 20);
  await database.ping();
});

test('updateEach: many sums in one command, each within its tenant', async () => {
  const all = notes.acrossTenants('a batch of sums of several tenants');
  const [first, second] = [title(), title()];
  const add = (tenantId: string, name: string, by: number) => ({
    filter: { tenantId, title: name },
    update: { $inc: { rank: by } },
    upsert: true,
  });
  await all.updateEach([add('tenant-a', first, 1), add('tenant-a', first, 2), add('tenant-b', first, 5)]);
  await all.updateEach([]);
  assert.equal((await notes.in(a).findOne({ title: first }))?.rank, 3);
  const made = await notes.in(b).findOne({ title: first });
  assert.equal(made?.rank, 5);
  assert.match(made?._id ?? '', /^[0-9a-f-]{36}$/);
  assert.ok(made?.createdAt instanceof Date);
  await notes.in(b).updateEach([{ filter: { title: second }, update: { $inc: { rank: 1 } } }]);
  assert.equal(await notes.in(b).findOne({ title: second }), undefined, 'without upsert nothing is made');
  await notes.in(b).updateEach([{ filter: { title: first }, update: { $inc: { rank: 1 } } }]);
  assert.equal((await notes.in(a).findOne({ title: first }))?.rank, 3, 'the other tenant keeps its own');
  await assert.rejects(
    notes.in(a).updateEach([{ filter: { title: first }, update: { $set: { unknown: 1 } } as never }]),
  );
});

test('updateEach: of writers that make the same document at once all count', async () => {
  const name = title();
  const one = [{ filter: { title: name }, update: { $inc: { rank: 1 } }, upsert: true }];
  await Promise.all(Array.from({ length: 25 }, () => notes.in(a).updateEach(one)));
  assert.equal((await notes.in(a).findOne({ title: name }))?.rank, 25);
});

test('insertMany: trusted documents get id, times and tenant, and are stored as they are', async () => {
  const [first, second] = [title(), title()];
  const documents = [
    { title: first, free: { 'a.b': 1 } },
    { title: second, rank: 3 },
  ];
  assert.equal(await notes.in(a).insertMany(documents, { trusted: true }), 2);
  const stored = await notes.in(a).findOne({ title: first });
  assert.match(stored?._id ?? '', /^[0-9a-f-]{36}$/);
  assert.ok(stored?.createdAt instanceof Date);
  assert.deepEqual([stored.tenantId, stored.free, stored.rank], ['tenant-a', { 'a.b': 1 }, undefined]);
  const foreign = { title: title(), tenantId: 'tenant-b' };
  await assert.rejects(notes.in(a).insertMany([foreign], { trusted: true }), TypeError);
});

test('updateEach: trusted changes go out as they are, within the tenant, and tell how many were there', async () => {
  const [first, second] = ['trusted first', 'trusted second'];
  await notes.in(a).insert({ title: first, rank: 1 });
  await notes.in(b).insert({ title: second, rank: 1 });
  const set = (title: string, rank: number) => ({ filter: { title }, update: { $set: { rank } } });
  assert.equal(await notes.in(a).updateEach([set(first, 2), set(second, 2)], { trusted: true }), 1);
  assert.equal((await notes.in(a).findOne({ title: first }))?.rank, 2);
  assert.equal((await notes.in(b).findOne({ title: second }))?.rank, 1);
  assert.equal(await notes.in(a).updateEach([], { trusted: true }), 0);
  const wrong = [{ filter: { title: first }, update: { $set: { tenantId: 'tenant-b' } } as never }];
  await assert.rejects(notes.in(a).updateEach(wrong, { trusted: true }), /tenantId/);
});

test('insert: trusted documents of many callers share commands; each learns of its own alone', async () => {
  const names = Array.from({ length: 40 }, () => title());
  const inserts = names.map((one, at) =>
    notes.in(at % 2 === 0 ? a : b).insert({ title: one, rank: at }, { trusted: true }),
  );
  const stored = await Promise.all(inserts);
  for (const [at, document] of stored.entries()) {
    const { _id, createdAt, updatedAt, ...rest } = document;
    assert.deepEqual(rest, { title: names[at], rank: at, tenantId: (at % 2 === 0 ? a : b).tenantId });
    assert.deepEqual(createdAt, updatedAt);
    assert.deepEqual(await notes.in(at % 2 === 0 ? a : b).get(_id), document);
  }

  const [fresh, other] = [title(), title()];
  const large = { title: title(), free: 'x'.repeat(17 * 1024 * 1024) };
  const mixed = await Promise.allSettled(
    [{ title: fresh }, { title: names[0] ?? '' }, large, { title: other }, { title: fresh }].map((one) =>
      notes.in(a).insert({ rank: 1, ...one }, { trusted: true }),
    ),
  );
  assert.deepEqual(
    mixed.map((result) => (result.status === 'fulfilled' ? result.value.title : result.reason.code)),
    [fresh, 'DUPLICATE', 'DOCUMENT_TOO_LARGE', other, 'DUPLICATE'],
  );
  assert.equal(await notes.in(a).count({ title: fresh }), 1);
});

test('update: a trusted change goes out as it is, within the tenant, and gives the document', async () => {
  const one = title();
  const before = await notes.in(a).insert({ title: one, rank: 1 });
  const change = { $set: { rank: 5 } };
  assert.equal(await notes.in(b).update({ title: one }, change, { trusted: true }), undefined);
  const after = await notes.in(a).update({ title: one }, change, { trusted: true });
  assert.equal(after?.rank, 5);
  assert.ok(after && after.updatedAt >= before.updatedAt);
  assert.deepEqual(await notes.in(a).get(before._id), after);
  await assert.rejects(notes.in(a).update({ titel: one } as never, change, { trusted: true }), /titel/);
  const foreign = { $set: { tenantId: 'tenant-b' } } as never;
  await assert.rejects(notes.in(a).update({ title: one }, foreign, { trusted: true }), TypeError);
});
