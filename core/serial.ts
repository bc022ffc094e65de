/**
 * Runs work of the same key one after another within this process. Correctness never rests on it (several processes share the
 * store): it makes limits exact and spares repeated events where one process is enough.
 */
export function createSerial() {
  const tails = new Map<string, Promise<unknown>>();
  return async function serial<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = tails.get(key) ?? Promise.resolve();
    const result = before.then(work, work);
    tails.set(key, result);
    try {
      return await result;
    } finally {
      if (tails.get(key) === result) tails.delete(key);
    }
  };
}

export type Serial = ReturnType<typeof createSerial>;
