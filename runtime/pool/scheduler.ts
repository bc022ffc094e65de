import { cutOff, nodeCancelled, poolClosed, queueFull } from './errors.ts';

/** A place where tasks run: a thread, or a process. */
export interface Slot {
  readonly capacity: number;
  running: number;
  /** Runs one suspect and nothing else. */
  exclusive: boolean;
  /** Does not react at the moment: gets no work until it does again. */
  stalled: boolean;
}

export interface Request {
  type: string;
  idempotencyKey: string;
  attempt: number;
}

interface Waiting<S> {
  request: Request;
  start(slot: S): void;
  fail(error: Error): void;
}

/** Suspects that are remembered; the oldest are forgotten first. */
const MAX_SUSPECTS = 1000;

/**
 * Gives tasks to slots: a bounded queue, least busy slot first. Tasks that ran in a slot when it died for an unknown
 * reason are suspects: their next attempt runs alone in a slot, so that a guilty one takes nobody else down again.
 */
export class Scheduler<S extends Slot> {
  readonly #lane: string;
  readonly #slots: readonly S[];
  readonly #maxQueue: number;
  readonly #queue = new Set<Waiting<S>>();
  readonly #suspectQueue = new Set<Waiting<S>>();
  readonly #suspects = new Set<string>();
  #closed = false;

  /** @param slots the lane's own list; it may change, `pump` looks again */
  constructor(lane: string, slots: readonly S[], maxQueue: number) {
    this.#lane = lane;
    this.#slots = slots;
    this.#maxQueue = maxQueue;
  }

  get queued(): number {
    return this.#queue.size + this.#suspectQueue.size;
  }

  /**
   * Resolves with a slot in which the task counts as running until `release`.
   *
   * @throws {AppError} POOL_QUEUE_FULL, POOL_CLOSED, NODE_CANCELLED, NODE_CUT_OFF (closed while waiting)
   */
  acquire(request: Request, signal?: AbortSignal): Promise<S> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(poolClosed());
      if (signal?.aborted) return reject(nodeCancelled(request.type));
      const onAbort = () => waiting.fail(nodeCancelled(request.type));
      const suspect = this.#suspects.has(request.idempotencyKey);
      const queue = suspect ? this.#suspectQueue : this.#queue;
      const leave = () => {
        queue.delete(waiting);
        signal?.removeEventListener('abort', onAbort);
      };
      const waiting: Waiting<S> = {
        request,
        start: (slot) => {
          leave();
          slot.running += 1;
          slot.exclusive = suspect;
          resolve(slot);
        },
        fail: (error) => {
          leave();
          reject(error);
          this.pump();
        },
      };
      queue.add(waiting);
      this.pump();
      if (!queue.has(waiting)) return;
      if (this.queued > this.#maxQueue) return waiting.fail(queueFull(this.#lane, this.#maxQueue));
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  release(slot: S): void {
    slot.running -= 1;
    slot.exclusive = false;
    this.pump();
  }

  suspect(idempotencyKeys: Iterable<string>): void {
    for (const key of idempotencyKeys) {
      this.#suspects.delete(key);
      this.#suspects.add(key);
    }
    for (const oldest of this.#suspects) {
      if (this.#suspects.size <= MAX_SUSPECTS) break;
      this.#suspects.delete(oldest);
    }
  }

  clear(idempotencyKey: string): void {
    this.#suspects.delete(idempotencyKey);
  }

  /** Starts what can be started; call it whenever a slot changed. */
  pump(): void {
    let reserved: S | undefined;
    for (const waiting of this.#suspectQueue) {
      const idle = this.#slots.find((slot) => slot.running === 0);
      if (idle === undefined) {
        // The least busy slot gets nothing new, so that it becomes idle for the suspect.
        reserved = this.#leastBusy((slot) => !slot.exclusive);
        break;
      }
      waiting.start(idle);
    }
    for (const waiting of this.#queue) {
      const slot = this.#leastBusy(
        (one) => one !== reserved && !one.exclusive && !one.stalled && one.running < one.capacity,
      );
      if (slot === undefined) break;
      waiting.start(slot);
    }
  }

  #leastBusy(usable: (slot: S) => boolean): S | undefined {
    let best: S | undefined;
    for (const slot of this.#slots) {
      if (usable(slot) && (best === undefined || slot.running < best.running)) best = slot;
    }
    return best;
  }

  /** Refuses new tasks and fails those that wait. */
  close(): void {
    this.#closed = true;
    this.fail((request) => cutOff({ reason: 'closing', attempt: request.attempt, alone: false }));
  }

  /** Fails those that wait. */
  fail(error: (request: Request) => Error): void {
    for (const waiting of [...this.#suspectQueue, ...this.#queue]) waiting.fail(error(waiting.request));
  }
}
