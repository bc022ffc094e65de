import mongoose from 'mongoose';
import type { Logger } from '../log.ts';
import { createCollection, type ModelParts } from './collection.ts';
import type { Database, IndexOptions, ModelOptions, TenantModel } from './database.ts';
import { translated } from './errors.ts';
import { createTenantFiles, type TenantFilesParts } from './files.ts';
import { createInserts } from './inserts.ts';
import { jsonPathsOf } from './json.ts';
import { requireTenant } from './tenant.ts';

type Plain = Record<string, unknown>;
type Definition = Record<string, unknown>;

export interface ConnectOptions {
  log: Logger;
  /** Connections at the same time. Default 32. */
  poolSize?: number;
  /** How long a call waits for a reachable server. Default 5000. */
  serverSelectionTimeoutMs?: number;
}

interface Registered extends ModelParts {
  readonly scope: 'tenant' | 'global';
  readonly shape: string;
  readonly indexes: IndexOptions[];
  indexed?: Promise<void>;
}

/**
 * Connects to a MongoDB-compatible server.
 *
 * @param uri without a database name in it the database is `koagent`
 * @throws {AppError} DATABASE_UNAVAILABLE
 */
export async function connectDatabase(
  uri: string,
  { log, poolSize = 32, serverSelectionTimeoutMs = 5000 }: ConnectOptions,
): Promise<Database & { close(): Promise<void> }> {
  const connection = mongoose.createConnection(uri, {
    bufferCommands: false,
    autoIndex: false,
    autoCreate: false,
    maxPoolSize: poolSize,
    serverSelectionTimeoutMS: serverSelectionTimeoutMs,
    ignoreUndefined: true,
    promoteBuffers: true,
    ...(databaseOf(uri) === undefined && { dbName: 'koagent' }),
  });
  connection.on('error', (error: unknown) => log.error({ err: error }, 'database connection failed'));
  try {
    await translated(() => connection.asPromise());
  } catch (error) {
    await connection.close(true);
    throw error;
  }

  const models = new Map<string, Registered>();
  const fileStores = new Map<string, TenantFilesParts & { indexed?: Promise<void> }>();

  const register = (
    scope: Registered['scope'],
    name: string,
    definition: Definition,
    options: ModelOptions,
  ): Registered => {
    const timestamps = options.timestamps ?? true;
    const schema = schemaOf(scope, definition, timestamps);
    const indexes = indexesOf(scope, options.indexes ?? []);
    const shape = JSON.stringify([
      scope,
      timestamps,
      indexes,
      Object.values(schema.paths).map((p) => [p.path, p.instance]),
    ]);
    const known = models.get(name);
    if (known) {
      if (known.shape !== shape) throw new Error(`The collection ${name} is declared twice and differently`);
      return known;
    }
    const model = connection.model<Plain>(name, schema as unknown as mongoose.Schema<Plain>, name);
    const parts = {
      model,
      scope,
      shape,
      indexes,
      timestamps,
      json: jsonPathsOf(schema),
      insertTogether: createInserts(model),
    };
    models.set(name, parts);
    return parts;
  };

  return {
    connection,

    tenantModel<T extends object>(name: string, definition: mongoose.SchemaDefinition<T>, options: ModelOptions = {}) {
      const parts = register('tenant', name, definition as Definition, options);
      const model: TenantModel<T> = {
        in: (principal) => createCollection(parts, requireTenant(principal)),
        acrossTenants: () => createCollection(parts),
      };
      return model;
    },

    globalModel: (name, definition, options = {}) =>
      createCollection(register('global', name, definition as Definition, options)),

    files(name) {
      const known = fileStores.get(name);
      if (known) return known;
      const store = createTenantFiles(connection, name);
      fileStores.set(name, store);
      return store;
    },

    async ready() {
      for (const parts of models.values()) {
        parts.indexed ??= ensureIndexes(parts, log).catch((error: unknown) => {
          parts.indexed = undefined;
          throw error;
        });
      }
      for (const store of fileStores.values()) {
        store.indexed ??= store.ready().catch((error: unknown) => {
          store.indexed = undefined;
          throw error;
        });
      }
      const all = [...models.values(), ...fileStores.values()].map(({ indexed }) => indexed);
      await translated(() => Promise.all(all));
    },

    async ping() {
      await translated(async () => connection.db?.admin().ping());
    },

    close: () => connection.close(),
  };
}

/** The database name of a connection string, if it has one. */
const databaseOf = (uri: string) => /^mongodb(?:\+srv)?:\/\/[^/]+\/([^?]+)/.exec(uri)?.[1];

function schemaOf(scope: Registered['scope'], definition: Definition, timestamps: boolean): mongoose.Schema {
  return new mongoose.Schema(
    {
      ...definition,
      _id: { type: String, required: true },
      ...(scope === 'tenant' && { tenantId: { type: String, required: true, immutable: true } }),
      ...(timestamps && { createdAt: { type: Date, immutable: true }, updatedAt: Date }),
    } as mongoose.SchemaDefinition,
    {
      // `_id: false` keeps sub-documents free of ids that nobody asked for; the documents' own is declared above.
      _id: false,
      id: false,
      versionKey: false,
      minimize: false,
      strict: 'throw',
      strictQuery: 'throw',
      timestamps,
      autoIndex: false,
      autoCreate: false,
    },
  );
}

/** The indexes as they are made: the tenant first, and at least one that starts with it. */
function indexesOf(scope: Registered['scope'], indexes: readonly IndexOptions[]): IndexOptions[] {
  if (scope === 'global') return [...indexes];
  const made = indexes.map((index) =>
    index.acrossTenants || index.expireAfterSeconds !== undefined
      ? index
      : { ...index, fields: { tenantId: 1 as const, ...index.fields } },
  );
  const covered = made.some((index) => Object.keys(index.fields)[0] === 'tenantId' && !index.partial);
  return covered ? made : [...made, { fields: { tenantId: 1 } }];
}

async function ensureIndexes({ model, indexes }: Registered, log: Logger): Promise<void> {
  for (const { fields, unique, partial, expireAfterSeconds } of indexes) {
    const options: mongoose.mongo.CreateIndexesOptions = {
      ...(unique && { unique }),
      ...(partial && { partialFilterExpression: partial }),
      ...(expireAfterSeconds !== undefined && { expireAfterSeconds }),
    };
    try {
      await model.collection.createIndex(fields, options);
    } catch (error) {
      // 85 and 86: an earlier version of Koagent made it with other options.
      const code = error instanceof mongoose.mongo.MongoServerError ? error.code : undefined;
      if (code !== 85 && code !== 86) throw error;
      const name = Object.entries(fields).flat().join('_');
      log.warn({ collection: model.collection.name, index: name }, 'index replaced, its options have changed');
      await model.collection.dropIndex(name);
      await model.collection.createIndex(fields, options);
    }
  }
}
