import { notAllowed } from './checked.ts';

/** A MySQL text in the two forms that the check needs. */
export interface MysqlText {
  /** Without comments: what is sent to the server. */
  sql: string;
  /**
   * The same with every string literal replaced by a harmless one. This is what is parsed, so that no difference between the parser's
   * and the server's idea of where a string ends can hide anything.
   */
  masked: string;
}

const refused = {
  executable: () =>
    notAllowed(
      '不允许可执行注释或提示（/*! */、/*+ */）',
      'Executable comments and hints (/*! */, /*+ */) are not possible',
    ),
  open: () => notAllowed('引号或注释没有结束', 'A quote or a comment does not end'),
  character: () => notAllowed('包含不允许的字符', 'It contains a character that is not possible'),
};

/**
 * Reads a text as the server does with our session's `sql_mode` (backslash escapes, double quotes are strings).
 *
 * @throws {AppError} QUERY_NOT_ALLOWED for comments that the server executes, quotes without end, odd characters
 */
export function readMysqlText(text: string): MysqlText {
  const sql: string[] = [];
  const masked: string[] = [];
  const both = (part: string) => {
    sql.push(part);
    masked.push(part);
  };
  for (let at = 0; at < text.length; ) {
    const char = text.charAt(at);
    const next = text.charAt(at + 1);
    if (char === "'" || char === '"') {
      const end = endOfString(text, at);
      sql.push(text.slice(at, end));
      masked.push(maskFor(masked));
      at = end;
    } else if (char === '`') {
      const end = endOfName(text, at);
      both(text.slice(at, end));
      at = end;
    } else if (char === '#' || (char === '-' && next === '-' && /^[\s\p{Cc}]?$/u.test(text.charAt(at + 2)))) {
      const end = text.indexOf('\n', at);
      both(' ');
      at = end < 0 ? text.length : end + 1;
    } else if (char === '/' && next === '*') {
      // MariaDB executes `/*!` and `/*M!`; `/*+` sets variables.
      if (/^\/\*(M?!|\+)/i.test(text.slice(at, at + 4))) throw refused.executable();
      const end = text.indexOf('*/', at + 2);
      if (end < 0) throw refused.open();
      both(' ');
      at = end + 2;
    } else if (char === '-' && next === '-') {
      // Two minus signs to the server, but a comment to many parsers.
      both('- ');
      at += 1;
    } else if (char === '$' || char === '\\' || isOdd(char)) {
      throw refused.character();
    } else {
      both(char);
      at += 1;
    }
  }
  return { sql: sql.join('').trim(), masked: masked.join('').trim() };
}

/** Control and format characters and spaces that servers and parsers may take differently. */
const isOdd = (char: string) => !/[\t\n\r]/.test(char) && /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\u00a0]/u.test(char);

function endOfString(text: string, start: number): number {
  const quote = text.charAt(start);
  for (let at = start + 1; at < text.length; at += 1) {
    const char = text.charAt(at);
    if (char === '\\') at += 1;
    else if (char === quote) {
      if (text.charAt(at + 1) !== quote) return at + 1;
      at += 1;
    }
  }
  throw refused.open();
}

function endOfName(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at += 1) {
    const char = text.charAt(at);
    if (char === '\0' || char === '\n' || char === '\\') throw refused.character();
    if (char === '`') {
      if (text.charAt(at + 1) !== '`') return at + 1;
      at += 1;
    }
  }
  throw refused.open();
}

/** Bit and hex literals need digits, everything else takes any text. */
const maskFor = (before: string[]) => (/(^|[^\w])[xb]$/i.test(before.slice(-2).join('')) ? "'00'" : "'s'");
