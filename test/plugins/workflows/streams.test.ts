import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, test } from 'node:test';
import { createParser } from 'eventsource-parser';
import { io } from 'socket.io-client';
import { WebSocket } from 'ws';
import { startTestServer } from '../../support/app.ts';
import { graph } from './harness.ts';

// One run followed by every transport, each cut off and resumed at random: all of them see the same sequence.

const { call, url, server } = await startTestServer({ after: (dispose) => after(dispose as () => Promise<void>) });
await call('POST', '/auth/register', {
  body: { username: 'follower', email: 'f@example.com', password: 'password123' },
});
const login = new URLSearchParams({ username: 'follower', password: 'password123' });
const token: string = (await call('POST', '/auth/login', { body: login })).body.access_token;
const api = (method: string, path: string, body?: unknown) =>
  call(method, path, { token, ...(body !== undefined && { body }) });
const ITEMS = 40;

/** A loop with a pause in it now and then, so that there is something to follow. */
const slow = graph(
  [
    'start',
    ['l', 'loop', { items_path: 'items' }],
    ['t', 'template', { template: '第 {index} 项' }],
    ['d', 'delay', { seconds: '{item}' }],
    ['h', 'human'],
    'end',
  ],
  'start>l>t:body',
  't>d',
  'l>h:done',
  'h>end',
);

const { id: workflowId } = (await api('POST', '/workflows', { name: 'slow', ...slow })).body;
const begin = async (): Promise<string> => {
  const items = Array.from({ length: ITEMS }, (_, at) => (at % 4 === 0 ? 0.02 : 0));
  return (await api('POST', '/executions', { workflow_id: workflowId, input_data: { items } })).body.id;
};

interface Seen {
  seq: number;
  type: string;
  data: unknown;
}

const random = (() => {
  let state = Number(process.env.KOAGENT_TEST_SEED ?? Date.now() % 1_000_000);
  console.log(`# seed ${state}`);
  return (below: number) => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((state / 2_147_483_648) * below);
  };
})();

/** One connection of the event stream, given up after `most` events. */
async function sse(id: string, seen: Seen[], most: number): Promise<void> {
  const stop = new AbortController();
  const last = seen.at(-1)?.seq;
  const response = await fetch(`${url}/api/v1/executions/${id}/events`, {
    headers: { authorization: `Bearer ${token}`, ...(last !== undefined && { 'last-event-id': String(last) }) },
    signal: stop.signal,
  });
  assert.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8');
  let left = most;
  const parser = createParser({
    onEvent: ({ id: number, data }) => {
      if (left-- <= 0) return;
      const { seq, type, data: content } = JSON.parse(data);
      assert.equal(number, String(seq));
      seen.push({ seq, type, data: content });
    },
  });
  const decoder = new TextDecoder();
  try {
    for await (const chunk of response.body ?? []) {
      parser.feed(decoder.decode(chunk as Uint8Array, { stream: true }));
      if (left <= 0) stop.abort();
    }
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  }
}

/** One socket.io connection, given up after `most` events. */
async function socketIo(id: string, seen: Seen[], most: number): Promise<void> {
  const socket = io(url, { auth: { token }, transports: ['websocket'], reconnection: false, forceNew: true });
  let left = most;
  const done = new Promise<void>((resolve) => {
    socket.on('event', ({ seq, type, data }: Seen) => {
      if (left-- > 0) seen.push({ seq, type, data });
      if (left <= 0) resolve();
    });
    socket.on('end', () => resolve());
  });
  await new Promise<void>((resolve) => socket.once('connect', () => resolve()));
  await socket.emitWithAck('subscribe', { run_id: id, from: (seen.at(-1)?.seq ?? -1) + 1 });
  await done;
  socket.close();
}

/** Polls the log once, as a program does that reads the run through the service. */
async function poll(id: string, seen: Seen[], most: number): Promise<void> {
  const owner = await server.runs.get({ kind: 'user', accountId: 'x', tenantId, roles: ['admin'] }, id, {
    everyTenant: true,
  });
  const scope = { kind: 'user' as const, accountId: 'x', tenantId: owner?.tenantId ?? '', roles: [] };
  const events = await server.runs.events(scope, id, seen.length, most);
  seen.push(...events.map(({ seq, type, data }) => ({ seq, type, data })));
  await new Promise((next) => setImmediate(next));
}
const tenantId = 'nobody';

async function followed(id: string, connect: (id: string, seen: Seen[], most: number) => Promise<void>) {
  const seen: Seen[] = [];
  let connections = 0;
  while (seen.at(-1)?.type !== 'execution_finished') {
    await connect(id, seen, 1 + random(30));
    connections += 1;
  }
  return { seen, connections };
}

test('event stream, socket.io and polling, cut off and resumed at random, give the same sequence', async () => {
  const id = await begin();
  const ways = Promise.all([followed(id, sse), followed(id, socketIo), followed(id, poll)]);
  for await (const { type } of server.runs.subscribe(await owner(id), id, 0)) if (type === 'node_waiting') break;
  while ((await api('GET', `/executions/${id}/status`)).body.current_node !== 'h') await new Promise(setImmediate);
  assert.equal((await api('POST', `/executions/${id}/nodes/h/approve`, { approved: true })).status, 200);
  const [first, second, third] = await ways;
  assert.deepEqual(
    first.seen.map(({ seq }) => seq),
    first.seen.map((_, at) => at),
    'no gap, nothing twice',
  );
  assert.deepEqual(second.seen, first.seen);
  assert.deepEqual(third.seen, first.seen);
  for (const { connections } of [first, second, third]) assert.ok(connections > 3, `${connections} connections`);
  assert.equal(first.seen.filter(({ type }) => type === 'node_finished').length, 2 + 2 * ITEMS + 2);
  const late = await followed(id, sse);
  assert.deepEqual(late.seen, first.seen, 'also when the execution is long over');
  const none: Seen[] = [...first.seen];
  await sse(id, none, 10);
  assert.equal(none.length, first.seen.length, 'a client that has seen all gets an empty stream that ends');
});

const owner = async (id: string) => {
  const run = await server.runs.get({ kind: 'user', accountId: 'x', tenantId, roles: ['admin'] }, id, {
    everyTenant: true,
  });
  return { kind: 'user' as const, accountId: 'x', tenantId: run?.tenantId ?? '', roles: [] };
};

interface Message {
  type: string;
  data?: { status: string; progress: number; current_node: string | null };
  message?: string;
  status?: string;
  result?: unknown;
}

function connect(path: string) {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/api/v1/ws/executions/${path}`);
  const messages: Message[] = [];
  const waiting: (() => void)[] = [];
  socket.on('message', (data) => {
    messages.push(JSON.parse(String(data)));
    for (const wake of waiting.splice(0)) wake();
  });
  const closed = once(socket, 'close').then(([code]) => code as number);
  const until = async (fits: (message: Message) => boolean): Promise<Message> => {
    for (;;) {
      const found = messages.find(fits);
      if (found) return found;
      await new Promise<void>((wake) => waiting.push(wake));
    }
  };
  return { socket, messages, closed, until };
}

test('raw WebSocket: state at once, every change, pong, the end with result and close 1000', async () => {
  const id = await begin();
  const one = connect(`${id}?token=${token}`);
  const first = await one.until(() => true);
  assert.equal(first.type, 'status');
  assert.deepEqual(Object.keys(first.data ?? {}).slice(0, 3), ['status', 'progress', 'current_node']);
  assert.equal(first.status, first.data?.status, 'the fields are flat as well');
  one.socket.send('{"type":"ping"}');
  await one.until(({ type }) => type === 'pong');
  one.socket.send('{"type":"dance"}');
  one.socket.send('no json');
  await one.until(({ type }) => type === 'error');
  await one.until(({ data }) => data?.current_node === 'h');
  // A second one that comes late begins with the present state.
  const two = connect(`${id}?token=${token}`);
  assert.equal((await two.until(() => true)).data?.current_node, 'h');
  await api('POST', `/executions/${id}/nodes/h/approve`, { approved: true, comment: 'ok' });
  assert.deepEqual(await Promise.all([one.closed, two.closed]), [1000, 1000]);
  for (const { messages } of [one, two]) {
    const states = messages.filter(({ type }) => type === 'status');
    assert.equal(states.at(-1)?.data?.status, 'completed');
    assert.equal(states.at(-1)?.data?.progress, 100);
    assert.equal((states.at(-1)?.result as { comment: string } | undefined)?.comment, 'ok');
    const progress = states.map(({ data }) => data?.progress ?? -1);
    assert.deepEqual(
      progress,
      progress.toSorted((a, b) => a - b),
      'progress never falls',
    );
    for (const [at, { data }] of states.entries()) assert.notDeepEqual(data, states[at - 1]?.data, 'only changes');
  }
  const over = connect(`${id}?token=${token}`);
  assert.equal(await over.closed, 1000);
  assert.deepEqual(
    over.messages.map(({ data }) => data?.status),
    ['completed'],
    'final state, then close',
  );
});

test('raw WebSocket: no token 4401, unknown or foreign 4404, both with a message', async () => {
  const id = await begin();
  await call('POST', '/auth/register', {
    body: { username: 'stranger', email: 's@example.com', password: 'password123' },
  });
  const other = new URLSearchParams({ username: 'stranger', password: 'password123' });
  const foreign = (await call('POST', '/auth/login', { body: other })).body.access_token;
  const cases: [string, number][] = [
    [id, 4401],
    [`${id}?token=garbage`, 4401],
    [`${id}?token=${foreign}`, 4404],
    [`00000000-0000-4000-8000-000000000000?token=${token}`, 4404],
    [`nonsense?token=${token}`, 4404],
  ];
  for (const [path, code] of cases) {
    const { closed, messages } = connect(path);
    assert.equal(await closed, code, path);
    assert.equal(messages[0]?.type, 'error');
    assert.ok((messages[0]?.message ?? '').length > 0);
  }
  await api('POST', `/executions/${id}/cancel`);
});

test('a thousand followers of one execution get the same events; one that does not read costs no memory', async () => {
  const id = await begin();
  const scope = await owner(id);
  const before = process.memoryUsage().heapUsed;
  // Never reads: only its subscription exists.
  const idle = server.runs.subscribe(scope, id, 0)[Symbol.asyncIterator]();
  await idle.next();
  const followers = Array.from({ length: 1000 }, async () => {
    let count = 0;
    let sum = 0;
    for await (const { seq, type } of server.runs.subscribe(scope, id, 0)) {
      count += 1;
      sum += seq;
      if (type === 'node_waiting' && count > ITEMS) break;
    }
    return `${count} ${sum}`;
  });
  const seen = new Set(await Promise.all(followers));
  assert.equal(seen.size, 1);
  const grown = (process.memoryUsage().heapUsed - before) / 2 ** 20;
  assert.ok(grown < 100, `${grown.toFixed(0)} MiB more`);
  await api('POST', `/executions/${id}/cancel`);
  await idle.return?.(undefined);
});
