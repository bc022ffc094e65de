import { Binary, BSONRegExp, bsonType, type Doc, Double, Int32, isDoc, Long, promote, toNumber } from './bson.ts';
import { CommandError } from './errors.ts';
import { dependencies, evaluator, fieldPath } from './expression.ts';
import { compare, encodeKey, equal, typeByte, typeClass } from './keys.ts';
import { isIndex, splitPath, walk } from './path.ts';
import { compileRegex } from './regex.ts';
import { compileSchema } from './schema.ts';

/** A condition on one path. The planner reads `operator` and `operand`, matching uses `test`. */
export interface Leaf {
  kind: 'leaf';
  path: string;
  operator: string;
  operand: unknown;
  /** The conditions inside `$elemMatch`. */
  inner?: Condition;
  test(doc: Doc): boolean;
}
export interface Group {
  kind: 'and' | 'or' | 'nor';
  children: Condition[];
  test(doc: Doc): boolean;
}
export interface Other {
  kind: 'other';
  /** Equalities of an expression, which do not look into arrays; an index without arrays can use them. */
  equalities?: { path: string; value: unknown }[];
  test(doc: Doc): boolean;
}
export type Condition = Leaf | Group | Other;

export interface Filter {
  root: Condition;
  /** Top-level fields that decide; undefined means the whole document. */
  paths: Set<string> | undefined;
  /** `$type` needs numbers in their BSON types. */
  typed: boolean;
  matchesAll: boolean;
  test(doc: Doc): boolean;
}

interface Scope {
  paths: Set<string>;
  whole: boolean;
  typed: boolean;
  variables: Doc | undefined;
}

type Test = (value: unknown) => boolean;

const bad = (message: string) => new CommandError(2, message);

/** Compiles a query; `variables` are those of `let`. */
export function compileFilter(filter: unknown, variables?: Doc): Filter {
  if (!isDoc(filter)) throw new CommandError(14, 'A filter must be a document');
  const scope: Scope = { paths: new Set(), whole: false, typed: false, variables };
  const root = compileDoc(filter, scope);
  return {
    root,
    paths: scope.whole ? undefined : scope.paths,
    typed: scope.typed,
    matchesAll: root.kind === 'and' && root.children.length === 0,
    test: (doc) => root.test(doc),
  };
}

function group(kind: 'and' | 'or' | 'nor', children: Condition[]): Condition {
  const [first] = children;
  if (first && children.length === 1 && kind !== 'nor') return first;
  if (kind === 'and') return { kind, children, test: (doc) => children.every((child) => child.test(doc)) };
  if (kind === 'or') return { kind, children, test: (doc) => children.some((child) => child.test(doc)) };
  return { kind, children, test: (doc) => !children.some((child) => child.test(doc)) };
}

function compileDoc(filter: Doc, scope: Scope): Condition {
  const children: Condition[] = [];
  for (const key of Object.keys(filter)) {
    const value = filter[key];
    if (!key.startsWith('$')) children.push(compilePath(key, value, scope));
    else if (key === '$and' || key === '$or' || key === '$nor') {
      if (!Array.isArray(value) || value.length === 0) throw bad(`${key} must be a nonempty array`);
      const parts = value.map((item) => {
        if (!isDoc(item)) throw bad(`${key} entries need to be full objects`);
        return compileDoc(item, scope);
      });
      children.push(group(key === '$and' ? 'and' : key === '$or' ? 'or' : 'nor', parts));
    } else if (key === '$expr') children.push(compileExpr(value, scope));
    else if (key === '$jsonSchema') {
      scope.whole = true;
      scope.typed = true;
      const schema = compileSchema(value);
      children.push({ kind: 'other', test: (doc) => schema(doc) });
    } else if (key === '$comment') continue;
    else if (key === '$text')
      throw new CommandError(
        27,
        'text index required for $text query: full-text search is not supported by the embedded store',
      );
    else if (key === '$where')
      throw bad('$where is not supported by the embedded store: server-side JavaScript is off');
    else if (key === '$alwaysTrue' || key === '$alwaysFalse')
      children.push({ kind: 'other', test: () => key === '$alwaysTrue' });
    else throw bad(`unknown top level operator: ${key}`);
  }
  return group('and', children);
}

function compileExpr(expression: unknown, scope: Scope): Condition {
  const needed = dependencies(expression);
  if (needed) for (const path of needed) scope.paths.add(path);
  else scope.whole = true;
  const evaluate = evaluator(expression, scope.variables);
  return {
    kind: 'other',
    equalities: exprEqualities(expression, scope.variables),
    test: (doc) => {
      const value = evaluate(promote(doc) as Doc);
      return value !== undefined && value !== null && value !== false && value !== 0;
    },
  };
}

/** `{ $eq: ['$path', value] }`, alone or within `$and`; the value a constant or a variable of `let`. */
function exprEqualities(expression: unknown, variables: Doc | undefined): { path: string; value: unknown }[] {
  if (!isDoc(expression)) return [];
  if (Array.isArray(expression.$and)) return expression.$and.flatMap((part) => exprEqualities(part, variables));
  const pair = expression.$eq;
  if (!Array.isArray(pair) || pair.length !== 2) return [];
  for (const [left, right] of [pair, [pair[1], pair[0]]]) {
    const path = fieldPath(left);
    if (!path || fieldPath(right) || path.some((part) => isIndex(part))) continue;
    if (typeof right === 'string' && right.startsWith('$$')) {
      const [name = '', ...rest] = right.slice(2).split('.');
      if (variables && rest.length === 0 && Object.hasOwn(variables, name))
        return [{ path: path.join('.'), value: variables[name] }];
    } else if (typeof right !== 'object' || right === null || bsonType(right) !== undefined || right instanceof Date) {
      return [{ path: path.join('.'), value: right }];
    }
  }
  return [];
}

const isOperators = (value: unknown): value is Doc => isDoc(value) && (Object.keys(value)[0]?.startsWith('$') ?? false);

function compilePath(path: string, condition: unknown, scope: Scope): Condition {
  scope.paths.add(path);
  if (!isOperators(condition)) {
    if (condition instanceof BSONRegExp || condition instanceof RegExp) return leaf(path, '$regex', condition, scope);
    return leaf(path, '$eq', condition, scope);
  }
  const children: Condition[] = [];
  for (const operator of Object.keys(condition)) {
    if (operator === '$options') {
      if (!('$regex' in condition)) throw bad('$options needs a $regex');
      continue;
    }
    children.push(leaf(path, operator, condition[operator], scope, condition.$options));
  }
  return group('and', children);
}

function leaf(path: string, operator: string, operand: unknown, scope: Scope, options?: unknown): Condition {
  const parts = splitPath(path);
  const any = (test: Test, overArrays = true): ((doc: Doc) => boolean) => {
    const visit = overArrays ? (value: unknown) => (Array.isArray(value) && value.some(test)) || test(value) : test;
    return (doc) => walk(doc, parts, 0, visit);
  };
  const make = (test: (doc: Doc) => boolean, inner?: Condition): Leaf => ({
    kind: 'leaf',
    path,
    operator,
    operand,
    test,
    ...(inner && { inner }),
  });
  const not = (test: (doc: Doc) => boolean) => (doc: Doc) => !test(doc);

  switch (operator) {
    case '$eq':
      return make(any(equalTo(operand)));
    case '$ne':
      return make(not(any(equalTo(operand))));
    case '$gt':
    case '$gte':
    case '$lt':
    case '$lte':
      return make(any(inOrder(operator, operand)));
    case '$in':
    case '$nin': {
      if (!Array.isArray(operand)) throw bad(`${operator} needs an array`);
      const test = any(oneOf(operand));
      return make(operator === '$in' ? test : not(test));
    }
    case '$exists': {
      const wanted = truthy(operand);
      const test = any((value) => value !== undefined, false);
      return make(wanted ? test : not(test));
    }
    case '$regex': {
      if (options !== undefined && typeof options !== 'string') throw bad('$options has to be a string');
      const expression = compileRegex(operand, options);
      return make(
        any((value) => (typeof value === 'string' ? expression(value) : isRegex(value) && equal(value, operand))),
      );
    }
    case '$not': {
      if (isRegex(operand)) return make(not(leaf(path, '$regex', operand, scope).test));
      if (!isOperators(operand)) throw bad('$not needs a regex or a document of operators');
      const inner = compilePath(path, operand, scope);
      return make((doc) => !inner.test(doc));
    }
    case '$all': {
      if (!Array.isArray(operand)) throw bad('$all needs an array');
      if (operand.length === 0) return make(() => false);
      const all = operand.map((item) => {
        if (isOperators(item) && '$elemMatch' in item) return leaf(path, '$elemMatch', item.$elemMatch, scope);
        return leaf(path, isRegex(item) ? '$regex' : '$eq', item, scope);
      });
      return group('and', all);
    }
    case '$size': {
      const size = toNumber(operand);
      if (size === undefined || !Number.isInteger(size) || size < 0)
        throw bad('$size must be a whole, non-negative number');
      return make(any((value) => Array.isArray(value) && value.length === size, false));
    }
    case '$elemMatch': {
      if (!isDoc(operand)) throw bad('$elemMatch needs an Object');
      return elemMatch(operand, scope, make, any);
    }
    case '$type': {
      scope.typed = true;
      return make(any(ofType(operand)));
    }
    case '$mod': {
      const [divisor = 0, remainder = Number.NaN] = Array.isArray(operand)
        ? operand.map((x) => Math.trunc(toNumber(x) ?? Number.NaN))
        : [];
      if (!Array.isArray(operand) || operand.length !== 2)
        throw bad('malformed mod, needs to be an array of two numbers');
      if (Number.isNaN(divisor) || Number.isNaN(remainder))
        throw bad('malformed mod, divisor and remainder must be numbers');
      if (divisor === 0) throw bad('divisor cannot be 0');
      return make(
        any((value) => {
          const number = toNumber(value);
          return number !== undefined && Number.isFinite(number) && Math.trunc(number) % divisor === remainder;
        }),
      );
    }
    case '$bitsAllSet':
    case '$bitsAnySet':
    case '$bitsAllClear':
    case '$bitsAnyClear':
      return make(any(bitTest(operator, operand)));
    case '$expr':
      throw bad('$expr may only stand at the top level of a query');
    case '$near':
    case '$nearSphere':
    case '$geoWithin':
    case '$geoIntersects':
    case '$within':
      throw new CommandError(291, `${operator} is not supported by the embedded store: it has no geospatial indexes`);
    default:
      throw bad(`unknown operator: ${operator}`);
  }
}

function elemMatch(
  operand: Doc,
  scope: Scope,
  make: (test: (doc: Doc) => boolean, inner?: Condition) => Leaf,
  any: (test: Test, overArrays?: boolean) => (doc: Doc) => boolean,
): Leaf {
  const inside: Scope = { ...scope, paths: new Set(), whole: false };
  const first = Object.keys(operand)[0] ?? '';
  if (
    first.startsWith('$') &&
    !['$and', '$or', '$nor', '$expr', '$jsonSchema', '$comment', '$where', '$text'].includes(first)
  ) {
    // Conditions on the element itself; an element that is an array is not searched again.
    const inner = compilePath('v', operand, inside);
    if (inside.typed) scope.typed = true;
    return make(
      any(
        (value) => Array.isArray(value) && value.some((item) => inner.test({ v: Array.isArray(item) ? [item] : item })),
        false,
      ),
    );
  }
  const inner = compileDoc(operand, inside);
  if (inside.typed) scope.typed = true;
  return make(
    any(
      (value) =>
        Array.isArray(value) && value.some((item) => (isDoc(item) || Array.isArray(item)) && inner.test(asDoc(item))),
      false,
    ),
    inner,
  );
}

const asDoc = (value: Doc | unknown[]): Doc => (Array.isArray(value) ? { ...value } : value);
const isRegex = (value: unknown): value is RegExp | BSONRegExp =>
  value instanceof RegExp || value instanceof BSONRegExp;

export function truthy(value: unknown): boolean {
  return typeof value === 'boolean' ? value : value !== null && value !== undefined && toNumber(value) !== 0;
}

function equalTo(operand: unknown): Test {
  if (operand === undefined || operand === null) return (value) => value === null || value === undefined;
  if (typeof operand === 'string')
    return (value) => value === operand || (bsonType(value) === 'BSONSymbol' && String(value) === operand);
  const type = typeClass(operand);
  const number =
    operand instanceof Int32 || operand instanceof Double || typeof operand === 'number'
      ? toNumber(operand)
      : undefined;
  const key = encodeKey(operand);
  return (value) => {
    if (number !== undefined && typeof value === 'number') return Object.is(value, number) || value === number;
    return typeClass(value) === type && value !== undefined && encodeKey(value).equals(key);
  };
}

function oneOf(operands: unknown[]): Test {
  const tests: Test[] = [];
  const keys = new Set<string>();
  let nullish = false;
  for (const operand of operands) {
    if (isOperators(operand)) throw bad('cannot nest $ under $in');
    if (isRegex(operand)) {
      const expression = compileRegex(operand);
      tests.push((value) => (typeof value === 'string' ? expression(value) : isRegex(value) && equal(value, operand)));
    } else if (operand === null || operand === undefined) nullish = true;
    else if (typeof operand === 'string') keys.add(`s${operand}`);
    else keys.add(encodeKey(operand).toString('latin1'));
  }
  return (value) => {
    if (value === null || value === undefined) return nullish;
    if (keys.has(typeof value === 'string' ? `s${value}` : encodeKey(value).toString('latin1'))) return true;
    return tests.length > 0 && tests.some((test) => test(value));
  };
}

function inOrder(operator: string, operand: unknown): Test {
  if (isRegex(operand)) throw bad("Can't have RegEx as arg to predicate over field");
  const orEqual = operator.endsWith('e');
  const type = typeClass(operand);
  if (type === typeByte.null || operand === undefined)
    return orEqual ? (value) => value === null || value === undefined : () => false;
  if (type === typeByte.minKey || type === typeByte.maxKey) {
    return (value) => decide(operator, compare(value === undefined ? null : value, operand));
  }
  const number = toNumber(operand);
  if (number !== undefined && Number.isNaN(number)) {
    return (value) => orEqual && toNumber(value) !== undefined && Number.isNaN(toNumber(value));
  }
  const plain =
    number !== undefined && (operand instanceof Int32 || operand instanceof Double || typeof operand === 'number');
  return (value) => {
    if (plain && typeof value === 'number') {
      return operator === '$gt'
        ? value > number
        : operator === '$gte'
          ? value >= number
          : operator === '$lt'
            ? value < number
            : value <= number;
    }
    if (typeClass(value) !== type || value === undefined) return false;
    if (number !== undefined && Number.isNaN(toNumber(value))) return false;
    return decide(operator, compare(value, operand));
  };
}

function decide(operator: string, order: number): boolean {
  switch (operator) {
    case '$gt':
      return order > 0;
    case '$gte':
      return order >= 0;
    case '$lt':
      return order < 0;
    default:
      return order <= 0;
  }
}

const typeNames: Record<string, number> = {
  double: 1,
  string: 2,
  object: 3,
  array: 4,
  binData: 5,
  undefined: 6,
  objectId: 7,
  bool: 8,
  date: 9,
  null: 10,
  regex: 11,
  dbPointer: 12,
  javascript: 13,
  symbol: 14,
  javascriptWithScope: 15,
  int: 16,
  timestamp: 17,
  long: 18,
  decimal: 19,
  minKey: -1,
  maxKey: 127,
};

/** The BSON type number of a value in its exact form. */
export function typeNumber(value: unknown): number {
  if (value instanceof Int32) return 16;
  if (value instanceof Long) return 18;
  if (value instanceof Double) return 1;
  if (typeof value === 'number') return Number.isInteger(value) && Math.abs(value) < 0x80000000 ? 16 : 1;
  switch (typeClass(value)) {
    case typeByte.number:
      return 19;
    case typeByte.string:
      return typeof value === 'string' ? 2 : 14;
    case typeByte.object:
      return 3;
    case typeByte.array:
      return 4;
    case typeByte.binary:
      return 5;
    case typeByte.objectId:
      return 7;
    case typeByte.boolean:
      return 8;
    case typeByte.date:
      return 9;
    case typeByte.null:
      return 10;
    case typeByte.regex:
      return 11;
    case typeByte.timestamp:
      return 17;
    case typeByte.code:
      return 13;
    case typeByte.minKey:
      return -1;
    case typeByte.maxKey:
      return 127;
    default:
      return 6;
  }
}

/** A test for one or several BSON types by name or number. */
export function ofType(operand: unknown): Test {
  const wanted = new Set<number>();
  for (const item of Array.isArray(operand) ? operand : [operand]) {
    if (item === 'number') for (const type of [1, 16, 18, 19]) wanted.add(type);
    else {
      const type = typeof item === 'string' ? typeNames[item] : toNumber(item);
      if (type === undefined || !Object.values(typeNames).includes(type))
        throw bad(`Unknown type name alias: ${String(item)}`);
      wanted.add(type);
    }
  }
  if (wanted.size === 0) throw new CommandError(9, '$type must match at least one type');
  return (value) => value !== undefined && wanted.has(typeNumber(value));
}

function bitTest(operator: string, operand: unknown): Test {
  let mask = 0n;
  if (Array.isArray(operand)) {
    for (const position of operand) {
      const bit = toNumber(position);
      if (bit === undefined || !Number.isInteger(bit) || bit < 0 || bit > 1_000_000)
        throw bad(`${operator} positions must be whole numbers from 0`);
      mask |= 1n << BigInt(bit);
    }
  } else if (operand instanceof Binary) mask = littleEndian(operand);
  else {
    const number = toNumber(operand);
    if (number === undefined || !Number.isInteger(number) || number < 0)
      throw bad(`${operator} takes a number, positions or binary data`);
    mask = operand instanceof Long ? operand.toBigInt() : BigInt(number);
  }
  return (value) => {
    let bits: bigint;
    if (value instanceof Binary) bits = littleEndian(value);
    else {
      const number = toNumber(value);
      if (number === undefined || !Number.isInteger(number) || Math.abs(number) > 2 ** 63) return false;
      bits = value instanceof Long ? value.toBigInt() : BigInt(number);
    }
    const set = bits & mask;
    if (operator === '$bitsAllSet') return set === mask;
    if (operator === '$bitsAnySet') return set !== 0n;
    return operator === '$bitsAllClear' ? set === 0n : set !== mask;
  };
}

function littleEndian(value: Binary): bigint {
  const hex = Buffer.from(value.buffer.subarray(0, value.length())).reverse().toString('hex');
  return hex === '' ? 0n : BigInt(`0x${hex}`);
}
