import type { ChartBlock, TableBlock } from './document.ts';
import type { ReportLabels } from './labels.ts';
import { shorten } from './text.ts';

/** Colours that stay apart in print and for colour-blind readers; series beyond them repeat. */
export const palette = [
  '#1f4e79',
  '#d1742a',
  '#3f8f6b',
  '#8a6bb0',
  '#c0a02c',
  '#5b9bd5',
  '#9c4a4a',
  '#7f8c9a',
  '#2f7f8f',
  '#b5739d',
];

const maxCategories = 120;
const maxSeries = 10;
/** Beyond this an axis has no room for its figures. */
const maxValue = 1e18;
/** Characters of names beside a chart, where they may not push it off the page. */
export const maxName = { category: 28, series: 30, unit: 16 };

/** A chart with its values in the unit that its axis shows. */
export interface ScaledChart extends ChartBlock {
  unit: string;
}

/**
 * Large amounts are drawn in 万 / 亿 (Chinese) or thousands / millions, as an axis of twelve-digit figures cannot be
 * read. The figures in tables stay as they are.
 */
export function scaleChart(chart: ChartBlock, language: 'zh' | 'en'): ScaledChart {
  const unit = cut(chart.unit?.trim() ?? '', maxName.unit);
  const largest = chart.series
    .flatMap((series) => series.values.slice(0, chart.categories.length))
    .reduce((top: number, value) => Math.max(top, Math.abs(value ?? 0)), 0);
  const steps: [number, string][] =
    language === 'zh'
      ? [
          [1e8, '亿'],
          [1e4, '万'],
        ]
      : [
          [1e9, 'billion '],
          [1e6, 'million '],
        ];
  const step = /^[万亿%‰百千]|^(thousand|million|billion)|%/.test(unit)
    ? undefined
    : steps.find(([size]) => largest >= size * (language === 'zh' ? 1 : 10));
  if (!step) return { ...chart, unit };
  const [size, prefix] = step;
  const series = chart.series.map(({ name, values }) => ({
    name,
    values: values.map((value) => (value === null ? null : value / size)),
  }));
  return { ...chart, series, unit: `${prefix}${unit}`.trim() };
}

/** Whether there is anything to draw: numbers, and for a pie none below zero. Otherwise the figures go into a table. */
export function isDrawable(chart: ChartBlock): boolean {
  const values = chart.series.flatMap((series) => series.values.slice(0, chart.categories.length));
  const numbers = values.filter((value) => typeof value === 'number' && Number.isFinite(value));
  if (numbers.length === 0 || chart.categories.length === 0) return false;
  if (numbers.some((value) => value !== null && Math.abs(value) > maxValue)) return false;
  if (chart.series.length > maxSeries || chart.categories.length > maxCategories) return false;
  if (chart.kind !== 'pie') return true;
  return chart.series.length === 1 && numbers.every((value) => value !== null && value >= 0) && numbers.some(Boolean);
}

/** The figures of a chart as a table: one row per category. */
export function chartTable(chart: ChartBlock, labels: ReportLabels): TableBlock {
  const unit = chart.unit?.trim();
  return {
    type: 'table',
    ...(chart.title && { title: chart.title }),
    head: [labels.item, ...chart.series.map(({ name }) => (unit ? `${name} (${unit})` : name))],
    rows: chart.categories.map((category, index) => [
      category,
      ...chart.series.map(({ values }) => formatValue(values[index] ?? null)),
    ]),
    ...(chart.ref && { ref: chart.ref }),
  };
}

const formatValue = (value: number | null): string =>
  value === null || !Number.isFinite(value)
    ? '—'
    : value.toLocaleString('en-US', { maximumFractionDigits: 6, signDisplay: 'negative' });

/** A name cut to a length, with an ellipsis. */
export const cut = (name: string, length: number): string => shorten(name, length);
