import {
  parseTemplate,
  renderTemplate,
  type Scope,
  type Template,
  templateValue,
} from '../../../runtime/graph/index.ts';

/** A configuration with its templates parsed: values that hold none are kept as they are. */
type Prepared =
  | { kind: 'constant'; value: unknown }
  /** Always text. */
  | { kind: 'text'; template: Template }
  /** The value of its only placeholder keeps its type. */
  | { kind: 'value'; template: Template; as: 'number' | 'boolean' | undefined }
  | { kind: 'list'; items: Prepared[] }
  | { kind: 'object'; fields: [string, Prepared][] };

interface FieldSchema {
  type?: unknown;
  enum?: unknown;
  anyOf?: FieldSchema[];
}

/** What a node type says of its configuration. */
export interface ConfigShape {
  /** JSON Schema. */
  config: Record<string, unknown>;
  literal: readonly string[];
}

const prepared = new WeakMap<object, { shape: ConfigShape; fields: [string, Prepared][] }>();

/**
 * The configuration of a node for its next step: the fields that its schema names, with templates filled from the step's scope.
 *
 * @returns placeholders that found nothing stay in the text and are listed
 */
export function resolveConfig(
  data: Readonly<Record<string, unknown>>,
  shape: ConfigShape,
  scope: Scope,
): { config: Record<string, unknown>; unresolved: string[] } {
  let known = prepared.get(data);
  if (known?.shape !== shape) {
    known = { shape, fields: prepare(data, shape) };
    prepared.set(data, known);
  }
  const unresolved: string[] = [];
  const config: Record<string, unknown> = {};
  for (const [name, field] of known.fields) config[name] = fill(field, scope, unresolved);
  return { config, unresolved };
}

/** A single text as a template. */
export function resolveText(text: string, scope: Scope): { text: string; unresolved: string[] } {
  return renderTemplate(parseTemplate(text), scope);
}

/** Any value with the templates in it filled; text that is one placeholder becomes its value. */
export function resolveValue(value: unknown, scope: Scope): { value: unknown; unresolved: string[] } {
  const unresolved: string[] = [];
  return { value: fill(prepareValue(value), scope, unresolved), unresolved };
}

function prepare(data: Readonly<Record<string, unknown>>, { config, literal }: ConfigShape): [string, Prepared][] {
  const properties = (config.properties ?? {}) as Record<string, FieldSchema>;
  return Object.entries(properties).flatMap(([name, schema]): [string, Prepared][] => {
    const value = Object.hasOwn(data, name) ? data[name] : undefined;
    // Editors store an empty field as null or empty text where the type has neither.
    if (value === undefined || value === null || (value === '' && !isText(schema))) return [];
    if (literal.includes(name)) return [[name, { kind: 'constant', value }]];
    if (typeof value !== 'string') return [[name, prepareValue(value)]];
    return [[name, prepareText(value, schema)]];
  });
}

const typesOf = (schema: FieldSchema): unknown[] => [schema.type, ...(schema.anyOf ?? []).flatMap(typesOf)].flat();

const isText = (schema: FieldSchema) => typesOf(schema).includes('string') || schema.enum !== undefined;

function prepareText(text: string, schema: FieldSchema): Prepared {
  const template = parseTemplate(text);
  const types = typesOf(schema);
  const as = types.some((type) => type === 'number' || type === 'integer')
    ? 'number'
    : types.includes('boolean')
      ? 'boolean'
      : undefined;
  const plain = template.parts.every((part) => typeof part === 'string');
  if (isText(schema)) return plain ? { kind: 'constant', value: text } : { kind: 'text', template };
  return plain ? { kind: 'constant', value: typed(text, as) } : { kind: 'value', template, as };
}

function prepareValue(value: unknown): Prepared {
  if (typeof value === 'string') {
    const template = parseTemplate(value);
    const plain = template.parts.every((part) => typeof part === 'string');
    return plain ? { kind: 'constant', value } : { kind: 'value', template, as: undefined };
  }
  if (Array.isArray(value)) {
    const items = value.map(prepareValue);
    return items.every(({ kind }) => kind === 'constant') ? { kind: 'constant', value } : { kind: 'list', items };
  }
  if (typeof value !== 'object' || value === null) return { kind: 'constant', value };
  const fields = Object.entries(value)
    .filter(([name]) => name !== '__proto__')
    .map(([name, item]): [string, Prepared] => [name, prepareValue(item)]);
  return fields.every(([, { kind }]) => kind === 'constant') ? { kind: 'constant', value } : { kind: 'object', fields };
}

function fill(field: Prepared, scope: Scope, unresolved: string[]): unknown {
  switch (field.kind) {
    case 'constant':
      return field.value;
    case 'text': {
      const { text, unresolved: missing } = renderTemplate(field.template, scope);
      unresolved.push(...missing);
      return text;
    }
    case 'value': {
      const { value, unresolved: missing } = templateValue(field.template, scope);
      unresolved.push(...missing);
      return typed(value, field.as);
    }
    case 'list':
      return field.items.map((item) => fill(item, scope, unresolved));
    case 'object':
      return Object.fromEntries(field.fields.map(([name, item]) => [name, fill(item, scope, unresolved)]));
  }
}

/** Text that spells a number or a boolean becomes one where the field wants it; everything else is left to the schema. */
function typed(value: unknown, as: 'number' | 'boolean' | undefined): unknown {
  if (typeof value !== 'string' || as === undefined) return value;
  const text = value.trim();
  if (as === 'number') return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : value;
  if (/^(true|false)$/i.test(text)) return text.toLowerCase() === 'true';
  return value;
}
