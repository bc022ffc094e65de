import type { Tool } from '@modelcontextprotocol/sdk/types.js';
import type { Graph } from '../../workflows/public.ts';

const TYPES: Readonly<Record<string, object>> = {
  text: { type: 'string' },
  string: { type: 'string' },
  number: { type: 'number' },
  integer: { type: 'integer' },
  boolean: { type: 'boolean' },
  array: { type: 'array', items: {} },
  object: { type: 'object' },
};

/**
 * What a workflow takes, as JSON Schema: the fields of its start node, or of the input nodes right behind it. Without any it takes
 * whatever it is given.
 */
export function inputSchemaOf({ nodes, edges }: Graph): Tool['inputSchema'] {
  const starts = new Set(nodes.filter(({ type }) => type === 'start').map(({ id }) => id));
  const behind = new Set(edges.filter(({ source }) => starts.has(source)).map(({ target }) => target));
  const asking = nodes.filter(({ id, type }) => starts.has(id) || (type === 'input' && behind.has(id)));
  const fields = asking.flatMap(({ data }) => fieldsOf(data));
  if (fields.length === 0) return { type: 'object', additionalProperties: true };
  const required = fields.filter(({ needed }) => needed).map(({ name }) => name);
  return {
    type: 'object',
    properties: Object.fromEntries(fields.map(({ name, schema }) => [name, schema])),
    ...(required.length > 0 && { required: [...new Set(required)] }),
    additionalProperties: true,
  };
}

interface Field {
  name: string;
  schema: object;
  needed: boolean;
}

function fieldsOf(data: unknown): Field[] {
  if (!isRecord(data)) return [];
  const listed = Array.isArray(data.fields) ? data.fields : [];
  const single = typeof data.key === 'string' && data.key !== '' ? [{ name: data.key, default: data.default }] : [];
  return [...listed, ...single].flatMap((field: unknown) => {
    if (!isRecord(field) || typeof field.name !== 'string' || field.name === '') return [];
    const text = [field.label, field.description].find((words) => typeof words === 'string' && words !== '');
    const preset = field.default !== undefined && field.default !== null;
    const schema = {
      ...TYPES[String(field.type ?? '')],
      ...(text !== undefined && { description: text }),
      ...(preset && { default: field.default }),
    };
    return [{ name: field.name, schema, needed: field.required === true && !preset }];
  });
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
