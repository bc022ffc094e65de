import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { io, type Socket } from 'socket.io-client';
import type { Authenticator } from '../../../core/auth.ts';
import { createLogger } from '../../../core/log.ts';
import type { Principal } from '../../../core/principal.ts';
import { defineRunKind, type RunKind } from '../../../core/run-kind.ts';
import { createLiveServer } from '../../../plugins/live/server.ts';
import { createRuns } from '../../../runtime/runs/index.ts';
import { openTestDatabase } from '../../support/database.ts';

/** The arguments of the next event of a client socket. */
const occurred = (socket: Socket, name: 'connect' | 'connect_error' | 'disconnect') =>
  new Promise<unknown[]>((resolve) => socket.once(name, (...args: unknown[]) => resolve(args)));

interface Event {
  run_id: string;
  seq: number;
  type: string;
  data: { n?: number };
}

const principal = (name: string): Principal => ({
  kind: 'user',
  accountId: name,
  tenantId: `tenant-${name}`,
  roles: ['user'],
});
const revoked = new Set<string>();
const authenticator: Authenticator = {
  check: async (token) =>
    token === undefined || token === 'bad' || revoked.has(token)
      ? { kind: 'invalid', audience: [], jwt: false }
      : { kind: 'jwt', audience: ['lowcode'], identity: { principal: principal(token), blocked: token === 'blocked' } },
  inTenant: async (identity, tenantId) => ({ ...identity.principal, tenantId }),
};

/** Counts to `input.count`; from `input.pause` on each number waits for the gate. */
async function start(t: TestContext, options: { subscriptions?: number; stalledMs?: number; recheckMs?: number } = {}) {
  const gate = Promise.withResolvers<void>();
  const counter: RunKind = defineRunKind<{ count: number; pause?: number; pad?: number }, number>({
    kind: 'counter',
    async execute({ input, emit }) {
      for (let n = 0; n < input.count; n++) {
        if (n === input.pause) await gate.promise;
        await emit('number', { n, ...(input.pad && { pad: 'x'.repeat(input.pad) }) });
      }
      return input.count;
    },
  }) as RunKind;
  const database = await openTestDatabase(t);
  const log = createLogger('silent');
  const runs = createRuns({ database, executor: { run: async () => undefined }, kinds: [counter], log });
  await database.ready();
  await runs.recover();
  const server = createServer();
  const live = createLiveServer({
    runs,
    authenticator,
    log,
    path: '/socket.io',
    origins: [],
    subscriptions: 100,
    stalledMs: 30_000,
    recheckMs: 30_000,
    ...options,
  });
  live.attach(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(async () => {
    await live.close();
    await runs.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const connect = (token: string) => {
    const socket = io(url, { auth: { token }, transports: ['websocket'], reconnection: false, forceNew: true });
    t.after(() => void socket.close());
    return socket;
  };
  return { runs, gate, connect, url };
}

const follow = (socket: Socket, runId: string, from = 0) => {
  const events: Event[] = [];
  const ended = Promise.withResolvers<{ run_id: string; status: string; next: number }>();
  socket.on('event', (event: Event) => events.push(event));
  socket.on('end', ended.resolve);
  const answer = socket.timeout(10_000).emitWithAck('subscribe', { run_id: runId, from });
  return { events, ended: ended.promise, answer };
};

test('a run is followed from any offset to its end, before and after it has ended', async (t) => {
  const { runs, gate, connect } = await start(t);
  const run = await runs.start(principal('ann'), 'counter', { count: 20, pause: 10 });
  const live = follow(connect('ann'), run.id);
  assert.equal((await live.answer).ok, true);
  gate.resolve();
  const end = await live.ended;
  assert.deepEqual([end.status, end.next], ['succeeded', live.events.length]);
  assert.deepEqual(
    live.events.map(({ seq }) => seq),
    live.events.map((_, at) => at),
  );
  assert.deepEqual(
    live.events.filter(({ type }) => type === 'number').map(({ data }) => data.n),
    Array.from({ length: 20 }, (_, n) => n),
  );

  const late = follow(connect('ann'), run.id, 5);
  assert.deepEqual((await late.ended).next, end.next);
  assert.deepEqual(late.events, live.events.slice(5));
  const over = follow(connect('ann'), run.id, end.next);
  assert.equal((await over.ended).status, 'succeeded');
  assert.deepEqual(over.events, []);
});

test('a client that loses its connection again and again gets every event once by subscribing from the next number', async (t) => {
  const { runs, gate, connect } = await start(t);
  const run = await runs.start(principal('ann'), 'counter', { count: 400, pause: 1 });
  gate.resolve();
  const seen: Event[] = [];
  for (let round = 0; ; round++) {
    const socket = connect('ann');
    const { events, ended } = follow(socket, run.id, seen.length);
    const wanted = 5 + ((round * 37) % 60);
    const enough = new Promise<undefined>((resolve) => {
      socket.on('event', () => events.length >= wanted && resolve(undefined));
    });
    const end = await Promise.race([ended, enough]);
    socket.io.engine.close();
    seen.push(...events);
    if (end !== undefined) break;
  }
  assert.deepEqual(
    seen.map(({ seq }) => seq),
    seen.map((_, at) => at),
  );
  assert.equal(seen.filter(({ type }) => type === 'number').length, 400);
});

test('bad tokens cannot connect; foreign, unknown and wrong subscriptions are refused by code', async (t) => {
  const { runs, gate, connect } = await start(t, { subscriptions: 1 });
  gate.resolve();
  for (const [token, code] of [
    ['bad', 'UNAUTHENTICATED'],
    ['blocked', 'ACCOUNT_BLOCKED'],
  ] as const) {
    const [error] = (await occurred(connect(token), 'connect_error')) as [Error & { data: { code: string } }];
    assert.equal(error.data.code, code);
  }
  const run = await runs.start(principal('ann'), 'counter', { count: 1 });
  const bob = connect('bob');
  const refused = async (request: unknown) =>
    (await bob.timeout(10_000).emitWithAck('subscribe', request)) as { ok: boolean; code: string };
  assert.deepEqual((await refused({ run_id: run.id })).code, 'RUN_NOT_FOUND');
  assert.deepEqual((await refused({ run_id: 'nonsense' })).code, 'RUN_NOT_FOUND');
  for (const request of [undefined, null, 'x', 5, {}, { run_id: 5 }, { run_id: '' }, { run_id: 'x'.repeat(1000) }]) {
    assert.deepEqual((await refused(request)).code, 'RUN_ID_REQUIRED', JSON.stringify(request));
  }
  for (const from of [-1, 1.5, 'x', Number.MAX_VALUE])
    assert.deepEqual((await refused({ run_id: run.id, from })).code, 'OFFSET_INVALID');
  const own = await runs.start(principal('bob'), 'counter', { count: 2, pause: 1 });
  await runs.ended(principal('bob'), own.id);
});

test('more runs than a connection may follow are refused, and unsubscribing makes room', async (t) => {
  const { runs, connect } = await start(t, { subscriptions: 1 });
  const [one, two] = await Promise.all(
    [1, 2].map(() => runs.start(principal('ann'), 'counter', { count: 2, pause: 1 })),
  );
  assert.ok(one && two);
  const socket = connect('ann');
  const subscribe = (runId: string) => socket.timeout(10_000).emitWithAck('subscribe', { run_id: runId });
  assert.equal((await subscribe(one.id)).ok, true);
  assert.equal((await subscribe(two.id)).code, 'TOO_MANY_SUBSCRIPTIONS');
  await socket.timeout(10_000).emitWithAck('unsubscribe', { run_id: one.id });
  assert.equal((await subscribe(two.id)).ok, true);
});

test('a client that does not read is disconnected, and the run goes on', async (t) => {
  const { runs, connect } = await start(t, { stalledMs: 300 });
  const socket = connect('ann');
  await occurred(socket, 'connect');
  const run = await runs.start(principal('ann'), 'counter', { count: 250, pad: 100_000 });
  socket.emit('subscribe', { run_id: run.id });
  const disconnected = occurred(socket, 'disconnect');
  // The transport stops reading: what the server sends piles up in the system's buffers, then in its own.
  const transport = socket.io.engine.transport as unknown as {
    ws: { _socket?: { pause(): void; resume(): void }; pause?(): void };
  };
  transport.ws._socket?.pause();
  await runs.ended(principal('ann'), run.id);
  await new Promise((resolve) => setTimeout(resolve, 1000));
  transport.ws._socket?.resume();
  await disconnected;
});

test('a connection does not outlive its token', async (t) => {
  const { runs, gate, connect } = await start(t, { recheckMs: 20 });
  const run = await runs.start(principal('eve'), 'counter', { count: 2, pause: 1 });
  const socket = connect('eve');
  const { answer } = follow(socket, run.id);
  assert.equal((await answer).ok, true);
  const ended = occurred(socket, 'disconnect');
  revoked.add('eve');
  assert.deepEqual((await ended)[0], 'io server disconnect');
  gate.resolve();
});
