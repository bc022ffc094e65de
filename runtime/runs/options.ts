import { DEFAULT_LIMITS, type DispatchLimits } from '../dispatch/dispatcher.ts';

export interface RunsOptions {
  /** Nobody else uses the store (the embedded one): what is not held by this process is held by nobody. Default false. */
  exclusive: boolean;
  /** How long the runs of a process that has died are left alone. Ignored when exclusive. Default 30,000. */
  leaseMs: number;
  /** How often to look for news of other processes. Ignored when exclusive. Default 500. */
  pollMs: number;
  /** How long a run may go on after it was asked to end. Default 5000. */
  graceMs: number;
  /** How often a run is taken up after its process died; then it fails with RUN_ABANDONED. Default 25. */
  maxTakeovers: number;
  /** A node that is over sooner costs no write for its begin. Default 250. */
  markAfterMs: number;
  /** How many deaths of the process a node outlives before they count against its retries. Default 8. */
  forgivenDeaths: number;
  /** Memory for the buckets of event logs that were read or written last. Default 32 MiB. */
  cacheBytes: number;
  /** Days that ended runs of a kind stay; kinds that are not named stay for ever. Default: none is named. */
  keepDays: Readonly<Record<string, number>>;
  limits: DispatchLimits;
}

export const DEFAULT_OPTIONS: RunsOptions = {
  exclusive: false,
  leaseMs: 30_000,
  pollMs: 500,
  graceMs: 5000,
  maxTakeovers: 25,
  markAfterMs: 250,
  forgivenDeaths: 8,
  cacheBytes: 32 * 1024 * 1024,
  keepDays: {},
  limits: DEFAULT_LIMITS,
};
