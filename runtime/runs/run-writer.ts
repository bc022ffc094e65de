import type { Update } from '../../core/data/database.ts';
import { isDuplicate } from '../../core/data/errors.ts';
import type { RunDocument, RunFields, RunStore } from './model.ts';

/** A run as it is inserted; its id is new, so nobody else can have it. */
export type NewRun = RunFields & { _id: string; tenantId: string };

export interface RunWriter {
  /** Stores a new run. */
  insert(run: NewRun): Promise<RunDocument>;
  /**
   * Stores the end of a run that `holder` holds. May be repeated.
   *
   * @returns false when the run belongs to another process by now
   */
  end(run: Pick<RunDocument, '_id' | 'tenantId'>, holder: string, end: RunEnd): Promise<boolean>;
}

export interface RunEnd {
  set: Partial<RunFields> & Pick<RunFields, 'status'> & { finishedAt: Date };
  /** Fields that nobody needs any more. */
  unset?: Readonly<Record<string, ''>>;
}

/** In one command. */
const BATCH = 256;
const BATCH_BYTES = 8 * 1024 * 1024;

/**
 * Begins and ends of runs share their writes: one command at a time for each, and what comes meanwhile goes into the next one. So a
 * lone run waits for nobody, and a hundred runs cost a few commands.
 */
export function createRunWriter({ runs: model }: Pick<RunStore, 'runs'>): RunWriter {
  const runs = model.acrossTenants('group commit: each document names its tenant');

  const insertAlone = async (document: RunDocument): Promise<void> => {
    try {
      await runs.insertMany([document], { trusted: true });
    } catch (error) {
      // The id is new: it can only be the document itself, from a write whose answer was lost.
      if (!isDuplicate(error, '_id')) throw error;
    }
  };

  const insert = createBatches<RunDocument, void>({
    bytes: ({ input = '', events = '', search = '' }) => input.length + events.length + search.length,
    async write(documents) {
      const [only] = documents;
      if (only && documents.length === 1) return [await settled(insertAlone(only))];
      try {
        await runs.insertMany(documents, { trusted: true });
        return documents.map(() => ({ status: 'fulfilled', value: undefined }));
      } catch {
        // Some of them may be stored; each learns by itself what became of it.
        return Promise.all(documents.map((document) => settled(insertAlone(document))));
      }
    },
  });

  interface Ending extends RunEnd {
    run: Pick<RunDocument, '_id' | 'tenantId'>;
    holder: string;
  }

  /** One of a command did not match: this process has ended it before, or it is another one's. */
  const isEnded = async ({ run, set }: Ending): Promise<boolean> => {
    const found = await model.in(run).get(run._id);
    return found?.status === set.status && found.finishedAt?.getTime() === set.finishedAt.getTime();
  };

  const end = createBatches<Ending, boolean>({
    bytes: ({ set: { result = '', error = '' } }) => result.length + error.length,
    async write(endings) {
      const matched = await runs.updateEach(
        endings.map(({ run: { _id, tenantId }, holder, set, unset }) => ({
          filter: { _id, tenantId, holder, open: true },
          update: { $set: set, ...(unset && { $unset: unset }) } as Update<RunDocument>,
        })),
        { trusted: true },
      );
      if (matched === endings.length) return endings.map(() => ({ status: 'fulfilled', value: true }));
      return Promise.all(endings.map((ending) => settled(isEnded(ending))));
    },
  });

  return {
    async insert(run) {
      const now = new Date();
      const document: RunDocument = { ...run, createdAt: now, updatedAt: now };
      await insert(document);
      return document;
    },
    end: (run, holder, ending) => end({ run, holder, ...ending }),
  };
}

const settled = async <T>(work: Promise<T>): Promise<PromiseSettledResult<T>> => {
  const [result] = await Promise.allSettled([work]);
  return result;
};

/**
 * Collects calls while a command is under way. `write` gives the result of each; when it throws, all of the command get the error.
 *
 * @param bytes about how long an item is
 */
function createBatches<In, Out>({
  bytes,
  write,
}: {
  bytes(item: In): number;
  write(items: In[]): Promise<PromiseSettledResult<Out>[]>;
}): (item: In) => Promise<Out> {
  const waiting: { item: In; resolve(result: Out): void; reject(error: unknown): void }[] = [];
  let writing = false;

  const next = () => {
    let count = 0;
    for (let sum = 0; count < Math.min(BATCH, waiting.length); count += 1) {
      const entry = waiting[count];
      sum += entry ? bytes(entry.item) : 0;
      if (count > 0 && sum > BATCH_BYTES) break;
    }
    return waiting.splice(0, count);
  };

  const drain = async () => {
    writing = true;
    for (let batch = next(); batch.length > 0; batch = next()) {
      const results = await write(batch.map(({ item }) => item)).catch((reason: unknown) =>
        batch.map((): PromiseSettledResult<Out> => ({ status: 'rejected', reason })),
      );
      for (const [at, { resolve, reject }] of batch.entries()) {
        const result = results[at];
        if (result?.status === 'fulfilled') resolve(result.value);
        else reject(result?.reason);
      }
    }
    writing = false;
  };

  return (item) =>
    new Promise<Out>((resolve, reject) => {
      waiting.push({ item, resolve, reject });
      if (!writing) void drain();
    });
}
