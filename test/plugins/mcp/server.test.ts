import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js';
import { startTestServer, type TestServer } from '../../support/app.ts';
import { type FakeOpenAI, startFakeOpenAI } from '../../support/fake-openai.ts';
import { changedManifest } from '../../support/manifest.ts';
import { apiToken } from '../../support/people.ts';

const ADMIN = { email: 'root@example.com', password: 'Root12345' };

interface Person {
  token: string;
  client: Client;
  transport: StreamableHTTPClientTransport;
}

/** The server as the SDK's own client uses it. */
describe('mcp', () => {
  const disposers: (() => unknown)[] = [];
  const owner = { after: (dispose: () => unknown) => void disposers.push(dispose) } as never;
  let upstream: FakeOpenAI;
  let server: TestServer;
  let one: Person;

  before(async () => {
    upstream = await startFakeOpenAI();
    disposers.push(() => upstream.close());
    const manifest = changedManifest(owner, ({ plugins }) => {
      Object.assign(plugins.mcp?.options ?? {}, { sessionsPerAccount: 3, origins: ['https://good.example'] });
    });
    server = await startTestServer(owner, {
      KOAGENT_MANIFEST: manifest,
      KOAGENT_ADMIN_EMAIL: ADMIN.email,
      KOAGENT_ADMIN_PASSWORD: ADMIN.password,
      OPENAI_BASE_URL: upstream.url,
      OPENAI_API_KEY: 'sk-test-0123456789',
      DEFAULT_MODEL: 'gpt-4o',
    });
    one = await connect(await login('mcp-one'));
  });
  after(async () => {
    for (const dispose of disposers.reverse()) await dispose();
  });
  beforeEach(() => upstream.always({ text: 'ok' }));

  async function login(username: string): Promise<string> {
    const password = 'Secret123';
    await server.call('POST', '/auth/register', { body: { username, email: `${username}@example.com`, password } });
    const { body } = await server.call('POST', '/auth/login', { body: new URLSearchParams({ username, password }) });
    return body.access_token;
  }

  async function connect(token: string): Promise<Person> {
    const transport = new StreamableHTTPClientTransport(new URL(`${server.url}/mcp`), {
      requestInit: { headers: { authorization: `Bearer ${token}`, 'accept-language': 'en' } },
    });
    const client = new Client({ name: 'test', version: '1.0.0' });
    await client.connect(transport as Parameters<Client['connect']>[0]);
    disposers.push(() => client.close());
    return { token, client, transport };
  }

  const textOf = (result: unknown) => {
    const [first] = (result as CallToolResult).content;
    return first?.type === 'text' ? first.text : assert.fail();
  };

  /** A published workflow of nodes one after another. */
  async function publish(token: string, name: string, nodes: { id: string; type: string; data: object }[]) {
    const all = [{ id: 'start', type: 'start', data: {} }, ...nodes, { id: 'end', type: 'end', data: {} }];
    const edges = all.slice(1).map(({ id }, at) => ({ id: `e${at}`, source: all[at]?.id, target: id }));
    const made = await server.call('POST', '/workflows', {
      token,
      body: { name, description: `About ${name}`, nodes: all, edges },
    });
    assert.equal(made.status, 201, made.text);
    const { id } = made.body;
    const published = await server.call('PUT', `/workflows/${id}`, { token, body: { status: 'published' } });
    assert.equal(published.body.status, 'published', published.text);
    return { id: id as string, tool: (slug: string) => `run_${slug}_${id.slice(0, 8)}` };
  }

  test('initialize: who serves, and tools of agents and workflows', async () => {
    assert.equal(one.client.getServerVersion()?.name, 'koagent');
    const workflow = await publish(one.token, 'Greet 客人', [
      {
        id: 'in',
        type: 'input',
        data: {
          fields: [
            { name: 'who', type: 'text', required: true, description: 'Name of the guest' },
            { name: 'times', type: 'number', default: 1 },
          ],
        },
      },
    ]);
    const { tools } = await one.client.listTools();
    const ask = tools.find(({ name }) => name === 'ask_agent-picos');
    assert.ok(ask?.description && ask.title);
    assert.deepEqual(ask.inputSchema.required, ['question']);
    const run = tools.find(({ name }) => name === workflow.tool('greet'));
    assert.deepEqual(
      [run?.title, run?.description],
      ['Greet 客人', 'Runs the workflow "Greet 客人". About Greet 客人'],
    );
    assert.deepEqual(run?.inputSchema, {
      type: 'object',
      properties: { who: { type: 'string', description: 'Name of the guest' }, times: { type: 'number', default: 1 } },
      required: ['who'],
      additionalProperties: true,
    });
    assert.ok(tools.every(({ name }) => /^[A-Za-z0-9_-]{1,64}$/.test(name)));
    assert.ok(!tools.some(({ name }) => name === 'ask_gpt-4o'), 'models are no tools');
  });

  test('ask: an agent answers, with progress on the way', async () => {
    upstream.reply({ text: ['The PICOS ', 'of your trial.'.repeat(40)] });
    const messages: string[] = [];
    const result = await one.client.callTool(
      { name: 'ask_agent-picos', arguments: { question: 'What is it?', context: 'A trial on osteoporosis.' } },
      undefined,
      { onprogress: ({ message }) => void messages.push(message ?? '') },
    );
    assert.match(textOf(result), /^The PICOS of your trial\./);
    assert.ok(
      messages.some((message) => /characters written/.test(message)),
      messages.join(),
    );
    const [system] = upstream.requests.at(-1)?.body.messages ?? [];
    assert.match(system.content, /A trial on osteoporosis\./);
  });

  test('run: a workflow gives its result; what it fails with is told to the model', async () => {
    const workflow = await publish(one.token, 'Shout', [
      { id: 'in', type: 'input', data: { fields: [{ name: 'word', type: 'text', required: true }] } },
      { id: 'out', type: 'output', data: { template: '{word}!', output_key: 'said' } },
    ]);
    const name = workflow.tool('shout');
    const progress: number[] = [];
    const result = await one.client.callTool({ name, arguments: { word: 'hello' } }, undefined, {
      onprogress: ({ progress: at, total }) => {
        assert.equal(total, 1);
        progress.push(at);
      },
    });
    assert.equal(textOf(result), 'hello!');
    assert.deepEqual((result as CallToolResult).structuredContent, { said: 'hello!' });
    assert.deepEqual(
      progress,
      [...progress].sort((a, b) => a - b),
    );
    const failed = await one.client.callTool({ name, arguments: {} });
    assert.equal(failed.isError, true);
    assert.match(textOf(failed), /word/);
  });

  test('run: a workflow that waits for a person says so, and goes on when it is decided', async () => {
    const workflow = await publish(one.token, 'Approve', [{ id: 'boss', type: 'human', data: { prompt: 'May it?' } }]);
    const result = await one.client.callTool({ name: workflow.tool('approve'), arguments: { amount: 5 } });
    assert.match(textOf(result), /waits for an approval at the node boss/);
    const id = /execution ([0-9a-f-]{36})/.exec(textOf(result))?.[1];
    const decided = await server.call('POST', `/executions/${id}/nodes/boss/approve`, {
      token: one.token,
      body: { approved: true },
    });
    assert.equal(decided.status, 200, decided.text);
  });

  test('cancel: the run ends, and the model server is let go', async () => {
    const gate = Promise.withResolvers<void>();
    upstream.reply({ text: ['begin', ' end'], afterFirst: gate.promise });
    const asked = upstream.nextRequest();
    const abort = new AbortController();
    const pending = one.client.callTool({ name: 'ask_agent-picos', arguments: { question: 'x' } }, undefined, {
      signal: abort.signal,
    });
    const request = await asked;
    abort.abort('no longer wanted');
    await assert.rejects(pending);
    assert.equal(await request.ended, 'aborted');
    gate.resolve();

    const workflow = await publish(one.token, 'Sleep', [{ id: 'nap', type: 'delay', data: { seconds: 3600 } }]);
    const stop = new AbortController();
    const sleeping = one.client.callTool({ name: workflow.tool('sleep') }, undefined, { signal: stop.signal });
    const latest = async () =>
      (await server.call('GET', `/executions?workflow_id=${workflow.id}`, { token: one.token })).body[0];
    while ((await latest())?.status !== 'running') await delay(20);
    stop.abort();
    await assert.rejects(sleeping);
    while ((await latest()).status === 'running') await delay(20);
    assert.equal((await latest()).status, 'failed');
  });

  test('a client that goes away stops nothing', async () => {
    const other = await connect(one.token);
    const gate = Promise.withResolvers<void>();
    upstream.reply({ text: ['slow', ' answer'], afterFirst: gate.promise });
    const asked = upstream.nextRequest();
    const pending = other.client.callTool({ name: 'ask_agent-picos', arguments: { question: 'x' } });
    pending.catch(() => undefined);
    const request = await asked;
    await other.transport.close();
    gate.resolve();
    assert.equal(await request.ended, 'finished');
  });

  test('what is wrong with a call', async () => {
    await assert.rejects(
      one.client.callTool({ name: 'ask_nobody', arguments: { question: 'x' } }),
      /no tool ask_nobody/,
    );
    for (const question of ['', 7, 'x'.repeat(32_001)]) {
      const refused = await one.client.callTool({ name: 'ask_agent-picos', arguments: { question } });
      assert.equal(refused.isError, true);
      assert.match(textOf(refused), /question must be a text/);
    }
    upstream.always({ status: 401 });
    const failed = await one.client.callTool({ name: 'ask_agent-picos', arguments: { question: 'x' } });
    assert.equal(failed.isError, true);
    assert.match(textOf(failed), /refused the credentials/);
  });

  test('tools and sessions are the caller’s own', async () => {
    const workflow = await publish(one.token, 'Private', []);
    const stranger = await connect(await apiToken(server.server, 'mcp-stranger'));
    const { tools } = await stranger.client.listTools();
    assert.ok(tools.some(({ name }) => name === 'ask_agent-picos'));
    assert.ok(!tools.some(({ name }) => name.startsWith('run_')));
    await assert.rejects(stranger.client.callTool({ name: workflow.tool('private') }), /no tool/);
    const hijack = await post(stranger.token, { jsonrpc: '2.0', id: 1, method: 'tools/list' }, one.transport.sessionId);
    assert.equal(hijack.status, 404);
    assert.equal(hijack.body.error.code, -32001);

    const { body } = await server.call('POST', '/auth/login', { body: ADMIN });
    const admin = await connect(body.data.accessToken);
    const all = await admin.client.listTools();
    assert.ok(!all.tools.some(({ name }) => name.startsWith('run_')), 'administrators have their own as tools');
  });

  async function post(
    token: string | undefined,
    message: unknown,
    session?: string,
    headers: Record<string, string> = {},
  ) {
    const response = await fetch(`${server.url}/mcp`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        ...(token && { authorization: `Bearer ${token}` }),
        ...(session && { 'mcp-session-id': session }),
        ...headers,
      },
      body: JSON.stringify(message),
    });
    const text = await response.text();
    const isJson = response.headers.get('content-type')?.includes('json') === true;
    return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : undefined, text };
  }

  const initialize = {
    jsonrpc: '2.0',
    id: 0,
    method: 'initialize',
    params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'raw', version: '1' } },
  };

  test('a caller is needed, pages of strangers are refused, and other methods', async () => {
    const refused = await post(undefined, initialize);
    assert.deepEqual([refused.status, refused.headers.get('www-authenticate')], [401, 'Bearer']);
    assert.deepEqual([refused.body.jsonrpc, refused.body.id], ['2.0', null]);
    assert.equal((await post('wrong', initialize)).status, 401);
    assert.equal((await post(one.token, initialize, undefined, { origin: 'https://evil.example' })).status, 403);
    assert.equal((await post(one.token, initialize, undefined, { origin: 'https://good.example' })).status, 200);
    assert.equal((await post(one.token, { jsonrpc: '2.0', id: 1, method: 'tools/list' })).status, 400);
    assert.equal((await post(one.token, initialize, '11111111-1111-4111-8111-111111111111')).status, 404);
    const get = await fetch(`${server.url}/mcp`, { headers: { authorization: `Bearer ${one.token}` } });
    assert.deepEqual([get.status, get.headers.get('allow')], [405, 'POST, DELETE']);
  });

  test('sessions are bounded: the one that was not used for longest gives way; DELETE ends one', async () => {
    const token = await login('mcp-many');
    const begin = async () => (await post(token, initialize)).headers.get('mcp-session-id') ?? assert.fail();
    const ping = async (session: string) =>
      (await post(token, { jsonrpc: '2.0', id: 5, method: 'ping' }, session)).status;
    const [first, second, third] = [await begin(), await begin(), await begin()];
    assert.equal(await ping(first), 200);
    const fourth = await begin();
    assert.equal(await ping(second), 404);
    for (const session of [first, third, fourth]) assert.equal(await ping(session), 200);
    const ended = await fetch(`${server.url}/mcp`, {
      method: 'DELETE',
      headers: { authorization: `Bearer ${token}`, 'mcp-session-id': first },
    });
    assert.equal(ended.status, 200);
    assert.equal(await ping(first), 404);
  });

  test('shutdown: a call under way does not hold it up, and its run goes on after the next start', async (t) => {
    const manifest = changedManifest(t, ({ runtime }) => {
      runtime.shutdownMs = 120_000;
    });
    const env = { KOAGENT_MANIFEST: manifest, OPENAI_BASE_URL: upstream.url, OPENAI_API_KEY: 'sk-test-0123456789' };
    const folder = mkdtempSync(join(tmpdir(), 'koagent-mcp-'));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const stopping = await startTestServer(t, { ...env, KOAGENT_DATA_DIR: folder });
    const token = await apiToken(stopping.server, 'leaving');
    const transport = new StreamableHTTPClientTransport(new URL(`${stopping.url}/mcp`), {
      requestInit: { headers: { authorization: `Bearer ${token}` } },
    });
    const client = new Client({ name: 'test', version: '1.0.0' });
    await client.connect(transport as Parameters<Client['connect']>[0]);
    const gate = Promise.withResolvers<void>();
    t.after(() => gate.resolve());
    upstream.reply({ text: ['begin', ' end'], afterFirst: gate.promise });
    const asked = upstream.nextRequest();
    const pending = client.callTool({ name: 'ask_agent-picos', arguments: { question: 'x' } });
    pending.catch(() => undefined);
    await asked;
    const begun = performance.now();
    await stopping.server.close();
    assert.ok(performance.now() - begun < 60_000, `${performance.now() - begun} ms`);
    await client.close();
    const again = upstream.nextRequest();
    await startTestServer(t, { ...env, KOAGENT_DATA_DIR: folder });
    assert.equal((await again).lastText, 'x');
  });

  test('each call stands in the audit log', async () => {
    await one.client.callTool({ name: 'ask_agent-picos', arguments: { question: 'a secret question' } });
    await delay(150);
    const { body } = await server.call('POST', '/auth/login', { body: ADMIN });
    const log = await server.call('GET', '/admin/audit-log?route=/mcp&pageSize=100', { token: body.data.accessToken });
    const [entry] = log.body.data.items;
    assert.equal(entry.action, '调用 MCP 工具 ask_agent-picos');
    assert.deepEqual([entry.objectIds[0], entry.status], ['agent-picos', 200]);
    assert.match(entry.objectIds[1], /^[0-9a-f-]{36}$/);
    assert.ok(!log.text.includes('secret question'));
  });
});
