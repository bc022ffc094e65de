/**
 * A model endpoint for load tests, in a process of its own: `node upstream.ts <tokens> <ms between tokens>`. It prints its port, and
 * answers every chat request with a stream whose first piece tells when the request came and when the answer began.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

const [tokens = 200, pauseMs = 0] = process.argv.slice(2).map(Number);
const now = () => performance.timeOrigin + performance.now();
const event = (delta: object, finish: string | null = null) =>
  `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: 'bench', choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
const piece = event({ content: ' word' });
const usage = { prompt_tokens: 20, completion_tokens: tokens, total_tokens: tokens + 20 };
const end = `${event({}, 'stop')}data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: 'bench', choices: [], usage })}\n\ndata: [DONE]\n\n`;

const server = createServer((request, response) => {
  const came = now();
  request.resume().on('end', () => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(event({ role: 'assistant', content: `@${came},${now()}@` }));
    let sent = 1;
    const step = () => {
      // Several in one write only when the clock is behind, as a busy endpoint would do it.
      response.write(piece);
      sent += 1;
      if (sent < tokens) return pauseMs > 0 ? void setTimeout(step, pauseMs) : void setImmediate(step);
      response.end(end);
    };
    if (pauseMs > 0) setTimeout(step, pauseMs);
    else setImmediate(step);
  });
});
server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port));
process.on('disconnect', () => process.exit());
