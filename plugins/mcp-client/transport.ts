import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type { FetchLike, Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import type { Target } from './options.ts';

/** Bytes of one message of a server. */
const MAX_MESSAGE = 16 * 1024 * 1024;
/** Characters of one line of the error output that are logged. */
const MAX_LINE = 500;

/** @param heard gets the lines that a process writes to its error output */
export function createTransport(target: Target, heard: (line: string) => void): Transport {
  if (target.kind === 'http') {
    return new StreamableHTTPClientTransport(target.url, {
      requestInit: { headers: target.headers },
      fetch: limitedFetch,
      // Whether the server lives is looked after by whoever made the transport.
      reconnectionOptions: {
        initialReconnectionDelay: 1000,
        maxReconnectionDelay: 30_000,
        reconnectionDelayGrowFactor: 2,
        maxRetries: 3,
      },
    });
  }
  const { command, args, cwd, env } = target;
  const transport = new StdioClientTransport({
    command,
    args,
    env,
    ...(cwd && { cwd }),
    stderr: 'pipe',
    maxBufferSize: MAX_MESSAGE,
  });
  let rest = '';
  transport.stderr?.on('data', (chunk: Buffer) => {
    const lines = `${rest}${chunk}`.split('\n');
    rest = (lines.pop() ?? '').slice(0, MAX_LINE);
    for (const line of lines) if (line.trim() !== '') heard(line.slice(0, MAX_LINE));
  });
  return transport;
}

/** A server that answers without end is cut off. */
const limitedFetch: FetchLike = async (url, init) => {
  const response = await fetch(url, init);
  if (!response.ok || response.body === null) return response;
  let since = 0;
  const limit = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      since += chunk.byteLength;
      if (since > MAX_MESSAGE) return controller.error(new Error(`a message of more than ${MAX_MESSAGE} bytes`));
      controller.enqueue(chunk);
      // An event ends with an empty line; streams as such may be long.
      if (endsEvent(chunk)) since = 0;
    },
  });
  return new Response(response.body.pipeThrough(limit), response);
};

const endsEvent = (chunk: Uint8Array): boolean => {
  const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  return bytes.includes('\n\n') || bytes.includes('\r\n\r\n');
};
