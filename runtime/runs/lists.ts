import type { Filter } from '../../core/data/database.ts';
import { parseSteps, readHistory } from './history.ts';
import { bucketId, type RunDocument, type RunStore } from './model.ts';
import type { RunFilter, RunSteps } from './service.ts';
import type { Values } from './values.ts';

/** Characters of a run that lists are searched in. */
export const SEARCH_LENGTH = 2000;

const REGEX_SIGNS = /[\\^$.*+?()[\]{}|]/g;

export function listFilter({ kind, ownerId, subject, status, search }: RunFilter): Filter<RunDocument> {
  const pattern = search && { $regex: search.toLowerCase().replace(REGEX_SIGNS, '\\$&') };
  return {
    kind,
    subject: subject ?? { $exists: true },
    ...(ownerId !== undefined && { ownerId }),
    ...(status && { status: { $in: [...status] } }),
    ...(pattern && { $or: [{ search: pattern }, { errorText: pattern }] }),
  };
}

/** The finished steps of a run; results are read when they are asked for. */
export async function readSteps(
  { store, values }: { store: RunStore; values: Values },
  document: RunDocument,
): Promise<RunSteps> {
  const { _id: id, tenantId, logId, logStart } = document;
  const { steps } = await readHistory(store.buckets, { id, tenantId, logId }, logStart);
  return {
    keys: [...steps.keys()],
    async load(key) {
      const step = steps.get(key);
      if (!step) throw new Error(`The run ${id} has no finished step ${key}`);
      if (step.value) return values.load(document, step.value);
      const bucket = await store.buckets.in(document).findOne({ _id: bucketId(logId, step.n) }, { fields: ['steps'] });
      const found = parseSteps(bucket?.steps).find((each) => each.key === key);
      return found && values.load(document, found);
    },
  };
}
