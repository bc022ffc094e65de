import { toErrorRecord } from '../../core/errors.ts';

/** Characters of what went wrong that a model is told. */
const MAX_REASON = 2000;

/** Text that is cut says so, and how much there was. */
export const cutText = (text: string, most: number): string =>
  text.length <= most ? text : `${text.slice(0, most)}\n[cut off: ${text.length} characters in all]`;

/** What a tool returned, as a model reads it. */
export function tellResult(result: unknown): string {
  if (typeof result === 'string') return result;
  return JSON.stringify(result) ?? '(nothing)';
}

/**
 * What went wrong in a tool, as a model reads it: it can try something else. What is no `AppError` is a bug and may tell of the machine: its
 * message is for the log only.
 */
export function tellFailure(error: unknown): string {
  const { code, message, fields } = toErrorRecord(error);
  const wrong = fields?.map(({ field, message: why }) => `${field} ${why.en}`.trim()).join('; ');
  return `Error: ${cutText(`${message.en} (${code})${wrong ? `: ${wrong}` : ''}`, MAX_REASON)}`;
}
