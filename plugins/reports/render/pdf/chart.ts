import svgToPdf from 'svg-to-pdfkit';
import { scaleChart } from '../chart.ts';
import { chartSvg } from '../chart-svg.ts';
import type { ChartBlock, ReportLanguage } from '../document.ts';
import type { ReportLabels } from '../labels.ts';
import { drawCaption } from './flow.ts';
import type { Sheet } from './sheet.ts';
import { table as style } from './style.ts';

const chartHeight = (chart: ChartBlock): number => (chart.kind === 'pie' ? 172 : 200);

/** Height of a chart with its caption: a chart is never cut. */
export const chartSpace = (chart: ChartBlock): number => chartHeight(chart) + style.captionLeading + style.before + 10;

export async function drawChart(
  sheet: Sheet,
  chart: ChartBlock,
  language: ReportLanguage,
  labels: ReportLabels,
  caption: string,
): Promise<void> {
  const face = sheet.faces.regular;
  const name = (text: string) => face.drawable(text).replace(/\s+/g, ' ').trim();
  const scaled = scaleChart(
    {
      ...chart,
      unit: name(chart.unit ?? ''),
      categories: chart.categories.map(name),
      series: chart.series.map((series) => ({ ...series, name: name(series.name) })),
    },
    language,
  );
  const height = chartHeight(chart);
  const svg = await chartSvg(scaled, { width: sheet.width, height, font: 'Noto Sans SC' });
  sheet.space(style.before);
  sheet.need(chartSpace(chart));
  const unit = scaled.unit && !caption.includes(scaled.unit) ? ` (${labels.unit(scaled.unit)})` : '';
  drawCaption(sheet, `${caption}${unit}`, labels.data(chart.ref ?? ''), chart.ref);
  svgToPdf(sheet.document, svg, sheet.left, sheet.y, {
    width: sheet.width,
    height,
    assumePt: true,
    preserveAspectRatio: 'xMidYMid meet',
    fontCallback: (_family, bold) => (bold ? 'bold' : 'regular'),
    warningCallback: () => undefined,
  });
  sheet.y += height + 10;
}
