import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { loadModelsConfig } from '../../../config/models.ts';
import { createModelGateway } from '../../../runtime/models/index.ts';

/** An endpoint that answers as the test says, byte by byte, and counts its connections. */
async function endpoint(
  t: { after(dispose: () => void): void },
  answer: (response: ServerResponse, path: string) => void,
) {
  let connections = 0;
  const server = createServer(async (request: IncomingMessage, response) => {
    for await (const _ of request);
    answer(response, request.url ?? '');
  });
  server.on('connection', () => (connections += 1));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  const DEEPSEEK_BASE_URL = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  const env = { DEEPSEEK_API_KEY: 'key-of-the-test', DEEPSEEK_BASE_URL };
  const gateway = createModelGateway(loadModelsConfig('config/models.yaml', env));
  return {
    connections: () => connections,
    ask: (retry = { maxAttempts: 1 }) =>
      gateway.complete({ model: 'deepseek-v3', messages: [{ role: 'user', content: 'hello' }], retry }),
  };
}

const event = (delta: object, finish: string | null = null) =>
  `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
const END = `${event({}, 'stop')}data: [DONE]\n\n`;
const EVENTS = { 'content-type': 'text/event-stream' };

test('pieces may be cut anywhere, and lines may end in any way', async (t) => {
  const text = `\ufeff: comment\n\n${event({ content: '你好' })}${event({ content: [{ type: 'text', text: '，世界' }] })}${END}`;
  for (const all of [text, text.replaceAll('\n', '\r\n'), text.replaceAll('\n', '\r')]) {
    const { ask } = await endpoint(t, async (response) => {
      response.writeHead(200, EVENTS);
      const bytes = Buffer.from(all);
      for (let at = 0; at < bytes.length; at += 7) {
        response.write(bytes.subarray(at, at + 7));
        await new Promise((resolve) => setImmediate(resolve));
      }
      response.end();
    });
    assert.equal((await ask()).text, '你好，世界');
  }
});

test('a compressed answer is understood, a redirected request arrives', async (t) => {
  const { ask } = await endpoint(t, (response, path) => {
    if (!path.startsWith('/moved')) {
      response.writeHead(307, { location: '/moved/chat/completions' }).end();
      return;
    }
    response.writeHead(200, { ...EVENTS, 'content-encoding': 'gzip' });
    response.end(gzipSync(event({ content: 'small' }) + END));
  });
  assert.equal((await ask()).text, 'small');
});

test('a connection is used again, also when the server sends something behind the end', async (t) => {
  const { ask, connections } = await endpoint(t, (response) => {
    response.writeHead(200, EVENTS);
    response.write(event({ content: 'one' }) + END);
    setTimeout(() => response.end(': and a comment\n\n'), 20);
  });
  for (let call = 0; call < 3; call += 1) {
    assert.equal((await ask()).text, 'one');
    await new Promise((resolve) => setTimeout(resolve, 60));
  }
  assert.equal(connections(), 1);
});

test('an answer ends with its last event, though the server keeps the connection open', async (t) => {
  const closed = Promise.withResolvers<void>();
  const { ask } = await endpoint(t, (response) => {
    response.on('close', closed.resolve);
    response.writeHead(200, EVENTS);
    response.write(event({ content: 'done' }) + END);
  });
  assert.equal((await ask()).text, 'done');
  await closed.promise;
});

test('an endless line and an endless error are cut off', async (t) => {
  const block = 'x'.repeat(1 << 20);
  const pour = (response: ServerResponse) => {
    while (!response.destroyed && response.write(block));
    if (!response.destroyed) response.once('drain', () => pour(response));
  };
  const line = await endpoint(t, (response) => {
    response.writeHead(200, EVENTS);
    response.write('data: ');
    pour(response);
  });
  await assert.rejects(line.ask(), { code: 'MODEL_STREAM_BROKEN' });
  const error = await endpoint(t, (response) => {
    response.writeHead(500, { 'content-type': 'text/plain' });
    pour(response);
  });
  await assert.rejects(error.ask(), { code: 'MODEL_UNAVAILABLE' });
});
