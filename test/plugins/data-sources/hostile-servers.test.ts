import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { after, type TestContext, test } from 'node:test';
import { createAddressPolicy } from '../../../core/outbound/addresses.ts';
import { createOutbound } from '../../../core/outbound/outbound.ts';
import { createConnectors } from '../../../plugins/data-sources/connectors/index.ts';
import { createSqlGuard } from '../../../plugins/data-sources/sql/guard.ts';

// Servers that say they are databases, and are not.

const MIB = 1024 * 1024;
const guard = createSqlGuard({ functions: { mysql: [], postgresql: [] } });
const outbound = createOutbound({
  allow: [],
  maxResponseBytes: MIB,
  connectMs: 1000,
  firstByteMs: 1000,
  totalMs: 1000,
  maxRedirects: 0,
});
after(async () => {
  await guard.close();
  await outbound.close();
});

/** A server that writes without end what `next` gives, as fast as it is read. */
async function flooding(t: TestContext, first: Buffer, next: () => Buffer): Promise<{ port: number; sent(): number }> {
  const sockets = new Set<Socket>();
  let sent = 0;
  const server = createServer((socket) => {
    sockets.add(socket);
    const pour = () => {
      while (!socket.destroyed && socket.write(next()));
    };
    socket.on('drain', pour).on('error', () => undefined);
    socket.on('close', () => {
      sent += socket.bytesWritten;
    });
    socket.write(first);
    pour();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, sent: () => sent };
}

const chunk = Buffer.alloc(MIB, 0x41);
let sequence = 0;
const floods = {
  // One message of two gigabytes.
  postgresql: { first: Buffer.from([0x53, 0x7f, 0xff, 0xff, 0xff]), next: () => chunk },
  // Packets of the greatest length are parts of one that goes on.
  mysql: {
    first: Buffer.alloc(0),
    next: () => Buffer.concat([Buffer.from([0xff, 0xff, 0xff, sequence++ & 255]), Buffer.alloc(0xffffff, 0x41)]),
  },
} as const;

for (const type of ['mysql', 'postgresql'] as const) {
  test(`${type}: a greeting without end is cut off and not held in memory`, async (t) => {
    const { port, sent } = await flooding(t, floods[type].first, floods[type].next);
    const connectors = createConnectors(
      {
        limits: { rows: 10, bytes: MIB, connectMs: 60_000, queryMs: 60_000, connections: 2, idleMs: 1000 },
        guard,
        outbound,
        databaseAddresses: createAddressPolicy({ base: 'none', allow: ['127.0.0.1'] }),
        filesDir: '/nonexistent',
      },
      8,
    );
    t.after(() => connectors.close());
    const config = { host: '127.0.0.1', port, database: 'd', username: 'u', password: 'hidden' };
    const target = () => ({ id: 'one', tenantId: 't', type, config, revision: 1 });
    const started = performance.now();
    await assert.rejects(
      connectors.use('one', 1, target, (connector) => connector.test()),
      (error: Error & { code: string; details?: { reason?: string } }) => {
        assert.deepEqual([error.code, error.details?.reason], ['DATA_SOURCE_ERROR', 'answer'], error.message);
        assert.doesNotMatch(error.message, /hidden/);
        return true;
      },
    );
    assert.ok(performance.now() - started < 30_000, 'long before the time limit');
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.ok(sent() < 400 * MIB, `${Math.round(sent() / MIB)} MiB were taken`);
  });
}
