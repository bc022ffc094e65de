import { deleteLog } from './deletion.ts';
import { isTerminal, type RunDocument, type RunStore } from './model.ts';
import type { Values } from './values.ts';

/** A run that ended so lately is kept whatever the clock says: its answer may still be on the way. */
const LEAST_MS = 60_000;

const FIELDS: (keyof RunDocument)[] = ['tenantId', 'logId', 'status', 'open', 'finishedAt', 'inputFile', 'resultFile'];

/**
 * Removes the runs of a kind that ended before a moment, with values and logs, oldest first. A run that has begun before it and goes on,
 * or waits, stays.
 *
 * @returns their ids
 */
export async function removeEnded(
  { store, values }: { store: RunStore; values: Values },
  kind: string,
  before: Date,
  signal?: AbortSignal,
): Promise<string[]> {
  const latest = new Date(Math.min(before.getTime(), Date.now() - LEAST_MS));
  const removed: string[] = [];
  const begun = { kind, subject: { $exists: true }, createdAt: { $lt: latest } };
  for await (const document of store.runs
    .acrossTenants('retention of ended runs')
    .iterate(begun, { sort: { createdAt: 1 }, fields: FIELDS })) {
    if (signal?.aborted) break;
    const { _id, status, open, finishedAt } = document;
    if (!isTerminal(status) || open === true || (finishedAt ?? latest) >= latest) continue;
    await deleteLog(store, values, document);
    await store.runs.in(document).delete({ _id });
    removed.push(_id);
  }
  return removed;
}
