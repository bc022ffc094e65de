import type { LocalText } from '../../core/errors.ts';
import type { Page, Paging } from '../../core/http/route.ts';
import type { Principal } from '../../core/principal.ts';
import { defineService } from '../../core/service.ts';

export const DATA_SOURCE_TYPE = ['mysql', 'postgresql', 'api', 'json'] as const;
export type DataSourceType = (typeof DATA_SOURCE_TYPE)[number];

/** `error`: the last test failed. `inactive`: switched off by a person; it is not queried. */
export const DATA_SOURCE_STATUS = ['active', 'inactive', 'error'] as const;
export type DataSourceStatus = (typeof DATA_SOURCE_STATUS)[number];

export interface DataSource {
  id: string;
  ownerId: string;
  name: string;
  type: DataSourceType;
  description: string | null;
  /** As the client gave it, with `******` in place of every secret. Shapes: README.md of this plugin. */
  config: Record<string, unknown>;
  status: DataSourceStatus;
  lastConnectedAt: Date | null;
  createdAt: Date;
  updatedAt: Date;
}

export interface NewDataSource {
  name: string;
  type: DataSourceType;
  description?: string | null;
  config: Record<string, unknown>;
}

/** `config` replaces the whole; `******` in it keeps the stored secret at that place. */
export interface DataSourceChanges {
  name?: string;
  description?: string | null;
  config?: Record<string, unknown>;
  status?: Exclude<DataSourceStatus, 'error'>;
}

/**
 * SQL for the databases, a path or an object for `api`, a path into the document for `json`.
 */
export type DataSourceQuery = string | ApiQuery;

/** Every part is optional and added to what the source's config has. */
export interface ApiQuery {
  /** Below the base address. */
  path?: string;
  method?: 'GET' | 'POST';
  params?: Record<string, unknown>;
  /** Sent as JSON; text as it is. Replaces the body of the config. */
  body?: unknown;
}

export interface QueryResult {
  /** Plain JSON. Rows of a database are objects by column; a single value or object is a list of one. */
  data: unknown[];
  count: number;
  /** There was more than the limit of rows. */
  truncated: boolean;
}

export interface TestResult {
  status: 'success' | 'failed';
  message: LocalText;
}

/**
 * Data sources of accounts: databases, HTTP APIs and JSON documents that workflows read. An account sees its own ones in its
 * tenant, an administrator every one. Source: low-code document and contracts/lowcode.md 2.7.
 */
export interface DataSourceService {
  /** Newest first. */
  list(
    principal: Principal,
    filter: { type?: DataSourceType; status?: DataSourceStatus },
    paging: Pick<Paging, 'offset' | 'limit'>,
  ): Promise<Page<DataSource>>;
  /** @throws {AppError} DATA_SOURCE_NOT_FOUND */
  get(principal: Principal, dataSourceId: string): Promise<DataSource>;
  /** @throws {AppError} DATA_SOURCE_CONFIG_INVALID with the fields */
  create(principal: Principal, source: NewDataSource): Promise<DataSource>;
  /** @throws {AppError} DATA_SOURCE_NOT_FOUND, DATA_SOURCE_CONFIG_INVALID */
  update(principal: Principal, dataSourceId: string, changes: DataSourceChanges): Promise<DataSource>;
  /** @throws {AppError} DATA_SOURCE_NOT_FOUND */
  delete(principal: Principal, dataSourceId: string): Promise<void>;
  /**
   * Connects and notes the outcome as the status; one that is switched off stays so.
   *
   * @throws {AppError} DATA_SOURCE_NOT_FOUND; a connection that fails is a result
   */
  test(principal: Principal, dataSourceId: string, signal?: AbortSignal): Promise<TestResult>;
  /**
   * Reads. The signal ends the work on the other side as well.
   *
   * @throws {AppError} DATA_SOURCE_NOT_FOUND, QUERY_NOT_ALLOWED, DATA_SOURCE_ERROR, DATA_SOURCE_INACTIVE, DATA_SOURCE_CANCELLED
   */
  query(principal: Principal, dataSourceId: string, query: DataSourceQuery, signal?: AbortSignal): Promise<QueryResult>;
}

export const dataSourceService = defineService<DataSourceService>('data-sources');
