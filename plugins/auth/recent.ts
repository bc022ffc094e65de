/** Keeps what was read from the store for a short time, so that a request does not ask again for the same caller. */
export interface Recent<V> {
  get(key: string): Promise<V>;
  /** What is read from now on is fresh; in this process a change is seen at once, in others after the time to live. */
  forget(key: string): void;
}

export interface RecentOptions<V> {
  ttlMs: number;
  /** Entries kept at most; the oldest go first. */
  size: number;
  load(key: string): Promise<V>;
  now?: () => number;
}

export function createRecent<V>({ ttlMs, size, load, now = Date.now }: RecentOptions<V>): Recent<V> {
  const entries = new Map<string, { value: Promise<V>; until: number }>();
  return {
    get(key) {
      const known = entries.get(key);
      if (known && known.until > now()) return known.value;
      // The promise is kept, not the value: readers at the same time share one read, and one that `forget` overtook is not kept.
      const entry = { value: load(key), until: now() + ttlMs };
      entries.delete(key);
      entries.set(key, entry);
      entry.value.catch(() => {
        if (entries.get(key) === entry) entries.delete(key);
      });
      if (entries.size > size) {
        const [oldest] = entries.keys();
        if (oldest !== undefined) entries.delete(oldest);
      }
      return entry.value;
    },
    forget: (key) => {
      entries.delete(key);
    },
  };
}
