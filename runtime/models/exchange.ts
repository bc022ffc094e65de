import type { Readable } from 'node:stream';
import { constants, createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import type { ParserConfig } from 'eventsource-parser';
import type { Dispatcher } from 'undici';

/** What is needed to talk to endpoints; loaded with the first call. */
export interface Wire {
  undici: typeof import('undici');
  createParser: typeof import('eventsource-parser').createParser;
}

/** An event of a stream longer than this is none of a model. */
const MAX_EVENT = 16 * 1024 * 1024;
/** Characters that are read of an answer which is an error. */
const MAX_ERROR = 256 * 1024;
const MAX_REDIRECTS = 3;
/** What a server may send behind the end of a stream before its connection is not used again. */
const REST = { limit: 16 * 1024, ms: 1000 };

/** Connections to endpoints. Idle ones are kept for a few seconds and hold nobody up. */
export function createDispatcher({ Agent, interceptors }: Wire['undici']): Dispatcher {
  // Time limits are the gateway's business.
  const agent = new Agent({ headersTimeout: 0, bodyTimeout: 0, allowH2: false });
  return agent.compose(interceptors.redirect({ maxRedirections: MAX_REDIRECTS }));
}

/**
 * One request to an endpoint. The provider's client makes the request and judges the answer by its status and headers; the stream itself is
 * read here: the client's own reader costs several times as much for each of the many small pieces.
 */
export class Exchange {
  readonly #wire: Wire;
  readonly #dispatcher: Dispatcher;
  #answer: { body: Dispatcher.ResponseData['body']; text: Readable } | undefined;

  constructor(wire: Wire, dispatcher: Dispatcher) {
    this.#wire = wire;
    this.#dispatcher = dispatcher;
  }

  /** Sends the request that the client has made. A successful answer has no body for the client. */
  async fetch(url: string, init: RequestInit): Promise<Response> {
    const {
      statusCode: status,
      headers: given,
      body,
    } = await this.#wire.undici.request(url, {
      method: 'POST',
      headers: Object.fromEntries(new Headers(init.headers)),
      body: String(init.body),
      dispatcher: this.#dispatcher,
      ...(init.signal && { signal: init.signal }),
    });
    // Whoever reads it learns of an error by reading; when nobody does any more, it is of no interest.
    body.on('error', () => undefined);
    const headers = new Headers();
    for (const [name, value] of Object.entries(given))
      for (const one of [value ?? []].flat()) headers.append(name, one);
    const text = plain(body, headers.get('content-encoding'));
    if (status >= 200 && status < 300) {
      this.#answer = { body, text };
      return new Response(null, { status, headers });
    }
    const begin = await beginOf(text);
    return new Response(begin === '' ? null : begin, { status: status >= 300 ? status : 502, headers });
  }

  /**
   * The data of the events up to `[DONE]` or the end of the stream.
   *
   * @throws {Error} when the connection is cut
   */
  async *events(): AsyncGenerator<string> {
    if (this.#answer === undefined) throw new Error('There is no answer');
    const { body, text } = this.#answer;
    const events: string[] = [];
    const tooLong: ParserConfig['onError'] = ({ type, message }) => {
      if (type === 'max-buffer-size-exceeded') throw new Error(message);
    };
    const parser = this.#wire.createParser({
      onEvent: ({ data }) => events.push(data),
      onError: tooLong,
      maxBufferSize: MAX_EVENT,
    });
    let first = true;
    let ended = false;
    try {
      // Stays open when the reader stops: what follows the end is read below.
      for await (const piece of text
        .setEncoding('utf8')
        .iterator({ destroyOnReturn: false }) as AsyncIterable<string>) {
        parser.feed(first ? piece.replace(/^\ufeff/, '') : piece);
        first = false;
        for (const data of events.splice(0)) {
          if (data.startsWith('[DONE]')) {
            ended = true;
            return;
          }
          yield data;
        }
      }
      ended = true;
    } catch (error) {
      throw new Error(`terminated: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    } finally {
      if (ended) void body.dump({ limit: REST.limit, signal: AbortSignal.timeout(REST.ms) }).catch(() => undefined);
      else body.destroy();
    }
  }
}

/** Some gateways compress whatever is asked for. */
function plain(body: Readable, encoding: string | null): Readable {
  const flush = constants.Z_SYNC_FLUSH;
  const decoder =
    encoding === 'gzip' || encoding === 'x-gzip'
      ? createGunzip({ flush, finishFlush: flush })
      : encoding === 'deflate'
        ? createInflate({ flush, finishFlush: flush })
        : encoding === 'br'
          ? createBrotliDecompress({ flush: constants.BROTLI_OPERATION_FLUSH })
          : undefined;
  if (decoder === undefined) return body;
  body.on('error', (error) => decoder.destroy(error));
  decoder.on('error', () => body.destroy());
  return body.pipe(decoder);
}

/** The start of a text; the rest is not waited for. */
async function beginOf(body: Readable): Promise<string> {
  let text = '';
  for await (const piece of body.setEncoding('utf8') as AsyncIterable<string>) {
    text += piece;
    if (text.length >= MAX_ERROR) break;
  }
  return text;
}
