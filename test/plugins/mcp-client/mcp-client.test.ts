import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { AppError } from '../../../core/errors.ts';
import { createHost, type Host, provide } from '../../../core/host.ts';
import { createLogger } from '../../../core/log.ts';
import type { Principal } from '../../../core/principal.ts';
import { settingsService } from '../../../core/settings.ts';
import plugin from '../../../plugins/mcp-client/index.ts';
import { toolName } from '../../../plugins/mcp-client/names.ts';
import { createToolService, toolService } from '../../../runtime/tools/index.ts';
import { said, serveMcp } from '../../support/mcp-server.ts';

const STDIO = fileURLToPath(new URL('../../fixtures/mcp/stdio-server.ts', import.meta.url));
const SECRET = 'hunter2-hunter2';
const principal: Principal = { kind: 'user', accountId: 'a', tenantId: 't', roles: ['user'] };

/** The plugin with its servers, on a registry of its own. */
async function open(t: TestContext, servers: Record<string, object>, options: object = {}) {
  const lines: string[] = [];
  const log = createLogger('debug', { write: (line) => void lines.push(line) });
  const tools = createToolService({ log });
  const variables: Record<string, string> = { SECRET };
  const host: Host = await createHost({
    plugins: {
      enabled: [
        {
          definition: plugin,
          options: {
            servers: Object.entries(servers).map(([name, rest]) => ({ name, ...rest })),
            retrySeconds: 0.02,
            startWaitSeconds: 10,
            ...options,
          },
        },
      ] as never,
      disabled: [],
    },
    provided: [
      provide(toolService, tools),
      provide(settingsService, { jwtSecret: 'x', variable: (name) => variables[name] }),
    ],
    log,
    dataDir: '/nowhere',
  });
  t.after(() => host.dispose());
  await host.ready();
  return {
    host,
    tools,
    lines,
    offered: async () => (await tools.select({}, { principal })).map(({ name }) => name),
    call: (name: string, args: Record<string, unknown> = {}, signal = new AbortController().signal) =>
      tools.call({
        name,
        arguments: args,
        scope: { principal },
        runId: 'run-1',
        idempotencyKey: 'run-1:t1.1',
        signal,
        log,
        emit: () => undefined,
        node: () => assert.fail('no nodes'),
      }),
  };
}

const code = (wanted: string) => (error: unknown) => error instanceof AppError && error.code === wanted;
const until = async (condition: () => boolean | Promise<boolean>) => {
  while (!(await condition())) await delay(5);
};
const alive = (pid: number) => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
};

test('over HTTP: tools with their schemas, headers from the environment, the key of the call, results as text', async (t) => {
  const inputSchema = { type: 'object' as const, properties: { a: { type: 'number' } }, required: ['a'] };
  const metas: unknown[] = [];
  const mcp = await serveMcp({
    add: {
      description: 'Adds one.',
      inputSchema,
      act: ({ a }, { meta }) => {
        metas.push(meta);
        return said(String(Number(a) + 1));
      },
    },
    mixed: {
      act: () => ({
        content: [
          { type: 'text', text: 'first' },
          { type: 'image', data: 'AAAA', mimeType: 'image/png' },
          { type: 'resource', resource: { uri: 'file:///a.txt', text: 'inside' } },
          { type: 'resource', resource: { uri: 'file:///b', blob: 'AAAAAAAA', mimeType: 'application/zip' } },
          { type: 'resource_link', uri: 'https://example.com/c', name: 'c' },
        ],
      }),
    },
    structured: { act: () => ({ content: [], structuredContent: { n: 1 } }) },
    fails: { act: () => ({ ...said(`no luck with ${SECRET}`), isError: true }) },
    throws: {
      act: () => {
        throw new Error('broken inside');
      },
    },
  });
  t.after(() => mcp.close());
  const { tools, call, offered, lines } = await open(t, {
    one: { url: mcp.url, headers: { 'x-plain': 'p' }, headersFrom: { authorization: 'SECRET' } },
  });
  assert.deepEqual(await offered(), ['one__add', 'one__fails', 'one__mixed', 'one__structured', 'one__throws']);
  assert.deepEqual(tools.categories(), ['mcp']);
  const [add] = await tools.select({ names: ['one__add'] }, { principal });
  assert.deepEqual(add, { name: 'one__add', description: 'Adds one.', parameters: inputSchema });
  assert.equal(await call('one__add', { a: 1 }), '2');
  assert.deepEqual(metas, [{ 'koagent/idempotency-key': 'run-1:t1.1' }]);
  assert.equal(
    await call('one__mixed'),
    'first\n[image, image/png, 3 bytes]\ninside\n[resource file:///b, application/zip, 6 bytes]\n[resource c: https://example.com/c]',
  );
  assert.equal(await call('one__structured'), '{"n":1}');
  await assert.rejects(call('one__fails'), (error: unknown) => {
    assert.ok(code('MCP_TOOL_FAILED')(error) && error instanceof AppError);
    assert.match(error.message, /no luck with \[redacted\]/);
    return true;
  });
  await assert.rejects(call('one__throws'), code('MCP_TOOL_FAILED'));
  assert.ok(mcp.seen.every((headers) => headers.authorization === SECRET && headers['x-plain'] === 'p'));
  assert.doesNotMatch(lines.join(''), new RegExp(SECRET));
});

test('over standard streams: the process gets its environment, is started again when it dies, and ends with the server', async (t) => {
  const { host, call, offered, tools, lines } = await open(t, {
    local: {
      command: process.execPath,
      args: [STDIO, 'hello'],
      env: { PLAIN: 'plain' },
      envFrom: { SECRET: 'SECRET' },
    },
  });
  const name = toolName('local', 'who.am-i');
  assert.deepEqual(await offered(), ['local__die', 'local__env', name].sort());
  assert.equal(tools.list().find((tool) => tool.name === name)?.effect, 'reads');
  const [word, first] = String(await call(name)).split(' ');
  assert.equal(word, 'hello');
  assert.equal(await call('local__env'), '{"secret":"[redacted]","plain":"plain"}');
  await assert.rejects(call('local__die'), code('MCP_UNAVAILABLE'));
  const second = String(await call(name)).split(' ')[1];
  assert.notEqual(second, first);
  await host.dispose();
  await until(() => !alive(Number(second)));
  assert.deepEqual(await offered(), []);
  assert.match(lines.join(''), /starting with \[redacted\]/);
  assert.doesNotMatch(lines.join(''), new RegExp(SECRET));
});

test('a server that is down at the start hurts nobody, and is there when it comes up; goes away, and comes back', async (t) => {
  const probe = await serveMcp({});
  await probe.close();
  const { call, offered } = await open(t, { late: { url: probe.url } }, { startWaitSeconds: 0.05 });
  assert.deepEqual(await offered(), []);
  let mcp = await serveMcp({ hi: { act: () => said('hi') } }, probe.port);
  await until(async () => (await offered()).length === 1);
  assert.equal(await call('late__hi'), 'hi');
  // A server that was restarted does not know the session any more: the call is made in a new one.
  mcp.forget();
  assert.equal(await call('late__hi'), 'hi');
  await mcp.close();
  await assert.rejects(call('late__hi'), code('MCP_UNAVAILABLE'));
  await until(async () => (await offered()).length === 0);
  mcp = await serveMcp({ hi: { act: () => said('hi again') } }, probe.port);
  t.after(() => mcp.close());
  assert.equal(await call('late__hi'), 'hi again');
});

test('a list that changes is read again; only the wanted tools are offered', async (t) => {
  const tools: Parameters<typeof serveMcp>[0] = { a: { act: () => said('a') }, b: { act: () => said('b') } };
  const mcp = await serveMcp(tools);
  t.after(() => mcp.close());
  const { offered } = await open(t, { all: { url: mcp.url }, some: { url: mcp.url, tools: ['a', 'c'] } });
  assert.deepEqual(await offered(), ['all__a', 'all__b', 'some__a']);
  delete tools.a;
  tools.c = { act: () => said('c') };
  for (const session of mcp.sessions.values()) await session.sendToolListChanged();
  await until(async () => (await offered()).join() === 'all__b,all__c,some__c');
});

test('calls have a time limit, and a cancel reaches the server', async (t) => {
  const cancelled = Promise.withResolvers<void>();
  const hang = (signal?: AbortSignal) =>
    new Promise<never>(() => signal?.addEventListener('abort', () => cancelled.resolve()));
  const mcp = await serveMcp({ hang: { act: () => hang() }, wait: { act: (_, { signal }) => hang(signal) } });
  t.after(() => mcp.close());
  const { call } = await open(t, { slow: { url: mcp.url, callSeconds: 0.1 }, patient: { url: mcp.url } });
  await assert.rejects(call('slow__hang'), code('MCP_TIMEOUT'));
  const controller = new AbortController();
  const called = call('patient__wait', {}, controller.signal);
  await delay(50);
  const reason = new Error('enough');
  controller.abort(reason);
  await assert.rejects(called, reason);
  await cancelled.promise;
});

test('servers that lie: wrong answers, wrong tools, endless lists and texts', async (t) => {
  let pages = 0;
  const answers: Record<string, (params: { cursor?: string; name?: string }) => unknown> = {
    initialize: () => ({
      protocolVersion: '2025-06-18',
      capabilities: { tools: {} },
      serverInfo: { name: 'liar', version: '0' },
    }),
    'tools/list': () => ({
      nextCursor: `page-${++pages}`,
      tools: Array.from({ length: 15 }, (_, at) => ({
        name: at < 2 ? ['same', 'with spaces & more'][at] : `tool-${pages}-${at}`,
        description: 'x'.repeat(10_000),
        inputSchema: { type: 'object', ...(at === 2 && { description: 'y'.repeat(50_000) }) },
      })),
    }),
    'tools/call': ({ name }) =>
      name === 'same' ? { content: 'not a list' } : { content: [{ type: 'text', text: 'ok' }] },
  };
  const liar = createServer(async (request, response) => {
    let body = '';
    for await (const piece of request.setEncoding('utf8')) body += piece;
    if (request.method !== 'POST') return void response.writeHead(405).end();
    const { id, method, params = {} } = JSON.parse(body);
    if (id === undefined) return void response.writeHead(202).end();
    response.setHeader('content-type', 'application/json');
    if (method === 'tools/call' && params.name === 'tool-1-3') {
      // A text without end.
      response.write(`{"jsonrpc":"2.0","id":${id},"result":{"content":[{"type":"text","text":"`);
      const more = () => response.write('z'.repeat(1024 * 1024), () => !response.destroyed && more());
      return void more();
    }
    response.end(JSON.stringify({ jsonrpc: '2.0', id, result: answers[method]?.(params) ?? {} }));
  });
  await new Promise<void>((resolve) => liar.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    liar.close();
    liar.closeAllConnections();
  });
  const url = `http://127.0.0.1:${(liar.address() as AddressInfo).port}/`;
  const { offered, call, tools, lines } = await open(t, { liar: { url } });
  const names = await offered();
  assert.ok(names.length > 100 && names.length <= 200, `${names.length} tools`);
  assert.ok(names.every((name) => /^[A-Za-z0-9_-]{1,64}$/.test(name)));
  assert.ok(!names.includes('liar__tool-1-2'), 'a schema that is too large');
  assert.ok(tools.list().every(({ description }) => description.length <= 4000));
  assert.match(lines.join(''), /declared twice/);
  assert.equal(await call('liar__tool-1-4'), 'ok');
  await assert.rejects(call('liar__same'), code('MCP_ANSWER_INVALID'));
  await assert.rejects(call('liar__tool-1-3'), code('MCP_ANSWER_INVALID'));
});

test('a server whose variable is missing, or whose program is not there, is left out; the others work', async (t) => {
  const mcp = await serveMcp({ hi: { act: () => said('hi') } });
  t.after(() => mcp.close());
  const { offered, lines } = await open(
    t,
    {
      'no-variable': { url: mcp.url, headersFrom: { authorization: 'MISSING' } },
      'no-program': { command: '/not/there' },
      good: { url: mcp.url },
    },
    { startWaitSeconds: 0.5 },
  );
  await until(async () => (await offered()).length === 1);
  assert.deepEqual(await offered(), ['good__hi']);
  assert.match(lines.join(''), /MISSING/);
  assert.match(lines.join(''), /ENOENT/);
});

test('a server with neither program nor address, or with both, stops the start', async (t) => {
  await assert.rejects(open(t, { none: {} }), code('MCP_SERVER_INVALID'));
  await assert.rejects(open(t, { both: { command: 'x', url: 'http://127.0.0.1/' } }), code('MCP_SERVER_INVALID'));
});

test('tool names: what is changed or cut keeps apart', () => {
  assert.equal(toolName('s', 'a-b_C1'), 's__a-b_C1');
  assert.notEqual(toolName('s', 'a b'), toolName('s', 'a_b'));
  const long = [toolName('s', 'x'.repeat(100)), toolName('s', 'x'.repeat(101))];
  assert.ok(long.every((name) => name.length === 64));
  assert.notEqual(long[0], long[1]);
});
