import { Value } from 'typebox/value';
import { parseJsonAnswer, type ResponseFormat } from '../../../runtime/models/index.ts';

const MAX_PROBLEM = 500;

/** The value of an answer that was to be JSON, or in words what is wrong with it. */
export function readStructured(
  text: string,
  { schema }: Extract<ResponseFormat, { type: 'json' }>,
): { value: unknown } | { problem: string } {
  const parsed = parseJsonAnswer(text);
  if ('error' in parsed) return { problem: `it is not JSON: ${parsed.error}` };
  const problem = schema && mismatch(schema, parsed.value);
  return problem === undefined ? parsed : { problem };
}

/** Where a value differs from a schema that came from outside; nothing when the schema itself is none. */
function mismatch(schema: Record<string, unknown>, value: unknown): string | undefined {
  try {
    const errors = Value.Errors(withoutPatterns(schema), value);
    const error = errors.find(({ keyword }) => keyword !== 'boolean') ?? errors[0];
    return (
      error && `it does not fit the schema: ${error.instancePath || 'the value'} ${error.message}`.slice(0, MAX_PROBLEM)
    );
  } catch (error) {
    if (error instanceof Error) return undefined;
    throw error;
  }
}

/** A pattern from outside could keep the thread busy for ever. */
function withoutPatterns<T>(schema: T): T {
  if (Array.isArray(schema)) return schema.map(withoutPatterns) as T;
  if (typeof schema !== 'object' || schema === null) return schema;
  const kept = Object.entries(schema).filter(
    ([name, part]) => !(name === 'pattern' && typeof part === 'string') && name !== 'patternProperties',
  );
  return Object.fromEntries(kept.map(([name, part]) => [name, withoutPatterns(part)])) as T;
}
