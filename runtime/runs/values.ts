import type { TenantFiles } from '../../core/data/database.ts';
import { notStorable } from './errors.ts';

/** A value as documents keep it: a text, or the id of a file when it is large; neither = undefined. */
export interface StoredValue {
  /** JSON; for a value with bytes in it `=` and the JSON of `{value, parts: [{path, base64}]}`. */
  json?: string;
  file?: string;
}

type Scope = { tenantId: string };
type Path = (string | number)[];

/** Bytes in a value, as they stand in its file. */
interface Part {
  path: Path;
  bytes: Uint8Array;
  /** It was an ArrayBuffer and becomes one again. */
  buffer?: boolean;
}

/** Values of this size or less (UTF-8 bytes of their JSON) stay in the document. */
export const INLINE_BYTES = 256 * 1024;
/** Bytes in a value up to this size in all stay in the document, too. */
const INLINE_PART_BYTES = 64 * 1024;

export interface Values {
  /**
   * The stored form of a value that fits into a document; undefined when it must go to a file.
   *
   * @param what subject of the message when the value is not JSON
   * @throws {AppError} VALUE_NOT_STORABLE
   */
  inline(value: unknown, what: string): StoredValue | undefined;
  /** Stores a value, in a file when it is large. What comes back from `load` is the value as JSON keeps it; bytes stay bytes. */
  store(scope: Scope, value: unknown, what: string): Promise<StoredValue>;
  /** Stores a JSON text that is too large for a document. */
  storeText(scope: Scope, json: string): Promise<StoredValue>;
  load(scope: Scope, stored: StoredValue): Promise<unknown>;
  /** Removes files that `store` made. */
  remove(scope: Scope, fileIds: readonly string[]): Promise<void>;
}

/**
 * Run data (inputs, results, step results, event data) on its way to the store and back. It is kept as JSON text: quick to
 * write, exact, free of the key and depth rules of documents. A file is one line of JSON `{json, parts: [{path, bytes}]}`
 * (lengths in bytes) followed by the JSON text and the bytes of its parts.
 */
export function createValues(files: TenantFiles, inlineBytes = INLINE_BYTES): Values {
  const write = async (scope: Scope, json: string, parts: Part[]) => {
    const text = Buffer.from(json);
    const head = JSON.stringify({
      json: text.length,
      parts: parts.map(({ path, bytes, buffer }) => ({ path, bytes: bytes.byteLength, buffer })),
    });
    const content = Buffer.concat([Buffer.from(`${head}\n`), text, ...parts.map(({ bytes }) => bytes)]);
    const { id } = await files.write(scope, { filename: 'value', content });
    return { file: id };
  };

  const inlined = (json: string, parts: Part[]): StoredValue | undefined => {
    const bytes = parts.reduce((sum, part) => sum + part.bytes.byteLength, 0);
    if (bytes > INLINE_PART_BYTES || !fits(json, inlineBytes)) return undefined;
    return { json: parts.length === 0 ? json : withParts(json, parts) };
  };

  return {
    inline(value, what) {
      const { json, parts } = encode(value, what);
      return json === undefined ? {} : inlined(json, parts);
    },
    async store(scope, value, what) {
      const { json, parts } = encode(value, what);
      if (json === undefined) return {};
      return inlined(json, parts) ?? write(scope, json, parts);
    },
    storeText: (scope, json) => write(scope, json, []),
    async load(scope, stored) {
      if (stored.json !== undefined) return parseText(stored.json);
      if (stored.file === undefined) return undefined;
      const content = await files.read(scope, stored.file);
      if (!content) throw new Error(`The stored value ${stored.file} is missing`);
      return parseFile(Buffer.from(content.buffer, content.byteOffset, content.byteLength));
    },
    async remove(scope, fileIds) {
      for (const fileId of fileIds) await files.delete(scope, fileId);
    },
  };
}

/** Whether a JSON text is at most so many bytes in UTF-8. */
export const fits = (json: string, bytes: number) =>
  json.length * 3 <= bytes || (json.length <= bytes && Buffer.byteLength(json) <= bytes);

function encode(value: unknown, what: string): { json: string | undefined; parts: Part[] } {
  const parts: Part[] = [];
  try {
    const plain = findBytes(value, [], parts) ? withoutBytes(value) : value;
    return { json: JSON.stringify(plain), parts };
  } catch (error) {
    throw notStorable(what, error);
  }
}

const withParts = (json: string, parts: Part[]) => {
  const encoded = parts.map(({ path, bytes, buffer }) => ({
    path,
    base64: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64'),
    buffer,
  }));
  return `={"value":${json},"parts":${JSON.stringify(encoded)}}`;
};

/** The value of a text that `StoredValue.json` holds. */
export function parseText(text: string): unknown {
  if (!text.startsWith('=')) return JSON.parse(text);
  const { value, parts } = JSON.parse(text.slice(1)) as {
    value: unknown;
    parts: { path: Path; base64: string; buffer?: boolean }[];
  };
  const root = { value };
  for (const { path, base64, buffer } of parts) {
    putBytes(root, { path, bytes: new Uint8Array(Buffer.from(base64, 'base64')), ...(buffer && { buffer }) });
  }
  return root.value;
}

function putBytes(root: { value: unknown }, { path, bytes, buffer }: Part): void {
  const [last = 'value', ...holders] = ['value', ...path].reverse();
  let holder = root as unknown as Record<string | number, unknown>;
  for (const key of holders.reverse()) holder = holder[key] as Record<string | number, unknown>;
  holder[last] = buffer ? bytes.buffer : bytes;
}

/** Collects the byte arrays in a value and where they are. */
function findBytes(value: unknown, path: Path, parts: Part[]): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (value instanceof Uint8Array) return parts.push({ path: [...path], bytes: value }) > 0;
  if (value instanceof ArrayBuffer)
    return parts.push({ path: [...path], bytes: new Uint8Array(value), buffer: true }) > 0;
  let found = false;
  if (Array.isArray(value)) {
    for (let at = 0; at < value.length; at += 1) {
      path.push(at);
      if (findBytes(value[at], path, parts)) found = true;
      path.pop();
    }
    return found;
  }
  for (const key of Object.keys(value)) {
    path.push(key);
    if (findBytes((value as Record<string, unknown>)[key], path, parts)) found = true;
    path.pop();
  }
  return found;
}

/** The value with null in the place of its byte arrays. */
function withoutBytes(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Uint8Array || value instanceof ArrayBuffer) return null;
  if (Array.isArray(value)) return value.map(withoutBytes);
  if ('toJSON' in value) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withoutBytes(item)]));
}

function parseFile(content: Buffer): unknown {
  const end = content.indexOf(0x0a);
  const head = JSON.parse(content.toString('utf8', 0, end)) as {
    json: number;
    parts: { path: Path; bytes: number; buffer?: boolean }[];
  };
  let at = end + 1;
  const root = { value: JSON.parse(content.toString('utf8', at, at + head.json)) as unknown };
  at += head.json;
  for (const { path, bytes, buffer } of head.parts) {
    // Own memory each: a view would keep the whole file alive and cannot be moved to a worker.
    putBytes(root, { path, bytes: new Uint8Array(content.subarray(at, at + bytes)), ...(buffer && { buffer }) });
    at += bytes;
  }
  return root.value;
}
