import { limits } from './limits.ts';
import { type GridPart, materialTexts, type Part, type Point, type ReadOptions, type Series } from './parts.ts';
import { readPeriod } from './periods.ts';
import type { Budget, Place } from './place.ts';
import { namesShares, readMeasures, withoutUnit } from './units.ts';
import {
  groupDigits,
  isNameLike,
  isScalar,
  padDecimals,
  printLabel,
  printNested,
  printValue,
  sharedDecimals,
} from './values.ts';

export const sum = (numbers: number[]): number => numbers.reduce((total, value) => total + value, 0);

/** Whether numbers are the parts of a whole: percentages or fractions that add up, or amounts under a name that says so. */
export function isWhole(numbers: number[], unit: string, title: string): boolean {
  if (numbers.some((value) => value < 0)) return false;
  const total = sum(numbers);
  if (Math.abs(total - 100) <= 1.5 && (unit === '%' || unit === '')) return true;
  const fractions = unit === '' && Math.abs(total - 1) <= 0.015 && numbers.some((value) => !Number.isInteger(value));
  return fractions || (unit !== '%' && total > 0 && numbers.length <= 12 && namesShares(title));
}

/** One measure as points in time order; nothing when its cells are no numbers of one unit. */
export function readSeries(
  name: string,
  path: string,
  labels: string[],
  cells: unknown[],
  label: string,
  place: Place,
  options: ReadOptions,
): Series[] {
  const measures = readMeasures(cells, label, place.unit);
  if (!measures) return [];
  const look = lookOf(cells, label);
  const points = labels.flatMap((text, index): Point[] => {
    const value = measures.numbers[index];
    const period = readPeriod(text);
    if (value === undefined || !period) return [];
    return [{ label: printLabel(text), period, value, text: printFigure(cells[index], name, look, options) }];
  });
  points.sort((a, b) => (a.period?.at ?? 0) - (b.period?.at ?? 0));
  return [{ name: printLabel(withoutUnit(name)), path, unit: measures.unit, points, context: contextOf(place, name) }];
}

/** Cuts a table to the limits and says so. */
export function cutGrid(
  part: GridPart,
  options: ReadOptions,
  budget: Budget,
  size?: { rows: number; columns: number },
): Part[] {
  const texts = materialTexts(options.language);
  const total = { rows: size?.rows ?? part.rows.length, columns: size?.columns ?? part.head.length };
  const columns = Math.min(limits.columns, part.head.length);
  const wanted = part.rows.slice(0, limits.rows).map((row) => row.slice(0, columns));
  const rows = wanted.slice(0, budget.take(wanted));
  const notes: Part[] = [];
  if (total.rows > rows.length) {
    const text = texts.moreRows(part.title, groupDigits(total.rows), groupDigits(total.rows - rows.length));
    notes.push({ kind: 'note', text });
  }
  if (total.columns > columns) {
    const text = texts.moreColumns(part.title, groupDigits(total.columns), groupDigits(total.columns - columns));
    notes.push({ kind: 'note', text });
  }
  return [{ ...part, head: part.head.slice(0, columns), rows }, ...notes];
}

/** The name of the object the measure stands in, unless that is the measure itself or the whole package. */
export function contextOf(place: Place, name: string): string {
  const last = printLabel(withoutUnit(place.path.split('.').at(-1) ?? ''));
  return place.path === '' || last === printLabel(withoutUnit(name)) ? '' : last;
}

export const printCell = (value: unknown, label: string, options: ReadOptions): string =>
  isScalar(value) ? printValue(value, label, options.language) : printNested(value, label, options.language);

/** How the numbers of one row or column are printed, so that they look alike. */
export interface Look {
  decimals: number;
  /** Years and codes: no thousands separators. */
  names: boolean;
}

export const lookOf = (values: unknown[], label: string): Look => ({
  decimals: sharedDecimals(values),
  names: isNameLike(values, label),
});

export function printFigure(value: unknown, label: string, look: Look | undefined, options: ReadOptions): string {
  if (typeof value !== 'number' || !look) return printCell(value, label, options);
  return look.names ? String(value) : padDecimals(value, look.decimals);
}

export const own = (values: Record<string, unknown>, key: string): unknown =>
  Object.hasOwn(values, key) ? values[key] : null;

export const join = (path: string, key: string): string => (path ? `${path}.${printLabel(key)}` : printLabel(key));
