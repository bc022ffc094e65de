import type { Range } from './bounds.ts';
import type { Raw } from './bson.ts';
import type { Collection, Database } from './database.ts';
import type { IndexScan, Plan } from './planner.ts';

export interface Row {
  rid: number;
  raw: Raw;
}

const maxRows = 256;
const maxBytes = 1 << 20;

/**
 * Reads the rows of a plan in chunks. Between two chunks nothing is open in SQLite: a chunk continues after the last key
 * of the one before, so other commands may write meanwhile. A chunk grows to 256 rows or about 1 MiB.
 */
export class Scan {
  readonly #database: Database;
  readonly #collection: Collection;
  readonly #parts: (IndexScan | { kind: 'scan'; reverse: boolean })[];
  #part = 0;
  #range = 0;
  #lastKey: Uint8Array | undefined;
  #lastRid: number | undefined;
  #size = 4;
  #seen: Set<number> | undefined;
  keysExamined = 0;

  constructor(database: Database, collection: Collection, plan: Plan) {
    this.#database = database;
    this.#collection = collection;
    this.#parts = plan.kind === 'union' ? plan.plans : [plan];
    const multikey = this.#parts.some((part) => part.kind === 'index' && part.index.multikey.includes(true));
    if (plan.kind === 'union' || multikey) this.#seen = new Set();
  }

  /** The next rows, at most `wanted`; undefined at the end. May be empty before the end. */
  next(wanted: number): Row[] | undefined {
    const part = this.#parts[this.#part];
    if (!part) return undefined;
    this.#database.checkAlive(this.#collection, part.kind === 'index' ? part.index : undefined);
    const limit = Math.max(1, Math.min(this.#size, wanted));
    const rows = part.kind === 'index' ? this.#fromIndex(part, limit) : this.#fromTable(part.reverse, limit);
    if (!rows) {
      this.#part++;
      this.#range = 0;
      this.#lastKey = undefined;
      this.#lastRid = undefined;
      return this.#parts[this.#part] ? [] : undefined;
    }
    let bytes = 0;
    for (const row of rows) bytes += row.raw.length;
    if (rows.length === this.#size && bytes * 4 < maxBytes * 2) this.#size = Math.min(this.#size * 4, maxRows);
    else if (bytes > maxBytes) this.#size = Math.max(1, this.#size >> 1);
    const seen = this.#seen;
    if (!seen) return rows;
    return rows.filter(({ rid }) => !seen.has(rid) && seen.add(rid));
  }

  #fromTable(reverse: boolean, limit: number): Row[] | undefined {
    const { table } = this.#collection;
    const sql = `SELECT rid, doc FROM ${table} WHERE rid ${reverse ? '<' : '>'} ? ORDER BY rid ${reverse ? 'DESC' : 'ASC'} LIMIT ?`;
    const start = this.#lastRid ?? (reverse ? Number.MAX_SAFE_INTEGER : -1);
    const found = this.#database.rows(sql).all(start, limit) as unknown as [number, Uint8Array][];
    const last = found.at(-1);
    if (!last) return undefined;
    this.#lastRid = last[0];
    return found.map(([rid, raw]) => ({ rid, raw }));
  }

  #fromIndex(plan: IndexScan, limit: number): Row[] | undefined {
    const rows: Row[] = [];
    while (rows.length < limit) {
      const range = plan.ranges[plan.reverse ? plan.ranges.length - 1 - this.#range : this.#range];
      if (!range) return rows.length > 0 ? rows : undefined;
      const wanted = limit - rows.length;
      const found = this.#readRange(plan, range, wanted);
      for (const [, rid, raw] of found) rows.push({ rid, raw });
      this.keysExamined += found.length;
      const last = found.at(-1);
      if (last && found.length === wanted) {
        this.#lastKey = last[0];
        this.#lastRid = last[1];
      } else {
        this.#range++;
        this.#lastKey = undefined;
        this.#lastRid = undefined;
        if (this.#range % 64 === 0) break; // many empty ranges: let others run
      }
    }
    return rows;
  }

  #readRange(plan: IndexScan, range: Range, limit: number): [Uint8Array, number, Uint8Array][] {
    const from = `SELECT i.k, i.rid, d.doc FROM ${plan.index.table} i CROSS JOIN ${this.#collection.table} d ON d.rid = i.rid WHERE`;
    const order = plan.reverse ? 'ORDER BY i.k DESC, i.rid DESC LIMIT ?' : 'ORDER BY i.k, i.rid LIMIT ?';
    let found: unknown;
    if (this.#lastKey === undefined || this.#lastRid === undefined) {
      found = this.#database.rows(`${from} i.k >= ? AND i.k < ? ${order}`).all(range.low, range.high, limit);
    } else if (plan.reverse) {
      found = this.#database
        .rows(`${from} i.k >= ? AND (i.k, i.rid) < (?, ?) ${order}`)
        .all(range.low, this.#lastKey, this.#lastRid, limit);
    } else {
      found = this.#database
        .rows(`${from} (i.k, i.rid) > (?, ?) AND i.k < ? ${order}`)
        .all(this.#lastKey, this.#lastRid, range.high, limit);
    }
    return found as [Uint8Array, number, Uint8Array][];
  }
}

const countStep = 20_000;

/** Counts the entries within the ranges of a plan, in steps between which others get their turn. */
export async function countEntries(
  database: Database,
  collection: Collection,
  plan: IndexScan,
  pause: () => Promise<void> | undefined,
): Promise<number> {
  const { table } = plan.index;
  let total = 0;
  for (const { low, high } of plan.ranges) {
    let from: [Uint8Array, number] = [low, -1];
    for (;;) {
      const step = database.rows(
        `SELECT k, rid FROM ${table} WHERE (k, rid) > (?, ?) AND k < ? ORDER BY k, rid LIMIT 1 OFFSET ${countStep - 1}`,
      );
      database.checkAlive(collection, plan.index);
      const last = step.get(...from, high) as unknown as [Uint8Array, number] | undefined;
      if (!last) break;
      total += countStep;
      from = last;
      await pause();
    }
    database.checkAlive(collection, plan.index);
    const rest = database.rows(`SELECT count(*) FROM ${table} WHERE (k, rid) > (?, ?) AND k < ?`);
    total += (rest.get(...from, high) as unknown as [number])[0];
    await pause();
  }
  return total;
}

/** Entries within the ranges of a plan, at most about `limit`. */
export function estimate(database: Database, plan: IndexScan, limit: number): number {
  let total = 0;
  const sql = `SELECT count(*) FROM (SELECT 1 FROM ${plan.index.table} WHERE k >= ? AND k < ? LIMIT ?)`;
  for (const [i, range] of plan.ranges.entries()) {
    if (i === 100) return Math.min(limit, (total / 100) * plan.ranges.length); // many points: the first ones stand for all
    const row = database.rows(sql).get(range.low, range.high, limit - total) as unknown as [number];
    total += row[0];
    if (total >= limit) break;
  }
  return total;
}
