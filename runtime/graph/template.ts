import { AppError } from '../../core/errors.ts';
import { GRAPH_LIMITS } from './limits.ts';
import { type Path, pathText, scanPath } from './path.ts';
import { isLarger } from './size.ts';
import type { Scope } from './types.ts';
import { textOf } from './values.ts';

/** A placeholder of a template: its path, and the text that it was written as. */
export interface Placeholder {
  path: Path;
  source: string;
}

/** A parsed template: text and placeholders in order. The sources of all parts joined are the template. */
export interface Template {
  parts: readonly (string | Placeholder)[];
}

/**
 * Parses `{path}` and `{{path}}`. Everything else is text: unclosed braces, JSON, code. Never fails; takes time linear in the text.
 */
export function parseTemplate(text: string): Template {
  const parts: (string | Placeholder)[] = [];
  let textFrom = 0;
  let at = text.indexOf('{');
  while (at !== -1) {
    const found = placeholderAt(text, at);
    if (found) {
      if (at > textFrom) parts.push(text.slice(textFrom, at));
      parts.push({ path: found.path, source: text.slice(at, found.end) });
      textFrom = found.end;
    }
    at = text.indexOf('{', found ? found.end : at + 1);
  }
  if (textFrom < text.length) parts.push(text.slice(textFrom));
  return { parts };
}

/** The placeholder that begins with the brace at `at`. Double braces go before single ones. */
export function placeholderAt(text: string, at: number): { path: Path; end: number } | undefined {
  const braces = text[at + 1] === '{' ? 2 : 1;
  const scanned = scanPath(text, skipSpace(text, at + braces));
  if (!scanned) return undefined;
  const close = skipSpace(text, scanned.end);
  return text.startsWith('}'.repeat(braces), close) ? { path: scanned.path, end: close + braces } : undefined;
}

/**
 * Placeholders that begin and do not end (`{name`, `{{name}`), as they are written. They stay text; braces of JSON and code are
 * none of them.
 */
export function openPlaceholders(text: string): string[] {
  const found: string[] = [];
  let at = text.indexOf('{');
  let close = text.indexOf('}');
  while (at !== -1) {
    // Looked for once and not from each brace: text without one is read to its end each time.
    if (close !== -1 && close < at) close = text.indexOf('}', at);
    const whole = placeholderAt(text, at);
    const braces = text[at + 1] === '{' ? 2 : 1;
    const scanned = whole ? undefined : scanPath(text, skipSpace(text, at + braces));
    const next = text.indexOf('{', scanned?.end ?? at + 1);
    const isOpen = close === -1 || (next !== -1 && close > next) || (braces === 2 && close === scanned?.end);
    if (scanned && isOpen) found.push(text.slice(at, scanned.end));
    at = whole ? text.indexOf('{', whole.end) : next;
  }
  return found;
}

function skipSpace(text: string, at: number): number {
  const most = at + 20;
  while (at < most && (text[at] === ' ' || text[at] === '\t')) at += 1;
  return at;
}

/** Paths that a template names, for the validator and for editors. */
export const templatePaths = (template: Template): Path[] =>
  template.parts.flatMap((part) => (typeof part === 'string' ? [] : [part.path]));

export interface Rendered {
  text: string;
  /** Placeholders that found nothing, as they were written; they stay in the text. */
  unresolved: string[];
}

/**
 * Fills a template. Null becomes nothing, lists and objects become JSON, what finds nothing stays as it is.
 *
 * @throws {AppError} TEXT_TOO_LONG
 */
export function renderTemplate(template: Template, scope: Scope): Rendered {
  const unresolved: string[] = [];
  let text = '';
  for (const part of template.parts) {
    if (typeof part === 'string') {
      text += part;
      continue;
    }
    const value = scope.lookup(part.path);
    if (value === undefined) unresolved.push(part.source);
    // Before it is made: a few short templates one behind the other double a text as often as they like.
    if (isLarger(value, GRAPH_LIMITS.textChars - text.length)) throw tooLong();
    text += value === undefined ? part.source : textOf(value);
  }
  if (text.length > GRAPH_LIMITS.textChars) throw tooLong();
  return { text, unresolved };
}

const tooLong = () =>
  new AppError('too_large', 'TEXT_TOO_LONG', {
    zh: `模板生成的文本超过 ${GRAPH_LIMITS.textChars} 个字符`,
    en: `the text of the template is longer than ${GRAPH_LIMITS.textChars} characters`,
  });

/** The value of a template: that of its placeholder when it is nothing else (typed; null when it finds nothing), else its text. */
export function templateValue(template: Template, scope: Scope): { value: unknown; unresolved: string[] } {
  const [only] = template.parts;
  if (template.parts.length === 1 && only !== undefined && typeof only !== 'string') {
    const value = scope.lookup(only.path);
    return value === undefined ? { value: null, unresolved: [pathText(only.path)] } : { value, unresolved: [] };
  }
  const { text, unresolved } = renderTemplate(template, scope);
  return { value: text, unresolved };
}
