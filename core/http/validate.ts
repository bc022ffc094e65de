import { Compile } from 'typebox/schema';
import type { Contract, JsonSchema } from '../contracts/contract.ts';
import { AppError, type FieldError, type LocalText } from '../errors.ts';
import { MAX_ITEMS, shortened } from '../long-values.ts';
import { type Form, isObject, prepare, resolve, wireSchema } from './shape.ts';

/** One part of a request, checked: what `schema` says in the contract's own form. */
export type Check = (value: unknown) => unknown;

interface SchemaError {
  keyword: string;
  instancePath: string;
  params: Record<string, unknown>;
}

/** At most this many wrong fields are named in one answer. */
const MAX_ERRORS = 20;

/** The error for wrong fields; services throw it too where a rule concerns one field. */
export const validationFailed = (fields: FieldError[]): AppError =>
  new AppError('invalid', 'VALIDATION_FAILED', { zh: '参数校验失败', en: 'Validation failed' }, { fields });

/**
 * Compiles the check of one request part. The check returns the prepared value (trimmed, defaults filled, unknown fields left
 * out).
 *
 * @throws {AppError} VALIDATION_FAILED from the check, naming each wrong field once
 */
export function compileCheck(schema: JsonSchema, contract: Contract, form: Form): Check {
  const validator = Compile(withItemLimits(wireSchema(schema, contract)) as never);
  return (value) => {
    const prepared = prepare(schema, value, form, contract);
    if (validator.Check(prepared)) {
      checkSizes(schema, prepared);
      return prepared;
    }
    const errorsOf = (part: unknown) => (validator.Errors(part) as unknown as [boolean, SchemaError[]])[1];
    const errors = errorsOf(shortened(prepared));
    throw validationFailed(fieldErrors(schema, errors.length > 0 ? errors : errorsOf(prepared)));
  };
}

/** Each list has a limit of items: a body can hold a million of them, and looking at each takes seconds. */
function withItemLimits(schema: JsonSchema): JsonSchema {
  const limited: JsonSchema = { ...schema };
  if (schema.type === 'array') limited.maxItems ??= MAX_ITEMS;
  for (const key of ['properties', '$defs']) {
    if (!isObject(schema[key])) continue;
    const entries = Object.entries(schema[key]).map(([name, item]) => [name, withItemLimits(item as JsonSchema)]);
    limited[key] = Object.fromEntries(entries);
  }
  for (const key of ['anyOf', 'oneOf', 'allOf'])
    if (Array.isArray(schema[key])) limited[key] = schema[key].map(withItemLimits);
  for (const key of ['items', 'additionalProperties'])
    if (isObject(schema[key])) limited[key] = withItemLimits(schema[key]);
  return limited;
}

/** Free objects have a limit of bytes instead of a shape. */
function checkSizes(schema: JsonSchema, value: unknown): void {
  for (const [name, property] of Object.entries((schema.properties ?? {}) as Record<string, JsonSchema>)) {
    const limit = property['x-koagent-max-bytes'];
    const held = (value as Record<string, unknown> | undefined)?.[name];
    if (typeof limit !== 'number' || held === undefined) continue;
    if (Buffer.byteLength(JSON.stringify(held)) > limit) {
      const label = labelOf(property, name);
      throw validationFailed([
        {
          field: name,
          message: { zh: `${label.zh}不能超过 ${limit} 字节`, en: `${label.en} must not exceed ${limit} bytes` },
        },
      ]);
    }
  }
}

function fieldErrors(schema: JsonSchema, errors: SchemaError[]): FieldError[] {
  const found = new Map<string, FieldError>();
  for (const error of errors) {
    // A union reports each variant that did not fit and then itself; the inner ones say more.
    const missing = error.keyword === 'required' ? (error.params.requiredProperties as string[]) : [undefined];
    for (const name of missing) {
      const path = [
        ...error.instancePath.split('/').slice(1).map(unescapePointer),
        ...(name === undefined ? [] : [name]),
      ];
      const field = fieldName(path);
      if (!found.has(field)) found.set(field, { field, message: describe(error, path, schema) });
    }
    if (found.size >= MAX_ERRORS) break;
  }
  return [...found.values()];
}

const unescapePointer = (part: string) => part.replaceAll('~1', '/').replaceAll('~0', '~');

/** `rootNode.children[2].nodeId`; the whole body is called `body`. */
function fieldName(path: string[]): string {
  return (
    path.reduce(
      (name, part) => (/^\d+$/.test(part) ? `${name}[${part}]` : name === '' ? part : `${name}.${part}`),
      '',
    ) || 'body'
  );
}

function labelOf(schema: JsonSchema, name: string): LocalText {
  if (name === 'body' && schema.label === undefined) return { zh: '请求体', en: 'The body' };
  const variant = (schema.anyOf as JsonSchema[] | undefined)?.find(({ label }) => label !== undefined);
  return ((schema.label ?? variant?.label) as LocalText | undefined) ?? { zh: name, en: name };
}

/** The schema of a field, as far as it can be found by its path. */
function schemaAt(schema: JsonSchema, path: string[]): JsonSchema {
  let [node, defs] = resolve(schema, {});
  for (const part of path) {
    const holder = (node.anyOf as JsonSchema[] | undefined)?.find(({ type }) => type !== 'null') ?? node;
    const next = (holder.properties as Record<string, JsonSchema> | undefined)?.[part] ?? holder.items ?? {};
    [node, defs] = resolve(next as JsonSchema, defs);
  }
  return node;
}

const TYPE_NAMES: Readonly<Record<string, LocalText>> = {
  string: { zh: '文本', en: 'text' },
  integer: { zh: '整数', en: 'an integer' },
  number: { zh: '数字', en: 'a number' },
  boolean: { zh: '布尔值', en: 'true or false' },
  object: { zh: '对象', en: 'an object' },
  array: { zh: '数组', en: 'an array' },
  null: { zh: '空值', en: 'null' },
};

function describe({ keyword, params }: SchemaError, path: string[], schema: JsonSchema): LocalText {
  const node = schemaAt(schema, path);
  const name = path.at(-1) ?? 'body';
  const label = labelOf(node, /^\d+$/.test(name) ? fieldName(path) : name);
  const say = (zh: string, en: string): LocalText => ({ zh: `${label.zh}${zh}`, en: `${label.en} ${en}` });
  const limit = String(params.limit);
  switch (keyword) {
    case 'required':
      return say('不能为空', 'is required');
    case 'minLength':
      return limit === '1'
        ? say('不能为空', 'must not be empty')
        : say(`不能少于 ${limit} 个字符`, `must have at least ${limit} characters`);
    case 'maxLength':
      return say(`不能超过 ${limit} 个字符`, `must not exceed ${limit} characters`);
    case 'minimum':
      return say(`不能小于 ${limit}`, `must not be less than ${limit}`);
    case 'maximum':
      return say(`不能大于 ${limit}`, `must not be greater than ${limit}`);
    case 'minItems':
      return say(`不能少于 ${limit} 项`, `must have at least ${limit} items`);
    case 'maxItems':
      return say(`不能超过 ${limit} 项`, `must not have more than ${limit} items`);
    case 'uniqueItems':
      return say('不能有重复项', 'must not have equal items');
    case 'enum': {
      const values = ((node.enum ?? params.allowedValues ?? []) as unknown[]).map(String);
      return say(`必须是 ${values.join('、')} 之一`, `must be one of ${values.join(', ')}`);
    }
    case 'type': {
      const wanted = TYPE_NAMES[String(params.type)];
      return say(`应为${wanted?.zh ?? String(params.type)}`, `must be ${wanted?.en ?? String(params.type)}`);
    }
    case 'minProperties':
      return say('至少需要一个字段', 'needs at least one field');
    default:
      return say('格式不正确', 'has a wrong form');
  }
}
