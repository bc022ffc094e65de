import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { isDamaged, openIndexToRead } from './database.ts';
import { nearest } from './vectors.ts';
import { SentenceWindow, type WeightedTerm } from './window.ts';
import { hasHan, queryTerms } from './words.ts';

export interface IndexQuery {
  /** Term of `scopeTerm`: whose passages may be found. Undefined: of everybody in the tenant. */
  owner?: string | undefined;
  /** Terms of `scopeTerm`: a passage of any of them may be found. Undefined: anywhere. */
  scope?: string[] | undefined;
  text: string;
  limit: number;
  /** The query as the embedding model sees it. */
  vector?: Float32Array | undefined;
}

export interface IndexHit {
  document: string;
  version: string;
  /** Place of the passage in its document, from 0. */
  position: number;
  /** 0-1: share of the best that a passage could reach for this query. */
  score: number;
}

/** Passages that BM25 chooses for the second look, at least. */
const CANDIDATES = 50;
const MAX_OPEN = 32;
/** Long questions are mostly context; the rarest words decide. */
const MAX_TERMS = 64;
const HEAD_WEIGHT = 0.4;
const K1 = 1.2;
/** Reciprocal rank fusion: the usual constant, which keeps the first ranks from deciding alone. */
const FUSION = 60;
const LEAST_SHARED = 0.1;
const MAX_ALTERNATIVES = 12;

interface Opened {
  database: DatabaseSync;
  candidates: StatementSync;
  documentFrequency: StatementSync;
  wider: StatementSync;
  holder: StatementSync;
}

/** Searches indexes of tenants. What a search may find is part of the query: nothing is filtered afterwards. */
export class IndexReader {
  readonly #open = new Map<string, Opened>();

  /** Best first. Empty when the tenant has no index. */
  search(file: string, query: IndexQuery): IndexHit[] {
    const opened = this.#opened(file);
    if (opened === undefined) return [];
    try {
      return search(opened, query);
    } catch (error) {
      if (isDamaged(error)) this.forget(file);
      throw error;
    }
  }

  /** Closes an index; the next search opens it again. */
  forget(file: string): void {
    this.#open.get(file)?.database.close();
    this.#open.delete(file);
  }

  close(): void {
    for (const file of [...this.#open.keys()]) this.forget(file);
  }

  #opened(file: string): Opened | undefined {
    const known = this.#open.get(file) ?? prepare(file);
    this.#open.delete(file);
    if (known === undefined) return undefined;
    this.#open.set(file, known);
    for (const oldest of [...this.#open.keys()].slice(0, Math.max(0, this.#open.size - MAX_OPEN))) this.forget(oldest);
    return known;
  }
}

function prepare(file: string): Opened | undefined {
  const database = openIndexToRead(file);
  if (database === undefined) return undefined;
  return {
    database,
    candidates: database.prepare(
      // By `rank` the index sorts row numbers alone and reads the texts of the best only.
      `SELECT rowid AS id, -rank AS score, body, head FROM passages
       WHERE passages MATCH ? AND rank MATCH 'bm25(0, ${HEAD_WEIGHT}, 1)' ORDER BY rank LIMIT ?`,
    ),
    documentFrequency: database.prepare('SELECT doc FROM vocabulary WHERE term = ?'),
    wider: database.prepare('SELECT term FROM vocabulary WHERE instr(term, ?) > 0 ORDER BY doc DESC LIMIT ?'),
    holder: database.prepare(
      'SELECT document, version, first FROM documents WHERE first <= ? AND count > 0 ORDER BY first DESC LIMIT 1',
    ),
  };
}

interface Candidate {
  id: number;
  score: number;
}

function search(opened: Opened, { owner, scope, text, limit, vector }: IndexQuery): IndexHit[] {
  if (scope?.length === 0) return [];
  const lexical = byWords(opened, text, filterOf(owner, scope), Math.max(limit, CANDIDATES));
  const ranked =
    vector === undefined
      ? lexical
      : fuse(lexical, nearest(opened.database, vector, { owner, scope }, Math.max(limit, CANDIDATES)));
  return ranked.slice(0, limit).flatMap(({ id, score }) => {
    const holder = opened.holder.get(id);
    if (holder === undefined) return [];
    const { document, version, first } = holder;
    return { document: String(document), version: String(version), position: id - Number(first), score };
  });
}

function filterOf(owner: string | undefined, scope: string[] | undefined): string {
  const parts = [
    ...(owner === undefined ? [] : [quoted(owner)]),
    ...(scope === undefined ? [] : [`(${scope.map(quoted).join(' OR ')})`]),
  ];
  return parts.length === 0 ? '' : `scope : (${parts.join(' AND ')}) AND `;
}

/** BM25 over the words, then the best sentence of each candidate. */
function byWords(opened: Opened, text: string, filter: string, limit: number): Candidate[] {
  const total = Number(opened.database.prepare('SELECT sum(count) AS total FROM documents').get()?.total ?? 0);
  if (total === 0) return [];
  const weigh = (term: string): WeightedTerm & { found: boolean } => {
    const found = Number(opened.documentFrequency.get(term)?.doc ?? 0);
    return { term, weight: Math.log(1 + (total - found + 0.5) / (found + 0.5)), found: found > 0 };
  };
  const terms = queryTerms(text)
    .map(weigh)
    .sort((a, b) => b.weight - a.weight)
    .slice(0, MAX_TERMS);
  if (terms.length === 0) return [];
  const matches = terms.flatMap((term) => (term.found ? [quoted(term.term)] : alternatives(opened, term.term)));
  if (matches.length === 0) return [];
  const found = opened.candidates.all(`${filter}{head body} : (${[...new Set(matches)].join(' OR ')})`, limit);

  const window = new SentenceWindow(inOrder(terms, text));
  const best = terms.reduce((sum, { weight }) => sum + weight * (K1 + 1), 0) + window.highest;
  return found
    .map(({ id, score, body, head }) => {
      const fit = window.best(head === '' ? String(body) : `${body}\n${head}`);
      return { id: Number(id), score: Math.min(1, Math.max(0, (Number(score) + fit) / best)) };
    })
    .sort((a, b) => b.score - a.score || a.id - b.id);
}

/** The order of the query, which pairs of neighbours are found by. */
function inOrder(terms: readonly WeightedTerm[], text: string): WeightedTerm[] {
  const byTerm = new Map(terms.map((term) => [term.term, term]));
  return queryTerms(text).flatMap((term) => byTerm.get(term) ?? []);
}

/** Terms hold no quotes, see `termsOf`; quoted they are never taken for operators. */
const quoted = (term: string) => `"${term}"`;

/**
 * What stands in for a word that the index does not have, because the passage was cut differently or holds a longer form: its own parts,
 * its characters side by side, words that contain it.
 */
function alternatives(opened: Opened, term: string): string[] {
  if (!hasHan(term)) {
    if (term.length < 3) return [];
    return /\d/.test(term) ? [`${quoted(term)} *`, ...containing(opened, term)] : [`${quoted(term)} *`];
  }
  const found: string[] = [];
  const characters = [...term];
  for (let length = characters.length - 1; length >= 2 && found.length < MAX_ALTERNATIVES; length--) {
    for (let from = 0; from + length <= characters.length; from++) {
      const part = characters.slice(from, from + length).join('');
      if (opened.documentFrequency.get(part) !== undefined) found.push(quoted(part));
    }
  }
  if (found.length > 0) return found;
  const beside = characters.length > 1 ? [`(${characters.map(quoted).join(' + ')})`] : [];
  return [...beside, ...containing(opened, term)];
}

const containing = (opened: Opened, term: string): string[] =>
  opened.wider.all(term, MAX_ALTERNATIVES).map((row) => quoted(String(row.term)));

/**
 * Reciprocal rank fusion of two rankings; passages that share next to nothing with the question are not ranked by words. The score is the share of
 * being first in both.
 */
function fuse(words: readonly Candidate[], semantic: readonly Candidate[]): Candidate[] {
  const lexical = words.filter(({ score }) => score >= LEAST_SHARED);
  const scores = new Map<number, number>();
  for (const ranking of [lexical, semantic]) {
    for (const [rank, { id }] of ranking.entries()) scores.set(id, (scores.get(id) ?? 0) + 1 / (FUSION + rank + 1));
  }
  const best = 2 / (FUSION + 1);
  return [...scores]
    .map(([id, score]) => ({ id, score: score / best }))
    .sort((a, b) => b.score - a.score || a.id - b.id);
}
