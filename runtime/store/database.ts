import { randomUUID } from 'node:crypto';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { type Doc, decode, encode, FieldSet, pick, type Raw, toNumber } from './bson.ts';
import { CommandError } from './errors.ts';
import { type Index, type IndexSpec, indexEntries, indexFields } from './indexes.ts';
import { encodeIndexPart, encodeKey } from './keys.ts';
import { compileFilter, type Filter } from './match.ts';

/** A statement that gives rows as arrays. */
export type Rows = StatementSync;

export interface CollectionOptions extends Doc {
  validator?: Doc;
  validationLevel?: string;
  validationAction?: string;
}

export interface Collection {
  id: number;
  db: string;
  name: string;
  uuid: string;
  options: CollectionOptions;
  validator: Filter | undefined;
  indexes: Map<string, Index>;
  /** Fields that some index reads; undefined when a partial index needs the whole document. */
  indexed: FieldSet | undefined;
  /** Known after the first count; kept up to date from then on. */
  count: number | undefined;
  table: string;
  insert: StatementSync;
  replace: StatementSync;
  remove: StatementSync;
  byRid: Rows;
  byId: Rows;
}

const formatVersion = 1;

/** Collections that `$out` fills before they take the place of the target. */
export const unfinishedPrefix = 'tmp.out.';

/** Opens the file: one table per collection and per index, the catalogue in two more. */
export class Database {
  readonly sqlite: DatabaseSync;
  readonly collections = new Map<string, Collection>();
  #inTransaction = false;
  /** How often a group of writes was taken back; a command that spans such a moment has lost writes. */
  rollbacks = 0;
  #onBegin: () => void = () => undefined;
  #statements = new Map<string, StatementSync>();

  /**
   * @throws an SQLite error "database is locked" when another process or thread owns the file
   */
  constructor(file: string, options: { cacheMiB: number; maxFileMiB?: number | undefined }) {
    this.sqlite = new DatabaseSync(file, { timeout: 0 });
    // The exclusive lock is the lock of the folder: it falls with the process, whatever way it ends.
    this.sqlite.exec(`PRAGMA locking_mode=EXCLUSIVE; PRAGMA page_size=4096; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
      PRAGMA cache_size=-${options.cacheMiB * 1024}; PRAGMA temp_store=MEMORY; PRAGMA wal_autocheckpoint=2000; PRAGMA journal_size_limit=67108864;
      BEGIN IMMEDIATE;
      CREATE TABLE IF NOT EXISTS collections(id INTEGER PRIMARY KEY AUTOINCREMENT, db TEXT NOT NULL, name TEXT NOT NULL, uuid TEXT NOT NULL, options BLOB NOT NULL, UNIQUE(db, name));
      CREATE TABLE IF NOT EXISTS indexes(id INTEGER PRIMARY KEY AUTOINCREMENT, collection INTEGER NOT NULL, spec BLOB NOT NULL, multikey TEXT NOT NULL, cut INTEGER NOT NULL);
      COMMIT;`);
    if (options.maxFileMiB) this.sqlite.exec(`PRAGMA max_page_count=${options.maxFileMiB * 256}`);
    const version = toNumber(this.sqlite.prepare('PRAGMA user_version').get()?.user_version) ?? 0;
    if (version > formatVersion)
      throw new Error(
        `The data folder was written by a newer version of Koagent (format ${version}, known ${formatVersion}).`,
      );
    this.sqlite.exec(`PRAGMA user_version=${formatVersion}`);
    this.load();
  }

  /** Reads the catalogue, at the start and after a rollback. */
  load(): void {
    this.collections.clear();
    this.#statements.clear();
    const rows = this.sqlite.prepare('SELECT id, db, name, uuid, options FROM collections').all();
    for (const row of rows) {
      const collection = this.#attach(
        Number(row.id),
        String(row.db),
        String(row.name),
        String(row.uuid),
        decode(row.options as Uint8Array),
      );
      const indexes = this.sqlite
        .prepare('SELECT id, spec, multikey, cut FROM indexes WHERE collection = ? ORDER BY id')
        .all(collection.id);
      for (const row of indexes) {
        const spec = decode(row.spec as Uint8Array) as IndexSpec;
        const index = this.#attachIndex(collection, Number(row.id), spec, String(row.multikey), row.cut === 1);
        if (spec.building) this.#discard(collection, index); // its build was cut off
      }
      this.#refresh(collection);
      if (collection.name.startsWith(unfinishedPrefix)) this.#erase(collection); // its $out was cut off
    }
  }

  // --- transactions -----------------------------------------------------------------------------

  get inTransaction(): boolean {
    return this.#inTransaction;
  }

  onBegin(listener: () => void): void {
    this.#onBegin = listener;
  }

  /** All writes of one turn share a transaction; the first one opens it. */
  begin(): void {
    if (this.#inTransaction) return;
    this.sqlite.exec('BEGIN IMMEDIATE');
    this.#inTransaction = true;
    this.#onBegin();
  }

  commit(): void {
    this.sqlite.exec('COMMIT');
    this.#inTransaction = false;
  }

  /** Takes the whole group back; what is in memory is read again. */
  rollback(): void {
    if (this.sqlite.isTransaction) this.sqlite.exec('ROLLBACK');
    this.#inTransaction = false;
    this.rollbacks++;
    this.load();
  }

  /** A prepared statement with rows as arrays, kept for the next time. */
  rows(sql: string): Rows {
    let statement = this.#statements.get(sql);
    if (!statement) {
      if (this.#statements.size > 500) this.#statements.clear();
      statement = this.sqlite.prepare(sql);
      statement.setReturnArrays(true);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  // --- catalogue --------------------------------------------------------------------------------

  find(db: string, name: string): Collection | undefined {
    return this.collections.get(`${db}.${name}`);
  }

  ofDatabase(db: string): Collection[] {
    return [...this.collections.values()].filter((collection) => collection.db === db);
  }

  /**
   * Long queries and writes hold a collection over pauses; it may be dropped or read again meanwhile.
   *
   * @throws {CommandError} 175 when it is no longer the one of the catalogue
   */
  checkAlive(collection: Collection, index?: Index): void {
    if (this.find(collection.db, collection.name) !== collection)
      throw new CommandError(175, 'The collection was dropped or renamed during the operation');
    if (index && collection.indexes.get(index.spec.name) !== index)
      throw new CommandError(175, `The index ${index.spec.name} was dropped during the operation`);
  }

  create(db: string, name: string, options: CollectionOptions = {}): Collection {
    checkNamespace(db, name);
    this.begin();
    const uuid = randomUUID();
    const { lastInsertRowid } = this.sqlite
      .prepare('INSERT INTO collections(db, name, uuid, options) VALUES (?, ?, ?, ?)')
      .run(db, name, uuid, encode(options));
    const id = Number(lastInsertRowid);
    this.sqlite.exec(`CREATE TABLE c${id}(rid INTEGER PRIMARY KEY, doc BLOB NOT NULL)`);
    const collection = this.#attach(id, db, name, uuid, options);
    this.addIndex(collection, { v: 2, key: { _id: 1 }, name: '_id_', unique: true });
    collection.count = 0;
    return collection;
  }

  /** Makes the table of an index and its catalogue row; the caller fills it. */
  addIndex(collection: Collection, spec: IndexSpec): Index {
    this.checkAlive(collection);
    this.begin();
    const { lastInsertRowid } = this.sqlite
      .prepare('INSERT INTO indexes(collection, spec, multikey, cut) VALUES (?, ?, ?, 0)')
      .run(collection.id, encode(spec), '');
    const id = Number(lastInsertRowid);
    this.sqlite.exec(
      spec.unique
        ? `CREATE TABLE i${id}(k BLOB PRIMARY KEY, rid INTEGER NOT NULL) WITHOUT ROWID`
        : `CREATE TABLE i${id}(k BLOB NOT NULL, rid INTEGER NOT NULL, PRIMARY KEY(k, rid)) WITHOUT ROWID`,
    );
    const index = this.#attachIndex(collection, id, spec, '', false);
    this.#refresh(collection);
    return index;
  }

  dropIndex(collection: Collection, index: Index): void {
    this.checkAlive(collection, index);
    this.begin();
    this.#discard(collection, index);
    this.#refresh(collection);
  }

  #discard(collection: Collection, index: Index): void {
    this.#statements.clear();
    collection.indexes.delete(index.spec.name);
    this.sqlite.exec(`DROP TABLE ${index.table}`);
    this.sqlite.prepare('DELETE FROM indexes WHERE id = ?').run(index.id);
  }

  drop(collection: Collection): void {
    this.checkAlive(collection);
    this.begin();
    this.#erase(collection);
  }

  #erase(collection: Collection): void {
    for (const index of [...collection.indexes.values()]) this.#discard(collection, index);
    this.sqlite.exec(`DROP TABLE ${collection.table}`);
    this.sqlite.prepare('DELETE FROM collections WHERE id = ?').run(collection.id);
    this.collections.delete(`${collection.db}.${collection.name}`);
  }

  rename(collection: Collection, db: string, name: string): void {
    this.checkAlive(collection);
    checkNamespace(db, name);
    this.begin();
    this.sqlite.prepare('UPDATE collections SET db = ?, name = ? WHERE id = ?').run(db, name, collection.id);
    this.collections.delete(`${collection.db}.${collection.name}`);
    collection.db = db;
    collection.name = name;
    this.collections.set(`${db}.${name}`, collection);
  }

  setOptions(collection: Collection, options: CollectionOptions): void {
    this.begin();
    collection.options = options;
    collection.validator = options.validator && compileFilter(options.validator);
    this.sqlite.prepare('UPDATE collections SET options = ? WHERE id = ?').run(encode(options), collection.id);
  }

  /** Writes a changed definition, multikey or cut flag of an index. */
  saveIndex(index: Index): void {
    this.begin();
    const multikey = index.multikey.map((flag) => (flag ? '1' : '0')).join('');
    this.sqlite
      .prepare('UPDATE indexes SET spec = ?, multikey = ?, cut = ? WHERE id = ?')
      .run(encode(index.spec), multikey, index.cut ? 1 : 0, index.id);
  }

  #attach(id: number, db: string, name: string, uuid: string, options: CollectionOptions): Collection {
    const table = `c${id}`;
    const collection: Collection = {
      id,
      db,
      name,
      uuid,
      options,
      validator: options.validator && compileFilter(options.validator),
      indexes: new Map(),
      indexed: new FieldSet([]),
      count: undefined,
      table,
      insert: this.sqlite.prepare(`INSERT INTO ${table}(doc) VALUES (?)`),
      replace: this.sqlite.prepare(`UPDATE ${table} SET doc = ? WHERE rid = ?`),
      remove: this.sqlite.prepare(`DELETE FROM ${table} WHERE rid = ?`),
      byRid: this.sqlite.prepare(`SELECT doc FROM ${table} WHERE rid = ?`),
      byId: this.sqlite.prepare(`SELECT rid, doc FROM ${table} WHERE rid = ?`), // replaced when the _id index is attached
    };
    collection.byRid.setReturnArrays(true);
    this.collections.set(`${db}.${name}`, collection);
    return collection;
  }

  #attachIndex(collection: Collection, id: number, spec: IndexSpec, multikey: string, cut: boolean): Index {
    const table = `i${id}`;
    const fields = indexFields(spec.key);
    const index: Index = {
      id,
      spec,
      fields,
      unique: spec.unique === true,
      sparse: spec.sparse === true,
      partial: spec.partialFilterExpression && compileFilter(spec.partialFilterExpression),
      multikey: fields.map((_, i) => multikey[i] === '1'),
      cut,
      table,
      insert: this.sqlite.prepare(`INSERT INTO ${table}(k, rid) VALUES (?, ?)`),
      remove: this.sqlite.prepare(`DELETE FROM ${table} WHERE k = ? AND rid = ?`),
      find: this.sqlite.prepare(`SELECT rid FROM ${table} WHERE k = ?`),
    };
    index.find.setReturnArrays(true);
    collection.indexes.set(spec.name, index);
    if (spec.name === '_id_') {
      collection.byId = this.sqlite.prepare(
        `SELECT d.rid, d.doc FROM ${table} i JOIN ${collection.table} d ON d.rid = i.rid WHERE i.k = ?`,
      );
      collection.byId.setReturnArrays(true);
    }
    return index;
  }

  #refresh(collection: Collection): void {
    const paths = ['_id'];
    let whole = false;
    for (const index of collection.indexes.values()) {
      for (const { path } of index.fields) paths.push(path);
      if (!index.partial) continue;
      if (!index.partial.paths || index.partial.typed) whole = true;
      else paths.push(...index.partial.paths);
    }
    collection.indexed = whole ? undefined : new FieldSet(paths);
  }

  // --- documents --------------------------------------------------------------------------------

  /** Number of documents; the first time it counts the entries of the `_id` index. */
  count(collection: Collection): number {
    this.checkAlive(collection);
    collection.count ??= Number(
      (this.rows(`SELECT count(*) FROM ${collection.indexes.get('_id_')?.table}`).get() as unknown as number[])[0],
    );
    return collection.count;
  }

  insert(collection: Collection, raw: Raw): number {
    this.checkAlive(collection);
    const doc = this.#indexedPart(collection, raw);
    this.begin();
    const prepared = [...collection.indexes.values()].map((index) => ({ index, entries: indexEntries(index, doc) }));
    for (const { index, entries } of prepared)
      if (index.unique) this.#checkUnique(collection, index, entries.keys, undefined, doc);
    const rid = Number(collection.insert.run(raw).lastInsertRowid);
    for (const { index, entries } of prepared) {
      for (const key of entries.keys) index.insert.run(key, rid);
      this.#mark(index, entries);
    }
    if (collection.count !== undefined) collection.count++;
    return rid;
  }

  replace(collection: Collection, rid: number, before: Raw, raw: Raw): void {
    this.checkAlive(collection);
    const old = this.#indexedPart(collection, before);
    const doc = this.#indexedPart(collection, raw);
    this.begin();
    const changes: { index: Index; gone: Buffer[]; fresh: Buffer[] }[] = [];
    for (const index of collection.indexes.values()) {
      const was = indexEntries(index, old).keys;
      const entries = indexEntries(index, doc);
      const gone = was.filter((key) => !entries.keys.some((other) => other.equals(key)));
      const fresh = entries.keys.filter((key) => !was.some((other) => other.equals(key)));
      if (index.unique) this.#checkUnique(collection, index, fresh, rid, doc);
      this.#mark(index, entries);
      if (gone.length > 0 || fresh.length > 0) changes.push({ index, gone, fresh });
    }
    for (const { index, gone, fresh } of changes) {
      for (const key of gone) index.remove.run(key, rid);
      for (const key of fresh) index.insert.run(key, rid);
    }
    collection.replace.run(raw, rid);
  }

  remove(collection: Collection, rid: number, raw: Raw): void {
    this.checkAlive(collection);
    const doc = this.#indexedPart(collection, raw);
    this.begin();
    for (const index of collection.indexes.values())
      for (const key of indexEntries(index, doc).keys) index.remove.run(key, rid);
    collection.remove.run(rid);
    if (collection.count !== undefined) collection.count--;
  }

  /** Adds the entries of one stored document to a new index. */
  fill(collection: Collection, index: Index, rid: number, raw: Raw): void {
    this.checkAlive(collection, index);
    this.begin();
    const doc = this.#indexedPart(collection, raw);
    const entries = indexEntries(index, doc);
    if (index.unique) this.#checkUnique(collection, index, entries.keys, rid, doc);
    for (const key of entries.keys) {
      // An update during the build may have entered the document already.
      const there = this.rows(`SELECT 1 FROM ${index.table} WHERE k = ? AND rid = ?`).get(key, rid);
      if (!there) index.insert.run(key, rid);
    }
    this.#mark(index, entries);
  }

  read(collection: Collection, rid: number): Raw | undefined {
    this.checkAlive(collection);
    const row = collection.byRid.get(rid) as unknown as [Uint8Array] | undefined;
    return row?.[0];
  }

  /** The point read by `_id`, the most frequent one. */
  readById(collection: Collection, id: unknown): { rid: number; raw: Raw } | undefined {
    this.checkAlive(collection);
    const row = collection.byId.get(encodeIdKey(id)) as unknown as [number, Uint8Array] | undefined;
    return row && { rid: row[0], raw: row[1] };
  }

  #indexedPart(collection: Collection, raw: Raw): Doc {
    return collection.indexed ? pick(raw, collection.indexed) : decode(raw);
  }

  #mark(index: Index, entries: { multikey: boolean[] | undefined; cut: boolean }): void {
    let changed = entries.cut && !index.cut;
    if (changed) index.cut = true;
    for (const [i, flag] of (entries.multikey ?? []).entries()) {
      if (!flag || index.multikey[i]) continue;
      index.multikey[i] = true;
      changed = true;
    }
    if (changed) this.saveIndex(index);
  }

  #checkUnique(collection: Collection, index: Index, keys: Buffer[], rid: number | undefined, doc: Doc): void {
    for (const key of keys) {
      const row = index.find.get(key) as unknown as [number] | undefined;
      if (!row || row[0] === rid) continue;
      const keyValue: Doc = {};
      for (const { path, parts } of index.fields) keyValue[path] = clashing(doc, parts, key, index.fields.length);
      const shown = Object.entries(keyValue).map(
        ([path, value]) => `${path}: ${typeof value === 'string' ? JSON.stringify(value) : String(value)}`,
      );
      throw new CommandError(
        11000,
        `E11000 duplicate key error collection: ${collection.db}.${collection.name} index: ${index.spec.name} dup key: { ${shown.join(', ')} }`,
        { keyPattern: index.spec.key, keyValue },
      );
    }
  }
}

/** The value to show for a field of a double entry: of an array in a single-field index, the element that clashes. */
function clashing(doc: Doc, parts: string[], key: Buffer, fields: number): unknown {
  const values: unknown[] = [];
  const collect = (value: unknown, at: number): void => {
    const part = parts[at];
    if (Array.isArray(value)) for (const item of value) collect(item, at);
    else if (part === undefined) values.push(value);
    else if (typeof value === 'object' && value !== null)
      collect(Object.hasOwn(value, part) ? (value as Doc)[part] : undefined, at + 1);
    else values.push(undefined);
  };
  collect(doc, 0);
  const hit = fields === 1 ? values.find((value) => encodeKey(value ?? null).equals(key)) : values[0];
  return hit ?? values[0] ?? null;
}

export function encodeIdKey(id: unknown): Buffer {
  return encodeIndexPart(id).bytes;
}

export function checkNamespace(db: string, name: string): void {
  if (db === '' || /[/\\. "$\0]/.test(db) || Buffer.byteLength(db) > 63)
    throw new CommandError(73, `Invalid database name: '${db}'`);
  if (name === '' || name.includes('\0') || name.startsWith('.') || name.includes('$'))
    throw new CommandError(73, `Invalid namespace specified '${db}.${name}'`);
  if (name.startsWith('system.') && name !== 'system.js')
    throw new CommandError(73, `Invalid system namespace: ${db}.${name}`);
  if (Buffer.byteLength(`${db}.${name}`) > 255)
    throw new CommandError(73, `Fully qualified namespace is too long: ${db}.${name}`);
}
