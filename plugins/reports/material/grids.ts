import { cutGrid, isWhole, join, lookOf, own, printFigure, readSeries, sum } from './cells.ts';
import { materialTexts, type Part, type ReadOptions } from './parts.ts';
import { periodKey, readPeriod } from './periods.ts';
import { type Budget, isUnitKey, type Place } from './place.ts';
import { readMeasures } from './units.ts';
import { printLabel, printValue } from './values.ts';

/** More periods than this run down the page instead of across it. */
const maxAcross = 8;

/** Measures over time: `{ 营业收入: { 2022: …, 2023: … }, 净利润: { … } }`. */
export function periodGrid(
  given: [string, Record<string, unknown>][],
  place: Place,
  options: ReadOptions,
  budget: Budget,
): Part[] {
  const { language } = options;
  const texts = materialTexts(language);
  const measures = oneSpelling(given);
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

/** Gives every period the spelling in which it comes first, so that 2021 and 2021年 are one column. */
function oneSpelling(measures: [string, Record<string, unknown>][]): [string, Record<string, unknown>][] {
  const chosen = new Map<string, string>();
  const spell = (label: string): string => {
    const key = periodKey(label);
    const spelling = chosen.get(key) ?? label;
    chosen.set(key, spelling);
    return spelling;
  };
  return measures.map(([name, values]) => [
    name,
    Object.fromEntries(Object.entries(values).map(([label, value]) => [spell(label), value])),
  ]);
}

/** All period labels once. The order of the data is kept when it is one of time, either way; else they are sorted. */
function orderedPeriods(labels: string[]): string[] {
  const unique = [...new Set(labels)];
  const at = (label: string) => readPeriod(label)?.at ?? Number.POSITIVE_INFINITY;
  const falling = unique.every((label, index) => index === 0 || at(unique[index - 1] ?? label) >= at(label));
  return falling ? unique : unique.sort((a, b) => at(a) - at(b));
}
