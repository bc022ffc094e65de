import type { Readable } from 'node:stream';
import type { ContractName, Language, PageRequest } from '../contracts/contract.ts';
import type { LocalText } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Principal } from '../principal.ts';
import type { Static, TObject, TSchema } from '../schema.ts';

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** What a route may ask of its caller. `tenant` is `user` plus the tenant that `X-Tenant-Id` names; `api` an API token. */
export type AuthRule = 'none' | 'user' | 'admin' | 'tenant' | 'api';

/** What a handler knows of the request beside its validated parts. */
export interface RequestInfo {
  readonly contract: ContractName;
  readonly language: Language;
  readonly traceId: string;
  /** Client address. */
  readonly ip: string;
  readonly log: Logger;
  /** Fires when the client goes away; runs never listen to it. */
  readonly signal: AbortSignal;
  header(name: string): string | undefined;
  /** For the audit log: a route without a caller, such as a login, says whose account it turned out to be about. */
  identify(account: { accountId: string; tenantId: string }): void;
}

/** Paging of a list request, already in one form for all contracts. */
export type Paging = Readonly<PageRequest>;

/** One page of a list; the contract gives it its own shape. */
export interface Page<T> {
  items: T[];
  total: number;
}

/** A file of a multipart request, stored in a temporary file until the handler ends. */
export interface UploadedFile {
  /** As the client named it; never a path to use as it is. */
  readonly filename: string;
  readonly size: number;
  readonly path: string;
}

type Infer<S> = S extends TSchema ? Static<S> : undefined;

export interface HandlerContext<P, Q, B, A extends AuthRule = AuthRule> {
  readonly principal: A extends 'none' ? undefined : Principal;
  readonly params: Infer<P>;
  readonly query: Infer<Q>;
  readonly body: Infer<B>;
  /** Present on routes with `paged`. */
  readonly paging: Paging;
  /** Files of a multipart body by field name. */
  readonly files: Readonly<Record<string, UploadedFile | undefined>>;
  readonly request: RequestInfo;
}

/** A route of one contract: data only, made with `defineRoute`. */
export interface Route<
  P extends TObject | undefined = TObject | undefined,
  Q extends TObject | undefined = TObject | undefined,
  B extends TSchema | undefined = TSchema | undefined,
  R = unknown,
  A extends AuthRule = AuthRule,
> {
  readonly method: Method;
  /** Below `/api/v1`, parameters as `:name`. */
  readonly path: string;
  readonly auth: A;
  /** One line for the documents. */
  readonly summary: LocalText;
  /** Default: 200. `201`, `202` where the contract says so, `204` for an answer without a body. */
  readonly status?: 200 | 201 | 202 | 204;
  readonly params?: P;
  readonly query?: Q;
  readonly body?: B;
  /** How the body travels. Default `json`. */
  readonly bodyType?: 'json' | 'form' | 'multipart';
  /** The body may be missing; then it is `{}` before defaults are filled. */
  readonly bodyOptional?: boolean;
  /** Adds the contract's paging query; the handler gets `paging` and returns a `Page`. */
  readonly paged?: boolean | { sortBy?: readonly string[]; sortOrder?: 'asc' | 'desc'; size?: number };
  /** Schema of the answer's data (of one item for `paged`); what it does not name is left out. Absent: no data. */
  readonly reply?: TSchema;
  /** The answer is not the contract's JSON: an event stream or a file. */
  readonly replyType?: 'json' | 'events' | 'file';
  /** The answer is sent as the reply schema has it, without the contract's envelope. */
  readonly bare?: boolean;
  /** Message of a success where the contract has one. */
  readonly message?: LocalText;
  /** Documented error codes of the services behind it, for the documents. */
  readonly errors?: readonly string[];
  /** Largest body in bytes. Default 2 MiB. */
  readonly maxBodyBytes?: number;
  /** Requests per minute class. Default `general`. */
  readonly limit?: 'general' | 'login';
  /** Cache headers: `private` with ETag and max-age in seconds. Default: no-store. */
  readonly cache?: { maxAge: number };
  handler(context: HandlerContext<P, Q, B, A>): R | Promise<R>;
}

/** Declares one route; the generics give the handler its types. */
export const defineRoute = <
  P extends TObject | undefined = undefined,
  Q extends TObject | undefined = undefined,
  B extends TSchema | undefined = undefined,
  R = unknown,
  A extends AuthRule = AuthRule,
>(
  route: Route<P, Q, B, R, A>,
): Route => route as unknown as Route;

/** The routes that one plugin brings for one contract. */
export interface RouteSet {
  readonly contract: ContractName;
  /** Heading in the documents. */
  readonly tag: LocalText;
  /** Error codes of services to the contract's own codes, where the kind alone does not decide. */
  readonly codes: Readonly<Record<string, string | number>>;
  readonly routes: readonly Route[];
}

export const defineRoutes = (contract: ContractName, set: Omit<RouteSet, 'contract'>): RouteSet => ({
  contract,
  ...set,
});

/**
 * One message of an event stream: `data` is sent as JSON unless it is text. With a `schema` it is shaped like the data of a reply: only
 * what the schema names, ids and times in the contract's form.
 */
export interface StreamMessage {
  id?: string | number;
  data: unknown;
  schema?: TSchema;
}

/**
 * An event-stream answer. The source is ended (its `return` is called) when the client goes away or does not read;
 * what produces the events is not.
 */
export class EventStream {
  readonly source: AsyncIterable<StreamMessage>;
  /** `stalledMs`: a client that takes nothing for so long is cut off, default 30 s; it resumes from its last id. */
  readonly options: { retryMs?: number; headers?: Record<string, string>; stalledMs?: number };

  constructor(source: AsyncIterable<StreamMessage>, options: EventStream['options'] = {}) {
    this.source = source;
    this.options = options;
  }
}

/** A file answer: an attachment with a name in any script. */
export class FileReply {
  readonly content: Readable | Uint8Array;
  readonly options: { filename: string; contentType: string; size?: number };

  constructor(content: Readable | Uint8Array, options: FileReply['options']) {
    this.content = content;
    this.options = options;
  }
}

/** An answer without a body whose status differs from the route's, for example 204 to end an event source. */
export class EmptyReply {
  readonly status: number;

  constructor(status: number) {
    this.status = status;
  }
}

/** Fields beside `data` where the contract's envelope has room for them (research: `quota`; tasks: all fields). */
export class ReplyWith<T> {
  readonly data: T;
  readonly beside: Record<string, unknown>;

  constructor(data: T, beside: Record<string, unknown>) {
    this.data = data;
    this.beside = beside;
  }
}
