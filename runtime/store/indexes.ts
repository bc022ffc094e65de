import type { StatementSync } from 'node:sqlite';
import { type Doc, isDoc, toNumber } from './bson.ts';
import { CommandError } from './errors.ts';
import { encodeIndexPart, encodeKey, equal } from './keys.ts';
import { compileFilter, type Filter } from './match.ts';
import { field, isIndex, splitPath } from './path.ts';

/** The definition of an index as `listIndexes` shows it. */
export interface IndexSpec extends Doc {
  key: Doc;
  name: string;
  unique?: boolean;
  sparse?: boolean;
  partialFilterExpression?: Doc;
  expireAfterSeconds?: unknown;
  hidden?: boolean;
}

export interface IndexField {
  path: string;
  parts: string[];
  descending: boolean;
}

/** An index of a collection: a table `(k, rid)`, `k` the order-preserving key. */
export interface Index {
  id: number;
  spec: IndexSpec;
  fields: IndexField[];
  unique: boolean;
  sparse: boolean;
  partial: Filter | undefined;
  /** Per field: some document has an array there, so one document may have several entries. Never goes back to false. */
  multikey: boolean[];
  /** Some entry is cut (keys.ts): the order within the index is not exact. */
  cut: boolean;
  table: string;
  insert: StatementSync;
  remove: StatementSync;
  find: StatementSync;
}

export interface Entries {
  keys: Buffer[];
  multikey: boolean[] | undefined;
  cut: boolean;
}

const knownOptions = new Set([
  'key',
  'name',
  'unique',
  'sparse',
  'partialFilterExpression',
  'expireAfterSeconds',
  'hidden',
  'background',
  'v',
  'ns',
  'collation',
  'dropDups',
  'default_language',
  'language_override',
  'weights',
  'textIndexVersion',
  'storageEngine',
  'wildcardProjection',
  'clustered',
]);

/** Checks a definition from a client. */
export function parseIndexSpec(given: unknown): IndexSpec {
  if (!isDoc(given) || !isDoc(given.key) || Object.keys(given.key).length === 0)
    throw new CommandError(67, 'An index needs a key with at least one field');
  for (const option of Object.keys(given)) {
    if (!knownOptions.has(option))
      throw new CommandError(197, `The field '${option}' is not valid for an index specification.`);
  }
  const key: Doc = {};
  for (const [path, order] of Object.entries(given.key)) {
    if (path === '' || path.startsWith('$') || path.split('.').includes(''))
      throw new CommandError(67, `Index key contains an illegal field name: '${path}'`);
    if (typeof order === 'string' && order !== 'hashed')
      throw new CommandError(67, `Index type '${order}' is not supported by the embedded store`);
    if (path.includes('$**')) throw new CommandError(67, 'Wildcard indexes are not supported by the embedded store');
    const number = toNumber(order);
    if (order !== 'hashed' && (number === undefined || number === 0 || Number.isNaN(number)))
      throw new CommandError(67, `Values in the index key pattern must be 1 or -1: ${path}`);
    key[path] = order;
  }
  if (Object.keys(key).length > 32) throw new CommandError(13103, 'too many compound keys');
  if (isDoc(given.collation) && given.collation.locale !== 'simple')
    throw new CommandError(238, 'Collations are not supported by the embedded store');
  const name =
    given.name ??
    Object.entries(key)
      .map(([path, order]) => `${path}_${typeof order === 'string' ? order : toNumber(order)}`)
      .join('_');
  if (typeof name !== 'string' || name === '' || name === '*')
    throw new CommandError(67, 'The index name is not valid');
  const spec: IndexSpec = { v: 2, key, name };
  if (given.unique !== undefined && isSet(given.unique)) spec.unique = true;
  if (given.sparse !== undefined && isSet(given.sparse)) spec.sparse = true;
  if (given.hidden !== undefined && isSet(given.hidden)) spec.hidden = true;
  if (given.partialFilterExpression !== undefined) {
    if (!isDoc(given.partialFilterExpression)) throw new CommandError(67, 'partialFilterExpression must be an object');
    if (spec.sparse) throw new CommandError(67, 'cannot mix "partialFilterExpression" and "sparse" options');
    checkPartial(compileFilter(given.partialFilterExpression).root);
    spec.partialFilterExpression = given.partialFilterExpression;
  }
  if (given.expireAfterSeconds !== undefined) {
    const seconds = toNumber(given.expireAfterSeconds);
    if (seconds === undefined || !(seconds >= 0) || seconds > 2147483647)
      throw new CommandError(67, 'TTL index expireAfterSeconds must be between 0 and 2147483647');
    if (Object.keys(key).length > 1 || '_id' in key)
      throw new CommandError(67, 'TTL indexes are single-field indexes and not on _id');
    spec.expireAfterSeconds = given.expireAfterSeconds;
  }
  if (name === '_id_' && !('_id' in key))
    throw new CommandError(67, "The index name '_id_' is reserved for the _id index");
  return spec;
}

const isSet = (value: unknown) => value === true || (toNumber(value) ?? 0) !== 0;

function checkPartial(condition: Filter['root']): void {
  if (condition.kind === 'other' || condition.kind === 'nor')
    throw new CommandError(67, 'Unsupported expression in partial index');
  if (condition.kind !== 'leaf') for (const child of condition.children) checkPartial(child);
  else if (
    !['$eq', '$gt', '$gte', '$lt', '$lte', '$in', '$exists', '$type', '$elemMatch', '$regex'].includes(
      condition.operator,
    ) ||
    (condition.operator === '$exists' && condition.operand === false)
  ) {
    throw new CommandError(67, `Unsupported expression in partial index: ${condition.operator}`);
  }
}

export function indexFields(key: Doc): IndexField[] {
  return Object.entries(key).map(([path, order]) => ({
    path,
    parts: splitPath(path),
    descending: (toNumber(order) ?? 1) < 0,
  }));
}

export const sameKey = (a: Doc, b: Doc) =>
  Object.keys(a).join() === Object.keys(b).join() && encodeKey(a).equals(encodeKey(b));

export function sameOptions(a: IndexSpec, b: IndexSpec): boolean {
  return (
    (a.unique ?? false) === (b.unique ?? false) &&
    (a.sparse ?? false) === (b.sparse ?? false) &&
    toNumber(a.expireAfterSeconds) === toNumber(b.expireAfterSeconds) &&
    equal(a.partialFilterExpression, b.partialFilterExpression)
  );
}

interface Branch {
  value: unknown;
  at: number;
  done: boolean;
}

/**
 * The index entries of a document: one per combination of array elements, at least one (`null` for a missing field)
 * unless the index is sparse or partial and leaves it out.
 *
 * @throws {CommandError} 171 when two fields of the key are arrays that do not lie on one path
 */
export function indexEntries(index: Pick<Index, 'fields' | 'sparse' | 'partial'>, doc: Doc): Entries {
  const entries: Entries = { keys: [], multikey: undefined, cut: false };
  if (index.partial && !index.partial.test(doc)) return entries;
  const { fields } = index;
  const [only] = fields;
  if (only && fields.length === 1 && only.parts.length === 1) {
    const value = field(doc, only.path);
    if (!Array.isArray(value)) {
      if (value === undefined && index.sparse) return entries;
      add(entries, fields, [value ?? null]);
      return entries;
    }
  }
  expand(
    entries,
    index,
    fields.map(() => ({ value: doc, at: 0, done: false })),
  );
  if (entries.keys.length > 1)
    entries.keys = [...new Map(entries.keys.map((key) => [key.toString('latin1'), key])).values()];
  return entries;
}

/** The entry of an empty array, which sorts before null; `undefined` has that place. */
const emptyArray = undefined;

function expand(entries: Entries, index: Pick<Index, 'fields' | 'sparse'>, branches: Branch[]): void {
  const { fields } = index;
  let list: unknown[] | undefined;
  for (const [i, branch] of branches.entries()) {
    if (branch.done) continue;
    const parts = fields[i]?.parts ?? [];
    while (branch.at < parts.length) {
      const part = parts[branch.at];
      if (Array.isArray(branch.value)) {
        if (!isIndex(part) || Number(part) >= branch.value.length) break;
        branch.value = branch.value[Number(part)];
      } else branch.value = field(branch.value, part ?? '');
      branch.at++;
    }
    if (!Array.isArray(branch.value)) branch.done = true;
    else if (list === undefined) list = branch.value;
    else if (list !== branch.value) {
      throw new CommandError(
        171,
        `cannot index parallel arrays [${parts.join('.')}] [${fields.map((f) => f.path).join(', ')}]`,
      );
    }
  }
  if (list === undefined) {
    if (index.sparse && branches.every((branch) => branch.value === undefined)) return;
    add(
      entries,
      fields,
      branches.map((branch) => (branch.value === undefined ? null : branch.value)),
    );
    return;
  }
  entries.multikey ??= fields.map(() => false);
  for (const [i, branch] of branches.entries()) if (!branch.done) entries.multikey[i] = true;
  const items = list.length > 0 ? list : [emptyArray];
  for (const item of items) {
    expand(
      entries,
      index,
      branches.map((branch, i) => {
        if (branch.done) return { ...branch };
        const leaf = branch.at === (fields[i]?.parts.length ?? 0);
        if (leaf) return { value: item === undefined ? emptyMarker : item, at: branch.at, done: true };
        return { value: isDoc(item) ? item : undefined, at: branch.at, done: !isDoc(item) };
      }),
    );
  }
}

const emptyMarker = Symbol('empty array');

function add(entries: Entries, fields: IndexField[], values: unknown[]): void {
  const parts = values.map((value, i) =>
    encodeIndexPart(value === emptyMarker ? undefined : value, fields[i]?.descending),
  );
  if (parts.some((part) => part.cut)) entries.cut = true;
  const [first] = parts;
  entries.keys.push(parts.length === 1 && first ? first.bytes : Buffer.concat(parts.map((part) => part.bytes)));
}
