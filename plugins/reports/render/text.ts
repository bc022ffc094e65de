// `\p{Cc}` is the class of control characters; tab and line feed are kept.
const controls = /(?![\t\n])\p{Cc}|[\uFFFE\uFFFF]/gu;

/**
 * Text that every format can hold: no control characters (XML forbids most of them), no half surrogate pairs, one
 * kind of line end.
 */
export function plainText(text: string): string {
  return text
    .toWellFormed()
    .replace(/\r\n?|[\u2028\u2029]/g, '\n')
    .replace(controls, '');
}

/** `plainText` in one line. */
export const plainLine = (text: string): string => plainText(text).replace(/\s+/g, ' ').trim();

const number =
  /^[-\u2212–+(\uff08]?\s*(?:[\u00a5\uffe5$€]\s*)?\d[\d,]*(?:\.\d+)?\s*(?:%|‰|[^\d\s.,:/-]{1,5})?[)\uff09]?$/;

/** Whether a cell reads as a number: those are set flush right. */
export const looksNumeric = (cell: string): boolean => cell.length <= 32 && number.test(cell.trim());

const empty = /^[\s—–/-]*$/;

/** Columns whose filled cells are nearly all numbers. */
export function numericColumns(rows: string[][], columns: number): boolean[] {
  return Array.from({ length: columns }, (_, column) => {
    let filled = 0;
    let numeric = 0;
    for (const row of rows.slice(0, 200)) {
      const cell = row[column] ?? '';
      if (empty.test(cell)) continue;
      filled += 1;
      if (looksNumeric(cell)) numeric += 1;
    }
    return filled > 0 && numeric >= filled * 0.8;
  });
}

/** Characters as people count them: an emoji or a rare Han character is one and not two. */
export function countCharacters(text: string): number {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}

/** The first characters of a text; never half a character. */
export function firstCharacters(text: string, count: number): string {
  if (text.length <= count) return text;
  // Two UTF-16 units a character at most: of a text of megabytes no more than that is looked at.
  return [...text.slice(0, 2 * count)].slice(0, count).join('');
}

/** A text of at most so many characters; a longer one ends in an ellipsis. */
export function shorten(text: string, count: number): string {
  if (text.length <= count) return text;
  const kept = firstCharacters(text, count);
  return kept.length === text.length ? text : `${firstCharacters(text, count - 1)}…`;
}

// What a reader would take for a source mark, also with signs in it that have no shape.
const mark =
  /\[(?=[\s\p{Cc}\p{DI},、，;；]*[DＤ][\s\p{Cc}\p{DI},、，;；]*\p{Nd})([\s\p{Cc}\p{DI}\p{Nd}DＤ,、，;；-]*)\]/giu;

/** A text of a user in which nothing can be taken for a source mark: `[D9]` stands in full-width brackets. */
export const withoutMarks = (text: string): string => (text.includes('[') ? text.replace(mark, '［$1］') : text);
