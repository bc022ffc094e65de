import { AppError } from '../../core/errors.ts';
import type { Clock } from './clock.ts';

const RETRY_MS = [100, 500, 2000, 5000];

export const pause = (clock: Clock, ms: number): Promise<void> =>
  new Promise((resolve) => {
    clock.after(ms, resolve);
  });

/** Repeats a write while the database cannot be reached, for some seconds. */
export async function persist<T>(clock: Clock, write: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await write();
    } catch (error) {
      const again = error instanceof AppError && error.kind === 'unavailable' ? RETRY_MS[attempt] : undefined;
      if (again === undefined) throw error;
      await pause(clock, again);
    }
  }
}

/** Who waits for news of a key. */
export interface News {
  /** Resolves at the next news of the key, when the signal fires, or after `ms`. Resolves, never rejects. */
  of(
    key: string,
    options?: { signal?: AbortSignal | undefined; ms?: number | undefined },
  ): {
    arrived: Promise<void>;
    stop(): void;
  };
  tell(key: string): void;
  tellAll(): void;
}

export function createNews(clock: Clock): News {
  const waiting = new Map<string, Set<() => void>>();
  return {
    of(key, { signal, ms } = {}) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const waiters = waiting.get(key) ?? new Set();
      waiting.set(key, waiters);
      const stopTimer = ms === undefined ? undefined : clock.after(ms, () => done());
      const done = () => {
        waiters.delete(done);
        if (waiters.size === 0 && waiting.get(key) === waiters) waiting.delete(key);
        stopTimer?.();
        signal?.removeEventListener('abort', done);
        resolve();
      };
      waiters.add(done);
      signal?.addEventListener('abort', done);
      if (signal?.aborted) done();
      return { arrived: promise, stop: done };
    },
    tellAll() {
      for (const waiters of [...waiting.values()]) for (const done of [...waiters]) done();
    },
    tell(key) {
      for (const done of [...(waiting.get(key) ?? [])]) done();
    },
  };
}
