import { BSONRegExp, bsonType, type Doc, isDoc, promote, toNumber } from './bson.ts';
import { CommandError } from './errors.ts';
import { dependencies, evaluator, fieldPath } from './expression.ts';
import { equal } from './keys.ts';
import { isIndex, splitPath, walk } from './path.ts';
import { bitTest, equalTo, inOrder, isOperators, isRegex, ofType, oneOf, type Test, truthy } from './predicates.ts';
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
