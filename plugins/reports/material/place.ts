import { limits } from './limits.ts';

/** A place in the data: names from the outside in, and the unit that holds there. */
export interface Place {
  title: string;
  path: string;
  depth: number;
  unit: string;
}

/** What is left of the limits; shared by the whole package. */
export class Budget {
  parts: number = limits.parts;
  #cells: number;
  #chars: number;

  /** @param share of the limits that this package may use, 0-1: reports of many packages divide them */
  constructor(share = 1) {
    this.#cells = limits.cells * share;
    this.#chars = limits.chars * share;
  }

  get spent(): boolean {
    return this.#cells <= 0 || this.#chars <= 0 || this.parts <= 0;
  }

  /** Pays for rows in order. @returns how many of them are paid for */
  take(rows: string[][]): number {
    let taken = 0;
    for (const row of rows) {
      if (this.spent) break;
      this.#cells -= Math.max(limits.cellsOfRow, row.length);
      this.#chars -= row.reduce((sum, cell) => sum + cell.length, 0);
      taken += 1;
    }
    return taken;
  }
}

export const isPlainObject = (value: unknown): value is Record<string, unknown> =>
  value !== null && typeof value === 'object' && !Array.isArray(value) && !(value instanceof Date);

/** An entry that gives the unit of its neighbours. */
export const isUnitKey = (key: string): boolean => /^(?:单位|计量单位|货币单位|unit)$/i.test(key.trim());
