import { createHash } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { WORDS_VERSION } from './words.ts';

/** Raised with every change of the tables below. */
const SCHEMA_VERSION = 4;

/**
 * `documents` are ranges of passages; what no document has is not there, whatever `postings` say. Postings are written in segments, one
 * for each document, which are merged later, see `merging.ts`. `parts` finds the terms that hold a Chinese character. `small` has the
 * vectors in few bytes, see `vectors.ts`.
 */
const SCHEMA = `
  CREATE TABLE meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID;
  CREATE TABLE documents(
    id INTEGER PRIMARY KEY, document TEXT NOT NULL UNIQUE, version TEXT NOT NULL, scope TEXT NOT NULL, segment INTEGER NOT NULL,
    first INTEGER NOT NULL, count INTEGER NOT NULL, lengths BLOB NOT NULL, stale INTEGER NOT NULL DEFAULT 0
  );
  CREATE INDEX documents_first ON documents(first);
  CREATE TABLE passages(id INTEGER PRIMARY KEY, head TEXT NOT NULL, body TEXT NOT NULL);
  CREATE TABLE vectors(id INTEGER PRIMARY KEY, vector BLOB NOT NULL);
  CREATE TABLE small(first INTEGER PRIMARY KEY, length INTEGER NOT NULL, data BLOB NOT NULL);
  CREATE TABLE segments(id INTEGER PRIMARY KEY, passages INTEGER NOT NULL);
  CREATE TABLE postings(
    segment INTEGER NOT NULL, term TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, count INTEGER NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (segment, term, first)
  ) WITHOUT ROWID;
  CREATE TABLE parts(part TEXT NOT NULL, term TEXT NOT NULL, PRIMARY KEY (part, term)) WITHOUT ROWID;
`;

/** File of a tenant's index. One file each, so that no query can reach another tenant, and ranks owe nothing to strangers. */
export const indexFile = (folder: string, tenantId: string): string =>
  join(folder, `${createHash('sha256').update(tenantId).digest('hex').slice(0, 32)}.db`);

const PRAGMAS = `
  PRAGMA busy_timeout = 10000;
  PRAGMA synchronous = NORMAL;
  PRAGMA temp_store = MEMORY;
  PRAGMA secure_delete = FAST;
`;

const version = `${SCHEMA_VERSION}.${WORDS_VERSION}`;

/**
 * Opens an index to write; makes it when there is none, and makes it anew when it is damaged or was made by another version: all of it
 * can be had from the passages again.
 */
export function openIndex(file: string): DatabaseSync {
  mkdirSync(join(file, '..'), { recursive: true, mode: 0o700 });
  try {
    const known = openOrMake(file);
    if (known) return known;
  } catch (error) {
    if (!isDamaged(error)) throw error;
  }
  removeIndex(file);
  const made = openOrMake(file);
  if (!made) throw new Error(`the index ${file} cannot be made`);
  return made;
}

function openOrMake(file: string): DatabaseSync | undefined {
  const database = new DatabaseSync(file);
  try {
    // Journal mode is written into the file; a page size of 8 KiB suits long rows.
    database.exec(`PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA cache_size = -16384; ${PRAGMAS}`);
    const made = database.prepare("SELECT 1 FROM sqlite_master WHERE name = 'meta'").get();
    if (made === undefined) {
      database.exec(`BEGIN IMMEDIATE; ${SCHEMA}
        INSERT INTO meta VALUES ('version', '${version}'), ('seq', 0), ('next', 1), ('generation', 0);
        COMMIT`);
    }
    if (database.prepare("SELECT value FROM meta WHERE name = 'version'").get()?.value === version) return database;
    database.close();
    return undefined;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Opens an index to read; undefined when there is none, or one of another version. Throws when it is damaged. */
export function openIndexToRead(file: string): DatabaseSync | undefined {
  let database: DatabaseSync;
  try {
    database = new DatabaseSync(file, { readOnly: true });
  } catch (error) {
    if ((error as { errcode?: number }).errcode === 14) return undefined;
    throw error;
  }
  try {
    database.exec(`PRAGMA cache_size = -12288; ${PRAGMAS}`);
    if (database.prepare("SELECT value FROM meta WHERE name = 'version'").get()?.value === version) return database;
  } catch (error) {
    database.close();
    if (/no such table/.test(String(error))) return undefined;
    throw error;
  }
  database.close();
  return undefined;
}

export const removeIndex = (file: string): void => {
  for (const suffix of ['', '-wal', '-shm']) rmSync(`${file}${suffix}`, { force: true });
};

/** SQLITE_CORRUPT and its kin, SQLITE_NOTADB. */
export const isDamaged = (error: unknown): boolean => {
  const code = (error as { errcode?: number } | undefined)?.errcode;
  return code !== undefined && ((code & 0xff) === 11 || (code & 0xff) === 26);
};

/** A scope as the index knows it: a term, so letters and digits only. */
export const scopeTerm = (kind: 'base' | 'agent' | 'owner', id: string): string =>
  `${kind[0]}${createHash('sha256').update(id).digest('hex').slice(0, 24)}`;
