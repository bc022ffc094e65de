import { cut, maxName, palette, type ScaledChart } from './chart.ts';
import type { ChartBlock } from './document.ts';

export interface ChartSize {
  /** Pixels of the SVG (points in the PDF). */
  width: number;
  height: number;
  font: string;
}

let vegaLoaded: Promise<typeof import('vega')> | undefined;

function loadVega(): Promise<typeof import('vega')> {
  vegaLoaded ??= import('vega').then((vega) => {
    // Without a canvas vega takes every character for 0.8 em wide: Han characters get cut, digits float apart.
    const { textMetrics } = vega as unknown as { textMetrics: { width: (item: TextItem, text: unknown) => number } };
    textMetrics.width = (item, text) => emWidth(String(text ?? '')) * (item.fontSize ?? 11);
    return vega;
  });
  return vegaLoaded;
}

interface TextItem {
  fontSize?: number;
}

const wide = /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/;

function emWidth(text: string): number {
  let width = 0;
  for (const character of text) width += wide.test(character) || character.length > 1 ? 1 : 0.57;
  return width;
}

/**
 * Draws a chart as SVG. The texts must be fit for the place they go to. They only ever become data values under fixed
 * field names: nothing of a document reaches a Vega expression.
 */
export async function chartSvg(chart: ScaledChart, size: ChartSize): Promise<string> {
  const [vega, { compile }] = await Promise.all([loadVega(), import('vega-lite')]);
  const spec = chart.kind === 'pie' ? pieSpec(chart, size) : axisSpec(chart, size);
  const compiled = compile(spec as never, { logger: silent }).spec;
  const view = new vega.View(vega.parse(compiled), { renderer: 'none', logger: silent });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}

// Vega would write its remarks to the console of whatever process draws.
const silent = {
  level: () => silent,
  error: () => silent,
  warn: () => silent,
  info: () => silent,
  debug: () => silent,
} as never;

interface Datum {
  /** Position and name of the category, name of the series, value, printed value. */
  i: number;
  c: string;
  s: string;
  v: number;
  t: string;
}

function dataOf(chart: ScaledChart): Datum[] {
  const names = unique(chart.series.map(({ name }) => cut(name, maxName.series)));
  const categories = categoryNames(chart);
  return chart.series.flatMap(({ values }, series) =>
    categories.flatMap((category, index) => {
      const value = values[index];
      if (typeof value !== 'number' || !Number.isFinite(value)) return [];
      return [{ i: index, c: category, s: names[series] ?? '', v: value, t: label(value) }];
    }),
  );
}

const categoryNames = (chart: ChartBlock): string[] =>
  unique(chart.categories.map((category) => cut(category, maxName.category)));

/** Vega joins equal names into one; a document may well repeat them. */
function unique(names: string[]): string[] {
  const seen = new Map<string, number>();
  return names.map((name) => {
    const count = (seen.get(name) ?? 0) + 1;
    seen.set(name, count);
    return count === 1 ? name : `${name} (${count})`;
  });
}

// Making a formatter is dear: one per number of digits.
const formats = [0, 1, 2].map(
  (digits) => new Intl.NumberFormat('en-US', { maximumFractionDigits: digits, signDisplay: 'negative' }),
);

function label(value: number): string {
  const size = Math.abs(value);
  return formats[size >= 1000 ? 0 : size >= 100 ? 1 : 2]?.format(value) ?? String(value);
}

const config = (font: string) => ({
  font,
  background: 'transparent',
  view: { stroke: null },
  axis: {
    labelColor: '#3a4554',
    labelFontSize: 9,
    titleFontSize: 9,
    titleFontWeight: 'normal',
    titleColor: '#3a4554',
    gridColor: '#dfe4eb',
    domainColor: '#9aa5b4',
    tickColor: '#9aa5b4',
  },
  legend: { labelFontSize: 9, labelColor: '#1c2430', title: null, symbolSize: 70 },
});

/** As many names side by side as fit; each column is as wide as its longest name. */
function legendColumns(names: string[], width: number): number {
  for (let columns = names.length; columns > 1; columns -= 1) {
    let used = 0;
    for (let column = 0; column < columns; column += 1) {
      const inColumn = names.filter((_, index) => index % columns === column);
      used += Math.max(...inColumn.map(emWidth)) * 9 + 30;
    }
    if (used <= width) return columns;
  }
  return 1;
}

function axisSpec(chart: ScaledChart, { width, height, font }: ChartSize): object {
  const data = dataOf(chart);
  const categories = categoryNames(chart);
  const series = [...new Set(data.map(({ s }) => s))];
  const room = (width - 60) / Math.max(1, categories.length);
  const tilted = Math.max(...categories.map((category) => emWidth(category) * 9)) > room - 4;
  const x = {
    field: 'c',
    type: 'ordinal',
    sort: null,
    scale: {
      domain: categories,
      ...(chart.kind === 'bar' ? { paddingInner: 0.3, paddingOuter: 0.2 } : { padding: 0.4 }),
    },
    axis: {
      title: null,
      labelAngle: tilted ? -38 : 0,
      labelAlign: tilted ? 'right' : 'center',
      labelLimit: tilted ? 90 : 0,
      labelOverlap: true,
      grid: false,
    },
  };
  const low = Math.min(...data.map(({ v }) => v));
  const high = Math.max(...data.map(({ v }) => v));
  // A line far from zero would be flat against the top if the axis began there.
  const zero = chart.kind === 'bar' || low <= 0 || low < high * 0.6;
  const y = {
    field: 'v',
    type: 'quantitative',
    scale: low === 0 && high === 0 ? { domain: [0, 1] } : { zero, nice: true },
    axis: { title: null, tickCount: 5 },
  };
  const color = {
    field: 's',
    type: 'nominal',
    sort: null,
    scale: { domain: series, range: palette },
    legend:
      series.length > 1
        ? {
            orient: 'top',
            direction: 'horizontal',
            columns: legendColumns(series, width - 60),
            labelLimit: width - 90,
          }
        : null,
  };
  const offset =
    chart.kind === 'bar' && series.length > 1 ? { xOffset: { field: 's', type: 'nominal', sort: null } } : {};
  const labelRoom = room / (chart.kind === 'bar' ? series.length * 1.3 : series.length);
  const labelled =
    Math.max(...data.map(({ t }) => emWidth(t) * 8)) <= labelRoom + 2 &&
    (chart.kind === 'bar' || (series.length === 1 && data.length <= 8));
  const text = (above: boolean) => ({
    transform: [{ filter: above ? 'datum.v >= 0' : 'datum.v < 0' }],
    mark: { type: 'text', fontSize: 8, dy: above ? (chart.kind === 'bar' ? -6 : -9) : 8, color: '#3a4554' },
    encoding: { x, y, ...offset, text: { field: 't', type: 'nominal' }, detail: { field: 's', type: 'nominal' } },
  });
  const mark =
    chart.kind === 'bar'
      ? { type: 'bar', maxBandSize: 46 }
      : { type: 'line', strokeWidth: 1.8, point: categories.length <= 24 && { filled: true, size: 26 } };
  return {
    width: width - 12,
    height: height - 8,
    autosize: { type: 'fit', contains: 'padding' },
    padding: { left: 4, right: 8, top: 4, bottom: 4 },
    data: { values: data },
    layer: [
      { mark, encoding: { x, y, color, ...offset } },
      ...(labelled ? [text(true), ...(low < 0 ? [text(false)] : [])] : []),
    ],
    config: config(font),
  };
}

function pieSpec(chart: ScaledChart, { width, height, font }: ChartSize): object {
  const data = dataOf(chart);
  const total = data.reduce((sum, { v }) => sum + v, 0);
  const values = data.map((datum) => {
    const share = (datum.v / total) * 100;
    return {
      ...datum,
      c: `${datum.c}  ${share.toFixed(share < 1 ? 2 : 1)}%`,
      t: share >= 4 ? `${share.toFixed(1)}%` : '',
    };
  });
  const names = values.map(({ c }) => c);
  const radius = Math.min(height, width) / 2 - 26;
  const theta = { field: 'v', type: 'quantitative', stack: true };
  const order = { field: 'i', type: 'quantitative' };
  const color = {
    field: 'c',
    type: 'nominal',
    sort: null,
    scale: { domain: names, range: palette },
    legend: { orient: 'right', labelLimit: width * 0.5, offset: 30, columns: names.length > 14 ? 2 : 1, rowPadding: 4 },
  };
  return {
    width: height - 8,
    height: height - 8,
    padding: { left: 40, right: 8, top: 4, bottom: 4 },
    data: { values },
    layer: [
      {
        mark: { type: 'arc', outerRadius: radius, innerRadius: radius * 0.5, stroke: '#ffffff', strokeWidth: 1.2 },
        encoding: { theta, color, order },
      },
      {
        mark: { type: 'text', radius: radius + 16, fontSize: 8.5, fill: '#3a4554' },
        encoding: { theta, order, text: { field: 't', type: 'nominal' }, detail: { field: 'c', type: 'nominal' } },
      },
    ],
    config: config(font),
  };
}
