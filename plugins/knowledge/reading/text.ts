import { tooManyPages } from '../errors.ts';
import { type Block, joinAll, type ReadDocument } from './blocks.ts';

const LINE = /\r\n?|\n|\u2028|\u2029/;

export const linesOf = (text: string): string[] => text.split(LINE);

/**
 * Plain text: paragraphs are apart by blank lines, or, where there are none, every line is one. Form feeds begin pages.
 *
 * @throws {UnreadableError} DOCUMENT_TOO_MANY_PAGES
 */
export function readText(text: string, mostPages: number): ReadDocument {
  const sheets = text.split('\f');
  if (sheets.length > mostPages) throw tooManyPages(sheets.length, mostPages);
  const paged = sheets.length > 1;
  const blocks: Block[] = [];
  for (const [at, sheet] of sheets.entries()) {
    for (const paragraph of paragraphsOf(sheet)) {
      blocks.push({ kind: 'text', text: paragraph, ...(paged && { page: at + 1 }) });
    }
  }
  return { blocks, ...(paged && { pages: sheets.length }) };
}

function paragraphsOf(text: string): string[] {
  const lines = linesOf(text).map((line) => line.trim());
  const blank = lines.slice(1, -1).some((line) => line === '');
  if (!blank) return lines.filter((line) => line !== '');
  const paragraphs: string[] = [];
  let current: string[] = [];
  const end = () => {
    if (current.length > 0) paragraphs.push(isWrapped(current) ? joinAll(current) : current.join('\n'));
    current = [];
  };
  for (const line of lines) {
    if (line === '') end();
    else current.push(line);
  }
  end();
  return paragraphs;
}

/** Lines of about the same length that break in the middle of sentences were wrapped by a program; lists and verses were not. */
function isWrapped(lines: string[]): boolean {
  if (lines.length < 2) return false;
  const inner = lines.slice(0, -1);
  const longest = Math.max(...inner.map((line) => line.length));
  return longest >= 20 && inner.every((line) => line.length > longest * 0.6 && !/^[-*•\d（(]/.test(line));
}
