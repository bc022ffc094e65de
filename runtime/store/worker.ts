import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import { copyDatabase } from './copy.ts';
import { Database } from './database.ts';
import { Engine } from './engine.ts';
import { sqliteCode } from './errors.ts';
import { watchRegex } from './regex.ts';
import { StoreServer } from './server.ts';
import { startExpiry } from './ttl.ts';

/** What the starting thread gives to the worker. */
export interface WorkerSettings {
  folder: string;
  socket: string;
  cacheMiB: number;
  maxFileMiB: number | undefined;
  memoryMiB: number;
  maxCursors: number;
  cursorTimeoutMs: number;
  ttlIntervalMs: number;
  closeGraceMs: number;
  cells: SharedArrayBuffer;
  refusedPatterns: string[];
}

export type WorkerRequest =
  | { id: number; type: 'close' }
  | { id: number; type: 'stats' }
  | { id: number; type: 'backup'; file: string };
export type WorkerMessage =
  | { type: 'ready' }
  | { type: 'failed'; locked: boolean; message: string }
  | { type: 'pattern'; id: number; pattern: string }
  | { type: 'answer'; id: number; value?: unknown; error?: string };

const port = parentPort;
if (!port) throw new Error('The store runs in a worker thread; use openStore of index.ts.');
const settings = workerData as WorkerSettings;
const post = (message: WorkerMessage): void => port.postMessage(message);

async function start(): Promise<void> {
  mkdirSync(settings.folder, { recursive: true, mode: 0o700 });
  const database = new Database(join(settings.folder, 'store.db'), settings);
  watchRegex(new Int32Array(settings.cells), settings.refusedPatterns, (id, pattern) =>
    post({ type: 'pattern', id, pattern }),
  );
  const engine = new Engine(database, {
    memoryBytes: settings.memoryMiB * 1024 * 1024,
    maxCursors: settings.maxCursors,
    cursorTimeoutMs: settings.cursorTimeoutMs,
  });
  const server = new StoreServer(engine);
  await server.listen(settings.socket);
  writeFileSync(join(settings.folder, 'owner.json'), JSON.stringify({ pid: process.pid, socket: settings.socket }), {
    mode: 0o600,
  });
  const expiry = startExpiry(engine, settings.ttlIntervalMs);
  const sweeper = setInterval(() => void engine.sweepCursors(), Math.min(settings.cursorTimeoutMs, 30_000));

  const answers = {
    async close() {
      clearInterval(sweeper);
      await expiry.stop();
      await server.close(settings.closeGraceMs);
      database.sqlite.close();
      rmSync(join(settings.folder, 'owner.json'), { force: true });
    },
    async stats() {
      const [pages, size] = ['page_count', 'page_size'].map((name) =>
        Number(database.sqlite.prepare(`PRAGMA ${name}`).get()?.[name]),
      );
      return {
        collections: database.collections.size,
        connections: server.connections,
        cursors: engine.cursors.size,
        queryMemoryBytes: engine.memory.used,
        fileBytes: (pages ?? 0) * (size ?? 0),
        ...engine.counters,
      };
    },
    async backup(file: string) {
      await copyDatabase(database.sqlite, file);
    },
  };

  port?.on('message', (request: WorkerRequest) => {
    const work = request.type === 'backup' ? answers.backup(request.file) : answers[request.type]();
    work.then(
      (value) => {
        post({ type: 'answer', id: request.id, value });
      },
      (error: unknown) =>
        post({ type: 'answer', id: request.id, error: error instanceof Error ? error.message : String(error) }),
    );
  });
  post({ type: 'ready' });
}

start().catch((error: unknown) => {
  post({
    type: 'failed',
    locked: sqliteCode(error) === 5,
    message: error instanceof Error ? error.message : String(error),
  });
});
