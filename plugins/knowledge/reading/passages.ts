import { type Block, hasText } from './blocks.ts';

/** A piece of a document that is found and cited as one. */
export interface Passage {
  text: string;
  /** Headings above it, outermost first. */
  headings: string[];
  /** First and last page, from 1; undefined where the format has none. */
  page?: number | undefined;
  pageEnd?: number | undefined;
}

export interface PassageSizes {
  /** Characters of a passage. */
  text: number;
  /** A table up to this length stays in one piece. */
  table: number;
}

/** Measured: up to 900 characters without overlap finds best; shorter ones lose context, longer ones precision. */
export const PASSAGE_SIZES: PassageSizes = { text: 900, table: 1800 };

/** A passage shorter than this takes what follows a heading, too. */
const SMALL = 200;
const LONGEST_HEADING = 200;

interface Part {
  text: string;
  page: number | undefined;
  pageEnd: number | undefined;
}

/** Cuts a document into passages at the ends of paragraphs, and long paragraphs at the ends of sentences. */
export function cutPassages(blocks: readonly Block[], sizes: PassageSizes = PASSAGE_SIZES): Passage[] {
  const passages: Passage[] = [];
  const path: { level: number; text: string }[] = [];
  let parts: Part[] = [];
  let length = 0;
  let headings: string[] = [];

  const flush = () => {
    const text = parts.map((part) => part.text).join('\n');
    if (hasText(text)) {
      const [page] = parts.map((part) => part.page).filter((number) => number !== undefined);
      const pageEnd = parts.findLast((part) => part.pageEnd !== undefined)?.pageEnd;
      passages.push({ text, headings, ...(page !== undefined && { page, pageEnd: pageEnd ?? page }) });
    }
    parts = [];
    length = 0;
  };
  const add = (text: string, page: number | undefined, pageEnd: number | undefined, limit: number) => {
    if (length > 0 && length + text.length + 1 > limit) flush();
    if (length === 0) headings = path.map((heading) => heading.text);
    parts.push({ text, page, pageEnd });
    length += text.length + 1;
  };

  for (const block of blocks) {
    if (block.kind === 'heading') {
      if (length >= SMALL) flush();
      while ((path.at(-1)?.level ?? 0) >= block.level) path.pop();
      path.push({ level: block.level, text: block.text.slice(0, LONGEST_HEADING) });
      add(block.text.slice(0, sizes.text), block.page, block.page, sizes.text);
    } else if (block.kind === 'table') {
      for (const text of cutTable(block.rows, block.headers, sizes)) add(text, block.page, block.page, sizes.table);
      if (length > sizes.text) flush();
    } else {
      const pageEnd = block.pageEnd ?? block.page;
      // A heading never stands alone: the first piece takes the room that it leaves.
      const room = length > 0 && length < SMALL ? sizes.text - length - 1 : sizes.text;
      for (const text of cutText(block.text, sizes.text, room)) add(text, block.page, pageEnd, sizes.text);
    }
  }
  flush();
  return passages;
}

/** A table in one piece when it fits, else by rows, each piece with the head. */
function* cutTable(rows: readonly string[], headers: number, sizes: PassageSizes): Generator<string> {
  const whole = rows.reduce((sum, row) => sum + row.length + 1, 0);
  if (whole <= sizes.table) {
    yield rows.join('\n');
    return;
  }
  const head = rows
    .slice(0, headers)
    .join('\n')
    .slice(0, sizes.text / 3);
  let piece = head;
  for (const row of rows.slice(headers)) {
    for (const part of cutText(row, sizes.text - head.length - 1)) {
      if (piece !== head && piece.length + part.length + 1 > sizes.text) {
        yield piece;
        piece = head;
      }
      piece += piece === '' ? part : `\n${part}`;
    }
  }
  if (piece !== head) yield piece;
}

/** Where a text may be cut, best first: sentences, clauses, blanks. */
const CUTS = [/[。！？；!?;\n][”’」』）)"']*|\.(?=\s)/g, /[，、：,:]/g, /\s/g];

/**
 * Pieces of at most `limit` characters (the first one: `first`), together the whole text; cut as late as possible in the best way that
 * leaves no crumbs.
 */
export function* cutText(text: string, limit: number, first = limit): Generator<string> {
  let from = 0;
  while (text.length - from > (from === 0 ? first : limit)) {
    const room = from === 0 ? first : limit;
    const end = from + cutAt(text.slice(from, from + room), room);
    const piece = text.slice(from, end).trim();
    if (piece !== '') yield piece;
    from = end;
  }
  const rest = text.slice(from).trim();
  if (rest !== '') yield rest;
}

function cutAt(window: string, limit: number): number {
  for (const cut of CUTS) {
    let last = 0;
    for (const match of window.matchAll(cut)) last = match.index + match[0].length;
    if (last > limit / 3) return last;
  }
  // Never between the halves of a character outside the basic plane.
  const code = window.charCodeAt(window.length - 1);
  return code >= 0xd800 && code <= 0xdbff ? window.length - 1 : window.length;
}
