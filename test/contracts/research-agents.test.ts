import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startTestServer } from '../support/app.ts';
import { signIn } from '../support/people.ts';

// Source: research document, section 5; the values are those of its samples.
const server = await startTestServer({ after });
const as = await signIn(server, 'research', 'user@example.com');
const PICOS = {
  id: 'agent-picos',
  name: 'PICOS构建',
  description: '结构化地定义临床研究的核心要素',
  category: '研究设计',
  icon: 'construction',
  ragEnabled: true,
  fileUploadEnabled: false,
  status: 'active',
};
const TOPIC = {
  id: 'agent-topic-evaluation',
  name: '选题评价',
  description: '从创新性、临床价值等维度评价研究选题',
  category: '选题阶段',
  icon: 'lightbulb',
  ragEnabled: true,
  fileUploadEnabled: false,
  status: 'active',
};
const OWN = {
  name: '智能客服助手',
  prompt_template: '你是一个专业的客服助手...',
  model_config: { provider: 'openai', model_name: 'gpt-4o', temperature: 0.5, max_tokens: 2048 },
};

test('GET /agents: the sample, in a bare array of twelve', async () => {
  const { status, body } = await as('GET', '/agents');
  assert.deepEqual([status, Object.keys(body)], [200, ['success', 'data', 'message', 'timestamp']]);
  assert.deepEqual(body.data.slice(0, 2), [PICOS, TOPIC]);
  assert.equal(body.data.length, 12);
  for (const agent of body.data) {
    assert.deepEqual(Object.keys(agent), Object.keys(PICOS));
    assert.match(agent.id, /^agent-[a-z-]+$/);
  }
  assert.equal(new Set(body.data.map(({ id }: { id: string }) => id)).size, 12);
});

test('GET /agents/:id: the sample', async () => {
  const { status, body } = await as('GET', '/agents/agent-picos');
  assert.equal(status, 200);
  assert.deepEqual(body.data, {
    ...PICOS,
    outputFormat: 'structured',
    models: {
      'deepseek-v3': { temperature: 0.3, maxTokens: 2500 },
      'qwen3-72b': { temperature: 0.4, maxTokens: 2500 },
    },
  });
  const { data } = (await as('GET', '/agents')).body;
  for (const { id } of data) {
    const { outputFormat, models, ...rest } = (await as('GET', `/agents/${id}`)).body.data;
    assert.deepEqual(
      rest,
      data.find((agent: { id: string }) => agent.id === id),
    );
    assert.ok(['text', 'structured'].includes(outputFormat) && Object.keys(models).length >= 2, id);
  }
});

test('GET /agents: category and status', async () => {
  const ids = async (query: string) =>
    (await as('GET', `/agents?${query}`)).body.data.map(({ id }: { id: string }) => id);
  assert.deepEqual(await ids('category=选题阶段'), ['agent-topic-evaluation', 'agent-scientific-question']);
  assert.deepEqual(await ids('category=%20选题阶段%20&status=active'), await ids('category=选题阶段'));
  assert.deepEqual(await ids('category=没有'), []);
  assert.deepEqual(await ids('category=&status='), await ids(''));
  assert.deepEqual(await ids('category=__proto__'), []);
  assert.deepEqual(await ids('status=inactive'), []);
  assert.equal((await ids('status=active&unknown=1')).length, 12);
  for (const query of ['status=deleted', 'status=active&status=inactive', `category=${'x'.repeat(300)}`]) {
    const { status, body } = await as('GET', `/agents?${query}`);
    assert.deepEqual([status, body.error.code], [422, 'VALIDATION_ERROR'], query);
    assert.match(body.error.details[0].field, /^(status|category)$/);
  }
});

test('GET /agents/:id: ids that nobody has', async () => {
  const odd = [
    'agent-nothing',
    '1',
    '-1',
    '9'.repeat(400),
    '00000000-0000-4000-8000-000000000000',
    '__proto__',
    'constructor',
    '%00',
    'a%2Fb',
    'agent-picos%20x',
    '智能体',
  ];
  for (const id of odd) {
    const { status, body } = await as('GET', `/agents/${id}`);
    assert.deepEqual([status, body.success, body.error.code], [404, false, 'NOT_FOUND'], id);
  }
});

test('caching: an ETag of the data, one hour, 304 for what is known', async () => {
  for (const path of ['/agents', '/agents/agent-picos']) {
    const first = await as('GET', path);
    assert.equal(first.headers.get('cache-control'), 'private, max-age=3600');
    const etag = first.headers.get('etag') ?? '';
    assert.match(etag, /^"?[\w-]+"?$/);
    const again = await as('GET', path, undefined, { headers: { 'if-none-match': etag } });
    assert.deepEqual([again.status, again.text, again.headers.get('etag')], [304, '', etag]);
    assert.equal(again.headers.get('cache-control'), 'private, max-age=3600');
    const head = await as('HEAD', path);
    assert.deepEqual([head.status, head.text, head.headers.get('etag')], [200, '', etag]);
    for (const tag of [`W/${etag}`, `"x", ${etag}`, '*']) {
      assert.equal((await as('GET', path, undefined, { headers: { 'if-none-match': tag } })).status, 304, tag);
    }
    const other = await as('GET', path, undefined, { headers: { 'if-none-match': '"something"' } });
    assert.equal(other.status, 200);
    assert.match(first.headers.get('vary') ?? '', /Authorization/);
  }
});

test('own agents of the studio stand after the catalogue, for their owner alone', async () => {
  const studio = await signIn(server, 'studio', 'maker@example.com');
  const research = await signIn(server, 'research', 'maker@example.com');
  const before = (await research('GET', '/agents')).headers.get('etag');
  for (const name of ['第一个', '第二个']) await studio('POST', '/agents', { ...OWN, name });
  const list = await research('GET', '/agents');
  assert.notEqual(list.headers.get('etag'), before);
  const own = list.body.data.slice(12);
  assert.deepEqual(
    own.map(({ name }: { name: string }) => name),
    ['第二个', '第一个'],
  );
  const { id, ...rest } = own[0];
  assert.match(id, /^[0-9a-f-]{36}$/);
  assert.deepEqual(rest, {
    name: '第二个',
    description: '',
    category: '我的智能体',
    icon: 'smart_toy',
    ragEnabled: true,
    fileUploadEnabled: false,
    status: 'active',
  });
  const detail = (await research('GET', `/agents/${id}`)).body.data;
  assert.deepEqual([detail.outputFormat, detail.models], ['text', { 'gpt-4o': { temperature: 0.5, maxTokens: 2048 } }]);
  assert.equal((await research('GET', '/agents?category=我的智能体')).body.data.length, 2);
  assert.equal((await as('GET', '/agents')).body.data.length, 12);
  assert.equal((await as('GET', `/agents/${id}`)).status, 404);
});

test('a model that is called like a property of objects is shown as it is', async () => {
  const studio = await signIn(server, 'studio', 'odd@example.com');
  const model_config = { provider: 'local', model_name: '__proto__' };
  const { data } = (await studio('POST', '/agents', { ...OWN, model_config })).body;
  assert.equal(data.model_config.model_name, '__proto__');
  const research = await signIn(server, 'research', 'odd@example.com');
  const { id } = (await research('GET', '/agents')).body.data.at(-1);
  assert.match((await research('GET', `/agents/${id}`)).text, /"models":\{"__proto__":\{"temperature":0.7/);
});

test('without a login both rows are refused in the form of the API', async () => {
  for (const path of ['/agents?category=x', '/agents/agent-picos']) {
    for (const token of [undefined, 'no token', 'e30.e30.x']) {
      const { status, body } = await server.call('GET', path, { ...(token !== undefined && { token }) });
      assert.deepEqual([status, body.success, body.error.code], [401, false, 'UNAUTHORIZED']);
    }
  }
});
