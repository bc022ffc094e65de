import { type Doc, get, Int32, isDoc, Long, put, Timestamp, toNumber } from './bson.ts';
import { CommandError } from './errors.ts';
import { compare, equal } from './keys.ts';
import { compileFilter } from './match.ts';
import { calculate } from './numbers.ts';
import { isIndex, splitPath, walk } from './path.ts';
import { typeNumber } from './predicates.ts';

const bad = (code: number, message: string) => new CommandError(code, message);

/** Copies what may be changed: documents and arrays. */
export function deepCopy(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(deepCopy);
  if (!isDoc(value)) return value;
  const copy: Doc = {};
  for (const key of Object.keys(value)) put(copy, key, deepCopy(value[key]));
  return copy;
}

export type Operator = (doc: Doc, parts: string[], operand: unknown, path: string) => void;

interface Place {
  exists: boolean;
  value: unknown;
  set(value: unknown): void;
  unset(): void;
}

/** Finds the last part of a path; with `create` documents on the way are made. */
function locate(doc: Doc, parts: string[], create: boolean): Place | undefined {
  let target: unknown = doc;
  for (const [i, part] of parts.entries()) {
    const last = i === parts.length - 1;
    if (Array.isArray(target)) {
      const list = target;
      if (!isIndex(part)) {
        if (!create) return undefined;
        throw bad(28, `Cannot create field '${part}' in element {${parts[i - 1]}: an array}`);
      }
      const at = Number(part);
      if (create && at > list.length + 1_500_000) throw bad(2, `Cannot backfill array to index ${at}`);
      const fill = () => {
        while (list.length < at) list.push(null);
      };
      if (last) {
        return {
          exists: at < list.length,
          value: list[at],
          set(value) {
            fill();
            list[at] = value;
          },
          unset() {
            if (at < list.length) list[at] = null;
          },
        };
      }
      if (at >= list.length) {
        if (!create) return undefined;
        fill();
        list[at] = {};
      }
      target = list[at];
    } else if (isDoc(target)) {
      const holder = target;
      if (last) {
        return {
          exists: Object.hasOwn(holder, part),
          value: get(holder, part),
          set: (value) => put(holder, part, value),
          unset: () => {
            delete holder[part];
          },
        };
      }
      if (!Object.hasOwn(holder, part)) {
        if (!create) return undefined;
        put(holder, part, {});
      }
      target = get(holder, part);
    } else {
      if (!create) return undefined;
      throw bad(28, `Cannot create field '${part}' in element {${parts[i - 1]}: ${JSON.stringify(target)}}`);
    }
  }
  return undefined;
}

export function place(doc: Doc, parts: string[]): Place {
  const found = locate(doc, parts, true);
  if (!found) throw bad(2, 'An update path must not be empty');
  return found;
}

function arithmetic(symbol: '+' | '*', name: string): Operator {
  return (doc, parts, operand, path) => {
    if (toNumber(operand) === undefined)
      throw bad(14, `Cannot ${name} with non-numeric argument: {${path}: ${JSON.stringify(operand)}}`);
    const target = place(doc, parts);
    if (!target.exists) target.set(symbol === '+' ? operand : calculate('*', operand, new Int32(0)));
    else if (toNumber(target.value) === undefined) {
      throw bad(14, `Cannot apply ${name} to a value of non-numeric type. The field '${path}' has non-numeric type`);
    } else target.set(calculate(symbol, target.value, operand));
  };
}

function extreme(sign: 1 | -1): Operator {
  return (doc, parts, operand) => {
    const target = place(doc, parts);
    if (!target.exists || compare(operand, target.value) * sign > 0) target.set(operand);
  };
}

/** The array at a path; a missing one gives undefined, anything else is an error. */
function arrayAt(target: Place | undefined, path: string, operator: string): unknown[] | undefined {
  if (!target?.exists) return undefined;
  if (!Array.isArray(target.value))
    throw bad(2, `The field '${path}' must be an array but is of another type (${operator})`);
  return target.value;
}

export const noop: Operator = () => undefined;

const push: Operator = (doc, parts, operand, path) => {
  const target = place(doc, parts);
  const list = [...(arrayAt(target, path, '$push') ?? [])];
  if (!isDoc(operand) || !('$each' in operand)) {
    target.set([...list, operand]);
    return;
  }
  for (const key of Object.keys(operand)) {
    if (!['$each', '$slice', '$sort', '$position'].includes(key)) throw bad(2, `Unrecognized clause in $push: ${key}`);
  }
  if (!Array.isArray(operand.$each)) throw bad(2, 'The argument to $each in $push must be an array');
  const at = operand.$position === undefined ? list.length : Math.trunc(toNumber(operand.$position) ?? Number.NaN);
  if (Number.isNaN(at)) throw bad(2, 'The value for $position must be an integer value');
  list.splice(at < 0 ? Math.max(0, list.length + at) : at, 0, ...operand.$each);
  if (operand.$sort !== undefined) sortArray(list, operand.$sort);
  if (operand.$slice === undefined) target.set(list);
  else {
    const slice = toNumber(operand.$slice);
    if (slice === undefined || !Number.isInteger(slice)) throw bad(2, 'The value for $slice must be an integer value');
    target.set(slice === 0 ? [] : slice > 0 ? list.slice(0, slice) : list.slice(slice));
  }
};

function sortArray(list: unknown[], spec: unknown): void {
  const direction = toNumber(spec);
  if (direction !== undefined) {
    if (direction !== 1 && direction !== -1) throw bad(2, 'The $sort element value must be either 1 or -1');
    list.sort((a, b) => compare(a, b) * direction);
    return;
  }
  if (!isDoc(spec))
    throw bad(2, 'The $sort is invalid: use 1/-1 to sort the whole element, or {field:1/-1} to sort embedded fields');
  const fields = Object.entries(spec).map(([path, order]) => ({ parts: splitPath(path), sign: toNumber(order) ?? 1 }));
  const valueAt = (item: unknown, parts: string[]): unknown => {
    let found: unknown = null;
    if (isDoc(item)) {
      walk(item, parts, 0, (value) => {
        found = value ?? null;
        return true;
      });
    }
    return found;
  };
  list.sort((a, b) => {
    for (const { parts, sign } of fields) {
      const order = compare(valueAt(a, parts), valueAt(b, parts)) * sign;
      if (order !== 0) return order;
    }
    return 0;
  });
}

export const knownOperators: Record<string, Operator> = {
  $set: (doc, parts, operand) => place(doc, parts).set(deepCopy(operand)),
  $setOnInsert: (doc, parts, operand) => place(doc, parts).set(deepCopy(operand)),
  $unset: (doc, parts) => locate(doc, parts, false)?.unset(),
  $inc: arithmetic('+', '$inc'),
  $mul: arithmetic('*', '$mul'),
  $min: extreme(-1),
  $max: extreme(1),
  $rename(doc, parts, operand, path) {
    if (typeof operand !== 'string' || operand === '')
      throw bad(2, `The 'to' field for $rename must be a string: ${path}`);
    const to = splitPath(operand);
    const source = locate(doc, parts, false);
    if (!source?.exists) return;
    const value = source.value;
    source.unset();
    place(doc, to).set(value);
  },
  $currentDate(doc, parts, operand) {
    const kind = isDoc(operand) ? operand.$type : operand === true ? 'date' : undefined;
    if (kind !== 'date' && kind !== 'timestamp')
      throw bad(2, "$currentDate takes true or { $type: 'date' | 'timestamp' }");
    const now = new Date();
    place(doc, parts).set(kind === 'date' ? now : new Timestamp({ t: Math.floor(now.getTime() / 1000), i: 1 }));
  },
  $push: push,
  $addToSet(doc, parts, operand, path) {
    const items = isDoc(operand) && '$each' in operand ? operand.$each : [operand];
    if (!Array.isArray(items)) throw bad(14, 'The argument to $each in $addToSet must be an array');
    const target = place(doc, parts);
    const list = [...(arrayAt(target, path, '$addToSet') ?? [])];
    for (const item of items) if (!list.some((other) => equal(other, item))) list.push(item);
    target.set(list);
  },
  $pull(doc, parts, operand, path) {
    const target = locate(doc, parts, false);
    const list = arrayAt(target, path, '$pull');
    if (!list) return;
    const test = pullTest(operand);
    target?.set(list.filter((item) => !test(item)));
  },
  $pullAll(doc, parts, operand, path) {
    if (!Array.isArray(operand)) throw bad(2, '$pullAll requires an array argument');
    const target = locate(doc, parts, false);
    const list = arrayAt(target, path, '$pullAll');
    if (list) target?.set(list.filter((item) => !operand.some((other) => equal(other, item))));
  },
  $pop(doc, parts, operand, path) {
    const end = toNumber(operand);
    if (end !== 1 && end !== -1) throw bad(9, `$pop expects 1 or -1, found: ${String(operand)}`);
    const target = locate(doc, parts, false);
    const list = arrayAt(target, path, '$pop');
    if (list) target?.set(end === 1 ? list.slice(0, -1) : list.slice(1));
  },
  $bit(doc, parts, operand, path) {
    if (!isDoc(operand)) throw bad(2, `The $bit modifier takes a document: {${path}: …}`);
    const target = place(doc, parts);
    for (const [name, mask] of Object.entries(operand)) {
      const current = target.exists ? target.value : new Int32(0);
      const long = current instanceof Long || mask instanceof Long;
      const [a, b] = [Long.fromValue(Number(toNumber(current))), Long.fromValue(Number(toNumber(mask)))];
      const [x, y] = [current instanceof Long ? current : a, mask instanceof Long ? mask : b];
      if (![16, 18].includes(typeNumber(current)) || ![16, 18].includes(typeNumber(mask)))
        throw bad(2, 'Cannot apply $bit to a value of non-integral type');
      const result = name === 'and' ? x.and(y) : name === 'or' ? x.or(y) : name === 'xor' ? x.xor(y) : undefined;
      if (!result) throw bad(2, `The $bit modifier only supports 'and', 'or', and 'xor', not '${name}'`);
      target.set(long ? result : new Int32(result.toInt()));
    }
  },
};

function pullTest(operand: unknown): (item: unknown) => boolean {
  if (isDoc(operand) && !Object.keys(operand)[0]?.startsWith('$')) {
    const filter = compileFilter(operand);
    return (item) => isDoc(item) && filter.test(item);
  }
  if (isDoc(operand)) {
    const logical = ['$and', '$or', '$nor'].includes(Object.keys(operand)[0] ?? '');
    const filter = logical ? compileFilter(operand) : compileFilter({ v: operand });
    return (item) =>
      logical ? isDoc(item) && filter.test(item) : filter.test({ v: Array.isArray(item) ? [item] : item });
  }
  if (
    operand !== null &&
    typeof operand === 'object' &&
    (operand instanceof RegExp || ('_bsontype' in operand && operand._bsontype === 'BSONRegExp'))
  ) {
    const filter = compileFilter({ v: operand });
    return (item) => filter.test({ v: item });
  }
  return (item) => equal(item, operand);
}
