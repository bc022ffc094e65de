import { BODY_UNITS } from './postings.ts';
import { K1, rangeAfter, type Searchable } from './ranges.ts';

/** Adds up BM25 scores of passages, one term after another. One of it serves all searches of a thread: its arrays are used again. */
export class Scores {
  #scores = new Float32Array(0);
  /** Places that have the term at hand, and its units there. */
  #places = new Int32Array(0);
  #units = new Uint8Array(0);
  #found = 0;
  #searchable: Searchable | undefined;

  start(searchable: Searchable): void {
    this.#searchable = searchable;
    this.#found = 0;
    if (this.#scores.length < searchable.count) {
      this.#scores = new Float32Array(searchable.count);
      this.#places = new Int32Array(searchable.count);
      this.#units = new Uint8Array(searchable.count);
    } else this.#scores.fill(0, 0, searchable.count);
  }

  /** Passages that have the term at hand. */
  get found(): number {
    return this.#found;
  }

  nextTerm(): void {
    this.#found = 0;
  }

  /** Takes the passages of a block that may be found; written out, because nearly all time is spent here. */
  read(first: number, last: number, data: Uint8Array): void {
    const searchable = this.#searchable as Searchable;
    const { starts, ends, places: startPlaces } = searchable;
    let range = rangeAfter(searchable, first);
    if (range === ends.length || (starts[range] as number) > last) return;
    let start = starts[range] as number;
    let end = ends[range] as number;
    let shift = (startPlaces[range] as number) - start;
    const [places, allUnits] = [this.#places, this.#units];
    let found = this.#found;
    let id = first;
    for (let at = 0; at < data.length; ) {
      let byte = data[at++] as number;
      let units = (byte & 1) === 0 ? BODY_UNITS : 0;
      id += (byte & 127) >> 1;
      for (let scale = 64; byte > 127; scale *= 128) {
        byte = data[at++] as number;
        id += (byte & 127) * scale;
      }
      if (units === 0) units = data[at++] as number;
      if (id >= end) {
        range = rangeAfter(searchable, id, range);
        if (range === ends.length) break;
        start = starts[range] as number;
        end = ends[range] as number;
        shift = (startPlaces[range] as number) - start;
      }
      if (id < start) continue;
      places[found] = id + shift;
      allUnits[found++] = units;
    }
    this.#found = found;
  }

  /** Keeps of the passages at hand those that all of several terms have. `terms` reads one of them. */
  intersect(terms: readonly (() => void)[]): void {
    const counts = new Map<number, number>();
    for (const [number, read] of terms.entries()) {
      this.nextTerm();
      read();
      for (let at = 0; at < this.#found; at++) {
        const place = this.#places[at] as number;
        if ((counts.get(place) ?? 0) === number) counts.set(place, number + 1);
      }
    }
    this.nextTerm();
    for (const [place, count] of counts) {
      if (count < terms.length) continue;
      this.#places[this.#found] = place;
      this.#units[this.#found++] = BODY_UNITS;
    }
  }

  /** Counts the term at hand with this weight. */
  add(weight: number): void {
    const { norms } = this.#searchable as Searchable;
    const scores = this.#scores;
    const factor = weight * (K1 + 1);
    for (let at = 0; at < this.#found; at++) {
      const place = this.#places[at] as number;
      const units = this.#units[at] as number;
      scores[place] = (scores[place] as number) + (factor * units) / (units + BODY_UNITS * (norms[place] as number));
    }
  }

  /** The best passages, best first; equal ones in their order. */
  best(limit: number): { id: number; score: number }[] {
    const { count, starts, places } = this.#searchable as Searchable;
    const scores = this.#scores;
    const best: { place: number; score: number }[] = [];
    let least = 0;
    for (let place = 0; place < count; place++) {
      const score = scores[place] as number;
      if (score <= least) continue;
      let at = best.length;
      while (at > 0 && (best[at - 1]?.score ?? 0) < score) at--;
      best.splice(at, 0, { place, score });
      if (best.length > limit) best.pop();
      if (best.length === limit) least = best.at(-1)?.score ?? 0;
    }
    return best.map(({ place, score }) => {
      let [low, high] = [0, places.length];
      while (high - low > 1) {
        const middle = (low + high) >> 1;
        if ((places[middle] as number) <= place) low = middle;
        else high = middle;
      }
      return { id: place - (places[low] as number) + (starts[low] as number), score };
    });
  }
}
