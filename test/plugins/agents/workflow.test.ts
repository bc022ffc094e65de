import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startTestServer } from '../../support/app.ts';
import { startFakeOpenAI } from '../../support/fake-openai.ts';
import { signIn } from '../../support/people.ts';

const openai = await startFakeOpenAI();
after(() => openai.close());
const server = await startTestServer({ after }, { OPENAI_BASE_URL: openai.url, OPENAI_API_KEY: 'sk-test-0123456789' });
const as = await signIn(server, 'studio', 'user@example.com');
const AGENT = {
  name: '客服',
  prompt_template: '你是客服。资料：{context}',
  model_config: { provider: 'openai', model_name: 'gpt-4o-mini', temperature: 0.5, max_tokens: 321 },
};

/** One agent node between start and end; the execution when it has ended. */
async function run(who: typeof as, data: Record<string, unknown>) {
  const nodes = [
    { id: 'start', type: 'start', data: {} },
    { id: 'agent', type: 'agent', data },
    { id: 'end', type: 'end', data: {} },
  ];
  const edges = [
    { id: 'e1', source: 'start', target: 'agent' },
    { id: 'e2', source: 'agent', target: 'end' },
  ];
  const made = await who('POST', '/workflows', { name: 'w', nodes, edges });
  assert.equal(made.status, 201, made.text);
  const started = await who('POST', '/executions', {
    workflow_id: made.body.id,
    input_data: { question: '营业时间？' },
  });
  assert.equal(started.status, 201, started.text);
  await who('GET', `/executions/${started.body.id}/events`);
  return (await who('GET', `/executions/${started.body.id}`)).body;
}

test('agent node: an agent of the studio by number, number as text, and UUID', async () => {
  const { id } = (await as('POST', '/agents', AGENT)).body.data;
  const research = await signIn(server, 'research', 'user@example.com');
  const uuid = (await research('GET', '/agents')).body.data.at(-1).id;
  for (const agent_id of [id, String(id), uuid]) {
    openai.reply({ text: '九点' });
    const execution = await run(as, { agent_id });
    assert.deepEqual(
      [execution.status, execution.output_data],
      ['completed', { result: '九点' }],
      execution.error_message,
    );
    const { body } = openai.requests.at(-1) ?? assert.fail();
    assert.deepEqual(
      [body.model, body.temperature, body.max_tokens ?? body.max_completion_tokens],
      ['gpt-4o-mini', 0.5, 321],
    );
    assert.deepEqual(body.messages[0], { role: 'system', content: '你是客服。资料：（无）' });
    assert.match(body.messages[1].content, /营业时间/);
  }
});

test('agent node: an agent of the catalogue, with a model that has credentials, without stray places', async () => {
  openai.reply({ text: 'PICOS' });
  const execution = await run(as, { agent_id: 'agent-picos' });
  assert.equal(execution.status, 'completed', execution.error_message);
  const { body } = openai.requests.at(-1) ?? assert.fail();
  // None of its own models has credentials here, so the server's default answers.
  assert.deepEqual([body.model, body.temperature], ['gpt-4o', 0.3]);
  assert.match(body.messages[0].content, /临床流行病学[\s\S]*## 项目背景\n（未提供）/);
  assert.doesNotMatch(body.messages[0].content, /\{\{/);
});

test('agent node: what the node says goes before what the agent says', async () => {
  const { id } = (await as('POST', '/agents', AGENT)).body.data;
  openai.reply({ text: 'ok' });
  await run(as, { agent_id: id, model: 'gpt-4o', temperature: 1, max_tokens: 5 });
  const { body } = openai.requests.at(-1) ?? assert.fail();
  assert.deepEqual([body.model, body.temperature, body.max_tokens ?? body.max_completion_tokens], ['gpt-4o', 1, 5]);
});

test('agent node: agents that are not there, or are others’, fail the node by name', async () => {
  const { id } = (await as('POST', '/agents', AGENT)).body.data;
  const other = await signIn(server, 'studio', 'other@example.com');
  for (const [who, agent_id] of [
    [as, 'agent-nothing'],
    [as, id + 1000],
    [as, '9'.repeat(400)],
    [as, '00000000-0000-4000-8000-000000000000'],
    [as, '__proto__'],
    [other, id],
  ] as const) {
    const execution = await run(who, { agent_id });
    assert.equal(execution.status, 'failed', String(agent_id));
    assert.match(execution.error_message, /agent.*智能体不存在/s);
  }
});
