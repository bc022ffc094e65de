import { AlignmentType, Paragraph } from 'docx';
import { ChartRun } from 'docx/charts';
import { palette, type ScaledChart } from './chart.ts';
import type { ReportLabels } from './labels.ts';
import { plainLine } from './text.ts';

/** A chart as Word's own: it can be edited there, and its figures opened as a sheet. */
export function nativeChart(chart: ScaledChart, labels: ReportLabels): Paragraph {
  const categories = chart.categories.map((category) => plainLine(category) || '—');
  const series = chart.series.map(({ name, values }, index) => ({
    name: plainLine(name) || '—',
    color: colorAt(index),
    values: categories.map((_, at) => {
      const value = values[at];
      return typeof value === 'number' && Number.isFinite(value) ? Number(value.toPrecision(12)) : null;
    }),
  }));
  const unit = plainLine(chart.unit);
  const common = {
    ...(unit && { title: { text: labels.unit(unit), font: { size: 9, bold: false } } }),
    categories,
    chartArea: { border: 'none' as const },
    transformation: { width: 590, height: chart.kind === 'pie' ? 230 : 260 },
  };
  const single = series.length === 1;
  const run =
    chart.kind === 'pie'
      ? new ChartRun({
          ...common,
          type: 'pie',
          series: series
            .slice(0, 1)
            .map(({ name, values }) => ({ name, values, colors: categories.map((_, index) => colorAt(index)) })),
          dataLabels: { percentage: true, position: 'outsideEnd' },
          legend: { position: 'right' },
        })
      : new ChartRun({
          ...common,
          type: chart.kind === 'bar' ? 'column' : 'line',
          series,
          legend: single ? false : { position: 'top' },
          // Bars are only honest from zero; Word may begin anywhere.
          ...(chart.kind === 'bar' &&
            series.every(({ values }) => values.every((value) => (value ?? 0) >= 0)) && { valueAxis: { minimum: 0 } }),
        });
  return new Paragraph({ alignment: AlignmentType.CENTER, spacing: { after: 160 }, children: [run] });
}

const colorAt = (index: number): string => (palette[index % palette.length] ?? '#1f4e79').slice(1).toUpperCase();
