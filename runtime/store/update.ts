import { copyOf, type Doc, get, Int32, isDoc, Long, ObjectId, put, Timestamp, toNumber } from './bson.ts';
import { CommandError } from './errors.ts';
import { refuseScripts } from './expression.ts';
import { compare, equal } from './keys.ts';
import { type Condition, compileFilter, type Filter, typeNumber } from './match.ts';
import { calculate } from './numbers.ts';
import { isIndex, splitPath, walk } from './path.ts';
import { transformOne } from './transform.ts';

export interface Update {
  /** The changed document; the given one is not altered. `matched` is false when nothing was found and the document is made by an upsert. */
  apply(doc: Doc, inserting: boolean): Doc;
  replacement: boolean;
}

const bad = (code: number, message: string) => new CommandError(code, message);

/**
 * Compiles an update: a replacement, a document of operators or a pipeline.
 *
 * @throws {CommandError} 9 for an unknown operator, 40 for two operators on one path
 */
export function compileUpdate(update: unknown, filter: Filter, arrayFilters: unknown, variables?: Doc): Update {
  if (Array.isArray(update)) {
    refuseScripts(update);
    const transform = transformOne(update, variables);
    return { replacement: false, apply: (doc) => transform(doc) };
  }
  if (!isDoc(update)) throw bad(9, 'An update must be a document or a pipeline');
  const operators = Object.keys(update);
  if (!operators.some((key) => key.startsWith('$'))) {
    return {
      replacement: true,
      apply(doc) {
        const next: Doc = {};
        if ('_id' in doc) next._id = doc._id;
        for (const key of operators) put(next, key, update[key]);
        return next;
      },
    };
  }
  const filters = compileArrayFilters(arrayFilters);
  const changes: { name: string; operator: Operator; path: string; parts: string[]; operand: unknown }[] = [];
  for (const name of operators) {
    const operator = knownOperators[name];
    if (!operator)
      throw bad(
        9,
        `Unknown modifier: ${name}. Expected a valid update modifier or pipeline-style update specified as an array`,
      );
    const fields = update[name];
    if (!isDoc(fields)) throw bad(9, `Modifiers operate on fields but we found another type instead: {${name}: …}`);
    for (const [path, operand] of Object.entries(fields)) {
      const parts = splitPath(path);
      if (parts.includes(''))
        throw bad(56, `The update path '${path}' contains an empty field name, which is not allowed.`);
      changes.push({ name, operator, path, parts, operand });
      if (name === '$rename' && operand === path)
        throw bad(2, `The source and target field for $rename must differ: ${path}`);
      if (name === '$rename')
        changes.push({ name, operator: noop, path: String(operand), parts: splitPath(String(operand)), operand });
    }
  }
  checkConflicts(changes.map(({ path }) => path));
  const identifiers = new Set(
    changes.flatMap(({ parts }) =>
      parts.map((part) => /^\$\[(\w+)\]$/.exec(part)?.[1]).filter((id) => id !== undefined),
    ),
  );
  for (const id of identifiers) if (!filters.has(id)) throw bad(2, `No array filter found for identifier '${id}'`);
  for (const id of filters.keys())
    if (!identifiers.has(id)) throw bad(9, `The array filter for identifier '${id}' was not used in the update`);
  // MongoDB applies fields in lexicographic order, numbers by value; it decides where new fields go.
  changes.sort((a, b) => comparePaths(a.parts, b.parts));
  const needsPosition = changes.some(({ parts }) => parts.includes('$'));
  return {
    replacement: false,
    apply(doc, inserting) {
      const next = deepCopy(doc) as Doc;
      const position = needsPosition && !inserting ? matchedPosition(filter, doc) : undefined;
      for (const { name, operator, path, parts, operand } of changes) {
        if (name === '$setOnInsert' && !inserting) continue;
        for (const concrete of expandPath(next, parts, path, filters, position))
          operator(next, concrete, operand, path);
      }
      return next;
    },
  };
}

/** Copies what may be changed: documents and arrays. */
function deepCopy(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(deepCopy);
  if (!isDoc(value)) return value;
  const copy: Doc = {};
  for (const key of Object.keys(value)) put(copy, key, deepCopy(value[key]));
  return copy;
}

function comparePaths(a: string[], b: string[]): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const [x = '', y = ''] = [a[i], b[i]];
    if (x === y) continue;
    if (isIndex(x) && isIndex(y)) return Number(x) - Number(y);
    return x < y ? -1 : 1;
  }
  return a.length - b.length;
}

function checkConflicts(paths: string[]): void {
  const sorted = [...paths].sort();
  const seen = new Set<string>();
  for (const path of sorted) {
    if (seen.has(path)) throw bad(40, `Updating the path '${path}' would create a conflict at '${path}'`);
    const parts = path.split('.');
    for (let i = 1; i < parts.length; i++) {
      const parent = parts.slice(0, i).join('.');
      if (seen.has(parent)) throw bad(40, `Updating the path '${path}' would create a conflict at '${parent}'`);
    }
    seen.add(path);
  }
}

function compileArrayFilters(given: unknown): Map<string, (value: unknown) => boolean> {
  const filters = new Map<string, (value: unknown) => boolean>();
  if (given === undefined || given === null) return filters;
  if (!Array.isArray(given)) throw bad(14, 'arrayFilters must be an array');
  for (const item of given) {
    if (!isDoc(item)) throw bad(14, 'An array filter must be a document');
    const ids = new Set<string>();
    const collect = (doc: Doc): void => {
      for (const [key, value] of Object.entries(doc)) {
        if (!key.startsWith('$')) ids.add(key.split('.', 1)[0] ?? '');
        else if (Array.isArray(value)) for (const inner of value) if (isDoc(inner)) collect(inner);
      }
    };
    collect(item);
    const [id, ...others] = ids;
    if (id === undefined || others.length > 0)
      throw bad(9, 'Expected a single top-level field name in an array filter');
    if (!/^[a-z]\w*$/.test(id))
      throw bad(
        2,
        `The top-level field name must be an alphanumeric string beginning with a lowercase letter, found '${id}'`,
      );
    if (filters.has(id)) throw bad(9, `Found multiple array filters with the same top-level field name ${id}`);
    const compiled = compileFilter(item);
    filters.set(id, (value) => compiled.test({ [id]: value }));
  }
  return filters;
}

/** The index in the array the query matched on, for the positional operator `$`. */
function matchedPosition(filter: Filter, doc: Doc): number | undefined {
  const find = (condition: Condition): number | undefined => {
    if (condition.kind === 'and' || condition.kind === 'or') {
      for (const child of condition.children) {
        const found = condition.kind === 'and' || child.test(doc) ? find(child) : undefined;
        if (found !== undefined) return found;
      }
      return undefined;
    }
    if (condition.kind !== 'leaf' || ['$ne', '$nin', '$not', '$exists', '$size'].includes(condition.operator))
      return undefined;
    return arrayPosition(doc, splitPath(condition.path), condition);
  };
  return find(filter.root);
}

function arrayPosition(doc: Doc, parts: string[], leaf: Condition & { kind: 'leaf' }): number | undefined {
  let value: unknown = doc;
  for (let at = 0; at <= parts.length; at++) {
    if (Array.isArray(value)) {
      const part = parts[at];
      if (isIndex(part)) {
        value = value[Number(part)];
        continue;
      }
      const rest = parts.slice(at).join('.');
      const element = leaf.operator === '$elemMatch';
      const test = compileFilter({ [rest === '' ? 'v' : `v.${rest}`]: { [leaf.operator]: leaf.operand } });
      const found = value.findIndex((item) => test.test({ v: element && rest === '' ? [item] : item }));
      return found < 0 ? undefined : found;
    }
    const part = parts[at];
    if (part === undefined) return undefined;
    value = isDoc(value) ? get(value, part) : undefined;
  }
  return undefined;
}

/** Replaces `$`, `$[]` and `$[id]` by positions of the document. */
function expandPath(
  doc: Doc,
  parts: string[],
  path: string,
  filters: Map<string, (value: unknown) => boolean>,
  position: number | undefined,
): string[][] {
  if (!path.includes('$')) return [parts];
  const result: string[][] = [];
  const step = (value: unknown, at: number, done: string[]): void => {
    const part = parts[at];
    if (part === undefined) {
      result.push(done);
      return;
    }
    if (part === '$') {
      if (position === undefined) throw bad(2, 'The positional operator did not find the match needed from the query.');
      step(Array.isArray(value) ? value[position] : undefined, at + 1, [...done, String(position)]);
    } else if (part.startsWith('$[') && part.endsWith(']')) {
      if (!Array.isArray(value)) {
        if (value === undefined)
          throw bad(2, `The path '${done.join('.')}' must exist in the document in order to apply array updates.`);
        throw bad(2, `Cannot apply array updates to non-array element ${done.at(-1)}`);
      }
      const test = filters.get(part.slice(2, -1));
      for (const [i, item] of value.entries()) if (!test || test(item)) step(item, at + 1, [...done, String(i)]);
    } else {
      const next = Array.isArray(value)
        ? isIndex(part)
          ? value[Number(part)]
          : undefined
        : isDoc(value)
          ? get(value, part)
          : undefined;
      step(next, at + 1, [...done, part]);
    }
  };
  step(doc, 0, []);
  return result;
}

type Operator = (doc: Doc, parts: string[], operand: unknown, path: string) => void;

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

function place(doc: Doc, parts: string[]): Place {
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

const noop: Operator = () => undefined;

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

const knownOperators: Record<string, Operator> = {
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

/** The document an upsert begins with: the equality conditions of the filter. */
export function upsertSeed(filter: Filter): Doc {
  const seed: Doc = {};
  const paths: string[] = [];
  const visit = (condition: Condition): void => {
    if (condition.kind === 'and' || (condition.kind === 'or' && condition.children.length === 1))
      for (const child of condition.children) visit(child);
    if (condition.kind !== 'leaf') return;
    const single =
      condition.operator === '$in' && Array.isArray(condition.operand) && condition.operand.length === 1
        ? condition.operand[0]
        : undefined;
    const value = condition.operator === '$eq' ? condition.operand : single;
    if (value === undefined) return;
    if (paths.includes(condition.path))
      throw bad(54, `cannot infer query fields to set, path '${condition.path}' is matched twice`);
    paths.push(condition.path);
    place(seed, splitPath(condition.path)).set(deepCopy(value));
  };
  visit(filter.root);
  return seed;
}

/** `_id` cannot change; an array or a pattern cannot be one. */
export function checkId(before: unknown, after: unknown): void {
  if (before !== undefined && !equal(before, after)) {
    throw bad(66, "Performing an update on the path '_id' would modify the immutable field '_id'");
  }
}

export function checkNewId(id: unknown): void {
  if (Array.isArray(id)) throw bad(2, "The '_id' value cannot be of type array");
  if (id === undefined) throw bad(2, "The '_id' value cannot be of type undefined");
  if (id !== null && typeof id === 'object' && '_bsontype' in id && id._bsontype === 'BSONRegExp')
    throw bad(2, "The '_id' value cannot be of type regex");
  if (isDoc(id) && Object.keys(id).some((key) => key.startsWith('$')))
    throw bad(52, 'The dollar ($) prefixed field in _id is not valid for storage');
}

/** `_id` first, made when it is missing. */
export function withId(doc: Doc): Doc {
  const id = '_id' in doc ? doc._id : new ObjectId();
  const rest = copyOf(doc);
  delete rest._id;
  const result: Doc = { _id: id };
  for (const key of Object.keys(rest)) put(result, key, rest[key]);
  return result;
}
