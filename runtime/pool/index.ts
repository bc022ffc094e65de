import { AppError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import type { Principal } from '../../core/principal.ts';
import { defineService, type ServiceKey } from '../../core/service.ts';
import { NodeCatalogue, type NodeDescription } from './catalogue.ts';
import { nodeDataNotPlain } from './errors.ts';
import { HostServices } from './host-services.ts';
import { type Packed, pack, unpack } from './pack.ts';
import { ProcessLane, type ProcessLaneStats } from './process-lane.ts';
import type { Entry, Lane, LaneHooks, LaneStats, LocalService, LogLevel } from './protocol.ts';
import { ThreadLane } from './thread-lane.ts';

export type { NodeDescription } from './catalogue.ts';
export type { CutOffDetails, CutOffReason } from './errors.ts';
export type { HostCaller } from './host-services.ts';
export type { LocalService } from './protocol.ts';

export interface PoolOptions {
  log: Logger;
  /** Files with one node type each as default export. More can come later by `addNodes`. */
  nodes?: readonly (URL | string)[];
  shared?: Partial<SharedLaneOptions>;
  isolated?: Partial<IsolatedLaneOptions>;
  /**
   * Services that every worker thread makes for itself from plain options (the model gateway). The module is imported before the
   * thread's first task: heavy imports belong inside its methods.
   */
  local?: readonly LocalService[];
  /** Services of this thread that nodes may call, by the name of their key. See `expose`. */
  host?: ReadonlyMap<string, object>;
  /** Environment of worker threads and of the isolated process. Default: empty, so that no secret is in reach of a node. */
  env?: Record<string, string>;
}

export interface SharedLaneOptions {
  /** Default 2. */
  threads: number;
  /** Tasks at the same time in one thread. Default 32. */
  tasksPerThread: number;
  /** Waiting tasks. Default 10,000. */
  maxQueue: number;
  /** Deadline of nodes that name none. Default 120,000. */
  timeoutMs: number;
  /** How long a node has to give up after a cancel or its deadline before its thread is replaced. Default 2,000. */
  graceMs: number;
}

export interface IsolatedLaneOptions {
  /** Tasks at the same time, one per thread. Default 2. */
  threads: number;
  /** Waiting tasks. Default 1,000. */
  maxQueue: number;
  /** Deadline of nodes that name none; the node is ended hard. Default 300,000. */
  timeoutMs: number;
  /** How long a node has to give up after a cancel before its thread is replaced. Default 1,000. */
  graceMs: number;
  /** Resident memory of the whole process in MiB; above it the process is killed. Default 1,024. */
  memoryMb: number;
  /** The process ends after so long without a task; 0 keeps it. Default 600,000. */
  idleMs: number;
}

export interface PoolTask {
  type: string;
  /** Default: the newest. */
  version?: number;
  config?: Record<string, unknown>;
  /** Plain data; bytes as Uint8Array or ArrayBuffer anywhere in it. */
  input: unknown;
  run: { id: string; tenantId: string };
  principal: Principal;
  /** The same for every attempt of one step. */
  idempotencyKey: string;
  /** 1 for the first attempt. */
  attempt: number;
  /** Default: the node's, then the lane's. */
  timeoutMs?: number;
}

/** What a node says while it runs, in order. A hook that returns a promise slows its node down; one that fails ends it. */
export interface PoolHooks {
  /** Event data is JSON. */
  onEvent?(type: string, data: Record<string, unknown>): void | Promise<void>;
  /** 0-1. */
  onProgress?(fraction: number): void;
  /** Default: the pool's log, with the run's id. */
  onLog?(level: LogLevel, message: string, data?: Record<string, unknown>): void;
}

export interface PoolStats {
  shared: LaneStats;
  isolated: ProcessLaneStats;
}

/** The worker lanes. Every `run` settles. */
export interface Pool {
  /**
   * Runs one attempt of a node in its lane.
   *
   * @param signal cancels; the promise settles when the node has given up, or its thread was replaced
   * @returns the node's output; bytes in it arrive as Uint8Array or ArrayBuffer
   * @throws {AppError} NODE_CUT_OFF (unavailable, `details: CutOffDetails`): its thread or process died or hung, repeat the task with
   *   the same idempotency key, it then runs alone; NODE_TIMEOUT, NODE_CANCELLED, NODE_UNKNOWN, NODE_CONFIG_INVALID, NODE_INPUT_INVALID,
   *   NODE_OUTPUT_INVALID (with fields), NODE_PAYLOAD_TOO_LARGE, NODE_EVENTS_STALLED, POOL_QUEUE_FULL, POOL_CLOSED, or what the node threw
   */
  run(task: PoolTask, hooks?: PoolHooks, signal?: AbortSignal): Promise<unknown>;
  /**
   * Starts the shared lane's threads, which otherwise start with their first tasks, and loads what nodes of some types need.
   *
   * @throws {AppError} NODE_UNKNOWN
   */
  ready(types?: readonly string[]): Promise<void>;
  describe(): NodeDescription[];
  /** @throws {AppError} NODE_FILE_INVALID, NODE_DUPLICATE */
  addNodes(urls: readonly (URL | string)[]): Promise<void>;
  /**
   * Lets nodes call the methods of a service on this thread; each gets `HostCaller` as first argument, then the node's own.
   * Methods whose name begins with `_` are not offered.
   */
  expose(key: ServiceKey<unknown> | string, service: object): void;
  stats(): PoolStats;
  /** Refuses new tasks, cuts off waiting ones, and running ones after `graceMs` (default 5,000). */
  close(options?: { graceMs?: number }): Promise<void>;
}

export const poolService = defineService<Pool>('pool');

/**
 * Starts the pool; threads and the isolated process start with their first task.
 *
 * @throws {AppError} NODE_FILE_INVALID, NODE_DUPLICATE
 */
export async function createPool(options: PoolOptions): Promise<Pool> {
  const { log, local = [], env = {} } = options;
  const shared = {
    threads: 2,
    tasksPerThread: 32,
    maxQueue: 10_000,
    timeoutMs: 120_000,
    graceMs: 2000,
    ...options.shared,
  };
  const isolated = {
    threads: 2,
    maxQueue: 1000,
    timeoutMs: 300_000,
    graceMs: 1000,
    memoryMb: 1024,
    idleMs: 600_000,
    ...options.isolated,
  };
  const catalogue = new NodeCatalogue({ shared: shared.timeoutMs, isolated: isolated.timeoutMs });
  await catalogue.add(options.nodes ?? []);
  const host = new HostServices(options.host);
  const sink = (lane: string) => (level: LogLevel, message: string, data?: Record<string, unknown>) =>
    log[level]({ lane, ...data }, message);
  const sharedLane = new ThreadLane({
    name: 'shared',
    threads: shared.threads,
    tasksPerThread: shared.tasksPerThread,
    maxQueue: shared.maxQueue,
    cancelGraceMs: shared.graceMs,
    deadlineGraceMs: shared.graceMs,
    env,
    local,
    log: sink('shared'),
  });
  const isolatedLane = new ProcessLane({
    threads: isolated.threads,
    maxQueue: isolated.maxQueue,
    cancelGraceMs: isolated.graceMs,
    memoryMb: isolated.memoryMb,
    idleMs: isolated.idleMs,
    env,
    local,
    log: sink('isolated'),
  });

  const run = async (task: PoolTask, hooks: PoolHooks = {}, signal?: AbortSignal): Promise<unknown> => {
    const { url, description } = catalogue.find(task.type, task.version);
    const { type, version, lane: laneName } = description;
    const lane: Lane = laneName === 'shared' ? sharedLane : isolatedLane;
    const { id, tenantId } = task.run;
    const calls = host.callsOf({ id, tenantId, principal: task.principal }, signal);
    const nodeLog = hooks.onLog ?? ((level, message, data) => log[level]({ runId: id, node: type, ...data }, message));
    const laneHooks: LaneHooks = {
      batch: (text) => deliver(JSON.parse(text), hooks, nodeLog),
      call: calls.call,
    };
    try {
      const output = await lane.run(
        {
          node: { type, version, url },
          config: packFor(task.config ?? {}, (error) => nodeDataNotPlain('CONFIG', type, error)),
          input: packFor(task.input, (error) => nodeDataNotPlain('INPUT', type, error)),
          run: { id, tenantId },
          idempotencyKey: task.idempotencyKey,
          attempt: task.attempt,
          timeoutMs: task.timeoutMs ?? description.timeoutMs,
          services: host.names,
        },
        laneHooks,
        signal,
      );
      return unpack(output);
    } catch (error) {
      // A bug of the node: its stack is in the cause, and nobody else gets to see it.
      if (error instanceof AppError && error.code === 'INTERNAL_ERROR') {
        log.error({ runId: id, node: type, stack: error.cause }, 'A node failed unexpectedly');
      }
      throw error;
    } finally {
      calls.end();
    }
  };

  return {
    run,
    ready: async (types = []) => sharedLane.ready(types.map((type) => catalogue.find(type).url)),
    describe: () => catalogue.describe(),
    addNodes: (urls) => catalogue.add(urls),
    expose: (key, service) => host.expose(key, service),
    stats: () => ({ shared: sharedLane.stats(), isolated: isolatedLane.stats() }),
    close: async ({ graceMs = 5000 } = {}) => {
      await Promise.all([sharedLane.close(graceMs), isolatedLane.close(graceMs)]);
    },
  };
}

/** Gives the entries of one batch to the hooks; a promise only when a hook is asynchronous. */
function deliver(entries: Entry[], hooks: PoolHooks, log: NonNullable<PoolHooks['onLog']>): void | Promise<void> {
  for (const [index, entry] of entries.entries()) {
    if (entry[0] === 'p') hooks.onProgress?.(entry[1]);
    else if (entry[0] === 'l') log(entry[1], entry[2], entry[3]);
    else {
      const taken = hooks.onEvent?.(entry[1], entry[2]);
      if (taken instanceof Promise) return taken.then(() => deliver(entries.slice(index + 1), hooks, log));
    }
  }
}

function packFor(value: unknown, wrap: (error: unknown) => AppError): Packed {
  try {
    return pack(value);
  } catch (error) {
    throw wrap(error);
  }
}
