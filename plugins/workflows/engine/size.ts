/** Whether the JSON of a value is larger than so many bytes, roughly; stops as soon as it is known. */
export function isLarger(value: unknown, bytes: number): boolean {
  return measure(value, bytes, 0) > bytes;
}

const MAX_DEPTH = 500;

function measure(value: unknown, most: number, depth: number): number {
  if (typeof value === 'string') return value.length + 2;
  if (typeof value !== 'object' || value === null) return 8;
  if (depth > MAX_DEPTH) return most + 1;
  let sum = 2;
  if (Array.isArray(value)) {
    for (const item of value) {
      sum += 1 + measure(item, most - sum, depth + 1);
      if (sum > most) return sum;
    }
    return sum;
  }
  for (const name of Object.keys(value)) {
    sum += name.length + 4 + measure((value as Record<string, unknown>)[name], most - sum, depth + 1);
    if (sum > most) return sum;
  }
  return sum;
}
