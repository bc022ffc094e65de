import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { authenticatorService } from '../../../core/auth.ts';
import type { Principal } from '../../../core/principal.ts';
import { usageService } from '../../../runtime/usage/index.ts';
import { startTestServer, type TestServer } from '../../support/app.ts';
import { type FakeOpenAI, startFakeOpenAI } from '../../support/fake-openai.ts';
import { changedManifest } from '../../support/manifest.ts';
import { apiAccount } from '../../support/people.ts';

/** Budgets and sums as whoever uses the server meets them: workflows over a model behind real HTTP, 15 tokens a call. */
describe('budgets of a server', () => {
  const disposers: (() => unknown)[] = [];
  const owner = { after: (dispose: () => unknown) => void disposers.push(dispose) } as never;
  let server: TestServer;
  let openai: FakeOpenAI;

  before(async () => {
    openai = await startFakeOpenAI();
    disposers.push(() => openai.close());
    const manifest = changedManifest(owner, ({ runtime, http }) => {
      runtime.budgets = { perAccount: { tokens: 40, period: 'month' } };
      for (const limits of Object.values(http.limits)) for (const name of Object.keys(limits)) limits[name] = 10_000;
    });
    server = await startTestServer(owner, {
      KOAGENT_MANIFEST: manifest,
      OPENAI_BASE_URL: openai.url,
      OPENAI_API_KEY: 'sk-test-0123456789',
      DEFAULT_MODEL: 'gpt-4o',
    });
  });
  after(async () => {
    for (const dispose of disposers.reverse()) await dispose();
  });

  async function login(username: string): Promise<{ token: string; principal: Principal }> {
    const password = 'Secret123';
    await server.call('POST', '/auth/register', { body: { username, email: `${username}@example.com`, password } });
    const { body } = await server.call('POST', '/auth/login', { body: new URLSearchParams({ username, password }) });
    const check = await server.server.app.host.find(authenticatorService)?.check(body.access_token);
    assert.ok(check && 'identity' in check);
    return { token: body.access_token, principal: check.identity.principal };
  }

  async function execute(token: string, nodes: { id: string; type: string; data: Record<string, unknown> }[]) {
    const all = [{ id: 'start', type: 'start', data: {} }, ...nodes, { id: 'end', type: 'end', data: {} }];
    const edges = all.slice(1).map(({ id }, at) => ({ id: `e${at}`, source: all[at]?.id, target: id }));
    const made = await server.call('POST', '/workflows', { token, body: { name: 'w', nodes: all, edges } });
    const started = await server.call('POST', '/executions', {
      token,
      body: { workflow_id: made.body.id, input_data: {} },
    });
    const events = await server.call('GET', `/executions/${started.body.id}/events`, { token });
    const { body } = await server.call('GET', `/executions/${started.body.id}`, { token });
    return { execution: body, events: events.text };
  }

  const llm = (id: string) => ({ id, type: 'llm', data: { prompt: 'hello', retry: { max: 3, delay_ms: 1 } } });

  test('a workflow is stopped at the model call that the budget does not cover, and says until when', async () => {
    const { token, principal } = await login('spender');
    const first = await execute(token, [llm('a'), llm('b')]);
    assert.equal(first.execution.status, 'completed', first.execution.error_message);
    const usage = server.server.app.host.find(usageService);
    const ofRun = await usage?.totals(principal, { runId: first.execution.id });
    assert.deepEqual([ofRun?.calls, ofRun?.totalTokens], [2, 30]);

    const asked = openai.requests.length;
    const second = await execute(token, [llm('a'), llm('b')]);
    assert.equal(second.execution.status, 'failed');
    assert.match(second.execution.error_message, /账号本月的模型用量已达上限（40 tokens）/);
    assert.equal(
      openai.requests.length,
      asked + 1,
      'the third call was covered, the fourth was not made, nor repeated',
    );
    const spent = await usage?.totals(principal, { accountId: principal.accountId });
    assert.deepEqual([spent?.calls, spent?.totalTokens], [3, 45]);
  });

  test('an agent node asks before each of its calls', async () => {
    const { token } = await login('agent-user');
    openai.always(({ body }) =>
      body.tools ? { toolCalls: [{ name: 'http_request', arguments: '{"url":"/x"}' }] } : { text: 'ok' },
    );
    const asked = openai.requests.length;
    const agent = { id: 'a', type: 'agent', data: { instructions: 'work', prompt: 'go', tools: ['http'] } };
    const { execution } = await execute(token, [agent]);
    assert.equal(execution.status, 'failed');
    assert.match(execution.error_message, /已达上限/);
    assert.equal(openai.requests.length - asked, 3);
  });

  test('nodes without a model go on when the budget is used up', async () => {
    const { token } = await login('careful');
    openai.always({ text: 'ok' });
    await execute(token, [llm('a'), llm('b'), llm('c')]);
    assert.equal((await execute(token, [llm('a')])).execution.status, 'failed');
    const { execution } = await execute(token, [{ id: 't', type: 'output', data: {} }]);
    assert.equal(execution.status, 'completed', execution.error_message);
  });

  test('every API tells it in its own form', async () => {
    const spend = async (principal: Principal) => {
      const used = { runId: 'r', kind: 'chat', model: 'm', inputTokens: 99, outputTokens: 0, cachedTokens: 0 };
      await server.server.app.host.find(usageService)?.record(principal, { ...used, estimated: false });
    };
    const { principal } = await login('everywhere');
    await spend(principal);
    const body = { email: 'everywhere@example.com', password: 'Secret123' };
    const research = (await server.call('POST', '/auth/login', { body })).body.data.accessToken;
    const chat = { content: 'hi', modelType: 'deepseek-v3' };
    const general = await server.call('POST', '/chat/stream', { token: research, body: chat });
    assert.match(general.text, /"code":"QUOTA_EXCEEDED","message":"账号本月的模型用量已达上限（40 tokens）/);

    const token = (await server.call('POST', '/users/login', { body })).body.data.access_token;
    const model_config = { provider: 'openai', model_name: 'gpt-4o' };
    const made = await server.call('POST', '/agents', {
      token,
      body: { name: 'a', prompt_template: 'p', model_config },
    });
    const conversation = { agent_id: made.body.data.id };
    const { id } = (await server.call('POST', '/conversations', { token, body: conversation })).body.data;
    const message = { content: 'hi', stream: false };
    const studio = await server.call('POST', `/conversations/${id}/messages`, { token, body: message });
    assert.deepEqual([studio.status, studio.body.code], [403, 40300]);

    const bot = await apiAccount(server.server, 'quota-bot');
    await spend(bot.principal);
    const { conversation_id } = (await server.call('POST', '/conversations', { token: bot.token })).body;
    const task = await server.call('POST', '/messages', { token: bot.token, body: { message: 'hi', conversation_id } });
    let events: { type: string; data: Record<string, unknown> }[] = [];
    while (!events.some(({ type }) => type === 'error')) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      const poll = await server.call('GET', `/tasks/${task.body.task_id}?from=0`, { token: bot.token });
      events = poll.body.data.events;
    }
    const quota = events.find(({ type }) => type === 'quota_exceeded');
    assert.equal(quota?.data.type, 'tokens');
    assert.match(String(quota.data.reset_at), /^\d{4}-\d{2}-01T00:00:00\.000Z$/);
  });
});
