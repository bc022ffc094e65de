import assert from 'node:assert/strict';

/** One message of an event stream. */
export interface StreamedMessage {
  id?: number;
  /** Parsed, or `[DONE]`. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into messages of many shapes
  data: any;
}

export interface AnswerStream {
  readonly status: number;
  readonly headers: Headers;
  /** The next message; undefined at the end. */
  next(): Promise<StreamedMessage | undefined>;
  /** All that still come. */
  rest(): Promise<StreamedMessage[]>;
  /** Goes away in the middle. */
  leave(): void;
}

/** One block of the stream; anything but the documented lines is a fault. */
function parseBlock(block: string): StreamedMessage | undefined {
  let id: number | undefined;
  const data: string[] = [];
  for (const line of block.split('\n')) {
    if (line === '' || line.startsWith(':')) continue;
    const [, name, value = ''] = /^(id|data): (.*)$/.exec(line) ?? assert.fail(`an unexpected line: ${line}`);
    if (name === 'id') id = Number(value);
    else data.push(value);
  }
  if (data.length === 0) return undefined;
  assert.equal(data.length, 1, 'one line of data in a message');
  const text = data[0] ?? '';
  return { ...(id !== undefined && { id }), data: text === '[DONE]' ? text : JSON.parse(text) };
}

/** All messages of a stream that has ended. */
export const parseStream = (text: string): StreamedMessage[] =>
  text.split('\n\n').flatMap((block) => parseBlock(block) ?? []);

/** Sends a message and reads the answer as it comes. */
export async function openStream(
  url: string,
  path: string,
  { token, body, lastEventId }: { token: string; body: unknown; lastEventId?: number },
): Promise<AnswerStream> {
  const gone = new AbortController();
  const response = await fetch(`${url}/api/v1${path}`, {
    method: 'POST',
    signal: gone.signal,
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      ...(lastEventId !== undefined && { 'last-event-id': String(lastEventId) }),
    },
    body: JSON.stringify(body),
  });
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let buffered = '';
  const next = async (): Promise<StreamedMessage | undefined> => {
    for (;;) {
      const end = buffered.indexOf('\n\n');
      if (end >= 0) {
        const message = parseBlock(buffered.slice(0, end));
        buffered = buffered.slice(end + 2);
        if (message) return message;
        continue;
      }
      const read = await reader?.read();
      if (!read || read.done) return undefined;
      buffered += read.value;
    }
  };
  return {
    status: response.status,
    headers: response.headers,
    next,
    async rest() {
      const all: StreamedMessage[] = [];
      for (let one = await next(); one; one = await next()) all.push(one);
      return all;
    },
    leave: () => gone.abort(),
  };
}

/** The text that a client puts together from `token` messages, or from the pieces of a general chat. */
export const textOf = (messages: readonly StreamedMessage[]): string =>
  messages.map(({ data }) => (data.type === undefined || data.type === 'token' ? (data.content ?? '') : '')).join('');
