import type mongoose from 'mongoose';
import type { Principal } from '../principal.ts';
import { defineService } from '../service.ts';

/**
 * The documents of the installation. Plugins never hold a bare mongoose model: what belongs to a tenant is reached through
 * `in(principal)`, which adds the tenant to every filter, pipeline and insert, so that a forgotten filter cannot leak.
 */
export interface Database {
  readonly connection: mongoose.Connection;
  /** A collection whose documents belong to tenants (field `tenantId`, added to the schema and to every index). */
  tenantModel<T extends object>(
    name: string,
    schema: mongoose.SchemaDefinition<T>,
    options?: ModelOptions,
  ): TenantModel<T>;
  /** A collection of the installation itself (accounts, tenants, counters): no tenant scope. */
  globalModel<T extends object>(
    name: string,
    schema: mongoose.SchemaDefinition<T>,
    options?: ModelOptions,
  ): Collection<T & Document>;
  /** GridFS files of a tenant. */
  files(name: string): TenantFiles;
  /** Resolves when all indexes of all models made so far exist. */
  ready(): Promise<void>;
  ping(): Promise<void>;
}

export const databaseService = defineService<Database>('database');

export interface Document {
  /** UUID text unless the caller gives another one. */
  _id: string;
  createdAt: Date;
  updatedAt: Date;
}

export interface ModelOptions {
  indexes?: IndexOptions[];
  /** Keeps `createdAt` and `updatedAt`. Default true. */
  timestamps?: boolean;
}

export interface IndexOptions {
  /** In the collection of a tenant model `tenantId` comes first by itself, so `unique` means unique within the tenant. */
  fields: Record<string, 1 | -1>;
  /** Case folding is the caller's business: store a lower-cased copy and index that. */
  unique?: boolean;
  /** Only documents that match are in the index. */
  partial?: Record<string, unknown>;
  /** Documents are removed this long after the moment in the (only) field. */
  expireAfterSeconds?: number;
  /** For the queries of `acrossTenants`: the tenant is left out of the index. */
  acrossTenants?: boolean;
}

export interface TenantModel<T extends object> {
  in(principal: Pick<Principal, 'tenantId'>): Collection<T & Document & { tenantId: string }>;
  /** Crosses tenants; for recovery, clean-up and administration only. The reason is for readers of the code. */
  acrossTenants(reason: string): Collection<T & Document & { tenantId: string }>;
}

export type Filter<D> = mongoose.mongo.Filter<D>;
export type Update<D> = mongoose.mongo.UpdateFilter<D>;

export interface FindOptions<D> {
  sort?: Partial<Record<keyof D & string, 1 | -1>> | Record<string, 1 | -1>;
  skip?: number;
  limit?: number;
  /** Fields to read. Default: all. */
  fields?: (keyof D & string)[];
}

/** What `find` gives at most; more is a bug (an unbounded list) and throws. Use `limit` or `iterate`. */
export const FIND_LIMIT = 10_000;

/**
 * Plain documents in, plain documents out. Writes are checked by the mongoose schema: an unknown field, a missing one or
 * a wrong type is a bug and throws mongoose's error. So does an undefined value or an unknown field in a filter.
 * Free-form fields (`Mixed`, `jsonField`) take any JSON with any keys.
 *
 * @throws {AppError} DUPLICATE (kind conflict, `details.keys`: names of the indexed fields) when a unique index refuses a
 *   write; DOCUMENT_TOO_LARGE; DATABASE_UNAVAILABLE
 */
export interface Collection<D extends object> {
  /** At most `FIND_LIMIT` documents. */
  find(filter: Filter<D>, options?: FindOptions<D>): Promise<D[]>;
  /** All documents one after another, read in batches. */
  iterate(filter: Filter<D>, options?: FindOptions<D>): AsyncIterable<D>;
  findOne(filter: Filter<D>, options?: FindOptions<D>): Promise<D | undefined>;
  get(id: string): Promise<D | undefined>;
  count(filter: Filter<D>): Promise<number>;
  /** @param options.trusted as with `insertMany`; such documents share a write with what others insert at the same moment */
  insert(
    document: Omit<D, '_id' | 'createdAt' | 'updatedAt' | 'tenantId'> & { _id?: string },
    options?: { trusted?: boolean },
  ): Promise<D>;
  /**
   * @param options.trusted the documents are made by code alone and have every field as it is to be stored: they are not checked and get
   *   no defaults, which is most of the cost of a small document. `createdAt` and `updatedAt` that they have are kept
   */
  insertMany(
    documents: (Omit<D, '_id' | 'createdAt' | 'updatedAt' | 'tenantId'> & { _id?: string })[],
    options?: { trusted?: boolean },
  ): Promise<number>;
  /**
   * Changes one document in one step and returns it as it is afterwards; undefined when the filter matches none.
   * Free-form fields are replaced as a whole.
   *
   * @param options.trusted the change is made by code alone, with values as they are to be stored: it is not checked; without `upsert`
   */
  update(
    filter: Filter<D>,
    update: Update<D>,
    options?: { upsert?: boolean; sort?: Record<string, 1 | -1> } | { trusted: true },
  ): Promise<D | undefined>;
  /**
   * Changes documents one by one in one command, each as `update` would; none sees the others' changes. For sums that many add to:
   * of two that make the same document at once, both count.
   *
   * @param options.trusted as with `insertMany`; without `upsert`
   * @returns how many were there to be changed
   */
  updateEach(
    changes: readonly { filter: Filter<D>; update: Update<D>; upsert?: boolean }[],
    options?: { trusted?: boolean },
  ): Promise<number>;
  /** Returns the number of changed documents. */
  updateMany(filter: Filter<D>, update: Update<D>): Promise<number>;
  delete(filter: Filter<D>): Promise<number>;
  aggregate<R>(pipeline: Record<string, unknown>[]): Promise<R[]>;
}

/** Files of one kind (reports, uploads) in GridFS; the tenant is part of every look-up. */
export interface TenantFiles {
  /**
   * Stores a file. A given id makes it repeatable: when the tenant has that file already it stays as it is and is returned.
   * A file is there when its last byte is stored, never in part.
   */
  write(
    principal: Pick<Principal, 'tenantId'>,
    file: {
      id?: string;
      filename: string;
      content: Uint8Array | NodeJS.ReadableStream;
      metadata?: Record<string, unknown>;
    },
  ): Promise<StoredFile>;
  /**
   * @param range bytes from `start` to before `end`; all of them when it is absent
   * @returns undefined when there is no such file in the tenant
   */
  open(
    principal: Pick<Principal, 'tenantId'>,
    fileId: string,
    range?: { start: number; end: number },
  ): Promise<(StoredFile & { stream: import('node:stream').Readable }) | undefined>;
  read(principal: Pick<Principal, 'tenantId'>, fileId: string): Promise<Uint8Array | undefined>;
  delete(principal: Pick<Principal, 'tenantId'>, fileId: string): Promise<boolean>;
}

export interface StoredFile {
  id: string;
  filename: string;
  size: number;
  metadata: Record<string, unknown>;
}
