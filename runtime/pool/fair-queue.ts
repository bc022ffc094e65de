/** First come, first served for each owner, and the owners in turns: many tasks of one do not keep the only one of another waiting. */
export class FairQueue<T> implements Iterable<T> {
  /** The owner whose turn it is comes first. */
  readonly #byOwner = new Map<string, Set<T>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(owner: string, item: T): void {
    const items = this.#byOwner.get(owner);
    if (items) items.add(item);
    else this.#byOwner.set(owner, new Set([item]));
    this.#size += 1;
  }

  has(owner: string, item: T): boolean {
    return this.#byOwner.get(owner)?.has(item) === true;
  }

  /** Whose turn it is. */
  first(): T | undefined {
    for (const items of this.#byOwner.values()) for (const item of items) return item;
    return undefined;
  }

  /** @param served it had its turn: the others of its owner come after those of all others */
  delete(owner: string, item: T, { served = false } = {}): void {
    const items = this.#byOwner.get(owner);
    if (!items?.delete(item)) return;
    this.#size -= 1;
    if (items.size === 0 || served) this.#byOwner.delete(owner);
    if (items.size > 0 && served) this.#byOwner.set(owner, items);
  }

  *[Symbol.iterator](): Iterator<T> {
    for (const items of this.#byOwner.values()) yield* items;
  }
}
