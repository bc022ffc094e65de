import { BSONRegExp, bsonType, toNumber } from './bson.ts';
import { after, encodeIndexPart, encodeKey, invert, orderedPrefix, typeByte, typeClass } from './keys.ts';
import type { Leaf } from './match.ts';

/** A half-open interval of key bytes. */
export interface Range {
  low: Buffer;
  high: Buffer;
}

/** Above every key: no encoding begins with this byte. */
export const top = Buffer.from([0xff]);
export const maxRanges = 50_000;

export interface Interval {
  low: Buffer;
  high: Buffer;
  point: boolean;
}

export interface Bound {
  intervals: Interval[];
  /** Cannot hold for a missing field or null. */
  present: boolean;
  exact: boolean;
}

export const prefixRange = (bytes: Buffer, point = false): Interval => ({
  low: bytes,
  high: after(bytes) ?? top,
  point,
});
export const everything: Interval = { low: Buffer.alloc(0), high: top, point: false };

export function points(value: unknown): Interval[] {
  const exact = prefixRange(encodeIndexPart(value === undefined ? null : value).bytes, true);
  if (!Array.isArray(value)) return [exact];
  // The entries of an array are its elements; the array itself is an entry only within another array.
  const [first] = value;
  return [exact, prefixRange(encodeIndexPart(value.length === 0 ? undefined : first).bytes, true)];
}

/** The literal beginning of an anchored pattern without options. */
function literalPrefix(operand: unknown, options: unknown): { prefix: string; whole: boolean } | undefined {
  const pattern =
    operand instanceof BSONRegExp ? operand.pattern : operand instanceof RegExp ? operand.source : operand;
  const flags =
    typeof options === 'string'
      ? options
      : operand instanceof BSONRegExp
        ? operand.options
        : operand instanceof RegExp
          ? operand.flags
          : '';
  if (typeof pattern !== 'string' || /[imx]/.test(flags) || !pattern.startsWith('^') || pattern.includes('|'))
    return undefined;
  const match = /^\^((?:[^\\.*+?()[\]{}|^$]|\\[^\w\s])*)/u.exec(pattern);
  let prefix = match?.[1] ?? '';
  const rest = pattern.slice(1 + prefix.length);
  if (/^[*?{]/.test(rest)) prefix = prefix.replace(/(?:\\.|.)$/su, '');
  prefix = prefix.replaceAll(/\\(.)/gu, '$1');
  return prefix === '' ? undefined : { prefix, whole: false };
}

/** The entries a condition can be found under; undefined when an index does not help. */
export function boundOf(leaf: Leaf): Bound | undefined {
  const { operator, operand } = leaf;
  switch (operator) {
    case '$eq': {
      const nullish = operand === null || operand === undefined;
      return { intervals: points(operand), present: !nullish, exact: !nullish && !Array.isArray(operand) };
    }
    case '$in': {
      if (!Array.isArray(operand) || operand.length > maxRanges) return undefined;
      const intervals: Interval[] = [];
      for (const item of operand) {
        if (bsonType(item) === 'BSONRegExp' || item instanceof RegExp) {
          const found = regexIntervals(item, undefined);
          if (!found) return undefined;
          intervals.push(...found);
        } else intervals.push(...points(item));
      }
      const plain = operand.every(
        (item) => item !== null && item !== undefined && !Array.isArray(item) && !(item instanceof BSONRegExp),
      );
      return {
        intervals: merge(intervals),
        present: !operand.some((item) => item === null || item === undefined),
        exact: plain,
      };
    }
    case '$gt':
    case '$gte':
    case '$lt':
    case '$lte': {
      const type = typeClass(operand);
      if (operand === undefined || Array.isArray(operand) || type === typeByte.minKey || type === typeByte.maxKey)
        return undefined;
      if (type === typeByte.null)
        return operator.endsWith('e')
          ? { intervals: points(null), present: false, exact: false }
          : { intervals: [], present: true, exact: true };
      const key = encodeKey(operand);
      const edge = orderedPrefix(key);
      const cut = edge.length < key.length;
      const bottom = Buffer.from(type === typeByte.number ? [type, 0, 0, 0, 0, 0, 0, 0, 1] : [type]); // above NaN
      const low = operator === '$gt' && !cut ? after(edge) : operator.startsWith('$gt') ? edge : bottom;
      const high =
        operator === '$lt' && !cut ? edge : operator.startsWith('$lt') ? after(edge) : after(Buffer.from([type]));
      if (toNumber(operand) !== undefined && Number.isNaN(toNumber(operand)))
        return { intervals: points(operand), present: true, exact: false };
      return { intervals: [{ low: low ?? top, high: high ?? top, point: false }], present: true, exact: !cut };
    }
    case '$regex': {
      const found = regexIntervals(operand, undefined);
      return found && { intervals: found, present: true, exact: false };
    }
    default:
      return undefined;
  }
}

function regexIntervals(operand: unknown, options: unknown): Interval[] | undefined {
  const literal = literalPrefix(operand, options);
  if (!literal) return undefined;
  const text = orderedPrefix(encodeKey(literal.prefix));
  // Without the two closing bytes the key of a text is the beginning of all texts that begin with it.
  const open = text.length === encodeKey(literal.prefix).length ? text.subarray(0, -2) : text;
  const self = typeof operand === 'string' ? new BSONRegExp(operand) : operand;
  return merge([prefixRange(open), ...points(self)]);
}

/** Sorted and without overlaps. */
export function merge(intervals: Interval[]): Interval[] {
  const sorted = [...intervals].sort((a, b) => Buffer.compare(a.low, b.low));
  const result: Interval[] = [];
  for (const interval of sorted) {
    const last = result.at(-1);
    if (!last || Buffer.compare(interval.low, last.high) >= 0) result.push({ ...interval });
    else if (Buffer.compare(interval.high, last.high) > 0) {
      last.high = interval.high;
      last.point = false;
    } else if (!Buffer.from(interval.high).equals(last.high) || !interval.low.equals(last.low)) last.point = false;
  }
  return result;
}

function intersect(a: Interval[], b: Interval[]): Interval[] {
  const result: Interval[] = [];
  let [i, j] = [0, 0];
  while (i < a.length && j < b.length) {
    const [x, y] = [a[i], b[j]];
    if (!x || !y) break;
    const low = Buffer.compare(x.low, y.low) > 0 ? x.low : y.low;
    const high = Buffer.compare(x.high, y.high) < 0 ? x.high : y.high;
    if (Buffer.compare(low, high) < 0)
      result.push({ low, high, point: (x.point && low === x.low) || (y.point && low === y.low) });
    if (Buffer.compare(x.high, y.high) < 0) i++;
    else j++;
  }
  return result;
}

export const width = (bound: Bound) =>
  bound.intervals.every((i) => i.point) ? bound.intervals.length : 1e6 + bound.intervals.length;

export function combine(bounds: Bound[]): Bound | undefined {
  return bounds.reduce<Bound | undefined>(
    (a, b) =>
      a
        ? {
            intervals: intersect(merge(a.intervals), merge(b.intervals)),
            present: a.present || b.present,
            exact: a.exact && b.exact,
          }
        : b,
    undefined,
  );
}

export function extend(prefix: Buffer, interval: Interval): Range {
  if (prefix.length === 0) return { low: interval.low, high: interval.high };
  const high = interval.high === top ? (after(prefix) ?? top) : Buffer.concat([prefix, interval.high]);
  return { low: Buffer.concat([prefix, interval.low]), high };
}

/** The same values in a descending field, whose bytes are inverted. */
export function descend({ low, high, point }: Interval): Interval {
  const from = high === top ? Buffer.alloc(0) : after(invert(Buffer.from(high)));
  if (point) return prefixRange(invert(Buffer.from(low)), true);
  return { low: from ?? top, high: low.length === 0 ? top : (after(invert(Buffer.from(low))) ?? top), point };
}
