/** A piece of text as it stands on a page; lengths in points, y upwards. */
export interface Piece {
  text: string;
  x: number;
  y: number;
  width: number;
  /** Size of the font. */
  size: number;
  /** The last one of its line. */
  ends: boolean;
}

/** One line of a page. */
export interface Line {
  text: string;
  /** Texts that stand far apart: columns of a table. */
  cells: string[];
  left: number;
  right: number;
  y: number;
  size: number;
}

const CJK = /[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]/;
/** Gaps in parts of the font size: wider than this is a blank, and wider than that a new cell. */
const BLANK = 0.2;
const CELL = 1.6;

/** Programs write radicals (U+2F00) and ligatures for what they look like; readers and searches mean the plain characters. */
const LOOKALIKE = /[\u2e80-\u2fdf\uf900-\ufaff\ufb00-\ufb06]/g;
const plain = (text: string): string =>
  text
    .replace(LOOKALIKE, (character) => RADICALS.get(character) ?? character.normalize('NFKC'))
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they come from broken fonts
    .replace(/[\u0000-\u0008\u000b-\u001f\u00ad\u200b\ufeff]/g, '')
    .replace(/[\u00a0\t\n]/g, ' ');
/** Simplified radicals that Unicode gives no plain form for. */
const RADICALS = new Map(
  [
    ...'⻅见⻆角⻉贝⻋车⻓长⻔门⻙韦⻚页⻛风⻜飞⻝食⻢马⻣骨⻤鬼⻥鱼⻦鸟⻨麦⻩黄⻬齐⻮齿⻰龙⺠民⺟母⻘青⻳龟⻄西',
  ].reduce<[string, string][]>((pairs, character, at, all) => {
    if (at % 2 === 0) pairs.push([character, all[at + 1] ?? character]);
    return pairs;
  }, []),
);

/** Puts the pieces of a page together to lines, in the order in which the page was written. */
export function linesOfPage(pieces: readonly Piece[]): Line[] {
  const lines: Line[] = [];
  let current: Piece[] = [];
  const end = () => {
    const line = lineOf(current);
    if (line) lines.push(line);
    current = [];
  };
  for (const piece of pieces) {
    const before = current.at(-1);
    if (before && Math.abs(piece.y - before.y) > Math.max(piece.size, before.size) * 0.6) end();
    if (piece.text !== '') current.push(piece);
    if (piece.ends && current.length > 0) {
      // A row of a table is written cell by cell, each with an end of line: only a new height begins a new line.
      current.push({ ...piece, text: '', width: 0, x: piece.x + piece.width });
    }
  }
  end();
  return lines;
}

function lineOf(pieces: readonly Piece[]): Line | undefined {
  const cells: string[] = [];
  let cell = '';
  let right = Number.NEGATIVE_INFINITY;
  let left = Number.POSITIVE_INFINITY;
  let size = 0;
  let y = 0;
  let weight = 0;
  for (const piece of pieces) {
    const text = plain(piece.text);
    if (text.trim() === '') {
      if (text !== '' && cell !== '' && !cell.endsWith(' ')) cell += ' ';
      continue;
    }
    const gap = piece.x - right;
    const unit = piece.size || size || 1;
    if (cell.trim() !== '' && (gap > unit * CELL || gap < -unit * 4)) {
      cells.push(cell.trim());
      cell = '';
    } else if (gap > unit * BLANK && !cell.endsWith(' ') && cell !== '') {
      if (!(CJK.test(cell.at(-1) ?? '') && CJK.test(text[0] ?? ''))) cell += ' ';
    }
    cell += text;
    left = Math.min(left, piece.x);
    right = piece.x + piece.width;
    if (text.length > weight) {
      weight = text.length;
      size = piece.size;
      y = piece.y;
    }
  }
  if (cell.trim() !== '') cells.push(cell.trim());
  if (cells.length === 0) return undefined;
  const shown = cells.map((text) => text.replace(BULLET, '• ').replace(SPACED, (run) => run.replaceAll(' ', '')));
  return { text: shown.join(' '), cells: shown, left, right, y, size };
}

/** Signs of symbol fonts, which have no meaning of their own; most are the dots before items. */
const BULLET = /^[\uf000-\uf0ff]\s*/;
/** Justified Chinese lines are stretched character by character: blanks between single characters, several times, are no blanks. */
const SPACED = /[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef](?: [\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]){3,}/g;
