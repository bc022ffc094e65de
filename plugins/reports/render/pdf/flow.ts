import { markSpans, paragraphsOf, sourceAnchor } from '../structure.ts';
import { breakLines, type Line } from './lines.ts';
import type { Sheet, TextStyle } from './sheet.ts';
import { body, colors, headings } from './style.ts';

interface Mark {
  start: number;
  end: number;
  ref: string;
}

/** Text that may hold links to the appendix, ready to be broken into lines. */
interface MarkedText {
  text: string;
  marks: Mark[];
}

/** Paragraphs of a text with its source marks; an empty text gives none. */
export function drawParagraphs(sheet: Sheet, text: string, refs: string[], known: ReadonlySet<string>): void {
  const face = sheet.faces.regular;
  const parts = paragraphsOf(face.drawable(text));
  parts.forEach((part, index) => {
    // Marks that the text does not carry itself stand after its last paragraph.
    const rest = index === parts.length - 1 ? refs.filter((ref) => !text.includes(`[${ref}]`)) : [];
    drawMarked(sheet, marked(part, rest, known));
  });
}

function marked(text: string, refs: string[], known: ReadonlySet<string>): MarkedText {
  const marks: Mark[] = [];
  let whole = '';
  for (const span of markSpans(text, refs, known)) {
    if (span.ref) marks.push({ start: whole.length, end: whole.length + span.text.length, ref: span.ref });
    whole += span.text;
  }
  return { text: whole, marks };
}

function drawMarked(sheet: Sheet, { text, marks }: MarkedText): void {
  const style = { size: body.size } as const;
  const lines = breakLines(text, sheet.faces.regular, body.size, sheet.width, {
    indent: body.indent,
    glued: new Set(marks.map((mark) => mark.start)),
  });
  // Neither the first line alone at the foot of a page nor the last one alone at the top of the next.
  const keep = Math.min(lines.length, 2);
  sheet.need(keep * body.leading);
  lines.forEach((line, index) => {
    const orphan = index === lines.length - 2 && lines.length > 3 && sheet.room < 2 * body.leading;
    if (orphan || sheet.room < body.leading) sheet.newPage();
    drawSpans(sheet, line, sheet.left + (index === 0 ? body.indent : 0), style, marks);
    sheet.y += body.leading;
  });
  sheet.y += body.gap;
}

function drawSpans(sheet: Sheet, line: Line, x: number, style: TextStyle, marks: Mark[]): void {
  const face = sheet.faces.regular;
  let from = 0;
  const write = (text: string, color: string) => {
    sheet.line(text, x, sheet.y, body.leading, { ...style, color });
    x += face.width(text, style.size);
  };
  for (const mark of marks) {
    const start = mark.start - line.start;
    const end = mark.end - line.start;
    if (end <= 0 || start >= line.text.length) continue;
    if (start > from) write(line.text.slice(from, start), colors.text);
    const shown = line.text.slice(Math.max(0, start), end);
    sheet.link(x, sheet.y + 2, face.width(shown, style.size), body.leading - 4, sourceAnchor(mark.ref));
    write(shown, colors.link);
    from = end;
  }
  if (from < line.text.length) write(line.text.slice(from), colors.text);
}

export const headingStyle = (level: number) => headings[Math.min(level, headings.length) - 1] ?? headings[3];

/**
 * Draws a heading, on the next page when less than `following` points would be left below it.
 *
 * @returns its top on the page, for the outline
 */
export function drawHeading(sheet: Sheet, text: string, level: number, following: number, anchor: string): number {
  const style = headingStyle(level);
  const lines = breakLines(sheet.faces.bold.drawable(text), sheet.faces.bold, style.size, sheet.width);
  const height = lines.length * style.leading;
  const wanted = style.before + height + style.after + following;
  if (wanted > sheet.room && wanted < sheet.bottom) sheet.need(wanted);
  else sheet.need(style.before + 2 * style.leading);
  sheet.space(style.before);
  sheet.anchor(anchor);
  const top = sheet.y;
  for (const line of lines) {
    if (sheet.room < style.leading) sheet.newPage();
    sheet.line(line.text, sheet.left, sheet.y, style.leading, {
      size: style.size,
      weight: 'bold',
      color: level <= 2 ? colors.accent : colors.text,
    });
    sheet.y += style.leading;
  }
  if (level === 1) {
    sheet.rule(sheet.left, sheet.y + 3, sheet.width, colors.accent, 0.9);
    sheet.y += 4;
  }
  sheet.y += style.after;
  return top;
}

/** A caption with the link to the data package at its right; nothing when there is neither. */
export function drawCaption(sheet: Sheet, caption: string, dataLabel: string, ref: string | undefined): void {
  const top = sheet.y;
  const small = { size: 8.5, color: colors.link } as const;
  const link = ref ? sheet.faces.regular.drawable(dataLabel) : '';
  const linkWidth = sheet.faces.regular.width(link, small.size);
  const room = sheet.width - linkWidth - (link ? 12 : 0);
  const lines = caption ? breakLines(sheet.faces.bold.drawable(caption), sheet.faces.bold, 9.5, room).slice(0, 3) : [];
  if (link && ref) {
    const x = sheet.left + sheet.width - linkWidth;
    sheet.line(link, x, top, captionLeading, small);
    sheet.link(x, top + 2, linkWidth, captionLeading - 4, sourceAnchor(ref));
  }
  for (const line of lines) {
    sheet.line(line.text, sheet.left, sheet.y, captionLeading, { size: 9.5, weight: 'bold' });
    sheet.y += captionLeading;
  }
  if (lines.length === 0 && link) sheet.y += captionLeading;
}

const captionLeading = 17;
