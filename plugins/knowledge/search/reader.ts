import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { isDamaged, openIndexToRead } from './database.ts';
import { type Filter, K1, Ranges, type Searchable } from './ranges.ts';
import { Scores } from './scoring.ts';
import { Terms } from './terms.ts';
import { nearest, type VectorStatements, vectorStatements } from './vectors.ts';
import { SentenceWindow, type WeightedTerm } from './window.ts';
import { queryTerms } from './words.ts';

export interface IndexQuery extends Filter {
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
const MAX_OPEN = 16;
/** Long questions are mostly context; the rarest words decide. Those that are nowhere say little, and cost more to look for. */
const MAX_TERMS = 64;
const MAX_UNKNOWN = 16;
/** Places of terms that a search reads, roughly: in a very large index the commonest words are left to the second look. */
const BUDGET = 3_000_000;
/** Reciprocal rank fusion: the usual constant, which keeps the first ranks from deciding alone. */
const FUSION = 60;
const LEAST_SHARED = 0.1;

interface Opened {
  database: DatabaseSync;
  terms: Terms;
  vectors: VectorStatements;
  /** Of the state of the index that the number stands for. */
  ranges: { generation: number; ranges: Ranges } | undefined;
  generation: StatementSync;
  text: StatementSync;
  holder: StatementSync;
}

/** Searches indexes of tenants. What a search may find is part of the query: nothing is filtered afterwards. */
export class IndexReader {
  readonly #open = new Map<string, Opened>();
  readonly #scores = new Scores();

  /** Best first. Empty when the tenant has no index. */
  search(file: string, query: IndexQuery): IndexHit[] {
    const opened = this.#opened(file);
    if (opened === undefined) return [];
    try {
      // One state of the index from the first look to the last.
      opened.database.exec('BEGIN');
      return search(opened, query, this.#scores);
    } catch (error) {
      if (isDamaged(error)) this.forget(file);
      throw error;
    } finally {
      if (opened.database.isOpen && opened.database.isTransaction) opened.database.exec('COMMIT');
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
    const known = this.#open.get(file) ?? prepare(file, this.#scores);
    this.#open.delete(file);
    if (known === undefined) return undefined;
    this.#open.set(file, known);
    for (const oldest of [...this.#open.keys()].slice(0, Math.max(0, this.#open.size - MAX_OPEN))) this.forget(oldest);
    return known;
  }
}

function prepare(file: string, scores: Scores): Opened | undefined {
  const database = openIndexToRead(file);
  if (database === undefined) return undefined;
  return {
    database,
    terms: new Terms(database, scores),
    vectors: vectorStatements(database),
    ranges: undefined,
    generation: database.prepare("SELECT value FROM meta WHERE name = 'generation'"),
    text: database.prepare('SELECT head, body FROM passages WHERE id = ?'),
    holder: database.prepare(
      'SELECT document, version, first FROM documents WHERE first <= ? AND count > 0 ORDER BY first DESC LIMIT 1',
    ),
  };
}

interface Candidate {
  id: number;
  score: number;
}

function search(opened: Opened, query: IndexQuery, scores: Scores): IndexHit[] {
  const { limit, vector } = query;
  const searchable = searchableOf(opened, query);
  if (searchable.count === 0) return [];
  const wanted = Math.max(limit, CANDIDATES);
  const lexical = byWords(opened, query.text, searchable, scores, wanted);
  const ranked = vector === undefined ? lexical : fuse(lexical, nearest(opened.vectors, vector, searchable, wanted));
  return ranked.slice(0, limit).flatMap(({ id, score }) => {
    const holder = opened.holder.get(id);
    if (holder === undefined) return [];
    const { document, version, first } = holder;
    return { document: String(document), version: String(version), position: id - Number(first), score };
  });
}

function searchableOf(opened: Opened, { owner, scope }: Filter): Searchable {
  const generation = Number(opened.generation.get()?.value);
  if (opened.ranges?.generation !== generation) opened.ranges = { generation, ranges: new Ranges(opened.database) };
  return opened.ranges.ranges.of({ owner, scope });
}

/** BM25 over the words, then the best sentence of each candidate. */
function byWords(
  { terms, text: textOf }: Opened,
  text: string,
  searchable: Searchable,
  scores: Scores,
  limit: number,
): Candidate[] {
  const weightOf = (found: number) => Math.log(1 + (searchable.count - found + 0.5) / (found + 0.5));
  const asked = affordable(queryTerms(text).map((term) => ({ term, total: terms.total(term) })));
  if (asked.length === 0) return [];

  scores.start(searchable);
  // In the order of the query, which pairs of neighbours are found by.
  const weighted = asked.map(({ term, total, common }): WeightedTerm => {
    // Of the commonest, which are not read, at most this many are in reach.
    if (common) return { term, weight: weightOf(Math.min(total, searchable.count)) };
    const found = total > 0 ? terms.read(term) : 0;
    const weight = weightOf(found);
    if (found > 0) scores.add(weight);
    else terms.readAlternatives(term, () => scores.add(weightOf(scores.found)));
    return { term, weight };
  });

  const window = new SentenceWindow(weighted);
  const best = weighted.reduce((sum, { weight }) => sum + weight * (K1 + 1), 0) + window.highest;
  return scores
    .best(limit)
    .map(({ id, score }) => {
      const { head = '', body = '' } = textOf.get(id) ?? {};
      const fit = window.best(head === '' ? String(body) : `${body}\n${head}`);
      return { id, score: Math.min(1, Math.max(0, (score + fit) / best)) };
    })
    .sort((a, b) => b.score - a.score || a.id - b.id);
}

/** The terms that count, in their order; `common` are those that BM25 leaves out because they would take too long and say little. */
function affordable(
  all: readonly { term: string; total: number }[],
): { term: string; total: number; common: boolean }[] {
  const known = all.filter(({ total }) => total > 0).sort((a, b) => a.total - b.total);
  const unknown = all.filter(({ total }) => total === 0);
  const kept = new Set([...known.slice(0, MAX_TERMS), ...unknown.slice(0, MAX_UNKNOWN)]);
  const common = new Set<unknown>();
  let read = 0;
  for (const one of known) {
    read += one.total;
    if (read > BUDGET && one !== known[0]) common.add(one);
  }
  return all.filter((one) => kept.has(one)).map((one) => ({ ...one, common: common.has(one) }));
}

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
