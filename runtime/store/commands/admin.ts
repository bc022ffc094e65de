import { existsSync, statSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { Binary, type Doc, decode, encode, isDoc, type Raw, toNumber } from '../bson.ts';
import { copyDatabase } from '../copy.ts';
import { type Collection, checkNamespace } from '../database.ts';
import { type Engine, optionalDoc, type Reply, type Request } from '../engine.ts';
import { CommandError } from '../errors.ts';
import { type Index, indexEntries, parseIndexSpec, sameKey, sameOptions } from '../indexes.ts';
import { equal } from '../keys.ts';
import { compileFilter } from '../match.ts';
import { matching } from '../query.ts';

const everything = compileFilter({});

function existing(engine: Engine, request: Request): Collection {
  const collection = engine.collection(request);
  if (!collection) throw new CommandError(26, 'ns not found');
  return collection;
}

async function* once(docs: Doc[]): AsyncGenerator<Raw[]> {
  if (docs.length > 0) yield docs.map(encode);
}

// --- collections ---------------------------------------------------------------------------------

const ignoredOptions = [
  'writeConcern',
  'comment',
  'lsid',
  'autoIndexId',
  'storageEngine',
  'indexOptionDefaults',
  'collation',
  'size',
  'max',
  'capped',
  'maxTimeMS',
];

export async function createCommand(engine: Engine, request: Request): Promise<Reply> {
  const { body } = request;
  const name = engine.collectionName(request);
  for (const option of ['timeseries', 'viewOn', 'clusteredIndex', 'encryptedFields', 'changeStreamPreAndPostImages']) {
    if (body[option] !== undefined)
      throw new CommandError(238, `The option '${option}' of create is not supported by the embedded store`);
  }
  if (body.capped === true)
    throw new CommandError(238, 'Capped collections are not supported by the embedded store; use a TTL index');
  if (isDoc(body.collation) && body.collation.locale !== 'simple')
    throw new CommandError(238, 'Collations are not supported by the embedded store');
  const options: Doc = {};
  for (const key of ['validator', 'validationLevel', 'validationAction'])
    if (body[key] !== undefined) options[key] = body[key];
  for (const key of Object.keys(body)) {
    if (key !== 'create' && !key.startsWith('$') && !(key in options) && !ignoredOptions.includes(key))
      throw new CommandError(40415, `BSON field 'create.${key}' is an unknown field.`);
  }
  checkValidator(options);
  const found = engine.collection(request);
  if (found) {
    if (equal(found.options, options)) return {};
    throw new CommandError(48, `Collection ${request.db}.${name} already exists.`);
  }
  engine.database.create(request.db, name, options);
  return {};
}

function checkValidator(options: Doc): void {
  if (options.validator !== undefined) compileFilter(options.validator);
  if (options.validationLevel !== undefined && !['off', 'strict', 'moderate'].includes(String(options.validationLevel)))
    throw new CommandError(
      2,
      `Enumeration value '${options.validationLevel}' for field 'validationLevel' is not a valid value.`,
    );
  if (options.validationAction !== undefined && !['error', 'warn'].includes(String(options.validationAction)))
    throw new CommandError(
      2,
      `Enumeration value '${options.validationAction}' for field 'validationAction' is not a valid value.`,
    );
}

export async function collModCommand(engine: Engine, request: Request): Promise<Reply> {
  const { body } = request;
  const collection = existing(engine, request);
  const reply: Reply = {};
  const options = { ...collection.options };
  for (const key of ['validator', 'validationLevel', 'validationAction'])
    if (body[key] !== undefined) options[key] = body[key];
  checkValidator(options);
  if (isDoc(body.index)) {
    const index = findIndex(collection, body.index.name ?? body.index.keyPattern);
    if (body.index.expireAfterSeconds !== undefined) {
      const seconds = toNumber(body.index.expireAfterSeconds);
      if (seconds === undefined || !(seconds >= 0))
        throw new CommandError(72, 'expireAfterSeconds must be a number of at least 0');
      if (index.fields.length > 1 || index.spec.name === '_id_')
        throw new CommandError(72, 'TTL indexes are single-field indexes and not on _id');
      if (index.spec.expireAfterSeconds !== undefined) reply.expireAfterSeconds_old = index.spec.expireAfterSeconds;
      index.spec.expireAfterSeconds = body.index.expireAfterSeconds;
      reply.expireAfterSeconds_new = seconds;
    }
    if (body.index.hidden !== undefined) {
      reply.hidden_old = index.spec.hidden ?? false;
      index.spec.hidden = body.index.hidden === true;
      reply.hidden_new = index.spec.hidden;
    }
    engine.database.saveIndex(index);
  }
  engine.database.setOptions(collection, options);
  return reply;
}

export async function dropCommand(engine: Engine, request: Request): Promise<Reply> {
  const collection = engine.collection(request);
  if (!collection) {
    checkNamespace(request.db, engine.collectionName(request));
    return {}; // since 7.0 dropping what is not there succeeds
  }
  const nIndexesWas = collection.indexes.size;
  await killCursorsOf(engine, collection);
  engine.database.drop(collection);
  return { nIndexesWas, ns: `${request.db}.${collection.name}` };
}

async function killCursorsOf(engine: Engine, collection: Collection): Promise<void> {
  for (const cursor of [...engine.cursors.values()])
    if (cursor.ns === `${collection.db}.${collection.name}`) await engine.killCursor(cursor.id);
}

export async function dropDatabaseCommand(engine: Engine, request: Request): Promise<Reply> {
  for (const collection of engine.database.ofDatabase(request.db)) {
    await killCursorsOf(engine, collection);
    engine.database.drop(collection);
  }
  return { dropped: request.db };
}

export async function renameCollectionCommand(engine: Engine, request: Request): Promise<Reply> {
  const { renameCollection: from, to, dropTarget } = request.body;
  if (typeof from !== 'string' || typeof to !== 'string')
    throw new CommandError(14, 'renameCollection needs two namespaces');
  const split = (ns: string): [string, string] => [ns.slice(0, ns.indexOf('.')), ns.slice(ns.indexOf('.') + 1)];
  const source = engine.database.find(...split(from));
  if (!source) throw new CommandError(26, `Source collection ${from} does not exist`);
  if (from === to) throw new CommandError(20, 'cannot rename a collection to itself');
  const target = engine.database.find(...split(to));
  checkNamespace(...split(to));
  if (target && dropTarget !== true) throw new CommandError(48, 'target namespace exists');
  if (target) engine.database.drop(target);
  await killCursorsOf(engine, source);
  engine.database.rename(source, ...split(to));
  return {};
}

export async function listCollectionsCommand(engine: Engine, request: Request): Promise<Reply> {
  const { body, db } = request;
  const filter = compileFilter(optionalDoc(body.filter, 'filter'));
  const docs = engine.database
    .ofDatabase(db)
    .map(({ name, uuid, options }): Doc => {
      const info = { readOnly: false, uuid: new Binary(Buffer.from(uuid.replaceAll('-', ''), 'hex'), 4) };
      const idIndex = { v: 2, key: { _id: 1 }, name: '_id_' };
      return { name, type: 'collection', options, info, idIndex };
    })
    .filter((doc) => filter.test(doc))
    .map((doc) => (body.nameOnly === true ? { name: doc.name, type: doc.type } : doc));
  return engine.openCursor(`${db}.$cmd.listCollections`, once(docs), engine.operation(body), {
    batchSize: optionalDoc(body.cursor, 'cursor').batchSize,
  });
}

export async function listDatabasesCommand(engine: Engine, request: Request): Promise<Reply> {
  const names = [...new Set([...engine.database.collections.values()].map(({ db }) => db))].sort();
  const filter = compileFilter(optionalDoc(request.body.filter, 'filter'));
  const pages = Number(engine.database.sqlite.prepare('PRAGMA page_count').get()?.page_count ?? 0);
  const databases = names
    .map((name): Doc => ({ name, sizeOnDisk: pages * 4096, empty: false }))
    .filter((doc) => filter.test(doc));
  return {
    databases: request.body.nameOnly === true ? databases.map(({ name }) => ({ name })) : databases,
    totalSize: pages * 4096,
  };
}

// --- indexes -------------------------------------------------------------------------------------

export async function createIndexesCommand(engine: Engine, request: Request): Promise<Reply> {
  const { body, db } = request;
  const name = engine.collectionName(request);
  if (!Array.isArray(body.indexes) || body.indexes.length === 0)
    throw new CommandError(2, 'Must specify at least one index to create');
  const specs = body.indexes.map(parseIndexSpec);
  const created = engine.collection(request) === undefined;
  const collection = engine.collection(request) ?? engine.database.create(db, name);
  const numIndexesBefore = collection.indexes.size;
  for (const spec of specs) {
    const same = [...collection.indexes.values()].find(
      (index) =>
        sameKey(index.spec.key, spec.key) && equal(index.spec.partialFilterExpression, spec.partialFilterExpression),
    );
    if (same) {
      if (same.spec.name === '_id_') continue;
      const details = ` Requested index: { name: "${spec.name}" }, existing index: { name: "${same.spec.name}" }`;
      if (!sameOptions(same.spec, spec)) {
        const code = same.spec.name === spec.name ? 86 : 85;
        throw new CommandError(
          code,
          `An equivalent index already exists with the same name but different options.${details}`,
        );
      }
      if (same.spec.name !== spec.name)
        throw new CommandError(85, `Index already exists with a different name: ${same.spec.name}`);
      continue;
    }
    if (collection.indexes.has(spec.name))
      throw new CommandError(86, `An existing index has the same name as the requested index: ${spec.name}`);
    if (collection.indexes.size >= 64) throw new CommandError(67, 'add index fails, too many indexes');
    await buildIndex(engine, collection, spec, request);
  }
  return { numIndexesBefore, numIndexesAfter: collection.indexes.size, createdCollectionAutomatically: created };
}

/** Fills a new index in slices; documents written meanwhile are entered by their writers and skipped here. */
async function buildIndex(
  engine: Engine,
  collection: Collection,
  spec: Parameters<Engine['database']['addIndex']>[1],
  request: Request,
): Promise<void> {
  const { database } = engine;
  const operation = engine.operation(request.body);
  const index = database.addIndex(collection, { ...spec, hidden: true, building: true });
  const last = Number(
    (database.rows(`SELECT max(rid) FROM ${collection.table}`).get() as unknown as [number | null])[0] ?? 0,
  );
  try {
    for await (const rows of matching(database, collection, { kind: 'scan', reverse: false }, everything, operation)) {
      for (const { rid } of rows) {
        const raw = rid <= last ? database.read(collection, rid) : undefined;
        if (raw) database.fill(collection, index, rid, raw);
        if (operation.due) await operation.pause();
      }
    }
  } catch (error) {
    if (collection.indexes.get(spec.name) === index) database.dropIndex(collection, index);
    throw error;
  }
  index.spec = spec;
  database.saveIndex(index);
}

function findIndex(collection: Collection, wanted: unknown): Index {
  const index = [...collection.indexes.values()].find(({ spec }) =>
    typeof wanted === 'string' ? spec.name === wanted : isDoc(wanted) && sameKey(spec.key, wanted),
  );
  if (!index)
    throw new CommandError(
      27,
      typeof wanted === 'string' ? `index not found with name [${wanted}]` : "can't find index with key",
    );
  return index;
}

export async function dropIndexesCommand(engine: Engine, request: Request): Promise<Reply> {
  const collection = existing(engine, request);
  const wanted = request.body.index;
  const nIndexesWas = collection.indexes.size;
  const found =
    wanted === '*'
      ? [...collection.indexes.values()].filter(({ spec }) => spec.name !== '_id_')
      : (Array.isArray(wanted) ? wanted : [wanted]).map((item) => findIndex(collection, item));
  for (const index of found) {
    if (index.spec.name === '_id_') throw new CommandError(72, 'cannot drop _id index');
    engine.database.dropIndex(collection, index);
  }
  return { nIndexesWas };
}

export async function listIndexesCommand(engine: Engine, request: Request): Promise<Reply> {
  const collection = engine.collection(request);
  const ns = `${request.db}.${engine.collectionName(request)}`;
  if (!collection) throw new CommandError(26, `ns does not exist: ${ns}`);
  const docs = [...collection.indexes.values()].map(({ spec }) =>
    spec.name === '_id_' ? { v: 2, key: spec.key, name: spec.name } : spec,
  );
  return engine.openCursor(ns, once(docs), engine.operation(request.body), {
    batchSize: optionalDoc(request.body.cursor, 'cursor').batchSize,
  });
}

// --- the server ----------------------------------------------------------------------------------

export async function collStatsCommand(engine: Engine, request: Request): Promise<Reply> {
  const collection = engine.collection(request);
  const ns = `${request.db}.${engine.collectionName(request)}`;
  if (!collection) return { ns, count: 0, size: 0, storageSize: 0, nindexes: 0, totalIndexSize: 0, indexSizes: {} };
  return {
    ns,
    count: engine.database.count(collection),
    nindexes: collection.indexes.size,
    size: 0,
    storageSize: 0,
    totalIndexSize: 0,
    indexSizes: {},
  };
}

export async function dbStatsCommand(engine: Engine, request: Request): Promise<Reply> {
  const collections = engine.database.ofDatabase(request.db);
  const objects = collections.reduce((sum, collection) => sum + engine.database.count(collection), 0);
  return {
    db: request.db,
    collections: collections.length,
    views: 0,
    objects,
    indexes: collections.reduce((sum, { indexes }) => sum + indexes.size, 0),
  };
}

export async function serverStatusCommand(engine: Engine): Promise<Reply> {
  const memory = process.memoryUsage();
  return {
    host: 'embedded',
    version: '7.0.0',
    process: 'koagent-store',
    pid: process.pid,
    uptime: Math.round((Date.now() - engine.started) / 1000),
    localTime: new Date(),
    mem: { resident: Math.round(memory.rss / 1048576), supported: true },
    opcounters: { ...engine.counters },
    metrics: { cursor: { open: { total: engine.cursors.size } }, queryMemoryBytes: engine.memory.used },
    storageEngine: { name: 'sqlite' },
  };
}

/** Our own command: an online copy of the whole store into a file that must not exist yet. */
export async function backupCommand(engine: Engine, request: Request): Promise<Reply> {
  const file = request.body.koagentBackup;
  if (typeof file !== 'string' || !isAbsolute(file)) throw new CommandError(2, 'koagentBackup needs an absolute path');
  if (existsSync(file)) throw new CommandError(2, `${file} exists already`);
  await copyDatabase(engine.database.sqlite, file);
  return { bytes: statSync(file).size };
}

/** Checks that every index agrees with the documents, and the file with itself. */
export async function validateCommand(engine: Engine, request: Request): Promise<Reply> {
  const collection = existing(engine, request);
  const { database } = engine;
  const operation = engine.operation(request.body);
  const errors: string[] = [];
  const expected = new Map<string, number>();
  let nrecords = 0;
  for await (const rows of matching(database, collection, { kind: 'scan', reverse: false }, everything, operation)) {
    for (const { rid, raw } of rows) {
      nrecords++;
      const doc = decode(raw);
      for (const index of collection.indexes.values()) {
        const { keys } = indexEntries(index, doc);
        expected.set(index.spec.name, (expected.get(index.spec.name) ?? 0) + keys.length);
        for (const key of keys) {
          const found = database.rows(`SELECT 1 FROM ${index.table} WHERE k = ? AND rid = ?`).get(key, rid);
          if (!found) errors.push(`index ${index.spec.name} lacks an entry of row ${rid}`);
        }
      }
    }
  }
  const keysPerIndex: Doc = {};
  for (const index of collection.indexes.values()) {
    const [entries] = database.rows(`SELECT count(*) FROM ${index.table}`).get() as unknown as [number];
    keysPerIndex[index.spec.name] = entries;
    if (entries !== (expected.get(index.spec.name) ?? 0))
      errors.push(`index ${index.spec.name} has ${entries} entries instead of ${expected.get(index.spec.name) ?? 0}`);
  }
  if (collection.count !== undefined && collection.count !== nrecords)
    errors.push(`the count is ${collection.count} instead of ${nrecords}`);
  if (request.body.full === true) {
    const [result] = database.rows('PRAGMA integrity_check').get() as unknown as [string];
    if (result !== 'ok') errors.push(result);
  }
  return {
    ns: `${collection.db}.${collection.name}`,
    nrecords,
    nIndexes: collection.indexes.size,
    keysPerIndex,
    valid: errors.length === 0,
    errors: errors.slice(0, 20),
    warnings: [],
  };
}
