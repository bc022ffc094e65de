import type { ServerResponse } from 'node:http';
import type { Context } from 'koa';
import type { Logger } from '../log.ts';
import type { TSchema } from '../schema.ts';
import type { EventStream, StreamMessage } from './route.ts';

/** Comment lines keep proxies from closing an idle connection. */
const COMMENT_MS = 15_000;
/** A client that takes nothing for so long is cut off; it resumes from its last id. */
const STALLED_MS = 30_000;

/** Text of one message, shaped already; data that is text is sent as it is. */
export function formatMessage({ id, data }: Omit<StreamMessage, 'schema'>): string {
  const text = typeof data === 'string' ? data : JSON.stringify(data);
  const lines = text.includes('\n') ? text.split('\n').join('\ndata: ') : text;
  return `${id === undefined ? '' : `id: ${id}\n`}data: ${lines}\n\n`;
}

/** How old the last look at the token may be when a message is sent. */
const RECHECK_MS = 1000;

/**
 * Sends an event stream over the raw response: Koa's own piping cannot drop a client that does not read. The source ends with
 * the connection; `end` fires when the client goes away or the server shuts down.
 *
 * @param shape brings the data of a message with a schema into the form of the contract
 * @param allowed whether the token is still good: a stream does not outlive a logout or a blocked account. It is cut off then, as it is
 *   when the source fails: a proper end would look like a whole answer
 */
export async function sendEvents(
  ctx: Context,
  stream: EventStream,
  end: AbortController,
  log: Logger,
  shape: (schema: TSchema, data: unknown) => Promise<unknown>,
  allowed: () => Promise<boolean>,
): Promise<void> {
  const response = ctx.res;
  const { stalledMs = STALLED_MS } = stream.options;
  ctx.respond = false;
  response.writeHead(200, {
    ...(response.getHeaders() as Record<string, string>),
    'Content-Type': 'text/event-stream; charset=utf-8',
    'Cache-Control': 'no-cache',
    'X-Accel-Buffering': 'no',
    ...stream.options.headers,
  });
  ctx.req.socket.setNoDelay(true);
  if (stream.options.retryMs !== undefined) response.write(`retry: ${stream.options.retryMs}\n\n`);
  else response.flushHeaders();
  let checkedAt = performance.now();
  const stillAllowed = async () => {
    if (performance.now() - checkedAt < RECHECK_MS) return true;
    checkedAt = performance.now();
    return allowed();
  };
  let cutOff = false;
  const comment = setInterval(async () => {
    if (!(await stillAllowed())) {
      cutOff = true;
      return end.abort();
    }
    // A client that does not read gets no comments either: they would only pile up.
    if (!response.writableNeedDrain) response.write(': keep-alive\n\n');
  }, COMMENT_MS);
  const iterator = stream.source[Symbol.asyncIterator]();
  try {
    while (!end.signal.aborted) {
      const { value, done } = await iterator.next();
      if (done || end.signal.aborted) break;
      cutOff = !(await stillAllowed());
      if (cutOff) break;
      const { id, data, schema } = value;
      const message = { ...(id !== undefined && { id }), data: schema ? await shape(schema, data) : data };
      if (!response.write(formatMessage(message)) && !(await drained(response, end.signal, stalledMs))) break;
    }
  } catch (error) {
    if (!end.signal.aborted) {
      cutOff = true;
      log.error({ err: error }, 'event stream failed');
    }
  } finally {
    clearInterval(comment);
    end.abort();
    await iterator.return?.();
    if (cutOff) response.destroy();
    else response.end();
  }
}

/** Waits until the client has taken what was sent; false when it went away or takes too long. */
async function drained(response: ServerResponse, signal: AbortSignal, stalledMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const finish = (ok: boolean) => {
      clearTimeout(timer);
      response.off('drain', onDrain);
      signal.removeEventListener('abort', onAbort);
      if (!ok) response.destroy();
      resolve(ok);
    };
    const onDrain = () => finish(true);
    const onAbort = () => finish(false);
    const timer = setTimeout(() => finish(false), stalledMs);
    response.once('drain', onDrain);
    signal.addEventListener('abort', onAbort, { once: true });
  });
}
