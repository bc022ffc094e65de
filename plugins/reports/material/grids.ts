import { limits } from './limits.ts';
import { type GridPart, materialTexts, type Part, type Point, type ReadOptions, type Series } from './parts.ts';
import { readPeriod, readPeriods } from './periods.ts';
import { type Budget, isPlainObject, isUnitKey, type Place } from './place.ts';
import { namesShares, readMeasures, withoutUnit } from './units.ts';
import {
  entriesOf,
  groupDigits,
  isNameLike,
  isScalar,
  padDecimals,
  printLabel,
  printNested,
  printValue,
  readAmount,
  sharedDecimals,
} from './values.ts';

/** More periods than this run down the page instead of across it. */
const maxAcross = 8;

/** Measures over time: `{ 营业收入: { 2022: …, 2023: … }, 净利润: { … } }`. */
export function periodGrid(
  measures: [string, Record<string, unknown>][],
  place: Place,
  options: ReadOptions,
  budget: Budget,
): Part[] {
  const { language } = options;
  const texts = materialTexts(language);
  const labels = orderedPeriods(measures.flatMap(([, values]) => Object.keys(values)).filter((key) => !isUnitKey(key)));
  const series = measures.flatMap(([name, values]) => {
    const cells = labels.map((label) => own(values, label));
    return readSeries(name, join(place.path, name), labels, cells, name, place, options);
  });
  const looks = new Map(
    measures.map(([name, values]) => [
      name,
      lookOf(
        labels.map((label) => own(values, label)),
        name,
      ),
    ]),
  );
  const text = (values: Record<string, unknown>, label: string, name: string) =>
    printFigure(own(values, label), name, looks.get(name), options);
  const names = measures.map(([name]) => printLabel(name));
  const table =
    labels.length <= maxAcross
      ? {
          head: [texts.item, ...labels.map(printLabel)],
          rows: measures.map(([name, values], row) => [
            names[row] ?? '',
            ...labels.map((label) => text(values, label, name)),
          ]),
        }
      : {
          head: [texts.period, ...names],
          rows: labels.map((label) => [
            printLabel(label),
            ...measures.map(([name, values]) => text(values, label, name)),
          ]),
        };
  return cutGrid(
    { kind: 'grid', title: place.title, path: place.path, ...table, axis: 'period', series },
    options,
    budget,
  );
}

/** Parts of a whole: `{ 茅台酒: '85.99%', 系列酒: '14.01%' }`. Undefined when the values are not that. */
export function shareGrid(
  entries: [string, unknown][],
  place: Place,
  options: ReadOptions,
  budget: Budget,
): Part[] | undefined {
  if (entries.length < 2 || entries.length > 20) return undefined;
  const measures = readMeasures(
    entries.map(([, value]) => value),
    place.title,
    place.unit,
  );
  const numbers = measures?.numbers.filter((value) => value !== undefined) ?? [];
  if (!measures || numbers.length !== entries.length || !isWhole(numbers, measures.unit, place.title)) return undefined;
  const texts = materialTexts(options.language);
  const name = place.title.split(' / ').at(-1) ?? '';
  const asPercent = measures.unit === '' && sum(numbers) < 1.5;
  const points = entries.map(([key, value], index) => ({
    label: printLabel(key),
    value: (measures.numbers[index] ?? 0) * (asPercent ? 100 : 1),
    text: printValue(value, key, options.language),
  }));
  const unit = asPercent || (measures.unit === '' && Math.abs(sum(numbers) - 100) < 2) ? '%' : measures.unit;
  return cutGrid(
    {
      kind: 'grid',
      title: place.title,
      path: place.path,
      head: [texts.item, unit === '%' ? texts.share : name || texts.value],
      rows: points.map(({ label, text }) => [label, text]),
      axis: 'share',
      series: [{ name, path: place.path, unit, points, context: '' }],
    },
    options,
    budget,
  );
}

const sum = (numbers: number[]): number => numbers.reduce((total, value) => total + value, 0);

function isWhole(numbers: number[], unit: string, title: string): boolean {
  if (numbers.some((value) => value < 0)) return false;
  const total = sum(numbers);
  if (Math.abs(total - 100) <= 1.5 && (unit === '%' || unit === '')) return true;
  const fractions = unit === '' && Math.abs(total - 1) <= 0.015 && numbers.some((value) => !Number.isInteger(value));
  return fractions || (unit !== '%' && total > 0 && numbers.length <= 12 && namesShares(title));
}

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

function readSeries(
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
  const points = labels.flatMap((text, index): Point[] => {
    const value = measures.numbers[index];
    const period = readPeriod(text);
    if (value === undefined || !period) return [];
    return [{ label: printLabel(text), period, value, text: printCell(cells[index], name, options) }];
  });
  points.sort((a, b) => (a.period?.at ?? 0) - (b.period?.at ?? 0));
  return [{ name: printLabel(withoutUnit(name)), path, unit: measures.unit, points, context: contextOf(place, name) }];
}

/** Cuts a table to the limits and says so. */
function cutGrid(
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
function contextOf(place: Place, name: string): string {
  const last = printLabel(withoutUnit(place.path.split('.').at(-1) ?? ''));
  return place.path === '' || last === printLabel(withoutUnit(name)) ? '' : last;
}

const printCell = (value: unknown, label: string, options: ReadOptions): string =>
  isScalar(value) ? printValue(value, label, options.language) : printNested(value, label, options.language);

/** How the numbers of one row or column are printed, so that they look alike. */
interface Look {
  decimals: number;
  /** Years and codes: no thousands separators. */
  names: boolean;
}

const lookOf = (values: unknown[], label: string): Look => ({
  decimals: sharedDecimals(values),
  names: isNameLike(values, label),
});

function printFigure(value: unknown, label: string, look: Look | undefined, options: ReadOptions): string {
  if (typeof value !== 'number' || !look) return printCell(value, label, options);
  return look.names ? String(value) : padDecimals(value, look.decimals);
}

const own = (values: Record<string, unknown>, key: string): unknown =>
  Object.hasOwn(values, key) ? values[key] : null;

const join = (path: string, key: string): string => (path ? `${path}.${printLabel(key)}` : printLabel(key));

const unionOfKeys = (objects: Record<string, unknown>[]): string[] => [
  ...new Set(objects.flatMap((object) => Object.keys(object))),
];

/** All period labels once. The order of the data is kept when it is one of time, either way; else they are sorted. */
function orderedPeriods(labels: string[]): string[] {
  const unique = [...new Set(labels)];
  const at = (label: string) => readPeriod(label)?.at ?? Number.POSITIVE_INFINITY;
  const falling = unique.every((label, index) => index === 0 || at(unique[index - 1] ?? label) >= at(label));
  return falling ? unique : unique.sort((a, b) => at(a) - at(b));
}
