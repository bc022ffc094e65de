import type { Socket } from 'socket.io';

/** Packets that may wait in a connection before the run's log is read on. */
const MAX_WAITING = 64;

/** What a connection has been given and not yet taken. */
export class Backlog {
  readonly #connection: Socket['conn'];
  readonly #stalledMs: number;
  #waiting = 0;

  /** @param stalledMs a client that takes nothing for so long is lost */
  constructor(connection: Socket['conn'], stalledMs: number) {
    this.#connection = connection;
    this.#stalledMs = stalledMs;
    connection.on('packetCreate', () => {
      this.#waiting++;
    });
    connection.on('flush', (packets: unknown[]) => {
      this.#waiting -= packets.length;
    });
  }

  /** Resolves with true once the client reads again, at once while it keeps up; with false when it is lost. */
  async drained(signal: AbortSignal): Promise<boolean> {
    if (this.#waiting <= MAX_WAITING) return true;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const onFlush = () => {
      if (this.#waiting <= MAX_WAITING) resolve(true);
    };
    const onAbort = () => resolve(true);
    const timer = setTimeout(() => resolve(false), this.#stalledMs);
    this.#connection.on('flush', onFlush);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#connection.off('flush', onFlush);
      signal.removeEventListener('abort', onAbort);
    }
  }
}
