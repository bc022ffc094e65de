import type { Contract, JsonSchema } from '../contracts/contract.ts';
import { MAX_ITEMS } from '../long-values.ts';
import type { IdKind, TSchema } from '../schema.ts';

/** Running numbers for ids, for the contracts that show them. */
export interface NumberLookup {
  numberOf(kind: IdKind, ids: readonly string[]): Promise<Map<string, number>>;
  idOf(kind: IdKind, number: number): Promise<string | undefined>;
}

/**
 * Works on JSON Schema as data: `Type.Object(...)` and friends are plain objects with a few `x-koagent-…` marks.
 * `defs` are the definitions that `$ref` names (recursive schemas).
 */
type Defs = Record<string, JsonSchema>;

/** A schema as the data that it is. */
export const asJson = (schema: TSchema): JsonSchema => schema as unknown as JsonSchema;

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const propertiesOf = (schema: JsonSchema) => (schema.properties ?? {}) as Record<string, JsonSchema>;
const variantsOf = (schema: JsonSchema) => (schema.anyOf ?? schema.oneOf ?? []) as JsonSchema[];

/** Follows `$ref` and remembers the definitions on the way. */
export function resolve(schema: JsonSchema, defs: Defs): [JsonSchema, Defs] {
  const known = schema.$defs === undefined ? defs : { ...defs, ...(schema.$defs as Defs) };
  if (typeof schema.$ref !== 'string') return [schema, known];
  const target = known[schema.$ref.replace(/^#\/\$defs\//, '')];
  return target === undefined ? [{}, known] : resolve(target, known);
}

/** The one variant of a union that fits a value by its JSON type; the first one that is not null otherwise. */
function variantFor(value: unknown, variants: JsonSchema[], defs: Defs): JsonSchema {
  const resolved = variants.map((variant) => resolve(variant, defs)[0]);
  const index = resolved.findIndex(
    (variant) => variant.type === jsonType(value) || (variant.type === 'integer' && typeof value === 'number'),
  );
  return variants[index] ?? variants.find((_, at) => resolved[at]?.type !== 'null') ?? {};
}

function jsonType(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  return value instanceof Date ? 'string' : typeof value;
}

/** How a request part travels: JSON has types of its own, queries and forms are text. */
export type Form = 'json' | 'text';

/**
 * Makes a request part ready to be checked: trims, fills defaults, leaves out what the schema does not name, and reads
 * numbers and booleans of a query or form from their text.
 */
export function prepare(schema: JsonSchema, value: unknown, form: Form, contract: Contract, defs: Defs = {}): unknown {
  const [node, known] = resolve(schema, defs);
  const inner = (next: JsonSchema, item: unknown) => prepare(next, item, form, contract, known);
  if (value === undefined) return node.default === undefined ? undefined : inner(node, structuredClone(node.default));
  const variants = variantsOf(node);
  if (variants.length > 0) return value === null ? null : inner(variantFor(value, variants, known), value);
  if (typeof value === 'string') return prepareText(node, value, form, contract);
  if (Array.isArray(value) && isObject(node.items)) {
    const { items, maxItems = MAX_ITEMS } = node;
    // Too many are refused anyway.
    return value.length > Number(maxItems) ? value : value.map((item) => inner(items, item));
  }
  // An object with free keys is kept as it came; only what the schema names can be prepared.
  if (!isObject(value) || node.properties === undefined) return value;
  const result: Record<string, unknown> = {};
  if (node.additionalProperties === true) Object.assign(result, value);
  const required = (node.required ?? []) as readonly string[];
  for (const [name, property] of Object.entries(propertiesOf(node))) {
    const given = Object.hasOwn(value, name) ? value[name] : undefined;
    const left = form === 'text' && !required.includes(name) && isUnchosen(resolve(property, known)[0], given);
    const prepared = inner(property, left ? undefined : given);
    if (prepared !== undefined) result[name] = prepared;
  }
  return result;
}

/** Pages send the fields of a filter that was left alone as `status=&projectId=`: no id and no choice is an empty text. */
const isUnchosen = (node: JsonSchema, value: unknown): boolean =>
  typeof value === 'string' &&
  value.trim() === '' &&
  (node['x-koagent-id'] !== undefined || (Array.isArray(node.enum) && !node.enum.includes('')));

function prepareText(node: JsonSchema, value: string, form: Form, contract: Contract): unknown {
  if (node['x-koagent-trim'] === true) return value.trim();
  if (form === 'json') return value;
  const plain = value.trim();
  const kind = node['x-koagent-id'] as IdKind | undefined;
  const type = kind !== undefined && contract.numbered(kind) ? 'integer' : node.type;
  if ((type === 'integer' || type === 'number') && /^-?\d+(\.\d+)?$/.test(plain)) return Number(plain);
  if (type === 'boolean' && /^(true|1|false|0)$/i.test(plain)) return /^(true|1)$/i.test(plain);
  return value;
}

/** The schema as clients see it: ids and times in the contract's form, without the marks. */
export function wireSchema(schema: JsonSchema, contract: Contract): JsonSchema {
  const kind = schema['x-koagent-id'] as IdKind | undefined;
  const { label: _label, 'x-koagent-id': _id, 'x-koagent-time': _time, 'x-koagent-trim': _trim, ...rest } = schema;
  if (kind !== undefined) return { ...pick(rest, 'description'), ...contract.docs.idSchema(kind) };
  if (schema['x-koagent-time'] === true) return { ...pick(rest, 'description'), ...contract.docs.timeSchema };
  const result: JsonSchema = {};
  for (const [key, value] of Object.entries(rest)) {
    if (key.startsWith('x-koagent-') || key.startsWith('~')) continue;
    if ((key === 'properties' || key === '$defs') && isObject(value)) {
      result[key] = Object.fromEntries(
        Object.entries(value).map(([name, item]) => [name, wireSchema(item as JsonSchema, contract)]),
      );
    } else if ((key === 'anyOf' || key === 'oneOf' || key === 'allOf') && Array.isArray(value)) {
      result[key] = value.map((item: JsonSchema) => wireSchema(item, contract));
    } else if ((key === 'items' || key === 'additionalProperties') && isObject(value)) {
      result[key] = wireSchema(value, contract);
    } else {
      result[key] = value;
    }
  }
  return result;
}

const pick = (object: JsonSchema, key: string): JsonSchema => (object[key] === undefined ? {} : { [key]: object[key] });

/** Turns ids of a checked request part into the ones that services know. */
export async function fromWire(
  schema: JsonSchema,
  value: unknown,
  contract: Contract,
  numbers: NumberLookup,
  defs: Defs = {},
): Promise<unknown> {
  const [node, known] = resolve(schema, defs);
  if (value === undefined || value === null) return value;
  const kind = node['x-koagent-id'] as IdKind | undefined;
  if (kind !== undefined) return parseId(kind, value as string | number, contract, numbers);
  if (node['x-koagent-time'] === true) return new Date(value as string);
  const variants = variantsOf(node);
  if (variants.length > 0) return fromWire(variantFor(value, variants, known), value, contract, numbers, known);
  if (Array.isArray(value) && isObject(node.items)) {
    const items = node.items;
    return Promise.all(value.map((item) => fromWire(items, item, contract, numbers, known)));
  }
  if (!isObject(value) || node.properties === undefined) return value;
  const result = { ...value };
  for (const [name, property] of Object.entries(propertiesOf(node))) {
    if (Object.hasOwn(value, name)) result[name] = await fromWire(property, value[name], contract, numbers, known);
  }
  return result;
}

/** An id nobody has stays one that nobody has, so that the service answers as for any other unknown id. */
async function parseId(
  kind: IdKind,
  wire: string | number,
  contract: Contract,
  numbers: NumberLookup,
): Promise<string> {
  if (contract.numbered(kind)) return (await numbers.idOf(kind, Number(wire))) ?? `unknown:${wire}`;
  return contract.parseId(kind, String(wire)) ?? `unknown:${wire}`;
}

/** The answer in the contract's form: only what the schema names, ids and times converted. */
export async function toWire(
  schema: JsonSchema,
  value: unknown,
  contract: Contract,
  numbers: NumberLookup,
): Promise<unknown> {
  const wanted = new Map<IdKind, Set<string>>();
  collectNumbered(schema, value, contract, wanted, {});
  const found = new Map<IdKind, Map<string, number>>();
  for (const [kind, ids] of wanted) found.set(kind, await numbers.numberOf(kind, [...ids]));
  return project(schema, value, contract, found, {});
}

function collectNumbered(
  schema: JsonSchema,
  value: unknown,
  contract: Contract,
  wanted: Map<IdKind, Set<string>>,
  defs: Defs,
): void {
  const [node, known] = resolve(schema, defs);
  if (value === undefined || value === null) return;
  const kind = node['x-koagent-id'] as IdKind | undefined;
  if (kind !== undefined) {
    if (!contract.numbered(kind)) return;
    wanted.set(kind, (wanted.get(kind) ?? new Set()).add(String(value)));
    return;
  }
  const variants = variantsOf(node);
  if (variants.length > 0) {
    collectNumbered(variantFor(value, variants, known), value, contract, wanted, known);
  } else if (Array.isArray(value)) {
    if (isObject(node.items)) for (const item of value) collectNumbered(node.items, item, contract, wanted, known);
  } else if (isObject(value)) {
    for (const [name, property] of Object.entries(propertiesOf(node)))
      collectNumbered(property, value[name], contract, wanted, known);
  }
}

function project(
  schema: JsonSchema,
  value: unknown,
  contract: Contract,
  found: Map<IdKind, Map<string, number>>,
  defs: Defs,
): unknown {
  const [node, known] = resolve(schema, defs);
  if (value === undefined || value === null) return value;
  const kind = node['x-koagent-id'] as IdKind | undefined;
  if (kind !== undefined) {
    return contract.numbered(kind) ? found.get(kind)?.get(String(value)) : contract.formatId(kind, String(value));
  }
  if (value instanceof Date) return contract.formatTime(value);
  const variants = variantsOf(node);
  if (variants.length > 0) return project(variantFor(value, variants, known), value, contract, found, known);
  if (Array.isArray(value)) {
    if (!isObject(node.items)) return value;
    const items = node.items;
    return value.map((item) => project(items, item, contract, found, known));
  }
  if (!isObject(value) || node.properties === undefined) return value;
  const result: Record<string, unknown> = node.additionalProperties === true ? { ...value } : {};
  for (const [name, property] of Object.entries(propertiesOf(node))) {
    const projected = project(property, value[name], contract, found, known);
    if (projected !== undefined) result[name] = projected;
  }
  return result;
}
