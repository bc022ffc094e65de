import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startTestServer } from '../support/app.ts';
import { signIn } from '../support/people.ts';

// Source: studio document, section 3; the values are those of its samples.
const server = await startTestServer({ after });
const as = await signIn(server, 'studio', 'user@example.com');
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;
const SAMPLE = {
  name: '智能客服助手',
  description: '用于解答常见产品问题',
  prompt_template: '你是一个专业的客服助手...',
  model_config: { provider: 'openai', model_name: 'gpt-4o', temperature: 0.5, max_tokens: 2048 },
};
const make = async (fields: object = {}) => (await as('POST', '/agents', { ...SAMPLE, ...fields })).body.data;
const failure = (code: number, message: RegExp) => (answer: { status: number; body: Record<string, unknown> }) => {
  assert.deepEqual(Object.keys(answer.body), ['code', 'message', 'data']);
  assert.deepEqual([answer.status, answer.body.code, answer.body.data], [Math.floor(code / 100), code, null]);
  assert.match(String(answer.body.message), message);
};

test('POST /agents: the sample', async () => {
  const { status, body } = await as('POST', '/agents', SAMPLE);
  const { created_at, updated_at, ...data } = body.data;
  assert.equal(status, 200);
  assert.deepEqual({ ...body, data }, { code: 200, message: 'success', data: { id: 1, ...SAMPLE } });
  assert.match(created_at, TIME);
  assert.match(updated_at, TIME);
});

test('POST /agents: defaults, and no description', async () => {
  const { prompt_template } = SAMPLE;
  const model_config = { provider: 'local', model_name: '任意模型' };
  const { data } = (await as('POST', '/agents', { name: '  本地  ', prompt_template, model_config })).body;
  assert.deepEqual(
    [data.name, data.description, data.model_config],
    ['本地', null, { ...model_config, temperature: 0.7, max_tokens: 2048 }],
  );
  const azure = await make({ description: null, model_config: { provider: 'azure', model_name: 'gpt-35' } });
  assert.equal(azure.model_config.provider, 'azure');
});

test('POST /agents: what is wrong is named', async () => {
  const refused = async (fields: object, message: RegExp) =>
    failure(40000, message)(await as('POST', '/agents', { ...SAMPLE, ...fields }));
  for (const name of [
    undefined,
    null,
    '',
    '   ',
    'n'.repeat(101),
    7,
    ['a'],
    { $ne: null },
    'zwei\nZeilen',
    'a\u0000b',
  ]) {
    await refused({ name }, /^name/);
  }
  for (const prompt_template of [undefined, '', ' \n\t', 'p'.repeat(20_001), 1, {}])
    await refused({ prompt_template }, /^prompt_template/);
  for (const description of [7, 'd'.repeat(1001), []]) await refused({ description }, /^description/);
  await refused({ model_config: undefined }, /^model_config/);
  for (const model_config of [null, 'gpt-4o', []]) await refused({ model_config }, /^model_config/);
  const model = (fields: object) => ({ model_config: { ...SAMPLE.model_config, ...fields } });
  for (const provider of [undefined, 'anthropic', '', null, '__proto__', 'constructor'])
    await refused(model({ provider }), /^model_config\.provider/);
  for (const model_name of [undefined, '', ' ', 'm'.repeat(101), 4])
    await refused(model({ model_name }), /^model_config\.model_name/);
  for (const temperature of [-0.1, 2.1, '0.5', null, true])
    await refused(model({ temperature }), /^model_config\.temperature/);
  for (const max_tokens of [0, -1, 1.5, 128_001, '100'])
    await refused(model({ max_tokens }), /^model_config\.max_tokens/);
});

test('POST /agents: texts of the greatest length are kept as they are, with braces, emoji and control characters', async () => {
  const prompt_template = `  {{projectBackground}} {context} {{ {not} }} $& \${x} \u0000\u0007 ${'😀'.repeat(10)}\n`;
  const made = await make({ name: '智'.repeat(100), description: 'd'.repeat(1000), prompt_template });
  const { data } = (await as('GET', `/agents/${made.id}`)).body;
  assert.deepEqual(data, made);
  assert.deepEqual([data.prompt_template, data.name.length], [prompt_template, 100]);
  const long = await make({ prompt_template: 'p'.repeat(20_000) });
  assert.equal(long.prompt_template.length, 20_000);
});

test('POST /agents: unknown and prototype keys change nothing', async () => {
  const body = JSON.parse(
    `{"__proto__":{"name":"x"},"constructor":{},"id":99999,"ownerId":"someone","_id":"agent-picos","deleted":true,${JSON.stringify(SAMPLE).slice(1, -2)},"__proto__":{"temperature":9}}}`,
  );
  const { status, body: answer } = await as('POST', '/agents', body);
  assert.deepEqual([status, answer.data.name, answer.data.model_config], [200, SAMPLE.name, SAMPLE.model_config]);
  assert.notEqual(answer.data.id, 99999);
});

test('POST /agents: bodies that cannot be read', async () => {
  const json = { headers: { 'content-type': 'application/json' } };
  failure(40000, /JSON/)(await as('POST', '/agents', '{"name":', json));
  failure(40000, /./)(await as('POST', '/agents'));
  failure(40000, /./)(await as('POST', '/agents', '[]', json));
  failure(40000, /./)(await as('POST', '/agents', 'name=x', { headers: { 'content-type': 'text/plain' } }));
  failure(41300, /./)(await as('POST', '/agents', { ...SAMPLE, prompt_template: 'p'.repeat(3 << 20) }));
});

test('GET /agents: own ones only, newest first, in pages', async () => {
  const other = await signIn(server, 'studio', 'pages@example.com');
  const ids: number[] = [];
  for (let at = 0; at < 5; at += 1)
    ids.unshift((await other('POST', '/agents', { ...SAMPLE, name: `第 ${at}` })).body.data.id);
  const page = async (query: string) => (await other('GET', `/agents${query}`)).body.data;
  const first = await page('');
  assert.deepEqual(
    { ...first, items: first.items.map(({ id }: { id: number }) => id) },
    { items: ids, total: 5, page: 1, page_size: 20 },
  );
  assert.deepEqual(first.items[4].model_config, SAMPLE.model_config);
  const second = await page('?page=2&page_size=2');
  assert.deepEqual(
    [second.items.map(({ id }: { id: number }) => id), second.total, second.page, second.page_size],
    [ids.slice(2, 4), 5, 2, 2],
  );
  assert.deepEqual(await page('?page=9&page_size=100'), { items: [], total: 5, page: 9, page_size: 100 });
  for (const query of [
    'page_size=101',
    'page_size=0',
    'page=0',
    'page=-1',
    'page=x',
    'page=1.5',
    'page_size=1e3',
    `page=${'9'.repeat(400)}`,
  ]) {
    failure(40000, /^page/)(await other('GET', `/agents?${query}`));
  }
});

test('GET /agents/{agent_id}: ids that nobody has, of others, and that are no ids', async () => {
  const made = await make();
  const other = await signIn(server, 'studio', 'other@example.com');
  for (const id of [made.id + 1000, '9007199254740993', '100000000000000000000']) {
    failure(40401, /智能体不存在/)(await as('GET', `/agents/${id}`));
  }
  for (const id of ['agent-picos', '1.5', '-1', '0', '9'.repeat(400), 'abc', '%00', '1e2', '__proto__']) {
    failure(40000, /^agent_id/)(await as('GET', `/agents/${id}`));
  }
  for (const method of ['GET', 'PUT', 'DELETE']) {
    failure(
      40401,
      /不存在/,
    )(await other(method, `/agents/${made.id}`, method === 'PUT' ? { name: 'mine' } : undefined));
  }
  assert.equal((await as('GET', `/agents/${made.id}`)).body.data.name, SAMPLE.name);
});

test('PUT /agents/{agent_id}: changes what is given; model_config is merged and then checked', async () => {
  const made = await make();
  const put = (body: unknown) => as('PUT', `/agents/${made.id}`, body);
  const renamed = (await put({ name: '新的名字' })).body.data;
  assert.deepEqual({ ...renamed, updated_at: '' }, { ...made, name: '新的名字', updated_at: '' });
  assert.ok(renamed.updated_at >= made.updated_at);
  const cooler = (await put({ model_config: { temperature: 0 } })).body.data;
  assert.deepEqual(cooler.model_config, { ...SAMPLE.model_config, temperature: 0 });
  const moved = (await put({ model_config: { provider: 'local', model_name: 'qwen3' }, description: null })).body.data;
  assert.deepEqual(
    [moved.model_config, moved.description, moved.name],
    [{ ...SAMPLE.model_config, provider: 'local', model_name: 'qwen3', temperature: 0 }, null, '新的名字'],
  );
  for (const same of [{}, { model_config: {} }, { unknown: 1 }]) assert.deepEqual((await put(same)).body.data, moved);
  failure(40000, /^model_config\.temperature/)(await put({ model_config: { temperature: 3 } }));
  failure(40000, /^model_config\.provider/)(await put({ model_config: { provider: 'kimi' } }));
  for (const body of [{ name: null }, { name: '' }, { name: 'n'.repeat(101) }])
    failure(40000, /^name/)(await put(body));
  failure(40000, /^prompt_template/)(await put({ prompt_template: '' }));
  failure(40000, /^model_config/)(await put({ model_config: null }));
  failure(40000, /^body/)(await put([]));
  assert.deepEqual((await as('GET', `/agents/${made.id}`)).body.data, moved);
});

test('PUT /agents/{agent_id}: two changes of the model at once both count', async () => {
  const made = await make();
  const changes = [{ temperature: 1.5 }, { max_tokens: 77 }, { model_name: 'gpt-4o-mini' }];
  await Promise.all(changes.map((model_config) => as('PUT', `/agents/${made.id}`, { model_config })));
  const { data } = (await as('GET', `/agents/${made.id}`)).body;
  assert.deepEqual(data.model_config, {
    provider: 'openai',
    model_name: 'gpt-4o-mini',
    temperature: 1.5,
    max_tokens: 77,
  });
});

test('DELETE /agents/{agent_id}: null, and then it is not there', async () => {
  const made = await make();
  const { status, body } = await as('DELETE', `/agents/${made.id}`);
  assert.deepEqual([status, body], [200, { code: 200, message: 'success', data: null }]);
  for (const method of ['GET', 'PUT', 'DELETE']) {
    failure(40401, /不存在/)(await as(method, `/agents/${made.id}`, method === 'PUT' ? {} : undefined));
  }
  const { items } = (await as('GET', '/agents?page_size=100')).body.data;
  assert.equal(
    items.some(({ id }: { id: number }) => id === made.id),
    false,
  );
  const next = await make();
  assert.ok(next.id > made.id, 'ids are not given again');
});

test('without a login every row is refused in the form of the API', async () => {
  failure(40100, /./)(await server.call('POST', '/agents', { body: SAMPLE }));
  for (const method of ['GET', 'PUT', 'DELETE'])
    failure(40100, /./)(await server.call(method, '/agents/1', { body: method === 'PUT' ? {} : undefined }));
  failure(40100, /./)(await server.call('GET', '/agents?page=1'));
  failure(40100, /./)(await server.call('GET', '/agents?page=1', { token: 'no token' }));
});

test('shared paths: the login decides the form, and without one the 401 serves both APIs', async () => {
  const made = await make();
  const research = await signIn(server, 'research', 'user@example.com');
  assert.equal((await as('GET', '/agents?category=研究设计')).body.code, 200);
  const catalogue = (await research('GET', '/agents?page=1')).body;
  assert.deepEqual([catalogue.success, Array.isArray(catalogue.data)], [true, true]);
  assert.equal((await research('GET', `/agents/${made.id}`)).status, 404);
  // A row that only this API has answers in its form whoever asks.
  const changed = await research('PUT', `/agents/${made.id}`, { name: '改名' });
  assert.deepEqual([changed.status, changed.body.code, changed.body.data.name], [200, 200, '改名']);

  const merged = await server.call('GET', '/agents');
  const { message, timestamp, error, ...rest } = merged.body;
  assert.deepEqual([merged.status, rest], [401, { code: 40100, data: null, success: false }]);
  assert.deepEqual(error, { code: 'UNAUTHORIZED', message });
  assert.match(timestamp, /Z$/);
  assert.equal((await server.call('GET', '/agents?category=x')).body.error.code, 'UNAUTHORIZED');
  assert.equal((await server.call('GET', '/agents/agent-picos')).body.error.code, 'UNAUTHORIZED');
});
