import type { ErrorRecord } from '../../core/errors.ts';
import type { Principal } from '../../core/principal.ts';
import type { RunEventInput } from '../../core/run-kind.ts';
import { defineService } from '../../core/service.ts';

export const RUN_STATUS = ['pending', 'running', 'waiting', 'succeeded', 'failed', 'cancelled'] as const;
export type RunStatus = (typeof RUN_STATUS)[number];

/** A durable unit of work. */
export interface Run {
  id: string;
  kind: string;
  tenantId: string;
  ownerId: string;
  /** What it is a run of, see `StartOptions.meta`. */
  subject?: string;
  /** The event log it writes to: its own, or one that several runs share one after another. */
  logId: string;
  status: RunStatus;
  input: unknown;
  result?: unknown;
  error?: ErrorRecord;
  attempt: number;
  /** It has ended, and its kind has done what it does then. */
  settled: boolean;
  createdAt: Date;
  startedAt?: Date;
  finishedAt?: Date;
  /** What was too large for a list and is not loaded. */
  leftOut?: readonly ('input' | 'result')[];
}

/** What polls ask for: a run without its data. */
export type RunState = Pick<Run, 'id' | 'kind' | 'tenantId' | 'ownerId' | 'logId' | 'status'>;

/** `seq` counts from 0 without gaps within one log. Do not change one: all followers are given the same object. */
export interface RunEvent {
  logId: string;
  /** Empty: appended from outside a run. */
  runId: string;
  seq: number;
  type: string;
  data: Record<string, unknown>;
  at: Date;
}

export interface StartOptions {
  /** Given ids make `start` repeatable: the same id a second time is the same run. */
  id?: string;
  /** The given id was made for this call and nobody has seen it: nothing has to be looked up. */
  fresh?: boolean;
  /** Default: the run's own id. Runs that share a log must not run at the same time. */
  logId?: string;
  /** The first events of the run, before `run_started`; stored when `start` resolves. */
  events?: RunEventInput[];
  /** Puts the run into lists. Runs without it are not listed. */
  meta?: RunMeta;
}

export interface RunMeta {
  /** Id of the thing that it is a run of, for example a workflow. */
  subject: string;
  /** What lists are searched in beside the text of a failure; the first 2000 characters count. */
  search?: string;
}

/** Which runs a list is of. Those of one owner, unless `ownerId` is missing. */
export interface RunFilter {
  kind: string;
  ownerId?: string;
  subject?: string;
  status?: readonly RunStatus[];
  /** Case is ignored. */
  search?: string;
  /** All tenants; for administrators only. */
  everyTenant?: boolean;
}

/** Results of the finished steps of a run, in the order in which they were stored. */
export interface RunSteps {
  readonly keys: readonly string[];
  /** @throws {Error} when there is no such step */
  load(key: string): Promise<unknown>;
}

/** Runs, their event logs, and subscriptions. Every call is scoped to the principal's tenant. */
export interface RunService {
  /**
   * Stores the run as pending and hands it to the dispatcher.
   *
   * @throws {AppError} TENANT_BUSY (rate_limited, with retryAfter) when the tenant's queue limit is reached;
   *   RUN_KIND_UNKNOWN when no plugin brings the kind; SHUTTING_DOWN (unavailable); VALUE_NOT_STORABLE when the input is not
   *   JSON (bytes are fine); RUN_ID_TAKEN, LOG_ID_TAKEN when another tenant has the id
   */
  start(principal: Principal, kind: string, input: unknown, options?: StartOptions): Promise<Run>;
  /** @param options.everyTenant all tenants; for administrators only */
  get(principal: Principal, runId: string, options?: { everyTenant?: boolean }): Promise<Run | undefined>;
  /** As `get`, without input and result; of runs that this process has in hand, or had a moment ago, from memory. */
  state(principal: Principal, runId: string, options?: { everyTenant?: boolean }): Promise<RunState | undefined>;
  /**
   * Runs that were started with `meta`, newest first.
   *
   * @param page.valueBytes inputs and results whose JSON is longer are left out. Default: none is
   * @throws {AppError} ADMIN_REQUIRED for `everyTenant` without the role
   */
  list(
    principal: Principal,
    filter: RunFilter,
    page: { offset: number; limit: number; valueBytes?: number },
  ): Promise<Run[]>;
  count(principal: Principal, filter: RunFilter): Promise<number>;
  /** The finished steps of a run; undefined when there is no such run. */
  steps(principal: Principal, runId: string): Promise<RunSteps | undefined>;
  /**
   * Gives data to a run for a key, once; a run that waits for it goes on, and it survives a crash.
   *
   * @returns false when the key was given before, or the run has ended or does not exist
   * @throws {AppError} VALUE_NOT_STORABLE
   */
  signal(principal: Principal, runId: string, key: string, data: unknown): Promise<boolean>;
  /** Cancels and removes all runs of a subject, or one of them, with their logs and values, in batches. Returns their number. */
  delete(principal: Principal, runs: { kind: string; subject: string; id?: string }): Promise<number>;
  /**
   * Asks a run to end. Resolves when it has ended and its kind has settled it; a run that has ended stays as it is.
   *
   * @returns the run afterwards, or undefined when there is none
   */
  cancel(principal: Principal, runId: string, reason?: string): Promise<Run | undefined>;
  /**
   * Resolves with the run when it has ended and its kind has settled it. A run that waits for one it has started keeps its own
   * place meanwhile: mind the limits.
   *
   * @throws {AppError} RUN_NOT_FOUND; SHUTTING_DOWN when this process lets the run go; the reason of the signal
   */
  ended(principal: Principal, runId: string, signal?: AbortSignal): Promise<Run>;
  /** Appends events to a log from outside a run (state changes that a person made). */
  append(principal: Principal, logId: string, events: RunEventInput[]): Promise<RunEvent[]>;
  /** Stored events from `from` on, at most `limit` (default 1000). */
  events(principal: Principal, logId: string, from?: number, limit?: number): Promise<RunEvent[]>;
  /** The last event of one of the types, or of any. */
  lastEvent(principal: Principal, logId: string, types?: string[]): Promise<RunEvent | undefined>;
  /**
   * Stored events from `from` on, then live ones, without a gap or a double, until the signal fires or the consumer stops.
   * A consumer that falls behind is switched back to reading the store; it never holds memory or slows the run.
   */
  subscribe(principal: Principal, logId: string, from: number, signal?: AbortSignal): AsyncIterable<RunEvent>;
  /** Number of runs of the tenant that have not ended. */
  active(principal: Principal): Promise<number>;
  /** Runs that are being carried out in this process right now. */
  readonly running: number;
  /** Id under which this process holds runs; another one after others took it for dead. */
  readonly host: string;
  /** Whether the process with that id may still be about to start a run. */
  isAlive(host: string): Promise<boolean>;
}

export const runService = defineService<RunService>('runs');
