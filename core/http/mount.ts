import type { Context } from 'koa';
import type { Failure, Language } from '../contracts/contract.ts';
import type { AppError, LocalText } from '../errors.ts';
import type { Principal } from '../principal.ts';
import type { EventStream, Method, RequestInfo } from './route.ts';

/**
 * A route outside `/api/v1`, for a protocol that is defined elsewhere. The core lets the caller in (the JWT of any login, or an API
 * token; `X-Tenant-Id` chooses one of the tenants of an account), counts requests, reads JSON, keeps the trace id and the audit log; what
 * is said is the plugin's.
 */
export interface Mount {
  /** `ANY`: every method that no other mount of the path has. */
  readonly method: Method | 'ANY';
  /** From the root, parameters as `:name`, the rest of a path as `{*name}`. */
  readonly path: string;
  /** One line for the audit log. */
  readonly summary: LocalText;
  /** Largest JSON body in bytes. Default 2 MiB. */
  readonly maxBodyBytes?: number;
  /** Whether changing requests stand in the audit log. Default true. */
  readonly audited?: boolean;
  handler(context: MountContext): Promise<MountAnswer>;
  /** An error in the form of the protocol. */
  failure(error: AppError, language: Language): Failure;
}

/** JSON with its status (default 200), an event stream, or `sent` when the handler has answered by itself. */
export type MountAnswer = { status?: number; body: unknown; headers?: Record<string, string> } | EventStream | 'sent';

export interface MountContext {
  readonly principal: Principal;
  readonly params: Readonly<Record<string, string>>;
  /** Parsed JSON; undefined without a body. Nothing of it has been checked. */
  readonly body: unknown;
  readonly request: Omit<RequestInfo, 'contract' | 'identify'>;
  /** For protocols that answer by themselves. */
  readonly koa: Context;
  /** Whether the token is still good: what takes long does not outlive a logout or a blocked account. Event streams are looked after. */
  allowed(): Promise<boolean>;
  /** Fires when the server shuts down, for what would go on for long. */
  readonly closing: AbortSignal;
  /** Ids for the audit log. */
  touch(...ids: string[]): void;
}
