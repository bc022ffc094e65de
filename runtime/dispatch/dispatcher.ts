import { AppError } from '../../core/errors.ts';

/** A run that waits for its turn, or has it. */
export interface DispatchJob {
  readonly id: string;
  readonly tenantId: string;
  readonly kind: string;
}

/**
 * Decides when a run may begin. The runs service asks for a place before it stores a run, enters the place when the run
 * is stored, and the dispatcher calls `begin` when the limits allow. Jobs are ids: what a run is stays in the store.
 */
export interface Dispatcher<Job extends DispatchJob> {
  /**
   * Takes a place for a job.
   *
   * @param recovered a run that was accepted before: the tenant's queue limit does not apply
   * @throws {AppError} TENANT_BUSY (rate_limited, with retryAfter)
   */
  admit(job: Job, options?: { recovered?: boolean }): Place;
  /** Takes a waiting job out. False when it does not wait here (any more). */
  remove(jobId: string): boolean;
  /** Jobs between `begin` and its end. */
  readonly running: number;
  /** Jobs that wait in memory. */
  readonly queued: number;
  /** Whether no more jobs should be loaded into memory. */
  readonly full: boolean;
  /** Forgets what waits. */
  clear(): void;
  /** Begins nothing more and forgets what waits. */
  stop(): void;
}

export interface Place {
  /**
   * `now`: begins as soon as it is entered. `queued`: waits in memory. `stored`: no room in memory, the store keeps it until
   * the caller admits it again.
   */
  readonly state: 'now' | 'queued' | 'stored';
  /** The run is stored; it may begin. */
  enter(): void;
  /** Gives the place back unused. */
  leave(): void;
}

export interface DispatchLimits {
  /** Runs at once in this process. */
  total: number;
  /** Runs at once of one tenant. */
  perTenant: number;
  /** Runs that wait, per tenant; one more is TENANT_BUSY. */
  queuedPerTenant: number;
  /** Runs that wait in the memory of this process; more wait in the store. */
  queuedTotal: number;
  /** Narrower limits of single kinds, per tenant. */
  kinds: Readonly<Record<string, { running?: number; queued?: number }>>;
  /** What TENANT_BUSY proposes to the client. */
  retryAfterSeconds: number;
}

export const DEFAULT_LIMITS: DispatchLimits = {
  total: 256,
  perTenant: 128,
  queuedPerTenant: 1000,
  queuedTotal: 20_000,
  kinds: {},
  retryAfterSeconds: 5,
};

export const tenantBusy = (tenantId: string, retryAfter: number) =>
  new AppError(
    'rate_limited',
    'TENANT_BUSY',
    { zh: '当前租户等待运行的任务过多，请稍后再试', en: 'Too many runs of this tenant are waiting, try again later' },
    { details: { tenantId }, retryAfter },
  );
