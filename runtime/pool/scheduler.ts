import { cutOff, nodeCancelled, poolClosed, queueFull } from './errors.ts';
import { FairQueue } from './fair-queue.ts';

/** A place where tasks run: a thread, or a process. */
export interface Slot {
  readonly capacity: number;
  running: number;
  /** Runs suspects and nothing else. */
  exclusive: boolean;
  /** Does not react at the moment: gets no work until it does again. */
  stalled: boolean;
}

export interface Request {
  type: string;
  tenantId: string;
  idempotencyKey: string;
  attempt: number;
}

interface Waiting<S> {
  request: Request;
  start(slot: S): void;
  fail(error: Error): void;
  /** Of a suspect: how many others it may run with. */
  group: number;
}

/** Suspects that are remembered; the oldest are forgotten first. */
const MAX_SUSPECTS = 2000;
/** So few suspects run alone at once. */
const FEW = 16;

/**
 * Gives tasks to slots: a bounded queue, the tenants in turns, least busy slot first. Tasks that ran in a slot when it died for an unknown
 * reason are suspects: their next attempt runs alone in a slot, so that a guilty one takes nobody else down again. Hundreds of
 * streams of one thread would wait for each other for very long that way: many suspects run in small groups first, and alone
 * when their group has died as well.
 */
export class Scheduler<S extends Slot> {
  readonly #lane: string;
  readonly #slots: readonly S[];
  readonly #maxQueue: number;
  readonly #queue = new FairQueue<Waiting<S>>();
  readonly #suspectQueue = new FairQueue<Waiting<S>>();
  /** By idempotency key, how many of them may run together. */
  readonly #suspects = new Map<string, number>();
  /** The largest group of each slot that runs suspects. */
  readonly #groups = new WeakMap<S, number>();
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
      const group = this.#suspects.get(request.idempotencyKey);
      const queue = group === undefined ? this.#queue : this.#suspectQueue;
      const { tenantId } = request;
      const leave = (served: boolean) => {
        queue.delete(tenantId, waiting, { served });
        signal?.removeEventListener('abort', onAbort);
      };
      const waiting: Waiting<S> = {
        request,
        group: group ?? 0,
        start: (slot) => {
          leave(true);
          slot.running += 1;
          if (group !== undefined) {
            slot.exclusive = true;
            this.#groups.set(slot, group);
          }
          resolve(slot);
        },
        fail: (error) => {
          leave(false);
          reject(error);
          this.pump();
        },
      };
      queue.add(tenantId, waiting);
      this.pump();
      if (!queue.has(tenantId, waiting)) return;
      if (this.queued > this.#maxQueue) return waiting.fail(queueFull(this.#lane, this.#maxQueue));
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  release(slot: S): void {
    slot.running -= 1;
    if (slot.running === 0) slot.exclusive = false;
    this.pump();
  }

  /** @param idempotencyKeys of tasks that ran together */
  suspect(idempotencyKeys: readonly string[]): void {
    const count = idempotencyKeys.length;
    const group = count <= FEW ? 1 : Math.ceil(Math.sqrt(count));
    for (const key of idempotencyKeys) {
      this.#suspects.delete(key);
      this.#suspects.set(key, group);
    }
    for (const oldest of this.#suspects.keys()) {
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
    for (let waiting = this.#suspectQueue.first(); waiting; waiting = this.#suspectQueue.first()) {
      const { group } = waiting;
      const place = this.#slots.find((slot) => this.#takesSuspect(slot, group));
      if (place === undefined) {
        // The least busy slot gets nothing new, so that it becomes idle for the suspect.
        reserved = this.#leastBusy((slot) => !slot.exclusive);
        break;
      }
      waiting.start(place);
    }
    for (let waiting = this.#queue.first(); waiting; waiting = this.#queue.first()) {
      const slot = this.#leastBusy(
        (one) => one !== reserved && !one.exclusive && !one.stalled && one.running < one.capacity,
      );
      if (slot === undefined) break;
      waiting.start(slot);
    }
  }

  #takesSuspect(slot: S, group: number): boolean {
    if (slot.running === 0) return true;
    return (
      slot.exclusive && !slot.stalled && slot.running < Math.min(group, this.#groups.get(slot) ?? 0, slot.capacity)
    );
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
