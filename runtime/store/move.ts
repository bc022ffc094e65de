import { createHash } from 'node:crypto';
import { serialize } from 'bson';
import type { Collection, Document, MongoClient } from 'mongodb';

export interface MoveProgress {
  ns: string;
  copied: number;
  total: number;
}

export interface MoveResult {
  ns: string;
  count: number;
  /** SHA-256 over all documents in the order of `_id`. */
  hash: string;
  same: boolean;
}

interface Mark {
  _id: string;
  last?: unknown;
  done?: boolean;
}

const exact = { promoteValues: false, promoteLongs: false, promoteBuffers: false, bsonRegExp: true } as const;
const ownDatabases = new Set(['admin', 'local', 'config']);
const marksName = 'koagent_move_progress';
const batchDocuments = 500;
const batchBytes = 8 * 1024 * 1024;

/**
 * Copies every collection of every database, then compares both sides. After each batch a mark is written on the
 * target, so a copy that was cut off goes on behind it. Documents are written by `_id`, so a repeated batch does no harm.
 */
export async function moveAll(
  source: MongoClient,
  target: MongoClient,
  report: (progress: MoveProgress) => void,
): Promise<MoveResult[]> {
  const names = await namespaces(source);
  for (const [db, name] of names) await copyCollection(source.db(db).collection(name), target, report);
  const results: MoveResult[] = [];
  for (const [db, name] of names) {
    const [here, there] = [await digest(source.db(db).collection(name)), await digest(target.db(db).collection(name))];
    const same = here.count === there.count && here.hash === there.hash;
    results.push({ ns: `${db}.${name}`, ...here, same });
    // What differs is copied anew the next time.
    if (!same) await target.db(db).collection<Mark>(marksName).deleteOne({ _id: name });
  }
  if (results.every(({ same }) => same)) {
    for (const db of new Set(names.map(([db]) => db))) await target.db(db).collection(marksName).drop();
  }
  return results;
}

async function namespaces(client: MongoClient): Promise<[string, string][]> {
  const { databases } = await client.db().admin().listDatabases({ nameOnly: true });
  const found: [string, string][] = [];
  for (const { name: db } of databases) {
    if (ownDatabases.has(db)) continue;
    for (const { name, type } of await client.db(db).listCollections().toArray()) {
      if (type !== 'view' && !name.startsWith('system.') && name !== marksName) found.push([db, name]);
    }
  }
  return found.sort();
}

async function copyCollection(
  from: Collection<Document>,
  target: MongoClient,
  report: (progress: MoveProgress) => void,
): Promise<void> {
  const db = target.db(from.dbName);
  const marks = db.collection<Mark>(marksName);
  const mark = await marks.findOne({ _id: from.collectionName }, exact);
  if (mark?.done) return;
  if (!mark) {
    await prepare(from, target);
    await marks.insertOne({ _id: from.collectionName });
  }
  const to = db.collection(from.collectionName);
  const total = await from.estimatedDocumentCount();
  const filter = mark?.last !== undefined && (await oneType(from, mark.last)) ? { _id: { $gt: mark.last } } : {};
  let copied =
    'last' in (mark ?? {}) && '_id' in filter ? await from.countDocuments({ _id: { $lte: mark?.last } as never }) : 0;
  let batch: Document[] = [];
  let bytes = 0;
  const flush = async (): Promise<void> => {
    if (batch.length === 0) return;
    await to.bulkWrite(
      batch.map((doc) => ({ replaceOne: { filter: { _id: doc._id }, replacement: doc, upsert: true } })),
      { ordered: false },
    );
    await marks.updateOne({ _id: from.collectionName }, { $set: { last: batch.at(-1)?._id } }, { upsert: true });
    copied += batch.length;
    report({ ns: from.namespace, copied, total });
    batch = [];
    bytes = 0;
  };
  for await (const doc of from.find(filter as never, exact).sort({ _id: 1 })) {
    batch.push(doc);
    bytes += serialize(doc).length;
    if (batch.length >= batchDocuments || bytes >= batchBytes) await flush();
  }
  await flush();
  for (const { v: _v, ns: _ns, ...index } of await from.indexes()) {
    if (index.name !== '_id_')
      await to.createIndex(index.key, Object.fromEntries(Object.entries(index).filter(([key]) => key !== 'key')));
  }
  await marks.updateOne({ _id: from.collectionName }, { $set: { done: true } }, { upsert: true });
}

/** An empty collection with the rules of the source; one that is there already must be empty too. */
async function prepare(from: Collection<Document>, target: MongoClient): Promise<void> {
  const db = target.db(from.dbName);
  const there = await db.listCollections({ name: from.collectionName }).hasNext();
  if (there) {
    if ((await db.collection(from.collectionName).estimatedDocumentCount()) > 0) {
      throw new Error(`${from.namespace} exists already at the target and is not empty`);
    }
    await db.collection(from.collectionName).drop();
  }
  const [info] = await from.db.listCollections({ name: from.collectionName }).toArray();
  const options = info && 'options' in info ? (info.options ?? {}) : {};
  const kept = Object.entries(options).filter(([key]) =>
    ['validator', 'validationLevel', 'validationAction'].includes(key),
  );
  await db.createCollection(from.collectionName, Object.fromEntries(kept));
}

/** `$gt` compares within one type only: a mark is of use when all ids have the type of the last one. */
async function oneType(from: Collection<Document>, last: unknown): Promise<boolean> {
  const count = (operator: string) => from.countDocuments({ _id: { [operator]: last } } as never);
  return (await count('$lte')) + (await count('$gt')) === (await from.countDocuments());
}

async function digest(c: Collection<Document>): Promise<{ count: number; hash: string }> {
  const hash = createHash('sha256');
  let count = 0;
  for await (const doc of c.find({}, { ...exact, batchSize: 1000 }).sort({ _id: 1 })) {
    hash.update(serialize(doc));
    count++;
  }
  return { count, hash: hash.digest('hex') };
}
