import { isDrawable } from './chart.ts';
import type { Block, LabelledValue, ReportDocument, ReportSection, SourceEntry } from './document.ts';
import type { ReportLabels } from './labels.ts';
import { plainLine, shorten } from './text.ts';

/** A section in reading order, with what every renderer needs to know about its place. */
export interface PlacedSection {
  section: ReportSection;
  /** 1 = chapter. */
  level: number;
  /** Number and title, as printed. */
  heading: string;
  /** Name for links: safe in every format, unique in the document. */
  anchor: string;
}

/** Sections nested deeper are printed at this level. */
const DEEPEST_LEVEL = 8;

/** Lists all sections in reading order and counts the numbers that the outline does not give. */
export function placeSections(document: ReportDocument): PlacedSection[] {
  const placed: PlacedSection[] = [];
  const visit = (sections: ReportSection[], level: number, prefix: string) => {
    sections.forEach((section, index) => {
      const number = section.number ?? `${prefix}${index + 1}`;
      const title = section.title.trim();
      placed.push({
        section,
        level: Math.min(level, DEEPEST_LEVEL),
        heading: carriesNumber(title, number) ? title : `${number} ${title}`.trim(),
        anchor: `s${placed.length + 1}`,
      });
      visit(section.children, level + 1, /^[\d.]+$/.test(number) ? `${number.replace(/\.+$/, '')}.` : '');
    });
  };
  visit(document.sections, 1, '');
  return placed;
}

/** Outlines often write the number into the title too ("1. Summary", "第一章 概况"). */
function carriesNumber(title: string, number: string): boolean {
  if (number === '' || !title.startsWith(number)) return number === '';
  return !/^\d+$/.test(number) || /^[\s.\u3001\uff0e:\uff1a]/.test(title.slice(number.length));
}

/** Rows of the title page. */
export function coverRows(document: ReportDocument, labels: ReportLabels): LabelledValue[] {
  return [
    { label: labels.taskName, value: document.taskName },
    ...(document.description ? [{ label: labels.description, value: document.description }] : []),
    ...document.parameters,
    ...(document.metadata ?? []),
    { label: labels.createdAt, value: labels.time(document.createdAt) },
  ];
}

const maxCaption = 90;

const short = (title: string): string => shorten(plainLine(title), maxCaption);

/**
 * Captions of all tables and charts, numbered in reading order. Only what is shown has a number: a chart that cannot be
 * drawn is a table, or nothing when its figures stand in a table anyway. A table without a title has none.
 *
 * @param draws false for formats without charts
 */
export function blockCaptions(placed: PlacedSection[], labels: ReportLabels, draws: boolean): Map<Block, string> {
  const captions = new Map<Block, string>();
  let tables = 0;
  let charts = 0;
  for (const { section } of placed) {
    for (const block of section.blocks) {
      if (block.type === 'paragraph') continue;
      if (block.type === 'chart' && draws && isDrawable(block)) {
        charts += 1;
        captions.set(block, labels.chart(charts, short(block.title ?? '')));
      } else if (block.title?.trim() && !(block.type === 'chart' && block.tabled)) {
        tables += 1;
        captions.set(block, labels.table(tables, short(block.title)));
      }
    }
  }
  return captions;
}

/** More columns than this stand below each other, in groups that repeat the first column. */
const widest = 10;
const columnsOfGroup = 8;

export interface ColumnGroup {
  head: string[];
  rows: string[][];
  /** `（第 2 组，共 3 组）`; empty for a table in one piece. */
  name: string;
}

/** A table in groups of columns that can be read, for the formats that do not measure widths. */
export function columnGroups(head: string[], rows: string[][], labels: ReportLabels): ColumnGroup[] {
  if (head.length <= widest) return [{ head, rows, name: '' }];
  const groups = Math.ceil((head.length - 1) / (columnsOfGroup - 1));
  const size = Math.ceil((head.length - 1) / groups);
  return Array.from({ length: groups }, (_, group) => {
    const pick = (row: string[]) => [row[0] ?? '', ...row.slice(1 + group * size, 1 + (group + 1) * size)];
    return { head: pick(head), rows: rows.map(pick), name: labels.group(group + 1, groups) };
  });
}

/** Rows of one entry of the appendix. */
export function sourceRows(entry: SourceEntry, labels: ReportLabels): LabelledValue[] {
  const known: [string, string | undefined][] = [
    [labels.knowledgeUnit, entry.knowledgeUnitId],
    [labels.packageId, entry.packageId],
    [labels.source, entry.source],
    [labels.queryTime, entry.queryTime && labels.moment(entry.queryTime)],
    [labels.confirmer, entry.confirmer],
    [labels.confirmTime, entry.confirmTime && labels.moment(entry.confirmTime)],
  ];
  const rows = known.flatMap(([label, value]) => (value ? [{ label, value }] : []));
  return [...rows, ...entry.details];
}

export const sourceAnchor = (ref: string): string => `source-${ref}`;

/** A piece of a paragraph; `ref` marks a link to the appendix. */
export interface TextSpan {
  text: string;
  ref?: string;
}

/**
 * Splits a paragraph's text into plain text and source marks. Only marks of packages that exist become links, so
 * that a mark invented by a writer leads nowhere instead of to the wrong place.
 */
export function markSpans(text: string, refs: string[], known: ReadonlySet<string>): TextSpan[] {
  const spans: TextSpan[] = [];
  const seen = new Set<string>();
  let from = 0;
  for (const match of text.matchAll(/\[([A-Za-z]{1,3}\d{1,6})\]/g)) {
    const ref = match[1] ?? '';
    if (!known.has(ref)) continue;
    if (match.index > from) spans.push({ text: text.slice(from, match.index) });
    spans.push({ text: match[0], ref });
    seen.add(ref);
    from = match.index + match[0].length;
  }
  if (from < text.length) spans.push({ text: text.slice(from) });
  for (const ref of refs) {
    if (seen.has(ref) || !known.has(ref)) continue;
    seen.add(ref);
    // After Latin text a mark is set apart, after Chinese it follows closely.
    const last = spans.at(-1);
    if (last && !last.ref && /[!-~]$/.test(last.text)) spans.push({ text: ' ' });
    spans.push({ text: `[${ref}]`, ref });
  }
  return spans;
}

/** Paragraphs of a text: one per non-empty line. */
export const paragraphsOf = (text: string): string[] =>
  text
    .split(/\r\n|[\n\r\u2028\u2029]/)
    .map((line) => line.trim())
    .filter((line) => line !== '');
