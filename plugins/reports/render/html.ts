import { chartTable, isDrawable, scaleChart } from './chart.ts';
import { chartSvg } from './chart-svg.ts';
import type { Block, ChartBlock, RenderedReport, ReportDocument } from './document.ts';
import { styles } from './html-style.ts';
import { labelsOf, type ReportLabels } from './labels.ts';
import {
  blockCaptions,
  columnGroups,
  coverRows,
  markSpans,
  paragraphsOf,
  placeSections,
  sourceAnchor,
  sourceRows,
} from './structure.ts';
import { numericColumns, plainLine, plainText } from './text.ts';

/** Renders a report as one HTML file without scripts or outside addresses; charts are inline SVG. */
export async function renderHtml(report: ReportDocument): Promise<RenderedReport> {
  const labels = labelsOf(report.language);
  const placed = placeSections(report);
  const captions = blockCaptions(placed, labels, true);
  const known = new Set(report.sources.map(({ ref }) => ref));
  const body: string[] = [];

  const cover = coverRows(report, labels).map(({ label, value }) => [label, value]);
  body.push('<header class="cover">', `<h1>${line(report.title)}</h1>`, keyValueTable(cover));
  if (report.notice) body.push(`<p class="notice">${line(report.notice)}</p>`);
  body.push('</header>', '<nav>', `<h2>${labels.contents}</h2>`, '<ol>');
  for (const { heading, level, anchor } of placed) {
    body.push(`<li class="l${Math.min(level, 4)}"><a href="#${anchor}">${line(heading)}</a></li>`);
  }
  body.push(`<li class="l1"><a href="#sources">${labels.sources}</a></li>`, '</ol>', '</nav>', '<main>');

  for (const { section, level, heading, anchor } of placed) {
    body.push(headline(line(heading), level + 1, anchor));
    for (const block of section.blocks) body.push(await renderBlock(block));
    if (section.blocks.length === 0 && section.children.length === 0) body.push(`<p>${labels.emptySection}</p>`);
  }

  body.push(headline(labels.sources, 2, 'sources'));
  body.push(`<p>${line(report.sources.length ? labels.sourcesIntro : labels.noSources)}</p>`);
  for (const entry of report.sources) {
    body.push(headline(line(`${labels.data(entry.ref)}  ${entry.title}`), 4, sourceAnchor(entry.ref)));
    const rows = sourceRows(entry, labels).map(({ label, value }) => [label, value]);
    if (rows.length > 0) body.push(keyValueTable(rows));
  }
  body.push('</main>');

  const bytes = new TextEncoder().encode(page(report, body.join('\n')));
  return { bytes, contentType: 'text/html; charset=utf-8', extension: 'html' };

  async function renderBlock(block: Block): Promise<string> {
    if (block.type === 'paragraph') return paragraphs(block.text, block.refs, known);
    const caption = captionOf(block, captions.get(block) ?? '', labels, known);
    if (block.type === 'keyValues') {
      return keyValueTable(
        block.rows.map(({ label, value }) => [label, value]),
        caption,
      );
    }
    if (block.type === 'chart' && isDrawable(block)) return figure(block, report.language, labels, captions, known);
    if (block.type === 'chart' && block.tabled) return '';
    const shown = block.type === 'chart' ? chartTable(block, labels) : block;
    return columnGroups(shown.head, shown.rows, labels)
      .map(({ head, rows, name }) =>
        table(head, rows, name ? captionOf(block, (captions.get(block) ?? '') + name, labels, known) : caption),
      )
      .join('\n');
  }
}

const page = (report: ReportDocument, body: string): string => `<!doctype html>
<html lang="${report.language === 'en' ? 'en' : 'zh-CN'}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="author" content="${line(report.author ?? 'Koagent')}">
<meta name="date" content="${line(report.createdAt)}">
<title>${line(report.title)}</title>
<style>${styles}</style>
</head>
<body>
${body}
</body>
</html>
`;

const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
const escapeText = (text: string): string => text.replace(/[&<>"']/g, (character) => entities[character] ?? '');
const line = (text: string): string => escapeText(plainLine(text));
const lines = (text: string): string => plainText(text).split('\n').map(line).join('<br>');

const headline = (html: string, level: number, anchor: string): string => {
  const tag = `h${Math.min(level, 6)}`;
  return `<${tag} id="${escapeText(anchor)}">${html}</${tag}>`;
};

function paragraphs(text: string, refs: string[], known: ReadonlySet<string>): string {
  const parts = paragraphsOf(plainText(text));
  return parts
    .map((part, index) => {
      const rest = index === parts.length - 1 ? refs.filter((ref) => !text.includes(`[${ref}]`)) : [];
      const spans = markSpans(part, rest, known).map((span) =>
        span.ref ? sourceLink(span.ref, escapeText(span.text)) : escapeText(span.text),
      );
      return `<p>${spans.join('')}</p>`;
    })
    .join('\n');
}

const sourceLink = (ref: string, html: string): string =>
  `<a class="ref" href="#${escapeText(sourceAnchor(ref))}">${html}</a>`;

function captionOf(block: Block, caption: string, labels: ReportLabels, known: ReadonlySet<string>): string {
  const ref = 'ref' in block && block.ref && known.has(block.ref) ? block.ref : undefined;
  return `${line(caption)}${ref ? sourceLink(ref, line(labels.data(ref))) : ''}`;
}

const captionTag = (caption: string): string => (caption ? `<caption>${caption}</caption>` : '');

const keyValueTable = (rows: string[][], caption = ''): string =>
  `<table class="pairs">${captionTag(caption)}<tbody>${rows
    .map(([label = '', value = '']) => `<tr><th scope="row">${lines(label)}</th><td>${lines(value)}</td></tr>`)
    .join('\n')}</tbody></table>`;

function table(head: string[], rows: string[][], caption: string): string {
  const numeric = numericColumns(rows, head.length);
  const align = (index: number) => (numeric[index] ? ' class="n"' : '');
  const headCells = head.map((cell, index) => `<th scope="col"${align(index)}>${lines(cell)}</th>`).join('');
  const bodyRows = rows.map(
    (row) => `<tr>${head.map((_, index) => `<td${align(index)}>${lines(row[index] ?? '')}</td>`).join('')}</tr>`,
  );
  return `<table>${captionTag(caption)}<thead><tr>${headCells}</tr></thead><tbody>${bodyRows.join('\n')}</tbody></table>`;
}

async function figure(
  chart: ChartBlock,
  language: ReportDocument['language'],
  labels: ReportLabels,
  captions: Map<Block, string>,
  known: ReadonlySet<string>,
): Promise<string> {
  const scaled = scaleChart(
    {
      ...chart,
      unit: plainLine(chart.unit ?? ''),
      categories: chart.categories.map(plainLine),
      series: chart.series.map((series) => ({ ...series, name: plainLine(series.name) })),
    },
    language,
  );
  const svg = await chartSvg(scaled, { width: 760, height: chart.kind === 'pie' ? 240 : 300, font: 'sans-serif' });
  const caption = captions.get(chart) ?? '';
  const unit = scaled.unit && !caption.includes(scaled.unit) ? ` (${labels.unit(scaled.unit)})` : '';
  return `<figure><figcaption>${captionOf(chart, `${caption}${unit}`, labels, known)}</figcaption>${svg}</figure>`;
}
