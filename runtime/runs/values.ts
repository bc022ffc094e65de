import type { TenantFiles } from '../../core/data/database.ts';
import { notStorable } from './errors.ts';

/** A value as documents keep it: JSON text, or the id of a file when it is large or has bytes in it; neither = undefined. */
export interface StoredValue {
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

export interface Values {
  /**
   * The JSON text of a value that fits into a document; undefined when it must go to a file.
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

  const inline: Values['inline'] = (value, what) => {
    const parts: Part[] = [];
    const json = stringify(value, what, parts);
    if (parts.length > 0) return undefined;
    if (json === undefined) return {};
    return fits(json, inlineBytes) ? { json } : undefined;
  };

  return {
    inline,
    async store(scope, value, what) {
      const parts: Part[] = [];
      const json = stringify(value, what, parts);
      if (json === undefined) return {};
      if (parts.length === 0 && fits(json, inlineBytes)) return { json };
      return write(scope, json, parts);
    },
    storeText: (scope, json) => write(scope, json, []),
    async load(scope, stored) {
      if (stored.json !== undefined) return JSON.parse(stored.json);
      if (stored.file === undefined) return undefined;
      const content = await files.read(scope, stored.file);
      if (!content) throw new Error(`The stored value ${stored.file} is missing`);
      return parse(Buffer.from(content.buffer, content.byteOffset, content.byteLength));
    },
  };
}

/** Whether a JSON text is at most so many bytes in UTF-8. */
export const fits = (json: string, bytes: number) =>
  json.length * 3 <= bytes || (json.length <= bytes && Buffer.byteLength(json) <= bytes);

function stringify(value: unknown, what: string, parts: Part[]): string | undefined {
  try {
    const plain = findBytes(value, [], parts) ? withoutBytes(value) : value;
    return JSON.stringify(plain);
  } catch (error) {
    throw notStorable(what, error);
  }
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

function parse(content: Buffer): unknown {
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
    const part = new Uint8Array(content.subarray(at, at + bytes));
    at += bytes;
    let holder = root as unknown as Record<string | number, unknown>;
    for (const key of ['value', ...path.slice(0, -1)].slice(0, path.length)) {
      holder = holder[key] as Record<string | number, unknown>;
    }
    holder[path.at(-1) ?? 'value'] = buffer ? part.buffer : part;
  }
  return root.value;
}
