import assert from 'node:assert/strict';
import { createServer, type RequestListener } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { Value } from 'typebox/value';
import { createAddressPolicy } from '../../../core/outbound/addresses.ts';
import { createOutbound, type OutboundOptions, outboundSchema } from '../../../core/outbound/outbound.ts';

const options = (given: Partial<OutboundOptions> = {}) =>
  Value.Default(outboundSchema, { ...given }) as OutboundOptions;
const code = (wanted: string) => ({ code: wanted });

async function listen(t: TestContext, server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => sockets.add(socket));
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

async function serve(t: TestContext, handler: RequestListener) {
  return `http://127.0.0.1:${await listen(t, createServer(handler))}`;
}

function client(
  t: TestContext,
  given: Partial<OutboundOptions> = {},
  extra: Parameters<typeof createOutbound>[1] = {},
) {
  const outbound = createOutbound(options(given), extra);
  t.after(() => outbound.close());
  return outbound;
}

/** Counts connections to a port of this machine: a refusal must come before the first packet. */
async function trap(t: TestContext) {
  let connections = 0;
  const port = await listen(
    t,
    createTcpServer((socket) => {
      connections += 1;
      socket.destroy();
    }),
  );
  return { port, seen: () => connections };
}

test('addresses: only the open internet is allowed', () => {
  const policy = createAddressPolicy();
  const refused =
    `127.0.0.1 127.255.255.254 0.0.0.0 0.1.2.3 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1 100.100.100.200
    169.254.169.254 169.254.0.1 192.0.0.192 192.0.2.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1
    255.255.255.255 168.63.129.16 :: ::1 ::127.0.0.1 ::808:808 ::ffff:127.0.0.1 ::ffff:7f00:1 ::ffff:169.254.169.254 ::ffff:0:127.0.0.1
    64:ff9b::7f00:1 64:ff9b::808:808 64:ff9b:1::1 2002:7f00:1:: 2002:808:808:: 2001::1 fe80::1 fe80::1%eth0 fec0::1 fc00::1 fd00:ec2::254
    ff02::1 2001:db8::1 100::1 3fff::1 5f00::1 4000::1 not-an-address 2130706433 0x7f.1`.split(/\s+/);
  for (const address of refused) assert.equal(policy.allows(address), false, address);
  for (const address of ['8.8.8.8', '1.1.1.1', '2606:4700:4700::1111', '::ffff:8.8.8.8', '172.32.0.1', '100.128.0.1'])
    assert.equal(policy.allows(address), true, address);
});

test('addresses: ranges of the operator open what they name and nothing else', () => {
  const policy = createAddressPolicy({ allow: ['10.1.0.0/16', '::1', 'fd00::/8', '192.168.0.9'] });
  for (const address of ['10.1.2.3', '::1', 'fd12::1', '192.168.0.9', '::ffff:10.1.2.3', '8.8.8.8'])
    assert.equal(policy.allows(address), true, address);
  for (const address of ['10.2.0.1', '127.0.0.1', '192.168.0.8', 'fc00::1'])
    assert.equal(policy.allows(address), false, address);
  const none = createAddressPolicy({ base: 'none', allow: ['10.0.0.0/8'] });
  assert.deepEqual([none.allows('8.8.8.8'), none.allows('10.0.0.1')], [false, true]);
  assert.equal(createAddressPolicy({ base: 'any' }).allows('127.0.0.1'), true);
  for (const range of ['10.0.0.0/33', 'localhost', '', '10.0.0/8x'])
    assert.throws(() => createAddressPolicy({ allow: [range] }), code('ADDRESS_RANGE_INVALID'), range);
});

test('request: every way of writing an internal host is refused before a packet is sent', async (t) => {
  const { port, seen } = await trap(t);
  const outbound = client(t);
  const hosts = `127.0.0.1 127.1 0x7f.1 0x7f000001 2130706433 017700000001 0177.0.0.1 127.0.0.1. 0 0.0.0.0 localhost LOCALHOST
    [::1] [::] [0:0:0:0:0:0:0:1] [::ffff:127.0.0.1] [::ffff:7f00:1] [64:ff9b::7f00:1] [2002:7f00:1::] [::127.0.0.1] １２７.0.0.1 127。0。0。1`;
  for (const host of hosts.split(/\s+/)) {
    const attempt = outbound.request(`http://${host}:${port}/`);
    await assert.rejects(attempt, (error: { code: string }) => {
      assert.match(error.code, /^OUTBOUND_(REFUSED|FAILED)$/, host);
      return true;
    });
  }
  assert.equal(seen(), 0);
  await assert.rejects(outbound.request(`http://127.0.0.1:${port}/`), code('OUTBOUND_REFUSED'));
  await assert.rejects(outbound.request(`http://user:pw@[::ffff:127.0.0.1]:${port}/`), code('OUTBOUND_REFUSED'));
  await assert.rejects(outbound.request('http://169.254.169.254/latest/meta-data/'), code('OUTBOUND_REFUSED'));
});

test('request: other schemes and headers of the connection are refused', async (t) => {
  const outbound = client(t, { allow: ['127.0.0.0/8'] });
  for (const url of [
    'file:///etc/passwd',
    'ftp://example.com/',
    'gopher://127.0.0.1:1/',
    'data:,x',
    'no address',
    '//x',
  ])
    await assert.rejects(outbound.request(url), code('OUTBOUND_INVALID'), url);
  for (const header of ['Host', 'Transfer-Encoding', 'content-length', 'Proxy-Authorization', 'a b', 'Upgrade'])
    await assert.rejects(
      outbound.request('http://127.0.0.1:9/', { headers: { [header]: 'x' } }),
      code('OUTBOUND_INVALID'),
      header,
    );
  await assert.rejects(
    outbound.request('http://127.0.0.1:9/', { headers: { a: 'x\r\nhost: y' } }),
    code('OUTBOUND_INVALID'),
  );
});

test('request: a name that changes its mind is judged by the address that is connected to', async (t) => {
  const { port, seen } = await trap(t);
  let calls = 0;
  const resolve = ((_name: string, _options: unknown, callback: (...result: unknown[]) => void) => {
    calls += 1;
    // The first answer is harmless, as for a check ahead of the connection; the second is what the attacker wants.
    callback(null, [{ address: calls === 1 ? '8.8.8.8' : '127.0.0.1', family: 4 }]);
  }) as never;
  const addresses = createAddressPolicy({ resolve });
  await new Promise<void>((done) => addresses.lookup('rebind.example', {}, () => done()));
  const outbound = client(t, {}, { addresses });
  await assert.rejects(outbound.request(`http://rebind.example:${port}/`), code('OUTBOUND_REFUSED'));
  const mixed = createAddressPolicy({
    resolve: ((_name: string, _options: unknown, callback: (...result: unknown[]) => void) =>
      callback(null, [
        { address: '8.8.8.8', family: 4 },
        { address: '::ffff:127.0.0.1', family: 6 },
      ])) as never,
  });
  await assert.rejects(
    client(t, {}, { addresses: mixed }).request(`http://mixed.example:${port}/`),
    code('OUTBOUND_REFUSED'),
  );
  assert.deepEqual([calls, seen()], [2, 0]);
});

test('request: a redirect into the network is refused, also when the first host is allowed', async (t) => {
  const { port, seen } = await trap(t);
  for (const target of [
    `http://127.0.0.2:${port}/`,
    `//127.0.0.2:${port}`,
    'http://169.254.169.254/',
    `http://[::1]:${port}/`,
  ]) {
    const url = await serve(t, (_request, response) => response.writeHead(302, { location: target }).end());
    await assert.rejects(client(t, { allow: ['127.0.0.1'] }).request(url), code('OUTBOUND_REFUSED'), target);
  }
  const elsewhere = await serve(t, (_request, response) =>
    response.writeHead(302, { location: 'file:///etc/passwd' }).end(),
  );
  await assert.rejects(client(t, { allow: ['127.0.0.1'] }).request(elsewhere), code('OUTBOUND_INVALID'));
  assert.equal(seen(), 0);
});

test('request: allowed targets answer; redirects are followed, credentials stay with their origin', async (t) => {
  const requests: { url: string | undefined; headers: Record<string, unknown>; method: string | undefined }[] = [];
  const note: RequestListener = ({ url, headers, method }) => requests.push({ url, headers, method });
  const other = await serve(t, (request, response) => {
    note(request, response);
    response.end('other');
  });
  const url = await serve(t, (request, response) => {
    note(request, response);
    if (request.url === '/same') response.writeHead(301, { location: '/end' }).end('moved');
    else if (request.url === '/away') response.writeHead(307, { location: `${other.replace('//', '//a:b@')}/x` }).end();
    else if (request.url === '/see') response.writeHead(303, { location: '/end' }).end();
    else response.writeHead(200, { 'set-cookie': ['a=1', 'b=2'] }).end('end');
  });
  const outbound = client(t, { allow: ['127.0.0.1/32'] });
  const headers = { 'X-Api-Key': 'k', Cookie: 'c=1', accept: 'application/json' };
  const withPassword = url.replace('//', '//me:p%40ss@');

  const same = await outbound.request(`${withPassword}/same`, { headers });
  assert.deepEqual([same.status, Buffer.from(same.body).toString(), same.url], [200, 'end', `${url}/end`]);
  assert.equal(requests[1]?.headers.authorization, `Basic ${Buffer.from('me:p@ss').toString('base64')}`);
  assert.equal(requests[1]?.headers['x-api-key'], 'k');
  assert.equal(same.headers['set-cookie'], 'a=1, b=2');

  requests.length = 0;
  const away = await outbound.request(`${withPassword}/away`, { headers });
  assert.equal(Buffer.from(away.body).toString(), 'other');
  const { authorization, cookie, 'x-api-key': key, accept } = requests[1]?.headers ?? {};
  assert.deepEqual([authorization, cookie, key, accept], [undefined, undefined, undefined, 'application/json']);

  requests.length = 0;
  await outbound.request(`${url}/see`, { method: 'POST', body: 'x', headers: { 'content-type': 'text/plain' } });
  assert.deepEqual([requests[1]?.method, requests[1]?.headers['content-type']], ['GET', undefined]);
  await assert.rejects(outbound.request(`${url}/away`, { method: 'POST', body: 'secret' }), code('OUTBOUND_INVALID'));
  const loop = await serve(t, (_request, response) => response.writeHead(302, { location: '/' }).end());
  await assert.rejects(outbound.request(loop), code('OUTBOUND_REDIRECTS'));
});

test('request: the limit counts what comes out of compression, and endless bodies are cut', async (t) => {
  const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024));
  const brotli = brotliCompressSync(Buffer.from('{"ok":1}'));
  let open = 0;
  const url = await serve(t, (request, response) => {
    if (request.url === '/bomb') response.writeHead(200, { 'content-encoding': 'gzip' }).end(bomb);
    else if (request.url === '/br') response.writeHead(200, { 'content-encoding': 'br' }).end(brotli);
    else if (request.url === '/odd') response.writeHead(200, { 'content-encoding': 'lzma' }).end('x');
    else if (request.url === '/broken') response.writeHead(200, { 'content-encoding': 'gzip' }).end('not gzip');
    else if (request.url === '/told') response.writeHead(200, { 'content-length': String(1e12) }).write('x');
    else {
      open += 1;
      response.on('close', () => {
        open -= 1;
        response.emit('gone');
      });
      const more = () => {
        while (!response.destroyed && response.write(Buffer.alloc(65_536)));
      };
      response.on('drain', more);
      more();
    }
  });
  const outbound = client(t, { allow: ['127.0.0.1'], maxResponseBytes: 1024 * 1024 });
  for (const path of ['/bomb', '/endless', '/told'])
    await assert.rejects(outbound.request(url + path), code('OUTBOUND_TOO_LARGE'), path);
  assert.equal(Buffer.from((await outbound.request(`${url}/br`)).body).toString(), '{"ok":1}');
  await assert.rejects(outbound.request(`${url}/br`, { limits: { maxResponseBytes: 4 } }), code('OUTBOUND_TOO_LARGE'));
  await assert.rejects(outbound.request(`${url}/odd`), code('OUTBOUND_INVALID'));
  await assert.rejects(outbound.request(`${url}/broken`), code('OUTBOUND_FAILED'));
  assert.ok(open <= 1, 'the endless answer was let go');
});

test('request: silence ends at the time limits, and an abort at once', async (t) => {
  const silent = `http://127.0.0.1:${await listen(t, createTcpServer())}`;
  const dripping = await serve(t, (_request, response) => {
    response.writeHead(200);
    const timer = setInterval(() => response.write('.'), 5);
    response.on('close', () => clearInterval(timer));
  });
  const outbound = client(t, { allow: ['127.0.0.1'] });
  await assert.rejects(
    outbound.request(silent, { limits: { connectMs: 20, firstByteMs: 30 } }),
    code('OUTBOUND_TIMEOUT'),
    'first byte',
  );
  await assert.rejects(outbound.request(dripping, { limits: { totalMs: 80 } }), code('OUTBOUND_TIMEOUT'), 'total');
  const abort = new AbortController();
  const pending = outbound.request(silent, { signal: abort.signal });
  abort.abort(new Error('enough'));
  await assert.rejects(pending, code('OUTBOUND_CANCELLED'));
  await assert.rejects(outbound.request(silent, { signal: abort.signal }), code('OUTBOUND_CANCELLED'));
});

test('request: errors name the host and never the path, the query or the password', async (t) => {
  const outbound = client(t, { allow: ['127.0.0.1'] });
  const unused = await trap(t);
  for (const url of [
    `http://me:hidden@127.0.0.1:${unused.port}/hidden?key=hidden`,
    'http://me:hidden@no.such.host.invalid/hidden?k=hidden',
  ]) {
    await assert.rejects(outbound.request(url), (error: Error & { code: string; text: object }) => {
      assert.equal(error.code, 'OUTBOUND_FAILED');
      assert.doesNotMatch(JSON.stringify([error.message, error.text, error.code]), /hidden/);
      return true;
    });
  }
});
