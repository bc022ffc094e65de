/** More items than this have no place in one list of a request. */
export const MAX_ITEMS = 50_000;

const LONG_TEXT = 10_000;

/** Bytes, dates and their like are no lists of members. */
const isPlain = (value: object): boolean => [Object.prototype, null].includes(Object.getPrototypeOf(value));

/**
 * A copy of a value with the beginnings of its long texts and lists. What is wrong with a value is told on such a copy: all rules are
 * looked at for the errors, the pattern of a text also when it is too long, each item also when they are too many.
 */
export function shortened(value: unknown): unknown {
  if (typeof value === 'string') return value.slice(0, LONG_TEXT);
  // One more than any limit of items, so that the limit is still broken.
  if (Array.isArray(value)) return value.slice(0, MAX_ITEMS + 1).map(shortened);
  if (typeof value !== 'object' || value === null || !isPlain(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, shortened(each)]));
}
