import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { eventInvalid, eventsStalled } from './errors.ts';
import type { Entry, ToHost, ToNode } from './protocol.ts';

/** Least time between two batches; after a pause one goes out as soon as the node lets go of the thread. */
const FLUSH_MS = 25;
const FLUSH_ENTRIES = 16;
/** Characters that may be under way to the host; a node that emits faster is slowed down. */
const WINDOW_CHARS = 1024 * 1024;
/** A node that asks is told to wait from here on, long before it would be held up. */
const BUSY_CHARS = WINDOW_CHARS / 8;
const MAX_ENTRY_CHARS = 16 * 1024 * 1024;
const STALL_MS = 5000;

/**
 * Events, progress and logs of one task on their way to the host, in batches. `emit` of a node cannot wait, so a node that is
 * faster than its host is held up inside `push`: the thread sleeps until the host has taken something.
 */
export class Outbox {
  readonly #port: MessagePort;
  readonly #receive: (message: ToNode) => void;
  readonly #signal: AbortSignal;
  readonly #stallMs: number;
  #entries: string[] = [];
  #chars = 0;
  #underWay = 0;
  #progress: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #soon: NodeJS.Immediate | undefined;
  #flushedAt = Number.NEGATIVE_INFINITY;
  #roomy: PromiseWithResolvers<void> | undefined;

  /**
   * @param receive handles what arrives on the port while the thread sleeps
   * @param stallMs how long the host may take nothing before the node is failed
   */
  constructor(port: MessagePort, receive: (message: ToNode) => void, signal: AbortSignal, stallMs = STALL_MS) {
    this.#port = port;
    this.#receive = receive;
    this.#signal = signal;
    this.#stallMs = stallMs;
  }

  /**
   * @throws {AppError} NODE_EVENT_INVALID (not JSON, or larger than 16 Mi characters), NODE_EVENTS_STALLED, or the reason of the cancel
   */
  push(entry: Entry): void {
    // Text at once, not at the flush: the node may change its object afterwards, and the size must be known.
    const text = toText(entry);
    if (this.#underWay > 0 && this.#underWay + this.#chars + text.length > WINDOW_CHARS) this.#waitForRoom(text.length);
    this.#entries.push(text);
    this.#chars += text.length;
    if (this.#entries.length >= FLUSH_ENTRIES || this.#chars > WINDOW_CHARS / 4) this.flush();
    else this.#schedule();
  }

  /** Only the latest progress of a batch is sent. */
  progress(fraction: number): void {
    if (!Number.isFinite(fraction)) return;
    this.#progress = Math.min(1, Math.max(0, fraction));
    this.#schedule();
  }

  acknowledged(size: number): void {
    this.#underWay -= size;
    if (this.#underWay > BUSY_CHARS) return;
    this.#roomy?.resolve();
    this.#roomy = undefined;
  }

  /** Nothing, or a promise for the time when the host has taken most of what is under way. Also resolves on cancel. */
  room(): Promise<void> | undefined {
    if (this.#underWay + this.#chars <= BUSY_CHARS || this.#signal.aborted) return undefined;
    this.flush();
    if (this.#roomy === undefined) {
      const roomy = Promise.withResolvers<void>();
      this.#roomy = roomy;
      this.#signal.addEventListener('abort', () => roomy.resolve(), { once: true });
    }
    return this.#roomy.promise;
  }

  flush(): void {
    clearTimeout(this.#timer);
    clearImmediate(this.#soon);
    this.#timer = undefined;
    this.#soon = undefined;
    if (this.#progress !== undefined) {
      this.#entries.push(JSON.stringify(['p', this.#progress] satisfies Entry));
      this.#progress = undefined;
    }
    if (this.#entries.length === 0) return;
    const text = `[${this.#entries.join(',')}]`;
    this.#entries = [];
    this.#chars = 0;
    this.#underWay += text.length;
    this.#flushedAt = performance.now();
    this.#port.postMessage({ t: 'batch', text } satisfies ToHost);
  }

  #schedule(): void {
    if (this.#timer !== undefined || this.#soon !== undefined) return;
    const due = this.#flushedAt + FLUSH_MS - performance.now();
    if (due > 0) this.#timer = setTimeout(() => this.flush(), due);
    else this.#soon = setImmediate(() => this.flush());
  }

  #waitForRoom(size: number): void {
    this.flush();
    this.#port.postMessage({ t: 'full' } satisfies ToHost);
    const nap = new Int32Array(new SharedArrayBuffer(4));
    let before = this.#underWay;
    let waitedMs = 0;
    while (this.#underWay > 0 && this.#underWay + size > WINDOW_CHARS) {
      // A loop that does nothing but emit learns of the cancel only here.
      this.#signal.throwIfAborted();
      const message = receiveMessageOnPort(this.#port);
      if (message !== undefined) {
        this.#receive(message.message as ToNode);
        if (this.#underWay < before) [before, waitedMs] = [this.#underWay, 0];
        continue;
      }
      if (waitedMs >= this.#stallMs) throw eventsStalled(waitedMs);
      Atomics.wait(nap, 0, 0, 1);
      waitedMs += 1;
    }
  }
}

function toText(entry: Entry): string {
  let text: string;
  try {
    text = JSON.stringify(entry);
  } catch (error) {
    throw eventInvalid(String(entry[1]), error instanceof Error ? error.message : String(error));
  }
  if (text.length > MAX_ENTRY_CHARS) throw eventInvalid(String(entry[1]), `more than ${MAX_ENTRY_CHARS} characters`);
  return text;
}
