import type { TenantModel } from '../../core/data/database.ts';
import { type BucketFields, bucketsFrom, type StoredOutcome } from './model.ts';
import type { StoredValue } from './values.ts';

/** A finished step: its result, or only the bucket that has it. */
export type FinishedStep = {
  n: number;
  value?: StoredValue;
  /** It is on its way to the store; `n` is known then. */
  storing?: Promise<void>;
};

/** What earlier attempts of a run left in its log. */
export interface RunHistory {
  /** Number of the first bucket that was not looked at. */
  nextN: number;
  /** Whether anything of the run is in the log (the events of its start). */
  present: boolean;
  /** Whether the run had begun. */
  begun: boolean;
  readonly steps: Map<string, FinishedStep>;
  /** How often a node that has no result was cut off, by step key. */
  readonly cutOffs: Map<string, number>;
  outcome?: StoredOutcome;
}

const PAGE = 200;
/** Results up to this size in all are kept in memory; the others are read again when they are asked for. */
const RESULT_BYTES = 16 * 1024 * 1024;

export const emptyHistory = (nextN: number): RunHistory => ({
  nextN,
  present: false,
  begun: false,
  steps: new Map(),
  cutOffs: new Map(),
});

/** Reads what a run has in its log from bucket `fromN` on. */
export async function readHistory(
  model: TenantModel<BucketFields>,
  run: { id: string; tenantId: string; logId: string },
  fromN: number,
): Promise<RunHistory> {
  const history = emptyHistory(fromN);
  let bytes = 0;
  for (;;) {
    const page = await model
      .in(run)
      .find(
        { logId: run.logId, _id: bucketsFrom(run.logId, history.nextN) },
        { sort: { _id: 1 }, limit: PAGE, fields: ['n', 'runId', 'attempt', 'steps', 'started', 'released', 'outcome'] },
      );
    for (const bucket of page) {
      history.nextN = bucket.n + 1;
      if (bucket.runId !== run.id) continue;
      history.present = true;
      if (bucket.attempt > 0) history.begun = true;
      for (const { key, ...value } of parseSteps(bucket.steps)) {
        bytes += value.json?.length ?? 0;
        history.steps.set(key, bytes <= RESULT_BYTES ? { n: bucket.n, value } : { n: bucket.n });
      }
      for (const key of bucket.started ?? []) history.cutOffs.set(key, (history.cutOffs.get(key) ?? 0) + 1);
      for (const key of bucket.released ?? []) history.cutOffs.set(key, (history.cutOffs.get(key) ?? 0) - 1);
      if (bucket.outcome !== undefined) history.outcome = JSON.parse(bucket.outcome) as StoredOutcome;
    }
    if (page.length < PAGE) return history;
  }
}

export const parseSteps = (steps: string | undefined) =>
  steps === undefined ? [] : (JSON.parse(steps) as (StoredValue & { key: string })[]);
