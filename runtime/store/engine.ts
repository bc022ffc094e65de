import { type Doc, isDoc, type Raw, toNumber } from './bson.ts';
import type { Collection, Database } from './database.ts';
import { CommandError } from './errors.ts';
import { Memory, Operation } from './operation.ts';

/** A command of a client. Documents to insert, update or delete come beside the body, not decoded where possible. */
export interface Request {
  name: string;
  body: Doc;
  db: string;
  /** `documents`, `updates` or `deletes`, as bytes. */
  sequences: Map<string, Raw[]>;
}

export type Reply = Doc & { cursor?: { firstBatch?: unknown; nextBatch?: unknown; id?: unknown; ns?: string } };

export interface Cursor {
  id: number;
  ns: string;
  source: AsyncGenerator<Raw[]>;
  /** Read from the source but not sent yet. */
  left: Raw[];
  leftBytes: number;
  operation: Operation;
  lastUsed: number;
  busy: boolean;
  batchSize: number | undefined;
}

export interface EngineOptions {
  /** Bytes all queries together may hold. */
  memoryBytes: number;
  maxCursors: number;
  cursorTimeoutMs: number;
}

const batchBytes = 16 * 1024 * 1024 - 16 * 1024;

/** What all commands share: the database, open cursors and limits. */
export class Engine {
  readonly database: Database;
  readonly memory: Memory;
  readonly cursors = new Map<number, Cursor>();
  readonly options: EngineOptions;
  readonly started = Date.now();
  readonly counters = { commands: 0, inserted: 0, updated: 0, deleted: 0, returned: 0, expired: 0 };
  #lastCursor = 1000 + Math.floor(Math.random() * 1e9);

  constructor(database: Database, options: EngineOptions) {
    this.database = database;
    this.options = options;
    this.memory = new Memory(options.memoryBytes);
  }

  operation(body: Doc): Operation {
    return new Operation(this.memory, toNumber(body.maxTimeMS));
  }

  collection(request: Request, field = request.name): Collection | undefined {
    return this.database.find(request.db, this.collectionName(request, field));
  }

  collectionName(request: Request, field = request.name): string {
    const name = request.body[field];
    if (typeof name !== 'string' || name === '')
      throw new CommandError(73, `Invalid namespace specified '${request.db}.${String(name)}'`);
    return name;
  }

  /** Opens a cursor over a source and gives its first batch; what fits into it needs no cursor. */
  async openCursor(
    ns: string,
    source: AsyncGenerator<Raw[]>,
    operation: Operation,
    options: { batchSize?: unknown; singleBatch?: boolean },
  ): Promise<Reply> {
    const batchSize = toNumber(options.batchSize);
    if (batchSize !== undefined && batchSize < 0)
      throw new CommandError(51024, `BSON field 'batchSize' value must be >= 0, actual value '${batchSize}'`);
    const cursor: Cursor = {
      id: 0,
      ns,
      source,
      left: [],
      leftBytes: 0,
      operation,
      lastUsed: Date.now(),
      busy: true,
      batchSize,
    };
    try {
      const { docs, done } = await this.#batch(cursor, batchSize ?? 101);
      if (!done && options.singleBatch !== true) {
        if (this.cursors.size >= this.options.maxCursors)
          throw new CommandError(146, `Too many open cursors (limit ${this.options.maxCursors})`);
        cursor.id = ++this.#lastCursor;
        this.cursors.set(cursor.id, cursor);
      } else await this.#end(cursor);
      cursor.busy = false;
      return { cursor: { firstBatch: docs, id: cursor.id, ns } };
    } catch (error) {
      await this.#end(cursor);
      throw error;
    }
  }

  async getMore(id: number, ns: string, batchSize: unknown): Promise<Reply> {
    const cursor = this.cursors.get(id);
    if (!cursor) throw new CommandError(43, `cursor id ${id} not found`);
    if (cursor.ns !== ns)
      throw new CommandError(
        13,
        `Requested getMore on namespace '${ns}', but cursor belongs to a different namespace ${cursor.ns}`,
      );
    if (cursor.busy) throw new CommandError(12051, `cursor ${id} is in use by another getMore`);
    cursor.busy = true;
    cursor.operation.resume();
    try {
      const size = toNumber(batchSize);
      const { docs, done } = await this.#batch(cursor, size && size > 0 ? size : Number.POSITIVE_INFINITY);
      cursor.lastUsed = Date.now();
      cursor.busy = false;
      if (done) {
        this.cursors.delete(id);
        await this.#end(cursor);
      }
      return { cursor: { nextBatch: docs, id: done ? 0 : id, ns } };
    } catch (error) {
      this.cursors.delete(id);
      await this.#end(cursor);
      throw error;
    }
  }

  async killCursor(id: number): Promise<boolean> {
    const cursor = this.cursors.get(id);
    if (!cursor) return false;
    this.cursors.delete(id);
    cursor.operation.kill();
    if (!cursor.busy) await this.#end(cursor);
    return true;
  }

  /** Closes cursors nobody asked for in the set time. */
  async sweepCursors(now = Date.now()): Promise<void> {
    for (const cursor of [...this.cursors.values()]) {
      if (!cursor.busy && now - cursor.lastUsed > this.options.cursorTimeoutMs) await this.killCursor(cursor.id);
    }
  }

  async #end(cursor: Cursor): Promise<void> {
    await cursor.source.return(undefined);
    this.memory.give(cursor.leftBytes);
    cursor.leftBytes = 0;
    cursor.left = [];
    cursor.operation.release();
  }

  async #batch(cursor: Cursor, size: number): Promise<{ docs: Raw[]; done: boolean }> {
    const docs: Raw[] = [];
    let bytes = 0;
    this.memory.give(cursor.leftBytes);
    cursor.leftBytes = 0;
    let pending = cursor.left;
    cursor.left = [];
    for (;;) {
      let used = 0;
      for (const raw of pending) {
        if (docs.length >= size || (docs.length > 0 && bytes + raw.length > batchBytes)) break;
        docs.push(raw);
        bytes += raw.length + 16;
        used++;
      }
      if (used < pending.length || docs.length >= size) {
        // Copied when little of a large chunk is left, so that the chunk can be freed.
        cursor.left = pending.slice(used);
        cursor.leftBytes = cursor.left.reduce((sum, raw) => sum + raw.length, 0);
        this.memory.take(cursor.leftBytes, 'open cursors');
        this.counters.returned += docs.length;
        return { docs, done: false };
      }
      cursor.operation.wanted = size - docs.length;
      const next = await cursor.source.next();
      if (next.done) {
        this.counters.returned += docs.length;
        return { docs, done: true };
      }
      pending = next.value;
    }
  }
}

/** An option that has to be a document, or is left out. */
export function optionalDoc(value: unknown, name: string): Doc {
  if (value === undefined || value === null) return {};
  if (!isDoc(value)) throw new CommandError(14, `BSON field '${name}' is the wrong type, expected type 'object'`);
  return value;
}

/** A whole number of at least 0. */
export function natural(value: unknown, name: string): number {
  if (value === undefined || value === null) return 0;
  const number = toNumber(value);
  if (number === undefined || Number.isNaN(number))
    throw new CommandError(14, `BSON field '${name}' is the wrong type, expected a number`);
  if (number < 0) throw new CommandError(51024, `BSON field '${name}' value must be >= 0, actual value '${number}'`);
  return Math.trunc(number);
}
