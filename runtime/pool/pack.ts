import { payloadTooLarge } from './errors.ts';
import { NotPlainError } from './not-plain.ts';

/**
 * Plain data whose bytes were taken out, so that they can be moved instead of copied: typed arrays are slow between
 * threads under Deno, and a large one stalls the receiver in both runtimes. `value` has null where bytes belong.
 */
export interface Packed {
  value: unknown;
  bytes?: { path: (string | number)[]; kind: BytesKind; buffer: ArrayBuffer }[];
}

/** Node's Buffer arrives as Uint8Array. */
type BytesKind = 'ArrayBuffer' | 'Uint8Array';

/** Bytes of one message: what the receiver must be able to hold. */
export const MAX_PAYLOAD_BYTES = 256 * 1024 * 1024;

/**
 * Takes the bytes out of a value. The value itself stays as it is; bytes are copied, because the owner may go on using them.
 * Plain data is what JSON has, and undefined, bigint, Date, and bytes.
 *
 * @throws {NotPlainError}
 * @throws {AppError} NODE_PAYLOAD_TOO_LARGE
 */
export function pack(value: unknown): Packed {
  const bytes: NonNullable<Packed['bytes']> = [];
  const seen = new Set<object>();
  let total = 0;

  const visit = (part: unknown, path: (string | number)[]): unknown => {
    if (typeof part === 'function' || typeof part === 'symbol') throw new NotPlainError(path, `a ${typeof part}`);
    if (typeof part !== 'object' || part === null) return part;
    if (part instanceof ArrayBuffer || part instanceof Uint8Array) {
      total += part.byteLength;
      if (total > MAX_PAYLOAD_BYTES) throw payloadTooLarge(total, MAX_PAYLOAD_BYTES);
      // `slice` of a Buffer is a view: copy by way of a plain array.
      const buffer = part instanceof ArrayBuffer ? part.slice(0) : new Uint8Array(part).buffer;
      bytes.push({ path: [...path], kind: part instanceof ArrayBuffer ? 'ArrayBuffer' : 'Uint8Array', buffer });
      return null;
    }
    // A second way to the same object, or a cycle: the structured clone keeps it as it is.
    if (seen.has(part)) return part;
    seen.add(part);
    if (Array.isArray(part)) return visitEntries(part, part.keys(), path, () => [...part]);
    if (isPlainObject(part)) return visitEntries(part, Object.keys(part), path, () => ({ ...part }));
    if (part instanceof Date || ArrayBuffer.isView(part)) return part;
    throw new NotPlainError(path, `an instance of ${part.constructor?.name ?? 'an unknown class'}`);
  };

  const visitEntries = (
    part: object,
    keys: Iterable<string | number>,
    path: (string | number)[],
    copy: () => object,
  ): object => {
    let changed: object | undefined;
    for (const key of keys) {
      const before = Reflect.get(part, key);
      if (
        before === null ||
        (typeof before !== 'object' && typeof before !== 'function' && typeof before !== 'symbol')
      ) {
        continue;
      }
      path.push(key);
      const after = visit(before, path);
      path.pop();
      if (after === before) continue;
      changed ??= copy();
      Reflect.set(changed, key, after);
    }
    return changed ?? part;
  };

  const packed = visit(value, []);
  return bytes.length === 0 ? { value: packed } : { value: packed, bytes };
}

/** Puts the bytes back. The packed value is used up. */
export function unpack(packed: Packed): unknown {
  let value = packed.value;
  for (const { path, kind, buffer } of packed.bytes ?? []) {
    const bytes = kind === 'Uint8Array' ? new Uint8Array(buffer) : buffer;
    const last = path.at(-1);
    if (last === undefined) {
      value = bytes;
      continue;
    }
    let parent: object = value as object;
    for (const key of path.slice(0, -1)) parent = Reflect.get(parent, key);
    Reflect.set(parent, last, bytes);
  }
  return value;
}

/** What can be moved to another thread along with a packed value. */
export const buffersOf = (packed: Packed): ArrayBuffer[] => (packed.bytes ?? []).map((entry) => entry.buffer);

function isPlainObject(value: object): boolean {
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
