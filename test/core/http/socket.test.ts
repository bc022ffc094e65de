import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { WebSocket } from 'ws';
import { defineSocket, socketRefusal } from '../../../core/http/socket.ts';
import { serveRoutes } from '../../support/http.ts';

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
