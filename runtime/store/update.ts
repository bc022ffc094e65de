import { copyOf, type Doc, get, isDoc, ObjectId, put } from './bson.ts';
import { CommandError } from './errors.ts';
import { refuseScripts } from './expression.ts';
import { equal } from './keys.ts';
import { type Condition, compileFilter, type Filter } from './match.ts';
import { isIndex, splitPath } from './path.ts';
import { transformOne } from './transform.ts';
import { deepCopy, knownOperators, noop, type Operator, place } from './update-operators.ts';

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
