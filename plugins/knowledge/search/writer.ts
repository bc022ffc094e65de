import type { DatabaseSync } from 'node:sqlite';
import { isDamaged, openIndex, removeIndex } from './database.ts';
import { indexedText, termsOf } from './words.ts';

/** Everything of one document that the index keeps. */
export interface IndexedDocument {
  document: string;
  version: string;
  /** Terms of `scopeTerm`. */
  scope: string[];
  passages: { text: string; headings: string[]; vector?: Uint8Array | undefined }[];
}

/** Index files that are kept open. */
const MAX_OPEN = 16;

/** Writes indexes of tenants. Each change of one document is one transaction together with the number of the change. */
export class IndexWriter {
  readonly #open = new Map<string, DatabaseSync>();

  /** Number of the last change in the index; makes the index when there is none. */
  sequence(file: string): number {
    return this.#guarded(file, (database) => sequenceOf(database));
  }

  /**
   * Puts a document in the place of its earlier version.
   *
   * @param seq number of the change; a change that the index has already leaves it as it is. 0: a repetition outside of the order
   */
  put(file: string, seq: number, { document, version, scope, passages }: IndexedDocument): void {
    // The slow part is outside of the transaction.
    const rows = passages.map(({ text, headings, vector }) => ({
      head: termsOf(headings.join('\n')).join(' '),
      body: indexedText(text),
      vector,
    }));
    this.#change(file, seq, (database) => {
      removeRows(database, document);
      const last = database.prepare('SELECT max(first + count) AS last FROM documents').get()?.last;
      const first = Number(last ?? 1);
      const insert = database.prepare('INSERT INTO passages(rowid, scope, head, body) VALUES (?, ?, ?, ?)');
      const insertVector = database.prepare('INSERT INTO vectors VALUES (?, ?)');
      const terms = scope.join(' ');
      for (const [at, { head, body, vector }] of rows.entries()) {
        insert.run(first + at, terms, head, body);
        if (vector !== undefined) insertVector.run(first + at, vector);
      }
      database
        .prepare('INSERT INTO documents(document, version, scope, first, count) VALUES (?, ?, ?, ?, ?)')
        .run(document, version, terms, first, rows.length);
    });
  }

  remove(file: string, seq: number, document: string): void {
    this.#change(file, seq, (database) => removeRows(database, document));
  }

  /** Prepares for putting every document again; searches go on meanwhile. */
  startRebuild(file: string): void {
    this.#guarded(file, (database) => {
      const intact = () => {
        database.exec("INSERT INTO passages(passages) VALUES ('integrity-check')");
        return database.prepare('PRAGMA quick_check').get()?.quick_check === 'ok';
      };
      let sound = false;
      try {
        sound = intact();
      } catch (error) {
        if (!isDamaged(error)) throw error;
      }
      if (!sound) {
        this.#forget(file);
        removeIndex(file);
      } else database.exec("UPDATE documents SET version = ''");
    });
  }

  /** Takes out what was not put again, and sets the number of the last change. */
  finishRebuild(file: string, seq: number): void {
    this.#guarded(file, (database) => {
      const gone = database.prepare("SELECT document FROM documents WHERE version = ''").all();
      for (const { document } of gone) this.remove(file, 0, String(document));
      database.prepare("UPDATE meta SET value = max(value, ?) WHERE name = 'seq'").run(seq);
      database.exec("INSERT INTO passages(passages) VALUES ('optimize')");
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
    this.#guarded(file, (database) => {
      database.exec('BEGIN IMMEDIATE');
      try {
        if (seq === 0 || seq > sequenceOf(database)) {
          work(database);
          if (seq > 0) database.prepare("UPDATE meta SET value = ? WHERE name = 'seq'").run(seq);
        }
        database.exec('COMMIT');
      } catch (error) {
        if (database.isTransaction) database.exec('ROLLBACK');
        throw error;
      }
    });
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

const sequenceOf = (database: DatabaseSync): number =>
  Number(database.prepare("SELECT value FROM meta WHERE name = 'seq'").get()?.value ?? 0);

function removeRows(database: DatabaseSync, document: string): void {
  const known = database.prepare('SELECT id, first, count FROM documents WHERE document = ?').get(document);
  if (known === undefined) return;
  const [from, to] = [Number(known.first), Number(known.first) + Number(known.count) - 1];
  database.prepare('DELETE FROM passages WHERE rowid BETWEEN ? AND ?').run(from, to);
  database.prepare('DELETE FROM vectors WHERE id BETWEEN ? AND ?').run(from, to);
  database.prepare('DELETE FROM documents WHERE id = ?').run(Number(known.id));
}
