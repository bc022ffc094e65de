import { cutGrid, isWhole, join, lookOf, printCell, printFigure, readSeries, sum } from './cells.ts';
import { periodGrid } from './grids.ts';
import { limits } from './limits.ts';
import { type GridPart, materialTexts, type Part, type ReadOptions, type Series } from './parts.ts';
import { readPeriod, readPeriods } from './periods.ts';
import { type Budget, isPlainObject, isUnitKey, type Place } from './place.ts';
import { namesShares, readMeasures, withoutUnit } from './units.ts';
import { entriesOf, isScalar, printLabel, readAmount } from './values.ts';

/** Objects under names: `{ 2022: { 收入, 利润 }, 2023: {…} }` or `{ 子公司甲: { 注册资本, 持股 }, … }`. */
export function memberGrid(
  entries: [string, unknown][],
  place: Place,
  options: ReadOptions,
  budget: Budget,
): Part[] | undefined {
  const members = entries.filter(([key]) => !isUnitKey(key));
  if (members.length < 2 || !members.every(([, value]) => isFlat(value))) return undefined;
  const rows = members as [string, Record<string, unknown>][];
  const columns = unionOfKeys(rows.map(([, value]) => value));
  const filled = rows.reduce((count, [, value]) => count + Object.keys(value).length, 0);
  if (columns.length === 0 || columns.length > limits.rows || filled < columns.length * rows.length * 0.5)
    return undefined;
  if (readPeriods(rows.map(([key]) => key)) && !readPeriods(columns)) {
    // Read the other way round: measures down, periods across, as financial tables are.
    const measures = columns.map((column): [string, Record<string, unknown>] => [
      column,
      Object.fromEntries(rows.flatMap(([key, value]) => (Object.hasOwn(value, column) ? [[key, value[column]]] : []))),
    ]);
    return periodGrid(measures, place, options, budget);
  }
  if (readPeriods(columns)) return periodGrid(rows, place, options, budget);
  const texts = materialTexts(options.language);
  return gridOfRecords(
    rows.map(([key, value]) => new Map([[texts.item, key], ...entriesOf(value)])),
    place,
    options,
    budget,
  );
}

const isFlat = (value: unknown): boolean =>
  isPlainObject(value) && Object.keys(value).length > 0 && entriesOf(value).every(([, item]) => isScalar(item));

/** A list of objects (or of lists, or a mixture): one row each. */
export function recordGrid(list: unknown[], place: Place, options: ReadOptions, budget: Budget): Part[] {
  const texts = materialTexts(options.language);
  const records = list.slice(0, limits.rows).map((item): Map<string, unknown> => {
    if (Array.isArray(item)) {
      return new Map(item.slice(0, limits.columns * 2).map((cell, index) => [texts.column(index + 1), cell]));
    }
    if (isPlainObject(item)) return new Map(entriesOf(item).slice(0, limits.entries));
    return new Map([[texts.value, item]]);
  });
  return gridOfRecords(records, place, options, budget, list.length);
}

function gridOfRecords(
  records: Map<string, unknown>[],
  place: Place,
  options: ReadOptions,
  budget: Budget,
  total = records.length,
): Part[] {
  const columns = [...new Set(records.flatMap((record) => [...record.keys()]))];
  const cell = (record: Map<string, unknown>, column: string) => record.get(column);
  const shown = columns.slice(0, limits.columns);
  const looks = shown.map((column) =>
    lookOf(
      records.map((record) => cell(record, column)),
      column,
    ),
  );
  const rows = records.map((record) =>
    shown.map((column, index) => printFigure(cell(record, column), column, looks[index], options)),
  );
  const lead = leadColumn(columns, records);
  const names = lead === undefined ? [] : records.map((record) => String(cell(record, lead) ?? ''));
  // Rows beyond the limit are not in the series either: a trend of the first rows would mislead.
  const periods = total <= limits.rows ? readPeriods(names) : undefined;
  const others = columns.slice(0, limits.columns).filter((column) => column !== lead);
  let axis: GridPart['axis'] = 'none';
  let series: Series[] = [];
  if (periods) {
    axis = 'period';
    series = others.flatMap((column) =>
      readSeries(
        column,
        join(place.path, column),
        names,
        records.map((record) => cell(record, column)),
        column,
        place,
        options,
      ),
    );
  } else if (lead !== undefined && new Set(names).size === names.length) {
    series = shareColumn(others, names, records, place, options);
    if (series.length > 0) axis = 'share';
  }
  const head = columns.slice(0, limits.columns).map(printLabel);
  const part: GridPart = { kind: 'grid', title: place.title, path: place.path, head, rows, axis, series };
  return cutGrid(part, options, budget, { rows: total, columns: columns.length });
}

const timeColumn =
  /^(?:年|年份|年度|会计年度|月|月份|季度|期间|报告期|期末|时间|日期|(?:fiscal )?year|month|quarter|period|date|time|fy)$/i;

/** The column whose cells name the rows: a time axis if there is one, or the first column of texts. */
function leadColumn(columns: string[], records: Map<string, unknown>[]): string | undefined {
  const labels = (column: string) => records.map((record) => String(record.get(column) ?? ''));
  const isLabel = (column: string) =>
    records.every((record) => typeof record.get(column) === 'string' || typeof record.get(column) === 'number');
  const candidates = columns.slice(0, 4).filter(isLabel);
  // A date further right, such as when a loan falls due, is a property of the row and no axis.
  const isAxis = (column: string) => column === columns[0] || timeColumn.test(column.trim());
  return (
    candidates.find((column) => isAxis(column) && readPeriods(labels(column))) ??
    candidates.find((column) => labels(column).every((label) => !readAmount(label) && !readPeriod(label)))
  );
}

/** The column of percentages that add up to a whole, such as the shares of all owners. */
function shareColumn(
  columns: string[],
  names: string[],
  records: Map<string, unknown>[],
  place: Place,
  options: ReadOptions,
): Series[] {
  if (records.length < 2 || records.length > 20) return [];
  for (const column of columns) {
    const cells = records.map((record) => record.get(column));
    const measures = readMeasures(cells, column, '');
    const numbers = measures?.numbers.filter((value) => value !== undefined) ?? [];
    const percent = measures?.unit === '%' || (measures?.unit === '' && namesShares(column));
    if (!measures || !percent || numbers.length !== cells.length || !isWhole(numbers, measures.unit, '')) continue;
    const factor = sum(numbers) < 1.5 ? 100 : 1;
    const points = names.map((name, index) => ({
      label: printLabel(name),
      value: (measures.numbers[index] ?? 0) * factor,
      text: printCell(cells[index], column, options),
    }));
    return [{ name: printLabel(withoutUnit(column)), path: join(place.path, column), unit: '%', points, context: '' }];
  }
  return [];
}

const unionOfKeys = (objects: Record<string, unknown>[]): string[] => [
  ...new Set(objects.flatMap((object) => Object.keys(object))),
];
