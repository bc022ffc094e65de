import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { parseModelsConfig } from '../../../config/models.ts';
import { AppError } from '../../../core/errors.ts';
import type { Clock } from '../../../runtime/models/clock.ts';
import { systemClock } from '../../../runtime/models/clock.ts';
import { createModelGateway, type ModelEvent, type ModelRequest } from '../../../runtime/models/index.ts';
import { type FakeOpenAI, startFakeOpenAI } from '../../support/fake-openai.ts';

const KEY = 'sk-test-0123456789abcdef';
let openai: FakeOpenAI;

before(async () => {
  openai = await startFakeOpenAI();
});
after(() => openai.close());

const config = (more = '', env: Record<string, string> = {}) =>
  parseModelsConfig(
    `
default: main
offlineFallback: false
defaults:
  contextWindow: 32768
  maxOutputTokens: 4096
  timeouts: { firstTokenMs: 20000, idleMs: 20000, totalMs: 30000 }
  retry: { maxAttempts: 3, baseDelayMs: 10, maxDelayMs: 40, jitter: 0 }
providers:
  fake: { kind: openai, baseUrl: ${openai.url}, apiKeyEnv: KEY, jsonMode: schema }
  words: { kind: openai, baseUrl: ${openai.url}, apiKeyEnv: KEY, jsonMode: object }
  azure: { kind: azure, baseUrl: ${openai.origin}, apiKeyEnv: KEY, apiVersion: '2024-10-21' }
  gone: { kind: openai, baseUrl: 'http://127.0.0.1:1/v1', apiKeyEnv: KEY }
  nokey: { kind: openai, baseUrl: ${openai.url}, apiKeyEnv: OTHER_KEY }
  offline: { kind: offline }
models:
  main: { name: Main, provider: fake, model: main-model, multimodal: true, supportsThinking: true, returnThinking: true, thinkingModel: main-thinker, body: { thinking: { think: true }, noThinking: { think: false } } }
  backed: { name: Backed, provider: fake, model: backed-model, fallback: [missing, second] }
  second: { name: Second, provider: fake, model: second-model }
  words: { name: Words, provider: words, model: words-model }
  cloud: { name: Cloud, provider: azure, model: my deployment }
  gone: { name: Gone, provider: gone, model: x, retry: { maxAttempts: 1 } }
  missing: { name: Missing, provider: nokey, model: x }
  offline: { name: Offline, provider: offline, model: offline }
${more}`,
    { KEY, ...env },
  );

/** Time in which every wait ends at once and is written down; time limits (over a second) never fire. */
const instantClock = () => {
  const waits: number[] = [];
  const clock: Clock = {
    now: systemClock.now,
    after(ms, action) {
      if (ms > 5000) return () => undefined;
      waits.push(ms);
      return systemClock.after(0, action);
    },
  };
  return { clock, waits };
};

const hello: ModelRequest = { model: 'main', messages: [{ role: 'user', content: 'hello' }] };

const read = async (events: AsyncIterable<ModelEvent>) => {
  const list: ModelEvent[] = [];
  let error: unknown;
  try {
    for await (const event of events) list.push(event);
  } catch (cause) {
    error = cause;
  }
  return { list, error, types: list.map(({ type }) => type) };
};

const codeOf = (error: unknown) => (error instanceof AppError ? error.code : String(error));

test('stream: thinking, text, usage and finish come in order, with the request as the provider needs it', async () => {
  openai.reply({
    thinking: ['let ', 'me see'],
    text: ['Hel', 'lo ', '世界'],
    usage: { prompt_tokens: 20, completion_tokens: 7, total_tokens: 27, prompt_tokens_details: { cached_tokens: 16 } },
  });
  const gateway = createModelGateway(config());
  const { list, error } = await read(
    gateway.stream({
      ...hello,
      messages: [
        { role: 'system', content: 'be brief' },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'look' },
            { type: 'image', url: 'data:image/png;base64,AAAA' },
          ],
        },
        {
          role: 'assistant',
          content: 'calling',
          thinking: 'hm',
          toolCalls: [{ id: 'c1', name: 'look', arguments: { a: 1 }, raw: '{"a":1}' }],
        },
        { role: 'tool', toolCallId: 'c1', content: 'seen' },
        { role: 'user', content: 'and now?' },
      ],
      temperature: 0.3,
      maxTokens: 99999,
      thinking: true,
      stop: ['END'],
    }),
  );
  assert.equal(error, undefined);
  assert.deepEqual(list, [
    { type: 'thinking', text: 'let ' },
    { type: 'thinking', text: 'me see' },
    { type: 'text', text: 'Hel' },
    { type: 'text', text: 'lo ' },
    { type: 'text', text: '世界' },
    { type: 'usage', inputTokens: 20, outputTokens: 7, totalTokens: 27, cachedTokens: 16, estimated: false },
    { type: 'finish', reason: 'stop', model: 'main', offline: false },
  ]);
  const sent = openai.requests.at(-1);
  assert.ok(sent);
  assert.equal(sent.path, '/v1/chat/completions');
  assert.equal(sent.headers.authorization, `Bearer ${KEY}`);
  assert.equal(sent.headers['openai-organization'], undefined);
  const { messages, ...rest } = sent.body;
  assert.deepEqual(rest, {
    model: 'main-thinker',
    stream: true,
    stream_options: { include_usage: true },
    temperature: 0.3,
    max_tokens: 4096,
    think: true,
    stop: ['END'],
  });
  assert.deepEqual(messages[0], { role: 'system', content: 'be brief' });
  assert.deepEqual(messages[1].content[1], { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } });
  assert.equal(messages[2].reasoning_content, 'hm');
  assert.deepEqual(messages[2].tool_calls[0].function, { name: 'look', arguments: '{"a":1}' });
  assert.deepEqual(messages[3], { role: 'tool', content: 'seen', tool_call_id: 'c1' });
});

test('stream: deltas without a role lose neither thinking nor tool calls nor usage', async () => {
  openai.reply({ noRole: true, thinking: 'hm', text: 'a', toolCalls: [{ id: 'c1', name: 'f', arguments: '{}' }] });
  const { list } = await read(createModelGateway(config()).stream({ ...hello, tools: [tool('f')] }));
  assert.deepEqual(
    list.filter(({ type }) => type !== 'tool_call_delta'),
    [
      { type: 'thinking', text: 'hm' },
      { type: 'text', text: 'a' },
      { type: 'tool_call', id: 'c1', name: 'f', raw: '{}', arguments: {} },
      { type: 'usage', inputTokens: 10, outputTokens: 5, totalTokens: 15, cachedTokens: 0, estimated: false },
      { type: 'finish', reason: 'tool_calls', model: 'main', offline: false },
    ],
  );
});

const tool = (name: string) => ({
  name,
  description: 'a tool',
  parameters: { type: 'object', properties: { q: { type: 'string' } }, required: ['q'] },
});

test('tool calls: pieces are joined, parallel calls kept apart, wrong JSON is a value', async () => {
  openai.reply({
    toolCalls: [
      { id: 'a', name: 'search', arguments: ['{"q":', '"x', '"}'] },
      { id: 'b', name: 'search', arguments: ['{"q": "broken'] },
      { id: 'c', name: 'search', arguments: '[1]' },
      { id: 'd', name: 'now', arguments: '' },
    ],
    finishReason: 'stop',
  });
  const gateway = createModelGateway(config());
  const result = await gateway.complete({
    ...hello,
    tools: [tool('search'), tool('now')],
    toolChoice: { name: 'search' },
  });
  assert.deepEqual(
    result.toolCalls.map(({ id, arguments: args }) => [id, args]),
    [
      ['a', { q: 'x' }],
      ['b', null],
      ['c', null],
      ['d', {}],
    ],
  );
  assert.equal(result.toolCalls[1]?.raw, '{"q": "broken');
  assert.match(result.toolCalls[1]?.invalid ?? '', /JSON/);
  assert.equal(result.finishReason, 'tool_calls');
  const { body } = openai.requests.at(-1) ?? {};
  assert.deepEqual(body.tools[0], { type: 'function', function: tool('search') });
  assert.deepEqual(body.tool_choice, { type: 'function', function: { name: 'search' } });

  openai.reply({
    toolCalls: [
      { id: 'a', name: 'search', arguments: '{"q":"1"}', index: 0 },
      { id: 'b', name: 'search', arguments: '{"q":"2"}', index: 0 },
      { name: 'now', arguments: '{}', index: 0 },
    ],
  });
  const same = await gateway.complete({ ...hello, tools: [tool('search')] });
  assert.deepEqual(
    same.toolCalls.map(({ raw }) => raw),
    ['{"q":"1"}', '{"q":"2"}', '{}'],
  );
  assert.equal(new Set(same.toolCalls.map(({ id }) => id)).size, 3);
});

test('usage: estimated when the provider sends none', async () => {
  openai.reply({ text: 'one two three', usage: false });
  const { usage } = await createModelGateway(config()).complete(hello);
  assert.equal(usage.estimated, true);
  assert.ok(usage.inputTokens > 0 && usage.outputTokens >= 3);
});

test('JSON: schema, JSON mode and a fenced answer are understood; what is no JSON is refused', async () => {
  const gateway = createModelGateway(config());
  const schema = { type: 'object', properties: { a: { type: 'number' } } };
  const format = { type: 'json', schema, name: 'thing' } as const;
  openai.reply({ text: ['{"a":', ' 1}'] }, { text: 'Here:\n```json\n{"a": 2}\n```\nDone.' }, { text: 'sorry' });
  assert.deepEqual((await gateway.complete({ ...hello, responseFormat: format })).json, { a: 1 });
  assert.deepEqual(openai.requests.at(-1)?.body.response_format, {
    type: 'json_schema',
    json_schema: { name: 'thing', schema },
  });

  const words = { ...hello, model: 'words', responseFormat: format };
  assert.deepEqual((await gateway.complete(words)).json, { a: 2 });
  const { body } = openai.requests.at(-1) ?? {};
  assert.deepEqual(body.response_format, { type: 'json_object' });
  assert.match(body.messages[0].content, /JSON Schema/);
  await assert.rejects(gateway.complete(words), { code: 'MODEL_INVALID_JSON' });
});

test('Azure: the deployment stands in the path and only the api-key header is sent', async () => {
  openai.reply({ text: 'hi' });
  const result = await createModelGateway(config()).complete({ ...hello, model: 'cloud' });
  assert.equal(result.text, 'hi');
  const { path, headers } = openai.requests.at(-1) ?? { headers: {} as Record<string, undefined> };
  assert.equal(path, '/openai/deployments/my%20deployment/chat/completions?api-version=2024-10-21');
  assert.equal(headers['api-key'], KEY);
  assert.equal(headers.authorization, undefined);
});

test('retry: 429 waits as long as Retry-After says, other failures back off', async () => {
  const { clock, waits } = instantClock();
  openai.reply({ status: 429, headers: { 'retry-after': '2' } }, { status: 500 }, { text: 'at last' });
  const { list } = await read(createModelGateway(config(), { clock }).stream(hello));
  assert.deepEqual(waits, [2000, 20]);
  const retries = list.filter((event) => event.type === 'retry');
  assert.deepEqual(
    retries.map(({ attempt, maxAttempts, retryIn, error }) => [attempt, maxAttempts, retryIn, error.code]),
    [
      [1, 3, 2, 'MODEL_RATE_LIMITED'],
      [2, 3, 0.02, 'MODEL_UNAVAILABLE'],
    ],
  );
  assert.equal(list.at(-1)?.type, 'finish');
});

test('retry: a Retry-After beyond all patience ends the call and is handed on', async () => {
  openai.reply({ status: 429, headers: { 'retry-after': '3600' } });
  const { error, types } = await read(createModelGateway(config()).stream(hello));
  assert.equal(codeOf(error), 'MODEL_RATE_LIMITED');
  assert.equal((error as AppError).retryAfter, 3600);
  assert.deepEqual(types, []);
});

test('failures before the first piece are repeated or not, and named', async (t) => {
  const { clock } = instantClock();
  const gateway = createModelGateway(config(), { clock });
  const json = (message: string, code: string | null = null) => ({ error: { message, code, type: 'x' } });
  const cases: [string, Parameters<FakeOpenAI['always']>[0], string, number][] = [
    [
      '401',
      { status: 401, body: json(`Incorrect API key provided: ${KEY}. See https://u:p@host/x?key=${KEY}`) },
      'MODEL_UNAUTHENTICATED',
      1,
    ],
    ['403', { status: 403 }, 'MODEL_UNAUTHENTICATED', 1],
    ['402', { status: 402, body: json('Insufficient Balance') }, 'MODEL_QUOTA_EXHAUSTED', 1],
    [
      '429 without credit',
      { status: 429, body: json('You exceeded your current quota', 'insufficient_quota') },
      'MODEL_QUOTA_EXHAUSTED',
      1,
    ],
    ['429', { status: 429 }, 'MODEL_RATE_LIMITED', 3],
    ['404', { status: 404 }, 'MODEL_NOT_FOUND', 1],
    ['400', { status: 400 }, 'MODEL_BAD_REQUEST', 1],
    [
      '400 too long',
      { status: 400, body: json("This model's maximum context length is 8192 tokens", 'context_length_exceeded') },
      'MODEL_CONTEXT_TOO_LONG',
      1,
    ],
    ['400 filtered', { status: 400, body: json('refused', 'content_filter') }, 'MODEL_CONTENT_FILTERED', 1],
    ['413', { status: 413 }, 'MODEL_CONTEXT_TOO_LONG', 1],
    ['500', { status: 500 }, 'MODEL_UNAVAILABLE', 3],
    ['HTML 502', { fault: 'html' }, 'MODEL_UNAVAILABLE', 3],
    ['reset', { fault: 'reset' }, 'MODEL_UNAVAILABLE', 3],
    ['nothing', { fault: 'nothing' }, 'MODEL_STREAM_BROKEN', 3],
    ['error event', { fault: 'error-event' }, 'MODEL_STREAM_BROKEN', 3],
  ];
  for (const [name, reply, code, attempts] of cases) {
    await t.test(`${name}: ${code}`, async () => {
      openai.always(reply);
      const before = openai.requests.length;
      const { error, types } = await read(gateway.stream(hello));
      openai.always({ text: 'ok' });
      assert.equal(codeOf(error), code);
      const sent = openai.requests.length - before;
      // Deno's own fetch repeats a request once when a kept connection is reset.
      if (name === 'reset') assert.ok(sent >= attempts, String(sent));
      else assert.equal(sent, attempts);
      assert.deepEqual(types, Array(attempts - 1).fill('retry'));
      const shown = JSON.stringify([error, (error as AppError).text, (error as AppError).details]);
      assert.doesNotMatch(shown, /sk-|u:p@|\?key=|Troubleshooting|<h1>/);
    });
  }
});

test('a refused connection is named and not repeated beyond its limit', async () => {
  const { error } = await read(createModelGateway(config()).stream({ ...hello, model: 'gone' }));
  assert.equal(codeOf(error), 'MODEL_UNAVAILABLE');
});

test('after the first piece nothing is repeated: the failure follows the text', async (t) => {
  for (const fault of ['half', 'no-finish', 'broken-json'] as const) {
    await t.test(fault, async () => {
      openai.reply({ fault });
      const before = openai.requests.length;
      const { list, error } = await read(createModelGateway(config()).stream({ ...hello, model: 'backed' }));
      assert.deepEqual(list, [{ type: 'text', text: 'begin ' }]);
      assert.equal(codeOf(error), 'MODEL_STREAM_BROKEN');
      assert.equal(openai.requests.length - before, 1);
    });
  }
});

test('time limits: a silent server, a stalled and an endless stream end, and the server sees it', async (t) => {
  const gateway = createModelGateway(config());
  const run = async (fault: 'silent' | 'stall' | 'endless', timeouts: ModelRequest['timeouts'], phase: string) => {
    openai.reply({ fault });
    const arrived = openai.nextRequest();
    const { error } = await read(gateway.stream({ ...hello, timeouts, retry: { maxAttempts: 1 } }));
    assert.equal(codeOf(error), 'MODEL_TIMEOUT');
    assert.equal((error as AppError).details?.phase, phase);
    assert.equal(await (await arrived).ended, 'aborted');
  };
  await t.test('first token', () => run('silent', { firstTokenMs: 60 }, 'first_token'));
  await t.test('idle', () => run('stall', { idleMs: 60 }, 'idle'));
  await t.test('total', () => run('endless', { totalMs: 150 }, 'total'));
});

test('an endless answer is cut off at the length limit', async () => {
  openai.reply({ fault: 'endless' });
  const arrived = openai.nextRequest();
  const { error } = await read(createModelGateway(config()).stream(hello));
  assert.equal(codeOf(error), 'MODEL_OUTPUT_TOO_LARGE');
  assert.equal(await (await arrived).ended, 'aborted');
});

/** Time that stands still until it is moved. */
const manualClock = () => {
  let time = 0;
  const timers = new Set<{ at: number; action: () => void }>();
  const clock: Clock = {
    now: () => time,
    after(ms, action) {
      const timer = { at: time + ms, action };
      timers.add(timer);
      return () => timers.delete(timer);
    },
  };
  const advance = (ms: number) => {
    time += ms;
    for (const timer of [...timers]) {
      if (timer.at > time || !timers.delete(timer)) continue;
      timer.action();
    }
  };
  return { clock, advance };
};

test('time limits count what the model takes: not keep-alive chunks before the first token, not the consumer', async () => {
  const { clock, advance } = manualClock();
  const gate = Promise.withResolvers<void>();
  const more = Promise.withResolvers<void>();
  openai.reply({ text: ['a', 'b', 'c'], gate: gate.promise, afterFirst: more.promise });
  const arrived = openai.nextRequest();
  const events = createModelGateway(config(), { clock }).stream({
    ...hello,
    timeouts: { idleMs: 40, firstTokenMs: 5000, totalMs: 60_000 },
  });
  const iterator = events[Symbol.asyncIterator]();
  const first = iterator.next();
  await arrived;
  advance(4000);
  gate.resolve();
  assert.deepEqual((await first).value, { type: 'text', text: 'a' });
  advance(1000);
  const second = iterator.next();
  advance(30);
  more.resolve();
  assert.deepEqual((await second).value, { type: 'text', text: 'b' });
  assert.deepEqual((await iterator.next()).value, { type: 'text', text: 'c' });

  openai.reply({ text: ['a', 'b'], afterFirst: new Promise(() => undefined) });
  const stalled = createModelGateway(config(), { clock }).stream({
    ...hello,
    timeouts: { idleMs: 40, totalMs: 60_000 },
  });
  const again = stalled[Symbol.asyncIterator]();
  await again.next();
  const late = again.next();
  advance(39);
  advance(2);
  await assert.rejects(late, { code: 'MODEL_TIMEOUT' });
});

test('cancel: abort and leaving the loop end the call at the server; a wait between attempts ends too', async (t) => {
  const gateway = createModelGateway(config());
  await t.test('abort while streaming', async () => {
    openai.reply({ fault: 'stall' });
    const arrived = openai.nextRequest();
    const controller = new AbortController();
    const list: ModelEvent[] = [];
    await assert.rejects(
      async () => {
        for await (const event of gateway.stream(hello, { signal: controller.signal })) {
          list.push(event);
          controller.abort(new Error('enough'));
        }
      },
      { code: 'MODEL_CANCELLED', kind: 'cancelled' },
    );
    assert.equal(list.length, 1);
    assert.equal(await (await arrived).ended, 'aborted');
  });
  await t.test('break', async () => {
    openai.reply({ fault: 'endless' });
    const arrived = openai.nextRequest();
    for await (const event of gateway.stream(hello)) {
      assert.equal(event.type, 'text');
      break;
    }
    assert.equal(await (await arrived).ended, 'aborted');
  });
  await t.test('abort before the first token', async () => {
    openai.reply({ fault: 'silent' });
    const arrived = openai.nextRequest();
    const controller = new AbortController();
    const result = gateway.complete(hello, { signal: controller.signal });
    const request = await arrived;
    controller.abort();
    await assert.rejects(result, { code: 'MODEL_CANCELLED' });
    assert.equal(await request.ended, 'aborted');
  });
  await t.test('abort between attempts', async () => {
    openai.reply({ status: 500 });
    const controller = new AbortController();
    const retry = { baseDelayMs: 60_000, maxDelayMs: 60_000 };
    const { error, types } = await read(
      (async function* () {
        for await (const event of gateway.stream({ ...hello, retry }, { signal: controller.signal })) {
          yield event;
          if (event.type === 'retry') controller.abort();
        }
      })(),
    );
    assert.deepEqual(types, ['retry']);
    assert.equal(codeOf(error), 'MODEL_CANCELLED');
  });
  await t.test('already aborted: no request', async () => {
    const before = openai.requests.length;
    await assert.rejects(gateway.complete(hello, { signal: AbortSignal.abort() }), { code: 'MODEL_CANCELLED' });
    assert.equal(openai.requests.length, before);
  });
});

test('fallback: the next model with credentials answers after the last attempt', async () => {
  const { clock } = instantClock();
  const logged: unknown[] = [];
  const gateway = createModelGateway(config(), { clock, log: (...line) => logged.push(line) });
  openai.reply({ status: 500 }, { status: 500 }, { status: 500 }, { text: 'second here' });
  const { list } = await read(gateway.stream({ ...hello, model: 'backed' }));
  const fallback = list.find((event) => event.type === 'fallback');
  assert.deepEqual([fallback?.from, fallback?.to, fallback?.error.code], ['backed', 'second', 'MODEL_UNAVAILABLE']);
  assert.deepEqual(list.at(-1), { type: 'finish', reason: 'stop', model: 'second', offline: false });
  assert.deepEqual(
    openai.requests.slice(-4).map(({ body }) => body.model),
    ['backed-model', 'backed-model', 'backed-model', 'second-model'],
  );
  assert.equal(logged.length, 3);

  openai.reply({ status: 400 });
  const refused = await read(gateway.stream({ ...hello, model: 'backed' }));
  assert.equal(codeOf(refused.error), 'MODEL_BAD_REQUEST', 'a wrong request is wrong everywhere');
});

test('without credentials: fails by name, or the offline model stands in and says so', async () => {
  const strict = createModelGateway(config());
  await assert.rejects(strict.complete({ ...hello, model: 'missing' }), {
    code: 'MODEL_NOT_CONFIGURED',
    kind: 'unavailable',
  });
  const lenient = createModelGateway({ ...config(), offlineFallback: true });
  const before = openai.requests.length;
  const result = await lenient.complete({ ...hello, model: 'missing' });
  assert.equal(result.model, 'offline');
  assert.equal(result.offline, true);
  assert.match(result.text, /No language model was used/);
  assert.equal(openai.requests.length, before);
});

test('pictures are refused for models that do not read them', async () => {
  const content = [{ type: 'image' as const, url: 'data:image/png;base64,AAAA' }];
  const request = { model: 'second', messages: [{ role: 'user' as const, content }] };
  await assert.rejects(createModelGateway(config()).complete(request), { code: 'MODEL_IMAGES_UNSUPPORTED' });
});

test('list and resolve: keys, aliases, provider and model, unknown names', () => {
  const gateway = createModelGateway(config('aliases: { other_name: second }'));
  const list = gateway.list();
  assert.deepEqual(
    list.map(({ key }) => key),
    ['main', 'backed', 'second', 'words', 'cloud', 'gone', 'missing', 'offline'],
  );
  assert.deepEqual(list.find(({ key }) => key === 'missing')?.available, false);
  assert.deepEqual(
    list.filter(({ isDefault }) => isDefault).map(({ key }) => key),
    ['main'],
  );
  assert.doesNotMatch(JSON.stringify(list), /sk-/);
  assert.equal(gateway.resolve(undefined).key, 'main');
  assert.equal(gateway.resolve('default').key, 'main');
  assert.equal(gateway.resolve('other_name').key, 'second');
  assert.deepEqual(
    [gateway.resolve('nobody').key, gateway.resolve('nobody').substituted, gateway.resolve('second').substituted],
    ['main', true, false],
  );
  for (const name of ['nobody', '__proto__', 'constructor']) {
    assert.throws(() => gateway.resolve(name, { unknown: 'error' }), { code: 'MODEL_UNKNOWN' });
  }
  assert.equal(gateway.resolveProvider('fake', 'second-model').key, 'second');
  assert.equal(gateway.resolveProvider(undefined, 'second-model').key, 'second');
  assert.equal(gateway.resolveProvider(undefined, undefined).key, 'main');
  assert.equal(gateway.resolveProvider('azure', undefined).key, 'cloud');
  const free = gateway.resolveProvider('fake', 'brand-new');
  assert.deepEqual(
    [free.key, free.model, free.available, free.contextWindow],
    ['fake/brand-new', 'brand-new', true, 32768],
  );
  assert.equal(gateway.resolveProvider('nowhere', 'x').key, 'main');
  assert.throws(() => gateway.resolveProvider('nowhere', 'x', { unknown: 'error' }), { code: 'MODEL_UNKNOWN' });
});

test('a model that is only named by provider is called under that name', async () => {
  openai.reply({ text: 'new' });
  const result = await createModelGateway(config()).complete({
    ...hello,
    model: { provider: 'fake', model: 'brand-new' },
  });
  assert.equal(result.model, 'fake/brand-new');
  assert.equal(openai.requests.at(-1)?.body.model, 'brand-new');
});
