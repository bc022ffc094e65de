import type { ReportDocument } from '../document.ts';
import type { ReportLabels } from '../labels.ts';
import { coverRows } from '../structure.ts';
import { breakLines } from './lines.ts';
import type { Sheet } from './sheet.ts';
import { colors, page } from './style.ts';
import { drawTable } from './table.ts';

/** Title page: title, what it was made from, and a remark in a box. A long one goes on on the next page. */
export function drawCover(sheet: Sheet, report: ReportDocument, labels: ReportLabels): void {
  const { bold, regular } = sheet.faces;
  const title = bold.drawable(report.title);
  const size = title.length > 60 ? 20 : 26;
  const leading = size * 1.5;
  const lines = breakLines(title, bold, size, sheet.width);
  sheet.y = Math.max(page.top, 230 - lines.length * leading * 0.5);
  sheet.rule(sheet.left, sheet.y - 16, sheet.width, colors.accent, 2);
  for (const line of lines) {
    if (sheet.room < leading) sheet.newPage();
    sheet.line(line.text, sheet.left, sheet.y, leading, { size, weight: 'bold', color: colors.accent });
    sheet.y += leading;
  }
  sheet.y += 10;
  sheet.rule(sheet.left, sheet.y, sheet.width, colors.rule, 0.8);
  sheet.y += 40;
  const rows = coverRows(report, labels).map(({ label, value }) => [label, value]);
  drawTable(
    sheet,
    { head: [labels.item, labels.value], rows, labels: true, headless: true },
    { caption: '', continued: labels.continued, group: labels.group, dataLabel: '', ref: undefined },
  );
  if (report.notice) drawNotice(sheet, regular.drawable(report.notice));
}

function drawNotice(sheet: Sheet, text: string): void {
  const lines = breakLines(text, sheet.faces.regular, 9.5, sheet.width - 24);
  const leading = 15.5;
  sheet.space(12);
  for (let from = 0; from < lines.length; ) {
    sheet.need(leading + 14);
    const count = Math.max(1, Math.min(lines.length - from, Math.floor((sheet.room - 14) / leading)));
    sheet.fill(sheet.left, sheet.y, sheet.width, count * leading + 14, '#fbf5e6');
    sheet.fill(sheet.left, sheet.y, 3, count * leading + 14, '#c9962b');
    for (const line of lines.slice(from, from + count)) {
      sheet.line(line.text, sheet.left + 14, sheet.y + 7, leading, { size: 9.5 });
      sheet.y += leading;
    }
    sheet.y += 14;
    from += count;
  }
}

export interface ContentsEntry {
  /** Drawable text of the heading. */
  text: string;
  level: number;
  anchor: string;
  /** Index of the page it is on, known once the body is drawn. */
  pageIndex: number;
}

/** Headings of deeper levels are left to the bookmarks. */
export const contentsDepth = 3;

interface ContentsLine {
  entry: ContentsEntry;
  text: string;
  x: number;
  /** The last line of an entry carries its page number. */
  last: boolean;
}

const leadingOf = (level: number): number => (level === 1 ? 22 : 18);
const sizeOf = (level: number): number => (level === 1 ? 11 : 10);
const titleHeight = 46;
const numberWidth = 34;

/** Lays the table of contents out in pages, before the page numbers are known. */
export function planContents(sheet: Sheet, entries: ContentsEntry[]): ContentsLine[][] {
  const pages: ContentsLine[][] = [[]];
  let room = sheet.bottom - page.top - titleHeight;
  for (const entry of entries) {
    const x = (entry.level - 1) * 18;
    const face = sheet.faces[entry.level === 1 ? 'bold' : 'regular'];
    const lines = breakLines(entry.text, face, sizeOf(entry.level), sheet.width - x - numberWidth);
    const height = lines.length * leadingOf(entry.level);
    if (height > room && (pages.at(-1)?.length ?? 0) > 0) {
      pages.push([]);
      room = sheet.bottom - page.top - titleHeight;
    }
    lines.forEach((line, index) => {
      if (room < leadingOf(entry.level)) {
        pages.push([]);
        room = sheet.bottom - page.top - titleHeight;
      }
      pages.at(-1)?.push({ entry, text: line.text, x, last: index === lines.length - 1 });
      room -= leadingOf(entry.level);
    });
  }
  return pages;
}

/** Draws one page of the contents on the current page. */
export function drawContents(sheet: Sheet, lines: ContentsLine[], labels: ReportLabels): void {
  sheet.y = page.top;
  sheet.line(labels.contents, sheet.left, sheet.y, 26, { size: 18, weight: 'bold', color: colors.accent });
  sheet.y += titleHeight;
  for (const { entry, text, x, last } of lines) {
    const leading = leadingOf(entry.level);
    const size = sizeOf(entry.level);
    const weight = entry.level === 1 ? 'bold' : 'regular';
    const face = sheet.faces[weight];
    sheet.line(text, sheet.left + x, sheet.y, leading, { size, weight });
    if (last) {
      const number = String(entry.pageIndex + 1);
      const numberLeft = sheet.left + sheet.width - face.width(number, size);
      sheet.line(number, numberLeft, sheet.y, leading, { size, weight });
      const from = sheet.left + x + face.width(text, size) + 6;
      const baseline = sheet.y + leading / 2 + 3;
      if (numberLeft - 6 > from) {
        sheet.document
          .save()
          .moveTo(from, baseline)
          .lineTo(numberLeft - 6, baseline);
        sheet.document.lineWidth(0.6).dash(0.6, { space: 2.6 }).strokeColor(colors.muted).stroke().undash().restore();
      }
    }
    sheet.link(sheet.left + x, sheet.y, sheet.width - x, leading, entry.anchor);
    sheet.y += leading;
  }
}
