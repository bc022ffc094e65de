import { setTimeout as delay } from 'node:timers/promises';
import type { AppError } from '../../core/errors.ts';
import {
  cutOff,
  fromWireError,
  nodeCancelled,
  nodeDataNotPlain,
  nodeTimeout,
  serviceCallInvalid,
  toWireError,
} from './errors.ts';
import { type IsolatedChild, startIsolatedChild } from './isolated-child.ts';
import type { Packed } from './pack.ts';
import type { Lane, LaneHooks, LaneStats, LaneTask, LocalService, LogSink, ToParent } from './protocol.ts';
import { Scheduler, type Slot } from './scheduler.ts';

export interface ProcessLaneOptions {
  threads: number;
  maxQueue: number;
  /** How long a node has to give up after a cancel. At its deadline it is ended at once. */
  cancelGraceMs: number;
  /** Resident memory of the whole child process, MiB. */
  memoryMb: number;
  /** The child ends after so long without a task; 0 keeps it. */
  idleMs: number;
  env: Record<string, string>;
  local: readonly LocalService[];
  log: LogSink;
}

export interface ProcessLaneStats extends LaneStats {
  /** Of the child process, while there is one. */
  pid?: number;
  rssMb?: number;
}

/** The child enforces deadlines and cancels; this is how much later the parent kills a child that did not. */
const OVERTIME_MS = 5000;
const MAX_TIMER_MS = 2 ** 31 - 1;
/** A child with tasks reports every 100 ms; after this many checks without a word it is taken for hung. */
const CHECK_MS = 3000;
const MAX_SILENT_CHECKS = 5;
const BACK_OFF_MS = 100;
const MAX_BACK_OFF_MS = 5000;
/** After so many starts in a row that failed, those who wait are told. */
const MAX_FAILED_STARTS = 4;

interface RunningTask {
  readonly id: number;
  readonly task: LaneTask;
  readonly hooks: LaneHooks;
  /** `sending`: on its way to the child, in pieces when it is large. */
  state: 'starting' | 'sending' | 'sent';
  /** Set once the task has to end: what its caller is told. */
  stopping: Error | undefined;
  overtime: NodeJS.Timeout | undefined;
  resolve(value: Packed): void;
  reject(error: Error): void;
}

/** Runs tasks in the threads of a child process, which starts with the first task and is replaced when it dies. */
export class ProcessLane implements Lane {
  readonly #options: ProcessLaneOptions;
  readonly #slot: Slot;
  readonly #scheduler: Scheduler<Slot>;
  readonly #tasks = new Map<number, RunningTask>();
  #lastId = 0;
  #starting: Promise<IsolatedChild> | undefined;
  #child: IsolatedChild | undefined;
  #isReady = false;
  #rssMb = 0;
  #threads = 0;
  #silentChecks = 0;
  #monitor: NodeJS.Timeout | undefined;
  #idleTimer: NodeJS.Timeout | undefined;
  /** Deaths in a row without a task that ended between them. */
  #deaths = 0;
  #failedStarts = 0;
  #restarts = 0;
  #closed = false;
  #onIdle: (() => void) | undefined;
  #onExit: (() => void) | undefined;

  constructor(options: ProcessLaneOptions) {
    this.#options = options;
    this.#slot = { capacity: options.threads, running: 0, exclusive: false, stalled: false };
    this.#scheduler = new Scheduler('isolated', [this.#slot], options.maxQueue);
  }

  stats(): ProcessLaneStats {
    const pid = this.#child?.pid;
    return {
      threads: this.#threads,
      running: this.#tasks.size,
      queued: this.#scheduler.queued,
      restarts: this.#restarts,
      ...(pid !== undefined && { pid, rssMb: this.#rssMb }),
    };
  }

  async run(task: LaneTask, hooks: LaneHooks, signal?: AbortSignal): Promise<Packed> {
    const slot = await this.#scheduler.acquire({ type: task.node.type, tenantId: task.run.tenantId, ...task }, signal);
    try {
      if (this.#closed) throw closing(task);
      if (signal?.aborted) throw nodeCancelled(task.node.type);
      return await this.#carryOut(task, hooks, signal);
    } finally {
      this.#scheduler.release(slot);
    }
  }

  #carryOut(task: LaneTask, hooks: LaneHooks, signal: AbortSignal | undefined): Promise<Packed> {
    return new Promise((resolve, reject) => {
      const id = ++this.#lastId;
      const finish = () => {
        clearTimeout(running.overtime);
        signal?.removeEventListener('abort', onAbort);
        this.#tasks.delete(id);
        if (this.#tasks.size === 0) this.#becameIdle();
      };
      const running: RunningTask = {
        id,
        task,
        hooks,
        state: 'starting',
        stopping: undefined,
        overtime: undefined,
        resolve: (value) => {
          finish();
          resolve(value);
        },
        reject: (error) => {
          finish();
          reject(error);
        },
      };
      const onAbort = () => this.#stop(running, nodeCancelled(task.node.type));
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#tasks.set(id, running);
      this.#becameBusy();
      this.#send(running).catch(running.reject);
    });
  }

  async #send(running: RunningTask): Promise<void> {
    const { id, task } = running;
    const child = await this.#connect(task);
    // Cancelled while the process was starting.
    if (!this.#tasks.has(id)) return;
    running.overtime = setTimeout(
      () => this.#overtime(running, nodeTimeout(task.node.type, task.timeoutMs)),
      Math.min(task.timeoutMs + OVERTIME_MS, MAX_TIMER_MS),
    );
    running.state = 'sending';
    const { config, input, ...rest } = task;
    try {
      await child.send({ t: 'run', id, task: rest }, [config, input]);
    } catch (error) {
      // When the process is gone, its exit tells the task.
      if (!child.connected) return;
      throw nodeDataNotPlain('INPUT', task.node.type, error);
    }
    running.state = 'sent';
    if (running.stopping !== undefined) this.#sendCancel(running);
  }

  #stop(running: RunningTask, reason: Error): void {
    if (running.stopping !== undefined || !this.#tasks.has(running.id)) return;
    if (running.state === 'starting') {
      // The process is not even up: nothing has to end.
      running.reject(reason);
      return;
    }
    running.stopping = reason;
    clearTimeout(running.overtime);
    running.overtime = setTimeout(() => this.#overtime(running, reason), this.#options.cancelGraceMs + OVERTIME_MS);
    if (running.state === 'sent') this.#sendCancel(running);
  }

  #sendCancel({ id }: RunningTask): void {
    // A closed channel means that the process is gone, and its exit ends the task.
    this.#child?.send({ t: 'cancel', id }).catch(() => undefined);
  }

  #overtime(running: RunningTask, reason: Error): void {
    running.reject(running.stopping ?? reason);
    this.#child?.kill('unresponsive', `node ${running.task.node.type} was not ended in time`);
  }

  #connect(task: LaneTask): Promise<IsolatedChild> {
    this.#starting ??= this.#start();
    const starting = this.#starting;
    return starting.catch((error) => {
      // The next task tries again.
      if (this.#starting === starting) this.#starting = undefined;
      const cause = error instanceof Error ? error.message : String(error);
      throw cutOff({ reason: 'start', attempt: task.attempt, alone: false, cause }, error);
    });
  }

  async #start(): Promise<IsolatedChild> {
    if (this.#deaths > 0) await delay(Math.min(BACK_OFF_MS * 2 ** (this.#deaths - 1), MAX_BACK_OFF_MS));
    if (this.#closed) throw new Error('shut down');
    const { threads, cancelGraceMs, memoryMb, local, env, log } = this.#options;
    const child = startIsolatedChild({
      init: { threads, cancelGraceMs, memoryMb, local },
      env,
      log,
      onMessage: (message, packed) => this.#receive(child, message, packed),
      onExit: (cause) => this.#exited(child, cause),
    });
    this.#child = child;
    await child.ready;
    this.#isReady = true;
    this.#silentChecks = 0;
    this.#failedStarts = 0;
    return child;
  }

  #exited(child: IsolatedChild, cause: string): void {
    this.#onExit?.();
    // An idle process was let go, and another one may be up already.
    if (this.#child !== child) return;
    const wasReady = this.#isReady;
    this.#forget();
    this.#deaths += 1;
    const tasks = [...this.#tasks.values()];
    this.#options.log('error', 'The isolated process died', { cause, tasks: tasks.length });
    if (!wasReady) {
      // Those who wait for the start learn it from `#start`.
      this.#failedStarts += 1;
      if (this.#failedStarts < MAX_FAILED_STARTS) return;
      this.#scheduler.fail(({ attempt }) => cutOff({ reason: 'start', attempt, alone: false, cause }));
      return;
    }
    this.#restarts += 1;
    this.#scheduler.suspect(tasks.map(({ task }) => task.idempotencyKey));
    const reason = child.killed?.reason ?? 'process';
    const alone = tasks.length === 1;
    for (const { task, stopping, reject } of tasks) {
      reject(stopping ?? cutOff({ reason, attempt: task.attempt, alone, cause }));
    }
  }

  #receive(child: IsolatedChild, message: ToParent, packed: Packed[]): void {
    this.#silentChecks = 0;
    if (message.t === 'ready') return;
    if (message.t === 'status') [this.#rssMb, this.#threads] = [message.rssMb, message.threads];
    else if (message.t === 'memory') {
      child.kill('memory', `${message.rssMb} MiB resident, allowed are ${this.#options.memoryMb}`);
    } else if (message.t === 'log') this.#options.log(message.level, message.message, message.data);
    else {
      const running = this.#tasks.get(message.id);
      if (running === undefined) return;
      if (message.t === 'batch') void this.#batch(child, running, message.text);
      else if (message.t === 'call') void this.#call(child, running, message, packed[0] ?? { value: [] });
      else this.#ended(running, message.error && fromWireError(message.error), packed[0]);
    }
  }

  async #batch(child: IsolatedChild, running: RunningTask, text: string): Promise<void> {
    try {
      await running.hooks.batch(text);
    } catch (error) {
      this.#stop(running, error instanceof Error ? error : new Error(String(error)));
    }
    await child.send({ t: 'ack', id: running.id }).catch(() => undefined);
  }

  async #call(
    child: IsolatedChild,
    { id, hooks }: RunningTask,
    { call, service, method }: Extract<ToParent, { t: 'call' }>,
    args: Packed,
  ): Promise<void> {
    const fail = (error: unknown) =>
      child.send({ t: 'reply', id, call, error: toWireError(error) }).catch(() => undefined);
    let value: Packed;
    try {
      value = await hooks.call({ service, method, args });
    } catch (error) {
      return fail(error);
    }
    try {
      await child.send({ t: 'reply', id, call }, [value]);
    } catch (error) {
      await fail(serviceCallInvalid(service, method, error));
    }
  }

  #ended(running: RunningTask, error: AppError | undefined, value: Packed | undefined): void {
    const { task, stopping } = running;
    if (error?.code === 'NODE_CUT_OFF') this.#scheduler.suspect([task.idempotencyKey]);
    else {
      this.#deaths = 0;
      this.#scheduler.clear(task.idempotencyKey);
    }
    const failure = stopping ?? error;
    if (failure === undefined) running.resolve(value ?? { value: undefined });
    else running.reject(failure);
  }

  #becameBusy(): void {
    clearTimeout(this.#idleTimer);
    this.#child?.ref();
    this.#monitor ??= setInterval(() => {
      if (!this.#isReady) return;
      this.#silentChecks += 1;
      if (this.#silentChecks < MAX_SILENT_CHECKS) return;
      this.#child?.kill('unresponsive', `silent for ${(this.#silentChecks * CHECK_MS) / 1000} s`);
    }, CHECK_MS);
    this.#silentChecks = 0;
  }

  #becameIdle(): void {
    clearInterval(this.#monitor);
    this.#monitor = undefined;
    this.#onIdle?.();
    this.#child?.unref();
    if (this.#options.idleMs > 0) this.#idleTimer = setTimeout(() => this.#letGo(), this.#options.idleMs).unref();
  }

  #letGo(): void {
    const child = this.#child;
    this.#forget();
    child?.kill('closing', 'idle');
  }

  #forget(): void {
    this.#child = undefined;
    this.#starting = undefined;
    this.#isReady = false;
    this.#threads = 0;
  }

  async close(graceMs: number): Promise<void> {
    this.#closed = true;
    this.#scheduler.close();
    clearTimeout(this.#idleTimer);
    if (this.#tasks.size > 0) {
      const idle = Promise.withResolvers<void>();
      this.#onIdle = idle.resolve;
      const timer = setTimeout(idle.resolve, graceMs);
      await idle.promise;
      clearTimeout(timer);
    }
    for (const { task, stopping, reject } of [...this.#tasks.values()]) reject(stopping ?? closing(task));
    clearTimeout(this.#idleTimer);
    const child = this.#child;
    if (child === undefined) return;
    const exited = new Promise<void>((resolve) => {
      this.#onExit = resolve;
    });
    child.ref();
    this.#letGo();
    await exited;
  }
}

const closing = (task: LaneTask) => cutOff({ reason: 'closing', attempt: task.attempt, alone: false });
