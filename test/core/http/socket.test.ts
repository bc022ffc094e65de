import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { WebSocket } from 'ws';
import { defineSocket, socketRefusal } from '../../../core/http/socket.ts';
import { revoked, serveRoutes } from '../../support/http.ts';

const echo = defineSocket({
  contract: 'lowcode',
  path: '/ws/echo/:name',
  async handle({ params, query, language, signal, caller, send, onMessage, close }) {
    try {
      caller();
    } catch (error) {
      const refusal = socketRefusal(error);
      if (refusal === undefined) throw error;
      send({ type: 'error', message: refusal.text[language] });
      return close(refusal.code);
    }
    if (params.name === 'broken') throw new Error('broken');
    send({ name: params.name, more: query.get('more') });
    if (params.name === 'short') return;
    onMessage((message) => send({ echo: message ?? null }));
    await once(signal, 'abort');
  },
});

const open = (url: string, path: string) => {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/api/v1${path}`);
  const messages: unknown[] = [];
  socket.on('message', (data) => messages.push(JSON.parse(String(data))));
  return { socket, messages, closed: once(socket, 'close').then(([code]) => code as number) };
};

test('sockets: token, parameters, messages and close codes', async (t) => {
  const { url } = await serveRoutes(t, [], {}, [echo]);
  const short = open(url, '/ws/echo/short%2Fname?token=user&more=1');
  await once(short.socket, 'message');
  assert.deepEqual(short.messages, [{ name: 'short/name', more: '1' }]);
  short.socket.close();
  const done = open(url, '/ws/echo/short?token=user');
  assert.equal(await done.closed, 1000);
  const stranger = open(url, '/ws/echo/x');
  assert.equal(await stranger.closed, 4401);
  assert.deepEqual(stranger.messages, [{ type: 'error', message: '未认证或登录已过期' }]);
  assert.equal(await open(url, '/ws/echo/x?token=blocked').closed, 4403);
  assert.equal(await open(url, '/ws/echo/broken?token=user').closed, 1011);

  const talk = open(url, '/ws/echo/talk?token=user');
  await once(talk.socket, 'open');
  talk.socket.send('{"type":"ping"}');
  talk.socket.send('no json');
  talk.socket.send(Buffer.from([1, 2, 3]));
  while (talk.messages.length < 4) await once(talk.socket, 'message');
  assert.deepEqual(talk.messages.slice(1), [{ echo: { type: 'ping' } }, { echo: null }, { echo: null }]);
  talk.socket.send('x'.repeat(100_000));
  assert.equal(await talk.closed, 1009);
});

test('sockets: an unknown path is refused, and open ones end with the server', async (t) => {
  const { url, http } = await serveRoutes(t, [], {}, [echo]);
  const wrong = new WebSocket(`${url.replace('http', 'ws')}/api/v1/ws/nowhere`);
  const [error] = await once(wrong, 'error');
  assert.match(String(error), /404/);
  const talk = open(url, '/ws/echo/talk?token=user');
  await once(talk.socket, 'message');
  await http.close(1000);
  assert.equal(await talk.closed, 1001);
});

/** Sends a request as it stands; everything that comes back until the other side closes or has been silent for a while. */
async function raw(url: string, request: string, silentMs = 5000): Promise<{ text: string; closed: boolean }> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  socket.write(request);
  let text = '';
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  const closed = await Promise.race([
    once(socket, 'close').then(() => true),
    new Promise<boolean>((resolve) => setTimeout(resolve, silentMs, false).unref()),
  ]);
  socket.destroy();
  return { text, closed };
}

const upgrade = (path: string) =>
  `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`;

test('sockets: a client that offers HTTP/2 is answered as any other', async (t) => {
  const { url } = await serveRoutes(t, [], {}, [echo]);
  const { text } = await raw(
    url,
    'GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n',
    500,
  );
  assert.match(text, /^HTTP\/1.1 200 OK/);
});

test('sockets: an upgrade that nobody serves does not stay open', async (t) => {
  const { url } = await serveRoutes(t, [], {}, [echo]);
  for (const path of ['/elsewhere', 'http://%%%']) {
    const { text, closed } = await raw(url, upgrade(path));
    assert.ok(closed, path);
    assert.match(text, /^HTTP\/1.1 404/);
  }
});

test('sockets: a client that resets its upgrade harms nobody', async (t) => {
  const { url } = await serveRoutes(t, [], {}, [echo]);
  for (const path of ['/elsewhere', '/api/v1/ws/nowhere', '/api/v1/ws/echo/x']) {
    const socket = connect(Number(new URL(url).port), '127.0.0.1').on('error', () => undefined);
    await once(socket, 'connect');
    socket.write(upgrade(path));
    await new Promise((resolve) => setTimeout(resolve, 50));
    socket.resetAndDestroy();
  }
  // An error of a socket that nobody listens to would end the process.
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal((await fetch(`${url}/healthz`)).status, 200);
});

test('sockets: a client that does not read is cut off at a bounded buffer', async (t) => {
  const over = Promise.withResolvers<number>();
  const pour = defineSocket({
    contract: 'lowcode',
    path: '/ws/pour',
    async handle({ signal, send }) {
      let count = 0;
      for (; !signal.aborted && count < 5000; count++) {
        send({ pad: 'x'.repeat(64 * 1024) });
        await new Promise((resolve) => setImmediate(resolve));
      }
      over.resolve(count);
    },
  });
  const { url } = await serveRoutes(t, [], {}, [pour]);
  const { socket } = open(url, '/ws/pour');
  await once(socket, 'open');
  socket.pause();
  const sent = await over.promise;
  assert.ok(sent < 500, `${sent} messages of 64 KiB were taken`);
  socket.terminate();
});

test('sockets: a connection does not outlive its token', async (t) => {
  const { url } = await serveRoutes(t, [], {}, [echo]);
  t.after(() => revoked.clear());
  const talk = open(url, '/ws/echo/talk?token=user:lowcode');
  await once(talk.socket, 'message');
  revoked.add('user:lowcode');
  // What is sent is the occasion to look; a look is good for a second.
  const asking = setInterval(() => talk.socket.send('{}'), 200);
  t.after(() => clearInterval(asking));
  assert.equal(await talk.closed, 4401);
  assert.deepEqual(talk.messages.at(-1), { type: 'error', message: '未认证或登录已过期' });
});
