import type { Language } from '../../../core/contracts/contract.ts';
import { research } from '../../../core/contracts/research.ts';
import { type ErrorKind, fromErrorRecord, type LocalText } from '../../../core/errors.ts';
import { validationFailed } from '../../../core/http/validate.ts';

/** A failure inside a stream, with the codes of the API's errors. */
export function failureOf(
  { kind, code, message }: { kind: ErrorKind; code: string; message: LocalText },
  language: Language,
): { code: string; message: string } {
  const { body } = research.failure(fromErrorRecord({ kind, code, message }), {}, language, new Date());
  const { error } = body as { error: { code: string; message: string } };
  return { code: error.code, message: error.message };
}

const DAY = /^\d{4}-\d\d-\d\d$/;
const MOMENT = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?$/;

/**
 * First and last moment of a filter. A day means all of it, in UTC; so does a moment without a zone.
 *
 * @throws {AppError} VALIDATION_FAILED for what is no date, or an end before the start
 */
export function dayOrMoment(start: string | undefined, end: string | undefined): { from?: Date; to?: Date } {
  const from = momentOf('startDate', start, 'T00:00:00.000Z');
  const to = momentOf('endDate', end, 'T23:59:59.999Z');
  if (from && to && to < from) {
    throw validationFailed([
      {
        field: 'endDate',
        message: { zh: '结束日期不能早于开始日期', en: 'The end must not be before the start' },
      },
    ]);
  }
  return { ...(from && { from }), ...(to && { to }) };
}

function momentOf(field: string, value: string | undefined, restOfDay: string): Date | undefined {
  const text = value?.trim() ?? '';
  if (text === '') return undefined;
  const zone = MOMENT.exec(text)?.[1];
  const whole = DAY.test(text) ? text + restOfDay : zone === undefined ? `${text}Z` : text;
  const at = new Date(whole);
  // 2025-02-30 would become a day in March.
  const shifted = !Number.isNaN(at.getTime()) && DAY.test(text) && !at.toISOString().startsWith(text);
  if ((!DAY.test(text) && !MOMENT.test(text)) || Number.isNaN(at.getTime()) || shifted) {
    throw validationFailed([
      {
        field,
        message: { zh: '日期格式应为 YYYY-MM-DD 或 ISO 8601', en: 'must be a date (YYYY-MM-DD or ISO 8601)' },
      },
    ]);
  }
  return at;
}
