import type { Update } from '../../core/data/database.ts';
import { isDuplicate } from '../../core/data/errors.ts';
import { groupCalls, settled } from '../../core/group-calls.ts';
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
  /** Closes a run that has ended, as `end` does with a kind that has nothing to settle. */
  close(run: Pick<RunDocument, '_id' | 'tenantId'>, holder: string, unset: Unset): Promise<boolean>;
}

/** Fields that nobody needs any more. */
type Unset = Readonly<Record<string, ''>>;

export interface RunEnd {
  set: Partial<RunFields> & Pick<RunFields, 'status'> & { finishedAt: Date };
  unset?: Unset;
}

/** In one command. */
const GROUP = { most: 256, mostBytes: 8 * 1024 * 1024 };

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

  const insert = groupCalls<RunDocument, void>({
    ...GROUP,
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

  interface Ending extends Partial<RunEnd> {
    run: Pick<RunDocument, '_id' | 'tenantId'>;
    holder: string;
  }

  /** One of a command did not match: this process has ended it before, or it is another one's. */
  const isEnded = async ({ run, set }: Ending): Promise<boolean> => {
    const found = await model.in(run).get(run._id);
    if (!set) return found !== undefined && found.open === undefined;
    return found?.status === set.status && found.finishedAt?.getTime() === set.finishedAt.getTime();
  };

  const end = groupCalls<Ending, boolean>({
    ...GROUP,
    bytes: ({ set: { result = '', error = '' } = {} }) => result.length + error.length,
    async write(endings) {
      const matched = await runs.updateEach(
        endings.map(({ run: { _id, tenantId }, holder, set, unset }) => ({
          filter: { _id, tenantId, holder, open: true },
          update: { ...(set && { $set: set }), ...(unset && { $unset: unset }) } as Update<RunDocument>,
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
    close: (run, holder, unset) => end({ run, holder, unset }),
  };
}
