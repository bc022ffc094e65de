import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { databaseService } from '../../core/data/database.ts';
import { profileModel } from '../../plugins/agents/models/profile.ts';
import { startTestServer } from '../support/app.ts';
import { apiToken, signIn } from '../support/people.ts';

// Source: tasks document, capabilities 8 to 10; contracts/tasks.md 1.2 rows 11-17 and 2.6.
const server = await startTestServer({ after });
const token = await apiToken(server.server, 'mobile-app');
const as = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
  server.call(method, path, { token, headers, ...(body !== undefined && { body }) });
const failure = (status: number, message: RegExp) => (answer: { status: number; body: Record<string, unknown> }) => {
  assert.deepEqual(
    [answer.status, Object.keys(answer.body), answer.body.success],
    [status, ['success', 'error'], false],
  );
  assert.match(String(answer.body.error), message);
};
const JSON_TYPE = { 'content-type': 'application/json' };
const NO_NAMES = [
  '',
  '   ',
  'a b',
  '../x',
  'a/b',
  'a\\b',
  '..',
  'ä',
  '提示词',
  'a\u0000',
  'x.txt',
  'n'.repeat(65),
  'n'.repeat(300),
];
const DEFAULTS = {
  enabled: false,
  self_identify: '',
  user_name: '',
  profession: '',
  tone: '',
  considerations: [],
  thinking_interval: null,
  disabled_tool_categories: [],
  default_run_mode: null,
  auto_generate_title: true,
  tool_intent_enabled: true,
  default_model: 'deepseek-v3',
};

test('prompts: none, one, overwritten, listed by name with size and time', async () => {
  assert.deepEqual((await as('GET', '/prompts')).body, { success: true, items: [] });
  const before = Date.now() / 1000;
  const made = await as('POST', '/prompts', { name: 'writer', content: '你是一名编辑。\n{{x}} {context} $&\u0000' });
  assert.deepEqual([made.status, made.body], [200, { success: true, name: 'writer' }]);
  await as('POST', '/prompts', { name: 'Analyst_2', content: '' });
  assert.deepEqual((await as('GET', '/prompts/writer')).body, {
    success: true,
    name: 'writer',
    content: '你是一名编辑。\n{{x}} {context} $&\u0000',
  });
  assert.deepEqual((await as('GET', '/prompts/Analyst_2')).body, { success: true, name: 'Analyst_2', content: '' });
  await as('POST', '/prompts', { name: 'writer', content: '短' });
  const { items } = (await as('GET', '/prompts')).body;
  assert.deepEqual(
    items.map(({ name, size }: { name: string; size: number }) => [name, size]),
    [
      ['Analyst_2', 0],
      ['writer', 3],
    ],
  );
  for (const { updated_at } of items) assert.ok(updated_at >= before - 1 && updated_at <= Date.now() / 1000 + 1);
  assert.deepEqual(Object.keys(items[0]), ['name', 'size', 'updated_at']);
});

test('prompts: names that are none are refused, and found nowhere', async () => {
  for (const name of NO_NAMES) {
    failure(400, /名称|name/)(await as('POST', '/prompts', { name, content: 'x' }));
    if (name.trim() !== '' && name !== '..') failure(404, /./)(await as('GET', `/prompts/${encodeURIComponent(name)}`));
  }
  failure(404, /Prompt 不存在/)(await as('GET', '/prompts/nobody'));
  for (const name of [undefined, null, 7, ['a'], { $gt: '' }])
    failure(400, /^name/)(await as('POST', '/prompts', { name, content: 'x' }));
  for (const content of [undefined, null, 7, ['a'], {}])
    failure(400, /^content/)(await as('POST', '/prompts', { name: 'a', content }));
  failure(400, /^content/)(await as('POST', '/prompts', { name: 'a', content: 'x'.repeat(500_001) }));
  failure(413, /./)(await as('POST', '/prompts', { name: 'a', content: 'x'.repeat(3 << 20) }));
  failure(400, /JSON/)(await as('POST', '/prompts', '{"name":', JSON_TYPE));
  failure(400, /./)(await as('POST', '/prompts'));
  failure(400, /./)(await as('POST', '/prompts', '[]', JSON_TYPE));
  failure(404, /./)(await as('GET', '/prompts/a'));
});

test('names that mean something to JavaScript are names as any other', async () => {
  for (const name of ['__proto__', 'constructor', 'toString', '-', '_', 'n'.repeat(64)]) {
    failure(404, /./)(await as('GET', `/prompts/${name}`));
    failure(404, /./)(await as('GET', `/personalizations/${name}`));
    assert.deepEqual((await as('POST', '/prompts', { name, content: name })).body, { success: true, name });
    assert.equal((await as('GET', `/prompts/${name}`)).body.content, name);
  }
});

test('personalizations: defaults for what is missing, stored values afterwards', async () => {
  assert.deepEqual((await as('GET', '/personalizations')).body, { success: true, items: [] });
  const made = await as('POST', '/personalizations', { name: 'me', content: {} });
  assert.deepEqual([made.status, made.body], [200, { success: true, name: 'me', content: DEFAULTS }]);
  const content = { enabled: true, user_name: '小王', default_run_mode: 'deep', auto_generate_title: false };
  const changed = { ...DEFAULTS, ...content };
  assert.deepEqual((await as('POST', '/personalizations', { name: 'me', content })).body.content, changed);
  const more = { tone: '轻松', thinking_interval: 7 };
  assert.deepEqual((await as('POST', '/personalizations', { name: 'me', content: more })).body.content, {
    ...changed,
    ...more,
  });
  assert.deepEqual((await as('GET', '/personalizations/me')).body, {
    success: true,
    name: 'me',
    content: { ...changed, ...more },
  });
  const [item, ...others] = (await as('GET', '/personalizations')).body.items;
  assert.deepEqual([item.name, others, item.size > 200 && item.size < 500], ['me', [], true]);
});

test('personalizations: every field is brought into its limits, nothing is refused', async () => {
  const normalised = async (content: unknown) =>
    (await as('POST', '/personalizations', { name: 'limits', content })).body.content;
  const cases: [string, unknown, unknown][] = [
    ['enabled', true, true],
    ['enabled', 'yes', false],
    ['enabled', 1, true],
    ['enabled', null, false],
    ['self_identify', `  ${'字'.repeat(25)} `, '字'.repeat(20)],
    ['self_identify', '😀'.repeat(21), '😀'.repeat(20)],
    ['user_name', ' \n ', ''],
    ['profession', 5, ''],
    ['tone', ['a'], ''],
    ['tone', null, ''],
    ['considerations', ['  a ', '', 5, null, 'b'.repeat(60), ['c']], ['a', 'b'.repeat(50)]],
    [
      'considerations',
      Array.from({ length: 14 }, (_, at) => `c${at}`),
      Array.from({ length: 10 }, (_, at) => `c${at}`),
    ],
    ['considerations', 'a', []],
    ['thinking_interval', 0, 1],
    ['thinking_interval', -(10 ** 300), 1],
    ['thinking_interval', 51, 50],
    ['thinking_interval', '12', 12],
    ['thinking_interval', 3.9, 3],
    ['thinking_interval', 'often', null],
    ['thinking_interval', true, null],
    ['thinking_interval', null, null],
    [
      'disabled_tool_categories',
      ['network', 'mcp', 'network', 'rockets', 5, '__proto__', 'easter_egg'],
      ['network', 'mcp', 'easter_egg'],
    ],
    ['disabled_tool_categories', { network: true }, []],
    ['default_run_mode', 'thinking', 'thinking'],
    ['default_run_mode', ' FAST ', 'fast'],
    ['default_run_mode', 'slow', null],
    ['default_run_mode', {}, null],
    ['auto_generate_title', false, false],
    ['auto_generate_title', 'no', true],
    ['tool_intent_enabled', false, false],
    ['tool_intent_enabled', [], true],
    ['default_model', 'kimi', 'kimi'],
    ['default_model', 'no-such-model', 'deepseek-v3'],
    ['default_model', '__proto__', 'deepseek-v3'],
    ['default_model', 7, 'deepseek-v3'],
  ];
  for (const [name, given, wanted] of cases) {
    assert.deepEqual((await normalised({ [name]: given }))[name], wanted, `${name}: ${JSON.stringify(given)}`);
  }
  const huge = await as(
    'POST',
    '/personalizations',
    '{"name":"limits","content":{"thinking_interval":1e400}}',
    JSON_TYPE,
  );
  assert.equal(huge.body.content.thinking_interval, null);
});

test('personalizations: unknown and prototype keys are dropped', async () => {
  const text =
    '{"name":"clean","content":{"__proto__":{"enabled":true},"constructor":{"x":1},"$set":1,"a.b":2,"user_name":"王","id":3}}';
  const { status, body } = await as('POST', '/personalizations', text, JSON_TYPE);
  assert.deepEqual([status, body.content], [200, { ...DEFAULTS, user_name: '王' }]);
  assert.deepEqual((await as('GET', '/personalizations/clean')).body.content, body.content);
});

test('personalizations: changes of different fields at once all count', async () => {
  const fields = [{ user_name: 'a' }, { tone: 'b' }, { profession: 'c' }, { enabled: true }, { self_identify: 'd' }];
  await Promise.all(fields.map((content) => as('POST', '/personalizations', { name: 'busy', content })));
  const { content } = (await as('GET', '/personalizations/busy')).body;
  assert.deepEqual(content, Object.assign({ ...DEFAULTS }, ...fields));
});

test('personalizations: what is wrong', async () => {
  for (const name of NO_NAMES) failure(400, /名称|name/)(await as('POST', '/personalizations', { name, content: {} }));
  for (const content of [undefined, null, 'x', 7, [], true]) {
    failure(400, /^content/)(await as('POST', '/personalizations', { name: 'a', content }));
  }
  failure(400, /^content/)(await as('POST', '/personalizations', { name: 'a', content: { x: 'y'.repeat(300_000) } }));
  failure(404, /个性化设置不存在/)(await as('GET', '/personalizations/a'));
  failure(404, /./)(await as('GET', '/personalizations/a%2Fb'));
  failure(
    400,
    /./,
  )(
    await as('POST', '/personalizations', `{"name":"a","content":${'{"a":'.repeat(100)}1${'}'.repeat(101)}`, JSON_TYPE),
  );
});

test('personalizations: one that was damaged says so and can be saved again', async () => {
  await as('POST', '/personalizations', { name: 'damaged', content: { tone: 'x' } });
  const database = server.server.app.host.find(databaseService);
  assert.ok(database);
  const stored = profileModel(database).acrossTenants('test');
  for (const content of ['{"tone":', '[]', '']) {
    await stored.update({ name: 'damaged' }, { $set: { content } });
    failure(400, /已损坏/)(await as('GET', '/personalizations/damaged'));
  }
  const saved = await as('POST', '/personalizations', { name: 'damaged', content: { tone: 'y' } });
  assert.deepEqual(saved.body.content, { ...DEFAULTS, tone: 'y' });
  // Values from before a change of the configuration are brought into the limits when they are read.
  await stored.update({ name: 'damaged' }, { $set: { content: '{"default_model":"gone","thinking_interval":99}' } });
  const { content } = (await as('GET', '/personalizations/damaged')).body;
  assert.deepEqual(
    [content.default_model, content.thinking_interval, content.auto_generate_title],
    ['deepseek-v3', 50, true],
  );
});

test('what belongs to another account is not there', async () => {
  const other = await apiToken(server.server, 'other');
  await as('POST', '/prompts', { name: 'secret', content: 'mine' });
  await as('POST', '/personalizations', { name: 'secret', content: { tone: 'mine' } });
  for (const kind of ['prompts', 'personalizations']) {
    failure(404, /./)(await server.call('GET', `/${kind}/secret`, { token: other }));
    assert.deepEqual((await server.call('GET', `/${kind}`, { token: other })).body.items, []);
  }
  await server.call('POST', '/prompts', { token: other, body: { name: 'secret', content: 'theirs' } });
  assert.equal((await as('GET', '/prompts/secret')).body.content, 'mine');
});

test('only tokens of API accounts are let in', async () => {
  const person = await signIn(server, 'studio', 'person@example.com');
  for (const [method, path] of [
    ['GET', '/prompts'],
    ['GET', '/prompts/a'],
    ['POST', '/prompts'],
    ['GET', '/personalizations'],
    ['GET', '/personalizations/a'],
    ['POST', '/personalizations'],
  ] as const) {
    const body = method === 'POST' ? { name: 'a', content: {} } : undefined;
    failure(401, /./)(await server.call(method, path, { body }));
    failure(401, /./)(await server.call(method, path, { body, token: 'made up' }));
    failure(401, /./)(await person(method, path, body));
  }
});

test('GET /models: without a token, and with one that is none', async () => {
  for (const authorization of [undefined, 'Bearer nonsense', `bearer ${token}`]) {
    const headers = authorization === undefined ? undefined : { authorization };
    const { status, body } = await server.call('GET', '/models', { ...(headers && { headers }) });
    assert.deepEqual([status, Object.keys(body), body.success], [200, ['success', 'items'], true]);
    assert.deepEqual(body.items[0], {
      model_key: 'deepseek-v3',
      name: 'DeepSeek V3',
      supports_thinking: true,
      fast_only: false,
      multimodal: false,
      context_window: 128000,
      max_output_tokens: 8192,
      is_default: true,
    });
    const keys = body.items.map(({ model_key }: { model_key: string }) => model_key);
    assert.deepEqual([keys.includes('kimi'), keys.includes('offline'), new Set(keys).size], [true, true, keys.length]);
    assert.equal(body.items.filter(({ is_default }: { is_default: boolean }) => is_default).length, 1);
  }
});
