/** Entry of the threads of the search index: one writes, one searches. One message is one call; calls are served in order. */
import { parentPort, workerData } from 'node:worker_threads';
import { IndexReader } from './reader.ts';
import { IndexWriter } from './writer.ts';

export interface IndexCall {
  id: number;
  method: string;
  args: unknown[];
}

export type IndexReply =
  | { id: number; result: unknown }
  | { id: number; error: { message: string; stack?: string | undefined; errcode?: number | undefined } };

const served = (workerData as { role: 'reader' | 'writer' }).role === 'reader' ? new IndexReader() : new IndexWriter();

parentPort?.on('message', ({ id, method, args }: IndexCall) => {
  let reply: IndexReply;
  try {
    const call = Reflect.get(served, method) as (...args: unknown[]) => unknown;
    reply = { id, result: call.apply(served, args) };
  } catch (error) {
    const { message, stack, errcode } = error as Error & { errcode?: number };
    reply = { id, error: { message, stack, errcode } };
  }
  parentPort?.postMessage(reply);
});
