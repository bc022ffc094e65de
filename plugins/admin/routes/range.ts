import { validationFailed } from '../../../core/http/validate.ts';
import { Type, text } from '../../../core/schema.ts';

const DAY = /^\d{4}-\d{2}-\d{2}$/;
/** A day, or a moment with its zone. */
const PATTERN = '^\\d{4}-\\d{2}-\\d{2}(T\\d{2}:\\d{2}(:\\d{2}(\\.\\d{1,9})?)?(Z|[+-]\\d{2}:\\d{2}))?$';
const DAY_MS = 86_400_000;

const START = { zh: '开始日期', en: 'Start date' };
const END = { zh: '结束日期', en: 'End date' };

/** Query fields of a range: days in UTC (`YYYY-MM-DD`) or moments (ISO 8601), both ends inclusive. */
export const rangeFields = {
  startDate: Type.Optional(text({ label: START, pattern: PATTERN, description: 'YYYY-MM-DD or ISO 8601' })),
  endDate: Type.Optional(text({ label: END, pattern: PATTERN, description: 'YYYY-MM-DD or ISO 8601, inclusive' })),
};

/** @throws {AppError} VALIDATION_FAILED for days that no calendar has, and for an end before its start */
export function readRange({ startDate, endDate }: { startDate?: string; endDate?: string }): {
  from?: Date;
  to?: Date;
} {
  const from = startDate === undefined ? undefined : moment('startDate', startDate);
  let to = endDate === undefined ? undefined : moment('endDate', endDate);
  if (to && DAY.test(endDate ?? '')) to = new Date(to.getTime() + DAY_MS - 1);
  if (from && to && to < from) {
    throw validationFailed([
      { field: 'endDate', message: { zh: '结束日期不能早于开始日期', en: 'The end date is before the start date' } },
    ]);
  }
  return { ...(from && { from }), ...(to && { to }) };
}

function moment(field: string, value: string): Date {
  const at = new Date(value);
  // The 30th of February is read as a day in March.
  const exists = !Number.isNaN(at.getTime()) && (!DAY.test(value) || at.toISOString().startsWith(value));
  if (!exists) throw validationFailed([{ field, message: { zh: '日期不存在', en: 'There is no such date' } }]);
  return at;
}
