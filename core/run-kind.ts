import { AppError, type ErrorRecord } from './errors.ts';
import type { Logger } from './log.ts';
import type { Principal } from './principal.ts';

/** How one kind of run (`report`, `workflow`, `chat`, ...) is carried out. A plugin contributes it. */
export interface RunKind<Input = unknown, Result = unknown> {
  readonly kind: string;
  /**
   * Carries the run out on the main thread: it only orchestrates; work goes to nodes. Called again from the start after
   * a crash, and then gets the results of finished steps from `context.step` and `context.node` without running them again.
   */
  execute(context: RunContext<Input>): Promise<Result | RunWaiting>;
  /**
   * The terminal event of a run of this kind. Default: `run_succeeded {}`, `run_failed {error}`, `run_cancelled {reason}`.
   */
  terminal?(outcome: RunOutcome<Result>, run: TerminalContext<Input>): RunEventInput;
  /** Called exactly once in effect after the terminal event is stored; must be idempotent, a crash may repeat it. */
  settled?(context: SettledContext<Input, Result>): Promise<void>;
  /** Nothing depends on a run that has ended: an operator may have them removed after some days (`runtime.keepDays`). Default: false. */
  readonly removable?: boolean;
}

/** One thing that a run waits for: data given from outside for the key, or the moment. */
export interface RunWait {
  readonly key: string;
  readonly until?: Date;
}

/**
 * What `execute` returns when nothing can go on before something happens: the run lets go of its place, its lease and its memory, and
 * is carried out again (with the results of its finished steps) when data is given for one of the keys, or the first moment has come.
 */
export class RunWaiting {
  readonly waits: readonly RunWait[];

  constructor(waits: readonly RunWait[]) {
    this.waits = waits;
  }
}

/** A step that was carried out without being asked for by `step` or `node`, on its way to the log. */
export interface StepRecord {
  key: string;
  /** JSON; large ones go to a file. */
  result: unknown;
  /** Appended in the same write. */
  events?: readonly RunEventInput[];
}

export const defineRunKind = <Input, Result>(kind: RunKind<Input, Result>): RunKind<Input, Result> => kind;

export interface RunContext<Input = unknown> {
  readonly runId: string;
  readonly tenantId: string;
  readonly principal: Principal;
  readonly input: Input;
  /** 1 for the first time, +1 for every time the run was taken up again after a crash. */
  readonly attempt: number;
  /** Fires on cancel and on shutdown; its reason tells which (`RunCancelled`, `RunInterrupted`). */
  readonly signal: AbortSignal;
  readonly log: Logger;
  /**
   * Appends an event to the run's log. Resolves when it is stored; need not be awaited: order is kept, failures end the run.
   * A later attempt emits it again: what must be in the log once belongs to a step's `events`.
   *
   * @param options.mayWait it may be stored some milliseconds later, together with what others write: for one of many small pieces
   */
  emit(type: string, data: Record<string, unknown>, options?: { mayWait?: boolean }): Promise<void>;
  /**
   * A checkpoint: runs `work` once and stores its result together with the events emitted before it; after a crash the
   * stored result is returned instead. `key` is unique within the run and the same on every attempt.
   * `events` are appended in the same write as the result: they are in the log exactly when the step is done.
   * The result is returned as JSON keeps it (dates are text, no undefined), on every attempt; Uint8Array and ArrayBuffer in it
   * stay what they are.
   */
  step<T>(key: string, work: () => Promise<T>, options?: { events?: (result: T) => RunEventInput[] }): Promise<T>;
  /**
   * Runs a node in its lane as a checkpointed step. Attempts that were cut off are repeated up to the node's limit, each announced
   * by an event `step_retried {key, attempt}`: what the node had emitted before stays in the log.
   *
   * @throws {AppError} NODE_RETRIES_EXHAUSTED, or what the node threw
   */
  node<T = unknown>(key: string, call: NodeCall, options?: NodeStepOptions<T>): Promise<T>;
  /**
   * Stores results of steps that the kind has worked out itself; many calls share a write. Resolves when they are stored and need
   * not be awaited: order is kept, failures end the run. Steps that have a result already are left out with their events.
   */
  checkpoint(steps: readonly StepRecord[]): Promise<void>;
  /** Keys of all steps that have a result, those of earlier attempts first and in the order in which they were stored. */
  finished(): string[];
  /** The stored result of a finished step. */
  result(key: string): Promise<unknown>;
  /** What was given for a key from outside; undefined while nothing was. It may come while `execute` runs, see `onGiven`. */
  given(key: string): { readonly data: unknown } | undefined;
  /** Calls `listener` whenever something is given for a key; the returned function takes that back. */
  onGiven(listener: (key: string) => void): () => void;
}

export interface RunEventInput {
  type: string;
  data: Record<string, unknown>;
}

export interface NodeCall {
  type: string;
  version?: number;
  config?: Record<string, unknown>;
  input: unknown;
  timeoutMs?: number;
}

export interface NodeStepOptions<T> {
  /** Events of the node are appended to the run's log as they come, unless this returns false or another event for one. */
  onEvent?(type: string, data: Record<string, unknown>): RunEventInput | false | undefined;
  /** Progress of the node, 0-1. */
  onProgress?(fraction: number): void;
  /** Cancels this node alone, for example when its result is not wanted any more. */
  signal?: AbortSignal;
  /** What the node says for logs. Default: the log of the run. */
  onLog?(level: 'debug' | 'info' | 'warn' | 'error', message: string, data?: Record<string, unknown>): void;
  events?: (result: T) => RunEventInput[];
}

export interface TerminalContext<Input> {
  readonly runId: string;
  readonly input: Input;
}

export interface SettledContext<Input, Result> {
  readonly runId: string;
  readonly principal: Principal;
  readonly input: Input;
  readonly outcome: RunOutcome<Result>;
  readonly log: Logger;
}

export type RunOutcome<Result = unknown> =
  | { status: 'succeeded'; result: Result }
  | { status: 'failed'; error: ErrorRecord }
  | { status: 'cancelled'; reason: string };

/** Reason of a run's signal: somebody asked the run to end. It ends as cancelled whatever it does; clean up and return soon. */
export class RunCancelled extends AppError {
  readonly reason: string;

  constructor(reason: string) {
    super('cancelled', 'RUN_CANCELLED', { zh: '运行已取消', en: 'The run was cancelled' }, { details: { reason } });
    this.reason = reason;
  }
}

/** Reason of a run's signal: this process lets go of the run. It goes on elsewhere or after the next start: store nothing final. */
export class RunInterrupted extends AppError {
  constructor(why: 'shutdown' | 'lease lost' | 'store failed' | 'waiting') {
    super(
      'unavailable',
      'RUN_INTERRUPTED',
      { zh: '运行被中断，稍后继续', en: 'The run was interrupted and goes on later' },
      { details: { why } },
    );
  }
}
