import { type TSchema, Type } from 'typebox';
import type { LocalText } from './errors.ts';

/**
 * The one binding to the schema library. Schemas are JSON Schema, so the same declaration validates,
 * types and documents. Beside TypeBox's own builders there are the few kinds that a contract converts
 * (`id`, `time`) and a label that names a field in messages for people.
 */
export { type Static, type TObject, type TSchema, Type } from 'typebox';

/** Kinds of objects that clients see ids of. Each contract gives every kind its own id form. */
export type IdKind =
  | 'user'
  | 'agent'
  | 'conversation'
  | 'message'
  | 'knowledge_base'
  | 'document'
  | 'chunk'
  | 'project'
  | 'task'
  | 'outline'
  | 'package'
  | 'report'
  | 'workflow'
  | 'execution'
  | 'execution_log'
  | 'data_source';

/** Options that every schema takes beside its own: a label for messages, a description for the documents. */
export interface FieldOptions {
  /** What people call the field; used in validation messages. Default: the field's name. */
  label?: LocalText;
  description?: string;
  /** Help for people who fill in the field, shown by editors of node configurations. */
  hint?: LocalText;
  /** What editors of node configurations offer: one line (default for text), several lines, program code, or JSON. */
  editor?: 'line' | 'text' | 'code' | 'json';
}

/** An id: opaque text in code, in the contract's own form on the wire (integer, prefix and UUID, UUID). */
export const id = (kind: IdKind, options: FieldOptions = {}) =>
  Type.Unsafe<string>({ ...options, type: 'string', 'x-koagent-id': kind });

/** A moment: `Date` in code, the contract's own text or number form on the wire. */
export const time = (options: FieldOptions = {}) =>
  Type.Unsafe<Date>({ ...options, type: 'string', 'x-koagent-time': true });

/** Text that is trimmed before it is checked, so that `minLength: 1` refuses blanks. */
export const text = (options: FieldOptions & { minLength?: number; maxLength?: number; pattern?: string } = {}) =>
  Type.Unsafe<string>({ ...options, type: 'string', 'x-koagent-trim': true });

/** One of a fixed set of strings. */
export const oneOf = <const T extends readonly string[]>(
  values: T,
  options: FieldOptions & { default?: T[number] } = {},
) => Type.Unsafe<T[number]>({ ...options, type: 'string', enum: [...values] });

/** The value or null. */
export const nullable = <S extends TSchema>(schema: S, options: FieldOptions = {}) =>
  Type.Union([schema, Type.Null()], { ...options });

/** An object with free keys and any JSON values. */
export const freeObject = (options: FieldOptions & { default?: Record<string, unknown>; maxBytes?: number } = {}) => {
  const { maxBytes, ...rest } = options;
  return Type.Unsafe<Record<string, unknown>>({
    ...rest,
    type: 'object',
    additionalProperties: true,
    ...(maxBytes !== undefined && { 'x-koagent-max-bytes': maxBytes }),
  });
};
