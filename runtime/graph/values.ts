/** Semantics of values that expressions, filters and templates share. Values are JSON: null, boolean, number, text, list, object. */

export type JsonRecord = Record<string, unknown>;

export const isRecord = (value: unknown): value is JsonRecord =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export const own = (record: JsonRecord, name: string): unknown =>
  Object.hasOwn(record, name) ? record[name] : undefined;

/** False are: null, false, 0, empty text, empty list, empty object. */
export function truthy(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (isRecord(value)) return Object.keys(value).length > 0;
  return Boolean(value);
}

const NUMBER = /^\s*[+-]?(?:\d{1,400}(?:\.\d{0,400})?|\.\d{1,400})(?:[eE][+-]?\d{1,4})?\s*$/;

/** A number, or the number that a text spells (decimal, with exponent); undefined for everything else. */
export function numeric(value: unknown): number | undefined {
  if (typeof value === 'number') return value;
  if (typeof value !== 'string' || value.length > 1000 || !NUMBER.test(value)) return undefined;
  const number = Number(value);
  return Number.isFinite(number) ? number : undefined;
}

const MAX_DEPTH = 200;

/**
 * Deep equality. A number equals the text that spells it; all other values of different types differ. Missing equals null.
 * Values deeper than 200 levels never equal.
 */
export function equals(a: unknown, b: unknown, depth = 0): boolean {
  if (a === b) return true;
  if (a === undefined || a === null) return b === undefined || b === null;
  if (typeof a === 'number') return typeof b === 'string' && numeric(b) === a;
  if (typeof b === 'number') return typeof a === 'string' && numeric(a) === b;
  if (depth > MAX_DEPTH) return false;
  if (Array.isArray(a)) {
    return Array.isArray(b) && a.length === b.length && a.every((item, at) => equals(item, b[at], depth + 1));
  }
  if (!isRecord(a) || !isRecord(b)) return false;
  const keys = Object.keys(a);
  return (
    keys.length === Object.keys(b).length &&
    keys.every((key) => Object.hasOwn(b, key) && equals(a[key], b[key], depth + 1))
  );
}

/**
 * Order of two values: negative, 0, positive. Numbers by value; text with text by UTF-16 units; a number with numeric text by
 * value. Undefined when the two have no order (null, lists, objects, booleans, a number with other text).
 */
export function compare(a: unknown, b: unknown): number | undefined {
  if (typeof a === 'string' && typeof b === 'string') return a < b ? -1 : a > b ? 1 : 0;
  const left = numeric(a);
  const right = numeric(b);
  if (left === undefined || right === undefined || Number.isNaN(left - right)) return undefined;
  return left - right;
}

/** Whether a text contains a text, a list an equal item, an object a field of that name. */
export function contains(whole: unknown, part: unknown): boolean {
  if (typeof whole === 'string') return part !== null && part !== undefined && whole.includes(textOf(part));
  if (Array.isArray(whole)) return whole.some((item) => equals(item, part));
  return isRecord(whole) && typeof part === 'string' && Object.hasOwn(whole, part);
}

/** A value in text: text as it is, null and missing as nothing, lists and objects as JSON. Never throws. */
export function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  if (value === null || value === undefined) return '';
  if (typeof value === 'object') {
    try {
      return JSON.stringify(value) ?? '';
    } catch {
      return '[unserialisable]';
    }
  }
  return String(value);
}

const TELLING_FIELDS = ['text', 'query', 'message', 'content', 'question', 'result'];

/** What `{input}` stands for: an object with one field gives that field, else the first telling field, else the whole. */
export function essence(input: unknown): unknown {
  if (!isRecord(input)) return input;
  const keys = Object.keys(input);
  const [only] = keys;
  if (keys.length === 1 && only !== undefined) return input[only];
  const telling = TELLING_FIELDS.find((name) => Object.hasOwn(input, name));
  return telling === undefined ? input : input[telling];
}
