import type { Path } from '../path.ts';
import { placeholderAt } from '../template.ts';
import { syntaxError } from './errors.ts';

export type Token = { start: number; end: number } & (
  | { type: 'number'; value: number }
  | { type: 'text'; value: string }
  | { type: 'path'; path: Path }
  | { type: 'word'; value: string }
  | { type: 'symbol'; value: string }
  | { type: 'end' }
);

const SPACE = /\s+/uy;
const NUMBER = /(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?/y;
const WORD = /[\p{L}_$][\p{L}\p{M}\p{N}_$]*/uy;
const SYMBOL = /===|!==|==|!=|>=|<=|&&|\|\||[><!+\-*/%(),[\]=&|]/y;
const ESCAPES: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', '\\': '\\', "'": "'", '"': '"' };

/** @throws {ExpressionError} EXPRESSION_INVALID */
export function tokenize(source: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  const match = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    return pattern.exec(source)?.[0];
  };
  for (;;) {
    at += match(SPACE)?.length ?? 0;
    const start = at;
    const first = source[at];
    if (first === undefined) {
      tokens.push({ type: 'end', start, end: start });
      return tokens;
    }
    if (first === '{') {
      const found = placeholderAt(source, at);
      if (!found) throw syntaxError(at, '占位符写法不正确，应为 {路径}', 'a placeholder must be {path}');
      at = found.end;
      tokens.push({ type: 'path', path: found.path, start, end: at });
      continue;
    }
    if (first === '"' || first === "'") {
      const { value, end } = readText(source, at);
      at = end;
      tokens.push({ type: 'text', value, start, end });
      continue;
    }
    const number = match(NUMBER);
    if (number !== undefined) {
      at += number.length;
      if (!Number.isFinite(Number(number))) throw syntaxError(start, '数字过大', 'the number is too large');
      tokens.push({ type: 'number', value: Number(number), start, end: at });
      continue;
    }
    const word = match(WORD);
    const symbol = word === undefined ? match(SYMBOL) : undefined;
    if (word === undefined && symbol === undefined) {
      const sign = String.fromCodePoint(source.codePointAt(at) ?? 0);
      throw syntaxError(at, `不认识的字符 ${sign}`, `unknown character ${sign}`);
    }
    at += (word ?? symbol ?? '').length;
    if (word !== undefined) tokens.push({ type: 'word', value: word, start, end: at });
    else tokens.push({ type: 'symbol', value: symbol ?? '', start, end: at });
  }
}

function readText(source: string, start: number): { value: string; end: number } {
  const quote = source[start];
  let value = '';
  let at = start + 1;
  for (;;) {
    const sign = source[at];
    if (sign === undefined) throw syntaxError(start, '字符串没有结束引号', 'the text has no closing quote');
    if (sign === quote) return { value, end: at + 1 };
    if (sign === '\\') {
      const escaped = source[at + 1];
      if (escaped === undefined) throw syntaxError(start, '字符串没有结束引号', 'the text has no closing quote');
      value += ESCAPES[escaped] ?? `\\${escaped}`;
      at += 2;
    } else {
      value += sign;
      at += 1;
    }
  }
}
