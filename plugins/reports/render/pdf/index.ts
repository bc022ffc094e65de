import PDFDocument from 'pdfkit';
import { chartTable, isDrawable } from '../chart.ts';
import type { Block, RenderedReport, ReportDocument, ReportSection } from '../document.ts';
import { labelsOf, type ReportLabels } from '../labels.ts';
import { blockCaptions, placeSections, sourceAnchor, sourceRows } from '../structure.ts';
import { plainLine } from '../text.ts';
import { chartSpace, drawChart } from './chart.ts';
import { drawHeading, drawParagraphs, headingStyle } from './flow.ts';
import { type ContentsEntry, contentsDepth, drawContents, drawCover, planContents } from './front.ts';
import { drawFurniture } from './furniture.ts';
import { Sheet } from './sheet.ts';
import { body, page } from './style.ts';
import { drawTable, tableSpace } from './table.ts';
import { loadFontFiles, Typeface } from './typeface.ts';

/** Renders a report as PDF. The same document always gives the same bytes. */
export async function renderPdf(report: ReportDocument): Promise<RenderedReport> {
  const labels = labelsOf(report.language);
  const files = await loadFontFiles();
  const pdf = new PDFDocument(documentOptions(report));
  const chunks: Uint8Array[] = [];
  pdf.on('data', (chunk: Uint8Array) => chunks.push(chunk));
  const finished = new Promise<void>((resolve, reject) => {
    pdf.on('end', resolve);
    pdf.on('error', reject);
  });

  const sheet = new Sheet(pdf, { regular: new Typeface(files.regular), bold: new Typeface(files.bold) });
  await drawReport(sheet, report, labels);
  const pages = pdf.bufferedPageRange().count;
  pdf.end();
  await finished;
  return { bytes: new Uint8Array(Buffer.concat(chunks)), contentType: 'application/pdf', extension: 'pdf', pages };
}

function documentOptions(report: ReportDocument): PDFKit.PDFDocumentOptions {
  const created = new Date(report.createdAt);
  const author = plainLine(report.author ?? 'Koagent');
  return {
    size: [page.width, page.height],
    margin: 0,
    autoFirstPage: false,
    bufferPages: true,
    pdfVersion: '1.7',
    lang: report.language === 'en' ? 'en' : 'zh-CN',
    displayTitle: true,
    fontLayoutCache: false,
    // pdfkit would put Helvetica, which is never embedded, into every file.
    font: null as never,
    info: {
      Title: plainLine(report.title),
      Subject: plainLine(report.taskName),
      Author: author,
      Creator: 'Koagent',
      CreationDate: Number.isNaN(created.getTime()) ? new Date(0) : created,
    },
  };
}

async function drawReport(sheet: Sheet, report: ReportDocument, labels: ReportLabels): Promise<void> {
  const placed = placeSections(report);
  const known = new Set(report.sources.map(({ ref }) => ref));
  const bold = sheet.faces.bold;
  const entries: ContentsEntry[] = placed.map(({ heading, level, anchor }) => ({
    text: bold.drawable(heading).replaceAll('\n', ' '),
    level,
    anchor,
    pageIndex: 0,
  }));
  const sources: ContentsEntry = { text: labels.sources, level: 1, anchor: 'sources', pageIndex: 0 };
  entries.push(sources);

  sheet.newPage();
  drawCover(sheet, report, labels);
  const coverPages = sheet.pageIndex + 1;
  const contents = planContents(
    sheet,
    entries.filter(({ level }) => level <= contentsDepth),
  );
  for (const _ of contents) sheet.newPage();

  const chapterOfPage: string[] = [];
  let chapter = '';
  sheet.onPage = (pageIndex) => {
    chapterOfPage[pageIndex] = chapter;
  };
  const bookmark = createBookmarks(sheet);
  const captions = blockCaptions(placed, labels, true);
  const frame = (block: Block) => ({
    caption: captions.get(block) ?? '',
    continued: labels.continued,
    group: labels.group,
    dataLabel: 'ref' in block && block.ref ? labels.data(block.ref) : '',
    ref: 'ref' in block && block.ref && known.has(block.ref) ? block.ref : undefined,
  });

  sheet.newPage();
  for (const [index, { section, level, anchor }] of placed.entries()) {
    const entry = entries[index] ?? sources;
    if (level === 1) chapter = entry.text;
    const top = drawHeading(sheet, entry.text, level, following(section, level), anchor);
    if (level === 1 || !chapterOfPage[sheet.pageIndex]) chapterOfPage[sheet.pageIndex] ||= entry.text;
    entry.pageIndex = sheet.pageIndex;
    bookmark(entry.text, level, top);
    for (const block of section.blocks) await drawBlock(block);
    if (section.blocks.length === 0 && section.children.length === 0) {
      drawParagraphs(sheet, labels.emptySection, [], known);
    }
  }
  drawSources();

  async function drawBlock(block: Block): Promise<void> {
    if (block.type === 'paragraph') {
      drawParagraphs(sheet, block.text, block.refs, known);
    } else if (block.type === 'keyValues') {
      const rows = block.rows.map(({ label, value }) => [label, value]);
      drawTable(sheet, { head: [labels.item, labels.value], rows, labels: true }, frame(block));
    } else if (block.type === 'table') {
      drawTable(sheet, block, frame(block));
    } else if (isDrawable(block)) {
      const { ref, caption } = frame(block);
      await drawChart(sheet, { ...block, ref }, report.language, labels, caption);
    } else if (!block.tabled) {
      drawTable(sheet, chartTable(block, labels), frame(block));
    }
  }

  function drawSources(): void {
    chapter = sources.text;
    const top = drawHeading(sheet, sources.text, 1, 120, sources.anchor);
    sources.pageIndex = sheet.pageIndex;
    bookmark(sources.text, 1, top);
    drawParagraphs(sheet, report.sources.length ? labels.sourcesIntro : labels.noSources, [], new Set());
    for (const entry of report.sources) {
      const rows = sourceRows(entry, labels).map(({ label, value }) => [label, value]);
      const name = `${labels.data(entry.ref)}  ${entry.title}`;
      drawHeading(sheet, name, 3, rows.length > 0 ? tableSpace(rows.length) : 0, sourceAnchor(entry.ref));
      if (rows.length === 0) continue;
      const content = { head: [labels.item, labels.value], rows, labels: true, headless: true };
      drawTable(sheet, content, {
        caption: '',
        continued: labels.continued,
        group: labels.group,
        dataLabel: '',
        ref: undefined,
      });
    }
  }

  contents.forEach((lines, index) => {
    sheet.document.switchToPage(coverPages + index);
    drawContents(sheet, lines, labels);
  });
  drawFurniture(sheet, report, labels, { coverPages, contentsPages: contents.length, chapterOfPage });
}

/** Room a heading wants below it, so that it never stands alone at the foot of a page. */
function following(section: ReportSection, level: number): number {
  const [block] = section.blocks;
  const [child] = section.children;
  if (!block && child) {
    const style = headingStyle(level + 1);
    return style.before + style.leading + style.after + following(child, level + 1);
  }
  if (block?.type === 'chart' && isDrawable(block)) return chartSpace(block);
  if (block?.type === 'table' || block?.type === 'keyValues') return tableSpace(block.rows.length);
  return 2 * body.leading;
}

/** Bookmarks in the outline of the file, nested as the headings are. */
function createBookmarks(sheet: Sheet): (title: string, level: number, top: number) => void {
  const parents = [sheet.document.outline];
  return (title, level, top) => {
    while (parents.length > level) parents.pop();
    const parent = parents.at(-1) ?? sheet.document.outline;
    // `left` counts from the right edge in pdfkit.
    const options = { expanded: level === 1, top: Math.max(0, top - 12), left: page.width };
    parents.push(parent.addItem(title, options));
  };
}
