import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, test } from 'node:test';
import { authenticatorService } from '../../../core/auth.ts';
import { AppError } from '../../../core/errors.ts';
import { createLogger } from '../../../core/log.ts';
import type { Principal } from '../../../core/principal.ts';
import { RunCancelled, RunInterrupted } from '../../../core/run-kind.ts';
import type { ServiceKey } from '../../../core/service.ts';
import type { ToolScope } from '../../../core/tool.ts';
import { dataSourceService } from '../../../plugins/data-sources/public.ts';
import { knowledgeService } from '../../../plugins/knowledge/public.ts';
import { executionService, workflowService } from '../../../plugins/workflows/public.ts';
import { runService } from '../../../runtime/runs/service.ts';
import { toolService } from '../../../runtime/tools/index.ts';
import { startTestServer } from '../../support/app.ts';
import { startFakeOpenAI } from '../../support/fake-openai.ts';

// The tools that plugins bring, through the registry of a whole server.

const openai = await startFakeOpenAI();
after(() => openai.close());
const { server, call: request } = await startTestServer(
  { after },
  { OPENAI_BASE_URL: openai.url, OPENAI_API_KEY: 'sk-test-0123456789' },
);
const find = <T>(key: ServiceKey<T>): T => server.app.host.find(key) ?? assert.fail(key.name);
const [tools, runs, workflows] = [find(toolService), find(runService), find(workflowService)];

const person = (accountId: string, roles: Principal['roles'] = ['user']): Principal => ({
  kind: 'user',
  accountId,
  tenantId: `tenant-${accountId}`,
  roles,
});

/** Somebody with an account. */
async function register(name: string): Promise<Principal> {
  const body = { email: `${name}@example.com`, password: 'Abc12345', name };
  await request('POST', '/auth/register', { body });
  const { accessToken } = (await request('POST', '/auth/login', { body })).body.data;
  const checked = await find(authenticatorService).check(accessToken);
  return checked.kind === 'jwt' ? checked.identity.principal : assert.fail(checked.kind);
}
const anna = await register('anna');
const ben = await register('ben');

let last = 0;
function call(
  name: string,
  args: Record<string, unknown>,
  more: Partial<ToolScope> & { signal?: AbortSignal; key?: string } = {},
) {
  const { signal = new AbortController().signal, key = `run-x:t${++last}.1`, ...scope } = more;
  return tools.call({
    name,
    arguments: args,
    scope: { principal: anna, ...scope },
    runId: 'run-x',
    idempotencyKey: key,
    signal,
    log: createLogger('silent'),
    emit: () => undefined,
    node: () => assert.fail('no nodes'),
  });
}
const names = async (scope: Partial<ToolScope> = {}, ...categories: string[]) =>
  (await tools.select({ names: categories.map((one) => `category:${one}`) }, { principal: anna, ...scope })).map(
    ({ name }) => name,
  );
const code = (wanted: string) => (error: unknown) => error instanceof AppError && error.code === wanted;

test('tools are offered to those who have something for them', async () => {
  assert.deepEqual(await names({}, 'network', 'knowledge', 'data', 'workflow'), ['http_request']);
});

test('search_knowledge: numbered passages with document and page, in the places of the answer alone', async () => {
  const knowledge = find(knowledgeService);
  const text = '维生素D每天三千单位。\n\n骨密度每年测量一次。';
  const file = { filename: '方案.txt', content: new TextEncoder().encode(text) };
  const { id } = await knowledge.addDocument(anna, { agentId: 'agent-1' }, file);
  await knowledge.imported(anna, id);
  assert.deepEqual(await names({ agentId: 'agent-1' }, 'knowledge'), ['search_knowledge']);
  assert.deepEqual(await names({ agentId: 'agent-2' }, 'knowledge'), []);
  assert.deepEqual(await names({ principal: ben, agentId: 'agent-1' }, 'knowledge'), []);
  assert.deepEqual(await names({ principal: { ...anna, kind: 'api' }, agentId: 'agent-1' }, 'knowledge'), []);
  const found = String(await call('search_knowledge', { query: '维生素D 剂量' }, { agentId: 'agent-1' }));
  assert.match(found, /^<material ref="K1" title="方案.txt">\n[\s\S]*三千单位/);
  assert.equal(await call('search_knowledge', { query: '维生素D' }, { agentId: 'agent-2' }), 'Nothing was found.');
  assert.equal(
    await call('search_knowledge', { query: '维生素D' }, { agentId: 'agent-1', principal: ben }),
    'Nothing was found.',
  );
  const base = await knowledge.createBase(anna, { name: '指南' });
  const guide = { filename: '指南.txt', content: new TextEncoder().encode('钙每天一克。') };
  await knowledge.imported(anna, (await knowledge.addDocument(anna, { knowledgeBaseId: base.id }, guide)).id);
  assert.deepEqual(await names({}, 'knowledge'), ['search_knowledge']);
  assert.deepEqual(await names({ knowledgeBaseIds: [] }, 'knowledge'), []);
  assert.match(String(await call('search_knowledge', { query: '钙 剂量' })), /一克/);
  assert.equal(await call('search_knowledge', { query: '钙 剂量' }, { knowledgeBaseIds: [] }), 'Nothing was found.');
  const both = String(await call('search_knowledge', { query: '每天 剂量' }, { agentId: 'agent-1' }));
  assert.match(both, /一克[\s\S]*三千单位|三千单位[\s\S]*一克/);
  await assert.rejects(
    call('search_knowledge', { query: '维生素D' }, { knowledgeBaseIds: ['not-there'] }),
    code('KNOWLEDGE_BASE_NOT_FOUND'),
  );
});

test('data sources: listed and queried by id or name, others are not found; settings fix the source', async () => {
  const sources = find(dataSourceService);
  const config = { data: { items: [{ n: 1 }, { n: 2 }] } };
  const one = await sources.create(anna, { name: 'numbers', type: 'json', config });
  assert.deepEqual(await call('list_data_sources', {}), [
    { id: one.id, name: 'numbers', type: 'json', description: null },
  ]);
  for (const data_source of [one.id, 'numbers']) {
    assert.deepEqual(await call('query_data', { data_source, query: 'items[*].n' }), {
      data: [1, 2],
      count: 2,
      truncated: false,
    });
  }
  await assert.rejects(
    call('query_data', { data_source: one.id, query: '$' }, { principal: ben }),
    code('DATA_SOURCE_NOT_FOUND'),
  );
  const admin = person('root', ['user', 'admin']);
  await assert.rejects(
    call('query_data', { data_source: one.id, query: '$' }, { principal: admin }),
    code('DATA_SOURCE_NOT_FOUND'),
  );
  const settings = { query_data: { data_source_id: one.id } };
  const [tailored] = await tools.select({ names: ['query_data'] }, { principal: anna, settings });
  assert.deepEqual(Object.keys(tailored?.parameters.properties ?? {}), ['query']);
  const fixed = await call('query_data', { data_source: 'other', query: 'items[0].n' }, { settings });
  assert.deepEqual(fixed, { data: [1], count: 1, truncated: false });
  await sources.create(anna, { name: 'numbers', type: 'json', config });
  await assert.rejects(call('query_data', { data_source: 'numbers', query: '$' }), code('DATA_SOURCE_AMBIGUOUS'));
  await sources.update(anna, one.id, { status: 'inactive' });
  assert.equal(((await call('list_data_sources', {})) as unknown[]).length, 1);
});

const node = (id: string, type: string, data = {}) => ({ id, type, data });
const chain = (...nodes: ReturnType<typeof node>[]) => ({
  nodes,
  edges: nodes.slice(1).map(({ id }, at) => ({ id: `e${at}`, source: nodes[at]?.id ?? '', target: id })),
});
async function publish(name: string, ...middle: ReturnType<typeof node>[]): Promise<string> {
  const { id } = await workflows.create(anna, {
    name,
    ...chain(node('start', 'start'), ...middle, node('end', 'end')),
  });
  await workflows.update(anna, id, { status: 'published' });
  return id;
}

test('workflows: published ones are listed and run to their end; the same call twice is one execution', async () => {
  const fields = [{ name: 'who', type: 'text', required: true }];
  const id = await publish(
    'greet',
    node('in', 'input', { fields }),
    node('t', 'template', { template: 'hello {who}' }),
  );
  await workflows.create(anna, { name: 'draft', ...chain(node('start', 'start'), node('end', 'end')) });
  assert.deepEqual(await call('list_workflows', {}), [{ id, name: 'greet', description: null, input: fields }]);
  const first = await call('run_workflow', { workflow: 'greet', input: { who: 'Anna' } }, { key: 'same' });
  assert.deepEqual(first, {
    execution_id: (first as { execution_id: string }).execution_id,
    status: 'completed',
    output: { result: 'hello Anna' },
  });
  assert.deepEqual(await call('run_workflow', { workflow: id, input: { who: 'Anna' } }, { key: 'same' }), first);
  const executions = await find(executionService).list(anna, { workflowId: id }, { offset: 0, limit: 10 });
  assert.equal(executions.length, 1);
  await assert.rejects(call('run_workflow', { workflow: 'draft' }), code('WORKFLOW_NOT_PUBLISHED'));
  await assert.rejects(call('run_workflow', { workflow: id }, { principal: ben }), code('WORKFLOW_NOT_PUBLISHED'));
  await assert.rejects(call('run_workflow', { workflow: id, input: {} }), (error: unknown) => {
    assert.ok(error instanceof AppError);
    assert.equal(error.code, 'WORKFLOW_FAILED');
    assert.match(error.message, /who/);
    return true;
  });
});

test('run_workflow: a cancel follows, an interruption does not, and who waits for a person is told', async () => {
  const id = await publish('slow', node('d', 'delay', { seconds: 3600 }));
  const executions = find(executionService);
  const begin = async (reason: Error, key: string) => {
    const controller = new AbortController();
    const called = call('run_workflow', { workflow: id }, { signal: controller.signal, key });
    const started = async () =>
      (await executions.list(anna, { workflowId: id, status: 'running' }, { offset: 0, limit: 1 }))[0];
    while (!(await started())) await new Promise((next) => setImmediate(next));
    const execution = await started();
    controller.abort(reason);
    await assert.rejects(called, reason);
    return execution?.id ?? '';
  };
  const interrupted = await begin(new RunInterrupted('shutdown'), 'again');
  assert.equal((await executions.get(anna, interrupted)).status, 'running');
  assert.equal(await begin(new RunCancelled('user_stop'), 'again'), interrupted);
  const { status, error } = await runs.ended({ ...anna }, interrupted);
  assert.deepEqual([status, error], ['cancelled', undefined]);
  await publish('ask', node('h', 'human', { prompt: 'May I?' }));
  const waiting = (await call('run_workflow', { workflow: 'ask' })) as Record<string, unknown>;
  assert.deepEqual([waiting.status, waiting.waits_for], ['waiting', 'an approval by a person']);
});

test('agent node of a workflow: tools of the registry by name, and no agent in agent without end', async () => {
  const id = await publish(
    'self',
    node('a', 'agent', { instructions: 'x', prompt: 'y', model: 'gpt-4o', tools: ['run_workflow'] }),
  );
  let deepest = '';
  openai.always(({ body }) => {
    const result = body.messages.at(-1);
    if (result.role !== 'tool') {
      return { toolCalls: [{ id: 'c', name: 'run_workflow', arguments: JSON.stringify({ workflow: id }) }] };
    }
    if (deepest === '') deepest = result.content;
    return { text: 'done' };
  });
  const { output } = (await call('run_workflow', { workflow: id })) as { output: unknown };
  assert.deepEqual(output, { result: 'done' });
  assert.match(deepest, /WORKFLOW_TOO_DEEP/);
  const count = (await find(executionService).list(anna, { workflowId: id }, { offset: 0, limit: 50 })).length;
  assert.equal(count, 8);
});

test('http_request: guarded, only with the methods and below the address that its settings allow', async (t) => {
  const web = createServer((_, response) => response.end('inside'));
  await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve));
  t.after(() => web.close());
  const url = `http://127.0.0.1:${(web.address() as AddressInfo).port}/`;
  await assert.rejects(call('http_request', { url }), code('OUTBOUND_REFUSED'));
  await assert.rejects(call('http_request', { url, method: 'POST' }), code('TOOL_INPUT_INVALID'));
  const settings = { http_request: { base_url: 'https://api.example.com/v1', methods: ['POST'] } };
  await assert.rejects(
    call('http_request', { url: 'https://other.example.com/' }, { settings }),
    code('AGENT_TOOL_INVALID'),
  );
  const [tool] = await tools.select({ names: ['http_request'] }, { principal: anna, settings });
  assert.match(tool?.description ?? '', /\(POST\) below https:\/\/api.example.com\/v1/);
  const broken = { http_request: { methods: [] } };
  assert.deepEqual(await tools.select({ names: ['http_request'] }, { principal: anna, settings: broken }), []);
});
