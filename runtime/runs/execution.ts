import { AppError, type ErrorRecord, toErrorRecord } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import type { Principal } from '../../core/principal.ts';
import {
  type NodeCall,
  type NodeStepOptions,
  RunCancelled,
  type RunContext,
  type RunEventInput,
  RunInterrupted,
  type RunKind,
  type RunOutcome,
  type RunWait,
  RunWaiting,
  type StepRecord,
} from '../../core/run-kind.ts';
import type { Clock } from './clock.ts';
import { retriesExhausted, stepBusy } from './errors.ts';
import type { EventLog, LogEntry, LogSource, StepEntry } from './event-log.ts';
import type { NodeExecutor } from './executor.ts';
import type { FinishedStep, RunHistory } from './history.ts';
import { parseText, type StoredValue, type Values } from './values.ts';

/**
 * How one attempt ended. `waiting`: the run goes on when something happens; `interrupted`: later; `lost`: it goes on in another
 * process already.
 */
export type Ending =
  | { how: 'ended'; outcome: RunOutcome }
  | { how: 'waiting'; waits: readonly RunWait[] }
  | { how: 'interrupted' }
  | { how: 'lost' };

export interface ExecutionParts {
  run: { id: string; tenantId: string; attempt: number };
  principal: Principal;
  input: unknown;
  /** By key, what was given from outside; it grows, see `tell`. */
  given: ReadonlyMap<string, { data: unknown }>;
  kind: RunKind;
  history: RunHistory;
  eventLog: EventLog;
  executor: NodeExecutor;
  values: Values;
  clock: Clock;
  log: Logger;
  /** How long a kind may go on after it was asked to end. */
  graceMs: number;
  /** A node is noted as begun when it runs longer than this; before the note is stored a crash does not count for it. */
  markAfterMs: number;
  /** Deaths of the whole process that are not put down to a node that was under way. */
  forgivenDeaths: number;
  /** Reads the result of a step from the bucket that has it. */
  readStep(n: number, key: string): Promise<StoredValue | undefined>;
}

const DEFAULT_RETRIES = 2;
const QUEUE_FULL_PAUSE_MS = { first: 50, most: 2000 };

/** One attempt of one run in this process. */
export class Execution {
  readonly source: LogSource;
  readonly #parts: ExecutionParts;
  readonly #controller = new AbortController();
  readonly #gaveUp = Promise.withResolvers<void>();
  readonly #finished: Map<string, FinishedStep>;
  readonly #runningSteps = new Set<string>();
  /** Nodes of this attempt that are under way. */
  readonly #runningNodes = new Set<string>();
  #cancelReason: string | undefined;
  #interrupted = false;
  #lost = false;
  #failure: unknown;
  #over = false;
  #warned = false;
  #stopGrace: (() => void) | undefined;
  /** The last append; all before it are stored when it is. */
  #lastAppend: Promise<unknown> = Promise.resolve();
  readonly #given: ReadonlyMap<string, { data: unknown }>;
  readonly #givenListeners = new Set<(key: string) => void>();

  constructor(parts: ExecutionParts) {
    this.#parts = parts;
    this.#finished = parts.history.steps;
    this.#given = parts.given;
    this.source = { runId: parts.run.id, attempt: parts.run.attempt, marks: new Set(), lost: () => this.lose() };
  }

  /** Carries the run out up to its end, or until it is interrupted. Never rejects. */
  async run(): Promise<Ending> {
    const { kind } = this.#parts;
    const work = (async () => kind.execute(this.#context()))();
    let settled: { result: unknown } | { error: unknown } | undefined;
    await Promise.race([
      work.then(
        (result) => {
          settled = { result };
        },
        (error: unknown) => {
          settled = { error };
        },
      ),
      this.#gaveUp.promise,
    ]);
    this.#stopGrace?.();
    this.#over = true;
    if (!settled && !this.#lost) this.#parts.log.warn('run: the kind did not give up within the grace time');
    const ending = this.#ending(settled);
    // Nodes and steps that the kind has left behind must not go on without it.
    if (!this.#controller.signal.aborted) {
      this.#controller.abort(new AppError('cancelled', 'RUN_ENDED', { zh: '运行已结束', en: 'The run has ended' }));
    }
    if (ending.how === 'interrupted') await this.#release();
    if (ending.how === 'waiting') {
      await this.#lastAppend;
      this.#parts.eventLog.close(this.source, new RunInterrupted('waiting'));
    }
    return ending;
  }

  /** Something was given for the key. */
  tell(key: string): void {
    for (const listener of [...this.#givenListeners]) this.#guarded(() => listener(key));
  }

  /** Whether the kind wants to know what is given while it runs. */
  get listening(): boolean {
    return this.#givenListeners.size > 0;
  }

  /** Asks the run to end as cancelled. */
  cancel(reason: string): void {
    if (this.#cancelReason !== undefined || this.#over) return;
    this.#cancelReason = reason;
    this.#abort(new RunCancelled(reason));
    this.#stopGrace ??= this.#parts.clock.after(this.#parts.graceMs, () => this.#gaveUp.resolve());
  }

  /** Asks the run to stop where it is and to be taken up later. */
  interrupt(why: 'shutdown' | 'store failed'): void {
    if (this.#interrupted || this.#over) return;
    this.#interrupted = true;
    this.#abort(new RunInterrupted(why));
    this.#stopGrace ??= this.#parts.clock.after(this.#parts.graceMs, () => this.#gaveUp.resolve());
  }

  /** The run belongs to another process: nothing of this attempt may be stored any more. */
  lose(): void {
    if (this.#lost) return;
    this.#lost = true;
    const reason = new RunInterrupted('lease lost');
    this.#parts.eventLog.close(this.source, reason);
    this.#abort(reason);
    this.#gaveUp.resolve();
  }

  #ending(settled: { result: unknown } | { error: unknown } | undefined): Ending {
    if (this.#lost) return { how: 'lost' };
    if (this.#cancelReason !== undefined) {
      return { how: 'ended', outcome: { status: 'cancelled', reason: this.#cancelReason } };
    }
    if (this.#failure !== undefined) return { how: 'ended', outcome: this.#failed(this.#failure) };
    if (settled && 'result' in settled && settled.result instanceof RunWaiting) {
      return this.#interrupted ? { how: 'interrupted' } : { how: 'waiting', waits: settled.result.waits };
    }
    if (settled && 'result' in settled) {
      return { how: 'ended', outcome: { status: 'succeeded', result: settled.result } };
    }
    if (this.#interrupted || !settled) return { how: 'interrupted' };
    return { how: 'ended', outcome: this.#failed(settled.error) };
  }

  #failed(error: unknown): RunOutcome {
    const { log } = this.#parts;
    if (!(error instanceof AppError)) log.error({ err: error }, 'run: failed unexpectedly');
    return { status: 'failed', error: publicRecord(error) };
  }

  #context(): RunContext {
    const { run, principal, input, log } = this.#parts;
    return {
      runId: run.id,
      tenantId: run.tenantId,
      principal,
      input,
      attempt: run.attempt,
      signal: this.#controller.signal,
      log,
      emit: (type, data, options) => this.#emit(type, data, options),
      step: (key, work, options) => this.#step(key, work, options?.events),
      node: (key, call, options) => this.#node(key, call, options),
      checkpoint: (steps) => this.#checkpoint(steps),
      finished: () => [...this.#finished.keys()],
      result: async (key) => {
        const finished = this.#finished.get(key);
        if (!finished) throw new Error(`The step ${key} has no result`);
        return this.#load(key, finished);
      },
      given: (key) => this.#given.get(key),
      onGiven: (listener) => {
        this.#givenListeners.add(listener);
        return () => this.#givenListeners.delete(listener);
      },
    };
  }

  #emit(type: string, data: Record<string, unknown>, { mayWait = false } = {}): Promise<void> {
    if (this.#over && !this.#lost) {
      if (!this.#warned) this.#parts.log.warn({ type }, 'run: an event after the end was ignored');
      this.#warned = true;
      return Promise.resolve();
    }
    const stored = this.#append({ events: [{ type, data }], mayWait }).then(() => undefined);
    stored.catch(() => undefined);
    return stored;
  }

  async #append(entry: LogEntry) {
    const appended = this.#parts.eventLog.append(this.source, entry);
    this.#lastAppend = appended;
    try {
      return await appended;
    } catch (error) {
      this.#broken(error);
      throw error;
    }
  }

  /** Something could not be stored: the run cannot go on as if nothing had happened. */
  #broken(error: unknown) {
    if (this.#over || this.#lost) return;
    if (error instanceof AppError && error.code === 'RUN_STORE_FAILED') {
      this.interrupt('store failed');
    } else {
      this.#failure ??= error;
      this.#abort(error);
    }
  }

  async #step<T>(key: string, work: () => Promise<T>, events?: (result: T) => RunEventInput[]): Promise<T> {
    const finished = this.#finished.get(key);
    if (finished) return (await this.#load(key, finished)) as T;
    this.#mayWork();
    if (this.#runningSteps.has(key)) throw stepBusy(key);
    this.#runningSteps.add(key);
    try {
      const result = await work();
      if (this.#over) this.#mayWork();
      const { values, run } = this.#parts;
      const what = `The result of the step ${key}`;
      const stored = values.inline(result, what) ?? (await values.store(run, result, what));
      if (this.#over) this.#mayWork();
      const { n } = await this.#append({ steps: [{ key, ...stored }], events: events?.(result) ?? [] });
      this.#finished.set(key, { n });
      // In the form in which a later attempt would get it, so that the difference shows at once. Large ones are not copied.
      return stored.json === undefined ? result : (parseText(stored.json) as T);
    } finally {
      this.#runningSteps.delete(key);
    }
  }

  async #checkpoint(records: readonly StepRecord[]): Promise<void> {
    const fresh = records.filter(({ key }) => !this.#finished.has(key));
    if (this.#over || fresh.length === 0) return;
    const { values, run } = this.#parts;
    const encode = ({ key, result }: StepRecord): StepEntry => {
      const what = `The result of the step ${key}`;
      const inline = values.inline(result, what);
      return inline ? { key, ...inline } : { key, write: () => values.store(run, result, what) };
    };
    let stored: Promise<{ n: number }>;
    try {
      const steps = fresh.map(encode);
      stored = this.#append({ steps, events: fresh.flatMap(({ events = [] }) => events) });
    } catch (error) {
      this.#broken(error);
      throw error;
    }
    const storing = stored.then(({ n }) => {
      for (const { key } of fresh) this.#finished.set(key, { n });
    });
    storing.catch(() => undefined);
    for (const { key } of fresh) this.#finished.set(key, { n: -1, storing });
    return storing;
  }

  #mayWork() {
    this.#controller.signal.throwIfAborted();
    if (this.#over) throw new AppError('cancelled', 'RUN_ENDED', { zh: '运行已结束', en: 'The run has ended' });
  }

  async #load(key: string, step: FinishedStep): Promise<unknown> {
    await step.storing;
    const { n, value } = this.#finished.get(key) ?? step;
    const stored = value ?? (await this.#parts.readStep(n, key));
    if (!stored) throw new Error(`The result of the step ${key} is missing`);
    return this.#parts.values.load(this.#parts.run, stored);
  }

  #node<T>(key: string, call: NodeCall, options: NodeStepOptions<T> = {}): Promise<T> {
    return this.#step(key, () => this.#nodeAttempts(key, call, options), options.events);
  }

  async #nodeAttempts<T>(key: string, call: NodeCall, options: NodeStepOptions<T>): Promise<T> {
    const { run, kind, principal, executor, history, log, forgivenDeaths } = this.#parts;
    const signal = this.#controller.signal;
    const stopMark = await this.#begun(key);
    let done = false;
    const deaths = history.cutOffs.get(key) ?? 0;
    let cutOffs = 0;
    // Whatever brought the process down, most nodes that were under way had no part in it.
    const spent = () => Math.max(0, deaths - forgivenDeaths) + cutOffs;
    let cause: unknown;
    let pause = QUEUE_FULL_PAUSE_MS.first;
    try {
      for (;;) {
        if (spent() > 0 && spent() > this.#retriesOf(call)) {
          throw retriesExhausted(call.type, deaths + cutOffs, cause);
        }
        try {
          const task = {
            ...call,
            run: { id: run.id, tenantId: run.tenantId, kind: kind.kind },
            principal,
            idempotencyKey: `${run.id}:${key}`,
            attempt: deaths + cutOffs + 1,
          };
          const hooks = {
            onEvent: (type: string, data: Record<string, unknown>) => this.#nodeEvent(type, data, options),
            onProgress: (fraction: number) => this.#guarded(() => options.onProgress?.(fraction)),
            onLog: (level: 'debug' | 'info' | 'warn' | 'error', message: string, data?: Record<string, unknown>) => {
              if (options.onLog) this.#guarded(() => options.onLog?.(level, message, data));
              else log[level]({ step: key, ...(data && { data }) }, message);
            },
          };
          const both = options.signal ? AbortSignal.any([signal, options.signal]) : signal;
          both.throwIfAborted();
          const result = (await executor.run(task, hooks, both)) as T;
          done = true;
          return result;
        } catch (error) {
          signal.throwIfAborted();
          options.signal?.throwIfAborted();
          const code = error instanceof AppError ? error.code : undefined;
          if (code === 'NODE_CUT_OFF') {
            cutOffs += 1;
            cause = error;
            const attempt = deaths + cutOffs;
            log.warn({ err: error, step: key, attempt }, 'run: a node was cut off');
            if (spent() <= this.#retriesOf(call)) void this.#emit('step_retried', { key, attempt: attempt + 1 });
          } else if (code === 'POOL_QUEUE_FULL') {
            await this.#pause(pause);
            pause = Math.min(pause * 2, QUEUE_FULL_PAUSE_MS.most);
          } else {
            throw error;
          }
        }
      }
    } finally {
      stopMark();
      this.#runningNodes.delete(key);
      const noted = !this.source.marks.delete(key);
      // It ended here, in whatever way: the note is not to be read as "cut off" by a later attempt.
      if (noted && !done && !this.#over) this.#append({ released: [key] }).catch(() => undefined);
    }
  }

  /**
   * Notes that a node has begun, for the limit of its repetitions. A first attempt that is over soon costs no write for it; when
   * the run was cut off before, the note is stored first, so that a node that brings the process down is found out.
   */
  async #begun(key: string): Promise<() => void> {
    const { run, clock, markAfterMs } = this.#parts;
    this.#runningNodes.add(key);
    this.source.marks.add(key);
    if (run.attempt > 1) {
      await this.#append({});
      return () => undefined;
    }
    return clock.after(markAfterMs, () => {
      if (this.source.marks.has(key) && !this.#over) this.#append({}).catch(() => undefined);
    });
  }

  #retriesOf(call: NodeCall): number {
    const types = this.#parts.executor.describe?.() ?? [];
    const matching = types.filter(
      ({ type, version }) => type === call.type && (call.version === undefined || call.version === version),
    );
    return matching.at(-1)?.retries ?? DEFAULT_RETRIES;
  }

  #nodeEvent<T>(type: string, data: Record<string, unknown>, options: NodeStepOptions<T>): void | Promise<void> {
    if (this.#over) return;
    const chosen = options.onEvent ? this.#guarded(() => options.onEvent?.(type, data)) : undefined;
    if (chosen === false) return;
    return chosen ? this.#emit(chosen.type, chosen.data) : this.#emit(type, data);
  }

  /** Calls a hook of the kind from the executor's side: what it throws ends the run, not the executor. */
  #guarded<T>(hook: () => T): T | false {
    try {
      return hook();
    } catch (error) {
      this.#broken(error);
      return false;
    }
  }

  #pause(ms: number): Promise<void> {
    const signal = this.#controller.signal;
    return new Promise((resolve) => {
      const done = () => {
        stop();
        signal.removeEventListener('abort', done);
        resolve();
      };
      const stop = this.#parts.clock.after(ms, done);
      signal.addEventListener('abort', done);
      if (signal.aborted) done();
    });
  }

  #abort(reason: unknown) {
    if (!this.#controller.signal.aborted) this.#controller.abort(reason);
  }

  /** Everything that was appended is stored, and the nodes under way are noted as ended by us. */
  async #release(): Promise<void> {
    const noted = [...this.#runningNodes].filter((key) => !this.source.marks.has(key));
    this.source.marks.clear();
    try {
      await this.#parts.eventLog.append(this.source, { released: noted });
    } catch (error) {
      this.#parts.log.warn({ err: error }, 'run: the end of the attempt could not be noted');
    }
    this.#parts.eventLog.close(this.source, new RunInterrupted('shutdown'));
  }
}

/** The record of an error for events and documents; the message of an unexpected one goes to the log only. */
export function publicRecord(error: unknown): ErrorRecord {
  const record = toErrorRecord(error);
  if (error instanceof AppError) return record;
  return { kind: record.kind, code: record.code, message: record.message };
}
