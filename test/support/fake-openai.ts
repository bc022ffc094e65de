import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * A local server that speaks the OpenAI chat protocol over real HTTP, with scripted answers and faults.
 *
 *   await using openai = await startFakeOpenAI();
 *   openai.reply({ text: ['Hel', 'lo'] }, { status: 429, headers: { 'retry-after': '0' } });  // one per request, in order
 *   openai.always((request) => ({ text: `you said ${request.lastText}` }));                  // when the queue is empty
 *   ... base URL: openai.url (…/v1), Azure endpoint: openai.origin
 *   openai.requests[0].body / .headers / .path;  await openai.requests[0].ended  // 'finished' | 'aborted'
 *   await openai.nextRequest();                                                   // waits for the next one
 */
export interface FakeOpenAI extends AsyncDisposable {
  /** Base URL for OpenAI-compatible clients, ends in `/v1`. */
  readonly url: string;
  /** Scheme, host and port: the endpoint for Azure clients (`/openai/deployments/<name>/chat/completions`). */
  readonly origin: string;
  /** All requests so far, oldest first. */
  readonly requests: readonly SeenRequest[];
  /** Queues replies; each answers one request. */
  reply(...replies: Reply[]): void;
  /** What answers when the queue is empty. Default: the text `ok`. */
  always(reply: Reply): void;
  /** The next request that comes in after this call. */
  nextRequest(): Promise<SeenRequest>;
  close(): Promise<void>;
}

export interface SeenRequest {
  path: string;
  headers: IncomingHttpHeaders;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it freely
  body: any;
  /** Text of the last message. */
  lastText: string;
  /** `aborted`: the client closed the connection before the answer was complete. */
  ended: Promise<'finished' | 'aborted'>;
}

export type Reply = Answer | Failure | Fault | ((request: SeenRequest) => Answer | Failure | Fault);

/** A good answer, streamed or whole as the request asks. */
export interface Answer {
  /** Pieces of the answer. */
  text?: string | string[];
  /** Pieces sent as `reasoning_content` before the text. */
  thinking?: string | string[];
  /** `arguments` in pieces are sent in pieces; calls with the same `index` imitate servers that do not count. */
  toolCalls?: { id?: string; name: string; arguments: string | string[]; index?: number }[];
  /** Default: stop, or tool_calls when there are any. */
  finishReason?: string;
  /** `false`: no usage is sent. Default 10 in, 5 out. */
  usage?: { prompt_tokens: number; completion_tokens: number; total_tokens: number; [more: string]: unknown } | false;
  /** Leave out `role` in all deltas, as some servers do. */
  noRole?: boolean;
  /** Nothing is sent, not even headers, before this resolves. */
  gate?: Promise<unknown>;
  /** Awaited between the first piece and the others. */
  afterFirst?: Promise<unknown>;
}

/** An HTTP error; an object is sent as JSON. */
export interface Failure {
  status: number;
  headers?: Record<string, string>;
  body?: string | Record<string, unknown>;
}

export interface Fault {
  fault:
    | 'reset' // the connection is cut before any answer
    | 'silent' // the request is accepted and never answered
    | 'nothing' // 200, event stream, no event
    | 'half' // a piece of text, then the connection is cut
    | 'no-finish' // pieces of text, then a clean end without finish reason
    | 'broken-json' // a piece of text, then an event that is not JSON
    | 'error-event' // an error object as event
    | 'stall' // a piece of text, then silence with an open connection
    | 'endless' // pieces without end
    | 'html'; // a proxy's 502 page
}

export const startFakeOpenAI = async (): Promise<FakeOpenAI> => {
  const requests: SeenRequest[] = [];
  const queue: Reply[] = [];
  const waiting: ((request: SeenRequest) => void)[] = [];
  let standard: Reply = { text: 'ok' };

  const server = createServer((request, response) => {
    handle(request, response).catch((error: unknown) => response.destroy(error instanceof Error ? error : undefined));
  });

  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    let text = '';
    for await (const piece of request.setEncoding('utf8')) text += piece;
    const path = request.url ?? '';
    if (!path.split('?')[0]?.endsWith('/chat/completions')) {
      response.writeHead(404, { 'content-type': 'application/json' }).end('{"error":{"message":"no such path"}}');
      return;
    }
    const body = JSON.parse(text);
    const content = body.messages?.at(-1)?.content;
    const seen: SeenRequest = {
      path,
      headers: request.headers,
      body,
      lastText: typeof content === 'string' ? content : JSON.stringify(content),
      ended: once(response, 'close').then(() => (response.writableFinished ? 'finished' : 'aborted')),
    };
    const reply = queue.shift() ?? standard;
    requests.push(seen);
    waiting.shift()?.(seen);
    const chosen = typeof reply === 'function' ? reply(seen) : reply;
    if ('fault' in chosen) return misbehave(chosen.fault, seen, response);
    if ('status' in chosen) return fail(chosen, response);
    return answer(chosen, seen, response);
  };

  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const close = async () => {
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  };
  return {
    url: `${origin}/v1`,
    origin,
    requests,
    reply: (...replies) => void queue.push(...replies),
    always: (reply) => {
      standard = reply;
    },
    nextRequest: () => new Promise((resolve) => waiting.push(resolve)),
    close,
    [Symbol.asyncDispose]: close,
  };
};

const list = (value: string | string[] | undefined): string[] => (value === undefined ? [] : [value].flat());

const chunk = (model: string, delta: object | null, more: object = {}) =>
  `data: ${JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model, choices: delta === null ? [] : [{ index: 0, delta, finish_reason: null, ...more }] })}\n\n`;

const startStream = (response: ServerResponse) =>
  response.writeHead(200, { 'content-type': 'text/event-stream', 'x-request-id': 'req_1' });

const answer = async (script: Answer, { body }: SeenRequest, response: ServerResponse) => {
  await script.gate;
  const calls = script.toolCalls ?? [];
  const reason = script.finishReason ?? (calls.length > 0 ? 'tool_calls' : 'stop');
  const usage =
    script.usage === false
      ? undefined
      : (script.usage ?? { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 });
  if (body.stream !== true) {
    const message = {
      role: 'assistant',
      content: list(script.text).join(''),
      ...(calls.length > 0 && {
        tool_calls: calls.map(({ id, name, arguments: args }) => ({
          id,
          type: 'function',
          function: { name, arguments: list(args).join('') },
        })),
      }),
    };
    const choices = [{ index: 0, message, finish_reason: reason }];
    response.setHeader('content-type', 'application/json');
    response.end(
      JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion', created: 1, model: body.model, choices, usage }),
    );
    return;
  }
  startStream(response);
  const deltas: object[] = [
    ...(script.noRole ? [] : [{ role: 'assistant', content: '' }]),
    ...list(script.thinking).map((reasoning_content) => ({ reasoning_content })),
    ...list(script.text).map((content) => ({ content })),
    ...calls.flatMap(({ id, name, arguments: args, index }, at) => {
      const [first = '', ...rest] = list(args);
      return [
        {
          tool_calls: [
            {
              index: index ?? at,
              ...(id !== undefined && { id }),
              type: 'function',
              function: { name, arguments: first },
            },
          ],
        },
        ...rest.map((piece) => ({ tool_calls: [{ index: index ?? at, function: { arguments: piece } }] })),
      ];
    }),
  ];
  const first = script.noRole ? 0 : 1;
  for (const [at, delta] of deltas.entries()) {
    response.write(chunk(body.model, delta));
    if (at === first) await script.afterFirst;
  }
  response.write(chunk(body.model, {}, { finish_reason: reason }));
  if (usage && body.stream_options?.include_usage === true) {
    response.write(`data: ${JSON.stringify({ id: 'chatcmpl-1', model: body.model, choices: [], usage })}\n\n`);
  }
  response.end('data: [DONE]\n\n');
};

const fail = ({ status, headers, body }: Failure, response: ServerResponse) => {
  const type = typeof body === 'string' ? 'text/plain' : 'application/json';
  const content = body ?? { error: { message: `failure ${status}`, type: 'error', code: null } };
  response.writeHead(status, { 'content-type': type, ...headers });
  response.end(typeof content === 'string' ? content : JSON.stringify(content));
};

const misbehave = async (fault: Fault['fault'], { body }: SeenRequest, response: ServerResponse) => {
  if (fault === 'silent') return;
  if (fault === 'reset') {
    response.socket?.resetAndDestroy();
    return;
  }
  if (fault === 'html') {
    response.writeHead(502, { 'content-type': 'text/html' }).end('<html><body><h1>502 Bad Gateway</h1></body></html>');
    return;
  }
  startStream(response);
  if (fault === 'nothing') return void response.end();
  if (fault === 'error-event') {
    response.end('data: {"error":{"message":"overloaded","type":"server_error","code":"overloaded"}}\n\n');
    return;
  }
  const piece = (content: string) =>
    new Promise<void>(
      (resolve) => void response.write(chunk(body.model, { role: 'assistant', content }), () => resolve()),
    );
  await piece('begin ');
  if (fault === 'half') response.socket?.destroy();
  if (fault === 'no-finish') response.end();
  if (fault === 'broken-json') response.end('data: {"choices":[{"delta"\n\n');
  while (fault === 'endless' && !response.destroyed) await piece('and on '.repeat(50));
};
