import { CommandError } from './errors.ts';

/** Bytes that queries hold at the same time, for all clients together. */
export class Memory {
  readonly limit: number;
  used = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  /** @throws {CommandError} 146 when the limit is reached */
  take(bytes: number, what: string): void {
    if (this.used + bytes > this.limit) {
      throw new CommandError(
        146,
        `Exceeded memory limit for ${what}: all queries together may hold ${this.limit} bytes in memory.`,
      );
    }
    this.used += bytes;
  }

  give(bytes: number): void {
    this.used -= bytes;
  }
}

const sliceMs = 5;
const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** One running command or cursor: it yields to other clients, keeps its time limit and counts the memory it holds. */
export class Operation {
  readonly memory: Memory;
  #deadline: number;
  #sliceEnd = performance.now() + sliceMs;
  #held = 0;
  #killed = false;
  /** How many documents the client still wants now; sources read no further ahead. */
  wanted = Number.POSITIVE_INFINITY;

  constructor(memory: Memory, maxTimeMs?: number) {
    this.memory = memory;
    this.#deadline = maxTimeMs ? performance.now() + maxTimeMs : Number.POSITIVE_INFINITY;
  }

  /** A new request of the client (`getMore`) begins. */
  resume(): void {
    this.#sliceEnd = performance.now() + sliceMs;
  }

  kill(): void {
    this.#killed = true;
  }

  /** True when other clients should get their turn: `if (operation.due) await operation.pause()`. */
  get due(): boolean {
    return performance.now() >= this.#sliceEnd;
  }

  async pause(): Promise<void> {
    if (performance.now() > this.#deadline) throw new CommandError(50, 'operation exceeded time limit');
    if (this.#killed) throw new CommandError(237, 'the cursor or the connection was closed');
    await nextTurn();
    this.#sliceEnd = performance.now() + sliceMs;
  }

  hold(bytes: number, what: string): void {
    this.memory.take(bytes, what);
    this.#held += bytes;
  }

  release(bytes = this.#held): void {
    this.memory.give(bytes);
    this.#held -= bytes;
  }
}
