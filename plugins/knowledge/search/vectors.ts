import type { DatabaseSync } from 'node:sqlite';
import type { Searchable } from './ranges.ts';

/**
 * The nearest passages by cosine, over all vectors that may be found one after another: 20,000 of 768 numbers take some tens of
 * milliseconds. Vectors of another length (of another model) are passed over.
 */
export function nearest(
  database: DatabaseSync,
  query: Float32Array,
  { starts, ends }: Searchable,
  limit: number,
): { id: number; score: number }[] {
  const best: { id: number; score: number }[] = [];
  const wanted = query.length * 4;
  const read = database.prepare('SELECT id, vector FROM vectors WHERE id BETWEEN ? AND ?');
  read.setReturnArrays(true);
  for (const [at, start] of starts.entries()) {
    for (const row of read.iterate(start, (ends[at] ?? start) - 1)) {
      const [id, blob] = row as unknown as [number, Uint8Array];
      if (blob.byteLength !== wanted) continue;
      const vector = aligned(blob);
      let score = 0;
      for (let at = 0; at < query.length; at++) score += (query[at] ?? 0) * (vector[at] ?? 0);
      if (best.length < limit || score > (best.at(-1)?.score ?? 0)) insert(best, { id, score }, limit);
    }
  }
  return best;
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
