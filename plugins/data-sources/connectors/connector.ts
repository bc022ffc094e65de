import type { AddressPolicy } from '../../../core/outbound/addresses.ts';
import type { Outbound } from '../../../core/outbound/outbound.ts';
import type { DataSourceQuery, QueryResult } from '../public.ts';
import type { SqlGuard } from '../sql/guard.ts';

/** One configured source, with whatever it keeps open. */
export interface Connector {
  /** Resolves when the source can be reached and lets us in. @throws {AppError} DATA_SOURCE_ERROR, DATA_SOURCE_CANCELLED */
  test(signal?: AbortSignal): Promise<void>;
  /** @throws {AppError} QUERY_NOT_ALLOWED, DATA_SOURCE_ERROR, DATA_SOURCE_CANCELLED */
  query(query: DataSourceQuery, signal?: AbortSignal): Promise<QueryResult>;
  /** Ends what is idle at once and what is at work when it is done; with `now` that too at once. */
  close(now?: boolean): Promise<void>;
}

export interface ConnectorLimits {
  rows: number;
  /** Of one answer, as JSON. */
  bytes: number;
  connectMs: number;
  queryMs: number;
  /** Connections of one source. */
  connections: number;
  idleMs: number;
}

/** What every connector may need. */
export interface ConnectorParts {
  limits: ConnectorLimits;
  guard: SqlGuard;
  outbound: Outbound;
  /** Where databases may be. */
  databaseAddresses: AddressPolicy;
  /** Folder of the files of json sources. */
  filesDir: string;
}
