import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { CallOptions } from '../support/api-client.ts';
import { startTestServer } from '../support/app.ts';

// Source: low-code document, sections on workflows, executions and logs; the values are those of its samples.

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$/;
const NOBODY = '00000000-0000-4000-8000-000000000000';
const ADMIN = { username: 'root@example.com', password: 'Root12345' };

const server = await startTestServer(
  { after: (dispose) => after(dispose as () => Promise<void>) },
  { KOAGENT_ADMIN_EMAIL: ADMIN.username, KOAGENT_ADMIN_PASSWORD: ADMIN.password },
);
const { url } = server;
const login = async (username: string, password = 'password123'): Promise<string> => {
  const body = new URLSearchParams({ username, password });
  return (await server.call('POST', '/auth/login', { body })).body.access_token;
};
const register = async (username: string): Promise<string> => {
  const body = { username, email: `${username}@example.com`, password: 'password123' };
  assert.equal((await server.call('POST', '/auth/register', { body })).status, 201);
  return login(username);
};
const token = await register('testuser');
const call = (method: string, path: string, body?: unknown, options: CallOptions = {}) =>
  server.call(method, path, { token, ...(body !== undefined && { body }), ...options });

async function created(body: object, as = token) {
  const made = await call('POST', '/workflows', body, { token: as });
  assert.equal(made.status, 201, made.text);
  return made.body;
}

/** Reads the event stream to its end. */
async function settled(executionId: string, as = token) {
  const response = await fetch(`${url}/api/v1/executions/${executionId}/events`, {
    headers: { authorization: `Bearer ${as}` },
  });
  await response.text();
  for (;;) {
    const { body } = await call('GET', `/executions/${executionId}`, undefined, { token: as });
    if (body.status === 'completed' || body.status === 'failed') return body;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function executed(workflow: object, input: object = {}) {
  const { id } = await created({ name: 'w', ...workflow });
  const started = await call('POST', `/workflows/${id}/execute`, { input_data: input });
  assert.equal(started.status, 201, started.text);
  return settled(started.body.id);
}

const line = (...types: (string | { type: string; id?: string; data?: object })[]) => {
  const nodes = types.map((each, at) => {
    const node = typeof each === 'string' ? { type: each } : each;
    return { id: `${node.type}-${at}`, position: { x: at * 200, y: 0 }, ...node };
  });
  const edges = nodes.slice(1).map((node, at) => ({ id: `e${at}`, source: nodes[at]?.id, target: node.id }));
  return { nodes, edges };
};
const copy = line('start', { type: 'transform', data: { mode: 'mapping', mapping: { text: '{key}' } } }, 'end');

const SAMPLE = {
  name: '文本处理工作流',
  description: '处理用户输入的文本',
  nodes: [
    { id: 'start-1', type: 'start', position: { x: 0, y: 0 }, data: { label: '开始' } },
    {
      id: 'llm-1',
      type: 'llm',
      position: { x: 200, y: 0 },
      data: {
        label: 'LLM处理',
        provider: 'deepseek',
        model: 'deepseek-chat',
        prompt: '请总结以下文本：{input}',
      },
    },
    { id: 'end-1', type: 'end', position: { x: 400, y: 0 }, data: { label: '结束' } },
  ],
  edges: [
    { id: 'e1', source: 'start-1', target: 'llm-1' },
    { id: 'e2', source: 'llm-1', target: 'end-1' },
  ],
};

function failure(
  answer: { status: number; body: { detail?: unknown; error_code?: string; status_code?: number }; text: string },
  status: number,
  code: string,
) {
  const { body } = answer;
  assert.deepEqual([answer.status, body.error_code, body.status_code], [status, code, status], answer.text);
  assert.equal(typeof body.detail, 'string');
}

test('POST /workflows: the sample, with everything that is not documented kept', async () => {
  const node = { id: 'start-1', type: 'start', position: { x: 0, y: 0 }, data: { label: '开始' } };
  const made = await created({
    name: '工作流名称',
    description: '描述',
    nodes: [{ ...node, width: 100, selected: false }],
    edges: [],
    viewport: { zoom: 1 },
  });
  const { id, user_id, created_at, updated_at, ...rest } = made;
  assert.match(id, UUID);
  assert.match(user_id, UUID);
  assert.match(created_at, TIME);
  assert.match(updated_at, TIME);
  assert.deepEqual(rest, {
    name: '工作流名称',
    description: '描述',
    nodes: [{ ...node, width: 100, selected: false }],
    edges: [],
    version: 1,
    status: 'draft',
  });
  assert.deepEqual((await call('GET', `/workflows/${id}`)).body, made);
  const bare = await created({ name: 'x', nodes: [] });
  assert.deepEqual([bare.description, bare.edges], [null, []]);
});

test('POST /workflows: wrong fields are 422 and name the field', async () => {
  const wrong: [object, string][] = [
    [{}, 'name'],
    [{ name: '', nodes: [] }, 'name'],
    [{ name: ' ', nodes: [] }, 'name'],
    [{ name: 'x'.repeat(101), nodes: [] }, 'name'],
    [{ name: 'x' }, 'nodes'],
    [{ name: 'x', nodes: {} }, 'nodes'],
    [{ name: 'x', nodes: [1] }, 'nodes'],
    [{ name: 'x', nodes: [{ type: 'start' }] }, 'nodes'],
    [{ name: 'x', nodes: [{ id: 1, type: 'start' }] }, 'nodes'],
    [{ name: 'x', nodes: [], edges: [{ source: 'a' }] }, 'edges'],
    [{ name: 'x', nodes: [], edges: 'e' }, 'edges'],
    [{ name: 'x', nodes: [], description: 'x'.repeat(2001) }, 'description'],
  ];
  for (const [body, field] of wrong) {
    const answer = await call('POST', '/workflows', body);
    failure(answer, 422, 'VALIDATION_ERROR');
    assert.ok(answer.body.errors[0].loc[0].startsWith(field), answer.text);
  }
  failure(
    await call('POST', '/workflows', '{"name":', { headers: { 'content-type': 'application/json' } }),
    422,
    'VALIDATION_ERROR',
  );
});

test('GET /workflows: paging, search, status and order of the sample query', async () => {
  const own = await register('lister');
  const as = { token: own };
  for (const [name, description] of [
    ['b 报告', '月度'],
    ['a 清洗', '数据'],
    ['c', '报告模板'],
  ] as const) {
    await created({ name, description, nodes: [] }, own);
  }
  const list = async (query: string) =>
    (await call('GET', `/workflows?${query}`, undefined, as)).body.map(({ name }: { name: string }) => name);
  assert.deepEqual(await list('sort_by=name&sort_order=asc'), ['a 清洗', 'b 报告', 'c']);
  assert.deepEqual(await list('sort_by=name&sort_order=asc&skip=1&limit=1'), ['b 报告']);
  assert.deepEqual(await list(''), ['c', 'a 清洗', 'b 报告'], 'newest first');
  assert.deepEqual(await list(`search=${encodeURIComponent('报告')}&sort_by=name&sort_order=desc`), ['c', 'b 报告']);
  assert.deepEqual(await list('search=.*'), [], 'no pattern');
  assert.deepEqual(await list('status=published'), []);
  assert.equal((await list('status=draft&skip=0&limit=10&sort_by=created_at&sort_order=desc')).length, 3);
  for (const query of ['limit=101', 'skip=-1', 'status=x', 'sort_by=id', 'sort_order=up', 'limit=x']) {
    failure(await call('GET', `/workflows?${query}`, undefined, as), 422, 'VALIDATION_ERROR');
  }
});

test('PUT, versions, rollback: a change of content is a new version, nothing is lost', async () => {
  const { id } = await created({ name: 'v1', description: 'd', ...copy });
  const put = (body: object) => call('PUT', `/workflows/${id}`, body);
  assert.equal((await put({ name: '更新后的名称', description: '更新后的描述' })).body.version, 2);
  assert.equal((await put({ name: '更新后的名称' })).body.version, 2, 'nothing has changed');
  assert.equal((await put({ status: 'published' })).body.version, 2, 'a status is no content');
  assert.equal((await put({ nodes: [], edges: [] })).status, 400, 'published graphs are valid');
  const draft = await put({ status: 'draft', nodes: [], edges: [], comment: '清空' });
  assert.deepEqual([draft.body.version, draft.body.nodes], [3, []]);
  failure(await put({ status: 'published' }), 400, 'WORKFLOW_INVALID');
  failure(await put({ status: 'unknown' }), 422, 'VALIDATION_ERROR');

  const versions = (await call('GET', `/workflows/${id}/versions`)).body;
  assert.deepEqual(
    versions.map(({ version, name, comment }: Record<string, unknown>) => [version, name, comment]),
    [
      [3, '更新后的名称', '清空'],
      [2, '更新后的名称', null],
      [1, 'v1', null],
    ],
  );
  const second = (await call('GET', `/workflows/${id}/versions/2`)).body;
  assert.deepEqual([second.workflow_id, second.nodes, second.edges], [id, copy.nodes, copy.edges]);
  assert.match(second.created_at, TIME);
  failure(await call('GET', `/workflows/${id}/versions/9`), 404, 'NOT_FOUND');
  failure(await call('GET', `/workflows/${id}/versions/x`), 422, 'VALIDATION_ERROR');

  const back = await call('POST', `/workflows/${id}/versions/1/rollback`, { comment: '回滚原因' });
  assert.deepEqual(
    [back.status, back.body.version, back.body.name, back.body.description, back.body.nodes],
    [200, 4, 'v1', 'd', copy.nodes],
  );
  assert.equal((await call('GET', `/workflows/${id}/versions/4`)).body.comment, '回滚原因');
  assert.equal((await call('POST', `/workflows/${id}/versions/2/rollback`)).body.version, 5, 'the body may be missing');

  const diff = (await call('GET', `/workflows/${id}/versions/1/diff/3`)).body;
  assert.deepEqual(diff.fields.name, { from: 'v1', to: '更新后的名称' });
  assert.deepEqual(
    diff.nodes.removed.map(({ id: node }: { id: string }) => node),
    copy.nodes.map(({ id: node }) => node),
  );
  const all = await Promise.all(Array.from({ length: 8 }, (_, at) => put({ name: `race ${at}` })));
  const done = all.filter(({ status }) => status === 200).map(({ body }) => body.version);
  assert.equal(new Set(done).size, done.length, 'no version is given out twice');
  const after = (await call('GET', `/workflows/${id}/versions`)).body;
  assert.deepEqual(
    after.map(({ version }: { version: number }) => version),
    Array.from({ length: 5 + done.length }, (_, at) => 5 + done.length - at),
  );
});

test('DELETE: the sample; versions, executions and logs go with it', async () => {
  const { id } = await created({ name: 'gone', ...copy });
  const execution = (await call('POST', `/workflows/${id}/execute`, { input_data: { key: 'value' } })).body.id;
  await settled(execution);
  const waiting = await created({ name: 'x', ...line('start', 'human') });
  const running = (await call('POST', '/executions', { workflow_id: waiting.id })).body.id;
  for (const workflow of [id, waiting.id]) {
    const { status, body } = await call('DELETE', `/workflows/${workflow}`);
    assert.deepEqual([status, body], [200, { message: '工作流已删除' }]);
  }
  for (const path of [
    `/workflows/${id}`,
    `/workflows/${id}/versions`,
    `/executions/${execution}`,
    `/executions/${running}`,
    `/execution-logs/executions/${execution}`,
  ]) {
    failure(await call('GET', path), 404, 'NOT_FOUND');
  }
  failure(await call('DELETE', `/workflows/${id}`), 404, 'NOT_FOUND');
  assert.deepEqual((await call('GET', `/executions?workflow_id=${id}`)).body, []);
});

test('POST /workflows/validate: the sample, and every error and warning of the rules', async () => {
  const validate = async (body: object) => {
    const answer = await call('POST', '/workflows/validate', { name: '工作流名称', ...body });
    assert.equal(answer.status, 200, answer.text);
    return answer.body as { valid: boolean; errors: string[]; warnings: string[] };
  };
  assert.deepEqual(await validate({ nodes: SAMPLE.nodes, edges: SAMPLE.edges }), {
    valid: true,
    errors: [],
    warnings: [],
  });
  const start = { id: 's', type: 'start' };
  const bad: [string, object, RegExp][] = [
    ['no nodes', { nodes: [] }, /没有节点/],
    ['no start', { nodes: [{ id: 'e', type: 'end' }] }, /开始节点/],
    ['two starts', { nodes: [start, { id: 't', type: 'start' }] }, /\bt\b/],
    ['duplicate id', { nodes: [start, start] }, /\bs\b/],
    ['unknown type', { nodes: [start, { id: 'q', type: 'quantum' }] }, /q.*quantum/],
    ['unknown end', { nodes: [start], edges: [{ source: 's', target: 'nowhere' }] }, /nowhere/],
    ['to itself', { nodes: [start, { id: 'o', type: 'output' }], edges: [{ source: 'o', target: 'o' }] }, /\bo\b/],
    ['start entered', { nodes: [start, { id: 'o', type: 'output' }], edges: [{ source: 'o', target: 's' }] }, /\bs\b/],
    [
      'end left',
      {
        nodes: [start, { id: 'e', type: 'end' }, { id: 'o', type: 'output' }],
        edges: [
          { source: 's', target: 'e' },
          { source: 'e', target: 'o' },
        ],
      },
      /\be\b/,
    ],
    [
      'cycle',
      {
        nodes: [start, { id: 'a', type: 'output' }, { id: 'b', type: 'output' }],
        edges: [
          { source: 's', target: 'a' },
          { source: 'a', target: 'b' },
          { source: 'b', target: 'a' },
        ],
      },
      /\b[ab]\b/,
    ],
    ['llm', { nodes: [start, { id: 'l', type: 'llm', data: {} }] }, /l.*prompt/],
    ['condition', { nodes: [start, { id: 'c', type: 'condition' }] }, /c.*expression/],
    ['expression', { nodes: [start, { id: 'c', type: 'condition', data: { expression: '{a} >' } }] }, /\bc\b/],
    ['loop', { nodes: [start, { id: 'lo', type: 'loop' }] }, /lo.*items_path/],
    ['transform', { nodes: [start, { id: 'tr', type: 'transform', data: { mode: 'magic' } }] }, /tr.*magic/],
    ['agent', { nodes: [start, { id: 'ag', type: 'agent' }] }, /ag.*agent_id/],
    [
      'handle',
      {
        nodes: [start, { id: 'c', type: 'condition', data: { expression: '1' } }, { id: 'e', type: 'end' }],
        edges: [
          { source: 's', target: 'c' },
          { source: 'c', target: 'e', sourceHandle: 'maybe' },
        ],
      },
      /maybe/,
    ],
    ['http without url', { nodes: [start, { id: 'h', type: 'http' }] }, /h.*url/],
    ['delay', { nodes: [start, { id: 'd', type: 'delay' }] }, /d.*seconds/],
    ['sub-workflow', { nodes: [start, { id: 'w', type: 'workflow' }] }, /w.*workflow_id/],
    ['internal type', { nodes: [start, { id: 'r', type: 'report.chapter' }] }, /report\.chapter/],
  ];
  for (const [what, graph, message] of bad) {
    const { valid, errors } = await validate(graph);
    assert.equal(valid, false, what);
    assert.ok(
      errors.some((error) => message.test(error)),
      `${what}: ${errors}`,
    );
  }
  const warned = await validate({
    nodes: [start, { id: 'l', type: 'llm', data: { prompt: '{unknown_name}' } }, { id: 'far', type: 'output' }],
    edges: [{ id: 'e', source: 's', target: 'l' }],
  });
  assert.equal(warned.valid, true);
  for (const part of ['far', 'provider', 'unknown_name']) {
    assert.ok(
      warned.warnings.some((warning) => warning.includes(part)),
      `${part}: ${warned.warnings}`,
    );
  }
  const english = await call('POST', '/workflows/validate', { nodes: [] }, { headers: { 'accept-language': 'en' } });
  assert.match(english.body.errors[0], /no nodes/);
  const many = Array.from({ length: 10_001 }, (_, at) => ({ id: `n${at}`, type: 'output' }));
  const tooMany = await validate({ nodes: many });
  assert.match(tooMany.errors[0] ?? '', /10001/);
  failure(await call('POST', '/workflows/validate', { nodes: 'x' }), 422, 'VALIDATION_ERROR');
});

test('templates: at least nine, all valid and without a warning, and created with the name of the query', async () => {
  const { body } = await call('GET', '/workflows/templates');
  assert.ok(body.length >= 9);
  for (const template of body) {
    assert.deepEqual(Object.keys(template).sort(), ['category', 'description', 'edges', 'id', 'name', 'nodes']);
    const { nodes, edges } = template;
    const { body: verdict } = await call('POST', '/workflows/validate', { nodes, edges });
    assert.deepEqual(verdict, { valid: true, errors: [], warnings: [] }, template.id);
  }
  const name = encodeURIComponent('工作流名称');
  const path = `/workflows/templates/${body[0].id}/create`;
  const made = await call('POST', `${path}?name=${name}&description=${encodeURIComponent('描述')}`);
  assert.deepEqual([made.status, made.body.name, made.body.description], [201, '工作流名称', '描述']);
  const plain = await call('POST', path);
  assert.deepEqual([plain.body.name, plain.body.nodes], [body[0].name, body[0].nodes]);
  failure(await call('POST', '/workflows/templates/nothing/create'), 404, 'NOT_FOUND');
});

test('templates that ask nobody for data run on the offline model', async () => {
  const inputs: Record<string, object> = {
    'single-model-call': { text: '本公司一季度收入为 120 万元。同比增长 20%。' },
    'classify-and-answer': { question: '我要投诉：货物破损' },
    'batch-over-a-list': { items: ['苹果', '香蕉', '梨'] },
    'data-clean-up': { orders: [{ amount: 100 }, { amount: -1 }, { amount: 5, status: 'cancelled' }] },
    'agent-answer': { input: '什么是可持续运行？' },
    'parallel-views': { text: '项目延期两周，预算超支 10%。' },
    'score-and-route': { income: 100, debt: 20 },
    reminder: { seconds: 0.05, subject: '开会' },
    script: { text: 'a b a' },
  };
  for (const [id, input] of Object.entries(inputs)) {
    const { body } = await call('POST', `/workflows/templates/${id}/create`);
    const started = await call('POST', `/workflows/${body.id}/execute`, { input_data: input });
    const ended = await settled(started.body.id);
    assert.equal(ended.status, 'completed', `${id}: ${ended.error_message}`);
    const output = ended.output_data;
    if (id === 'data-clean-up')
      assert.deepEqual(output, { orders: [{ amount: 100, tax: 13, total: 113 }], summary: { count: 1 } });
    if (id === 'score-and-route') assert.deepEqual(output, { approved: true, score: 80 });
    if (id === 'reminder') assert.deepEqual(output, { result: '提醒：开会' });
    if (id === 'script') assert.deepEqual(output, { result: '共 3 个词，最常见：a' });
    if (id === 'batch-over-a-list') assert.deepEqual([output.count, output.errors], [3, []]);
    if (id === 'parallel-views') assert.deepEqual(Object.keys(output), ['facts', 'risks', 'actions']);
  }
});

test('the template with a data source reads what its owner may read, and nothing else', async () => {
  const source = { name: '销售', type: 'json', config: { data: [{ region: '华东', amount: 12 }] } };
  const { id: data_source_id } = (await call('POST', '/data-sources', source)).body;
  const run = async (as: string) => {
    const { body } = await call('POST', '/workflows/templates/data-source-report/create', undefined, { token: as });
    const input = { input_data: { data_source_id, query: '$' } };
    const started = await call('POST', `/workflows/${body.id}/execute`, input, { token: as });
    return settled(started.body.id, as);
  };
  const mine = await run(token);
  assert.equal(mine.status, 'completed', mine.error_message);
  const { output } = (await call('GET', `/executions/${mine.id}/nodes/source-1`)).body;
  assert.deepEqual([output.data, output.count], [source.config.data, 1]);
  const foreign = await run(await register('reader'));
  assert.match(foreign.error_message, /source-1/);
});

test('export and import: what is kept comes back as it was', async () => {
  const workflow = {
    name: '导出',
    description: null,
    nodes: [{ id: 's', type: 'start', data: { label: 'x', deep: { a: [1, null, { $set: 1, 'a.b': 2 }] } }, zIndex: 3 }],
    edges: [],
  };
  const { id } = await created(workflow);
  const exported = (await call('GET', `/workflows/${id}/export`)).body;
  assert.match(exported.exported_at, TIME);
  assert.deepEqual(exported.workflow, { ...workflow, version: 1, status: 'draft' });
  await call('PUT', `/workflows/${id}`, { name: '导出', nodes: [...workflow.nodes, { id: 'e', type: 'end' }] });
  const changed = (await call('GET', `/workflows/${id}/export`)).body;
  const imported = await call('POST', '/workflows/import', changed);
  assert.equal(imported.status, 201);
  assert.notEqual(imported.body.id, id);
  assert.deepEqual([imported.body.version, imported.body.status], [1, 'draft']);
  const again = (await call('GET', `/workflows/${imported.body.id}/export`)).body;
  assert.deepEqual({ ...again.workflow, version: 2 }, changed.workflow);
  const odd = { workflow: { id: 'x', version: 7, user_id: 'y', exported_at: 'z', name: 'n', nodes: [], edges: [] } };
  assert.equal((await call('POST', '/workflows/import', odd)).status, 201, 'other fields are ignored');
  for (const body of [{}, { workflow: null }, { workflow: { name: 'n' } }, { workflow: 'text' }]) {
    failure(await call('POST', '/workflows/import', body), 422, 'VALIDATION_ERROR');
  }
});

test('POST /workflows/{id}/execute and POST /executions: the samples', async () => {
  const { id } = await created(SAMPLE);
  const started = await call('POST', `/workflows/${id}/execute`, { input_data: { key: 'value' } });
  assert.equal(started.status, 201);
  const { id: execution, task_id, created_at, ...rest } = started.body;
  assert.match(execution, UUID);
  assert.match(task_id, UUID);
  assert.match(created_at, TIME);
  assert.deepEqual(rest, {
    workflow_id: id,
    status: 'pending',
    input_data: { key: 'value' },
    output_data: null,
    error_message: null,
    execution_time: null,
    started_at: null,
    completed_at: null,
  });
  const ended = await settled(execution);
  assert.equal(ended.status, 'completed');
  assert.equal(typeof ended.output_data.result, 'string');
  assert.ok(Number.isInteger(ended.execution_time) && ended.execution_time >= 0);
  assert.match(ended.started_at, TIME);
  assert.match(ended.completed_at, TIME);
  assert.deepEqual((await call('GET', `/executions/${execution}/status`)).body, {
    status: 'completed',
    progress: 100,
    current_node: null,
  });
  const second = await call('POST', '/executions', { workflow_id: id, input_data: { key: 'value' } });
  assert.deepEqual([second.status, second.body.status, second.body.workflow_id], [201, 'pending', id]);
  assert.deepEqual((await call('POST', '/executions', { workflow_id: id })).body.input_data, {});
  assert.equal((await call('POST', `/workflows/${id}/execute`)).status, 201, 'the body may be missing');
});

test('executions: invalid graphs, stopped workflows and wrong input are refused', async () => {
  const { id } = await created({ name: 'bad', nodes: [{ id: 'l', type: 'llm' }] });
  const refused = await call('POST', `/workflows/${id}/execute`, {});
  failure(refused, 400, 'WORKFLOW_INVALID');
  assert.equal(refused.body.detail, refused.body.errors[0]);
  assert.ok(refused.body.errors.length >= 2, refused.text);
  failure(await call('POST', '/executions', { workflow_id: id }), 400, 'WORKFLOW_INVALID');
  failure(await call('POST', '/executions', { workflow_id: NOBODY }), 404, 'NOT_FOUND');
  failure(await call('POST', '/executions', { workflow_id: 'no-uuid' }), 422, 'VALIDATION_ERROR');
  failure(await call('POST', '/executions', {}), 422, 'VALIDATION_ERROR');
  const good = await created({ name: 'good', ...copy });
  for (const input of [[], 'x', 1]) {
    failure(await call('POST', `/workflows/${good.id}/execute`, { input_data: input }), 422, 'VALIDATION_ERROR');
  }
  await call('PUT', `/workflows/${good.id}`, { status: 'stopped' });
  failure(await call('POST', `/workflows/${good.id}/execute`, {}), 400, 'BAD_REQUEST');
});

test('GET /executions: newest first, by workflow, status and text of name, input and error', async () => {
  const own = await register('runner');
  const as = { token: own };
  const { id: fine } = await created({ name: 'Quarterly 报表', ...copy }, own);
  const { id: broken } = await created(
    {
      name: 'other',
      ...line('start', { type: 'input', data: { fields: [{ name: 'amount', required: true }] } }, 'end'),
    },
    own,
  );
  const ids: string[] = [];
  for (const [workflow, input] of [
    [fine, { key: 'apple' }],
    [broken, {}],
    [fine, { key: '香蕉' }],
  ] as const) {
    const { body } = await call('POST', `/workflows/${workflow}/execute`, { input_data: input }, as);
    ids.push(body.id);
    await settled(body.id, own);
  }
  const list = async (query: string) =>
    (await call('GET', `/executions?${query}`, undefined, as)).body.map(({ id }: { id: string }) => ids.indexOf(id));
  assert.deepEqual(await list(''), [2, 1, 0]);
  assert.deepEqual(await list('skip=1&limit=1'), [1]);
  assert.deepEqual(await list(`workflow_id=${fine}`), [2, 0]);
  assert.deepEqual(await list('status=failed'), [1]);
  assert.deepEqual(await list('status=completed&limit=10'), [2, 0]);
  assert.deepEqual(await list('search=QUARTERLY'), [2, 0]);
  assert.deepEqual(await list(`search=${encodeURIComponent('香蕉')}`), [2]);
  assert.deepEqual(await list('search=amount'), [1], 'the text of the error');
  assert.deepEqual(await list('search=%5B'), []);
  failure(await call('GET', '/executions?status=cancelled', undefined, as), 422, 'VALIDATION_ERROR');
  const failed = (await call('GET', `/executions/${ids[1]}`, undefined, as)).body;
  assert.match(failed.error_message, /input-1.*amount/);
  assert.equal(failed.output_data, null);
  assert.deepEqual(Object.keys((await call('GET', '/executions?limit=1', undefined, as)).body[0]), Object.keys(failed));
});

test('execution logs: lines, filters, paging and summary of the samples', async () => {
  const graph = {
    nodes: [
      { id: 'start-1', type: 'start' },
      { id: 'condition-1', type: 'condition', data: { expression: '{value} > 10' } },
      { id: 'output-big', type: 'output', data: { template: '大 {missing}' } },
      { id: 'output-small', type: 'output', data: { template: '小' } },
    ],
    edges: [
      { source: 'start-1', target: 'condition-1' },
      { source: 'condition-1', target: 'output-big', sourceHandle: 'true' },
      { source: 'condition-1', target: 'output-small', label: '否' },
    ],
  };
  const { id, output_data } = await executed(graph, { value: '11' });
  assert.deepEqual(output_data, { result: '大 {missing}' });
  const logs = async (query = '') => (await call('GET', `/execution-logs/executions/${id}${query}`)).body;
  const all = await logs();
  assert.deepEqual(Object.keys(all), ['logs', 'total', 'skip', 'limit']);
  assert.deepEqual([all.skip, all.limit, all.total, all.logs.length], [0, 100, all.logs.length, all.logs.length]);
  assert.deepEqual(
    all.logs.map(({ node_id, level }: Record<string, unknown>) => `${node_id} ${level}`),
    [
      'null info',
      'start-1 info',
      'start-1 info',
      'condition-1 info',
      'condition-1 info',
      'output-small debug',
      'output-big info',
      'output-big warn',
      'output-big info',
      'null info',
    ],
  );
  const first = all.logs[1];
  assert.deepEqual(
    { ...first, id: '', timestamp: '' },
    {
      id: '',
      execution_id: id,
      node_id: 'start-1',
      node_type: 'start',
      level: 'info',
      message: '节点开始执行',
      data: null,
      timestamp: '',
      duration_ms: null,
    },
  );
  assert.match(first.id, UUID);
  assert.match(first.timestamp, TIME);
  assert.equal(typeof all.logs[2].duration_ms, 'number');
  assert.equal(new Set(all.logs.map((line: { id: string }) => line.id)).size, all.total);
  assert.deepEqual(
    (await logs('?level=warn')).logs.map(({ node_id }: Record<string, unknown>) => node_id),
    ['output-big'],
  );
  const page = await logs('?node_id=condition-1&skip=1&limit=1');
  assert.deepEqual([page.total, page.skip, page.limit, page.logs.length], [2, 1, 1, 1]);
  for (const query of ['?level=warning', '?limit=1001', '?skip=-1']) {
    failure(await call('GET', `/execution-logs/executions/${id}${query}`), 422, 'VALIDATION_ERROR');
  }
  const { body: summary } = await call('GET', `/execution-logs/executions/${id}/summary`);
  assert.deepEqual(Object.keys(summary), ['total_logs', 'level_stats', 'node_stats', 'error_logs']);
  assert.deepEqual(summary.level_stats, { info: 8, warn: 1, error: 0, debug: 1 });
  const stats = summary.node_stats.find(({ node_id }: Record<string, unknown>) => node_id === 'condition-1');
  assert.deepEqual(
    { ...stats, total_duration_ms: 0 },
    { node_id: 'condition-1', node_type: 'condition', log_count: 2, total_duration_ms: 0 },
  );
  assert.deepEqual(summary.error_logs, []);
  failure(await call('GET', `/execution-logs/executions/${NOBODY}`), 404, 'NOT_FOUND');
});

test('nodes documented: every configuration sample does what the document says', async () => {
  const loop = {
    nodes: [
      { id: 's', type: 'start' },
      { id: 'loop-1', type: 'loop', data: { items_path: 'items', item_variable: 'item', error_handling: 'continue' } },
      { id: 't', type: 'transform', data: { mode: 'compute', compute_rules: { twice: '{item} * 2' } } },
      { id: 'm', type: 'transform', data: { mode: 'mapping', mapping: { n: '{twice}', at: 'index', of: 'total' } } },
      { id: 'e', type: 'end' },
    ],
    edges: [
      { source: 's', target: 'loop-1' },
      { source: 'loop-1', target: 't', sourceHandle: 'body' },
      { source: 't', target: 'm' },
      { source: 'loop-1', target: 'e', sourceHandle: 'done' },
    ],
  };
  const looped = await executed(loop, { items: [1, 'x', '3'] });
  assert.deepEqual(looped.output_data.results, [{ n: 2, at: 0, of: 3 }, null, { n: 6, at: 2, of: 3 }]);
  assert.deepEqual(looped.output_data.count, 3);
  assert.equal(looped.output_data.errors[0].index, 1);
  const notList = await executed(loop, { items: 'abc' });
  assert.match(notList.error_message, /loop-1.*items/);
  const llm = SAMPLE.nodes[1];
  assert.equal(
    (
      await executed(
        {
          ...SAMPLE,
          nodes: [
            SAMPLE.nodes[0],
            { ...llm, data: { ...llm?.data, temperature: 0.7, max_tokens: 1000 } },
            SAMPLE.nodes[2],
          ],
        },
        { input: '你好' },
      )
    ).status,
    'completed',
  );
  const outputs = await executed(
    line('start', { type: 'output', data: { format: 'json', template: '{"a": "{x}"}', output_key: 'r' } }),
    { x: '"}' },
  );
  assert.deepEqual(outputs.output_data, { r: { a: '"}' } });
});

test('authentication and ownership: 401 without a token, 404 for others, administrators see all', async () => {
  const { id } = await created({ name: 'mine', ...copy });
  const execution = (await call('POST', '/executions', { workflow_id: id, input_data: { key: 'secret-of-testuser' } }))
    .body.id;
  await settled(execution);
  const anonymous = await server.call('GET', `/workflows/${id}`);
  failure(anonymous, 401, 'UNAUTHORIZED');
  assert.equal(anonymous.headers.get('www-authenticate'), 'Bearer');
  const stranger = { token: await register('stranger') };
  failure(await call('GET', `/workflows/${id}`, undefined, stranger), 404, 'NOT_FOUND');
  failure(await call('POST', '/executions', { workflow_id: id }, stranger), 404, 'NOT_FOUND');
  failure(await call('GET', `/executions/${execution}`, undefined, stranger), 404, 'NOT_FOUND');
  assert.deepEqual((await call('GET', '/executions?search=secret-of', undefined, stranger)).body, []);

  const admin = { token: await login(ADMIN.username, ADMIN.password) };
  assert.equal((await call('GET', `/workflows/${id}`, undefined, admin)).body.name, 'mine');
  assert.equal((await call('PUT', `/workflows/${id}`, { name: 'ours' }, admin)).body.version, 2);
  const found = (await call('GET', '/executions?search=secret-of', undefined, admin)).body;
  assert.deepEqual(
    found.map((each: { id: string }) => each.id),
    [execution],
  );
  const started = await call('POST', '/executions', { workflow_id: id }, admin);
  assert.equal(started.status, 201);
  // It runs with the rights of its owner and is the owner's.
  assert.equal((await settled(started.body.id)).status, 'completed');
  assert.ok((await call('GET', '/workflows', undefined, admin)).body.length > 10);
  assert.equal((await call('GET', `/execution-logs/executions/${execution}/summary`, undefined, admin)).status, 200);
});

test('GET /node-types: every type with the schema of its configuration', async () => {
  const { body } = await call('GET', '/node-types');
  const types = body.map(({ type }: { type: string }) => type);
  for (const type of [
    'start',
    'input',
    'llm',
    'condition',
    'transform',
    'loop',
    'agent',
    'output',
    'end',
    'http',
    'data_source',
    'knowledge',
    'code',
    'template',
    'delay',
    'human',
    'workflow',
  ]) {
    assert.ok(types.includes(type), type);
  }
  assert.equal(new Set(types).size, types.length);
  for (const { type, config, label, literal } of body) {
    assert.equal(config.type, 'object', type);
    assert.ok(label.length > 0, type);
    assert.ok(Array.isArray(literal), type);
    // What every node may have, whatever its type: an editor offers it for all of them.
    const common = ['label', 'on_error', 'default_value', 'retry', 'timeout_ms'];
    const missing = common.filter((field) => !Object.hasOwn(config.properties, field));
    assert.deepEqual(missing, type === 'start' || type === 'end' ? common : [], type);
  }
  assert.ok(!types.some((type: string) => /^report\.|^knowledge\.|^transform\./.test(type)));
});
