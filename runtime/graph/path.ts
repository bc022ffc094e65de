import { AppError } from '../../core/errors.ts';
import { isRecord } from './values.ts';

/** A parsed path: names, and indexes of lists (negative ones count from the end). Never empty. */
export type Path = readonly (string | number)[];

const NAME = /[\p{L}\p{M}\p{N}_$-]+/uy;
const INDEX = /\[(?:(-?\d{1,9})|'([^'\]\n]{1,200})'|"([^"\]\n]{1,200})")\]/y;
const MAX_SEGMENTS = 64;

/** Reads a path that begins at `start`; undefined when there is none. */
export function scanPath(text: string, start: number): { path: Path; end: number } | undefined {
  const path: (string | number)[] = [];
  let at = start;
  for (;;) {
    NAME.lastIndex = at;
    const name = NAME.exec(text)?.[0];
    if (name === undefined) return undefined;
    path.push(name);
    at += name.length;
    while (text[at] === '[') {
      INDEX.lastIndex = at;
      const match = INDEX.exec(text);
      if (!match) return undefined;
      path.push(match[1] === undefined ? (match[2] ?? match[3] ?? '') : Number(match[1]));
      at += match[0].length;
    }
    if (path.length > MAX_SEGMENTS) return undefined;
    if (text[at] !== '.') return { path, end: at };
    at += 1;
  }
}

/** Reads a whole text as a path, also in braces (`{a.b}`, `{{a.b}}`) or after `$.`; undefined when it is none. */
export function parsePath(text: string): Path | undefined {
  let inner = text.trim();
  if (inner.startsWith('{{') && inner.endsWith('}}')) inner = inner.slice(2, -2).trim();
  else if (inner.startsWith('{') && inner.endsWith('}')) inner = inner.slice(1, -1).trim();
  if (inner.startsWith('$.')) inner = inner.slice(2);
  const scanned = scanPath(inner, 0);
  return scanned?.end === inner.length ? scanned.path : undefined;
}

export const pathText = (path: Path): string =>
  path.map((part, at) => (typeof part === 'number' ? `[${part}]` : at === 0 ? part : `.${part}`)).join('');

/** One step into a value: own fields of objects, items of lists and their `length`. Undefined when there is nothing. */
export function member(value: unknown, part: string | number): unknown {
  if (Array.isArray(value)) {
    if (part === 'length') return value.length;
    const index = typeof part === 'number' ? part : /^\d{1,9}$/.test(part) ? Number(part) : undefined;
    return index === undefined ? undefined : value.at(index);
  }
  return isRecord(value) && Object.hasOwn(value, part) ? value[part] : undefined;
}

/** The value at `path.slice(from)`, or undefined. Never looks at anything inherited. */
export function getPath(value: unknown, path: Path, from = 0): unknown {
  for (let at = from; at < path.length; at += 1) {
    const part = path[at];
    if (part === undefined) return undefined;
    value = member(value, part);
    if (value === undefined) return undefined;
  }
  return value;
}

/**
 * Sets the value at a dotted target and builds the objects on the way; a value in the way that is no object is replaced.
 *
 * @param target changed in place; only objects that this function made or that the caller owns may be on the way
 * @throws {AppError} PATH_UNSAFE for `__proto__`
 */
export function setPath(target: Record<string, unknown>, names: readonly string[], value: unknown): void {
  let holder = target;
  names.forEach((name, at) => {
    if (name === '__proto__') {
      throw new AppError('invalid', 'PATH_UNSAFE', {
        zh: `不允许写入字段 ${name}`,
        en: `The field ${name} cannot be set`,
      });
    }
    if (at === names.length - 1) {
      holder[name] = value;
      return;
    }
    const next = Object.hasOwn(holder, name) ? holder[name] : undefined;
    const inner: Record<string, unknown> = isRecord(next) ? next : {};
    holder[name] = inner;
    holder = inner;
  });
}
