import type { Block, ChartBlock, ReportLanguage } from '../render/document.ts';
import { withoutMarks } from '../render/text.ts';
import { limits } from './limits.ts';
import { type GridPart, materialTexts, type Series } from './parts.ts';
import { axisKind, type Period } from './periods.ts';
import { readParts } from './read.ts';
import { kindOfMeasure } from './units.ts';

export interface BlockOptions {
  /** Name of the data package the figures come from. */
  ref: string;
  language: ReportLanguage;
  /** Part of the limits that the package may use, 0-1; default 1. */
  share?: number;
}

/**
 * Turns the free-form data of a package into blocks: single values into key/value tables, lists and nested objects into
 * titled tables, numbers over time and shares of a whole into a table and a chart. Any JSON value is accepted; the
 * result is bounded (`limits`) and says what was left out.
 */
export function blocksFromData(autoData: unknown, { ref, language, share }: BlockOptions): Block[] {
  const texts = materialTexts(language);
  const blocks = readParts(autoData, { language, share }).flatMap((part): Block[] => {
    if (part.kind === 'note') return [{ type: 'paragraph', text: part.text, refs: [ref] }];
    const title = part.title ? { title: part.title } : {};
    if (part.kind === 'values') {
      return [
        { type: 'keyValues', ...title, rows: part.items.map(({ label, text }) => ({ label, value: text })), ref },
      ];
    }
    const table: Block = { type: 'table', ...title, head: part.head, rows: part.rows, ref };
    return [table, ...chartsOf(part, ref, texts.and)];
  });
  return unmarked(blocks);
}

/** Blocks in which no text can be taken for a source mark. */
function unmarked<Value>(value: Value): Value {
  if (typeof value === 'string') return withoutMarks(value) as Value;
  if (Array.isArray(value)) return value.map(unmarked) as Value;
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, unmarked(item)])) as Value;
}

function chartsOf(part: GridPart, ref: string, and: string): ChartBlock[] {
  if (part.axis === 'none') return [];
  if (part.axis === 'share') return part.series.slice(0, 1).map((series) => pie(part, series, ref));
  const groups = comparable(part.series.filter(({ points }) => points.length >= 2));
  return groups.slice(0, limits.chartsPerTable).map((group) => {
    const names = group.map(({ name }) => name).join(and);
    return timeChart(groups.length > 1 || !part.title ? names : part.title, group, ref);
  });
}

function pie(part: GridPart, series: Series, ref: string): ChartBlock {
  return {
    type: 'chart',
    kind: 'pie',
    title: part.title || series.name,
    categories: series.points.map(({ label }) => label),
    series: [{ name: series.name, values: series.points.map(({ value }) => value) }],
    ...(series.unit && { unit: series.unit }),
    tabled: true,
    ref,
  };
}

/** Series that share an axis: the same kind of measure in the same unit, and of a size that leaves the smallest visible. */
function comparable(all: Series[]): Series[][] {
  const groups: Series[][] = [];
  const sizeOf = (series: Series) => Math.max(...series.points.map(({ value }) => Math.abs(value)));
  for (const series of all) {
    const size = sizeOf(series);
    const fits = (group: Series[]) => {
      const sizes = group.map(sizeOf);
      return (
        group[0]?.unit === series.unit &&
        kindOfMeasure(group[0]?.name ?? '', series.unit) === kindOfMeasure(series.name, series.unit) &&
        group.length < limits.seriesPerChart &&
        Math.max(...sizes, size) <= Math.min(...sizes, size) * 20
      );
    };
    const group = groups.find(fits);
    if (group) group.push(series);
    else groups.push([series]);
  }
  return groups;
}

function timeChart(title: string, group: Series[], ref: string): ChartBlock {
  const periods = new Map<string, Period>();
  for (const { points } of group) for (const { label, period } of points) if (period) periods.set(label, period);
  const categories = [...periods].sort(([, a], [, b]) => a.at - b.at).map(([label]) => label);
  const byYear = axisKind([...periods.values()]) === 'year';
  const unit = group[0]?.unit ?? '';
  const few = categories.length <= (byYear ? 8 : 4) && categories.length * group.length <= 20;
  return {
    type: 'chart',
    kind: few && unit !== '%' ? 'bar' : 'line',
    title,
    categories,
    series: group.map(({ name, points }) => {
      const values = new Map(points.map(({ label, value }) => [label, value]));
      return { name, values: categories.map((category) => values.get(category) ?? null) };
    }),
    ...(unit && { unit }),
    tabled: true,
    ref,
  };
}
