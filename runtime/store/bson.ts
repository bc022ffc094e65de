import {
  Binary,
  BSONRegExp,
  Decimal128,
  Double,
  deserialize,
  Int32,
  Long,
  MaxKey,
  MinKey,
  ObjectId,
  serialize,
  Timestamp,
  UUID,
} from 'bson';
import { CommandError } from './errors.ts';

export type Doc = Record<string, unknown>;
export type Raw = Uint8Array;

export const maxDocumentBytes = 16 * 1024 * 1024;
const maxDepth = 180;

/** Decodes with numbers kept in their BSON types, so that encoding gives the same bytes again. */
export function decode(raw: Raw): Doc {
  return deserialize(raw, { promoteValues: false, bsonRegExp: true });
}

const tooLarge = (size: number | string) =>
  new CommandError(10334, `BSONObj size: ${size} is invalid. Size must be between 0 and ${maxDocumentBytes}`);

/** @throws {CommandError} 10334 for what is far over the size of a document */
export function encode(doc: Doc): Buffer {
  let bytes: Uint8Array;
  try {
    bytes = serialize(doc, { ignoreUndefined: true });
  } catch (error) {
    // The buffer of bson ends at 17 MiB; what does not fit is met as an offset out of its range.
    if (error instanceof RangeError && !error.message.includes('call stack')) throw tooLarge('more than 17 MiB');
    throw error;
  }
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function encodeStored(doc: Doc): Buffer {
  const raw = encode(doc);
  if (raw.length > maxDocumentBytes) {
    throw tooLarge(raw.length);
  }
  return raw;
}

/** Own properties only: a document may have a field called `constructor` or `__proto__`. */
export function get(doc: unknown, key: string): unknown {
  if (typeof doc !== 'object' || doc === null) return undefined;
  return Object.hasOwn(doc, key) ? (doc as Doc)[key] : undefined;
}

/** Assigns a field, also the one called `__proto__`. */
export function put(doc: Doc, key: string, value: unknown): void {
  if (key === '__proto__') {
    Object.defineProperty(doc, key, { value, writable: true, enumerable: true, configurable: true });
  } else doc[key] = value;
}

export function copyOf(doc: Doc): Doc {
  const copy: Doc = {};
  for (const key of Object.keys(doc)) put(copy, key, doc[key]);
  return copy;
}

export function isDoc(value: unknown): value is Doc {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return (
    !(value instanceof Date) && !(value instanceof RegExp) && !('_bsontype' in value) && !ArrayBuffer.isView(value)
  );
}

export function bsonType(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null || !('_bsontype' in value)) return undefined;
  return typeof value._bsontype === 'string' ? value._bsontype : undefined;
}

/** A number of any BSON type as a JavaScript number, or undefined for everything else. */
export function toNumber(value: unknown): number | undefined {
  if (typeof value === 'number') return value;
  if (typeof value === 'bigint') return Number(value);
  if (value instanceof Int32 || value instanceof Double) return Number(value.value);
  if (value instanceof Long) return value.toNumber();
  if (value instanceof Decimal128) return Number(value.toString());
  return undefined;
}

/** The form expressions are computed on: numbers are JavaScript numbers, everything else stays. */
export function promote(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(promote);
  if (value instanceof Int32 || value instanceof Double) return Number(value.value);
  if (value instanceof Long) {
    const number = value.toNumber();
    return Number.isSafeInteger(number) ? number : value;
  }
  if (value instanceof BSONRegExp) return toRegExp(value.pattern, value.options);
  if (!isDoc(value)) return value;
  const copy: Doc = {};
  for (const key of Object.keys(value)) put(copy, key, promote(value[key]));
  return copy;
}

/** A pattern of PCRE as a regular expression of JavaScript; options i, m, s, x and u are known. */
export function toRegExp(pattern: string, options = ''): RegExp {
  const inline = /^\(\?([imsx]+)\)/.exec(pattern);
  let source = pattern;
  let flags = options;
  if (inline?.[1]) {
    source = pattern.slice(inline[0].length);
    flags += inline[1];
  }
  for (const flag of flags) {
    if (!'imsxu'.includes(flag)) throw new CommandError(51108, `invalid flag in regex options: ${flag}`);
  }
  if (flags.includes('x'))
    source = source.replace(/\\.|\[(?:\\.|[^\]])*\]|\s+|#.*$/gm, (m) => (/^[\s#]/.test(m) ? '' : m));
  try {
    return new RegExp(source, [...new Set(flags.replace(/[xu]/g, ''))].join(''));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CommandError(51091, `Regular expression is invalid: ${reason}`);
  }
}

/** The fields of a document that are wanted, by their first path segment. */
export class FieldSet {
  readonly names: readonly string[];
  readonly #bytes: Buffer[];

  constructor(paths: Iterable<string>) {
    this.names = [...new Set([...paths].map((path) => path.split('.', 1)[0] ?? ''))];
    this.#bytes = this.names.map((name) => Buffer.from(name));
  }

  /** Index of the name at `start..end` of a document, or -1. */
  find(raw: Raw, start: number, end: number): number {
    const length = end - start;
    candidates: for (let i = 0; i < this.#bytes.length; i++) {
      const name = this.#bytes[i];
      if (!name || name.length !== length) continue;
      for (let k = 0; k < length; k++) if (name[k] !== raw[start + k]) continue candidates;
      return i;
    }
    return -1;
  }
}

const view = (raw: Raw): Buffer =>
  Buffer.isBuffer(raw) ? raw : Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength);

/** Bytes of a value, or -1 for a type that does not exist. */
function sizeOf(raw: Buffer, type: number, at: number): number {
  switch (type) {
    case 0x01: // double
    case 0x09: // date
    case 0x11: // timestamp
    case 0x12: // long
      return 8;
    case 0x02: // string
    case 0x0d: // code
    case 0x0e: // symbol
      return 4 + raw.readInt32LE(at);
    case 0x03: // document
    case 0x04: // array
    case 0x0f: // code with scope
      return raw.readInt32LE(at);
    case 0x05: // binary
      return 5 + raw.readInt32LE(at);
    case 0x06: // undefined
    case 0x0a: // null
    case 0xff: // min key
    case 0x7f: // max key
      return 0;
    case 0x07: // object id
      return 12;
    case 0x08: // boolean
      return 1;
    case 0x0b: // regular expression
      return raw.indexOf(0, raw.indexOf(0, at) + 1) + 1 - at;
    case 0x0c: // db pointer
      return 4 + raw.readInt32LE(at) + 12;
    case 0x10: // int
      return 4;
    case 0x13: // decimal
      return 16;
    default:
      return -1;
  }
}

function readValue(raw: Buffer, type: number, at: number, size: number, typed: boolean): unknown {
  switch (type) {
    case 0x01:
      return typed ? new Double(raw.readDoubleLE(at)) : raw.readDoubleLE(at);
    case 0x02:
      return raw.toString('utf8', at + 4, at + size - 1);
    case 0x03:
      return decode(raw.subarray(at, at + size));
    case 0x07:
      return new ObjectId(raw.subarray(at, at + 12));
    case 0x08:
      return raw[at] === 1;
    case 0x09:
      return new Date(raw.readInt32LE(at + 4) * 0x100000000 + raw.readUInt32LE(at));
    case 0x0a:
      return null;
    case 0x10:
      return typed ? new Int32(raw.readInt32LE(at)) : raw.readInt32LE(at);
    default: {
      const wrapped = Buffer.alloc(size + 8);
      wrapped.writeInt32LE(size + 8, 0);
      wrapped[4] = type;
      wrapped.write('v', 5, 'latin1');
      raw.copy(wrapped, 7, at, at + size);
      return decode(wrapped).v;
    }
  }
}

/**
 * Decodes some top-level fields without touching the rest; this is what makes a scan cheap. Unless `typed` is set, int
 * and double come as JavaScript numbers; everything nested keeps its BSON type.
 */
export function pick(bytes: Raw, fields: FieldSet, typed = false): Doc {
  const raw = view(bytes);
  const doc: Doc = {};
  const end = raw.length - 1;
  let missing = fields.names.length;
  let at = 4;
  while (at < end && missing > 0) {
    const type = raw[at] ?? 0;
    const nameStart = at + 1;
    let nameEnd = nameStart;
    while (raw[nameEnd] !== 0) nameEnd++;
    at = nameEnd + 1;
    const size = sizeOf(raw, type, at);
    const wanted = fields.find(raw, nameStart, nameEnd);
    if (wanted >= 0) {
      put(doc, fields.names[wanted] ?? '', readValue(raw, type, at, size, typed));
      missing--;
    }
    at += size;
  }
  return doc;
}

const invalid = (reason: string) => new CommandError(22, `Invalid BSON: ${reason}`);

/** Checks the structure of a document from a client, all levels: lengths, terminators, types, depth. */
export function validate(bytes: Raw): void {
  const raw = view(bytes);
  if (raw.length < 5 || raw.readInt32LE(0) !== raw.length) throw invalid('the length does not fit');
  checkLevel(raw, 0, raw.length, 0);
}

function checkLevel(raw: Buffer, start: number, end: number, depth: number): void {
  if (depth > maxDepth) throw new CommandError(15, `Document exceeds the nesting limit of ${maxDepth} levels`);
  if (raw[end - 1] !== 0) throw invalid('a document is not terminated');
  let at = start + 4;
  while (at < end - 1) {
    const type = raw[at] ?? 0;
    let nameEnd = at + 1;
    while (nameEnd < end && raw[nameEnd] !== 0) nameEnd++;
    at = nameEnd + 1;
    if (at >= end) throw invalid('a field name is not terminated');
    const fixed = type === 0x02 || (type >= 0x03 && type <= 0x05) || (type >= 0x0c && type <= 0x0f) ? 4 : 0;
    if (at + fixed > end - 1) throw invalid('a value is cut off');
    if (type === 0x0b) {
      const pattern = raw.indexOf(0, at);
      const options = pattern < 0 ? -1 : raw.indexOf(0, pattern + 1);
      if (options < 0 || options >= end - 1) throw invalid('a regular expression is not terminated');
    }
    const size = sizeOf(raw, type, at);
    if (size < 0 || at + size > end - 1) throw invalid(`a value of type ${type} has a wrong size`);
    if (type === 0x03 || type === 0x04) {
      if (size < 5) throw invalid('a nested document is too short');
      checkLevel(raw, at, at + size, depth + 1);
    } else if (type === 0x0f) {
      const code = size >= 14 ? raw.readInt32LE(at + 4) : -1;
      if (code < 1 || code > size - 13) throw invalid('a code value has a wrong size');
      checkLevel(raw, at + 8 + code, at + size, depth + 1);
    } else if ((type === 0x02 || type === 0x0d || type === 0x0e) && (size < 5 || raw[at + size - 1] !== 0)) {
      throw invalid('a text is not terminated');
    } else if (type === 0x05 && size < 5) throw invalid('a binary value has a negative size');
    else if (type === 0x08 && (raw[at] ?? 2) > 1) throw invalid('a boolean is neither 0 nor 1');
    at += size;
  }
  if (at !== end - 1) throw invalid('a document ends in the wrong place');
}

/** Splits an array of documents (as BSON stores it) or returns undefined when an element is no document. */
export function rawElements(bytes: Raw): Buffer[] | undefined {
  const raw = view(bytes);
  const docs: Buffer[] = [];
  let at = 4;
  while (at < raw.length - 1) {
    const type = raw[at] ?? 0;
    at = raw.indexOf(0, at + 1) + 1;
    const size = sizeOf(raw, type, at);
    if (type !== 0x03) return undefined;
    docs.push(raw.subarray(at, at + size));
    at += size;
  }
  return docs;
}

/** Calls back for each top-level field with its name, type and the place of its value. */
export function eachField(bytes: Raw, visit: (name: string, type: number, at: number, size: number) => void): void {
  const raw = view(bytes);
  let at = 4;
  while (at < raw.length - 1) {
    const type = raw[at] ?? 0;
    const nameEnd = raw.indexOf(0, at + 1);
    const size = sizeOf(raw, type, nameEnd + 1);
    visit(raw.toString('utf8', at + 1, nameEnd), type, nameEnd + 1, size);
    at = nameEnd + 1 + size;
  }
}

/** The document as MongoDB stores it: `_id` is the first field, and is made when it is missing. */
export function withIdFirst(bytes: Raw): Buffer {
  const raw = view(bytes);
  if (raw.length > 9 && raw.toString('latin1', 5, 9) === '_id\0') return raw;
  let id: Buffer | undefined;
  let rest: Buffer = raw.subarray(4);
  eachField(raw, (name, _type, at, size) => {
    if (name !== '_id' || id) return;
    id = raw.subarray(at - 5, at + size);
    rest = Buffer.concat([raw.subarray(4, at - 5), raw.subarray(at + size)]);
  });
  id ??= Buffer.concat([Buffer.from('\x07_id\0', 'latin1'), new ObjectId().id]);
  const head = Buffer.alloc(4);
  head.writeInt32LE(4 + id.length + rest.length);
  return Buffer.concat([head, id, rest]);
}

export { Binary, BSONRegExp, Decimal128, Double, Int32, Long, MaxKey, MinKey, ObjectId, Timestamp, UUID };
