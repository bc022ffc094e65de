/** Whether the JSON of a value is larger than so many bytes, roughly; stops as soon as it is known. */
export const isLarger = (value: unknown, bytes: number): boolean => sizeOf(value, bytes) > bytes;

const MAX_DEPTH = 500;

/**
 * About how many bytes the JSON of a value has. Data that is in it several times counts every time, as it is written every time.
 *
 * @param most beyond it nobody wants to know more: the result is then just larger
 */
export function sizeOf(value: unknown, most: number): number {
  return measure(value, most, 0);
}

function measure(value: unknown, most: number, depth: number): number {
  if (typeof value === 'string') return value.length + 2;
  if (typeof value !== 'object' || value === null) return 8;
  // Bytes of a node of the worker pool.
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return value.byteLength;
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
