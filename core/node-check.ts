import { Compile } from 'typebox/compile';
import { Locale } from 'typebox/system';
import { AppError, type FieldError } from './errors.ts';
import { shortened } from './long-values.ts';
import type { TSchema } from './schema.ts';

const PART = {
  CONFIG: { zh: '配置', en: 'config' },
  INPUT: { zh: '输入', en: 'input' },
  OUTPUT: { zh: '输出', en: 'output' },
} as const;

export type NodePart = keyof typeof PART;

/** Config, input or output of a node does not fit its schema, or is not plain data. */
export function nodeDataInvalid(part: NodePart, type: string, fields: FieldError[]): AppError {
  const first = fields[0];
  const where = first === undefined ? '' : `: ${`${first.field} ${first.message.en}`.trim()}`;
  const whereZh = first === undefined ? '' : `：${`${first.field} ${first.message.zh}`.trim()}`;
  return new AppError(
    // A wrong output is a bug of the node, not of whoever asked for it.
    part === 'OUTPUT' ? 'internal' : 'invalid',
    `NODE_${part}_INVALID`,
    { zh: `节点 ${type} 的${PART[part].zh}不正确${whereZh}`, en: `Wrong ${PART[part].en} of node ${type}${where}` },
    { fields, details: { type } },
  );
}

/** The field is named already. */
const MISSING: FieldError['message'] = { zh: '不能为空', en: 'is required' };

/** More wrong fields than this help nobody. */
const MAX_FIELDS = 20;

/** Makes a check that fills defaults (in place) and returns the value, or throws NODE_<part>_INVALID with the wrong fields. */
export const createCheck = (part: NodePart, type: string, schema: TSchema): ((value: unknown) => unknown) =>
  createSchemaCheck(schema, (fields) => nodeDataInvalid(part, type, fields));

/** The same for any schema: throws what `refuse` makes of the wrong fields. */
export function createSchemaCheck(
  schema: TSchema,
  refuse: (fields: FieldError[]) => AppError,
): (value: unknown) => unknown {
  const validator = Compile(schema);
  return (value) => {
    const filled = validator.Default(value);
    if (validator.Check(filled)) return filled;
    const errors = validator.Errors(shortened(filled));
    const fields: FieldError[] = (errors.length > 0 ? errors : validator.Errors(filled))
      .slice(0, MAX_FIELDS)
      .map((error) => ({
        field: fieldPath(error.instancePath, error.params),
        message: error.keyword === 'required' ? MISSING : { zh: Locale.zh_Hans(error), en: Locale.en_US(error) },
      }));
    throw refuse(fields);
  };
}

/** `/items/0/name` as `items.0.name`; a missing or surplus property is named itself. */
function fieldPath(instancePath: string, params: object): string {
  const path = instancePath
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
  const named =
    ('requiredProperties' in params && params.requiredProperties) ||
    ('additionalProperties' in params && params.additionalProperties);
  if (Array.isArray(named) && typeof named[0] === 'string') path.push(named[0]);
  return path.join('.');
}
