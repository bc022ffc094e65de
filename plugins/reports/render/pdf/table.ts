import { numericColumns } from '../text.ts';
import { drawCaption } from './flow.ts';
import { breakLines, type Line } from './lines.ts';
import type { Sheet, Weight } from './sheet.ts';
import { colors, page, table as style } from './style.ts';
import type { Typeface } from './typeface.ts';

export interface TableContent {
  head: string[];
  rows: string[][];
  /** The first column holds labels: bold on a tint. */
  labels?: boolean;
  /** Without a head: for short lists of labels and values. */
  headless?: boolean;
}

export interface TableFrame {
  caption: string;
  continued: string;
  /** Name of one group of columns. */
  group: (group: number, groups: number) => string;
  dataLabel: string;
  ref: string | undefined;
}

interface Column {
  /** Index in the rows. */
  index: number;
  width: number;
  numeric: boolean;
}

const maxHeadLines = 8;
/** Characters of a cell that wants room, and the points it gets. */
const longCell = 160;
const longWidth = 150;
const pageBody = page.height - page.top - page.bottom;

/**
 * Draws a table that breaks across pages and repeats its head. A table too wide for the page is drawn in parts that
 * repeat the first column; a row taller than a page is cut between lines.
 */
export function drawTable(sheet: Sheet, content: TableContent, frame: TableFrame): void {
  const face = sheet.faces.regular;
  const head = content.head.map((cell) => sheet.faces.bold.drawable(cell));
  const rows = content.rows.map((row) => head.map((_, index) => face.drawable(row[index] ?? '')));
  if (head.length === 0) return;
  const parts = planColumns(sheet, head, rows, content.labels ?? false);
  parts.forEach((columns, part) => {
    drawPart(sheet, head, rows, columns, {
      ...frame,
      labels: content.labels ?? false,
      headless: content.headless ?? false,
      caption: parts.length > 1 ? frame.caption + frame.group(part + 1, parts.length) : frame.caption,
    });
  });
}

/** Tables of up to so many rows are not broken when they fit on one page. */
const wholeRows = 14;

/** Least height a heading wants below it: the whole of a small table, else its caption, head and two rows. */
export const tableSpace = (rows: number): number =>
  style.before + style.captionLeading + (1 + (rows <= wholeRows ? rows : 2)) * (style.leading + 2 * style.padY);

function drawPart(
  sheet: Sheet,
  head: string[],
  rows: string[][],
  columns: Column[],
  frame: TableFrame & { labels: boolean; headless: boolean },
): void {
  const headCells = columns.map((column) =>
    breakLines(head[column.index] ?? '', sheet.faces.bold, style.size, inner(column)).slice(0, maxHeadLines),
  );
  const headHeight = frame.headless ? 0 : rowHeight(headCells);

  const open = (caption: string) => {
    drawCaption(sheet, caption, frame.dataLabel, frame.ref);
    sheet.rule(sheet.left, sheet.y, sheet.width, colors.accent, 0.9);
    if (frame.headless) return;
    sheet.fill(sheet.left, sheet.y, sheet.width, headHeight, colors.headFill);
    drawCells(sheet, columns, headCells, 0, maxHeadLines, () => 'bold');
    sheet.y += headHeight;
    sheet.rule(sheet.left, sheet.y, sheet.width, colors.accent, 0.5);
  };
  const turn = () => {
    sheet.rule(sheet.left, sheet.y, sheet.width, colors.accent, 0.5);
    sheet.newPage();
    open(frame.caption ? frame.caption + frame.continued : '');
  };

  const weight = (column: number): Weight => (frame.labels && column === 0 ? 'bold' : 'regular');
  const cellsOf = (row: string[]) =>
    columns.map((column, position) =>
      breakLines(row[column.index] ?? '', sheet.faces[weight(position)], style.size, inner(column)),
    );

  const beginning = rows.slice(0, rows.length <= wholeRows ? wholeRows : 2);
  const wanted = beginning.reduce((height, row) => height + rowHeight(cellsOf(row)), 0);
  sheet.space(style.before);
  sheet.need(style.captionLeading + headHeight + (wanted < pageBody * 0.5 ? wanted : 4 * style.leading));
  open(frame.caption);

  for (const row of rows) {
    const cells = cellsOf(row);
    const lines = Math.max(1, ...cells.map((cell) => cell.length));
    const height = rowHeight(cells);
    // A tall row is cut where the page ends; others move to the next page as a whole.
    if (height > sheet.room && (height < pageBody * 0.35 || linesThatFit(sheet) < 3)) turn();
    for (let from = 0; from < lines; ) {
      if (linesThatFit(sheet) < 1) turn();
      const count = Math.min(lines - from, linesThatFit(sheet));
      const slice = count * style.leading + 2 * style.padY;
      if (frame.labels) sheet.fill(sheet.left, sheet.y + 0.5, columns[0]?.width ?? 0, slice - 0.8, colors.labelFill);
      drawCells(sheet, columns, cells, from, count, weight);
      sheet.y += slice;
      from += count;
      sheet.rule(sheet.left, sheet.y, sheet.width, colors.rule, 0.4);
      if (from < lines) turn();
    }
  }
  sheet.rule(sheet.left, sheet.y, sheet.width, colors.accent, 0.9);
  sheet.y += style.after;
}

const linesThatFit = (sheet: Sheet): number => Math.floor((sheet.room - 2 * style.padY) / style.leading);
const inner = (column: Column): number => column.width - 2 * style.padX;
const rowHeight = (cells: Line[][]): number =>
  Math.max(1, ...cells.map((cell) => cell.length)) * style.leading + 2 * style.padY;

function drawCells(
  sheet: Sheet,
  columns: Column[],
  cells: Line[][],
  from: number,
  count: number,
  weight: (column: number) => Weight,
): void {
  let x = sheet.left;
  columns.forEach((column, position) => {
    const lines = (cells[position] ?? []).slice(from, from + count);
    lines.forEach((line, index) => {
      const shift = column.numeric ? Math.max(0, inner(column) - line.width) : 0;
      sheet.line(line.text, x + style.padX + shift, sheet.y + style.padY + index * style.leading, style.leading, {
        size: style.size,
        weight: weight(position),
      });
    });
    x += column.width;
  });
}

/** Widths of the columns, in one part, or in several when they do not fit side by side. */
function planColumns(sheet: Sheet, head: string[], rows: string[][], labels: boolean): Column[][] {
  const { regular, bold } = sheet.faces;
  const numeric = numericColumns(rows, head.length);
  const sample = rows.slice(0, 300);
  const columns = head.map((title, index) => {
    const cells = sample.map((row) => row[index] ?? '');
    const isNumeric = numeric[index] === true && !(labels && index === 0);
    const natural = Math.max(lineWidth(bold, title), ...cells.map((cell) => lineWidth(labels ? bold : regular, cell)));
    const smallest = isNumeric
      ? Math.max(wordWidth(bold, title), ...cells.map((cell) => lineWidth(regular, cell)))
      : Math.max(wordWidth(bold, title), ...cells.map((cell) => wordWidth(regular, cell)));
    const padding = 2 * style.padX;
    // A text of paragraphs in a column of four characters would run over many pages.
    const isLong = cells.some((cell) => cell.length > longCell);
    const min = Math.max(Math.min(smallest, isNumeric ? 110 : 72), isLong ? longWidth : 0) + padding;
    return { index, numeric: isNumeric, min, natural: Math.max(min, Math.min(natural, 300) + padding) };
  });
  // Short columns keep their texts in one line where there is room for that.
  const relaxed = columns.map(({ min, natural }) => (natural <= 92 ? natural : min));
  if (relaxed.reduce((sum, width) => sum + width, 0) <= sheet.width * 0.7) {
    columns.forEach((column, index) => {
      column.min = relaxed[index] ?? column.min;
    });
  }
  if (labels && head.length === 2) {
    const label = Math.min(Math.max(columns[0]?.natural ?? 0, sheet.width * 0.26), sheet.width * 0.42);
    return [
      [
        { index: 0, numeric: false, width: label },
        { index: 1, numeric: false, width: sheet.width - label },
      ],
    ];
  }

  const [lead, ...others] = columns;
  if (!lead) return [];
  return divide(lead, others, sheet.width).map((part) => spread([lead, ...part], sheet.width));
}

/** Columns beside the first one, in as few parts as the width allows and of about equal size. */
function divide<Item extends { min: number }>(lead: Item, others: Item[], width: number): Item[][] {
  let parts = 1;
  let used = lead.min;
  others.forEach(({ min }, index) => {
    if (used + min > width && index > 0) {
      parts += 1;
      used = lead.min;
    }
    used += min;
  });
  const size = Math.max(1, Math.ceil(others.length / parts));
  const divided = Array.from({ length: Math.ceil(others.length / size) }, (_, part) =>
    others.slice(part * size, (part + 1) * size),
  );
  return divided.length > 0 ? divided : [[]];
}

function spread(columns: { index: number; numeric: boolean; min: number; natural: number }[], width: number): Column[] {
  const natural = columns.reduce((sum, column) => sum + column.natural, 0);
  const min = columns.reduce((sum, column) => sum + column.min, 0);
  const widthOf = (column: { min: number; natural: number }) => {
    if (natural <= width) return column.natural + (width - natural) * (column.natural / natural);
    if (min >= width) return column.min * (width / min);
    return column.min + ((column.natural - column.min) * (width - min)) / (natural - min);
  };
  return columns.map((column) => ({ index: column.index, numeric: column.numeric, width: widthOf(column) }));
}

const lineWidth = (face: Typeface, cell: string): number =>
  Math.max(
    0,
    ...cell
      .slice(0, 400)
      .split('\n')
      .map((line) => face.width(line, style.size)),
  );

const wordWidth = (face: Typeface, cell: string): number =>
  Math.max(
    0,
    ...cell
      .slice(0, 400)
      .split(/[\s\p{Script=Han}]/u)
      .map((word) => face.width(word, style.size)),
    face.width('四个汉字', style.size),
  );
