import type { FieldError, LocalText } from '../../core/errors.ts';

export interface JsonLimits {
  bytes: number;
  /** Levels of objects and arrays. */
  depth: number;
  /** Objects, arrays and scalars together. */
  values: number;
}

/** Of `autoData`: as much as a body of 2 MiB can hold. */
export const DATA_LIMITS: JsonLimits = { bytes: 2 * 1024 * 1024, depth: 20, values: 200_000 };
/** Of `parameters` and `metadata`. */
export const PARAMETER_LIMITS: JsonLimits = { bytes: 64 * 1024, depth: 20, values: 5_000 };
/** Of `dataSources`. */
export const SOURCE_LIMITS: JsonLimits = { bytes: 256 * 1024, depth: 20, values: 20_000 };

/** Would change the prototype of an object that a careless copy makes of it. */
const REFUSED_KEY = '__proto__';

/**
 * Checks free JSON of a client. Keys with `$` or `.` are harmless, because free JSON is stored as text.
 *
 * @returns the first problem, its field as a dotted path below `field`
 */
export function checkFreeJson(
  value: unknown,
  field: string,
  label: LocalText,
  limits: JsonLimits,
): FieldError | undefined {
  const problem = (at: string, zh: string, en: string): FieldError => ({
    field: at,
    message: { zh: `${label.zh}${zh}`, en: `${label.en} ${en}` },
  });
  let count = 0;
  // A list of its own instead of recursion: the depth comes from outside.
  const open: { value: unknown; at: string; depth: number }[] = [{ value, at: field, depth: 1 }];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    count += 1;
    if (count > limits.values)
      return problem(field, `不能超过 ${limits.values} 个值`, `must have at most ${limits.values} values`);
    const { value: current, at, depth } = next;
    if (typeof current !== 'object' || current === null) continue;
    if (depth > limits.depth)
      return problem(at, `嵌套不能超过 ${limits.depth} 层`, `must be nested at most ${limits.depth} deep`);
    for (const key of Object.keys(current)) {
      const path = Array.isArray(current) ? `${at}[${key}]` : `${at}.${key.slice(0, 100)}`;
      if (key === REFUSED_KEY) return problem(path, `不能使用键名 ${key}`, `must not have the key ${key}`);
      open.push({ value: (current as Record<string, unknown>)[key], at: path, depth: depth + 1 });
    }
  }
  if (Buffer.byteLength(JSON.stringify(value) ?? '') > limits.bytes) {
    const kib = limits.bytes / 1024;
    return problem(field, `不能超过 ${kib} KiB`, `must have at most ${kib} KiB`);
  }
  return undefined;
}
