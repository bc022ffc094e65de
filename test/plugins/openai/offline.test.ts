import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import OpenAI from 'openai';
import { authenticatorService } from '../../../core/auth.ts';
import { databaseService } from '../../../core/data/database.ts';
import { createLogger } from '../../../core/log.ts';
import type { Principal } from '../../../core/principal.ts';
import { createKeeping } from '../../../plugins/openai/keeping.ts';
import { completionService } from '../../../plugins/openai/public.ts';
import { runService } from '../../../runtime/runs/service.ts';
import { startTestServer, type TestServer } from '../../support/app.ts';

/** Without any model: what the offline model makes of it, and what is kept. */
describe('completions on the offline model', () => {
  const disposers: (() => unknown)[] = [];
  let server: TestServer;
  let client: OpenAI;
  let token: string;
  let principal: Principal;

  before(async () => {
    server = await startTestServer({ after: (dispose) => void disposers.push(dispose as () => unknown) });
    const body = { email: 'offline@example.com', password: 'Secret123' };
    await server.call('POST', '/users/register', { body });
    token = (await server.call('POST', '/users/login', { body })).body.data.access_token;
    const check = await server.server.app.host.find(authenticatorService)?.check(token);
    assert.ok(check && 'identity' in check);
    principal = check.identity.principal;
    client = new OpenAI({ apiKey: token, baseURL: `${server.url}/v1`, maxRetries: 0 });
  });
  after(async () => {
    for (const dispose of disposers.reverse()) await dispose();
  });

  const find = <T>(key: { name: string; '~type'?: T }): T =>
    server.server.app.host.find<T>(key) ?? assert.fail(`no ${key.name}`);

  test('a model without credentials says that it is none', async () => {
    const answer = await client.chat.completions.create({
      model: 'deepseek-v3',
      messages: [{ role: 'user', content: '什么是骨质疏松？' }],
    });
    assert.match(answer.choices[0]?.message.content ?? '', /离线|语言模型/);
    assert.ok((answer.usage?.total_tokens ?? 0) > 0);
  });

  test('an agent answers from its documents and names them below', async () => {
    const agent = await server.call('POST', '/agents', {
      token,
      body: {
        name: '库管员',
        prompt_template: '根据资料回答：{context}',
        model_config: { provider: 'openai', model_name: 'gpt-4o' },
      },
    });
    const form = new FormData();
    form.set('agent_id', String(agent.body.data.id));
    form.set('file', new Blob(['仓库的备用钥匙放在三号货架的红色盒子里。值班电话是 8037。']), '仓库手册.txt');
    const uploaded = await server.call('POST', '/knowledge/documents/upload', { token, body: form });
    assert.equal(uploaded.status, 200, uploaded.text);
    const id = `agent-${agent.body.data.id}`;
    const ask = () =>
      client.chat.completions.create({ model: id, messages: [{ role: 'user', content: '备用钥匙放在哪里？' }] });
    let text = '';
    // The import is under way.
    for (let attempt = 0; attempt < 50 && !text.includes('红色盒子'); attempt += 1) {
      if (attempt > 0) await new Promise((resolve) => setTimeout(resolve, 200));
      text = (await ask()).choices[0]?.message.content ?? '';
    }
    assert.match(text, /红色盒子/);
    assert.match(text, /参考来源：\n\[1\] 仓库手册\.txt/);
    const stream = await client.chat.completions.create({
      model: id,
      messages: [{ role: 'user', content: '备用钥匙放在哪里？' }],
      stream: true,
    });
    let streamed = '';
    for await (const chunk of stream) streamed += chunk.choices[0]?.delta.content ?? '';
    assert.equal(streamed, text, 'a stream is the same text in pieces');
  });

  test('an answer is kept for some days, then its run is removed with all that was said', async () => {
    const completions = find(completionService);
    const runs = find(runService);
    const request = {
      model: 'offline',
      system: '',
      history: [],
      message: 'hello',
      images: [],
      stream: false,
      includeUsage: false,
      tools: [],
      parallelCalls: true,
    };
    const completion = await completions.start(principal, request, { language: 'en' });
    await completion.finished();
    const keeping = createKeeping({ database: find(databaseService), runs, log: createLogger('silent'), keepMs: 0 });
    const days = (count: number) => new Date(Date.now() + count * 86_400_000);
    await keeping.sweep(days(6));
    assert.ok(await runs.get(principal, completion.runId));
    assert.ok((await keeping.sweep(days(8))) >= 1);
    assert.equal(await runs.get(principal, completion.runId), undefined);
    assert.equal(await keeping.sweep(days(8)), 0);
  });
});
