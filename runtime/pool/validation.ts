import { Compile } from 'typebox/compile';
import { Locale } from 'typebox/system';
import type { FieldError } from '../../core/errors.ts';
import type { TSchema } from '../../core/schema.ts';
import { nodeDataInvalid } from './errors.ts';

type Part = Parameters<typeof nodeDataInvalid>[0];

/** More wrong fields than this help nobody. */
const MAX_FIELDS = 20;

/** Makes a check that fills defaults (in place) and returns the value, or throws NODE_<part>_INVALID with the wrong fields. */
export function createCheck(part: Part, type: string, schema: TSchema): (value: unknown) => unknown {
  const validator = Compile(schema);
  return (value) => {
    const filled = validator.Default(value);
    if (validator.Check(filled)) return filled;
    const fields: FieldError[] = validator
      .Errors(filled)
      .slice(0, MAX_FIELDS)
      .map((error) => ({
        field: fieldPath(error.instancePath, error.params),
        message: { zh: Locale.zh_Hans(error), en: Locale.en_US(error) },
      }));
    throw nodeDataInvalid(part, type, fields);
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
