import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Worker } from 'node:worker_threads';
import { AppError } from '../../core/errors.ts';
import type { WorkerMessage, WorkerRequest, WorkerSettings } from './worker.ts';

export interface StoreOptions {
  /** Folder of the data; made when it is missing. One process owns it at a time. */
  folder: string;
  /** Page cache of SQLite in MiB, default 64. */
  cacheMiB?: number;
  /** Memory all queries together may hold for sorting, grouping and open cursors, in MiB, default 256. */
  memoryMiB?: number;
  /** Open cursors at the same time, default 10 000. */
  maxCursors?: number;
  /** A cursor nobody reads is closed after this time, default 10 minutes. */
  cursorTimeoutMs?: number;
  /** Time between two sweeps of the TTL indexes, default 60 000. */
  ttlIntervalMs?: number;
  /** A regular expression that runs longer makes the worker restart, default 2000. */
  regexLimitMs?: number;
  /** How long `close` waits for running commands, default 5000. */
  closeGraceMs?: number;
}

export interface StoreStats {
  collections: number;
  connections: number;
  cursors: number;
  /** Bytes queries hold now. */
  queryMemoryBytes: number;
  fileBytes: number;
  commands: number;
  inserted: number;
  updated: number;
  deleted: number;
  returned: number;
  /** Documents removed by TTL indexes. */
  expired: number;
  /** How often the worker was restarted because of a regular expression. */
  restarts: number;
}

export interface EmbeddedStore {
  /** `mongodb://…socket…/koagent?directConnection=true`, for the official driver and mongoose. */
  readonly uri: string;
  /** Ends running commands, commits, closes all connections and gives the folder free. */
  close(): Promise<void>;
  stats(): Promise<StoreStats>;
  /** Writes a copy of the whole store into a file while it is in use. */
  backup(file: string): Promise<void>;
}

const maxSocketPath = 100;

/** The socket lies in the folder; when that path is too long for a socket, in the folder for temporary files. */
function socketPath(folder: string): string {
  const inside = join(folder, 'store.sock');
  if (Buffer.byteLength(inside) <= maxSocketPath) return inside;
  const hash = createHash('sha256').update(folder).digest('hex').slice(0, 24);
  const private_ = join(tmpdir(), `koagent-${hash}`);
  mkdirSync(private_, { recursive: true, mode: 0o700 });
  return join(private_, 'store.sock');
}

function uriOf(socket: string): string {
  return `mongodb://${encodeURIComponent(socket)}/koagent?directConnection=true`;
}

/** The address under which the owner of a folder serves it, for other processes; undefined when there is none. */
export function findStoreUri(folder: string): string | undefined {
  const owner = readOwner(resolve(folder));
  return owner && uriOf(owner.socket);
}

function readOwner(folder: string): { pid: number; socket: string } | undefined {
  try {
    const owner: unknown = JSON.parse(readFileSync(join(folder, 'owner.json'), 'utf8'));
    if (typeof owner !== 'object' || owner === null || !('pid' in owner) || !('socket' in owner)) return undefined;
    return typeof owner.pid === 'number' && typeof owner.socket === 'string'
      ? { pid: owner.pid, socket: owner.socket }
      : undefined;
  } catch (error) {
    if (error instanceof SyntaxError || (error instanceof Error && 'code' in error && error.code === 'ENOENT'))
      return undefined;
    throw error;
  }
}

/**
 * Starts the embedded store in a worker thread of this process; it owns the folder (lock) until closed.
 *
 * @throws {AppError} `STORE_LOCKED` when another process or another store of this process owns the folder,
 *   `STORE_NOT_OPENED` when it cannot be opened
 */
export async function openStore(options: StoreOptions): Promise<EmbeddedStore> {
  const folder = resolve(options.folder);
  const socket = socketPath(folder);
  const cells = new SharedArrayBuffer(8);
  const watch = new Int32Array(cells);
  const patterns = new Map<number, string>();
  const refusedPatterns: string[] = [];
  const waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  let lastId = 0;
  let restarts = 0;
  let closed = false;
  let worker: Worker;

  const start = async (): Promise<Worker> => {
    const settings: WorkerSettings = {
      folder,
      socket,
      cacheMiB: options.cacheMiB ?? 64,
      memoryMiB: options.memoryMiB ?? 256,
      maxCursors: options.maxCursors ?? 10_000,
      cursorTimeoutMs: options.cursorTimeoutMs ?? 600_000,
      ttlIntervalMs: options.ttlIntervalMs ?? 60_000,
      closeGraceMs: options.closeGraceMs ?? 5000,
      cells,
      refusedPatterns,
    };
    const next = new Worker(new URL('./worker.ts', import.meta.url), { workerData: settings, name: 'koagent-store' });
    const started = new Promise<void>((done, fail) => {
      next.on('message', (message: WorkerMessage) => {
        if (message.type === 'ready') done();
        else if (message.type === 'failed') fail(openError(folder, message.locked, message.message));
        else if (message.type === 'pattern') remember(patterns, message.id, message.pattern);
        else settle(message);
      });
      next.once('error', fail);
      next.once('exit', (code) => fail(openError(folder, false, `the worker ended with code ${code}`)));
    });
    try {
      await started;
    } catch (error) {
      await next.terminate();
      throw error;
    }
    return next;
  };

  const settle = (message: WorkerMessage & { type: 'answer' }): void => {
    const call = waiting.get(message.id);
    waiting.delete(message.id);
    if (message.error === undefined) call?.resolve(message.value);
    else
      call?.reject(
        new AppError('internal', 'STORE_FAILED', {
          zh: `内嵌存储出错：${message.error}`,
          en: `The embedded store failed: ${message.error}`,
        }),
      );
  };

  const call = (request: Omit<WorkerRequest, 'id'> & { file?: string }): Promise<unknown> => {
    const id = ++lastId;
    return new Promise((done, fail) => {
      waiting.set(id, { resolve: done, reject: fail });
      worker.postMessage({ ...request, id });
    });
  };

  worker = await start();
  let restarting: Promise<void> = Promise.resolve();

  // The watch over regular expressions (regex.ts): the same match still running after the limit means restart.
  const limitMs = options.regexLimitMs ?? 2000;
  let [seenId, seenCount, since] = [0, 0, 0];
  const timer = setInterval(() => {
    const [id, count] = [Atomics.load(watch, 0), Atomics.load(watch, 1)];
    if (id === 0 || id !== seenId || count !== seenCount) [seenId, seenCount, since] = [id, count, performance.now()];
    else if (performance.now() - since > limitMs) {
      since = Number.POSITIVE_INFINITY;
      restarting = restart(id);
    }
  }, limitMs / 4);
  timer.unref();

  const restart = async (id: number): Promise<void> => {
    const pattern = patterns.get(id);
    if (pattern !== undefined) refusedPatterns.push(pattern);
    if (refusedPatterns.length > 1000) refusedPatterns.shift();
    patterns.clear();
    restarts++;
    await worker.terminate();
    Atomics.store(watch, 0, 0);
    if (!closed) worker = await start();
  };

  return {
    uri: uriOf(socket),
    async close() {
      if (closed) return;
      closed = true;
      clearInterval(timer);
      await restarting;
      await call({ type: 'close' });
      await worker.terminate();
    },
    async stats() {
      await restarting;
      return { ...((await call({ type: 'stats' })) as Omit<StoreStats, 'restarts'>), restarts };
    },
    async backup(file) {
      await restarting;
      await call({ type: 'backup', file: resolve(file) });
    },
  };
}

function remember(patterns: Map<number, string>, id: number, pattern: string): void {
  patterns.set(id, pattern);
  if (patterns.size > 10_000) for (const old of [...patterns.keys()].slice(0, 5000)) patterns.delete(old);
}

function openError(folder: string, locked: boolean, reason: string): AppError {
  if (!locked)
    return new AppError('unavailable', 'STORE_NOT_OPENED', {
      zh: `无法打开数据目录 ${folder}：${reason}`,
      en: `The data folder ${folder} cannot be opened: ${reason}`,
    });
  const owner = readOwner(folder);
  const by = owner ? ` (pid ${owner.pid})` : '';
  return new AppError(
    'conflict',
    'STORE_LOCKED',
    {
      zh: `数据目录 ${folder} 正被另一个进程使用${by}。请先停止该进程，或连接到它。`,
      en: `The data folder ${folder} is in use by another process${by}. Stop it first, or connect to it.`,
    },
    { details: { folder, ...(owner && { pid: owner.pid, uri: uriOf(owner.socket) }) } },
  );
}
