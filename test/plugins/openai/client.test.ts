import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import OpenAI, { APIError } from 'openai';
import type { Principal } from '../../../core/principal.ts';
import { runService } from '../../../runtime/runs/service.ts';
import { usageService } from '../../../runtime/usage/index.ts';
import { startTestServer, type TestServer } from '../../support/app.ts';
import { type FakeOpenAI, startFakeOpenAI } from '../../support/fake-openai.ts';
import { changedManifest } from '../../support/manifest.ts';
import { apiAccount } from '../../support/people.ts';

const WEATHER = {
  type: 'function' as const,
  function: {
    name: 'get_weather',
    description: 'The weather of a city',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
};
async function collect<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const one of stream) all.push(one);
  return all;
}

const HELLO = [{ role: 'user' as const, content: 'hello' }];

/** The endpoint as OpenAI's own client uses it; behind it a model server over real HTTP. */
describe('the official openai client', () => {
  const disposers: (() => unknown)[] = [];
  const owner = { after: (dispose: () => unknown) => void disposers.push(dispose) } as never;
  let upstream: FakeOpenAI;
  let server: TestServer;
  let client: OpenAI;
  let principal: Principal;
  let token: string;

  before(async () => {
    upstream = await startFakeOpenAI();
    disposers.push(() => upstream.close());
    const manifest = changedManifest(owner, ({ runtime, plugins }) => {
      runtime.budgets = { perAccount: { tokens: 100_000 } };
      Object.assign(plugins.agents?.options ?? {}, { modelAttempts: 1 });
    });
    server = await startTestServer(owner, {
      KOAGENT_MANIFEST: manifest,
      OPENAI_BASE_URL: upstream.url,
      OPENAI_API_KEY: 'sk-test-0123456789',
      DEFAULT_MODEL: 'gpt-4o',
    });
    ({ token, principal } = await apiAccount(server.server, 'openai-user'));
    client = new OpenAI({ apiKey: token, baseURL: `${server.url}/v1`, maxRetries: 0 });
  });
  after(async () => {
    for (const dispose of disposers.reverse()) await dispose();
  });
  beforeEach(() => upstream.always({ text: 'ok' }));

  async function failure(work: Promise<unknown>) {
    const error = await work.then(
      () => assert.fail('it did not fail'),
      (reason: unknown) => reason,
    );
    assert.ok(error instanceof APIError, String(error));
    return { status: error.status, code: error.code, param: error.param, type: error.type, message: error.message };
  }

  const runOf = (id: string) => {
    const hex = id.replace('chatcmpl-', '');
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
  };
  const runs = () => server.server.app.host.find(runService) ?? assert.fail();

  test('chat: an answer with its usage, and the run behind it', async () => {
    upstream.reply({ text: ['Hel', 'lo!'], thinking: 'Greet back.' });
    const answer = await client.chat.completions.create({
      model: 'gpt-4o',
      messages: [{ role: 'system', content: 'Be brief.' }, ...HELLO],
      temperature: 0.3,
      max_tokens: 50,
      stop: ['END'],
      user: 'ignored',
      seed: 7,
    });
    assert.match(answer.id, /^chatcmpl-[0-9a-f]{32}$/);
    assert.deepEqual([answer.object, answer.model], ['chat.completion', 'gpt-4o']);
    assert.ok(Math.abs(answer.created - Date.now() / 1000) < 60);
    assert.deepEqual(answer.choices, [
      {
        index: 0,
        message: { role: 'assistant', content: 'Hello!', refusal: null, reasoning_content: 'Greet back.' },
        logprobs: null,
        finish_reason: 'stop',
      },
    ]);
    assert.deepEqual(answer.usage, {
      prompt_tokens: 10,
      completion_tokens: 5,
      total_tokens: 15,
      prompt_tokens_details: { cached_tokens: 0 },
    });
    const { body } = upstream.requests.at(-1) ?? assert.fail();
    assert.deepEqual(body.messages, [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'hello' },
    ]);
    assert.deepEqual([body.temperature, body.max_tokens ?? body.max_completion_tokens, body.stop], [0.3, 50, ['END']]);

    const run = await runs().get(principal, runOf(answer.id));
    assert.deepEqual([run?.kind, run?.status], ['completion', 'succeeded']);
    const usage = await server.server.app.host.find(usageService)?.totals(principal, { runId: runOf(answer.id) });
    assert.equal(usage?.totalTokens, 15);
  });

  test('chat: a stream in pieces, with usage at the end when it is asked for', async () => {
    upstream.reply({ text: ['one ', 'two ', 'three'], thinking: 'count' });
    const stream = await client.chat.completions.create({
      model: 'gpt-4o',
      messages: HELLO,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = await collect(stream);
    assert.deepEqual(chunks[0]?.choices[0]?.delta, { role: 'assistant', content: '', refusal: null });
    assert.equal(chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join(''), 'one two three');
    const reasons = chunks.map(({ choices }) => choices[0]?.finish_reason).filter((reason) => reason);
    assert.deepEqual(reasons, ['stop']);
    assert.ok(
      chunks.every(({ id, object, usage }, at) => {
        return (
          id === chunks[0]?.id && object === 'chat.completion.chunk' && (usage === null || at === chunks.length - 1)
        );
      }),
    );
    const last = chunks.at(-1);
    assert.deepEqual([last?.choices, last?.usage?.total_tokens], [[], 15]);

    const plain = await collect(
      await client.chat.completions.create({ model: 'gpt-4o', messages: HELLO, stream: true }),
    );
    assert.ok(plain.every((chunk) => !('usage' in chunk)));
  });

  test('stream helper: collects the same answer', async () => {
    upstream.reply({ text: ['a', 'b', 'c'] });
    const final = await client.chat.completions.stream({ model: 'gpt-4o', messages: HELLO }).finalChatCompletion();
    assert.equal(final.choices[0]?.message.content, 'abc');
  });

  test('tools: the call goes out, its result comes back, the answer follows', async () => {
    upstream.reply({ toolCalls: [{ id: 'call_1', name: 'get_weather', arguments: ['{"city":', '"巴黎"}'] }] });
    const first = await client.chat.completions.create({
      model: 'gpt-4o',
      messages: [{ role: 'user', content: '巴黎天气？' }],
      tools: [WEATHER],
      tool_choice: 'required',
    });
    const [choice] = first.choices;
    assert.equal(choice?.finish_reason, 'tool_calls');
    assert.deepEqual(choice.message, {
      role: 'assistant',
      content: null,
      refusal: null,
      tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'get_weather', arguments: '{"city":"巴黎"}' } }],
    });
    const { body } = upstream.requests.at(-1) ?? assert.fail();
    assert.equal(body.tool_choice, 'required');
    assert.deepEqual(body.tools, [WEATHER]);

    upstream.reply({ text: '晴，22 度。' });
    const second = await client.chat.completions.create({
      model: 'gpt-4o',
      messages: [
        { role: 'user', content: '巴黎天气？' },
        choice.message,
        { role: 'tool', tool_call_id: 'call_1', content: '{"sky":"clear","celsius":22}' },
      ],
      tools: [WEATHER],
      tool_choice: { type: 'function', function: { name: 'get_weather' } },
    });
    assert.equal(second.choices[0]?.message.content, '晴，22 度。');
    const sent = upstream.requests.at(-1)?.body;
    assert.deepEqual(
      sent.messages.map(({ role }: { role: string }) => role),
      ['user', 'assistant', 'tool'],
    );
    assert.equal(sent.messages[1].tool_calls[0].id, 'call_1');
    assert.equal(sent.messages[2].content, '{"sky":"clear","celsius":22}');
  });

  test('tools: streamed calls, and one call alone when the client wants no more', async () => {
    const calls = [
      { id: 'call_1', name: 'get_weather', arguments: '{"city":"A"}' },
      { id: 'call_2', name: 'get_weather', arguments: '{"city":"B"}' },
    ];
    upstream.reply({ text: 'Let me see.', toolCalls: calls }, { toolCalls: calls });
    const options = { model: 'gpt-4o', messages: HELLO, tools: [WEATHER] };
    const final = await client.chat.completions.stream(options).finalChatCompletion();
    assert.deepEqual(
      final.choices[0]?.message.tool_calls?.map(({ id, ...call }) => [
        id,
        'function' in call && call.function.arguments,
      ]),
      [
        ['call_1', '{"city":"A"}'],
        ['call_2', '{"city":"B"}'],
      ],
    );
    assert.deepEqual(
      [final.choices[0]?.message.content, final.choices[0]?.finish_reason],
      ['Let me see.', 'tool_calls'],
    );
    const single = await client.chat.completions.create({ ...options, parallel_tool_calls: false });
    assert.deepEqual(
      single.choices[0]?.message.tool_calls?.map(({ id }) => id),
      ['call_1'],
    );
  });

  test('response_format: JSON by a schema; one that is none is asked for again', async () => {
    upstream.reply({ text: 'not JSON' }, { text: '{"name":"Ada","age":36}' });
    const schema = { type: 'object', properties: { name: { type: 'string' } }, required: ['name'] };
    const answer = await client.chat.completions.create({
      model: 'gpt-4o',
      messages: HELLO,
      response_format: { type: 'json_schema', json_schema: { name: 'person', schema } },
    });
    assert.deepEqual(JSON.parse(answer.choices[0]?.message.content ?? ''), { name: 'Ada', age: 36 });
    assert.equal(answer.usage?.total_tokens, 30, 'both calls were paid for');
    upstream.reply({ text: '[1,2]' });
    const object = await client.chat.completions.create({
      model: 'gpt-4o',
      messages: HELLO,
      response_format: { type: 'json_object' },
    });
    assert.deepEqual(JSON.parse(object.choices[0]?.message.content ?? ''), [1, 2]);
    upstream.always({ text: 'never JSON' });
    const failed = await failure(
      client.chat.completions.create({ model: 'gpt-4o', messages: HELLO, response_format: { type: 'json_object' } }),
    );
    assert.deepEqual([failed.status, failed.code], [502, 'model_invalid_json']);
  });

  test('pictures go to a model that reads them', async () => {
    const url = 'data:image/png;base64,iVBORw0KGgo=';
    await client.chat.completions.create({
      model: 'gpt-4o',
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'What is it?' },
            { type: 'image_url', image_url: { url } },
          ],
        },
      ],
    });
    const [message] = upstream.requests.at(-1)?.body.messages ?? [];
    assert.deepEqual(
      message.content.map(({ type }: { type: string }) => type),
      ['text', 'image_url'],
    );
    assert.equal(message.content[1].image_url.url, url);
  });

  test('models: configured ones, the catalogue, and what the caller may name', async () => {
    const { data } = await client.models.list();
    const ids = data.map(({ id }) => id);
    for (const id of ['gpt-4o', 'deepseek-v3', 'agent-picos']) assert.ok(ids.includes(id), id);
    assert.ok(
      data.every(({ object, owned_by, created }) => object === 'model' && owned_by === 'koagent' && created > 0),
    );
    assert.equal((await client.models.retrieve('agent-picos')).id, 'agent-picos');
    const missing = await failure(client.models.retrieve('no-such-model'));
    assert.deepEqual([missing.status, missing.code, missing.param], [404, 'model_not_found', 'model']);
  });

  test('errors: token, model, fields, paths, in the forms that the client knows', async () => {
    const stranger = new OpenAI({ apiKey: 'wrong', baseURL: `${server.url}/v1`, maxRetries: 0 });
    const refused = await failure(stranger.models.list());
    assert.deepEqual([refused.status, refused.code, refused.type], [401, 'invalid_api_key', 'invalid_request_error']);

    const create = (fields: object) =>
      failure(client.chat.completions.create({ model: 'gpt-4o', messages: HELLO, ...fields } as never));
    const unknown = await create({ model: 'gpt-99' });
    assert.deepEqual([unknown.status, unknown.code, unknown.param], [404, 'model_not_found', 'model']);

    const wrong: [object, string][] = [
      [{ model: 7 }, 'model'],
      [{ model: undefined }, 'model'],
      [{ messages: [] }, 'messages'],
      [{ messages: 'hello' }, 'messages'],
      [{ messages: [{ role: 'system', content: 'x' }] }, 'messages'],
      [{ messages: [{ role: 'bishop', content: 'x' }] }, 'messages[0].role'],
      [{ messages: [{ role: 'user', content: 7 }] }, 'messages[0].content'],
      [{ messages: [{ role: 'user', content: ' ' }] }, 'messages[0].content'],
      [{ messages: [{ role: 'user', content: [{ type: 'text' }] }] }, 'messages[0].content[0].text'],
      [{ messages: [{ role: 'user', content: [{ type: 'input_audio' }] }] }, 'messages[0].content[0].type'],
      [
        { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'http://x/y' } }] }] },
        'messages[0].content[0].image_url.url',
      ],
      [{ messages: [...HELLO, { role: 'tool', content: 'x' }] }, 'messages[1].tool_call_id'],
      [
        { messages: [...HELLO, { role: 'assistant', tool_calls: [{ id: 'a', type: 'function' }] }, ...HELLO] },
        'messages[1].tool_calls[0].function',
      ],
      [{ temperature: 3 }, 'temperature'],
      [{ max_tokens: 0 }, 'max_tokens'],
      [{ n: 2 }, 'n'],
      [{ stop: [7] }, 'stop[0]'],
      [{ logprobs: true }, 'logprobs'],
      [{ functions: [] }, 'functions'],
      [{ tools: [{ type: 'function', function: { name: 'with space' } }] }, 'tools[0].function.name'],
      [{ tools: [WEATHER, WEATHER] }, 'tools[1].function.name'],
      [{ tools: [{ type: 'custom' }] }, 'tools[0].type'],
      [{ tool_choice: 'required' }, 'tool_choice'],
      [{ tools: [WEATHER], tool_choice: { type: 'function', function: { name: 'other' } } }, 'tool_choice'],
      [{ response_format: { type: 'xml' } }, 'response_format.type'],
      [{ response_format: { type: 'json_schema', json_schema: {} } }, 'response_format.json_schema.schema'],
    ];
    for (const [fields, param] of wrong) {
      const { status, type, param: named, message } = await create(fields);
      assert.deepEqual(
        [status, type, named],
        [400, 'invalid_request_error', param],
        `${JSON.stringify(fields)}: ${message}`,
      );
    }
    const missing = await fetch(`${server.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', 'accept-language': 'en' },
      body: '{}',
    });
    const told = (await missing.json()) as { error: { message: string; param: string } };
    assert.deepEqual([missing.status, told.error.param, told.error.message], [400, 'model', 'model: is required']);
    const nowhere = await failure(client.embeddings.create({ model: 'x', input: 'y' }));
    assert.deepEqual([nowhere.status, nowhere.code], [404, 'route_not_found']);
    const unreadable = await fetch(`${server.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: '{"model":',
    });
    assert.equal(unreadable.status, 400);
    const { error } = (await unreadable.json()) as { error: { type: string } };
    assert.equal(error.type, 'invalid_request_error');
  });

  test('errors of the model server: by status before the first word, in the stream after it', async () => {
    const create = (stream: boolean) =>
      client.chat.completions.create({ model: 'gpt-4o', messages: HELLO, stream }) as Promise<unknown>;
    upstream.always({
      status: 401,
      body: { error: { message: 'bad key sk-test-0123456789', code: 'invalid_api_key' } },
    });
    for (const stream of [false, true]) {
      const { status, code, message } = await failure(create(stream));
      assert.deepEqual([status, code], [503, 'model_unauthenticated'], 'the caller’s own token is good');
      assert.ok(!message.includes('sk-test'));
    }
    upstream.always({ status: 429, headers: { 'retry-after': '7' } });
    const limited = await failure(create(true));
    assert.deepEqual([limited.status, limited.code], [429, 'rate_limit_exceeded']);

    upstream.always({ fault: 'half' });
    const stream = (await create(true)) as AsyncIterable<{ choices: { delta: { content?: string } }[] }>;
    let text = '';
    const broken = await failure(
      (async () => {
        for await (const { choices } of stream) text += choices[0]?.delta.content ?? '';
      })(),
    );
    assert.equal(text, 'begin ');
    assert.equal(broken.code, 'model_stream_broken');
  });

  test('abort: the run is cancelled and the model server is let go', async () => {
    const gate = Promise.withResolvers<void>();
    upstream.reply({ text: ['first', ' second'], afterFirst: gate.promise });
    const asked = upstream.nextRequest();
    const stream = await client.chat.completions.create({ model: 'gpt-4o', messages: HELLO, stream: true });
    let id = '';
    for await (const chunk of stream) {
      id = chunk.id;
      if (chunk.choices[0]?.delta.content === 'first') break;
    }
    assert.equal(await (await asked).ended, 'aborted');
    gate.resolve();
    const run = await runs().ended(principal, runOf(id));
    assert.equal(run.status, 'cancelled');

    const silent = Promise.withResolvers<void>();
    upstream.reply({ text: 'late', gate: silent.promise });
    const waiting = upstream.nextRequest();
    const abort = new AbortController();
    const pending = client.chat.completions.create({ model: 'gpt-4o', messages: HELLO }, { signal: abort.signal });
    const request = await waiting;
    abort.abort();
    await assert.rejects(pending);
    assert.equal(await request.ended, 'aborted');
    silent.resolve();
  });

  test('Idempotency-Key: a repeated request is the same answer, also when the first client went away', async () => {
    const headers = { 'Idempotency-Key': 'order-66' };
    const gate = Promise.withResolvers<void>();
    upstream.reply({ text: ['slow', ' answer'], afterFirst: gate.promise });
    const stream = await client.chat.completions.create(
      { model: 'gpt-4o', messages: HELLO, stream: true },
      { headers },
    );
    let id = '';
    for await (const chunk of stream) {
      id = chunk.id;
      if (chunk.choices[0]?.delta.content) break;
    }
    gate.resolve();
    const before = upstream.requests.length;
    const again = await client.chat.completions.create({ model: 'gpt-4o', messages: HELLO }, { headers });
    assert.deepEqual([again.id, again.choices[0]?.message.content], [id, 'slow answer']);
    assert.equal(upstream.requests.length, before, 'the model was not asked again');
    const other = await failure(
      client.chat.completions.create({ model: 'gpt-4o', messages: [{ role: 'user', content: 'else' }] }, { headers }),
    );
    assert.deepEqual([other.status, other.code], [400, 'idempotency_key_reused']);

    const failing = { 'Idempotency-Key': 'fails-first' };
    upstream.reply({ status: 400 }, { text: 'now it works' });
    await failure(client.chat.completions.create({ model: 'gpt-4o', messages: HELLO }, { headers: failing }));
    const retried = await client.chat.completions.create({ model: 'gpt-4o', messages: HELLO }, { headers: failing });
    assert.equal(retried.choices[0]?.message.content, 'now it works');
  });

  test('Idempotency-Key: an answer is finished over a restart of the server', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'koagent-openai-'));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const env = { KOAGENT_DATA_DIR: folder, OPENAI_BASE_URL: upstream.url, OPENAI_API_KEY: 'sk-test-0123456789' };
    const before = await startTestServer(t, env);
    const { token: apiKey } = await apiAccount(before.server, 'restarted');
    const ask = (url: string) =>
      new OpenAI({ apiKey, baseURL: `${url}/v1`, maxRetries: 0 }).chat.completions.create(
        { model: 'gpt-4o', messages: HELLO },
        { headers: { 'Idempotency-Key': 'once' } },
      );
    const gate = Promise.withResolvers<void>();
    t.after(() => gate.resolve());
    upstream.reply({ text: ['never', ' seen'], afterFirst: gate.promise });
    const asked = upstream.nextRequest();
    const lost = ask(before.url);
    lost.catch(() => undefined);
    await asked;
    await before.server.close();
    await assert.rejects(lost);
    upstream.reply({ text: 'after the restart' });
    const after = await startTestServer(t, env);
    const requests = upstream.requests.length;
    const answer = await ask(after.url);
    assert.equal(answer.choices[0]?.message.content, 'after the restart');
    assert.ok(upstream.requests.length - requests <= 1, 'by the run that was under way, not by another one');
    assert.equal((await ask(after.url)).id, answer.id);
  });

  test('agents: of the catalogue by id, the caller’s own by number and name, nobody else’s', async () => {
    const body = { email: 'agents@example.com', password: 'Secret123' };
    await server.call('POST', '/users/register', { body });
    const login = await server.call('POST', '/users/login', { body });
    const jwt = login.body.data.access_token;
    const mine = new OpenAI({ apiKey: jwt, baseURL: `${server.url}/v1`, maxRetries: 0 });
    const agent = await server.call('POST', '/agents', {
      token: jwt,
      body: {
        name: '海盗',
        prompt_template: 'Answer as a pirate. Question: {question}',
        model_config: { provider: 'openai', model_name: 'gpt-4o' },
      },
    });
    assert.equal(agent.status, 200, agent.text);
    const id = `agent-${agent.body.data.id}`;
    const ask = (model: string, system = 'The ship is small.') =>
      mine.chat.completions.create({
        model,
        messages: [
          { role: 'system', content: system },
          { role: 'user', content: 'Where is the rum?' },
        ],
      });
    upstream.always({ text: 'Arr' });
    for (const name of [id, '海盗']) {
      const answer = await ask(name);
      assert.deepEqual([answer.model, answer.choices[0]?.message.content], [name, 'Arr']);
      const [system, user] = upstream.requests.at(-1)?.body.messages ?? [];
      assert.equal(system.content, 'Answer as a pirate. Question: Where is the rum?\n\nThe ship is small.');
      assert.equal(user.content, 'Where is the rum?');
    }
    const { data } = await mine.models.list();
    assert.ok(data.some((model) => model.id === id));
    await ask('agent-picos', 'A trial on osteoporosis.');
    assert.match(upstream.requests.at(-1)?.body.messages[0].content, /A trial on osteoporosis\./);

    for (const name of [id, '海盗']) {
      const foreign = await failure(client.chat.completions.create({ model: name, messages: HELLO }));
      assert.deepEqual([foreign.status, foreign.code], [404, 'model_not_found']);
    }
    await server.call('POST', '/agents', {
      token: jwt,
      body: { name: '海盗', prompt_template: 'x', model_config: { provider: 'openai', model_name: 'gpt-4o' } },
    });
    const ambiguous = await failure(ask('海盗'));
    assert.deepEqual([ambiguous.status, ambiguous.param], [400, 'model']);
  });

  test('a budget that is used up is an error that clients do not repeat', async () => {
    const { token: other, principal: spender } = await apiAccount(server.server, 'spender');
    await server.server.app.host.find(usageService)?.record(spender, {
      runId: 'earlier',
      kind: 'completion',
      model: 'gpt-4o',
      inputTokens: 100_000,
      outputTokens: 0,
      cachedTokens: 0,
      estimated: false,
    });
    const poor = new OpenAI({ apiKey: other, baseURL: `${server.url}/v1`, maxRetries: 5 });
    const before = upstream.requests.length;
    const { status, code } = await failure(
      poor.chat.completions.create({ model: 'gpt-4o', messages: HELLO, stream: true }),
    );
    assert.deepEqual([status, code], [429, 'insufficient_quota']);
    assert.equal(upstream.requests.length, before);
  });
});
