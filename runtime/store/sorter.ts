import { DatabaseSync } from 'node:sqlite';
import { type Doc, FieldSet } from './bson.ts';
import { encodeKey, invert } from './keys.ts';
import type { Operation } from './operation.ts';
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

/** Row id, or an encoded document. */
export type Sortable = number | Uint8Array;

interface Entry {
  key: Buffer;
  value: Sortable;
  /** Order of arrival, which decides between equal keys. */
  n: number;
}

const entryOverhead = 100;
const runLength = 2048;

/**
 * Sorts by key bytes, stable. With a limit only the first ones are kept, in a heap. Without one, short sorted runs are
 * merged at the end, so that nothing takes long at a time; what does not fit into memory goes to a temporary database
 * on disk.
 */
export class Sorter {
  readonly #limit: number;
  readonly #operation: Operation;
  readonly #heap: Entry[] = [];
  #run: Entry[] = [];
  #runs: Entry[][] = [];
  #bytes = 0;
  #held = 0;
  #count = 0;
  #spill: DatabaseSync | undefined;

  constructor(operation: Operation, limit?: number) {
    this.#operation = operation;
    // A heap is for few; many are sorted like all.
    this.#limit = limit !== undefined && limit <= runLength ? limit : Number.POSITIVE_INFINITY;
  }

  /** To be called after each batch: accounts for the memory, and goes to disk when it is too much. */
  async settle(): Promise<void> {
    const operation = this.#operation;
    operation.hold(this.#bytes - this.#held, 'a sort');
    this.#held = this.#bytes;
    if (this.#limit !== Number.POSITIVE_INFINITY) return;
    const { limit, used } = operation.memory;
    if (this.#bytes > limit / 4 || (used > limit / 2 && this.#bytes > 0)) await this.#flush();
  }

  add(key: Buffer, value: Sortable): void {
    const entry = { key, value, n: this.#count++ };
    if (this.#limit !== Number.POSITIVE_INFINITY) {
      this.#addToHeap(entry);
      return;
    }
    this.#run.push(entry);
    this.#bytes += key.length + entryOverhead + (typeof value === 'number' ? 0 : value.length);
    if (this.#run.length >= runLength) this.#endRun();
  }

  #endRun(): void {
    if (this.#run.length === 0) return;
    this.#runs.push(this.#run.sort(order));
    this.#run = [];
  }

  /** The last entry of the order is on top; a smaller one takes its place. */
  #addToHeap(entry: Entry): void {
    const heap = this.#heap;
    const [worst] = heap;
    if (heap.length < this.#limit) {
      heap.push(entry);
      this.#bytes += entry.key.length + entryOverhead;
      if (heap.length === this.#limit)
        for (let i = (heap.length >> 1) - 1; i >= 0; i--) sink(heap, i, (a, b) => order(b, a));
    } else if (worst && Buffer.compare(entry.key, worst.key) < 0) {
      heap[0] = entry;
      this.#bytes += entry.key.length - worst.key.length;
      sink(heap, 0, (a, b) => order(b, a));
    }
  }

  /** Writes what is in memory to disk, in slices. */
  async #flush(): Promise<void> {
    this.#endRun();
    if (!this.#spill) {
      this.#spill = new DatabaseSync(''); // a private file that SQLite deletes when it is closed
      this.#spill.exec(`PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-16384;
        CREATE TABLE k(k BLOB, n INTEGER, PRIMARY KEY(k, n)) WITHOUT ROWID; CREATE TABLE v(n INTEGER PRIMARY KEY, v); BEGIN`);
    }
    const key = this.#spill.prepare('INSERT INTO k VALUES (?, ?)');
    const value = this.#spill.prepare('INSERT INTO v VALUES (?, ?)');
    for (const run of this.#runs) {
      for (const [i, entry] of run.entries()) {
        key.run(entry.key, entry.n);
        value.run(entry.n, entry.value);
        if (i % 64 === 63 && this.#operation.due) await this.#operation.pause();
      }
    }
    this.#runs = [];
    this.#operation.release(this.#held);
    this.#bytes = 0;
    this.#held = 0;
  }

  /** The values in order, in chunks; after it nothing can be added. */
  async *drain(): AsyncGenerator<Sortable[]> {
    if (this.#spill) {
      await this.#flush();
      yield* this.#fromDisk(this.#spill);
      return;
    }
    this.#endRun();
    if (this.#heap.length > 0) this.#runs.push(this.#heap.sort(order));
    // A heap of the runs by their next entries.
    const heads = this.#runs.map((run) => ({ run, at: 0 }));
    const byHead = (a: { run: Entry[]; at: number }, b: { run: Entry[]; at: number }) =>
      order(a.run[a.at], b.run[b.at]);
    for (let i = (heads.length >> 1) - 1; i >= 0; i--) sink(heads, i, byHead);
    let chunk: Sortable[] = [];
    for (;;) {
      const [head] = heads;
      const entry = head?.run[head.at];
      if (!head || !entry) break;
      chunk.push(entry.value);
      head.at++;
      if (head.at === head.run.length) {
        const last = heads.pop();
        if (last && last !== head) heads[0] = last;
      }
      sink(heads, 0, byHead);
      if (chunk.length < 256) continue;
      yield chunk;
      chunk = [];
    }
    if (chunk.length > 0) yield chunk;
  }

  *#fromDisk(spill: DatabaseSync): Generator<Sortable[]> {
    const next = spill.prepare(
      'SELECT k.k, k.n, v.v FROM k CROSS JOIN v ON v.n = k.n WHERE (k.k, k.n) > (?, ?) ORDER BY k.k, k.n LIMIT 64',
    );
    next.setReturnArrays(true);
    let [key, n]: [Uint8Array, number] = [new Uint8Array(0), -1];
    for (;;) {
      const rows = next.all(key, n) as unknown as [Uint8Array, number, Sortable][];
      const last = rows.at(-1);
      if (!last) return;
      [key, n] = last;
      yield rows.map(([, , value]) => value);
    }
  }

  /** Frees memory and the file on disk. */
  close(): void {
    this.#spill?.close();
    this.#spill = undefined;
    this.#runs = [];
    this.#run = [];
    this.#operation.release(this.#held);
    this.#held = 0;
  }
}

function order(a: Entry | undefined, b: Entry | undefined): number {
  if (!a || !b) return 0;
  return Buffer.compare(a.key, b.key) || a.n - b.n;
}

/** Moves an item down a binary heap whose top is the first by `compare`. */
function sink<T>(heap: T[], at: number, compare: (a: T, b: T) => number): void {
  for (;;) {
    let first = at;
    for (const child of [at * 2 + 1, at * 2 + 2]) {
      const [a, b] = [heap[child], heap[first]];
      if (child < heap.length && a !== undefined && b !== undefined && compare(a, b) < 0) first = child;
    }
    const [moved, replacement] = [heap[at], heap[first]];
    if (first === at || moved === undefined || replacement === undefined) return;
    heap[at] = replacement;
    heap[first] = moved;
    at = first;
  }
}
