import { DataSourceError } from '../errors.ts';
import type { QueryResult } from '../public.ts';

/** Collects rows up to the limits. */
export class Rows {
  readonly #limits: { rows: number; bytes: number };
  readonly #data: Record<string, unknown>[] = [];
  #names: string[] = [];
  #bytes = 2;
  #truncated = false;

  constructor(limits: { rows: number; bytes: number }) {
    this.#limits = limits;
  }

  /** Names of the columns; a name that comes again is numbered (`id`, `id_2`), so that no value is lost. */
  columns(names: readonly string[]): void {
    const taken = new Set<string>();
    this.#names = names.map((name) => {
      let unique = name;
      for (let count = 2; taken.has(unique); count += 1) unique = `${name}_${count}`;
      taken.add(unique);
      return unique;
    });
  }

  /**
   * @returns false when there are enough: the rest need not be read
   * @throws {DataSourceError} too_large
   */
  add(values: readonly unknown[]): boolean {
    if (this.#data.length === this.#limits.rows) {
      this.#truncated = true;
      return false;
    }
    const row = Object.fromEntries(this.#names.map((name, at) => [name, values[at] ?? null]));
    this.#bytes += Buffer.byteLength(JSON.stringify(row)) + 1;
    if (this.#bytes > this.#limits.bytes) throw resultTooLarge(this.#limits.bytes);
    this.#data.push(row);
    return true;
  }

  result(): QueryResult {
    return { data: this.#data, count: this.#data.length, truncated: this.#truncated };
  }
}

export const resultTooLarge = (bytes: number): DataSourceError => {
  const size = `${Math.round((bytes / 1024 / 1024) * 10) / 10} MiB`;
  return new DataSourceError('too_large', {
    zh: `查询结果超过 ${size}，请减少列或行`,
    en: `The result exceeds ${size}; ask for fewer columns or rows`,
  });
};
