import type { LocalText } from '../../core/errors.ts';
import type { Principal } from '../../core/principal.ts';
import { defineService } from '../../core/service.ts';

export const DOCUMENT_STATUS = ['processing', 'completed', 'failed'] as const;
export type DocumentStatus = (typeof DOCUMENT_STATUS)[number];

/** A named collection of documents of one person. */
export interface KnowledgeBase {
  id: string;
  name: string;
  description: string;
  /** Id of the data set behind it; there is no outside service. */
  datasetId: string;
  fileCount: number;
  totalBytes: number;
  /** Documents that the base may hold. */
  fileLimit: number;
  createdAt: Date;
  updatedAt: Date;
}

export interface KnowledgeDocument {
  id: string;
  knowledgeBaseId: string | null;
  agentId: string | null;
  filename: string;
  /** Extension of the file name. */
  fileType: string;
  /** Bytes. */
  size: number;
  status: DocumentStatus;
  /** 0-100. */
  progress: number;
  passages: number;
  tokens: number;
  /** Null where the format has no pages. */
  pages: number | null;
  /** Why the last import failed. */
  error: { code: string; message: LocalText } | null;
  /** Run of kind `ingest` that imports it; its log has the progress. */
  runId: string;
  uploadedAt: Date;
  processedAt: Date | null;
}

/** What a document belongs to. That the agent is the caller's is checked by who has the agents. */
export type DocumentScope = { knowledgeBaseId: string } | { agentId: string };

/** Where a search looks: in any of the places named here, or in everything that the caller has when none is. */
export interface SearchScope {
  knowledgeBaseIds?: readonly string[];
  agentId?: string;
}

export interface SearchOptions {
  scope?: SearchScope;
  /** Passages wanted, 1-50. Default 5. */
  limit?: number;
  /** Passages below this score are left out, 0-1. Default 0. */
  minScore?: number;
  signal?: AbortSignal;
}

/** A passage that was found. */
export interface Hit {
  passageId: string;
  documentId: string;
  filename: string;
  knowledgeBaseId: string | null;
  agentId: string | null;
  text: string;
  /** Headings above the passage, outermost first. */
  headings: string[];
  /** First and last page, from 1; null where the format has none. */
  page: number | null;
  pageEnd: number | null;
  /** Place of the passage in its document, from 0. */
  position: number;
  /** 0-1, descending: share of the best that a passage could reach for this query. */
  score: number;
}

/** A file to import: bytes, or the path of a file that is there until the call returns. */
export interface KnowledgeFile {
  filename: string;
  content: Uint8Array | { path: string };
}

/** Gives each text a score for the query, higher is better; the order of `texts` is kept. */
export type Reranker = (query: string, texts: readonly string[], signal?: AbortSignal) => Promise<readonly number[]>;

export interface KnowledgeStatistics {
  bases: number;
  documents: number;
  bytes: number;
}

/** Knowledge bases, documents, and the search over them. Objects of others are not found. */
export interface KnowledgeService {
  /** All bases of the caller, newest first, and how many there may be. */
  listBases(principal: Principal): Promise<{ items: KnowledgeBase[]; limit: number }>;
  /** @throws {AppError} KNOWLEDGE_BASE_NOT_FOUND */
  getBase(principal: Principal, baseId: string): Promise<KnowledgeBase>;
  /** @throws {AppError} KNOWLEDGE_QUOTA_EXCEEDED (quota_exceeded), KNOWLEDGE_BASE_NAME_TAKEN (conflict) */
  createBase(principal: Principal, input: { name: string; description?: string }): Promise<KnowledgeBase>;
  /** Final, with documents, files and index. @throws {AppError} KNOWLEDGE_BASE_NOT_FOUND */
  deleteBase(principal: Principal, baseId: string): Promise<void>;

  /**
   * Stores a file and starts its import; `imported` tells when that has ended.
   *
   * @throws {AppError} KNOWLEDGE_BASE_NOT_FOUND, KNOWLEDGE_QUOTA_EXCEEDED; FILE_EMPTY, FILE_TOO_LARGE, FILE_TYPE_UNSUPPORTED (invalid)
   */
  addDocument(principal: Principal, scope: DocumentScope, file: KnowledgeFile): Promise<KnowledgeDocument>;
  /**
   * Imports a new version. Searches find the earlier passages until the new ones take their place in one step; when the
   * import fails they stay.
   *
   * @throws {AppError} KNOWLEDGE_DOCUMENT_NOT_FOUND, KNOWLEDGE_DOCUMENT_BUSY (conflict), and for the file as `addDocument`
   */
  replaceDocument(principal: Principal, documentId: string, file: KnowledgeFile): Promise<KnowledgeDocument>;
  /** Waits for the end of the import. Its failure is in the document, it does not throw. */
  imported(principal: Principal, documentId: string, signal?: AbortSignal): Promise<KnowledgeDocument>;
  /** Oldest first. @throws {AppError} KNOWLEDGE_BASE_NOT_FOUND */
  listDocuments(principal: Principal, scope: DocumentScope): Promise<KnowledgeDocument[]>;
  /** @throws {AppError} KNOWLEDGE_DOCUMENT_NOT_FOUND */
  getDocument(principal: Principal, documentId: string): Promise<KnowledgeDocument>;
  /** The file as it was uploaded. @throws {AppError} KNOWLEDGE_DOCUMENT_NOT_FOUND */
  original(principal: Principal, documentId: string): Promise<{ filename: string; bytes: Uint8Array }>;
  /**
   * Final, with file and index; an import under way ends.
   *
   * @param scope the document must belong to it
   * @throws {AppError} KNOWLEDGE_DOCUMENT_NOT_FOUND, KNOWLEDGE_BASE_NOT_FOUND
   */
  deleteDocument(principal: Principal, documentId: string, scope?: DocumentScope): Promise<void>;
  /** Removes the documents of an agent that is gone. */
  deleteAgentDocuments(principal: Principal, agentId: string): Promise<void>;

  /**
   * The best passages for a question, in Chinese or English, best first. Sees every import that has completed, on whichever server.
   *
   * @param query text as people write it; nothing in it is an operator
   * @throws {AppError} KNOWLEDGE_BASE_NOT_FOUND, KNOWLEDGE_INDEX_UNAVAILABLE (unavailable)
   */
  search(principal: Principal, query: string, options?: SearchOptions): Promise<Hit[]>;
  /** Orders the best passages anew before the first are returned. One at a time; returns its disposer. */
  useReranker(reranker: Reranker): () => void;

  /** Over the whole installation. Administrators only. @throws {AppError} ADMIN_REQUIRED (forbidden) */
  statistics(principal: Principal): Promise<KnowledgeStatistics>;
}

export const knowledgeService = defineService<KnowledgeService>('knowledge');

/** What nodes reach under the same key: the search, for the principal of their run. */
export interface KnowledgeForNodes {
  search(query: string, options?: Omit<SearchOptions, 'signal'>): Promise<Hit[]>;
}
