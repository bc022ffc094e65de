import { Context, evalExpr } from 'mingo/core';
import * as accumulator from 'mingo/operators/accumulator';
import * as expression from 'mingo/operators/expression';
import * as pipeline from 'mingo/operators/pipeline';
import * as projection from 'mingo/operators/projection';
import * as query from 'mingo/operators/query';
import * as window from 'mingo/operators/window';
import { type Doc, isDoc, promote, put } from './bson.ts';
import { CommandError } from './errors.ts';
import { compare } from './keys.ts';
import { resolve, splitPath } from './path.ts';
import { watched } from './regex.ts';

type Evaluate = (doc: Doc) => unknown;
type MingoOptions = Parameters<typeof evalExpr>[2];
interface Bound {
  update(locals: { root: unknown; variables?: Doc }): MingoOptions;
}

const forbidden = new Set(['$where', '$function', '$accumulator']);

/** Refuses server-side JavaScript at any depth, before anything of it is looked at. */
export function refuseScripts(value: unknown): void {
  if (Array.isArray(value)) for (const item of value) refuseScripts(item);
  else if (isDoc(value)) {
    for (const key of Object.keys(value)) {
      if (key === '$literal') continue;
      if (forbidden.has(key))
        throw new CommandError(2, `${key} is not supported by the embedded store: server-side JavaScript is off`);
      refuseScripts(value[key]);
    }
  }
}

/** Comparisons in MongoDB's order; mingo's own know no BSON types. */
const comparison = (decide: (order: number) => unknown) => (doc: unknown, args: unknown, options: unknown) => {
  const pair = evalInner(doc, args, options);
  if (!Array.isArray(pair) || pair.length !== 2)
    throw new CommandError(16020, 'A comparison takes exactly 2 arguments');
  return decide(compare(pair[0], pair[1]));
};

const evalInner = (doc: unknown, args: unknown, options: unknown) =>
  evalExpr(doc as never, args as never, options as MingoOptions);

const maxRange = 1_000_000;
let captured: unknown;
const own = {
  $eq: comparison((order) => order === 0),
  $ne: comparison((order) => order !== 0),
  $gt: comparison((order) => order > 0),
  $gte: comparison((order) => order >= 0),
  $lt: comparison((order) => order < 0),
  $lte: comparison((order) => order <= 0),
  $cmp: comparison(Math.sign),
  $range: (doc: unknown, args: unknown, options: unknown) => {
    const range = evalInner(doc, args, options);
    if (!Array.isArray(range)) throw new CommandError(28667, '$range takes an array of 2 or 3 numbers');
    const [start = 0, end = 0, step = 1] = range as number[];
    if (Math.abs((end - start) / step) > maxRange)
      throw new CommandError(31, `$range may give at most ${maxRange} numbers`);
    return evalExpr(doc as never, { $mingoRange: args } as never, options as MingoOptions);
  },
  $mingoRange: expression.$range as (doc: unknown, args: unknown, options: unknown) => unknown,
  // Gives access to mingo's option object, which is costly to make and can be used again.
  $koagentCapture: (_doc: unknown, _args: unknown, options: unknown) => {
    captured = options;
    return null;
  },
};

type Operators = Parameters<typeof Context.init>[0];
export const mingoContext = Context.init({
  accumulator,
  expression: { ...expression, ...own },
  pipeline,
  projection,
  query,
  window,
} as unknown as Operators);

function bind(): Bound {
  evalExpr({}, { $koagentCapture: 1 }, { context: mingoContext, scriptEnabled: false } as unknown as MingoOptions);
  return captured as Bound;
}

/** `$a.b` as path parts; undefined for everything else. */
export function fieldPath(value: unknown): string[] | undefined {
  if (typeof value !== 'string' || !value.startsWith('$') || value.length < 2) return undefined;
  if (value.startsWith('$$ROOT.')) return splitPath(value.slice(7));
  if (value.startsWith('$$CURRENT.')) return splitPath(value.slice(10));
  return value[1] === '$' ? undefined : splitPath(value.slice(1));
}

/** Checks that all operators of an expression are known, so that a typing error does not depend on the data. */
function checkOperators(value: unknown): void {
  if (Array.isArray(value)) for (const item of value) checkOperators(item);
  else if (isDoc(value)) {
    const keys = Object.keys(value);
    const first = keys[0] ?? '';
    if (first.startsWith('$')) {
      if (keys.length > 1)
        throw new CommandError(
          15983,
          `An object representing an expression must have exactly one field: ${keys.join(', ')}`,
        );
      if (!(first in expression) && !(first in accumulator) && !(first in own)) {
        throw new CommandError(168, `Unrecognized expression '${first}'`);
      }
      if (first === '$literal') return;
    }
    for (const key of keys) checkOperators(value[key]);
  }
}

/**
 * Compiles an aggregation expression. The function takes documents of either number form; what it takes over
 * unchanged by a plain path keeps its exact type.
 */
export function evaluator(value: unknown, variables?: Doc): Evaluate {
  const path = fieldPath(value);
  if (path) return (doc) => resolve(doc, path);
  if (value === '$$ROOT' || value === '$$CURRENT') return (doc) => doc;
  if (value === '$$REMOVE') return () => undefined;
  if (typeof value !== 'object' && !(typeof value === 'string' && value.startsWith('$$'))) return () => value;
  if (isDoc(value) && Object.keys(value).length === 1 && '$literal' in value) return () => value.$literal;
  if (typeof value === 'object' && value !== null && !isDoc(value) && !Array.isArray(value)) return () => value;
  refuseScripts(value);
  if (Array.isArray(value)) {
    const items = value.map((item) => evaluator(item, variables));
    return (doc) => items.map((item) => item(doc) ?? null);
  }
  if (isDoc(value) && !Object.keys(value)[0]?.startsWith('$')) {
    const fields = Object.keys(value).map((key) => [key, evaluator(value[key], variables)] as const);
    return (doc) => {
      const result: Doc = {};
      for (const [key, evaluate] of fields) {
        const inner = evaluate(doc);
        if (inner !== undefined) put(result, key, inner);
      }
      return result;
    };
  }
  checkOperators(value);
  const plain = promote(value);
  const isSlow = mayBeSlow(value);
  const known = variables && (promote(variables) as Doc);
  const options = bind();
  const evaluate = (doc: Doc): unknown => {
    const root = promote(doc);
    try {
      return evalInner(root, plain, options.update(known ? { root, variables: known } : { root }));
    } catch (error) {
      // mingo checks few arguments; what it trips over is wrong in the expression.
      if (error instanceof TypeError)
        throw new CommandError(2, `The arguments of an expression are not valid: ${error.message}`);
      throw error;
    }
  };
  return isSlow ? watched(JSON.stringify(value), evaluate) : evaluate;
}

const slowOperators = new Set([
  '$regexMatch',
  '$regexFind',
  '$regexFindAll',
  '$range',
  '$reduce',
  '$map',
  '$filter',
  '$zip',
  '$concat',
  '$replaceAll',
]);

function mayBeSlow(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(mayBeSlow);
  return isDoc(value) && Object.keys(value).some((key) => slowOperators.has(key) || mayBeSlow(value[key]));
}

/** The paths an expression reads; undefined when it may read the whole document. */
export function dependencies(value: unknown, found = new Set<string>()): Set<string> | undefined {
  if (typeof value === 'string') {
    const path = fieldPath(value);
    if (path) found.add(path.join('.'));
    else if (value.startsWith('$$ROOT') || value.startsWith('$$CURRENT')) return undefined;
  } else if (Array.isArray(value)) {
    for (const item of value) if (!dependencies(item, found)) return undefined;
  } else if (isDoc(value)) {
    for (const key of Object.keys(value)) {
      if (key === '$getField' || key === '$setField' || key === '$unsetField') return undefined;
      if (!dependencies(value[key], found)) return undefined;
    }
  }
  return found;
}
