import type { Principal } from '../../../core/principal.ts';
import { passageId } from '../models/passage.ts';
import type { Hit, Reranker, SearchOptions } from '../public.ts';
import { scopeTerm } from '../search/database.ts';
import type { IndexHit } from '../search/reader.ts';
import type { Bases } from './bases.ts';
import type { Documents } from './documents.ts';
import type { KnowledgeParts } from './parts.ts';

export const MAX_RESULTS = 50;
/** Longer queries are cut: they are texts, not questions. */
const LONGEST_QUERY = 2000;
/** Passages that a reranker is given. */
const RERANKED = 30;
/** How long a search waits for the vector of its question, and how long it does without after a failure. */
const VECTOR_MS = 3000;
const SILENT_MS = 15_000;
/** How long a search waits for a reranker. */
const RERANK_MS = 10_000;

export interface Search {
  search(principal: Principal, query: string, options?: SearchOptions): Promise<Hit[]>;
  useReranker(reranker: Reranker): () => void;
}

/** Where the search finds out whose and which documents it talks of. */
export interface SearchSources {
  findBase: Bases['find'];
  someDocuments: Documents['some'];
}

/** The search over the index of this server; texts come from the document store, which is the truth. */
export function createSearch(
  { index, passages, embedder, log }: Pick<KnowledgeParts, 'index' | 'passages' | 'embedder' | 'log'>,
  { findBase, someDocuments }: SearchSources,
): Search {
  let rerank: Reranker | undefined;

  const scopeTerms = async (
    principal: Principal,
    { knowledgeBaseIds, agentId }: NonNullable<SearchOptions['scope']>,
  ) => {
    if (knowledgeBaseIds === undefined && agentId === undefined) return undefined;
    const found = await Promise.all([...new Set(knowledgeBaseIds)].map((baseId) => findBase(principal, baseId)));
    return [
      ...found.map(({ _id }) => scopeTerm('base', _id)),
      ...(agentId === undefined ? [] : [scopeTerm('agent', agentId)]),
    ];
  };

  /** Until when the embedding model is left alone after it failed: each search would wait for it again. */
  let silentUntil = 0;
  const vectorOf = async (text: string, signal: AbortSignal | undefined): Promise<Float32Array | undefined> => {
    if (embedder === undefined || Date.now() < silentUntil) return undefined;
    const patience = AbortSignal.timeout(VECTOR_MS);
    try {
      const both = signal === undefined ? patience : AbortSignal.any([signal, patience]);
      return (await embedder.embed([text], 'query', both))[0];
    } catch (error) {
      signal?.throwIfAborted();
      // Words alone still find most.
      silentUntil = Date.now() + SILENT_MS;
      log.warn({ err: error }, 'knowledge search: no vector for the query, words alone are searched for a while');
      return undefined;
    }
  };

  const hydrate = async (principal: Principal, found: readonly IndexHit[]): Promise<Hit[]> => {
    const known = await someDocuments(
      principal,
      found.map(({ document }) => document),
    );
    const ids = found.map(({ document, version, position }) => passageId(document, version, position));
    const texts = new Map(
      (ids.length === 0 ? [] : await passages.in(principal).find({ _id: { $in: ids } })).map((passage) => [
        passage._id,
        passage,
      ]),
    );
    return found.flatMap(({ document, score }, at) => {
      const holder = known.get(document);
      const passage = texts.get(ids[at] ?? '');
      // Deleted or replaced since the index was read.
      if (!holder || !passage) return [];
      return {
        passageId: passage._id,
        documentId: holder._id,
        filename: holder.filename,
        knowledgeBaseId: holder.baseId ?? null,
        agentId: holder.agentId ?? null,
        text: passage.text,
        headings: passage.headings,
        page: passage.page,
        pageEnd: passage.pageEnd,
        position: passage.position,
        score: Math.round(score * 10_000) / 10_000,
      };
    });
  };

  const reordered = async (query: string, hits: Hit[], signal?: AbortSignal): Promise<Hit[]> => {
    if (rerank === undefined || hits.length === 0) return hits;
    const patience = AbortSignal.timeout(RERANK_MS);
    const both = signal === undefined ? patience : AbortSignal.any([signal, patience]);
    try {
      const given = await inTime(
        rerank(
          query,
          hits.map(({ text }) => text),
          both,
        ),
        both,
      );
      if (given.length !== hits.length || !given.every(Number.isFinite))
        throw new Error(
          `the reranker gave ${given.length} scores for ${hits.length} passages, or some that are no numbers`,
        );
      const scores = [...given];
      const highest = Math.max(...scores);
      const lowest = Math.min(...scores);
      const scaled = (value: number) =>
        lowest >= 0 && highest <= 1 ? value : (value - lowest) / (highest - lowest || 1);
      return hits.map((hit, at) => ({ ...hit, score: scaled(scores[at] ?? lowest) })).sort((a, b) => b.score - a.score);
    } catch (error) {
      signal?.throwIfAborted();
      log.warn({ err: error }, 'knowledge search: reranking failed');
      return hits;
    }
  };

  return {
    async search(principal, query, { scope = {}, limit = 5, minScore = 0, signal } = {}) {
      const wanted = Math.min(Math.max(Math.trunc(limit), 1), MAX_RESULTS);
      const text = query.slice(0, LONGEST_QUERY);
      const terms = await scopeTerms(principal, scope);
      const vector = await vectorOf(text, signal);
      const found = await index.search(principal, {
        text,
        limit: rerank === undefined ? wanted : Math.max(wanted, RERANKED),
        ...(principal.kind !== 'system' && { owner: scopeTerm('owner', principal.accountId) }),
        ...(terms !== undefined && { scope: terms }),
        ...(vector !== undefined && { vector }),
      });
      const hits = await reordered(text, await hydrate(principal, found), signal);
      return hits.filter(({ score }) => score >= minScore).slice(0, wanted);
    },

    useReranker(reranker) {
      rerank = reranker;
      return () => {
        if (rerank === reranker) rerank = undefined;
      };
    },
  };
}

/** Rejects when the signal comes first, also when the work does not listen to it. */
function inTime<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) return onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
