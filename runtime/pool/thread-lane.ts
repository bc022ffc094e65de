import { setTimeout as delay } from 'node:timers/promises';
import { MessageChannel, type ResourceLimits } from 'node:worker_threads';
import { Piscina } from 'piscina';
import type { AppError } from '../../core/errors.ts';
import { compileCacheEnv } from './compile-cache.ts';
import {
  type CutOffReason,
  cutOff,
  nodeCancelled,
  nodeDataNotPlain,
  nodeTimeout,
  poolClosed,
  toWireError,
} from './errors.ts';
import { buffersOf, type Packed } from './pack.ts';
import {
  BEAT_MS,
  type Lane,
  type LaneHooks,
  type LaneTask,
  type LocalService,
  type LogSink,
  type ThreadData,
  type ThreadNotice,
  type ThreadTask,
} from './protocol.ts';
import { Scheduler, type Slot } from './scheduler.ts';
import { openTaskPort } from './task-port.ts';

export interface ThreadLaneOptions {
  name: string;
  threads: number;
  tasksPerThread: number;
  maxQueue: number;
  /** How long a node has to give up after a cancel. */
  cancelGraceMs: number;
  /** How long a node has to give up after its deadline. 0: its thread is ended at once. */
  deadlineGraceMs: number;
  env: Record<string, string>;
  local: readonly LocalService[];
  resourceLimits?: ResourceLimits;
  /** See `ThreadData`. Default 0. */
  niceness?: number;
  log: LogSink;
}

/** A thread whose event loop has not turned for this long gets no new tasks. */
const STALL_MS = 1000;
const MAX_ENDING_MS = 5000;
/** Longer timers fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;
const WORKER = new URL('./worker.ts', import.meta.url).href;

/** One thread: a Piscina of its own, because Piscina cannot end one thread of several. */
class ThreadSlot implements Slot {
  readonly capacity: number;
  running = 0;
  exclusive = false;
  stalled = false;
  readonly tasks = new Set<RunningTask>();
  readonly beat = new Int32Array(new SharedArrayBuffer(4));
  lastBeat = 0;
  lastBeatAt = 0;
  piscina: Piscina | undefined;
  retired = false;

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  get beats(): number {
    return Atomics.load(this.beat, 0);
  }
}

interface RunningTask {
  readonly task: LaneTask;
  readonly slot: ThreadSlot;
  /** Set once the task has to end: what its caller is told. */
  stopping: AppError | undefined;
  settle(error: AppError): void;
  /** Takes what a dead thread still managed to send; true when the node's end was among it: it settles by that. */
  drain(): boolean;
}

/** Runs tasks in the threads of this process. */
export class ThreadLane implements Lane {
  readonly #options: ThreadLaneOptions;
  readonly #slots: ThreadSlot[] = [];
  /** Threads that get no new tasks and end when their last one has: a node there did not give up. */
  readonly #draining = new Set<ThreadSlot>();
  readonly #scheduler: Scheduler<ThreadSlot>;
  readonly #ending = new Set<Promise<void>>();
  #monitor: NodeJS.Timeout | undefined;
  #running = 0;
  #restarts = 0;
  #closed = false;
  #idle: (() => void) | undefined;

  constructor(options: ThreadLaneOptions) {
    this.#options = options;
    for (let i = 0; i < options.threads; i += 1) this.#slots.push(new ThreadSlot(options.tasksPerThread));
    this.#scheduler = new Scheduler(options.name, this.#slots, options.maxQueue);
  }

  stats() {
    const alive = [...this.#slots, ...this.#draining].filter((slot) => slot.piscina !== undefined);
    return {
      threads: alive.length,
      running: this.#running,
      queued: this.#scheduler.queued,
      restarts: this.#restarts,
    };
  }

  /** Starts all threads, one after another, and loads what they need for tasks of some node files. */
  async ready(nodeUrls: readonly string[]): Promise<void> {
    for (const slot of [...this.#slots]) {
      if (!slot.retired) await this.#piscinaOf(slot).run({ ready: nodeUrls } satisfies ThreadTask);
    }
  }

  async run(task: LaneTask, hooks: LaneHooks, signal?: AbortSignal): Promise<Packed> {
    const { type } = task.node;
    let slot: ThreadSlot;
    // Between the grant of a slot and this turn its thread may have been retired, the lane closed, the caller gone.
    do slot = await this.#scheduler.acquire({ type, tenantId: task.run.tenantId, ...task }, signal);
    while (slot.retired && !this.#closed);
    if (this.#closed || signal?.aborted) {
      this.#scheduler.release(slot);
      throw this.#closed ? poolClosed() : nodeCancelled(type);
    }
    return this.#start(slot, task, hooks, signal);
  }

  #start(slot: ThreadSlot, task: LaneTask, hooks: LaneHooks, signal?: AbortSignal): Promise<Packed> {
    const { type } = task.node;
    const { deadlineGraceMs, cancelGraceMs } = this.#options;
    const outcome = Promise.withResolvers<Packed>();
    const piscina = this.#piscinaOf(slot);
    const { port1, port2 } = new MessageChannel();
    const port = openTaskPort(port1, hooks);
    let graceTimer: NodeJS.Timeout | undefined;
    /** The node has ended; only the host's own hooks may still be at work. */
    let nodeEnded = false;

    const finish = () => {
      if (!slot.tasks.delete(running)) return;
      clearTimeout(deadline);
      clearTimeout(graceTimer);
      signal?.removeEventListener('abort', onAbort);
      port.close();
      this.#running -= 1;
      if (slot.retired && slot.tasks.size === 0) this.#end(slot);
      if (this.#running === 0) this.#idle?.();
    };
    const running: RunningTask = {
      task,
      slot,
      stopping: undefined,
      settle: (error) => {
        finish();
        outcome.reject(error);
      },
      drain: port.drain,
    };
    const stop = (reason: AppError, graceMs: number) => {
      if (running.stopping !== undefined) return;
      running.stopping = reason;
      if (nodeEnded) {
        running.settle(reason);
        return;
      }
      const beatsBefore = slot.beats;
      port.send({ t: 'cancel', error: toWireError(reason) });
      graceTimer = setTimeout(() => this.#giveUp(running, slot.beats !== beatsBefore), graceMs);
    };
    const onAbort = () => stop(nodeCancelled(type), cancelGraceMs);
    const deadline = setTimeout(
      () => stop(nodeTimeout(type, task.timeoutMs), deadlineGraceMs),
      Math.min(task.timeoutMs, MAX_TIMER_MS),
    );
    signal?.addEventListener('abort', onAbort, { once: true });
    slot.tasks.add(running);
    this.#running += 1;
    this.#watch();

    port.ended.then(
      (value) => {
        if (running.stopping !== undefined) return running.settle(running.stopping);
        finish();
        this.#scheduler.clear(task.idempotencyKey);
        outcome.resolve(value);
      },
      (error) => {
        // An error of the host's own hooks comes while the node still runs: it has to be ended, too.
        const mustStop = !port.drain() && slot.tasks.has(running) && running.stopping === undefined;
        if (mustStop) return stop(error, cancelGraceMs);
        this.#scheduler.clear(task.idempotencyKey);
        running.settle(running.stopping ?? error);
      },
    );
    piscina
      .run({ task, port: port2 } satisfies ThreadTask, {
        transferList: [port2, ...buffersOf(task.config), ...buffersOf(task.input)],
      })
      .then(
        () => {
          nodeEnded = true;
          this.#scheduler.release(slot);
          if (running.stopping !== undefined) running.settle(running.stopping);
        },
        (error: Error) => this.#died(running, error),
      );
    return outcome.promise;
  }

  /** The task did not end within its grace time. */
  #giveUp(running: RunningTask, responsive: boolean): void {
    const { slot, task, stopping } = running;
    if (stopping === undefined || !slot.tasks.has(running)) return;
    const others = [...slot.tasks].filter((other) => other !== running);
    this.#options.log('warn', 'A node did not give up in time; its thread is replaced', {
      type: task.node.type,
      runId: task.run.id,
      responsive,
      otherTasks: others.length,
    });
    const mayDrain = slot.retired || this.#draining.size < this.#options.threads;
    this.#retire(slot);
    if (responsive && others.length > 0 && mayDrain) {
      // The thread as such is well: the others go on to their end in it.
      this.#draining.add(slot);
      running.settle(stopping);
      return;
    }
    if (responsive || others.length === 0) running.settle(stopping);
    // Otherwise one of them holds the thread, and it need not be the one whose time is up: each runs alone next time.
    else this.#scheduler.suspect([...slot.tasks].map((one) => one.task.idempotencyKey));
    this.#cutOffAll(slot, 'unresponsive', `node ${task.node.type} did not give up`);
  }

  /** Piscina gave the task back without an end: its thread died, or the task could not be sent. */
  #died(running: RunningTask, error: Error): void {
    const { slot, task } = running;
    if (error.name === 'DataCloneError') {
      running.settle(nodeDataNotPlain('INPUT', task.node.type, error));
      this.#scheduler.release(slot);
      return;
    }
    // All tasks of a thread are told one after another; the first settles them all.
    if (slot.piscina === undefined) return;
    const unfinished = [...slot.tasks].filter((one) => !one.drain());
    this.#options.log('error', 'A worker thread died', { reason: error.message, tasks: unfinished.length });
    this.#scheduler.suspect(unfinished.map((one) => one.task.idempotencyKey));
    this.#retire(slot);
    const reason = 'code' in error && error.code === 'ERR_WORKER_OUT_OF_MEMORY' ? 'memory' : 'thread';
    this.#cutOffAll(slot, reason, error.message);
  }

  /** Settles what runs in the slot, and ends its thread. */
  #cutOffAll(slot: ThreadSlot, reason: CutOffReason, cause: string): void {
    const alone = slot.tasks.size === 1;
    for (const one of [...slot.tasks]) {
      if (one.drain()) continue;
      // A deadline that passed while somebody else held the thread is nobody's fault.
      const own = reason === 'unresponsive' && one.stopping?.code === 'NODE_TIMEOUT' ? undefined : one.stopping;
      one.settle(own ?? cutOff({ reason, attempt: one.task.attempt, alone, cause }));
    }
    this.#end(slot);
  }

  #piscinaOf(slot: ThreadSlot): Piscina {
    if (slot.piscina !== undefined) return slot.piscina;
    const { tasksPerThread, env, local, resourceLimits, niceness = 0 } = this.#options;
    const piscina = new Piscina({
      filename: WORKER,
      minThreads: 1,
      maxThreads: 1,
      concurrentTasksPerWorker: tasksPerThread,
      atomics: 'async',
      recordTiming: false,
      env: { ...compileCacheEnv(), ...env },
      workerData: { beat: slot.beat.buffer as SharedArrayBuffer, local, niceness } satisfies ThreadData,
      ...(resourceLimits !== undefined && { resourceLimits }),
    });
    // Only for a thread that dies between two tasks; with tasks their promises tell.
    piscina.on('error', (error) => {
      if (slot.retired) return;
      this.#options.log('error', 'A worker thread died', { reason: String(error), tasks: 0 });
      this.#retire(slot);
      this.#end(slot);
    });
    piscina.on('message', (message: ThreadNotice) => {
      if (message?.koagent === 'log') this.#options.log(message.level, message.message, message.data);
    });
    slot.piscina = piscina;
    slot.lastBeat = slot.beats;
    slot.lastBeatAt = performance.now();
    return piscina;
  }

  /** Takes the thread out of service; a new one takes its place with the next task. */
  #retire(slot: ThreadSlot): void {
    if (slot.retired) return;
    slot.retired = true;
    this.#restarts += 1;
    this.#slots[this.#slots.indexOf(slot)] = new ThreadSlot(this.#options.tasksPerThread);
    this.#scheduler.pump();
  }

  #end(slot: ThreadSlot): void {
    this.#draining.delete(slot);
    const { piscina } = slot;
    if (piscina === undefined) return;
    slot.piscina = undefined;
    const ending = piscina.destroy().finally(() => this.#ending.delete(ending));
    this.#ending.add(ending);
  }

  /** While tasks run, sees which threads still turn. */
  #watch(): void {
    this.#monitor ??= setInterval(() => {
      const now = performance.now();
      for (const slot of this.#slots) {
        if (slot.piscina === undefined) continue;
        const beats = slot.beats;
        if (beats !== slot.lastBeat) [slot.lastBeat, slot.lastBeatAt] = [beats, now];
        const stalled = beats > 0 && now - slot.lastBeatAt > STALL_MS;
        const recovered = slot.stalled && !stalled;
        slot.stalled = stalled;
        if (recovered) this.#scheduler.pump();
      }
      if (this.#running > 0) return;
      clearInterval(this.#monitor);
      this.#monitor = undefined;
    }, BEAT_MS * 2).unref();
  }

  async close(graceMs: number): Promise<void> {
    this.#closed = true;
    this.#scheduler.close();
    if (this.#running > 0) {
      const idle = Promise.withResolvers<void>();
      this.#idle = idle.resolve;
      const timer = setTimeout(idle.resolve, graceMs);
      await idle.promise;
      clearTimeout(timer);
    }
    for (const slot of [...this.#slots, ...this.#draining]) {
      slot.retired = true;
      this.#cutOffAll(slot, 'closing', 'shut down');
    }
    clearInterval(this.#monitor);
    // A thread that is stuck in native code cannot be ended; that must not hold up the shutdown.
    await Promise.race([Promise.all(this.#ending), delay(MAX_ENDING_MS, undefined, { ref: false })]);
  }
}
