import type { AppError, ErrorKind, LocalText } from '../errors.ts';
import type { IdKind, TSchema } from '../schema.ts';

/** The five documented API dialects. */
export const CONTRACT_NAMES = ['reports', 'studio', 'tasks', 'research', 'lowcode'] as const;
export type ContractName = (typeof CONTRACT_NAMES)[number];
export type Language = 'zh' | 'en';

/** Plain JSON Schema, as it stands in the OpenAPI documents. */
export type JsonSchema = Record<string, unknown>;

/** How a request asks for a page, after its text form was read. */
export interface PageRequest {
  /** Items to leave out. */
  offset: number;
  limit: number;
  /** 1-based; derived from offset and limit where the contract has none. */
  page: number;
  sortBy?: string;
  sortOrder?: 'asc' | 'desc';
}

export interface PageOptions {
  sortBy?: readonly string[];
  sortOrder?: 'asc' | 'desc';
  /** Default page size where the document gives one for this route. */
  size?: number;
}

export interface Failure {
  status: number;
  body: Record<string, unknown>;
  headers?: Record<string, string>;
}

export interface SuccessInfo {
  language: Language;
  now: Date;
  status: number;
  message?: LocalText;
  /** Fields beside the data, where the envelope has room for them. */
  beside?: Record<string, unknown>;
}

/** The wire rules of one API, written once: no handler knows any of them. */
export interface Contract {
  readonly name: ContractName;
  readonly title: LocalText;
  /** Default status of a successful creation is the route's business; this is about the body alone. */
  success(data: unknown, info: SuccessInfo): unknown;
  failure(error: AppError, codes: Readonly<Record<string, string | number>>, language: Language, now: Date): Failure;

  /** Schema of the paging query. */
  pageQuery(options: PageOptions): Record<string, TSchema>;
  /** From the validated query to one form for all contracts. */
  pageRequest(query: Record<string, unknown>, options: PageOptions): PageRequest;
  /** The data of a page. */
  pageBody(items: unknown[], total: number, request: PageRequest): unknown;

  /** Whether ids of this kind are running numbers here. */
  numbered(kind: IdKind): boolean;
  /** The wire form of an id that is not numbered. */
  formatId(kind: IdKind, id: string): string;
  /** The id behind a wire form; undefined when the form is not one that this contract gives out. */
  parseId(kind: IdKind, wire: string): string | undefined;
  formatTime(at: Date): string | number;

  /** For the documents. */
  readonly docs: {
    idSchema(kind: IdKind): JsonSchema;
    timeSchema: JsonSchema;
    success(data: JsonSchema | undefined): JsonSchema;
    page(item: JsonSchema): JsonSchema;
    failure: JsonSchema;
    /** Statuses that every route with a caller, or with input, can give. */
    statuses: { invalid: number; unauthenticated: number };
  };
}

/** Statuses that are the same in every contract; a contract overrides where its document differs. */
export const COMMON_STATUS: Readonly<Record<ErrorKind, number>> = {
  invalid: 400,
  malformed: 400,
  unauthenticated: 401,
  forbidden: 403,
  not_found: 404,
  method_not_allowed: 405,
  conflict: 409,
  too_large: 413,
  rate_limited: 429,
  quota_exceeded: 403,
  unavailable: 503,
  timeout: 503,
  cancelled: 409,
  internal: 500,
};

/** UUID text, in lower case. */
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

export const isUuid = (value: string): boolean => UUID.test(value);

/** Ids of the form `<prefix><uuid>`, the prefix given per kind; a kind without one travels as it is. */
export function prefixedIds(prefixes: Partial<Record<IdKind, string>>): Pick<Contract, 'formatId' | 'parseId'> {
  return {
    formatId: (kind, id) => (isUuid(id) ? (prefixes[kind] ?? '') + id : id),
    parseId(kind, wire) {
      const prefix = prefixes[kind];
      if (prefix === undefined) return wire;
      const rest = wire.slice(prefix.length);
      return wire.startsWith(prefix) && isUuid(rest) ? rest.toLowerCase() : undefined;
    },
  };
}

/** `2024-01-01T00:00:00`: UTC without zone and fraction. */
export const localSeconds = (at: Date): string => at.toISOString().slice(0, 19);

/** Query for `page` and a size, 1-based. */
export function pageByNumber(query: Record<string, unknown>, sizeName: string): PageRequest {
  const page = Number(query.page);
  const limit = Number(query[sizeName]);
  return { page, limit, offset: (page - 1) * limit };
}
