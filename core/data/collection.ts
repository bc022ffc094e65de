import { randomUUID } from 'node:crypto';
import mongoose from 'mongoose';
import { type Collection, FIND_LIMIT, type Filter, type FindOptions, type Update } from './database.ts';
import { translated } from './errors.ts';
import { decodeJson, encodeJson, encodeUpdate, type JsonPaths, mapJson } from './json.ts';
import { checkUpdate, scopeFilter, scopePipeline } from './scope.ts';

type Plain = Record<string, unknown>;

/** A mongoose model and what the wrapper must know of it. */
export interface ModelParts {
  readonly model: mongoose.Model<Plain>;
  readonly json: JsonPaths | undefined;
  readonly timestamps: boolean;
  /** Stores a document as it is, together with others. */
  readonly insertTogether: (document: Plain) => Promise<void>;
}

/**
 * The one way to a collection: scope, checks, free-form values and errors are dealt with here. With a `tenantId` every
 * call sees and writes that tenant's documents only.
 */
export function createCollection<D extends object>(parts: ModelParts, tenantId?: string): Collection<D> {
  const { model, json, timestamps } = parts;
  const scoped = (filter: object) => scopeFilter(filter, tenantId) as mongoose.QueryFilter<Plain>;
  const known = (filter: mongoose.QueryFilter<Plain>) => {
    checkFields(filter as Plain, parts);
    return filter as mongoose.mongo.Filter<Plain>;
  };
  const decode = (document: unknown) => (json && document ? mapJson(json, document, decodeJson) : document) as D;

  // Straight to the driver: mongoose gives the same plain documents for half as much again.
  const query = (filter: Filter<D>, { fields, sort, skip, limit = 0 }: FindOptions<D>, batchSize?: number) =>
    model.collection.find(known(scoped(filter)), {
      ...(fields && { projection: Object.fromEntries(fields.map((field) => [field, 1])) }),
      ...(sort && { sort: sort as Record<string, 1 | -1> }),
      ...(skip && { skip }),
      ...(batchSize !== undefined && { batchSize }),
      limit,
    });

  const findOne = async (filter: Filter<D>, options: FindOptions<D> = {}) => {
    const [found] = await translated(() => query(filter, { ...options, limit: 1 }).toArray());
    return found && decode(found);
  };

  /** The document with what every one has, free-form values in their stored form. */
  const complete = (input: object): Plain => {
    const given = input as Plain;
    if (tenantId !== undefined && given.tenantId !== undefined && given.tenantId !== tenantId) {
      throw new TypeError('The document names another tenant');
    }
    const values: Plain = {
      ...given,
      _id: given._id ?? randomUUID(),
      ...(tenantId !== undefined && { tenantId }),
      ...(timestamps && stampOf(given)),
    };
    return json ? (mapJson(json, values, encodeJson) as Plain) : values;
  };

  /** The document as it will be stored, checked by the schema. */
  const prepare = async (input: object): Promise<Plain> => {
    const document = new model(complete(input));
    await document.validate();
    return document.toObject({ depopulate: true, flattenMaps: true, minimize: false }) as Plain;
  };

  const change = (update: Update<D>, upsertFilter?: Plain): Plain => {
    const checked = checkUpdate(update);
    const encoded = json ? encodeUpdate(json, checked) : { ...checked };
    if (upsertFilter) {
      const onInsert: Plain = { ...(encoded.$setOnInsert as Plain | undefined) };
      if (!Object.hasOwn(upsertFilter, '_id')) onInsert._id ??= randomUUID();
      encoded.$setOnInsert = onInsert;
    }
    return encoded;
  };

  const stamped = (update: Update<D>): Plain => {
    const changed = change(update) as { $set?: Plain };
    return timestamps ? { ...changed, $set: { ...changed.$set, updatedAt: new Date() } } : changed;
  };

  const changeTrusted = async (where: mongoose.QueryFilter<Plain>, update: Update<D>): Promise<D | undefined> => {
    const changed = await model.collection.findOneAndUpdate(known(where), stamped(update), { returnDocument: 'after' });
    return changed ? decode(changed) : undefined;
  };

  const updateTrusted = async (changes: readonly { filter: Filter<D>; update: Update<D> }[]): Promise<number> => {
    if (changes.length === 0) return 0;
    const operations = changes.map(
      ({ filter, update }) =>
        ({
          updateOne: { filter: scoped(filter), update: stamped(update) },
        }) as mongoose.mongo.AnyBulkWriteOperation,
    );
    return (await model.collection.bulkWrite(operations, { ordered: false })).matchedCount;
  };

  return {
    async find(filter, options = {}) {
      const limit = Math.min(options.limit ?? FIND_LIMIT + 1, FIND_LIMIT + 1);
      if (limit <= 0) return [];
      const found = await translated(() => query(filter, { ...options, limit }).toArray());
      if (found.length > FIND_LIMIT) {
        throw new RangeError(`find on ${model.collection.name} gives more than ${FIND_LIMIT} documents`);
      }
      return found.map(decode);
    },

    async *iterate(filter, options = {}) {
      const cursor = query(filter, options, 200);
      try {
        for (;;) {
          const document = await translated(() => cursor.next());
          if (!document) return;
          yield decode(document);
        }
      } finally {
        await cursor.close();
      }
    },

    findOne,

    get: (id) => findOne({ _id: id } as Filter<D>),

    count: (filter) => translated(() => model.countDocuments(scoped(filter)).exec()),

    insert: (document, { trusted = false } = {}) =>
      translated(async () => {
        if (trusted) {
          const completed = complete(document);
          await parts.insertTogether(completed);
          return decode(completed);
        }
        const prepared = await prepare(document);
        await model.collection.insertOne(prepared as mongoose.mongo.OptionalId<Plain>);
        return decode(prepared);
      }),

    insertMany: (documents, { trusted = false } = {}) =>
      translated(async () => {
        if (documents.length === 0) return 0;
        const prepared = trusted ? documents.map(complete) : await Promise.all(documents.map(prepare));
        const { insertedCount } = await model.collection.insertMany(prepared as mongoose.mongo.OptionalId<Plain>[]);
        return insertedCount;
      }),

    update: (filter, update, options = {}) =>
      translated(async () => {
        const where = scoped(filter);
        if ('trusted' in options) return changeTrusted(where, update);
        const changed = await model
          .findOneAndUpdate(where, change(update, options.upsert ? (where as Plain) : undefined), {
            returnDocument: 'after',
            runValidators: true,
            timestamps,
            ...(options.upsert && { upsert: true, setDefaultsOnInsert: true }),
            ...(options.sort && { sort: options.sort }),
          })
          .lean()
          .exec();
        return changed ? decode(changed) : undefined;
      }),

    updateEach: (changes, { trusted = false } = {}) =>
      translated(async () => {
        if (trusted) return updateTrusted(changes);
        let matched = 0;
        let open: mongoose.AnyBulkWriteOperation<Plain>[] = changes.map(({ filter, update, upsert = false }) => {
          const where = scoped(filter);
          return {
            updateOne: { filter: where, update: change(update, upsert ? (where as Plain) : undefined), upsert },
          } as mongoose.AnyBulkWriteOperation<Plain>;
        });
        for (let attempt = 1; open.length > 0; attempt += 1) {
          try {
            const done = await model.bulkWrite(open, { ordered: false, timestamps, throwOnValidationError: true });
            return matched + done.matchedCount;
          } catch (error) {
            // Somebody else made the document at the same moment: it is there for the next attempt.
            const failed = error instanceof mongoose.mongo.MongoBulkWriteError ? [error.writeErrors].flat() : [];
            if (attempt === 3 || failed.length === 0 || failed.some(({ code }) => code !== 11000)) throw error;
            matched += (error as mongoose.mongo.MongoBulkWriteError).result.matchedCount;
            const again = new Set(failed.map(({ index }) => index));
            open = open.filter((_, at) => again.has(at));
          }
        }
        return matched;
      }),

    updateMany: (filter, update) =>
      translated(async () => {
        const result = await model
          .updateMany(scoped(filter), change(update), { runValidators: true, timestamps })
          .exec();
        return result.modifiedCount;
      }),

    delete: (filter) =>
      translated(async () => {
        const { deletedCount } = await model.deleteMany(scoped(filter)).exec();
        return deletedCount;
      }),

    async aggregate<R>(pipeline: Plain[]) {
      const stages = scopePipeline(pipeline, tenantId);
      const found = await translated(() => model.collection.aggregate(stages).toArray());
      return (json ? found.map(decodeJson) : found) as R[];
    },
  };
}

const stampOf = ({ createdAt = new Date(), updatedAt = createdAt }: Plain): Plain => ({ createdAt, updatedAt });

/** Names of fields that were looked up in the schema of a collection. */
const knownFields = new WeakMap<ModelParts, Map<string, boolean>>();

/** A field that the schema does not have is a slip of the pen: such a filter finds nothing, or everything. */
function checkFields(filter: Plain, parts: ModelParts): void {
  let names = knownFields.get(parts);
  if (!names) {
    names = new Map();
    knownFields.set(parts, names);
  }
  for (const [name, value] of Object.entries(filter)) {
    if (name.startsWith('$')) {
      if (Array.isArray(value)) for (const inner of value) checkFields(inner as Plain, parts);
      continue;
    }
    let isKnown = names.get(name);
    if (isKnown === undefined) {
      const { schema } = parts.model;
      isKnown = schema.path(name) !== undefined || schema.pathType(name) === 'nested';
      names.set(name, isKnown);
    }
    if (!isKnown) throw new mongoose.Error.StrictModeError(name);
  }
}
