import { getPath, parsePath } from '../path.ts';
import { compare, contains, equals, textOf } from '../values.ts';

export const FILTER_OPERATORS = [
  '==',
  '!=',
  '>',
  '>=',
  '<',
  '<=',
  'contains',
  'not_contains',
  'in',
  'not_in',
  'starts_with',
  'ends_with',
  'exists',
  'not_exists',
] as const;
export type FilterOperator = (typeof FILTER_OPERATORS)[number];

export interface FilterRule {
  /** Path inside the item; empty or `$` is the item itself. */
  field: string;
  operator: FilterOperator;
  value?: unknown;
}

/** The items that fit all rules (`and`) or one of them (`or`). Without rules all fit. */
export function filterItems(items: readonly unknown[], rules: readonly FilterRule[], logic: 'and' | 'or'): unknown[] {
  const tests = rules.map(testOf);
  if (tests.length === 0) return [...items];
  return items.filter((item) =>
    logic === 'or' ? tests.some((test) => test(item)) : tests.every((test) => test(item)),
  );
}

function testOf({ field, operator, value }: FilterRule): (item: unknown) => boolean {
  const whole = field.trim() === '' || field.trim() === '$';
  const path = whole ? undefined : (parsePath(field) ?? [field]);
  return (item) => fits(path ? getPath(item, path) : item, operator, value);
}

/** One comparison, with the semantics of expressions. `exists` means neither missing nor null. */
export function fits(actual: unknown, operator: FilterOperator, wanted: unknown): boolean {
  switch (operator) {
    case '==':
      return equals(actual, wanted);
    case '!=':
      return !equals(actual, wanted);
    case '>':
      return (compare(actual, wanted) ?? -1) > 0;
    case '>=':
      return (compare(actual, wanted) ?? -1) >= 0;
    case '<':
      return (compare(actual, wanted) ?? 1) < 0;
    case '<=':
      return (compare(actual, wanted) ?? 1) <= 0;
    case 'contains':
      return contains(actual, wanted);
    case 'not_contains':
      return !contains(actual, wanted);
    case 'in':
      return contains(wanted, actual);
    case 'not_in':
      return !contains(wanted, actual);
    case 'starts_with':
      return isText(actual) && textOf(actual).startsWith(textOf(wanted));
    case 'ends_with':
      return isText(actual) && textOf(actual).endsWith(textOf(wanted));
    case 'exists':
      return actual !== undefined && actual !== null;
    case 'not_exists':
      return actual === undefined || actual === null;
  }
}

const isText = (value: unknown) => typeof value === 'string' || typeof value === 'number';
