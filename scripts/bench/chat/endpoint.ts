/**
 * A model endpoint for load tests, in a process of its own; it prints its port. The last message says what it wants: `200 tokens, 50 ms
 * apart`. The first piece of an answer tells when its request came and when the answer began.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

const now = () => performance.timeOrigin + performance.now();
const chunk = (choices: object[], more: object = {}) =>
  `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: 'bench', choices, ...more })}\n\n`;
const piece = (delta: object, finish: string | null = null) => chunk([{ index: 0, delta, finish_reason: finish }]);
const WORD = piece({ content: ' word' });

const server = createServer((request, response) => {
  const came = now();
  let body = '';
  request.setEncoding('utf8').on('data', (text: string) => {
    body += text;
  });
  request.on('end', () => {
    const [, tokens = 200, pauseMs = 0] = (/(\d+) tokens, (\d+) ms apart/.exec(body) ?? []).map(Number);
    const usage = { prompt_tokens: 20, completion_tokens: tokens, total_tokens: tokens + 20 };
    const end = `${piece({}, 'stop')}${chunk([], { usage })}data: [DONE]\n\n`;
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(piece({ role: 'assistant', content: `@${came},${now()}@` }));
    const begin = performance.now();
    let sent = 1;
    const next = () => {
      // One by one, as a model makes them; several only where the clock is ahead of them.
      do {
        response.write(WORD);
        sent += 1;
      } while (pauseMs > 0 && sent < tokens && performance.now() - begin >= sent * pauseMs);
      if (sent >= tokens) response.end(end);
      else wait();
    };
    const wait = () => {
      if (pauseMs > 0) setTimeout(next, begin + sent * pauseMs - performance.now());
      else setImmediate(next);
    };
    wait();
  });
});
server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port));
process.on('disconnect', () => process.exit());
