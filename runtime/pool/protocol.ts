import type { MessagePort } from 'node:worker_threads';
import type { WireError } from './errors.ts';
import type { Packed } from './pack.ts';

/** One attempt of a node as lanes and workers see it; plain data. */
export interface LaneTask {
  node: { type: string; version: number; url: string };
  config: Packed;
  input: Packed;
  run: { id: string; tenantId: string };
  /** The same for every attempt of one step; lanes know a task that brought its worker down by it. */
  idempotencyKey: string;
  attempt: number;
  timeoutMs: number;
  /** Names of the services that the host exposes to nodes. */
  services: readonly string[];
}

export interface ServiceCall {
  service: string;
  method: string;
  args: Packed;
}

/** What one task says to its host. */
export interface LaneHooks {
  /** Entries in order, as JSON text of `Entry[]`. The worker is allowed to send more when it resolves. */
  batch(text: string): void | Promise<void>;
  /** A call of a host service; failures are thrown as errors. */
  call(call: ServiceCall): Promise<Packed>;
}

/** Runs tasks somewhere else. Every `run` settles. */
export interface Lane {
  /**
   * @param signal cancels: the node is asked to give up, and its worker is replaced when it does not within the grace time
   * @throws {AppError} NODE_CUT_OFF, NODE_TIMEOUT, NODE_CANCELLED, POOL_QUEUE_FULL, POOL_CLOSED, or the node's own error
   */
  run(task: LaneTask, hooks: LaneHooks, signal?: AbortSignal): Promise<Packed>;
  stats(): LaneStats;
  /** Lets running tasks end for `graceMs`, then cuts them off. Waiting tasks are cut off at once. */
  close(graceMs: number): Promise<void>;
}

export interface LaneStats {
  /** Threads that are alive. */
  threads: number;
  running: number;
  queued: number;
  /** Threads (shared lane) or processes (isolated lane) that were replaced. */
  restarts: number;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogSink = (level: LogLevel, message: string, data?: Record<string, unknown>) => void;

/** `e`: event, `p`: progress 0-1, `l`: log line. */
export type Entry =
  | ['e', type: string, data: Record<string, unknown>]
  | ['p', fraction: number]
  | ['l', level: LogLevel, message: string, data?: Record<string, unknown>];

/** A service that workers make themselves from plain options. */
export interface LocalService {
  /** Name of the service key. */
  key: string;
  /**
   * URL of a module whose default export is `(options) => service`; imported by every thread before its first task. A method `ready` of the
   * service loads what it needs later, for a thread that has nothing else to do.
   */
  module: string;
  options: unknown;
}

/** What a thread is started with. */
export interface ThreadData {
  /** How far its thread steps back behind others for the processor, 0-19. */
  niceness: number;
  /** One counter that the thread's event loop moves on every `BEAT_MS`. */
  beat: SharedArrayBuffer;
  local: readonly LocalService[];
}

/** What Piscina hands to the thread: a task with its port, or only the wish that the thread be ready for tasks of these node files. */
export type ThreadTask = { task: LaneTask; port: MessagePort } | { ready: readonly string[] };

/** Host to node, on the task's port. */
export type ToNode =
  | { t: 'cancel'; error: WireError }
  | { t: 'ack'; size: number }
  | { t: 'reply'; id: number; result: Outcome };

/**
 * Node to host, on the task's port. `end` is the last message, so nothing sent before it can be lost. `full`: the node sleeps until
 * what it has sent is acknowledged.
 */
export type ToHost =
  | { t: 'batch'; text: string }
  | { t: 'full' }
  | { t: 'call'; id: number; call: ServiceCall }
  | { t: 'end'; result: Outcome };

export type Outcome = { ok: true; value: Packed } | { ok: false; error: WireError };

/** What a thread says outside of any task. */
export interface ThreadNotice {
  koagent: 'log';
  level: LogLevel;
  message: string;
  data: Record<string, unknown>;
}

export const BEAT_MS = 100;

/** Parent to child process. The packed values of `run` are config and input, that of `reply` the result. */
export type ToChild =
  | { t: 'init'; threads: number; cancelGraceMs: number; memoryMb: number; local: readonly LocalService[] }
  | { t: 'run'; id: number; task: Omit<LaneTask, 'config' | 'input'> }
  | { t: 'cancel'; id: number }
  | { t: 'ack'; id: number }
  | { t: 'reply'; id: number; call: number; error?: WireError };

/** Child process to parent. The packed value of `call` are the arguments, that of `end` the result. */
export type ToParent =
  | { t: 'ready' }
  | { t: 'status'; rssMb: number; threads: number }
  | { t: 'memory'; rssMb: number }
  | { t: 'batch'; id: number; text: string }
  | { t: 'call'; id: number; call: number; service: string; method: string }
  | { t: 'end'; id: number; error?: WireError }
  | { t: 'log'; level: LogLevel; message: string; data?: Record<string, unknown> };
