import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { Searchable } from './ranges.ts';

/** Passages whose small vectors lie in one row. */
const TOGETHER = 1000;
/** How many times as many as are wanted get a look at their exact vectors. */
const SECOND_LOOK = 5;
const SCALE_BYTES = 4;

/**
 * Small forms of vectors, a byte for each number, many in a row: reading all vectors would take most of the time of a search. Each has
 * its scale before it; 0 where a passage has no vector of the length that most have.
 */
export function* packed(first: number, vectors: readonly (Uint8Array | undefined)[]) {
  for (let from = 0; from < vectors.length; from += TOGETHER) {
    const part = vectors.slice(from, from + TOGETHER);
    const length = (part.find((vector) => vector !== undefined)?.byteLength ?? 0) / 4;
    if (length === 0) continue;
    const stride = length + SCALE_BYTES;
    const data = new Uint8Array(part.length * stride);
    const [numbers, view] = [new Int8Array(data.buffer), new DataView(data.buffer)];
    for (const [at, bytes] of part.entries()) {
      if (bytes === undefined || bytes.byteLength !== length * 4) continue;
      const vector = aligned(bytes);
      const scale = vector.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / 127;
      view.setFloat32(at * stride, scale, true);
      if (scale === 0) continue;
      for (let place = 0; place < length; place++)
        numbers[at * stride + SCALE_BYTES + place] = Math.round((vector[place] ?? 0) / scale);
    }
    yield { first: first + from, length, data };
  }
}

/** Statements of one index. */
export interface VectorStatements {
  small: StatementSync;
  exact: StatementSync;
}

export function vectorStatements(database: DatabaseSync): VectorStatements {
  const small = database.prepare('SELECT first, data FROM small WHERE first >= ? AND first < ? AND length = ?');
  small.setReturnArrays(true);
  return { small, exact: database.prepare('SELECT vector FROM vectors WHERE id = ?') };
}

/** The nearest passages by cosine, over all vectors that may be found. Vectors of another length (of another model) are passed over. */
export function nearest(
  { small, exact }: VectorStatements,
  query: Float32Array,
  { starts, ends }: Searchable,
  limit: number,
): { id: number; score: number }[] {
  const length = query.length;
  const wanted = limit * SECOND_LOOK;
  const likely: { id: number; score: number }[] = [];
  let least = Number.NEGATIVE_INFINITY;
  for (const [at, start] of starts.entries()) {
    for (const row of small.iterate(start, ends[at] as number, length)) {
      const [first, data] = row as unknown as [number, Uint8Array];
      const numbers = new Int8Array(data.buffer, data.byteOffset, data.byteLength);
      const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
      const stride = length + SCALE_BYTES;
      for (let offset = 0, id = first; offset < data.byteLength; offset += stride, id++) {
        const scale = view.getFloat32(offset, true);
        if (scale === 0) continue;
        const score = scale * product(query, numbers, offset + SCALE_BYTES);
        if (score <= least) continue;
        insert(likely, { id, score }, wanted);
        if (likely.length === wanted) least = likely.at(-1)?.score ?? least;
      }
    }
  }
  const best: { id: number; score: number }[] = [];
  for (const { id } of likely) {
    const bytes = exact.get(id)?.vector as Uint8Array | undefined;
    if (bytes !== undefined) insert(best, { id, score: exactProduct(query, aligned(bytes)) }, limit);
  }
  return best;
}

/**
 * Four sums at a time: the processor need not wait for each. A function that sees numbers of one kind only is three times as fast, so
 * the exact ones have another.
 */
function product(query: Float32Array, numbers: Int8Array, from: number): number {
  const length = query.length;
  const even = length - (length % 4);
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  let at = 0;
  for (; at < even; at += 4) {
    a += (query[at] as number) * (numbers[from + at] as number);
    b += (query[at + 1] as number) * (numbers[from + at + 1] as number);
    c += (query[at + 2] as number) * (numbers[from + at + 2] as number);
    d += (query[at + 3] as number) * (numbers[from + at + 3] as number);
  }
  for (; at < length; at++) a += (query[at] as number) * (numbers[from + at] as number);
  return a + b + c + d;
}

function exactProduct(query: Float32Array, vector: Float32Array): number {
  let sum = 0;
  for (let at = 0; at < query.length; at++) sum += (query[at] as number) * (vector[at] as number);
  return sum;
}

function insert(best: { id: number; score: number }[], item: { id: number; score: number }, limit: number): void {
  let at = best.length;
  while (at > 0 && (best[at - 1]?.score ?? 0) < item.score) at--;
  best.splice(at, 0, item);
  if (best.length > limit) best.pop();
}

const aligned = (blob: Uint8Array): Float32Array =>
  blob.byteOffset % 4 === 0
    ? new Float32Array(blob.buffer, blob.byteOffset, blob.byteLength / 4)
    : new Float32Array(blob.slice().buffer);

export const bytesOf = (vector: Float32Array): Uint8Array =>
  new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength);
