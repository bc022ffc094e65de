import { DatabaseSync } from 'node:sqlite';
import { type Doc, FieldSet } from './bson.ts';
import { encodeKey, invert } from './keys.ts';
import { splitPath, walk } from './path.ts';
import type { SortSpec } from './planner.ts';

/** Order-preserving bytes of the sort fields of a document: of an array the smallest (or largest) element counts. */
export function sortKeyer(sort: SortSpec): { fields: FieldSet; key(doc: Doc): Buffer } {
  const paths = sort.map(({ path, descending }) => ({ parts: splitPath(path), descending }));
  return {
    fields: new FieldSet(sort.map(({ path }) => path)),
    key(doc) {
      const parts = paths.map(({ parts, descending }) => {
        let best: Buffer | undefined;
        const consider = (value: unknown, inArray: boolean): void => {
          const key = encodeKey(value === undefined && !inArray ? null : value);
          if (!best || (descending ? Buffer.compare(key, best) > 0 : Buffer.compare(key, best) < 0)) best = key;
        };
        walk(doc, parts, 0, (value) => {
          if (!Array.isArray(value)) consider(value, false);
          else if (value.length === 0) consider(undefined, true);
          else for (const item of value) consider(item, true);
          return false;
        });
        const key = best ?? encodeKey(null);
        return descending ? invert(key) : key;
      });
      return parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts);
    },
  };
}

export interface Sorted {
  key: Buffer;
  /** Row id, or an encoded document. */
  value: number | Uint8Array;
}

const entryOverhead = 100;

/**
 * Sorts by key bytes, stable. With a limit only the first ones are kept; without one, what does not fit into memory goes to
 * a temporary database on disk, which SQLite sorts.
 */
export class Sorter {
  readonly #limit: number;
  readonly #maxBytes: number;
  #entries: (Sorted & { n: number })[] = [];
  #bytes = 0;
  #count = 0;
  #spill: DatabaseSync | undefined;

  constructor(limit: number | undefined, maxBytes: number) {
    this.#limit = limit ?? Number.POSITIVE_INFINITY;
    this.#maxBytes = maxBytes;
  }

  get spilled(): boolean {
    return this.#spill !== undefined;
  }

  add(key: Buffer, value: number | Uint8Array): void {
    const n = this.#count++;
    const size = key.length + entryOverhead + (typeof value === 'number' ? 0 : value.length);
    if (this.#entries.length < this.#limit || this.#spill) {
      this.#entries.push({ key, value, n });
      this.#bytes += size;
      if (this.#entries.length === this.#limit) this.#heapify();
    } else {
      const [worst] = this.#entries;
      if (!worst || Buffer.compare(key, worst.key) >= 0) return;
      this.#bytes +=
        size - worst.key.length - entryOverhead - (typeof worst.value === 'number' ? 0 : worst.value.length);
      this.#entries[0] = { key, value, n };
      this.#sink(0);
    }
    if (this.#bytes > this.#maxBytes) this.#flush();
  }

  #heapify(): void {
    for (let i = (this.#entries.length >> 1) - 1; i >= 0; i--) this.#sink(i);
  }

  /** A heap with the last entry of the order on top. */
  #sink(at: number): void {
    const entries = this.#entries;
    for (;;) {
      const left = at * 2 + 1;
      let last = at;
      for (const child of [left, left + 1])
        if (child < entries.length && order(entries[child], entries[last]) > 0) last = child;
      if (last === at) return;
      const [a, b] = [entries[at], entries[last]];
      if (!a || !b) return;
      entries[at] = b;
      entries[last] = a;
      at = last;
    }
  }

  #flush(): void {
    if (!this.#spill) {
      this.#spill = new DatabaseSync(''); // a private file that SQLite deletes when it is closed
      this.#spill.exec(
        'PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-16384; CREATE TABLE s(k BLOB, n INTEGER, v, PRIMARY KEY(k, n)) WITHOUT ROWID; BEGIN',
      );
    }
    const insert = this.#spill.prepare('INSERT INTO s VALUES (?, ?, ?)');
    for (const { key, n, value } of this.#entries) insert.run(key, n, value);
    this.#entries = [];
    this.#bytes = 0;
  }

  /** The values in order, in chunks. Call `close` when it is not read to the end. */
  *drain(): Generator<(number | Uint8Array)[]> {
    if (!this.#spill) {
      const entries = this.#entries.sort(order);
      for (let at = 0; at < entries.length; at += 256) {
        yield entries.slice(at, at + 256).map(({ value }) => value);
      }
      return;
    }
    this.#flush();
    const next = this.#spill.prepare('SELECT k, n, v FROM s WHERE (k, n) > (?, ?) ORDER BY k, n LIMIT 64');
    next.setReturnArrays(true);
    let key: Uint8Array = new Uint8Array(0);
    let n = -1;
    let left = this.#limit;
    while (left > 0) {
      const rows = next.all(key, n) as unknown as [Uint8Array, number, number | Uint8Array][];
      const last = rows.at(-1);
      if (!last) break;
      [key, n] = last;
      yield rows.slice(0, left).map(([, , value]) => value);
      left -= rows.length;
    }
    this.close();
  }

  close(): void {
    this.#spill?.close();
    this.#spill = undefined;
    this.#entries = [];
  }
}

function order(a: (Sorted & { n: number }) | undefined, b: (Sorted & { n: number }) | undefined): number {
  if (!a || !b) return 0;
  return Buffer.compare(a.key, b.key) || a.n - b.n;
}
