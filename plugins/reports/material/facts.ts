import type { ReportLanguage } from '../render/document.ts';
import { shorten, withoutMarks } from '../render/text.ts';
import { limits } from './limits.ts';
import type { GridPart, Point, Series } from './parts.ts';
import { readParts } from './read.ts';
import { kindOfMeasure, withoutUnit } from './units.ts';
import { groupDigits } from './values.ts';

/** A figure that a fact was computed from, as the data gives it. */
export interface Figure {
  label: string;
  value: number;
  text: string;
}

/** One short statement that the data supports, for the writer of the text. */
export interface Fact {
  /** Where it comes from: names joined by dots. */
  path: string;
  label: string;
  /** The value itself, or the derived number: change and growth in percent, share in percent. */
  value: string | number | boolean | null;
  /** A sentence, without a full stop. */
  text: string;
  kind: 'value' | 'change' | 'growth' | 'latest' | 'extremes' | 'share';
  /** Empty for plain values. */
  figures: Figure[];
}

/**
 * Lists what the data of a package says, in its order: single values, rows of tables, and for numbers over time what
 * an analyst derives from them (change, compound growth, last change, highest and lowest), always with the figures used.
 */
export function factsFromData(autoData: unknown, { language }: { language: ReportLanguage }): Fact[] {
  const words = wordsOf(language);
  const facts: Fact[] = [];
  for (const part of readParts(autoData, { language })) {
    if (part.kind === 'values') {
      for (const { label, text, value, path } of part.items) {
        const plain = typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
        facts.push(
          fact('value', path, label, plain && typeof value !== 'string' ? value : text, words.is(label, text), []),
        );
      }
    } else if (part.kind === 'grid') {
      facts.push(...part.series.flatMap((series) => derive(part, series, words)), ...rowFacts(part, words));
    }
  }
  return facts.slice(0, limits.facts);
}

function fact(
  kind: Fact['kind'],
  path: string,
  label: string,
  value: Fact['value'],
  text: string,
  points: Point[],
): Fact {
  const say = (words: string) => withoutMarks(shorten(words, limits.factChars));
  const figures = points.map((point) => ({
    ...point,
    label: withoutMarks(point.label),
    text: withoutMarks(point.text),
  }));
  return {
    kind,
    path: withoutMarks(path),
    label: withoutMarks(label),
    value: typeof value === 'string' ? say(value) : value,
    text: say(text),
    figures: figures.map(({ label: name, value: number, text: shown }) => ({
      label: name,
      value: number,
      text: shown,
    })),
  };
}

function rowFacts(part: GridPart, words: Words): Fact[] {
  const seriesOf = new Map(part.series.map((series) => [series.name, series]));
  return part.rows.slice(0, 30).map((row, index) => {
    const [label = '', ...rest] = row;
    const series = seriesOf.get(withoutUnit(label));
    const first = series ? words.within(series.context, words.measured(withoutUnit(label), series.unit)) : label;
    const cells = rest.map((cell, column) => words.is(words.when(part.head[column + 1] ?? ''), cell));
    const text = cells.length > 0 ? words.row(first, cells.slice(0, 12)) : first;
    return fact(
      'value',
      `${part.path || part.title}[${index}]`,
      first,
      rest.length === 1 ? (rest[0] ?? '') : first,
      text,
      [],
    );
  });
}

function derive(part: GridPart, series: Series, words: Words): Fact[] {
  return part.axis === 'share' ? deriveShares(series, words) : deriveChanges(series, words);
}

function deriveShares(series: Series, words: Words): Fact[] {
  const total = series.points.reduce((sum, { value }) => sum + value, 0);
  const largest = series.points.reduce<Point | undefined>(
    (top, point) => (top && top.value >= point.value ? top : point),
    undefined,
  );
  if (!largest || total <= 0) return [];
  const share = round((largest.value / total) * 100);
  return [fact('share', series.path, series.name, share, words.largest(series.name, largest, share), [largest])];
}

function deriveChanges(series: Series, words: Words): Fact[] {
  const { points, path, unit } = series;
  const name = words.within(series.context, series.name);
  const first = points[0];
  const last = points.at(-1);
  const previous = points.at(-2);
  if (!first || !last || !previous || first === last) return [];
  const say = (point: Point) => words.figure(point, unit);
  const facts: Fact[] = [];
  // A rate without its sign may be percent or a fraction: neither points nor percent can be said of its change.
  const isBareRate = unit !== '%' && kindOfMeasure(series.name, unit) === 'percent';
  const change = isBareRate ? undefined : changeOf(first, last, unit);
  if (change) {
    const text = words.changed(name, first.label, say(first), last.label, say(last), change);
    facts.push(fact('change', path, name, change.number, text, [first, last]));
  }
  const years = (last.period?.at ?? 0) - (first.period?.at ?? 0);
  if (
    first.period?.kind === 'year' &&
    last.period?.kind === 'year' &&
    years >= 2 &&
    unit !== '%' &&
    !isBareRate &&
    first.value > 0 &&
    last.value > 0
  ) {
    const rate = round(((last.value / first.value) ** (1 / years) - 1) * 100);
    facts.push(
      fact('growth', path, name, rate, words.growth(name, first.label, last.label, years, rate), [first, last]),
    );
  }
  const latest = previous === first || isBareRate ? undefined : changeOf(previous, last, unit);
  if (latest) {
    const text = words.changed(name, previous.label, say(previous), last.label, say(last), latest);
    facts.push(fact('latest', path, name, latest.number, text, [previous, last]));
  }
  if (points.length > 2) {
    const highest = points.reduce((top, point) => (point.value > top.value ? point : top));
    const lowest = points.reduce((low, point) => (point.value < low.value ? point : low));
    const text = words.extremes(name, highest.label, say(highest), lowest.label, say(lowest));
    if (highest.value !== lowest.value)
      facts.push(fact('extremes', path, name, highest.value, text, [highest, lowest]));
  }
  return facts;
}

interface Change {
  /** Percent; for percentages the difference in points. */
  number: number;
  points: boolean;
}

/** None where a percentage would mislead: from zero or less, or across zero. */
function changeOf(from: Point, to: Point, unit: string): Change | undefined {
  if (unit === '%') return { number: round(to.value - from.value), points: true };
  if (from.value <= 0 || to.value < 0) return undefined;
  const number = round(((to.value - from.value) / from.value) * 100);
  return Number.isFinite(number) ? { number, points: false } : undefined;
}

const round = (value: number): number => Math.round(value * 100) / 100;

type Words = ReturnType<typeof wordsOf>;

function wordsOf(language: ReportLanguage) {
  const number = (value: number) => groupDigits(Math.abs(value));
  const withUnit = (point: Point, unit: string, gap: string) =>
    /[^\d.,\s()-]$/.test(point.text) || unit === '' ? point.text : `${point.text}${unit === '%' ? '' : gap}${unit}`;
  if (language === 'en') {
    const direction = ({ number: value, points }: Change) => {
      if (value === 0) return 'unchanged';
      return `${value > 0 ? 'up' : 'down'} ${number(value)}${points ? ' percentage points' : '%'}`;
    };
    return {
      is: (label: string, text: string) => `${label}: ${text}`,
      within: (context: string, name: string) => (context ? `${context}, ${name}` : name),
      measured: (name: string, unit: string) => (unit && unit !== '%' ? `${name} (${unit})` : name),
      when: (label: string) => label,
      row: (name: string, cells: string[]) => `${name}: ${cells.join('; ')}`,
      figure: (point: Point, unit: string) => withUnit(point, unit, ' '),
      changed: (name: string, from: string, a: string, to: string, b: string, change: Change) =>
        `${name} went from ${a} (${from}) to ${b} (${to}), ${direction(change)}`,
      growth: (name: string, from: string, to: string, years: number, rate: number) =>
        `${name} ${rate < 0 ? 'fell' : 'grew'} at a compound annual rate of ${number(rate)}% from ${from} to ${to} (${years} years)`,
      extremes: (name: string, high: string, a: string, low: string, b: string) =>
        `${name} was highest in ${high} (${a}) and lowest in ${low} (${b})`,
      largest: (name: string, point: Point, share: number) =>
        `${name}: the largest part is ${point.label} with ${number(share)}%`,
    };
  }
  const when = (label: string) => (/^(?:19|20)\d{2}$/.test(label) ? `${label}年` : label);
  const verb = ({ number: value }: Change) => (value > 0 ? '增至' : value < 0 ? '降至' : '变为');
  const direction = ({ number: value, points }: Change) => {
    if (value === 0) return '持平';
    if (points) return `${value > 0 ? '上升' : '下降'}${number(value)}个百分点`;
    return `${value > 0 ? '增长' : '下降'}${number(value)}%`;
  };
  return {
    is: (label: string, text: string) => `${label}为${text}`,
    within: (context: string, name: string) => (context ? `${context}中，${name}` : name),
    measured: (name: string, unit: string) => (unit && unit !== '%' ? `${name}（${unit}）` : name),
    when,
    row: (name: string, cells: string[]) => `${name}：${cells.join('，')}`,
    figure: (point: Point, unit: string) => withUnit(point, unit, ''),
    changed: (name: string, from: string, a: string, to: string, b: string, change: Change) =>
      `${name}由${when(from)}的${a}${verb(change)}${when(to)}的${b}，${direction(change)}`,
    growth: (name: string, from: string, to: string, _years: number, rate: number) =>
      `${name}${when(from)}至${when(to)}年均复合增长率为${rate < 0 ? '-' : ''}${number(rate)}%`,
    extremes: (name: string, high: string, a: string, low: string, b: string) =>
      `${name}最高为${when(high)}的${a}，最低为${when(low)}的${b}`,
    largest: (name: string, point: Point, share: number) => `${name}中${point.label}占比最高，为${number(share)}%`,
  };
}
