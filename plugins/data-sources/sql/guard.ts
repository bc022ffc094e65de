import { Worker } from 'node:worker_threads';
import { fromErrorRecord } from '../../../core/errors.ts';
import { MAX_SQL_CHARS, notAllowed, tooComplex } from './checked.ts';
import type { CheckReply, CheckRequest, Dialect } from './worker.ts';

/** Says whether a text is exactly one reading statement. */
export interface SqlGuard {
  /**
   * @returns what to send to the server
   * @throws {AppError} QUERY_NOT_ALLOWED
   */
  check(dialect: Dialect, sql: string): Promise<string>;
  close(): Promise<void>;
}

export interface SqlGuardOptions {
  /** Patterns of functions that are allowed beside the known ones, by dialect. */
  functions: Record<Dialect, string[]>;
  /** Longest time for one text. Default 2000. */
  timeoutMs?: number;
}

type Pending = { request: CheckRequest; resolve: (sql: string) => void; reject: (error: unknown) => void };

/** One worker thread, started with the first check, replaced when a text breaks it or keeps it busy. One text at a time. */
export function createSqlGuard({ functions, timeoutMs = 2000 }: SqlGuardOptions): SqlGuard {
  const waiting: Pending[] = [];
  let worker: Worker | undefined;
  let current: Pending | undefined;
  let timer: NodeJS.Timeout | undefined;
  let lastId = 0;
  let closed = false;

  const settle = (reply: CheckReply | undefined) => {
    clearTimeout(timer);
    const done = current;
    current = undefined;
    worker?.unref();
    if (reply?.sql !== undefined) done?.resolve(reply.sql);
    else done?.reject(reply?.error ? fromErrorRecord(reply.error) : tooComplex());
    next();
  };

  const replace = () => {
    const broken = worker;
    worker = undefined;
    broken?.removeAllListeners();
    broken?.on('error', () => undefined);
    void broken?.terminate();
    settle(undefined);
  };

  const start = (): Worker => {
    const started = new Worker(new URL('./worker.ts', import.meta.url), {
      workerData: { functions },
      resourceLimits: { maxOldGenerationSizeMb: 256 },
    });
    started.on('message', (reply: CheckReply) => {
      if (reply.id !== current?.request.id) return;
      if (reply.sql === undefined && reply.error === undefined) replace();
      else settle(reply);
    });
    started.on('error', replace);
    return started;
  };

  const next = () => {
    if (current !== undefined || closed) return;
    current = waiting.shift();
    if (current === undefined) return;
    const { request } = current;
    const fresh = worker === undefined;
    worker ??= start();
    // A fresh worker loads its parsers first, which the text is not to blame for.
    timer = setTimeout(replace, fresh ? timeoutMs + 10_000 : timeoutMs);
    worker.ref();
    worker.postMessage(request);
  };

  return {
    check(dialect, sql) {
      if (closed) return Promise.reject(new Error('the guard is closed'));
      if (sql.length > MAX_SQL_CHARS) {
        return Promise.reject(
          notAllowed(`SQL 超过 ${MAX_SQL_CHARS} 个字符`, `The SQL exceeds ${MAX_SQL_CHARS} characters`),
        );
      }
      return new Promise((resolve, reject) => {
        lastId += 1;
        waiting.push({ request: { id: lastId, dialect, sql }, resolve, reject });
        next();
      });
    },

    async close() {
      closed = true;
      clearTimeout(timer);
      const left = current ? [current, ...waiting] : [...waiting];
      for (const { reject } of left) reject(new Error('the guard is closed'));
      await worker?.terminate();
    },
  };
}
