import type { MessagePort } from 'node:worker_threads';

/** The baseline: what Piscina does without us. */
export default (value: unknown): unknown => value;

/** The baseline with a port per task, as a task needs that is to be cancelled or to emit. */
export function withPort({ value, port }: { value: unknown; port: MessagePort }): void {
  port.postMessage(value);
}
