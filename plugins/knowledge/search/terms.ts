import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { Scores } from './scoring.ts';
import { hasHan, partsOf } from './words.ts';

/** Terms that stand in for one that is not there, at most. */
const MAX_ALTERNATIVES = 12;
const MAX_LONGER = 64;
/** Behind every term that begins so. */
const AFTER_ALL = '\u{10ffff}';

/** Reads terms of one index. */
export class Terms {
  readonly #blocks: StatementSync;
  readonly #total: StatementSync;
  readonly #longer: StatementSync;
  readonly #beginning: StatementSync;
  readonly #scores: Scores;

  constructor(database: DatabaseSync, scores: Scores) {
    this.#scores = scores;
    const each = 'FROM segments CROSS JOIN postings ON segment = segments.id AND';
    this.#blocks = database.prepare(`SELECT first, last, data ${each} term = ?`);
    this.#blocks.setReturnArrays(true);
    this.#total = database.prepare(`SELECT sum(postings.count) AS total ${each} term = ?`);
    this.#longer = database.prepare(
      'SELECT term FROM parts WHERE part = ? AND instr(term, ?) > 0 ORDER BY length(term), term LIMIT ?',
    );
    this.#beginning = database.prepare(
      `SELECT DISTINCT term ${each} term > ? AND term < ? ORDER BY length(term), term LIMIT ?`,
    );
  }

  /** Passages that have a term, whoever may find them. */
  total(term: string): number {
    return Number(this.#total.get(term)?.total ?? 0);
  }

  /** Makes a term the one at hand. @returns passages that have it */
  read(term: string): number {
    this.#scores.nextTerm();
    this.#append(term);
    return this.#scores.found;
  }

  /**
   * Reads what stands in for a term that is not there, because the passage was cut differently or holds a longer form: its own parts,
   * its characters in one passage, words that contain it.
   *
   * @param take is called for each of them when it is at hand
   */
  readAlternatives(term: string, take: () => void): void {
    const all = (list: readonly string[]): boolean => {
      let any = false;
      for (const one of list) {
        if (this.read(one) === 0) continue;
        take();
        any = true;
      }
      return any;
    };
    if (!hasHan(term)) {
      if (all(partsOf(term))) return;
      if (term.length >= 3) all(this.#terms(this.#beginning, term, term + AFTER_ALL, MAX_ALTERNATIVES));
      return;
    }
    const characters = [...term];
    let found = 0;
    for (let length = characters.length - 1; length >= 2 && found < MAX_ALTERNATIVES; length--)
      for (let from = 0; from + length <= characters.length; from++)
        if (all([characters.slice(from, from + length).join('')])) found++;
    if (found > 0) return;
    if (characters.length > 1) {
      this.#scores.intersect(characters.map((character) => () => this.#append(character)));
      if (this.#scores.found > 0) take();
    }
    all(this.#terms(this.#longer, characters[0] ?? '', term, MAX_LONGER));
  }

  #append(term: string): void {
    for (const row of this.#blocks.iterate(term)) {
      const [first, last, data] = row as unknown as [number, number, Uint8Array];
      this.#scores.read(first, last, data);
    }
  }

  #terms(statement: StatementSync, ...values: (string | number)[]): string[] {
    return statement.all(...values).map(({ term }) => String(term));
  }
}
