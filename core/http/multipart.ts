/** What stands before the content of a part. */
export interface PartHead {
  readonly name: string;
  /** As the client wrote it; undefined: the part has none. */
  readonly filename: string | undefined;
  /** In lower case, without parameters; empty when not given. */
  readonly type: string;
}

export interface Part extends PartHead {
  /** To be read to its end before the next part is asked for. */
  readonly content: AsyncIterable<Buffer>;
}

/** The body is no multipart body, or one that nobody should send. */
export class MultipartError extends Error {}

const HEAD_BYTES = 16 * 1024;
/** What may stand before the first part. */
const PREAMBLE_BYTES = 64 * 1024;
const MAX_BOUNDARY = 200;
const HEAD_END = Buffer.from('\r\n\r\n');

/** The boundary that a content type names. */
export function boundaryOf(contentType: string): string {
  const [, quoted, token] = /;\s*boundary\s*=\s*(?:"([^"]*)"|([^;\s]+))/i.exec(contentType) ?? [];
  const boundary = quoted ?? token ?? '';
  if (boundary === '' || boundary.length > MAX_BOUNDARY) throw new MultipartError('no boundary, or a very long one');
  return boundary;
}

/**
 * The parts of a multipart body (RFC 7578), read as they come: nothing is held but the head of a part and one piece of its content. What
 * follows the last part is left unread.
 *
 * @throws {MultipartError}
 */
export async function* readParts(body: AsyncIterator<Buffer>, boundary: string): AsyncGenerator<Part, void, undefined> {
  const scanner = createScanner(body);
  const delimiter = Buffer.from(`\r\n--${boundary}`, 'latin1');
  await gather(scanner.until(delimiter), PREAMBLE_BYTES);
  while (!(await scanner.takes('--'))) {
    const head = headOf(await gather(scanner.until(HEAD_END), HEAD_BYTES));
    let read = false;
    const content = async function* () {
      yield* scanner.until(delimiter);
      read = true;
    };
    yield { ...head, content: content() };
    if (!read) throw new Error(`part ${head.name} was not read to its end`);
  }
}

interface Scanner {
  /** What stands before the next delimiter, in pieces; then the delimiter is gone, too. */
  until(delimiter: Buffer): AsyncGenerator<Buffer, void, undefined>;
  /** Whether these signs follow; they are gone then. */
  takes(text: string): Promise<boolean>;
}

function createScanner(body: AsyncIterator<Buffer>): Scanner {
  // A body without anything before the first part begins with its boundary, not with the line end before it.
  let held: Buffer = Buffer.from('\r\n');
  const more = async () => {
    const { done, value } = await body.next();
    if (done) throw new MultipartError('it ends too early');
    held = held.length === 0 ? value : Buffer.concat([held, value]);
  };
  const take = (length: number): Buffer => {
    const taken = held.subarray(0, length);
    held = held.subarray(length);
    return taken;
  };
  return {
    async *until(delimiter) {
      for (;;) {
        const at = held.indexOf(delimiter);
        // Its last bytes may be the beginning of a delimiter.
        const sure = at >= 0 ? at : held.length - delimiter.length + 1;
        if (sure > 0) yield take(sure);
        if (at >= 0) {
          take(delimiter.length);
          return;
        }
        await more();
      }
    },
    async takes(text) {
      while (held.length < text.length) await more();
      if (held.toString('latin1', 0, text.length) !== text) return false;
      take(text.length);
      return true;
    },
  };
}

async function gather(pieces: AsyncIterable<Buffer>, limit: number): Promise<Buffer> {
  const all: Buffer[] = [];
  let size = 0;
  for await (const piece of pieces) {
    size += piece.length;
    if (size > limit) throw new MultipartError('the head of a part is too long');
    all.push(piece);
  }
  return Buffer.concat(all);
}

/** @param block from the end of the boundary on */
function headOf(block: Buffer): PartHead {
  const [rest = '', ...lines] = block.toString('latin1').split('\r\n');
  if (rest.trim() !== '') throw new MultipartError('the boundary goes on');
  const fields = new Map<string, string>();
  for (const line of lines) {
    const [, name, value] = /^([\w-]+):(.*)$/.exec(line) ?? [];
    if (name === undefined || value === undefined) throw new MultipartError('a head that is none');
    fields.set(name.toLowerCase(), value.trim());
  }
  const encoding = fields.get('content-transfer-encoding')?.toLowerCase() ?? 'binary';
  if (!['binary', '7bit', '8bit'].includes(encoding)) throw new MultipartError(`encoded as ${encoding}`);
  const { name = '', filename, ...others } = parameters(fields.get('content-disposition') ?? '');
  return {
    name: decodeText(name),
    // The form of RFC 5987 comes first: the other is a makeshift then.
    filename: extended(others['filename*']) ?? (filename === undefined ? undefined : decodeText(filename)),
    type: (fields.get('content-type') ?? '').split(';', 1).join('').trim().toLowerCase(),
  };
}

/** `a; b=c; d="e"`: quotes inside are escaped as `\"` or `%22`; other backslashes are those of Windows paths. */
function parameters(value: string): Record<string, string> {
  const found: Record<string, string> = Object.create(null);
  for (const [, name = '', quoted, token] of value.matchAll(/;\s*([\w*-]+)\s*=\s*(?:"((?:\\"|[^"])*)"|([^;\s"]*))/g)) {
    found[name.toLowerCase()] ??= quoted?.replace(/\\"|%22/g, '"') ?? token ?? '';
  }
  return found;
}

/** `utf-8''%E6%8A%A5`; other charsets are as good as nothing. */
function extended(value: string | undefined): string | undefined {
  const [, percent] = /^utf-?8'[^']*'(.*)$/i.exec(value ?? '') ?? [];
  if (percent === undefined) return undefined;
  try {
    return decodeURIComponent(percent);
  } catch (error) {
    if (error instanceof URIError) return undefined;
    throw error;
  }
}

/** Text of a client: UTF-8, else the GB18030 of Chinese systems. */
export function decodeText(text: string | Buffer): string {
  const bytes = typeof text === 'string' ? Buffer.from(text, 'latin1') : text;
  for (const encoding of ['utf-8', 'gb18030']) {
    try {
      return new TextDecoder(encoding, { fatal: true }).decode(bytes);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
    }
  }
  return bytes.toString('utf8');
}
