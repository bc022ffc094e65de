import { DBRef } from 'bson';
import { type Doc, get, isDoc, put } from './bson.ts';
import { CommandError } from './errors.ts';

export const isIndex = (part: string | undefined): part is string =>
  part !== undefined && /^(0|[1-9]\d{0,9})$/.test(part);

export function splitPath(path: string): string[] {
  const parts = path.split('.');
  if (parts.length > 200) throw new CommandError(2, 'A field path may have at most 200 parts');
  return parts;
}

/** A field of a document; the parts of a reference are fields like others. */
export function field(value: unknown, name: string): unknown {
  if (value instanceof DBRef) {
    if (name === '$ref') return value.collection;
    if (name === '$id') return value.oid;
    return name === '$db' ? value.db : get(value.fields, name);
  }
  return isDoc(value) ? get(value, name) : undefined;
}

/**
 * Visits the values a query path means: arrays on the way are searched element by element, and by position when the part
 * is a number. A path that ends early gives `undefined` once per branch. Stops at the first visit that returns true.
 */
export function walk(
  value: unknown,
  parts: readonly string[],
  at: number,
  visit: (value: unknown) => boolean,
): boolean {
  const part = parts[at];
  if (part === undefined) return visit(value);
  if (Array.isArray(value)) {
    if (isIndex(part) && Number(part) < value.length && walk(value[Number(part)], parts, at + 1, visit)) return true;
    for (const item of value) if (isDoc(item) && walk(item, parts, at, visit)) return true;
    return false;
  }
  return walk(field(value, part), parts, value === undefined ? parts.length : at + 1, visit);
}

/** The value of a path as expressions see it: through arrays it becomes an array of what is there. */
export function resolve(value: unknown, parts: readonly string[], at = 0): unknown {
  const part = parts[at];
  if (part === undefined) return value;
  if (Array.isArray(value)) {
    const found: unknown[] = [];
    for (const item of value) {
      if (!isDoc(item) && !Array.isArray(item)) continue;
      const inner = resolve(item, parts, at);
      if (inner !== undefined) found.push(inner);
    }
    return found;
  }
  return resolve(field(value, part), parts, value === undefined ? parts.length : at + 1);
}

/** Sets a dotted path in a new document; documents on the way are made. */
export function assign(doc: Doc, parts: readonly string[], value: unknown): void {
  let target = doc;
  for (let i = 0; i < parts.length - 1; i++) {
    const part = parts[i] ?? '';
    let next = get(target, part);
    if (!isDoc(next)) {
      next = {};
      put(target, part, next);
    }
    target = next as Doc;
  }
  put(target, parts.at(-1) ?? '', value);
}
