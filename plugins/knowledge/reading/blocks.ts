/** One piece of a document in reading order. Pages count from 1 and are missing where the format has none. */
export type Block =
  | { kind: 'heading'; level: number; text: string; page?: number | undefined }
  | { kind: 'text'; text: string; page?: number | undefined; pageEnd?: number | undefined }
  /** One text per row; the first `headers` rows are repeated when the table has to be cut. */
  | { kind: 'table'; rows: string[]; headers: number; page?: number | undefined };

export interface ReadDocument {
  blocks: Block[];
  /** Undefined where the format has no pages. */
  pages?: number | undefined;
}

/** What one document may take; beyond it the document fails alone. */
export interface ReadLimits {
  pages: number;
  /** Characters of the whole text. */
  characters: number;
  /** Entries of an archive. */
  entries: number;
  /** Bytes of an archive's parts after decompression. */
  expandedBytes: number;
}

export interface ReadContext {
  limits: ReadLimits;
  signal: AbortSignal;
  /** 0-1. */
  report(fraction: number): void;
}

const CJK = /[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]/;

/** Joins two lines of one paragraph: Chinese without a space, a hyphenated word without the hyphen. */
export function joinLines(before: string, after: string): string {
  if (before === '') return after;
  const last = before.at(-1) ?? '';
  const next = after[0] ?? '';
  if (CJK.test(last) || CJK.test(next)) return before + after;
  if (last === '-' && /[a-z]-$/.test(before) && /^[a-z]/.test(after)) return before.slice(0, -1) + after;
  return `${before} ${after}`;
}

/** `joinLines` over all lines of a paragraph, in one pass. */
export function joinAll(lines: readonly string[]): string {
  const parts: string[] = [];
  for (const line of lines) {
    const before = parts.at(-1);
    if (before === undefined) parts.push(line);
    else {
      const joined = joinLines(before.slice(-2), line);
      parts[parts.length - 1] = before.slice(0, -2);
      parts.push(joined);
    }
  }
  return parts.join('');
}

/** Cells of a row as one text. */
export const rowText = (cells: readonly string[]): string =>
  cells.map((cell) => cell.replace(/\s+/g, ' ').trim()).join(' | ');

const HAS_TEXT = /[\p{L}\p{N}]/u;
export const hasText = (text: string): boolean => HAS_TEXT.test(text);
