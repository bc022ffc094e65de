import { Long } from 'bson';
import { type Doc, decode, eachField, encode, type Raw, rawElements, validate } from './bson.ts';
import type { Request } from './engine.ts';
import { CommandError } from './errors.ts';

/** The MongoDB wire protocol: OP_MSG, and OP_QUERY for the first hello of a driver. */
export const maxMessageBytes = 48_000_000;

const opReply = 1;
const opQuery = 2004;
const opMsg = 2013;

export interface Message {
  requestId: number;
  legacy: boolean;
  /** The client expects no answer. */
  silent: boolean;
  /** Parsed when the command is carried out, so that a broken body is an error of that command. */
  parse(): Request;
}

const rawFields = new Set(['documents', 'updates', 'deletes']);

/** Cuts a stream of bytes into messages. Memory grows with what has arrived, not with what a header announces. */
export class Framer {
  #chunks: Buffer[] = [];
  #size = 0;

  /** @throws {CommandError} 17 when a header cannot be one; the connection has to be closed then */
  push(chunk: Buffer): Buffer[] {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    const messages: Buffer[] = [];
    for (;;) {
      const wanted = this.#wanted();
      if (wanted === undefined || this.#size < wanted) return messages;
      const all = this.#chunks.length === 1 && this.#chunks[0] ? this.#chunks[0] : Buffer.concat(this.#chunks);
      messages.push(all.subarray(0, wanted));
      this.#chunks = all.length > wanted ? [all.subarray(wanted)] : [];
      this.#size = all.length - wanted;
    }
  }

  #wanted(): number | undefined {
    if (this.#size < 16) return undefined;
    let [head] = this.#chunks;
    if (!head || head.length < 4) {
      head = Buffer.concat(this.#chunks);
      this.#chunks = [head];
    }
    const length = head.readInt32LE(0);
    if (length < 16 || length > maxMessageBytes)
      throw new CommandError(17, `A message of ${length} bytes is not valid (limit ${maxMessageBytes})`);
    return length;
  }
}

/** Reads the envelope of a message. */
export function parseMessage(message: Buffer): Message {
  const requestId = message.readInt32LE(4);
  const opCode = message.readInt32LE(12);
  if (opCode === opQuery) return { requestId, legacy: true, silent: false, parse: () => parseQuery(message) };
  if (opCode !== opMsg) throw new CommandError(17, `The operation code ${opCode} is not supported`);
  if (message.length < 26) throw new CommandError(17, 'The message is too short');
  const flags = message.readUInt32LE(16);
  return { requestId, legacy: false, silent: (flags & 2) !== 0, parse: () => parseSections(message, flags) };
}

function parseSections(message: Buffer, flags: number): Request {
  if ((flags & 0xffff & ~3) !== 0) throw new CommandError(17, 'The message has unknown required flags');
  const end = message.length - ((flags & 1) !== 0 ? 4 : 0);
  const sequences = new Map<string, Raw[]>();
  let body: Buffer | undefined;
  let at = 20;
  while (at < end) {
    const kind = message[at++];
    if (at + 4 > end) throw new CommandError(17, 'A section is cut off');
    const size = message.readInt32LE(at);
    if (size < 5 || at + size > end) throw new CommandError(17, 'A section has a wrong size');
    if (kind === 0) body = message.subarray(at, at + size);
    else if (kind === 1) {
      const nameEnd = message.indexOf(0, at + 4);
      if (nameEnd < 0 || nameEnd >= at + size) throw new CommandError(17, 'A section is not terminated');
      const docs: Raw[] = [];
      let next = nameEnd + 1;
      while (next < at + size) {
        const length = next + 4 <= at + size ? message.readInt32LE(next) : -1;
        if (length < 5 || next + length > at + size)
          throw new CommandError(22, 'A document in a section has a wrong size');
        const raw = message.subarray(next, next + length);
        validate(raw);
        docs.push(raw);
        next += length;
      }
      sequences.set(message.toString('utf8', at + 4, nameEnd), docs);
    } else throw new CommandError(17, `A section of kind ${kind} is not known`);
    at += size;
  }
  if (!body) throw new CommandError(17, 'The message has no body');
  return toRequest(body, sequences);
}

function parseQuery(message: Buffer): Request {
  const nameEnd = message.indexOf(0, 20);
  const start = nameEnd + 9;
  if (nameEnd < 0 || start + 5 > message.length) throw new CommandError(17, 'The query is cut off');
  const ns = message.toString('utf8', 20, nameEnd);
  const size = message.readInt32LE(start);
  if (size < 5 || start + size > message.length) throw new CommandError(17, 'The query has a wrong size');
  const request = toRequest(message.subarray(start, start + size), new Map());
  if (!ns.endsWith('.$cmd')) throw new CommandError(352, 'Unsupported OP_QUERY command');
  return { ...request, db: ns.slice(0, -5) };
}

function toRequest(raw: Buffer, sequences: Map<string, Raw[]>): Request {
  validate(raw);
  // Documents to store are taken as they are, so that nothing of them changes on the way.
  const holes: { at: number; size: number }[] = [];
  eachField(raw, (name, type, at, size) => {
    if (type !== 4 || !rawFields.has(name) || sequences.has(name)) return;
    const docs = rawElements(raw.subarray(at, at + size));
    if (!docs) return;
    sequences.set(name, docs);
    holes.push({ at: at - name.length - 2, size: size + name.length + 2 });
  });
  const body = decode(holes.length === 0 ? raw : without(raw, holes));
  const [name = ''] = Object.keys(decodeFirst(raw));
  return { name, body, db: typeof body.$db === 'string' ? body.$db : 'admin', sequences };
}

function decodeFirst(raw: Buffer): Doc {
  let first: Doc | undefined;
  eachField(raw, (name) => {
    first ??= { [name]: true };
  });
  return first ?? {};
}

function without(raw: Buffer, holes: { at: number; size: number }[]): Buffer {
  const parts: Buffer[] = [];
  let from = 0;
  for (const { at, size } of holes) {
    parts.push(raw.subarray(from, at));
    from = at + size;
  }
  parts.push(raw.subarray(from));
  const result = Buffer.concat(parts);
  result.writeInt32LE(result.length, 0);
  return result;
}

let lastId = 0;

/** An answer as bytes. Documents of a cursor's batch are put in as they are stored. */
export function buildReply(doc: Doc, to: Pick<Message, 'requestId' | 'legacy'>): Buffer[] {
  const parts = to.legacy ? [encode(doc)] : encodeReply(doc);
  const size = parts.reduce((sum, part) => sum + part.length, 0);
  const head = Buffer.alloc(to.legacy ? 36 : 21);
  head.writeInt32LE(head.length + size, 0);
  head.writeInt32LE(++lastId & 0x7fffffff, 4);
  head.writeInt32LE(to.requestId, 8);
  head.writeInt32LE(to.legacy ? opReply : opMsg, 12);
  if (to.legacy) {
    head.writeInt32LE(8, 16); // await capable
    head.writeInt32LE(1, 32); // one document
  }
  return [head, ...parts];
}

function encodeReply(doc: Doc): Buffer[] {
  const cursor = doc.cursor as { firstBatch?: Raw[]; nextBatch?: Raw[]; id: number; ns: string } | undefined;
  const name = cursor?.firstBatch ? 'firstBatch' : 'nextBatch';
  const batch = cursor?.[name];
  if (!cursor || !batch) return [encode(doc)];
  const { cursor: _cursor, ...rest } = doc;
  const tail = encode(rest);
  const items: Buffer[] = [];
  let size = 0;
  for (const [i, raw] of batch.entries()) {
    const key = Buffer.from(`\x03${i}\0`, 'latin1');
    items.push(key, Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength));
    size += key.length + raw.length;
  }
  const inner = encode({ id: Long.fromNumber(cursor.id), ns: cursor.ns });
  const listName = Buffer.from(`\x04${name}\0`, 'latin1');
  const listSize = 4 + size + 1;
  const cursorSize = inner.length + listName.length + listSize;
  const total = 4 + 8 + cursorSize + tail.length - 4;
  const int = (value: number) => {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32LE(value);
    return bytes;
  };
  const zero = Buffer.alloc(1);
  return [
    int(total),
    Buffer.from('\x03cursor\0', 'latin1'),
    int(cursorSize),
    inner.subarray(4, -1),
    listName,
    int(listSize),
    ...items,
    zero,
    zero,
    tail.subarray(4),
  ];
}
