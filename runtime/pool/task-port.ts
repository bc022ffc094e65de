import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { fromWireError, serviceCallInvalid, toWireError } from './errors.ts';
import { buffersOf, type Packed } from './pack.ts';
import type { LaneHooks, Outcome, ServiceCall, ToHost, ToNode } from './protocol.ts';

export interface TaskPort {
  /** Settles with the node's outcome, after every hook before it; never when the worker dies. */
  readonly ended: Promise<Packed>;
  send(message: ToNode): void;
  /** Takes what a dead worker still managed to send; true when the end was among it. */
  drain(): boolean;
  close(): void;
}

/** What was taken is acknowledged in portions of so many characters; a fraction of what may be under way. */
const ACK_CHARS = 128 * 1024;

/** The host's side of one task's port. A hook that fails ends the task with its error. */
export function openTaskPort(port: MessagePort, hooks: LaneHooks): TaskPort {
  const ended = Promise.withResolvers<Packed>();
  let sawEnd = false;
  /** Batches one after another: set while a hook is at work. */
  let working: Promise<void> | undefined;
  /** Taken and not acknowledged yet. */
  let taken = 0;
  /** The node waits for every acknowledgement. */
  let full = false;

  const acknowledge = (text = '') => {
    taken += text.length;
    // A message for every batch would wake the thread up once more for each.
    if (taken === 0 || (taken < ACK_CHARS && !full)) return;
    port.postMessage({ t: 'ack', size: taken } satisfies ToNode);
    taken = 0;
    if (working === undefined) full = false;
  };
  const batch = (text: string): void => {
    // Hooks that are not asynchronous cost no promise.
    const work = working === undefined ? hooks.batch(text) : working.then(() => hooks.batch(text));
    if (!(work instanceof Promise)) {
      acknowledge(text);
      return;
    }
    const mine = work.then(() => {
      if (working === mine) working = undefined;
      acknowledge(text);
    });
    working = mine;
    mine.catch(ended.reject);
  };
  const call = async (id: number, what: ServiceCall): Promise<void> => {
    let result: Outcome;
    try {
      await working;
      result = { ok: true, value: await hooks.call(what) };
    } catch (error) {
      result = { ok: false, error: toWireError(error) };
    }
    try {
      port.postMessage({ t: 'reply', id, result } satisfies ToNode, result.ok ? buffersOf(result.value) : []);
    } catch (error) {
      const invalid = toWireError(serviceCallInvalid(what.service, what.method, error));
      port.postMessage({ t: 'reply', id, result: { ok: false, error: invalid } } satisfies ToNode);
    }
  };
  const end = async (result: Outcome): Promise<void> => {
    sawEnd = true;
    await working;
    if (result.ok) ended.resolve(result.value);
    else ended.reject(fromWireError(result.error));
  };
  const receive = (message: ToHost): void => {
    try {
      if (message.t === 'batch') batch(message.text);
      else if (message.t === 'full') {
        full = true;
        acknowledge();
      } else if (message.t === 'call') void call(message.id, message.call);
      else end(message.result).catch(ended.reject);
    } catch (error) {
      ended.reject(error);
    }
  };
  port.on('message', receive);

  return {
    ended: ended.promise,
    send: (message) => port.postMessage(message),
    drain: () => {
      for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port)) {
        receive(next.message as ToHost);
      }
      return sawEnd;
    },
    close: () => {
      port.off('message', receive);
      port.close();
    },
  };
}
