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
