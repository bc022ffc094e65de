import mongoose from 'mongoose';
import { AppError } from '../errors.ts';

/**
 * Free-form values (JSON of users, results of nodes) inside documents. Every `Mixed` path of every model passes through here,
 * so a caller may store any keys: an object whose keys MongoDB, BSON or mongoose would read as something else (`$set`, `a.b`,
 * `__proto__`, `_bsontype`) is stored as text under `~json` and comes back as it was. Everything else is stored as it is
 * and can be queried. Dates inside an object that is stored as text come back as ISO text.
 */
export type JsonPaths =
  | { readonly kind: 'free' }
  | { readonly kind: 'list'; readonly item: JsonPaths }
  | { readonly kind: 'fields'; readonly fields: ReadonlyMap<string, JsonPaths> };

/** A field of a model for free-form values. */
export const jsonField = (options: { required?: boolean; default?: () => unknown } = {}) => ({
  type: mongoose.Schema.Types.Mixed,
  ...options,
});

const TEXT_KEY = '~json';
/** Levels that are stored as documents; MongoDB allows 100 in all, what lies deeper is stored as text. */
const MAX_STORED_DEPTH = 60;
/** Deeper values are refused: everything that walks them, ours and the runtime's own, is recursive. */
const MAX_DEPTH = 500;

/** Names that mongoose or the BSON library treat as their own when they meet them in plain objects. */
const RESERVED_KEYS = new Set([
  TEXT_KEY,
  '',
  '__proto__',
  'constructor',
  'prototype',
  '_bsontype',
  'toBSON',
  'toJSON',
  'toObject',
  'valueOf',
  'isMongooseBuffer',
  'isMongooseArray',
]);

const isUnsafeKey = (key: string) =>
  key.startsWith('$') || key.includes('.') || key.includes('\0') || RESERVED_KEYS.has(key);

const isPlainObject = (value: unknown): value is Record<string, unknown> => {
  if (typeof value !== 'object' || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
};

function toText(value: unknown): Record<string, string> {
  checkDepth(value, MAX_DEPTH);
  return { [TEXT_KEY]: JSON.stringify(value) };
}

function checkDepth(value: unknown, levels: number): void {
  if (typeof value !== 'object' || value === null) return;
  if (levels === 0) {
    throw new AppError('invalid', 'JSON_TOO_DEEP', {
      zh: `数据嵌套超过 ${MAX_DEPTH} 层`,
      en: `The value is nested deeper than ${MAX_DEPTH} levels`,
    });
  }
  for (const inner of Object.values(value)) checkDepth(inner, levels - 1);
}

/** Turns a free-form value into its stored form; values that are safe as they are come back unchanged. */
export function encodeJson(value: unknown, depth = 0): unknown {
  if (Array.isArray(value)) {
    if (depth >= MAX_STORED_DEPTH) return toText(value);
    return mapChanged(value, (item) => encodeJson(item, depth + 1));
  }
  if (!isPlainObject(value)) return value;
  const keys = Object.keys(value);
  if (depth >= MAX_STORED_DEPTH || keys.some(isUnsafeKey)) return toText(value);
  let copy: Record<string, unknown> | undefined;
  for (const key of keys) {
    const encoded = encodeJson(value[key], depth + 1);
    if (encoded !== value[key]) {
      copy ??= { ...value };
      copy[key] = encoded;
    }
  }
  return copy ?? value;
}

/** The value as it was before `encodeJson`. Changes `value` in place where it can: it comes fresh from the driver. */
export function decodeJson(value: unknown): unknown {
  if (Array.isArray(value)) {
    for (let at = 0; at < value.length; at += 1) value[at] = decodeJson(value[at]);
    return value;
  }
  if (!isPlainObject(value)) return value;
  if (typeof value[TEXT_KEY] === 'string') return JSON.parse(value[TEXT_KEY]);
  for (const key of Object.keys(value)) value[key] = decodeJson(value[key]);
  return value;
}

/** Where a schema has free-form values; undefined when nowhere. */
export function jsonPathsOf(schema: mongoose.Schema): JsonPaths | undefined {
  const fields = new Map<string, JsonPaths>();
  schema.eachPath((path, type) => {
    const found = pathsOfType(type);
    if (found) insertAt(fields, path.split('.'), found);
  });
  return fields.size > 0 ? { kind: 'fields', fields } : undefined;
}

function pathsOfType(type: mongoose.SchemaType): JsonPaths | undefined {
  const { schema, embeddedSchemaType } = type as mongoose.SchemaType & {
    schema?: mongoose.Schema;
    embeddedSchemaType?: mongoose.SchemaType;
  };
  if (type.instance === 'Mixed') return { kind: 'free' };
  if (type.instance === 'Array' || type.instance === 'DocumentArray') {
    const item = schema ? jsonPathsOf(schema) : embeddedSchemaType && pathsOfType(embeddedSchemaType);
    return item && { kind: 'list', item };
  }
  return schema && jsonPathsOf(schema);
}

function insertAt(fields: Map<string, JsonPaths>, path: string[], paths: JsonPaths): void {
  const [head = '', ...rest] = path;
  if (rest.length === 0) {
    fields.set(head, paths);
    return;
  }
  const known = fields.get(head);
  const inner = known?.kind === 'fields' ? new Map(known.fields) : new Map<string, JsonPaths>();
  insertAt(inner, rest, paths);
  fields.set(head, { kind: 'fields', fields: inner });
}

/** Applies `change` to the free-form values of a document; returns the document itself when nothing changed. */
export function mapJson(paths: JsonPaths, value: unknown, change: (value: unknown) => unknown): unknown {
  if (paths.kind === 'free') return change(value);
  if (paths.kind === 'list') {
    return Array.isArray(value) ? mapChanged(value, (item) => mapJson(paths.item, item, change)) : value;
  }
  if (!isPlainObject(value)) return value;
  let copy: Record<string, unknown> | undefined;
  for (const [key, inner] of paths.fields) {
    // '$*' stands for every key of a mongoose Map.
    for (const name of key === '$*' ? Object.keys(value) : [key]) {
      if (!Object.hasOwn(value, name)) continue;
      const changed = mapJson(inner, value[name], change);
      if (changed !== value[name]) {
        copy ??= { ...value };
        copy[name] = changed;
      }
    }
  }
  return copy ?? value;
}

const SETTERS = new Set(['$set', '$setOnInsert']);
const PUSHERS = new Set(['$push', '$addToSet']);

/** Encodes the free-form values of an update. */
export function encodeUpdate(paths: JsonPaths, update: Record<string, unknown>): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const [operator, changes] of Object.entries(update)) {
    const encode = SETTERS.has(operator) ? encodeAt : PUSHERS.has(operator) ? encodePushed : undefined;
    result[operator] = isPlainObject(changes)
      ? Object.fromEntries(
          Object.entries(changes).map(([path, value]) => {
            const at = pathsAt(paths, path);
            return [path, encode && at ? encode(at, value) : value];
          }),
        )
      : changes;
  }
  return result;
}

const encodeAt = (paths: JsonPaths, value: unknown) => mapJson(paths, value, encodeJson);

function encodePushed(paths: JsonPaths, value: unknown): unknown {
  const item = paths.kind === 'list' ? paths.item : paths;
  if (isPlainObject(value) && Array.isArray(value.$each)) {
    return { ...value, $each: value.$each.map((each) => encodeAt(item, each)) };
  }
  return encodeAt(item, value);
}

function pathsAt(paths: JsonPaths, path: string): JsonPaths | undefined {
  let at: JsonPaths | undefined = paths;
  for (const segment of path.split('.')) {
    if (at === undefined) return undefined;
    if (at.kind === 'free') {
      throw new TypeError(`"${path}" lies inside a free-form field: replace the whole field`);
    }
    if (at.kind === 'list') at = /^(\d+|\$(\[\w*\])?)$/.test(segment) ? at.item : undefined;
    else at = at.fields.get(segment) ?? at.fields.get('$*');
  }
  return at;
}

function mapChanged(list: unknown[], change: (item: unknown) => unknown): unknown[] {
  let copy: unknown[] | undefined;
  for (let at = 0; at < list.length; at += 1) {
    const changed = change(list[at]);
    if (changed !== list[at]) {
      copy ??= [...list];
      copy[at] = changed;
    }
  }
  return copy ?? list;
}
