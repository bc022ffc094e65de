import { type Block, joinLines, rowText } from './blocks.ts';
import type { Line } from './pdf-lines.ts';

const SENTENCE_END = /[。！？；：.!?;:”"』」）)]$/;
const PAGE_NUMBER =
  /^(?:[-—–\s]*\d{1,4}[-—–\s]*|第\s*\d+\s*页(?:\s*[,，/]?\s*共\s*\d+\s*页)?|page\s+\d+(?:\s*(?:of|\/)\s*\d+)?|\d+\s*\/\s*\d+)$/i;
const NUMBERED =
  /^(?:第[一二三四五六七八九十百零\d]{1,4}[章节篇部编]|[一二三四五六七八九十]{1,3}、|\d{1,2}(?:\.\d{1,2}){1,3}\s)/;
const LONGEST_HEADING = 80;
/** Characters after which a paragraph ends whatever follows: documents without any end of sentence stay fast. */
const LONGEST_PARAGRAPH = 20_000;

/** Paragraphs, headings and tables of a document from the lines of its pages. */
export function blocksOfPages(pages: readonly (readonly Line[])[]): Block[] {
  const body = bodySize(pages);
  const running = runningLines(pages);
  const sizes = headingSizes(pages, body);
  const blocks: Block[] = [];
  for (const [at, lines] of pages.entries()) {
    const shown = lines.filter(
      (line, index) =>
        !(running.has(maskDigits(line.text)) && isEdge(index, lines.length)) &&
        !(PAGE_NUMBER.test(line.text) && isEdge(index, lines.length)),
    );
    addPage(blocks, shown, { page: at + 1, body, sizes });
  }
  return blocks;
}

interface PageContext {
  page: number;
  body: number;
  sizes: readonly number[];
}

function addPage(blocks: Block[], lines: readonly Line[], { page, body, sizes }: PageContext): void {
  const right = Math.max(...lines.map((line) => line.right), 0);
  const left = Math.min(...lines.map((line) => line.left), Number.POSITIVE_INFINITY);
  let first = true;
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] as Line;
    const before = lines[at - 1];
    const rows = tableAt(lines, at);
    if (rows > 0) {
      const table = lines.slice(at, at + rows).map(({ cells }) => rowText(cells));
      blocks.push({ kind: 'table', rows: table, headers: 1, page });
      at += rows - 1;
      first = false;
      continue;
    }
    const level = headingLevel(line, body, sizes);
    const last = blocks.at(-1);
    if (level !== undefined) {
      const same = before && last?.kind === 'heading' && last.level === level && isNext(before, line) && !first;
      if (same) last.text = joinLines(last.text, line.text);
      else blocks.push({ kind: 'heading', level, text: line.text, page });
    } else if (last?.kind === 'text' && continues(last.text, before, line, { first, left, right })) {
      last.text = joinLines(last.text, line.text);
      last.pageEnd = page;
    } else blocks.push({ kind: 'text', text: line.text, page });
    first = false;
  }
}

/** How many lines from here on are rows of a table; a single one is none. */
function tableAt(lines: readonly Line[], from: number): number {
  let rows = 0;
  while ((lines[from + rows]?.cells.length ?? 0) >= 2) rows++;
  return rows >= 2 ? rows : 0;
}

const isNext = (before: Line, line: Line) => {
  const step = before.y - line.y;
  return step > 0 && step < Math.max(before.size, line.size) * 2.1;
};

/** Whether a line goes on with the paragraph before it. */
function continues(
  text: string,
  before: Line | undefined,
  line: Line,
  { first, left, right }: { first: boolean; left: number; right: number },
): boolean {
  if (text.length > LONGEST_PARAGRAPH) return false;
  const indented = line.left > left + line.size * 1.4;
  if (first || before === undefined) return !SENTENCE_END.test(text.slice(-4)) && !indented;
  if (Math.abs(before.size - line.size) > line.size * 0.15) return false;
  const step = before.y - line.y;
  // A column begins at the top again.
  if (step < 0) return !SENTENCE_END.test(text.slice(-4));
  if (step > line.size * 2.1) return false;
  if (line.left > before.left + line.size * 1.4) return false;
  // Lines that end far from the edge were not wrapped: rows of a table, items of a list.
  if (before.right - before.left < (right - left) * 0.4) return false;
  const isShort = before.right < left + (right - left) * 0.82;
  return !(isShort && SENTENCE_END.test(text.slice(-4)));
}

function headingLevel(line: Line, body: number, sizes: readonly number[]): number | undefined {
  if (line.text.length > LONGEST_HEADING || !/[\p{L}]/u.test(line.text)) return undefined;
  if (line.size > body * 1.12) return Math.min(6, sizes.indexOf(Math.round(line.size)) + 1);
  const numbered = line.text.length <= 40 && NUMBERED.test(line.text) && !/[。；，.;,]$/.test(line.text);
  return numbered && line.size >= body * 0.98 ? Math.min(6, sizes.length + 1) : undefined;
}

/** The size that most of the text has. */
function bodySize(pages: readonly (readonly Line[])[]): number {
  const sizes = new Map<number, number>();
  for (const { size, text } of pages.flat()) {
    const key = Math.round(size * 2) / 2;
    sizes.set(key, (sizes.get(key) ?? 0) + text.length);
  }
  return [...sizes].sort((a, b) => b[1] - a[1])[0]?.[0] ?? 0;
}

/** Sizes above that of the body, largest first: their places are the levels of the headings. */
function headingSizes(pages: readonly (readonly Line[])[], body: number): number[] {
  const sizes = new Set<number>();
  for (const { size, text } of pages.flat())
    if (size > body * 1.12 && text.length <= LONGEST_HEADING) sizes.add(Math.round(size));
  return [...sizes].sort((a, b) => b - a);
}

const isEdge = (index: number, count: number) => index < 2 || index >= count - 2;
const maskDigits = (text: string) => text.replace(/\d+/g, '#').replace(/\s+/g, '');

/** Lines that stand at the edge of most pages: headers and footers. */
function runningLines(pages: readonly (readonly Line[])[]): ReadonlySet<string> {
  const counts = new Map<string, number>();
  for (const lines of pages) {
    const edges = new Set(lines.filter((_, index) => isEdge(index, lines.length)).map(({ text }) => maskDigits(text)));
    for (const edge of edges) counts.set(edge, (counts.get(edge) ?? 0) + 1);
  }
  const enough = Math.max(3, pages.length / 2);
  return new Set([...counts].filter(([, count]) => count >= enough).map(([text]) => text));
}
