import type { DatabaseSync } from 'node:sqlite';
import { isDamaged, openIndex, removeIndex } from './database.ts';
import { mergeSegments, pruneParts } from './merging.ts';
import { BODY_UNITS, blocksOf, HEAD_UNITS, type Postings } from './postings.ts';
import { packed } from './vectors.ts';
import { hasHan, indexedText, partsOf, termsOf } from './words.ts';

/** Everything of one document that the index keeps. */
export interface IndexedDocument {
  document: string;
  version: string;
  /** Terms of `scopeTerm`. */
  scope: string[];
  /** The last ones; `staged` others came before them. */
  passages: IndexedPassage[];
  staged?: number;
}

export interface IndexedPassage {
  text: string;
  headings: string[];
  vector?: Uint8Array | undefined;
}

interface Row {
  head: string;
  body: string;
  vector: Uint8Array | undefined;
}

/** Index files that are kept open. */
const MAX_OPEN = 16;
const LONGEST = 65_535;
/** Passages whose postings are collected at once. */
const AT_ONCE = 2000;

/** Writes indexes of tenants. Each change of one document is one transaction together with the number of the change. */
export class IndexWriter {
  readonly #open = new Map<string, DatabaseSync>();
  /** Passages of the document that comes next, by file. */
  readonly #staged = new Map<string, Row[]>();

  /** Number of the last change in the index; makes the index when there is none. */
  sequence(file: string): number {
    return this.#guarded(file, (database) => metaOf(database, 'seq'));
  }

  /** Takes the first passages of a long document; `put` follows. @param from how many came before; 0 begins anew */
  stage(file: string, from: number, passages: readonly IndexedPassage[]): void {
    if (from === 0) this.#staged.set(file, []);
    const staged = this.#staged.get(file);
    if (staged?.length !== from) throw new Error(`passages from ${from} on do not follow`);
    staged.push(...passages.map(rowOf));
  }

  /**
   * Puts a document in the place of its earlier version.
   *
   * @param seq number of the change; a change that the index has already leaves it as it is. 0: a repetition outside of the order
   */
  put(file: string, seq: number, { document, version, scope, passages, staged = 0 }: IndexedDocument): void {
    const before = staged === 0 ? [] : (this.#staged.get(file) ?? []);
    this.#staged.delete(file);
    if (before.length !== staged) throw new Error(`${before.length} of ${staged} passages are there`);
    // The slow part is outside of the transaction.
    const rows = [...before, ...passages.map(rowOf)];
    this.#change(file, seq, (database) => {
      removeRows(database, document);
      // Numbers are never given out again: postings of what is gone may still be there.
      const first = metaOf(database, 'next');
      database.prepare("UPDATE meta SET value = ? WHERE name = 'next'").run(first + rows.length);
      const insert = database.prepare('INSERT INTO passages(id, head, body) VALUES (?, ?, ?)');
      const insertVector = database.prepare('INSERT INTO vectors VALUES (?, ?)');
      for (const [at, { head, body, vector }] of rows.entries()) {
        insert.run(first + at, head, body);
        if (vector !== undefined) insertVector.run(first + at, vector);
      }
      const insertSmall = database.prepare('INSERT INTO small VALUES (?, ?, ?)');
      const vectors = rows.map(({ vector }) => vector);
      for (const part of packed(first, vectors)) insertSmall.run(part.first, part.length, part.data);
      const segment = Number(
        database.prepare('INSERT INTO segments(passages) VALUES (?)').run(rows.length).lastInsertRowid,
      );
      const lengths = new Uint16Array(rows.length);
      // In parts, so that a document of any length takes little memory.
      for (let from = 0; from < rows.length; from += AT_ONCE) {
        const part = rows.slice(from, from + AT_ONCE);
        const found = termsOfRows(part, first + from);
        lengths.set(found.lengths, from);
        insertTerms(database, segment, found.terms);
      }
      database
        .prepare(
          'INSERT INTO documents(document, version, scope, segment, first, count, lengths) VALUES (?, ?, ?, ?, ?, ?, ?)',
        )
        .run(document, version, scope.join(' '), segment, first, rows.length, new Uint8Array(lengths.buffer));
    });
  }

  remove(file: string, seq: number, document: string): void {
    this.#change(file, seq, (database) => removeRows(database, document));
  }

  /**
   * One step of merging what has become many or mostly empty: some milliseconds, or seconds in a large index. Changes nothing that a
   * search can see. False when there is nothing more to do.
   */
  tidy(file: string): boolean {
    return this.#guarded(file, (database) => transaction(database, () => mergeSegments(database)));
  }

  /** Prepares for putting every document again; searches go on meanwhile, and find all if it goes no further. */
  startRebuild(file: string): void {
    this.#guarded(file, (database) => {
      let sound = false;
      try {
        sound = database.prepare('PRAGMA quick_check').get()?.quick_check === 'ok';
      } catch (error) {
        if (!isDamaged(error)) throw error;
      }
      if (sound) database.exec('UPDATE documents SET stale = 1');
      else {
        this.#forget(file);
        removeIndex(file);
      }
    });
  }

  /** Takes out what was not put again, and sets the number of the last change. */
  finishRebuild(file: string, seq: number): void {
    this.#guarded(file, (database) => {
      const gone = database.prepare('SELECT document FROM documents WHERE stale = 1').all();
      for (const { document } of gone) this.remove(file, 0, String(document));
      database.prepare("UPDATE meta SET value = max(value, ?) WHERE name = 'seq'").run(seq);
      while (transaction(database, () => mergeSegments(database)));
      transaction(database, () => pruneParts(database));
      database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    });
  }

  /** Gives the index up; the next call makes an empty one. */
  reset(file: string): void {
    this.#forget(file);
    removeIndex(file);
  }

  close(): void {
    for (const file of [...this.#open.keys()]) this.#forget(file);
  }

  #change(file: string, seq: number, work: (database: DatabaseSync) => void): void {
    this.#guarded(file, (database) =>
      transaction(database, () => {
        if (seq !== 0 && seq <= metaOf(database, 'seq')) return;
        work(database);
        database.exec("UPDATE meta SET value = value + 1 WHERE name = 'generation'");
        if (seq > 0) database.prepare("UPDATE meta SET value = ? WHERE name = 'seq'").run(seq);
      }),
    );
  }

  /** A damaged index is given up here; the error tells the caller to put everything again. */
  #guarded<T>(file: string, work: (database: DatabaseSync) => T): T {
    const database = this.#open.get(file) ?? openIndex(file);
    this.#open.delete(file);
    this.#open.set(file, database);
    for (const oldest of [...this.#open.keys()].slice(0, Math.max(0, this.#open.size - MAX_OPEN))) this.#forget(oldest);
    try {
      return work(database);
    } catch (error) {
      if (isDamaged(error)) {
        this.#forget(file);
        removeIndex(file);
      }
      throw error;
    }
  }

  #forget(file: string): void {
    this.#open.get(file)?.close();
    this.#open.delete(file);
  }
}

function transaction<T>(database: DatabaseSync, work: () => T): T {
  database.exec('BEGIN IMMEDIATE');
  try {
    const result = work();
    database.exec('COMMIT');
    return result;
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
}

/** A passage as the index keeps it. */
const rowOf = ({ text, headings, vector }: IndexedPassage): Row => ({
  head: termsOf(headings.join('\n')).join(' '),
  body: indexedText(text),
  vector,
});

/** The postings of passages and their lengths in units. @param first number of the first one */
function termsOfRows(rows: readonly { head: string; body: string }[], first: number) {
  const terms = new Map<string, Postings>();
  const lengths = new Uint16Array(rows.length);
  for (const [at, { head, body }] of rows.entries()) {
    const id = first + at;
    let length = 0;
    const count = (term: string, units: number) => {
      const known = terms.get(term);
      if (known === undefined) terms.set(term, { ids: [id], units: [units] });
      else if (known.ids.at(-1) === id) known.units.push((known.units.pop() ?? 0) + units);
      else {
        known.ids.push(id);
        known.units.push(units);
      }
    };
    const countAll = (text: string, units: number) => {
      for (const term of text.split(/[ \n]/)) {
        if (term === '') continue;
        count(term, units);
        length += units;
        for (const part of partsOf(term)) count(part, units);
      }
    };
    countAll(body, BODY_UNITS);
    countAll(head, HEAD_UNITS);
    lengths[at] = Math.min(LONGEST, length);
  }
  return { terms, lengths };
}

function insertTerms(database: DatabaseSync, segment: number, terms: ReadonlyMap<string, Postings>): void {
  const insertBlock = database.prepare('INSERT INTO postings VALUES (?, ?, ?, ?, ?, ?)');
  const insertPart = database.prepare('INSERT OR IGNORE INTO parts VALUES (?, ?)');
  for (const [term, postings] of [...terms].sort(([a], [b]) => (a < b ? -1 : 1))) {
    for (const { first, last, count, data } of blocksOf(postings))
      insertBlock.run(segment, term, first, last, count, data);
    if (hasHan(term) && term.length > 1) for (const part of new Set(term)) insertPart.run(part, term);
  }
}

const metaOf = (database: DatabaseSync, name: 'seq' | 'next'): number =>
  Number(database.prepare('SELECT value FROM meta WHERE name = ?').get(name)?.value ?? 0);

function removeRows(database: DatabaseSync, document: string): void {
  const known = database.prepare('SELECT id, first, count FROM documents WHERE document = ?').get(document);
  if (known === undefined) return;
  const [from, to] = [Number(known.first), Number(known.first) + Number(known.count) - 1];
  database.prepare('DELETE FROM passages WHERE id BETWEEN ? AND ?').run(from, to);
  database.prepare('DELETE FROM vectors WHERE id BETWEEN ? AND ?').run(from, to);
  database.prepare('DELETE FROM small WHERE first BETWEEN ? AND ?').run(from, to);
  database.prepare('DELETE FROM documents WHERE id = ?').run(Number(known.id));
}
