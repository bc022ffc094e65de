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
  const options = { transports: ['websocket'], reconnection: false, forceNew: true, timeout: 120_000 };
  const socket = io(url, { auth: { token }, ...options });
  let left = most;
  const done = new Promise<void>((resolve, reject) => {
    socket.on('event', ({ seq, type, data }: Seen) => {
      if (left-- > 0) seen.push({ seq, type, data });
      if (left <= 0) resolve();
    });
    socket.on('end', () => resolve());
    socket.on('connect_error', reject);
    socket.on('disconnect', (reason) => reject(new Error(`disconnected: ${reason}`)));
  });
  const connected = new Promise<void>((resolve) => socket.once('connect', () => resolve()));
  await Promise.race([connected, done]);
  await socket.emitWithAck('subscribe', { run_id: id, from: (seen.at(-1)?.seq ?? -1) + 1 });
  await done;
  socket.close();
}

/** Polls the log lines once over HTTP, as a program does that keeps no connection. */
async function poll(id: string, seen: Line[], most: number): Promise<void> {
  const { body } = await api('GET', `/execution-logs/executions/${id}?skip=${seen.length}&limit=${most}`);
  assert.equal(body.skip, seen.length);
  seen.push(...body.logs);
  await new Promise((next) => setImmediate(next));
}

interface Line {
  id: string;
  node_id: string | null;
  message: string;
}

/** The states that one raw WebSocket connection shows, given up after `most` messages. */
async function rawSocket(id: string, seen: State[], most: number): Promise<boolean> {
  const { socket, messages, closed } = connect(`${id}?token=${token}`);
  let left = most;
  socket.on('message', () => {
    left -= 1;
    if (left <= 0) socket.terminate();
  });
  const code = await closed;
  for (const { data } of messages.slice(0, most)) {
    if (data) seen.push([data.status, data.progress, data.current_node]);
  }
  // The end may have come in the same moment as the message after which it was given up.
  return code === 1000 && messages.length <= most;
}

type State = [status: string, progress: number, node: string | null];

async function followed(id: string, connect: (id: string, seen: Seen[], most: number) => Promise<void>) {
  const seen: Seen[] = [];
  let connections = 0;
  while (seen.at(-1)?.type !== 'execution_finished') {
    await connect(id, seen, 1 + random(30));
    connections += 1;
  }
  return { seen, connections };
}

test('event stream, socket.io, raw WebSocket and polling, cut off and resumed at random, give the same sequence', async () => {
  const id = await begin();
  const lines: Line[] = [];
  const polled = (async () => {
    let polls = 0;
    for (; lines.at(-1)?.message !== '工作流执行完成'; polls += 1) await poll(id, lines, 1 + random(30));
    return polls;
  })();
  const states: State[] = [];
  const watched = (async () => {
    let connections = 1;
    while (!(await rawSocket(id, states, 1 + random(3)))) connections += 1;
    return connections;
  })();
  const ways = Promise.all([followed(id, sse), followed(id, socketIo)]);
  for await (const { type } of server.runs.subscribe(await owner(id), id, 0)) if (type === 'node_waiting') break;
  while ((await api('GET', `/executions/${id}/status`)).body.current_node !== 'h') await new Promise(setImmediate);
  assert.equal((await api('POST', `/executions/${id}/nodes/h/approve`, { approved: true })).status, 200);
  const [first, second] = await ways;
  assert.deepEqual(
    first.seen.map(({ seq }) => seq),
    first.seen.map((_, at) => at),
    'no gap, nothing twice',
  );
  assert.deepEqual(second.seen, first.seen);
  for (const connections of [first.connections, second.connections, await polled, await watched]) {
    assert.ok(connections > 1, `${connections} connections`);
  }
  // Log lines are made of these events, each with an id of its own.
  const told = first.seen.filter(({ type }) => type !== 'status' && type !== 'run_started');
  assert.deepEqual(
    lines.map((line) => [Number.parseInt(line.id.slice(-12), 16), line.node_id]),
    told.map(({ seq, data }) => [seq, (data as { node_id?: string }).node_id ?? null]),
  );
  // Of the states a connection that was down has missed some; what it saw is in their order, and the end is among it.
  const all: State[] = first.seen.flatMap(({ type, data }): State[] => {
    const { progress, current_node: node } = data as { progress: number; current_node: string | null };
    return type === 'status'
      ? [['running', progress, node]]
      : type === 'execution_started'
        ? [['running', 0, null]]
        : [];
  });
  const known = [['pending', 0, null], ['running', 0, null], ...all, ['completed', 100, null]].map(String);
  let at = 0;
  for (const state of states.map(String)) {
    const found = known.indexOf(state, at);
    assert.ok(found >= at, `${state} after ${known[at]}`);
    at = found;
  }
  assert.equal(String(states.at(-1)), 'completed,100,');
  assert.equal(first.seen.filter(({ type }) => type === 'node_finished').length, 2 + 2 * ITEMS + 2);
  const late = await followed(id, sse);
  assert.deepEqual(late.seen, first.seen, 'also when the execution is long over');
  const none: Seen[] = [...first.seen];
  await sse(id, none, 10);
  assert.equal(none.length, first.seen.length, 'a client that has seen all gets an empty stream that ends');
});

const owner = async (id: string) => {
  const run = await server.runs.get({ kind: 'user', accountId: 'x', tenantId: 'nobody', roles: ['admin'] }, id, {
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

test('a thousand followers of one execution over all transports get the same', async () => {
  const id = await begin();
  const digest = (seen: Seen[]) => seen.map(({ seq, type }) => `${seq} ${type}`).join();
  const through = async (way: typeof sse): Promise<string> => {
    const seen: Seen[] = [];
    await way(id, seen, Number.POSITIVE_INFINITY);
    return digest(seen);
  };
  const ends = async (): Promise<string> => {
    const states: State[] = [];
    assert.ok(await rawSocket(id, states, Number.POSITIVE_INFINITY));
    return String(states.at(-1));
  };
  const followers = [
    ...Array.from({ length: 500 }, () => through(sse)),
    ...Array.from({ length: 250 }, () => through(socketIo)),
    ...Array.from({ length: 250 }, ends),
  ];
  const all = Promise.all(followers);
  while ((await api('GET', `/executions/${id}/status`)).body.current_node !== 'h') {
    await new Promise((next) => setTimeout(next, 20));
  }
  await api('POST', `/executions/${id}/nodes/h/approve`, { approved: true });
  const got = await all;
  assert.equal(new Set(got.slice(0, 750)).size, 1);
  assert.match(got[0] ?? '', /execution_finished$/);
  assert.deepEqual([...new Set(got.slice(750))], ['completed,100,']);
});

test('a thousand followers in this process get the same events; one that does not read costs no memory', async () => {
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
