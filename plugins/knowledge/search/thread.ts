import { setTimeout } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { AppError } from '../../../core/errors.ts';
import type { IndexReader } from './reader.ts';
import type { IndexReply } from './worker.ts';
import type { IndexWriter } from './writer.ts';

const CLOSE_MS = 3000;

type Remote<T> = {
  [Name in keyof T]: T[Name] extends (...args: infer A) => infer R ? (...args: A) => Promise<R> : never;
};

export const unavailable = (cause?: unknown) =>
  new AppError(
    'unavailable',
    'KNOWLEDGE_INDEX_UNAVAILABLE',
    { zh: '知识检索暂时不可用', en: 'The knowledge index is not available' },
    { cause, retryAfter: 1 },
  );

/** A thread of the index as an object with asynchronous methods. It starts with the first call, and anew after its death. */
export interface IndexThread<T> {
  readonly call: Remote<T>;
  close(): Promise<void>;
}

/** Named one by one, because threads know each other by messages only; the compiler sees to it that none is missing. */
const READER: Record<keyof IndexReader, true> = { search: true, forget: true, close: true };
const WRITER: Record<keyof IndexWriter, true> = {
  sequence: true,
  stage: true,
  put: true,
  remove: true,
  tidy: true,
  startRebuild: true,
  finishRebuild: true,
  reset: true,
  close: true,
};

export const startReader = (): IndexThread<IndexReader> => startThread('reader', READER);
export const startWriter = (): IndexThread<IndexWriter> => startThread('writer', WRITER);

function startThread<T>(role: 'reader' | 'writer', methods: Record<keyof T, true>): IndexThread<T> {
  type Waiting = { resolve: (value: unknown) => void; reject: (error: unknown) => void };
  let worker: Worker | undefined;
  let waiting = new Map<number, Waiting>();
  let next = 1;
  let closed = false;

  const started = (): Worker => {
    if (worker) return worker;
    const mine = new Map<number, Waiting>();
    const made = new Worker(new URL('./worker.ts', import.meta.url), { workerData: { role }, env: {} });
    const end = (cause?: unknown) => {
      if (worker === made) worker = undefined;
      for (const { reject } of mine.values()) reject(unavailable(cause));
      mine.clear();
    };
    made.on('message', (reply: IndexReply) => {
      const call = mine.get(reply.id);
      mine.delete(reply.id);
      if (mine.size === 0) made.unref();
      if ('error' in reply) {
        const { message, stack, errcode } = reply.error;
        call?.reject(Object.assign(new Error(message), { stack, errcode }));
      } else call?.resolve(reply.result);
    });
    made.on('error', end);
    made.on('exit', () => end());
    waiting = mine;
    worker = made;
    return made;
  };

  const call = (method: string, args: unknown[]) =>
    new Promise((resolve, reject) => {
      if (closed) return reject(unavailable());
      const thread = started();
      const id = next++;
      waiting.set(id, { resolve, reject });
      thread.ref();
      thread.postMessage({ id, method, args });
    });

  return {
    call: Object.fromEntries(
      Object.keys(methods).map((name) => [name, (...args: unknown[]) => call(name, args)]),
    ) as Remote<T>,
    async close() {
      // What takes longer than this is cut off; its transaction counts as not made.
      if (worker)
        await Promise.race([call('close', []).catch(() => undefined), setTimeout(CLOSE_MS, null, { ref: false })]);
      closed = true;
      await worker?.terminate();
    },
  };
}
