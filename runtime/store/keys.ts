import { createHash } from 'node:crypto';
import { Code, DBRef } from 'bson';
import {
  Binary,
  BSONRegExp,
  bsonType,
  Decimal128,
  type Doc,
  Double,
  Int32,
  Long,
  ObjectId,
  Timestamp,
} from './bson.ts';
import { floorDouble } from './numbers.ts';

/**
 * Order-preserving bytes: comparing two encoded values byte by byte gives MongoDB's comparison order, whatever the
 * types. Numbers of all types share one form, so `1`, `1.0` and `NumberLong(1)` have the same key.
 */

/** First byte of a key: the type in comparison order. */
export const typeByte = {
  minKey: 0x08,
  empty: 0x10, // an empty array as an index entry, and `undefined`
  null: 0x18,
  number: 0x20,
  string: 0x30,
  object: 0x38,
  array: 0x40,
  binary: 0x48,
  objectId: 0x50,
  boolean: 0x58,
  date: 0x60,
  timestamp: 0x68,
  regex: 0x70,
  dbRef: 0x78,
  code: 0x80,
  maxKey: 0xf0,
} as const;

export function typeClass(value: unknown): number {
  switch (typeof value) {
    case 'string':
      return typeByte.string;
    case 'number':
    case 'bigint':
      return typeByte.number;
    case 'boolean':
      return typeByte.boolean;
    case 'undefined':
      return typeByte.empty;
  }
  if (value === null) return typeByte.null;
  if (Array.isArray(value)) return typeByte.array;
  if (value instanceof Date) return typeByte.date;
  if (value instanceof RegExp) return typeByte.regex;
  switch (bsonType(value)) {
    case undefined:
      return ArrayBuffer.isView(value) ? typeByte.binary : typeByte.object;
    case 'Int32':
    case 'Double':
    case 'Long':
    case 'Decimal128':
      return typeByte.number;
    case 'ObjectId':
      return typeByte.objectId;
    case 'Binary':
      return typeByte.binary;
    case 'BSONSymbol':
      return typeByte.string;
    case 'Timestamp':
      return typeByte.timestamp;
    case 'BSONRegExp':
      return typeByte.regex;
    case 'DBRef':
      return typeByte.object;
    case 'Code':
      return typeByte.code;
    case 'MinKey':
      return typeByte.minKey;
    case 'MaxKey':
      return typeByte.maxKey;
    default:
      return typeByte.object;
  }
}

class Writer {
  bytes = Buffer.allocUnsafe(4096);
  at = 0;

  room(size: number): void {
    if (this.at + size <= this.bytes.length) return;
    const grown = Buffer.allocUnsafe(Math.max(this.bytes.length * 2, this.at + size));
    this.bytes.copy(grown, 0, 0, this.at);
    this.bytes = grown;
  }

  byte(value: number): void {
    this.room(1);
    this.bytes[this.at++] = value;
  }

  raw(bytes: Uint8Array): void {
    this.room(bytes.length);
    this.bytes.set(bytes, this.at);
    this.at += bytes.length;
  }

  /** A text or bytes that end with 00 01; a 00 within becomes 00 FF. */
  text(value: string | Uint8Array): void {
    const size = typeof value === 'string' ? value.length * 3 : value.length;
    this.room(size + 2);
    const start = this.at;
    if (typeof value === 'string') this.at += this.bytes.write(value, start, 'utf8');
    else {
      this.bytes.set(value, start);
      this.at += size;
    }
    if (this.bytes.subarray(start, this.at).includes(0)) {
      const source = Buffer.from(this.bytes.subarray(start, this.at));
      this.at = start;
      this.room(source.length * 2 + 2);
      for (const byte of source) {
        this.bytes[this.at++] = byte;
        if (byte === 0) this.bytes[this.at++] = 0xff;
      }
    }
    this.room(2);
    this.bytes[this.at++] = 0;
    this.bytes[this.at++] = 1;
  }

  /** A double in order: sign bit flipped, negative ones inverted. NaN is below all. */
  double(value: number): void {
    this.room(8);
    if (Number.isNaN(value)) {
      this.bytes.fill(0, this.at, this.at + 8);
      this.at += 8;
      return;
    }
    const start = this.at;
    this.bytes.writeDoubleBE(value === 0 ? 0 : value, start);
    this.at += 8;
    if (value < 0) for (let i = start; i < this.at; i++) this.bytes[i] = ~(this.bytes[i] ?? 0);
    else this.bytes[start] = (this.bytes[start] ?? 0) ^ 0x80;
  }
}

function writeNumber(writer: Writer, value: unknown): void {
  writer.byte(typeByte.number);
  if (value instanceof Long || value instanceof Decimal128) {
    const plain = value instanceof Long ? value.toNumber() : Number.NaN;
    if (!Number.isSafeInteger(plain)) {
      const { floor, rest } = floorDouble(value);
      writer.double(floor);
      if (rest === 0n) writer.byte(0);
      else {
        writer.byte(1);
        writer.raw(Buffer.from(rest.toString(16).padStart(30, '0'), 'hex'));
      }
      return;
    }
    writer.double(plain);
  } else
    writer.double(
      typeof value === 'number'
        ? value
        : Number(value instanceof Int32 || value instanceof Double ? value.value : value),
    );
  writer.byte(0);
}

function writeFields(writer: Writer, fields: [string, unknown][]): void {
  for (const [name, value] of fields) {
    writer.byte(typeClass(value));
    writer.text(name);
    write(writer, value);
  }
  writer.byte(0);
}

function write(writer: Writer, value: unknown): void {
  if (typeof value === 'string') {
    writer.byte(typeByte.string);
    writer.text(value);
    return;
  }
  const type = typeClass(value);
  if (type === typeByte.number) {
    writeNumber(writer, value);
    return;
  }
  writer.byte(type);
  if (value instanceof ObjectId) writer.raw(value.id);
  else if (value instanceof Date) {
    // Dates beyond the range of JavaScript are invalid dates here; they sort first.
    writer.double(value.getTime());
  } else if (typeof value === 'boolean') writer.byte(value ? 1 : 0);
  else if (Array.isArray(value)) {
    for (const item of value) write(writer, item);
    writer.byte(0);
  } else if (value instanceof Binary) {
    const head = Buffer.alloc(5);
    head.writeUInt32BE(value.length());
    head[4] = value.sub_type;
    writer.raw(head);
    writer.raw(value.buffer.subarray(0, value.length()));
  } else if (value instanceof Timestamp) {
    const bytes = Buffer.alloc(8);
    bytes.writeUInt32BE(value.getHighBitsUnsigned());
    bytes.writeUInt32BE(value.getLowBitsUnsigned(), 4);
    writer.raw(bytes);
  } else if (value instanceof BSONRegExp || value instanceof RegExp) {
    writer.text(value instanceof RegExp ? value.source : value.pattern);
    writer.text(value instanceof RegExp ? value.flags : value.options);
  } else if (value instanceof Code) {
    writer.text(value.code);
    if (value.scope) writeFields(writer, Object.entries(value.scope));
  } else if (value instanceof DBRef) {
    writeFields(writer, Object.entries(value.toJSON()));
  } else if (type === typeByte.string) writer.text(String(value));
  else if (type === typeByte.object) writeFields(writer, Object.entries(value as Doc));
}

const shared = new Writer();

/** The exact key of a value; equal values of any number type have equal keys. */
export function encodeKey(value: unknown): Buffer {
  shared.at = 0;
  write(shared, value);
  return Buffer.from(shared.bytes.subarray(0, shared.at));
}

/** Longer encodings are cut in index entries: a prefix that keeps the order, then a hash that keeps equality. */
const longKeyBytes = 1000;
const keptBytes = 900;

export interface KeyPart {
  bytes: Buffer;
  /** The order among values with the same prefix is lost. */
  cut: boolean;
}

/** One field of an index entry. */
export function encodeIndexPart(value: unknown, descending = false): KeyPart {
  let bytes = encodeKey(value);
  const cut = bytes.length > longKeyBytes;
  if (cut) {
    const hash = createHash('sha256').update(bytes).digest().subarray(0, 20);
    bytes = Buffer.concat([bytes.subarray(0, keptBytes), hash]);
  }
  if (descending) invert(bytes);
  return { bytes, cut };
}

/** The part of an index key that is in order for certain: all of it, or the prefix of a long value. */
export function orderedPrefix(key: Buffer): Buffer {
  return key.length > longKeyBytes ? key.subarray(0, keptBytes) : key;
}

export function invert(bytes: Buffer): Buffer {
  for (let i = 0; i < bytes.length; i++) bytes[i] = ~(bytes[i] ?? 0);
  return bytes;
}

/** The smallest byte string above all that begin with these bytes; undefined when there is none. */
export function after(prefix: Uint8Array): Buffer | undefined {
  const bytes = Buffer.from(prefix);
  for (let i = bytes.length - 1; i >= 0; i--) {
    const byte = bytes[i] ?? 0;
    if (byte !== 0xff) {
      bytes[i] = byte + 1;
      return bytes.subarray(0, i + 1);
    }
  }
  return undefined;
}

/** MongoDB's order of any two values: negative, 0 or positive. */
export function compare(a: unknown, b: unknown): number {
  if (a === b) return 0;
  if (typeof a === 'number' && typeof b === 'number' && !Number.isNaN(a) && !Number.isNaN(b))
    return a < b ? -1 : a > b ? 1 : 0;
  const [x, y] = [typeClass(a), typeClass(b)];
  if (x !== y) return x - y;
  return Buffer.compare(encodeKey(a), encodeKey(b));
}

export function equal(a: unknown, b: unknown): boolean {
  return compare(a, b) === 0;
}
