import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { stringify } from 'yaml';
import { startTestServer, type TestServer } from '../../../support/app.ts';
import { type FakeOpenAI, startFakeOpenAI } from '../../../support/fake-openai.ts';
import { json, startWeb, type WebServer } from './services.ts';

/** The node types as workflows use them: over HTTP, with templates resolved by the engine, in the lanes of a whole server. */
describe('nodes in a workflow', () => {
  const disposers: (() => unknown)[] = [];
  const owner = { after: (dispose: () => unknown) => void disposers.push(dispose) };
  let server: TestServer;
  let openai: FakeOpenAI;
  let web: WebServer;
  let token: string;

  before(async () => {
    openai = await startFakeOpenAI();
    owner.after(() => openai.close());
    web = await startWeb(owner as never, ({ url, body }, response) =>
      json(response, { url, body }, url === '/fail' ? 500 : 200),
    );
    const dir = mkdtempSync(join(tmpdir(), 'koagent-nodes-'));
    owner.after(() => rmSync(dir, { recursive: true, force: true }));
    const manifest = join(dir, 'manifest.yaml');
    const plugins = join(import.meta.dirname, '..', '..', '..', '..', 'plugins');
    const entries = ['auth', 'workflows', 'data-sources'].map((name) => [name, { from: join(plugins, name) }]);
    writeFileSync(manifest, stringify({ plugins: Object.fromEntries(entries), outbound: { allow: ['127.0.0.1'] } }));
    server = await startTestServer(owner as never, {
      KOAGENT_MANIFEST: manifest,
      OPENAI_BASE_URL: openai.url,
      OPENAI_API_KEY: 'sk-test-0123456789',
    });
    const [username, password] = ['nodes-tester', 'Secret123'];
    await server.call('POST', '/auth/register', { body: { username, email: 'n@example.com', password } });
    const login = await server.call('POST', '/auth/login', { body: new URLSearchParams({ username, password }) });
    token = login.body.access_token;
  });
  after(async () => {
    for (const dispose of disposers.reverse()) await dispose();
  });

  const call = (method: string, path: string, body?: unknown) =>
    server.call(method, path, { token, ...(body !== undefined && { body }) });

  /** Runs the given nodes one after another, between start and end. */
  async function execute(nodes: { id: string; type: string; data: Record<string, unknown> }[], input_data: object) {
    const all = [{ id: 'start', type: 'start', data: {} }, ...nodes, { id: 'end', type: 'end', data: {} }];
    const edges = all.slice(1).map(({ id }, at) => ({ id: `e${at}`, source: all[at]?.id, target: id }));
    const made = await call('POST', '/workflows', { name: 'nodes', nodes: all, edges });
    const started = await call('POST', '/executions', { workflow_id: made.body.id, input_data });
    assert.equal(started.status, 201, started.text);
    const { id } = started.body;
    // The stream ends with the execution.
    const events = (await call('GET', `/executions/${id}/events`)).text;
    const execution = (await call('GET', `/executions/${id}`)).body;
    const { logs } = (await call('GET', `/execution-logs/executions/${id}`)).body;
    return { execution, events, logs: logs as { node_id: string; level: string; message: string }[] };
  }

  test('llm: the document’s own node, its tokens in the stream', async () => {
    openai.reply({ text: ['春', '天'] });
    const data = {
      label: 'LLM处理',
      provider: 'openai',
      model: 'gpt-4o',
      prompt: '请总结以下文本:{input}',
      temperature: 0.2,
      max_tokens: 1000,
    };
    const { execution, events } = await execute([{ id: 'llm-1', type: 'llm', data }], { text: '{"a": 1} 花开' });
    assert.deepEqual(execution.output_data, { result: '春天' }, execution.error_message);
    assert.equal(openai.requests.at(-1)?.lastText, '请总结以下文本:{"a": 1} 花开');
    assert.equal(openai.requests.at(-1)?.body.temperature, 0.2);
    assert.match(events, /token/);
    assert.match(events, /"input_tokens":10/);
  });

  test('code: braces in the program stay, variables keep their types, console goes to the logs', async () => {
    const code =
      'const { n } = variables; console.log("got {input}", n); return { list: input.items.map((x) => x * n) };';
    const nodes = [
      { id: 'js', type: 'code', data: { code, variables: { n: '{factor}', whole: '{start}' } } },
      {
        id: 'more',
        type: 'code',
        data: { code: 'return [input.list.length, variables.first]', variables: { first: '{js.list[0]}' } },
      },
    ];
    const { execution, logs } = await execute(nodes, { items: [1, 2, 3], factor: 2 });
    assert.deepEqual(execution.output_data, { result: [3, 2] }, execution.error_message);
    assert.ok(
      logs.some(({ node_id, message }) => node_id === 'js' && message.includes('got {input} 2')),
      JSON.stringify(logs),
    );
  });

  test('code: an endless program fails the execution in time and names the node', async () => {
    const { execution } = await execute(
      [{ id: 'loop-js', type: 'code', data: { code: 'for (;;);', timeout_ms: 1000 } }],
      {},
    );
    assert.equal(execution.status, 'failed');
    assert.match(execution.error_message, /loop-js/);
    assert.match(execution.error_message, /毫秒/);
  });

  test('code: a loop that cannot be interrupted is killed at the deadline', async () => {
    const data = { code: 'return [].indexOf.call({ length: 2 ** 53 - 1 }, 1)', timeout_ms: 1000 };
    const { execution } = await execute([{ id: 'stuck', type: 'code', data }], {});
    assert.equal(execution.status, 'failed');
    assert.match(execution.error_message, /stuck.*时限/);
  });

  test('http: templates in address, query, headers and body; the answer is read by the next node', async () => {
    const data = {
      method: 'POST',
      url: `${web.url}/users/{user.id}`,
      query: { q: '{user.name}' },
      headers: { 'x-id': '{user.id}', authorization: 'Bearer {key}' },
      body: { tags: '{user.tags}', note: 'for {user.name}' },
    };
    const nodes = [
      { id: 'call', type: 'http', data },
      {
        id: 'read',
        type: 'transform',
        data: { mapping: { url: 'call.body.url', sent: 'call.body.body', status: 'call.status' } },
      },
    ];
    const { execution } = await execute(nodes, { user: { id: 7, name: '王 "五"', tags: ['a', 'b'] }, key: 'k1' });
    assert.deepEqual(
      execution.output_data,
      {
        url: `/users/7?q=${encodeURIComponent('王 "五"').replace(/%20/g, '+')}`,
        sent: '{"tags":["a","b"],"note":"for 王 \\"五\\""}',
        status: 200,
      },
      execution.error_message,
    );
    assert.equal(web.seen.at(-1)?.headers['x-id'], '7');
    assert.equal(web.seen.at(-1)?.headers.authorization, 'Bearer k1');
  });

  test('http: a failing answer is tried again with the same idempotency key, then the policy decides', async () => {
    const before = web.seen.length;
    const data = {
      method: 'POST',
      url: `${web.url}/fail`,
      retry: { max: 2, delay_ms: 1 },
      on_error: 'default',
      default_value: { body: 'instead' },
    };
    const { execution } = await execute([{ id: 'call', type: 'http', data }], {});
    assert.deepEqual(execution.output_data, { body: 'instead' });
    const keys = web.seen.slice(before).map(({ headers }) => headers['idempotency-key']);
    assert.equal(keys.length, 3);
    assert.equal(new Set(keys).size, 1, keys.join());
  });

  test('http: private addresses that the operator did not allow fail the node', async () => {
    const { execution } = await execute(
      [{ id: 'inside', type: 'http', data: { url: 'http://169.254.169.254/latest/meta-data' } }],
      {},
    );
    assert.equal(execution.status, 'failed');
    assert.match(execution.error_message, /inside.*169\.254\.169\.254/);
  });

  test('data_source: with the rights of the account, parameters from earlier nodes; that of a stranger is not found', async () => {
    const config = { base_url: web.url };
    const source = (await call('POST', '/data-sources', { name: 's', type: 'api', config })).body;
    const data = { data_source_id: source.id, query: '/users/:id', parameters: { id: '{user}', q: '{word}' } };
    const { execution } = await execute([{ id: 'ask', type: 'data_source', data }], { user: 'a/b', word: '中' });
    const expected = {
      data: [{ url: `/users/a%2Fb?q=${encodeURIComponent('中')}`, body: '' }],
      count: 1,
      truncated: false,
    };
    assert.deepEqual(execution.output_data, expected, execution.error_message);

    const stranger = { username: 'stranger', password: 'Secret123' };
    await server.call('POST', '/auth/register', { body: { ...stranger, email: 's@example.com' } });
    const mine = token;
    token = (await server.call('POST', '/auth/login', { body: new URLSearchParams(stranger) })).body.access_token;
    const other = await execute([{ id: 'ask', type: 'data_source', data }], { user: 'x', word: 'y' });
    token = mine;
    assert.equal(other.execution.status, 'failed');
    assert.match(other.execution.error_message, /ask.*数据源不存在/);
  });

  test('agent: tools and answer; an agent of a plugin that is off fails plainly', async () => {
    openai.reply(
      { toolCalls: [{ id: 'c1', name: 'http_request', arguments: JSON.stringify({ url: `${web.url}/tool` }) }] },
      { text: 'tool said so' },
    );
    const data = { instructions: 'Use tools.', provider: 'openai', model: 'gpt-4o', tools: ['http'] };
    const { execution, events } = await execute([{ id: 'ag', type: 'agent', data }], { question: 'what?' });
    assert.deepEqual(execution.output_data, { result: 'tool said so' }, execution.error_message);
    assert.match(events, /tool_start/);
    const missing = await execute([{ id: 'ag', type: 'agent', data: { agent_id: 'a1' } }], { question: 'what?' });
    assert.equal(missing.execution.status, 'failed');
    assert.match(missing.execution.error_message, /agents/);
  });

  test('transform of large data gives what a small one gives', async () => {
    const rows = Array.from({ length: 20_000 }, (_, id) => ({ id, group: `g${id % 3}` }));
    const data = {
      mode: 'filter',
      items_path: 'rows',
      filter_rules: [{ field: 'group', operator: '==', value: '{wanted}' }],
    };
    const nodes = [
      { id: 'big', type: 'transform', data },
      { id: 'count', type: 'code', data: { code: 'return { n: input.length, first: input[0] }' } },
    ];
    const { execution } = await execute(nodes, { rows, wanted: 'g1' });
    assert.deepEqual(execution.output_data, { n: 6667, first: { id: 1, group: 'g1' } }, execution.error_message);
  });
});
