import { copyOf, type Doc, get, isDoc, put, toNumber } from './bson.ts';
import { CommandError } from './errors.ts';
import { evaluator, fieldPath } from './expression.ts';
import { compileFilter } from './match.ts';
import { splitPath } from './path.ts';

export type Transform = (doc: Doc) => Doc;

/** A projection as a tree; `true` takes or leaves a field, a function computes it. */
interface Tree {
  [name: string]: Tree | true | ((doc: Doc) => unknown);
}

export interface Projection {
  apply: Transform;
  /** Paths that are read; undefined when it may be any. */
  paths: Set<string> | undefined;
}

const isComputed = (value: unknown) =>
  typeof value === 'string' || Array.isArray(value) || (isDoc(value) && Object.keys(value)[0]?.startsWith('$'));

/**
 * Compiles the projection of `find` (with `$slice`, `$elemMatch` and the positional `$`) or of `$project`.
 * Fields that are taken over keep their exact types.
 */
export function compileProjection(
  spec: Doc,
  options: { find?: boolean; filter?: Doc; variables?: Doc } = {},
): Projection {
  const include: Tree = {};
  const exclude: Tree = {};
  const special: Transform[] = [];
  const sliced: string[] = [];
  let inclusive: boolean | undefined;
  let includeId: boolean | undefined;
  let positional: string | undefined;
  const settle = (value: boolean, path: string): void => {
    if (inclusive !== undefined && inclusive !== value) {
      throw new CommandError(
        value ? 31253 : 31254,
        `Cannot do ${value ? 'inclusion' : 'exclusion'} on field ${path} in ${value ? 'exclusion' : 'inclusion'} projection`,
      );
    }
    inclusive = value;
  };
  const visit = (value: unknown, path: string): void => {
    const number = typeof value === 'boolean' ? Number(value) : toNumber(value);
    if (path.split('.').some((part) => part === ''))
      throw new CommandError(40353, `FieldPath '${path}' must not have empty parts`);
    if (number !== undefined) {
      if (path === '_id') {
        includeId = number !== 0;
        return;
      }
      if (options.find && path.endsWith('.$') && number !== 0) {
        positional = path.slice(0, -2);
        settle(true, path);
        plant(include, positional, true);
        return;
      }
      settle(number !== 0, path);
      plant(number !== 0 ? include : exclude, path, true);
    } else if (options.find && isDoc(value) && '$slice' in value) {
      sliced.push(path);
      special.push(sliceField(path, value.$slice));
    } else if (options.find && isDoc(value) && '$elemMatch' in value) {
      settle(true, path);
      special.push(elemMatchField(path, value.$elemMatch));
      plant(include, path, true);
    } else if (options.find && isDoc(value) && '$meta' in value) {
      throw new CommandError(2, '$meta is not supported by the embedded store');
    } else if (isComputed(value) || !isDoc(value)) {
      if (path === '_id') includeId = true;
      else settle(true, path);
      plant(
        include,
        path,
        evaluator(
          options.find && typeof value === 'string' && !fieldPath(value) ? { $literal: value } : value,
          options.variables,
        ),
      );
    } else {
      if (Object.keys(value).length === 0)
        throw new CommandError(51270, 'An empty sub-projection is not a valid value');
      for (const [name, inner] of Object.entries(value)) visit(inner, `${path}.${name}`);
    }
  };
  for (const [path, value] of Object.entries(spec)) visit(value, path);
  if (inclusive === undefined) inclusive = includeId === true || '_id' in include;
  if (inclusive) {
    // $slice alone keeps all other fields; in an inclusion its field is taken too.
    for (const path of sliced) plant(include, path, true);
    if (includeId !== false && !('_id' in include)) plant(include, '_id', true);
  } else if (includeId === false) plant(exclude, '_id', true);

  const base: Transform = inclusive ? (doc) => take(doc, include, doc) as Doc : (doc) => leave(doc, exclude) as Doc;
  const position = positional === undefined ? undefined : positionalField(positional, options.filter ?? {});
  return {
    paths:
      inclusive &&
      !Object.values(include).some((node) => typeof node === 'function') &&
      special.length === 0 &&
      !position
        ? new Set(Object.keys(include))
        : undefined,
    apply(doc) {
      let result = base(position ? position(doc) : doc);
      for (const change of special) result = change(result);
      return result;
    },
  };
}

function plant(tree: Tree, path: string, value: true | ((doc: Doc) => unknown)): void {
  const parts = splitPath(path);
  let node = tree;
  for (const [i, part] of parts.entries()) {
    const existing = Object.hasOwn(node, part) ? node[part] : undefined;
    if (i === parts.length - 1) {
      if (existing !== undefined && existing !== true) throw new CommandError(31249, `Path collision at ${path}`);
      put(node as Doc, part, value);
    } else {
      if (existing === true || typeof existing === 'function')
        throw new CommandError(31249, `Path collision at ${path} remaining portion ${parts.slice(i + 1).join('.')}`);
      if (existing === undefined) put(node as Doc, part, {});
      node = node[part] as Tree;
    }
  }
}

/** Included fields in the order of the document (`_id` first), then the computed ones in the order of the projection. */
function take(value: unknown, tree: Tree, root: Doc): unknown {
  if (Array.isArray(value))
    return value
      .filter((item) => isDoc(item) || Array.isArray(item) || hasComputed(tree))
      .map((item) => take(item, tree, root));
  const result: Doc = {};
  if (!isDoc(value)) {
    if (!hasComputed(tree)) return undefined;
  } else {
    for (const key of Object.keys(value)) {
      if (!Object.hasOwn(tree, key)) continue;
      const node = tree[key];
      if (node === true) put(result, key, value[key]);
      else if (typeof node === 'object') {
        const inner = value[key];
        if (isDoc(inner) || Array.isArray(inner) || hasComputed(node)) {
          const taken = take(inner, node, root);
          if (taken !== undefined) put(result, key, taken);
        }
      }
    }
  }
  for (const key of Object.keys(tree)) {
    const node = tree[key];
    if (typeof node === 'function') {
      const computed = node(root);
      if (computed !== undefined) put(result, key, computed);
    } else if (typeof node === 'object' && !Object.hasOwn(result, key) && hasComputed(node)) {
      const inner = take(undefined, node, root);
      if (inner !== undefined) put(result, key, inner);
    }
  }
  return result;
}

const hasComputed = (tree: Tree): boolean =>
  Object.values(tree).some((node) => typeof node === 'function' || (typeof node === 'object' && hasComputed(node)));

function leave(value: unknown, tree: Tree): unknown {
  if (Array.isArray(value)) return value.map((item) => leave(item, tree));
  if (!isDoc(value)) return value;
  const result: Doc = {};
  for (const key of Object.keys(value)) {
    const node = Object.hasOwn(tree, key) ? tree[key] : undefined;
    if (node === undefined) put(result, key, value[key]);
    else if (node !== true) put(result, key, leave(value[key], node as Tree));
  }
  return result;
}

function mapField(doc: Doc, parts: string[], change: (list: unknown[]) => unknown[] | undefined): Doc {
  const [part = '', ...rest] = parts;
  const value = get(doc, part);
  const next = copyOf(doc);
  if (rest.length > 0) {
    if (isDoc(value)) put(next, part, mapField(value, rest, change));
    else if (Array.isArray(value))
      put(
        next,
        part,
        value.map((item) => (isDoc(item) ? mapField(item, rest, change) : item)),
      );
    return next;
  }
  if (!Array.isArray(value)) return next;
  const changed = change(value);
  if (changed === undefined) delete next[part];
  else put(next, part, changed);
  return next;
}

function sliceField(path: string, operand: unknown): Transform {
  const numbers = (Array.isArray(operand) ? operand : [operand]).map((value) =>
    Math.trunc(toNumber(value) ?? Number.NaN),
  );
  const [first = 0, count] = numbers;
  if (numbers.length > 2 || numbers.some(Number.isNaN))
    throw new CommandError(28724, '$slice takes a number or [skip, limit]');
  if (count !== undefined && count <= 0) throw new CommandError(28724, 'The limit of $slice must be positive');
  const parts = splitPath(path);
  return (doc) =>
    mapField(doc, parts, (list) => {
      if (count === undefined) return first >= 0 ? list.slice(0, first) : list.slice(first);
      const from = first < 0 ? Math.max(0, list.length + first) : first;
      return list.slice(from, from + count);
    });
}

function elemMatchField(path: string, operand: unknown): Transform {
  const filter = compileFilter({ v: { $elemMatch: operand } });
  const parts = splitPath(path);
  if (parts.length > 1) throw new CommandError(31275, 'Cannot use $elemMatch projection on a nested field');
  const [part = ''] = parts;
  return (doc) => {
    const next = mapField(doc, parts, (list) => {
      const found = list.find((item) => filter.test({ v: [item] }));
      return found === undefined ? undefined : [found];
    });
    if (!Array.isArray(get(next, part))) delete next[part];
    return next;
  };
}

/** `{ 'list.$': 1 }`: only the element that the condition on the list matched. */
function positionalField(path: string, filter: Doc): Transform {
  const conditions: [string, unknown][] = [];
  const collect = (doc: Doc): void => {
    for (const [key, value] of Object.entries(doc)) {
      if (key === path || key.startsWith(`${path}.`)) conditions.push([key.slice(path.length), value]);
      else if (key === '$and' && Array.isArray(value)) for (const inner of value) if (isDoc(inner)) collect(inner);
    }
  };
  collect(filter);
  const [condition] = conditions;
  if (!condition)
    throw new CommandError(
      51246,
      "Executor error during find command: positional operator '.$' couldn't find a matching element in the array",
    );
  const test = compileFilter(Object.fromEntries(conditions.map(([rest, value]) => [`v${rest}`, value])));
  const parts = splitPath(path);
  return (doc) =>
    mapField(doc, parts, (list) => {
      const found = list.find((item) => test.test({ v: isElemMatch(condition[1]) ? [item] : item }));
      if (found === undefined)
        throw new CommandError(
          51246,
          "Executor error during find command: positional operator '.$' couldn't find a matching element in the array",
        );
      return [found];
    });
}

const isElemMatch = (value: unknown) => isDoc(value) && '$elemMatch' in value;

/** `$addFields`: computed from the document as it comes in; a nested document sets single fields. */
export function compileAddFields(spec: Doc, variables?: Doc): Transform {
  const fields: { parts: string[]; compute: (doc: Doc) => unknown }[] = [];
  const visit = (value: unknown, path: string): void => {
    if (isDoc(value) && Object.keys(value).length > 0 && !Object.keys(value)[0]?.startsWith('$')) {
      for (const [name, inner] of Object.entries(value)) visit(inner, `${path}.${name}`);
    } else fields.push({ parts: splitPath(path), compute: evaluator(value, variables) });
  };
  for (const [path, value] of Object.entries(spec)) {
    if (path.startsWith('$') || path.split('.').includes(''))
      throw new CommandError(40352, `FieldPath '${path}' is not a valid field name`);
    visit(value, path);
  }
  return (doc) => {
    const values = fields.map(({ compute }) => compute(doc));
    let next = doc;
    for (const [i, { parts }] of fields.entries()) next = setIn(next, parts, values[i]) as Doc;
    return next;
  };
}

/** Sets a path in a copy; arrays on the way are entered element by element. */
function setIn(value: unknown, parts: string[], leaf: unknown): unknown {
  const [part, ...rest] = parts;
  if (part === undefined) return leaf;
  if (Array.isArray(value)) return value.map((item) => setIn(item, parts, leaf));
  const next = isDoc(value) ? copyOf(value) : {};
  const inner = setIn(get(next, part), rest, leaf);
  if (inner === undefined) delete next[part];
  else put(next, part, inner);
  return next;
}

export function compileReplaceRoot(expression: unknown, variables?: Doc): Transform {
  const compute = evaluator(expression, variables);
  return (doc) => {
    const root = compute(doc);
    if (!isDoc(root)) throw new CommandError(40228, "'newRoot' expression must evaluate to an object");
    return root;
  };
}

export function compileUnset(spec: unknown): Transform {
  const fields = Array.isArray(spec) ? spec : [spec];
  if (fields.length === 0 || !fields.every((item) => typeof item === 'string'))
    throw new CommandError(31002, '$unset specification must be a string or an array of strings');
  return compileProjection(Object.fromEntries(fields.map((path) => [path, 0]))).apply;
}

/** The stages that turn one document into one document; they may also stand in an update. */
export function singleStage(name: string, spec: unknown, variables?: Doc): Transform | undefined {
  switch (name) {
    case '$project':
      if (!isDoc(spec) || Object.keys(spec).length === 0)
        throw new CommandError(51272, 'Invalid $project: the specification must have at least one field');
      return compileProjection(spec, { ...(variables && { variables }) }).apply;
    case '$addFields':
    case '$set':
      if (!isDoc(spec)) throw new CommandError(40272, `${name} specification stage must be an object`);
      return compileAddFields(spec, variables);
    case '$unset':
      return compileUnset(spec);
    case '$replaceRoot':
      return compileReplaceRoot(isDoc(spec) ? spec.newRoot : undefined, variables);
    case '$replaceWith':
      return compileReplaceRoot(spec, variables);
    default:
      return undefined;
  }
}

/** An update given as a pipeline. */
export function transformOne(pipeline: unknown[], variables?: Doc): Transform {
  const steps = pipeline.map((stage) => {
    const [name = ''] = isDoc(stage) ? Object.keys(stage) : [];
    const step = isDoc(stage) ? singleStage(name, stage[name], variables) : undefined;
    if (!step) throw new CommandError(72, `${name} is not allowed to be used within an update`);
    return step;
  });
  return (doc) => steps.reduce((current, step) => step(current), doc);
}
