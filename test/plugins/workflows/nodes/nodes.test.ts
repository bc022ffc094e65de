import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { AppError } from '../../../../core/errors.ts';
import { createLogger } from '../../../../core/log.ts';
import { outboundService } from '../../../../core/outbound/outbound.ts';
import { createNodeRecord, provide, runNode } from '../../../../core/testing.ts';
import type { DataSourceType } from '../../../../plugins/data-sources/public.ts';
import type { Hit } from '../../../../plugins/knowledge/public.ts';
import agent from '../../../../plugins/workflows/nodes/agent.ts';
import dataSource from '../../../../plugins/workflows/nodes/data-source.ts';
import http from '../../../../plugins/workflows/nodes/http.ts';
import { nodeFiles } from '../../../../plugins/workflows/nodes/index.ts';
import knowledge from '../../../../plugins/workflows/nodes/knowledge.ts';
import llm from '../../../../plugins/workflows/nodes/llm.ts';
import { agentProfiles, dataSourcesForNodes, knowledgeSearch } from '../../../../plugins/workflows/nodes/parts/host.ts';
import { toLargeTransform } from '../../../../plugins/workflows/nodes/parts/large-transform.ts';
import transformLarge from '../../../../plugins/workflows/nodes/transform-large.ts';
import { getPath, parseTransform, type TransformContext, transform } from '../../../../runtime/graph/index.ts';
import { modelService } from '../../../../runtime/models/index.ts';
import { createPool } from '../../../../runtime/pool/index.ts';
import { type FakeOpenAI, startFakeOpenAI } from '../../../support/fake-openai.ts';
import { runNodeInPool } from '../../../support/node-pool.ts';
import { json, models, modelsConfig, outbound, outboundOptions, startWeb } from './services.ts';

let openai: FakeOpenAI;
before(async () => {
  openai = await startFakeOpenAI();
});
after(() => openai.close());

async function refused(promise: Promise<unknown>): Promise<AppError> {
  const error = await promise.then(
    (value) => new Error(`expected a failure, got ${JSON.stringify(value).slice(0, 200)}`),
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof AppError)) throw error;
  return error;
}

const hit = (text: string): Hit => ({
  passageId: 'p1',
  documentId: 'd1',
  filename: 'a.pdf',
  knowledgeBaseId: 'b1',
  agentId: null,
  text,
  headings: ['Part 1'],
  page: 1,
  pageEnd: 1,
  position: 0,
  score: 0.9,
});

const lastRequest = () => openai.requests.at(-1)?.body;
const textOf = (events: { type: string; data: Record<string, unknown> }[], type: string) =>
  events.filter((event) => event.type === type).map(({ data }) => data.text);

describe('llm', () => {
  const run = (config: Record<string, unknown>, more: object = {}) =>
    runNode(llm, { config, services: [models(openai.url)], ...more });

  test('the request is as configured; the answer streams in batches and ends with its usage', async () => {
    openai.reply({ thinking: ['hm', 'm'], text: ['Hel', 'lo ', '世界'] });
    const { output, events } = await run({
      provider: 'fake',
      model: 'second-model',
      prompt: '请总结：春天',
      system_prompt: 'be brief',
      max_tokens: 1000,
    });
    assert.equal(output, 'Hello 世界');
    const { model, messages, temperature, max_tokens, max_completion_tokens } = lastRequest();
    assert.deepEqual(
      { model, messages, temperature, most: max_tokens ?? max_completion_tokens },
      {
        model: 'second-model',
        messages: [
          { role: 'system', content: 'be brief' },
          { role: 'user', content: '请总结：春天' },
        ],
        temperature: 0.7,
        most: 1000,
      },
    );
    assert.deepEqual(textOf(events, 'thinking').join(''), 'hmm');
    assert.deepEqual(textOf(events, 'token'), ['Hello 世界'], 'pieces that come together are one event');
    assert.deepEqual(events.at(-1), {
      type: 'usage',
      data: {
        model: 'second',
        input_tokens: 10,
        output_tokens: 5,
        total_tokens: 15,
        cached_tokens: 0,
        estimated: false,
        offline: false,
      },
    });
  });

  test('a piece is told before the answer is complete', async () => {
    const { promise: rest, resolve: goOn } = Promise.withResolvers<void>();
    const { promise: first, resolve: seen } = Promise.withResolvers<unknown>();
    openai.reply({ text: ['begin', ' end'], afterFirst: rest });
    const record = createNodeRecord();
    const push = record.events.push.bind(record.events);
    record.events.push = (...events) => {
      seen(events[0]);
      return push(...events);
    };
    const done = run({ prompt: 'x' }, { record });
    assert.deepEqual(await first, { type: 'token', data: { text: 'begin' } });
    goOn();
    assert.equal((await done).output, 'begin end');
  });

  test('json: the value is parsed, the schema is sent along; text that is none fails plainly', async () => {
    openai.reply({ text: '```json\n{"a":[1]}\n```' }, { text: 'sorry' });
    const json_schema = { type: 'object', properties: { a: { type: 'array' } } };
    assert.deepEqual((await run({ prompt: 'x', output_format: 'json', json_schema })).output, { a: [1] });
    assert.deepEqual(lastRequest().response_format.json_schema.schema, json_schema);
    assert.equal((await refused(run({ prompt: 'x', output_format: 'json' }))).code, 'MODEL_INVALID_JSON');
  });

  test('an unknown model: the default answers, and a line says so', async () => {
    openai.reply({ text: 'ok' });
    const { output, logs } = await run({ provider: 'nobody', model: 'nothing', prompt: 'x' });
    assert.equal(output, 'ok');
    assert.equal(lastRequest().model, 'main-model');
    assert.deepEqual(
      logs.map(({ level }) => level),
      ['warn'],
    );
  });

  test('failures of the provider are told by code; what came in before stays in the events', async () => {
    openai.reply({ status: 401 });
    assert.equal((await refused(run({ prompt: 'x' }))).code, 'MODEL_UNAUTHENTICATED');
    openai.reply({ fault: 'half' });
    const record = createNodeRecord();
    assert.equal((await refused(run({ prompt: 'x' }, { record }))).code, 'MODEL_STREAM_BROKEN');
    assert.deepEqual(textOf(record.events, 'token'), ['begin ']);
  });

  test('an empty prompt and a wrong configuration are refused before any call', async () => {
    const before = openai.requests.length;
    assert.equal((await refused(run({ prompt: ' \n' }))).code, 'PROMPT_EMPTY');
    for (const config of [
      {},
      { prompt: 'x', temperature: 3 },
      { prompt: 'x', max_tokens: 0 },
      { prompt: 'x', output_format: 'xml' },
    ]) {
      assert.equal((await refused(run(config))).code, 'NODE_CONFIG_INVALID');
    }
    assert.equal(openai.requests.length, before);
  });

  test('cancel ends the call at once', async () => {
    openai.reply({ fault: 'stall' });
    const controller = new AbortController();
    const asked = openai.nextRequest();
    const failed = refused(run({ prompt: 'x' }, { signal: controller.signal }));
    const request = await asked;
    controller.abort();
    assert.equal((await failed).code, 'MODEL_CANCELLED');
    assert.equal(await request.ended, 'aborted');
  });

  test('the offline model answers from the text of the prompt and says what it is', async () => {
    const { output, events } = await run({
      model: 'offline',
      prompt: '请总结以下文本:\n北京是中国的首都。上海是中国最大的城市。',
    });
    assert.match(String(output), /未使用语言模型/);
    assert.equal(events.at(-1)?.data.offline, true);
  });

  test('in its lane: a thread that dies takes the attempt with it; the next attempt answers', async (t) => {
    const LLM = new URL('../../../../plugins/workflows/nodes/llm.ts', import.meta.url);
    const ACT = new URL('../../../fixtures/nodes/act.ts', import.meta.url);
    const pool = await createPool({
      log: createLogger('silent'),
      shared: { threads: 1 },
      local: [
        {
          key: modelService.name,
          module: new URL('../../../../runtime/models/worker.ts', import.meta.url).href,
          options: modelsConfig(openai.url),
        },
      ],
    });
    t.after(() => pool.close({ graceMs: 0 }));
    openai.reply({ fault: 'stall' }, { text: 'after all' });
    const asked = openai.nextRequest();
    const cut = refused(runNodeInPool(LLM, { pool, config: { prompt: 'x' } }));
    await asked;
    await refused(runNodeInPool(ACT, { pool, config: { what: 'exit' }, idempotencyKey: 'other' }));
    const error = await cut;
    assert.equal(error.code, 'NODE_CUT_OFF');
    const again = await runNodeInPool(LLM, { pool, config: { prompt: 'x' }, attempt: 2 });
    assert.equal(again.output, 'after all');
    assert.deepEqual(textOf(again.events, 'token'), ['after all']);
  });
});

describe('agent', () => {
  const run = (config: Record<string, unknown>, more: { services?: never[]; [name: string]: unknown } & object = {}) =>
    runNode(agent, { config, ...more, services: [models(openai.url), ...((more.services as never[]) ?? [])] });

  test('instructions and prompt; without a prompt the essence of the input', async () => {
    openai.reply({ text: 'done' });
    const { output } = await run({ instructions: 'You are brief.' }, { input: { text: 'the task', n: 1 } });
    assert.equal(output, 'done');
    assert.deepEqual(lastRequest().messages, [
      { role: 'system', content: 'You are brief.' },
      { role: 'user', content: 'the task' },
    ]);
    assert.equal(lastRequest().tools, undefined);
  });

  test('tools run side by side; a failing one is told to the model, and the answer comes last', async (t) => {
    let open = 0;
    const { promise: both, resolve: arrived } = Promise.withResolvers<void>();
    const web = await startWeb(t, async ({ url }, response) => {
      open += 1;
      if (open === 2) arrived();
      if (url !== '/c') await both;
      json(response, { path: url });
    });
    openai.reply(
      {
        text: 'let me look',
        toolCalls: [
          { id: 'c1', name: 'http_request', arguments: JSON.stringify({ url: `${web.url}/a` }) },
          { id: 'c2', name: 'http_request', arguments: JSON.stringify({ url: `${web.url}/b`, query: { q: '中' } }) },
          { id: 'c3', name: 'http_request', arguments: '{"method":"GET"}' },
          { id: 'c4', name: 'nothing', arguments: '{}' },
          { id: 'c5', name: 'http_request', arguments: 'not json' },
          { id: 'c6', name: 'http_request', arguments: JSON.stringify({ url: web.url, method: 'DELETE' }) },
        ],
      },
      { text: 'the answer' },
    );
    const { output, events } = await run(
      { instructions: 'x', prompt: 'y', tools: ['http'] },
      { services: [outbound(t)] as never[] },
    );
    assert.equal(output, 'the answer');
    const tools = lastRequest().messages.filter(({ role }: { role: string }) => role === 'tool');
    assert.deepEqual(
      tools.map(({ tool_call_id }: { tool_call_id: string }) => tool_call_id),
      ['c1', 'c2', 'c3', 'c4', 'c5', 'c6'],
    );
    assert.deepEqual(JSON.parse(tools[0].content), { status: 200, body: { path: '/a' } });
    assert.deepEqual(JSON.parse(tools[1].content), { status: 200, body: { path: '/b?q=%E4%B8%AD' } });
    for (const { content } of tools.slice(2)) assert.match(content, /^Error: /);
    assert.match(tools[2].content, /url/);
    assert.match(tools[3].content, /There is no tool nothing/);
    assert.equal(web.seen.length, 2, 'a method that was not allowed is not sent');
    const actions = events.filter(({ type }) => type === 'update_action').map(({ data }) => [data.id, data.status]);
    assert.deepEqual(Object.fromEntries(actions), {
      c1: 'completed',
      c2: 'completed',
      c3: 'failed',
      c4: 'failed',
      c5: 'failed',
      c6: 'failed',
    });
    assert.equal(events.filter(({ type }) => type === 'tool_start').length, 6);
    assert.equal(events.filter(({ type }) => type === 'usage').length, 2);
  });

  test('the http tool keeps to its base address and sends its headers only there', async (t) => {
    const web = await startWeb(t, ({ url }, response) => json(response, { url }));
    const outside = ['http://example.com/', '../secret', `${web.url}/other`, '//evil.example/x'];
    openai.reply(
      {
        toolCalls: [web.url, ...outside].map((_, at) => ({
          id: `c${at}`,
          name: 'crm',
          arguments: JSON.stringify({ url: at === 0 ? 'users/7' : outside[at - 1], method: 'POST', body: { a: 1 } }),
        })),
      },
      { text: 'ok' },
    );
    await run(
      {
        instructions: 'x',
        prompt: 'y',
        tools: [
          {
            type: 'http',
            name: 'crm',
            base_url: `${web.url}/api`,
            headers: { authorization: 'Bearer s3cret' },
            methods: ['POST'],
          },
        ],
      },
      { services: [outbound(t)] as never[] },
    );
    const [first, ...others] = web.seen;
    assert.equal(first?.url, '/api/users/7');
    assert.equal(first?.headers.authorization, 'Bearer s3cret');
    assert.equal(first?.body, '{"a":1}');
    assert.ok(first?.headers['idempotency-key']);
    assert.ok(
      others.every(({ url }) => url.startsWith('/api/')),
      JSON.stringify(others.map(({ url }) => url)),
    );
    assert.doesNotMatch(JSON.stringify(openai.requests.at(-1)?.body), /s3cret/);
  });

  test('private addresses stay closed to the http tool', async (t) => {
    openai.reply(
      { toolCalls: [{ id: 'c', name: 'http_request', arguments: '{"url":"http://169.254.169.254/latest"}' }] },
      { text: 'ok' },
    );
    const { events } = await run(
      { instructions: 'x', prompt: 'y', tools: ['http'] },
      { services: [outbound(t, [])] as never[] },
    );
    assert.match(String(events.find(({ type }) => type === 'update_action')?.data.result), /OUTBOUND_REFUSED/);
  });

  test('data source and knowledge tools reach the host', async () => {
    const asked: unknown[] = [];
    const services = [
      provide(dataSourcesForNodes, {
        get: async () => ({ type: 'postgresql' }),
        query: async (...args) => {
          asked.push(args);
          return { data: [{ n: 1 }], count: 1 };
        },
      }),
      provide(knowledgeSearch, {
        search: async (...args) => {
          asked.push(args);
          return [hit('passage')];
        },
      }),
    ];
    openai.reply(
      {
        toolCalls: [
          { id: 'a', name: 'query_data', arguments: '{"query":"select :n","parameters":{"n":1}}' },
          { id: 'b', name: 'search_knowledge', arguments: '{"query":"q"}' },
        ],
      },
      { text: 'ok' },
    );
    const tools = [
      { type: 'data_source', data_source_id: 'ds-1' },
      { type: 'knowledge', knowledge_base_ids: ['kb'], top_k: 3 },
    ];
    await run({ instructions: 'x', prompt: 'y', tools }, { services: services as never[] });
    assert.deepEqual(asked, [
      ['q', { limit: 3, scope: { knowledgeBaseIds: ['kb'] } }],
      ['ds-1', 'select 1'],
    ]);
  });

  test('after the last iteration there are no tools; what the model has said is the answer', async (t) => {
    const web = await startWeb(t, (_, response) => json(response, {}));
    openai.always((request) =>
      request.body.tool_choice === 'none'
        ? { text: 'what I have' }
        : { toolCalls: [{ id: 'c', name: 'http_request', arguments: JSON.stringify({ url: web.url }) }] },
    );
    t.after(() => openai.always({ text: 'ok' }));
    const before = openai.requests.length;
    const { output } = await run(
      { instructions: 'x', prompt: 'y', tools: ['http'], max_iterations: 3 },
      { services: [outbound(t)] as never[] },
    );
    assert.equal(output, 'what I have');
    assert.equal(openai.requests.length - before, 3);
    assert.equal(web.seen.length, 2);
  });

  test('agent_id: the profile of the agents plugin; without the plugin a clear failure', async () => {
    openai.reply({ text: 'as an agent' });
    const profile = { name: 'a', instructions: 'I am agent 7', model: 'second', temperature: 0.1 };
    const services = [provide(agentProfiles, { profile: async (id) => ({ ...profile, name: id }) })];
    assert.equal((await run({ agent_id: '7', prompt: 'hi' }, { services: services as never[] })).output, 'as an agent');
    assert.equal(lastRequest().model, 'second-model');
    assert.equal(lastRequest().temperature, 0.1);
    assert.equal(lastRequest().messages[0].content, 'I am agent 7');
    const error = await refused(run({ agent_id: '7', prompt: 'hi' }));
    assert.equal(error.code, 'PLUGIN_REQUIRED');
    assert.deepEqual(error.details, { plugin: 'agents' });
  });

  test('what cannot work is refused before any call', async () => {
    const before = openai.requests.length;
    assert.equal((await refused(run({ prompt: 'x' }))).code, 'AGENT_INSTRUCTIONS_MISSING');
    assert.equal((await refused(run({ instructions: 'x', prompt: '' }))).code, 'PROMPT_EMPTY');
    for (const tools of [
      ['shell'],
      [{ type: 'data_source' }],
      ['constructor'],
      [{ type: 'http', methods: ['TRACE'] }],
    ]) {
      const error = await refused(
        run(
          { instructions: 'x', prompt: 'y', tools },
          { services: [provide(outboundService, {} as never)] as never[] },
        ),
      );
      assert.equal(error.code, 'AGENT_TOOL_INVALID', JSON.stringify(tools));
    }
    const missing = await refused(run({ instructions: 'x', prompt: 'y', tools: ['knowledge'] }));
    assert.equal(missing.code, 'PLUGIN_REQUIRED');
    assert.equal(openai.requests.length, before);
  });
});

describe('http', () => {
  test('method, query, headers and body travel; JSON comes back parsed', async (t) => {
    const web = await startWeb(t, (request, response) => json(response, { got: request.body }));
    const { output, logs } = await runNode(http, {
      services: [outbound(t)],
      idempotencyKey: 'run-9/step-1',
      config: {
        method: 'POST',
        url: `${web.url}/a?x=1`,
        query: { q: '中 文', list: [1, 2], none: null, obj: { a: 1 } },
        headers: { 'X-Key': 'k', 'X-Number': 5 },
        body: { text: '你好', n: 1 },
      },
    });
    const [seen] = web.seen;
    const query = new URL(seen?.url ?? '', web.url).searchParams;
    assert.deepEqual(
      [...query],
      [
        ['x', '1'],
        ['q', '中 文'],
        ['list', '1'],
        ['list', '2'],
        ['obj', '{"a":1}'],
      ],
    );
    assert.equal(seen?.headers['x-key'], 'k');
    assert.equal(seen?.headers['x-number'], '5');
    assert.equal(seen?.headers['content-type'], 'application/json');
    assert.equal(seen?.headers['idempotency-key'], 'run-9/step-1');
    assert.equal(output.status, 200);
    assert.deepEqual(output.body, { got: '{"text":"你好","n":1}' });
    assert.doesNotMatch(JSON.stringify(logs), /X-Key|\?x=/);
  });

  test('text, form and no body; JSON given as text is not encoded twice', async (t) => {
    const web = await startWeb(t, (_, response) => response.end());
    const send = (config: Record<string, unknown>) =>
      runNode(http, { services: [outbound(t)], config: { url: web.url, method: 'PUT', ...config } });
    await send({ body_type: 'text', body: 'plain' });
    await send({ body_type: 'form', body: { a: '1&2', b: [1, 2], c: null } });
    await send({ body: '{"a": 1}' });
    await send({ body: 'just text' });
    await send({ body_type: 'none', body: 'x' });
    assert.deepEqual(
      web.seen.map(({ headers, body }) => [headers['content-type'], body]),
      [
        ['text/plain; charset=utf-8', 'plain'],
        ['application/x-www-form-urlencoded', 'a=1%262&b=1&b=2'],
        ['application/json', '{"a": 1}'],
        ['application/json', '"just text"'],
        [undefined, ''],
      ],
    );
  });

  test('answers: text in its charset, bytes as base64, JSON that is none', async (t) => {
    const web = await startWeb(t, ({ url }, response) => {
      const types: Record<string, string> = {
        '/gbk': 'text/html; charset=gbk',
        '/png': 'image/png',
        '/bad': 'application/json',
        '/problem': 'application/problem+json',
      };
      response.setHeader('content-type', types[url] ?? '');
      const bodies: Record<string, Buffer | string> = {
        '/gbk': Buffer.from([0xd6, 0xd0, 0xce, 0xc4]),
        '/png': Buffer.from([0x89, 0x50, 0xff]),
        '/bad': '<html>',
        '/problem': '{"a":1}',
      };
      response.end(bodies[url]);
    });
    const get = async (path: string, response_format?: string) =>
      (
        await runNode(http, {
          services: [outbound(t)],
          config: { url: web.url + path, ...(response_format && { response_format }) },
        })
      ).output.body;
    assert.equal(await get('/gbk'), '中文');
    assert.equal(await get('/png'), 'iVD/');
    assert.equal(await get('/bad'), '<html>');
    assert.deepEqual(await get('/problem'), { a: 1 });
    assert.equal(await get('/gbk', 'bytes'), '1tDOxA==');
    assert.equal((await refused(get('/bad', 'json'))).code, 'HTTP_RESPONSE_INVALID');
    assert.equal(await get('/empty', 'json'), null);
  });

  test('a status of 400 and above fails, or is an answer when that is wanted', async (t) => {
    const web = await startWeb(t, ({ url }, response) => {
      if (url === '/busy') response.setHeader('retry-after', '7');
      json(response, { why: 'no' }, url === '/busy' ? 503 : 404);
    });
    const get = (path: string, more: object = {}) =>
      runNode(http, { services: [outbound(t)], config: { url: web.url + path, ...more } });
    const missing = await refused(get('/x'));
    assert.deepEqual(
      [missing.code, missing.kind, missing.details],
      ['HTTP_STATUS', 'invalid', { status: 404, excerpt: '{"why":"no"}' }],
    );
    const busy = await refused(get('/busy'));
    assert.deepEqual([busy.kind, busy.retryAfter], ['unavailable', 7]);
    const { output } = await get('/x', { fail_on_status: false });
    assert.deepEqual([output.status, output.body], [404, { why: 'no' }]);
  });

  test('private addresses, odd schemes, too large answers and endless redirects are refused', async (t) => {
    const web = await startWeb(t, ({ url }, response) => {
      if (url === '/loop') response.writeHead(302, { location: '/loop' }).end();
      else if (url === '/inside') response.writeHead(302, { location: 'http://10.0.0.1/' }).end();
      else response.end('x'.repeat(5000));
    });
    const get = async (url: string, allow?: string[], more: object = {}) =>
      (await refused(runNode(http, { services: [outbound(t, allow)], config: { url, ...more } }))).code;
    assert.equal(await get(`${web.url}/`, []), 'OUTBOUND_REFUSED');
    assert.equal(await get('http://2130706433/', []), 'OUTBOUND_REFUSED');
    assert.equal(await get(`${web.url}/inside`), 'OUTBOUND_REFUSED');
    assert.equal(await get('file:///etc/passwd'), 'OUTBOUND_INVALID');
    assert.equal(await get('nonsense'), 'HTTP_URL_INVALID');
    assert.equal(await get(`${web.url}/large`, undefined, { max_bytes: 1000 }), 'OUTBOUND_TOO_LARGE');
    assert.equal(await get(`${web.url}/loop`, undefined, { max_redirects: 2 }), 'OUTBOUND_REDIRECTS');
  });

  test('in its lane: the thread has a guarded client of its own, and cancel ends the request', async (t) => {
    const HTTP = new URL('../../../../plugins/workflows/nodes/http.ts', import.meta.url);
    const { promise: asked, resolve } = Promise.withResolvers<void>();
    const web = await startWeb(t, ({ url }, response) => (url === '/slow' ? resolve() : json(response, { ok: true })));
    const local = [
      {
        key: outboundService.name,
        module: new URL('../../../../core/outbound/worker.ts', import.meta.url).href,
        options: outboundOptions,
      },
    ];
    const { output } = await runNodeInPool<{ body: unknown }>(HTTP, { local, config: { url: web.url } });
    assert.deepEqual(output.body, { ok: true });
    const controller = new AbortController();
    const failed = refused(
      runNodeInPool(HTTP, { local, config: { url: `${web.url}/slow` }, signal: controller.signal }),
    );
    await asked;
    controller.abort();
    assert.ok(['OUTBOUND_CANCELLED', 'NODE_CANCELLED'].includes((await failed).code));
  });
});

describe('data_source and knowledge', () => {
  test('data_source: parameters stand for :name, in SQL and in paths; the query itself is no template', async () => {
    const asked: unknown[] = [];
    let type: DataSourceType = 'mysql';
    const sources = provide(dataSourcesForNodes, {
      get: async () => ({ type }),
      query: async (...args) => {
        asked.push(args[1]);
        return { data: [{ a: 1 }], count: 1, truncated: false };
      },
    });
    const run = (config: object) =>
      runNode(dataSource, { services: [sources], config: { data_source_id: 'ds', ...config } });
    const sql = "select * from t where a = :a and b in (:b) and c = ':a' -- :a";
    const { output } = await run({ query: sql, parameters: { a: "x'; --", b: [1, true, null, -2] } });
    assert.deepEqual(output, { data: [{ a: 1 }], count: 1, truncated: false });
    type = 'postgresql';
    await run({ query: 'select a::text, $$ :a $$ from t where a = :a', parameters: { a: '中' } });
    await run({ dynamic_query: 'select :a' });
    type = 'api';
    await run({ query: '/users/:id/posts?x=:id', parameters: { id: '../7', q: 'w' } });
    await run({ query: { path: '/users', params: { a: 1 } }, parameters: { b: 2 } });
    assert.deepEqual(asked, [
      "select * from t where a = _utf8mb4 x'78273b202d2d' and b in (1, TRUE, NULL, (-2)) and c = ':a' -- :a",
      "select a::text, $$ :a $$ from t where a = E'\\u4e2d'",
      'select :a',
      { path: '/users/..%2F7/posts?x=:id', params: { q: 'w' } },
      { path: '/users', params: { a: 1, b: 2 } },
    ]);
    type = 'mysql';
    assert.equal((await refused(run({ query: 'select :b', parameters: { a: 1 } }))).code, 'SQL_PARAMETER_MISSING');
    assert.equal((await refused(run({ query: 'select :a', parameters: { a: 'x\0' } }))).code, 'SQL_PARAMETER_INVALID');
    type = 'json';
    assert.equal((await refused(run({ query: '$.a', parameters: { a: 1 } }))).code, 'DATA_PARAMETERS_UNSUPPORTED');
    assert.ok(dataSource.literal?.includes('query'), 'values are never pasted into a query');
  });

  test('knowledge: hits, and a text that is ready for a prompt', async () => {
    const asked: unknown[] = [];
    const search = provide(knowledgeSearch, {
      search: async (...args) => {
        asked.push(args);
        return [hit('about it')];
      },
    });
    const run = (config: Record<string, unknown>) =>
      runNode(knowledge, { services: [search], config, input: { query: 'q', n: 1 } });
    const { output } = await run({});
    assert.deepEqual([output.hits, output.count], [[hit('about it')], 1]);
    assert.equal(output.text, '<material ref="K1" title="a.pdf &gt; Part 1">\nabout it\n</material>');
    await run({ query: 'other', knowledge_base_ids: ['b'], top_k: 50, min_score: 0.5 });
    assert.deepEqual(asked, [
      ['q', { limit: 5 }],
      ['other', { limit: 50, scope: { knowledgeBaseIds: ['b'] }, minScore: 0.5 }],
    ]);
  });

  test('without their plugin both fail clearly', async () => {
    const config = { data_source_id: 'x', query: 'x' };
    for (const [run, plugin] of [
      [() => runNode(dataSource, { config }), 'data-sources'],
      [() => runNode(knowledge, { config }), 'knowledge'],
    ] as const) {
      const error = await refused(run());
      assert.equal(error.code, 'PLUGIN_REQUIRED');
      assert.match(error.message, new RegExp(plugin));
    }
  });

  test('in their lane they call the service of the host', async () => {
    const DATA = new URL('../../../../plugins/workflows/nodes/data-source.ts', import.meta.url);
    const host = new Map<string, object>([
      [
        dataSourcesForNodes.name,
        { query: async ({ tenantId }: { tenantId: string }, id: string) => ({ data: [{ tenantId, id }], count: 1 }) },
      ],
    ]);
    const { output } = await runNodeInPool(DATA, { host, config: { data_source_id: 'ds', query: 'x' } });
    assert.deepEqual(output, { data: [{ tenantId: 'tenant-1', id: 'ds' }], count: 1, truncated: false });
  });
});

describe('transform.large', () => {
  const rows = Array.from({ length: 2000 }, (_, at) => ({ id: at, price: at % 10, name: `n${at}` }));
  const outputs: Record<string, unknown> = { 'http-1': { body: { rate: 2 } }, other: { a: { b: 1 } }, word: 'text' };
  const input = { rows, title: 'T' };
  const context: TransformContext = {
    input,
    predecessors: [
      { id: 'other', output: outputs.other },
      { id: 'word', output: outputs.word },
    ],
    scope: {
      lookup: (path) => {
        const inside = getPath(input, path);
        return inside === undefined ? getPath(outputs, path) : inside;
      },
    },
  };
  const cases: Record<string, unknown>[] = [
    { mapping: { 'a.b': 'title', c: '{http-1.body.rate}', d: 'x {title} y {nothing}', e: 'missing.path', f: 5 } },
    {
      mode: 'filter',
      items_path: 'rows',
      filter_rules: [{ field: 'price', operator: '>', value: '{http-1.body.rate}' }],
    },
    {
      mode: 'compute',
      compute_rules: { n: 'len({rows})', twice: '{http-1.body.rate} * {n}', 'deep.x': '{twice} + 1' },
    },
    { mode: 'merge' },
    { mode: 'merge', sources: ['http-1', 'word', 'gone'] },
    {
      mode: 'all',
      mapping: { rows: 'rows', rate: 'http-1.body.rate' },
      items_path: 'rows',
      filter_rules: [{ field: 'id', operator: '<', value: 3 }],
      compute_rules: { n: 'len({rows})' },
    },
  ];
  for (const data of cases) {
    test(`gives what the transform gives: ${JSON.stringify(data).slice(0, 60)}`, async () => {
      const { config, input: task } = toLargeTransform(data, context);
      const { output } = await runNode(transformLarge, { config, input: JSON.parse(JSON.stringify(task)) });
      const here = transform(parseTransform(data), context);
      assert.deepEqual(output, JSON.parse(JSON.stringify(here)));
    });
  }
});

test('node types: every file declares a type with texts in both languages, and JSON Schemas whose fields have labels', async (t) => {
  const pool = await createPool({ log: createLogger('silent'), nodes: nodeFiles });
  t.after(() => pool.close({ graceMs: 0 }));
  const described = pool.describe();
  assert.deepEqual(described.map(({ type }) => type).sort(), [
    'agent',
    'code',
    'data_source',
    'http',
    'knowledge',
    'llm',
    'transform.large',
  ]);
  for (const { type, label, summary, config, literal } of described) {
    assert.ok(label?.zh && label.en && summary?.zh && summary.en, type);
    const properties = config.properties as Record<string, { label?: { zh: string; en: string } }>;
    for (const name of literal) assert.ok(properties[name], `${type}.${name}`);
    if (type === 'transform.large') continue;
    for (const [name, field] of Object.entries(properties))
      assert.ok(field.label?.zh && field.label.en, `${type}.${name}`);
  }
});
