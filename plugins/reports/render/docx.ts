import {
  AlignmentType,
  Bookmark,
  BorderStyle,
  CarriageReturn,
  Document,
  Footer,
  Header,
  HeadingLevel,
  InternalHyperlink,
  Packer,
  PageNumber,
  Paragraph,
  type ParagraphChild,
  ShadingType,
  Table,
  TableCell,
  TableOfContents,
  TableRow,
  TabStopType,
  TextRun,
  WidthType,
} from 'docx';
import { chartTable, isDrawable, scaleChart } from './chart.ts';
import type { Block, ChartBlock, RenderedReport, ReportDocument } from './document.ts';
import { nativeChart } from './docx-chart.ts';
import { docxStyles } from './docx-style.ts';
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

const contentType = 'application/vnd.openxmlformats-officedocument.wordprocessingml.document';
/** Width of the text in twentieths of a point: A4 less the margins. */
const contentWidth = 9026;
/** Of all tables of a document together. */
const maxCells = 20_000;
const levels = [
  HeadingLevel.HEADING_1,
  HeadingLevel.HEADING_2,
  HeadingLevel.HEADING_3,
  HeadingLevel.HEADING_4,
  HeadingLevel.HEADING_5,
  HeadingLevel.HEADING_6,
];

/** Renders a report for Word: real headings, a contents field, tables with repeated heads, charts that Word can edit. */
export async function renderDocx(report: ReportDocument): Promise<RenderedReport> {
  const labels = labelsOf(report.language);
  const title = plainLine(report.title);
  const file = new Document({
    title,
    subject: plainLine(report.taskName),
    creator: plainLine(report.author ?? 'Koagent'),
    lastModifiedBy: plainLine(report.author ?? 'Koagent'),
    styles: docxStyles(report.language),
    sections: [
      {
        properties: { titlePage: true },
        headers: { default: header(title) },
        footers: { default: footer(labels) },
        children: content(report, labels),
      },
    ],
  });
  return { bytes: new Uint8Array(await Packer.toBuffer(file)), contentType, extension: 'docx' };
}

function content(report: ReportDocument, labels: ReportLabels): (Paragraph | Table | TableOfContents)[] {
  const placed = placeSections(report);
  const captions = blockCaptions(placed, labels, true);
  const known = new Set(report.sources.map(({ ref }) => ref));
  const pairs = (rows: { label: string; value: string }[]) =>
    table(
      [labels.item, labels.value],
      rows.map(({ label, value }) => [label, value]),
      true,
    );

  const children: (Paragraph | Table | TableOfContents)[] = [
    new Paragraph({ heading: HeadingLevel.TITLE, children: [new TextRun(plainLine(report.title))] }),
    pairs(coverRows(report, labels)),
  ];
  if (report.notice)
    children.push(new Paragraph({ style: 'Notice', children: [new TextRun(plainLine(report.notice))] }));
  children.push(
    new Paragraph({ style: 'ContentsTitle', pageBreakBefore: true, children: [new TextRun(labels.contents)] }),
    new TableOfContents(labels.contents, { hyperlink: true, headingStyleRange: '1-3' }),
  );

  let cells = 0;
  let first = true;
  for (const { section, level, heading, anchor } of placed) {
    children.push(headline(heading, level, anchor, first));
    first = false;
    for (const block of section.blocks) children.push(...renderBlock(block));
    if (section.blocks.length === 0 && section.children.length === 0) children.push(text(labels.emptySection));
  }
  children.push(headline(labels.sources, 1, 'sources', first));
  children.push(text(report.sources.length ? labels.sourcesIntro : labels.noSources));
  for (const entry of report.sources) {
    children.push(headline(`${labels.data(entry.ref)}  ${entry.title}`, 4, sourceAnchor(entry.ref), false));
    const rows = sourceRows(entry, labels);
    if (rows.length > 0) children.push(pairs(rows));
  }
  return children;

  function renderBlock(block: Block): (Paragraph | Table)[] {
    if (block.type === 'paragraph') return paragraphs(block.text, block.refs, known);
    const ref = block.ref && known.has(block.ref) ? block.ref : undefined;
    const caption = captionLine(captions.get(block) ?? '', ref && labels.data(ref), ref);
    if (block.type === 'chart') return chartOf(block, caption);
    if (block.type === 'keyValues') {
      const rows = block.rows.map(({ label, value }) => [label, value]);
      return [...caption, ...grid([labels.item, labels.value], rows, true), gap()];
    }
    return columnGroups(block.head, block.rows, labels).flatMap(({ head, rows, name }) => [
      ...(name ? captionLine((captions.get(block) ?? '') + name, ref && labels.data(ref), ref) : caption),
      ...grid(head, rows, false),
      gap(),
    ]);
  }

  /** A table, or once the document has very many cells, its rows as lines. */
  function grid(head: string[], rows: string[][], labelled: boolean): (Paragraph | Table)[] {
    cells += head.length * rows.length;
    return cells <= maxCells ? [table(head, rows, labelled)] : tabbed(head, rows);
  }

  function chartOf(chart: ChartBlock, caption: Paragraph[]): (Paragraph | Table)[] {
    const { head, rows } = chartTable(chart, labels);
    const figures = chart.tabled ? [] : [table(head, rows, false), gap()];
    if (isDrawable(chart)) return [...caption, nativeChart(scaleChart(chart, report.language), labels), ...figures];
    return figures.length > 0 ? [...caption, ...figures] : [];
  }
}

/**
 * Rows as lines whose columns stand at tab stops: a cell of a Word table costs some twenty kilobytes of memory while it is
 * made, and Word itself grows slow over tables of hundreds of pages.
 */
function tabbed(head: string[], rows: string[][]): Paragraph[] {
  const step = Math.floor(contentWidth / Math.max(1, head.length));
  const tabStops = head.slice(1).map((_, column) => ({ type: TabStopType.LEFT, position: step * (column + 1) }));
  const line = (row: string[]) => head.map((_, column) => plainLine(row[column] ?? '')).join('\t');
  const paragraph = (lines: string[], bold: boolean) => {
    const children = lines.flatMap((shown, at) => (at === 0 ? [shown] : [new CarriageReturn(), shown]));
    return new Paragraph({ style: 'TableText', tabStops, children: [new TextRun({ children, bold })] });
  };
  const paragraphsOfRows: Paragraph[] = [];
  for (let at = 0; at < rows.length; at += linesOfParagraph)
    paragraphsOfRows.push(paragraph(rows.slice(at, at + linesOfParagraph).map(line), false));
  return [paragraph([line(head)], true), ...paragraphsOfRows];
}

const linesOfParagraph = 40;

const text = (value: string): Paragraph => new Paragraph({ style: 'Body', children: [new TextRun(plainLine(value))] });
/** Word joins two tables that follow each other. */
const gap = (): Paragraph => new Paragraph({ spacing: { before: 0, after: 60, line: 200 }, children: [] });

function headline(value: string, level: number, anchor: string, newPage: boolean): Paragraph {
  return new Paragraph({
    heading: levels[Math.min(level, levels.length) - 1] ?? HeadingLevel.HEADING_6,
    pageBreakBefore: newPage,
    children: [new Bookmark({ id: anchor, children: [new TextRun(plainLine(value))] })],
  });
}

function paragraphs(value: string, refs: string[], known: ReadonlySet<string>): Paragraph[] {
  const parts = paragraphsOf(plainText(value));
  return parts.map((part, index) => {
    const rest = index === parts.length - 1 ? refs.filter((ref) => !value.includes(`[${ref}]`)) : [];
    const children = markSpans(part, rest, known).map(
      (span): ParagraphChild => (span.ref ? sourceLink(span.text, span.ref) : new TextRun(span.text)),
    );
    return new Paragraph({ style: 'Body', children });
  });
}

const sourceLink = (shown: string, ref: string): InternalHyperlink =>
  new InternalHyperlink({
    anchor: sourceAnchor(ref),
    children: [new TextRun({ text: plainLine(shown), style: 'Hyperlink' })],
  });

function captionLine(caption: string, link: string | undefined, ref: string | undefined): Paragraph[] {
  if (!caption && !ref) return [];
  const children: ParagraphChild[] = [new TextRun({ text: plainLine(caption), bold: true })];
  if (link && ref) children.push(new TextRun('  '), sourceLink(link, ref));
  return [new Paragraph({ style: 'TableCaption', keepNext: true, children })];
}

function table(head: string[], rows: string[][], labelled: boolean): Table {
  const numeric = numericColumns(rows, head.length);
  const widths = columnWidths(head, rows, labelled);
  const cell = (value: string, column: number, options: { bold: boolean; fill?: string }) =>
    new TableCell({
      width: { size: widths[column] ?? 0, type: WidthType.DXA },
      margins: { top: 50, bottom: 50, left: 90, right: 90 },
      ...(options.fill && { shading: { type: ShadingType.CLEAR, fill: options.fill, color: 'auto' } }),
      children: plainText(value)
        .split('\n')
        .map(
          (line) =>
            new Paragraph({
              style: 'TableText',
              alignment: numeric[column] && !labelled ? AlignmentType.RIGHT : AlignmentType.LEFT,
              children: [new TextRun({ text: plainLine(line), bold: options.bold })],
            }),
        ),
    });
  return new Table({
    width: { size: contentWidth, type: WidthType.DXA },
    columnWidths: widths,
    borders: tableBorders,
    rows: [
      new TableRow({
        tableHeader: true,
        cantSplit: true,
        children: head.map((value, column) => cell(value, column, { bold: true, fill: 'E6ECF4' })),
      }),
      ...rows.map(
        (row) =>
          new TableRow({
            children: head.map((_, column) =>
              cell(
                row[column] ?? '',
                column,
                labelled && column === 0 ? { bold: true, fill: 'F4F6F9' } : { bold: false },
              ),
            ),
          }),
      ),
    ],
  });
}

const strong = { style: BorderStyle.SINGLE, size: 8, color: '1F3F6E' };
const fine = { style: BorderStyle.SINGLE, size: 4, color: 'C6CFDB' };
const none = { style: BorderStyle.NONE, size: 0, color: 'auto' };
const tableBorders = {
  top: strong,
  bottom: strong,
  left: none,
  right: none,
  insideHorizontal: fine,
  insideVertical: none,
};

/** Widths by the longest text of each column, within bounds. */
function columnWidths(head: string[], rows: string[][], labelled: boolean): number[] {
  if (labelled && head.length === 2) return [contentWidth * 0.3, contentWidth * 0.7].map(Math.round);
  const weights = head.map((value, column) => {
    const longest = Math.max(value.length, ...rows.slice(0, 100).map((row) => (row[column] ?? '').length));
    return Math.min(24, Math.max(4, longest));
  });
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => Math.round((contentWidth * weight) / total));
}

const header = (title: string): Header =>
  new Header({ children: [new Paragraph({ style: 'Furniture', children: [new TextRun(title)] })] });

function footer(labels: ReportLabels): Footer {
  // The sentence is split where Word puts in its own numbers.
  const [before = '', between = '', after = ''] = labels.page(-1, -1).split('-1');
  return new Footer({
    children: [
      new Paragraph({
        style: 'Furniture',
        alignment: AlignmentType.CENTER,
        children: [new TextRun({ children: [before, PageNumber.CURRENT, between, PageNumber.TOTAL_PAGES, after] })],
      }),
    ],
  });
}
