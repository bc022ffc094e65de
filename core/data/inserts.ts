import mongoose from 'mongoose';
import { groupCalls, settled } from '../group-calls.ts';

type Plain = Record<string, unknown>;

/** Documents of one command. */
const GROUP = { most: 128, mostBytes: 4 * 1024 * 1024 };

/** Inserts of many callers that come at the same time become one command; each caller learns of its own document alone. */
export function createInserts(model: mongoose.Model<Plain>): (document: Plain) => Promise<void> {
  const alone = (document: Plain): Promise<void> =>
    model.collection.insertOne(document as mongoose.mongo.OptionalId<Plain>).then(() => undefined);

  return groupCalls<Plain, void>({
    ...GROUP,
    bytes: lengthOf,
    async write(documents) {
      const [only] = documents;
      if (only && documents.length === 1) return [await settled(alone(only))];
      const refused = await refusedOf(model, documents);
      // By themselves they get the error that is theirs.
      return Promise.all(
        documents.map((document, at) => settled(refused.has(at) ? alone(document) : Promise.resolve())),
      );
    },
  });
}

/** Inserts documents and tells which of them, by place, have to be tried by themselves. */
async function refusedOf(model: mongoose.Model<Plain>, documents: Plain[]): Promise<ReadonlySet<number>> {
  try {
    await model.collection.insertMany(documents as mongoose.mongo.OptionalId<Plain>[], { ordered: false });
    return new Set();
  } catch (error) {
    const failed = error instanceof mongoose.mongo.MongoBulkWriteError ? [error.writeErrors].flat() : [];
    // Otherwise the command as a whole came to nothing: one of them is too large, or there is no server, which the driver does not say here.
    return failed.length > 0 ? new Set(failed.map(({ index }) => index)) : new Set(documents.keys());
  }
}

/** About how long a document is; its texts are what makes documents long. */
const lengthOf = (document: Plain): number =>
  Object.values(document).reduce<number>((sum, value) => sum + (typeof value === 'string' ? value.length : 50), 0);
