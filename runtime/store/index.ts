import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { AppError } from '../../core/errors.ts';
import { OpenFailure, Supervisor } from './supervisor.ts';

export interface StoreOptions {
  /** Folder of the data; made when it is missing. One process owns it at a time. */
  folder: string;
  /** Page cache of SQLite in MiB, default 64. */
  cacheMiB?: number;
  /** The file may grow to this size in MiB, then writes fail as on a full disk; default: no limit but the disk. */
  maxFileMiB?: number;
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
  return owner && isRunning(owner.pid) ? uriOf(owner.socket) : undefined;
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
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
 * Checks that a file is a whole and undamaged store, such as a backup.
 *
 * @throws {Error} saying what is wrong with it
 */
export function checkStoreFile(file: string): void {
  const database = new DatabaseSync(file, { readOnly: true });
  try {
    const check = database.prepare('PRAGMA quick_check').get();
    if (check?.quick_check !== 'ok') throw new Error(String(check?.quick_check));
    database.prepare('SELECT count(*) FROM collections, indexes').get();
  } finally {
    database.close();
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
  const supervisor = new Supervisor({
    folder,
    socket,
    cacheMiB: options.cacheMiB ?? 64,
    maxFileMiB: options.maxFileMiB,
    memoryMiB: options.memoryMiB ?? 256,
    maxCursors: options.maxCursors ?? 10_000,
    cursorTimeoutMs: options.cursorTimeoutMs ?? 600_000,
    ttlIntervalMs: options.ttlIntervalMs ?? 60_000,
    closeGraceMs: options.closeGraceMs ?? 5000,
    regexLimitMs: options.regexLimitMs ?? 2000,
  });
  try {
    await supervisor.start();
  } catch (error) {
    throw openError(folder, error);
  }
  return {
    uri: uriOf(socket),
    close: () => supervisor.close(),
    async stats() {
      const stats = (await supervisor.call({ type: 'stats' })) as Omit<StoreStats, 'restarts'>;
      return { ...stats, restarts: supervisor.restarts };
    },
    async backup(file) {
      await supervisor.call({ type: 'backup', file: resolve(file) });
    },
  };
}

function openError(folder: string, error: unknown): AppError {
  const reason = error instanceof Error ? error.message : String(error);
  if (!(error instanceof OpenFailure && error.locked)) {
    return new AppError('unavailable', 'STORE_NOT_OPENED', {
      zh: `无法打开数据目录 ${folder}：${reason}`,
      en: `The data folder ${folder} cannot be opened: ${reason}`,
    });
  }
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
