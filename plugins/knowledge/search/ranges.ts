import type { DatabaseSync } from 'node:sqlite';

/** Which passages a search may find. */
export interface Filter {
  /** Term of `scopeTerm`: whose passages may be found. Undefined: of everybody in the tenant. */
  owner?: string | undefined;
  /** Terms of `scopeTerm`: a passage of any of them may be found. Undefined: anywhere. */
  scope?: readonly string[] | undefined;
}

/**
 * The passages that a search may find, as ranges of their numbers, ascending. They also have places, from 0 and without gaps, by which
 * scores are kept: nothing outside of the ranges has one, so nothing else can be found, and a small part of a large index costs little.
 */
export interface Searchable {
  starts: Int32Array;
  /** Numbers after the last ones. */
  ends: Int32Array;
  /** Places of the starts. */
  places: Int32Array;
  count: number;
  /** What BM25 makes of the length of each passage, by place. */
  norms: Float32Array;
}

/** BM25: how soon more of a term adds little, and how much the length of a passage counts. */
export const K1 = 1.2;
const B = 0.75;
/** Filters that are kept ready. */
const MAX_KEPT = 8;

/** The documents of an index, as far as filters need them; kept until the index changes. */
export class Ranges {
  readonly #scopes: { terms: string[] }[] = [];
  readonly #documents: { scope: number; first: number; lengths: Uint16Array }[] = [];
  readonly #kept = new Map<string, Searchable>();

  constructor(database: DatabaseSync) {
    const numbers = new Map<string, number>();
    for (const { scope, first, lengths } of database
      .prepare('SELECT scope, first, lengths FROM documents WHERE count > 0 ORDER BY first')
      .iterate()) {
      const text = String(scope);
      let number = numbers.get(text);
      if (number === undefined) {
        number = this.#scopes.push({ terms: text.split(' ') }) - 1;
        numbers.set(text, number);
      }
      const bytes = lengths as Uint8Array;
      this.#documents.push({ scope: number, first: Number(first), lengths: new Uint16Array(bytes.slice().buffer) });
    }
  }

  of(filter: Filter): Searchable {
    const key = JSON.stringify([filter.owner, filter.scope]);
    const known = this.#kept.get(key) ?? this.#make(filter);
    this.#kept.delete(key);
    this.#kept.set(key, known);
    for (const oldest of [...this.#kept.keys()].slice(0, Math.max(0, this.#kept.size - MAX_KEPT)))
      this.#kept.delete(oldest);
    return known;
  }

  #make({ owner, scope }: Filter): Searchable {
    const open = this.#scopes.map(
      ({ terms }) =>
        (owner === undefined || terms.includes(owner)) &&
        (scope === undefined || scope.some((one) => terms.includes(one))),
    );
    const found = this.#documents.filter((document) => open[document.scope]);
    const count = found.reduce((sum, { lengths }) => sum + lengths.length, 0);
    const norms = new Float32Array(count);
    const [starts, ends, places]: number[][] = [[], [], []];
    let place = 0;
    let total = 0;
    for (const { first, lengths } of found) {
      if (ends?.at(-1) === first) ends[ends.length - 1] = first + lengths.length;
      else {
        starts?.push(first);
        ends?.push(first + lengths.length);
        places?.push(place);
      }
      norms.set(lengths, place);
      place += lengths.length;
      for (const length of lengths) total += length;
    }
    const average = total / count || 1;
    for (let at = 0; at < count; at++) norms[at] = K1 * (1 - B + (B * (norms[at] ?? 0)) / average);
    return {
      starts: Int32Array.from(starts ?? []),
      ends: Int32Array.from(ends ?? []),
      places: Int32Array.from(places ?? []),
      count,
      norms,
    };
  }
}

/** The first range that ends after a number. */
export function rangeAfter({ ends }: Searchable, id: number, from = 0): number {
  let [low, high] = [from, ends.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((ends[middle] ?? 0) > id) high = middle;
    else low = middle + 1;
  }
  return low;
}
