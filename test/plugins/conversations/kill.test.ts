import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { openStream, parseStream, type StreamedMessage, textOf } from '../../support/answer-stream.ts';
import { callApi } from '../../support/api-client.ts';
import { type FakeOpenAI, type Reply, startFakeOpenAI } from '../../support/fake-openai.ts';
import { type ServerProcess, startServerProcess } from '../../support/server-process.ts';
import { modelEnv } from '../../support/task-server.ts';

const never = new Promise(() => undefined);

interface Killable {
  readonly openai: FakeOpenAI;
  readonly token: string;
  url(): string;
  call(method: string, path: string, body?: unknown): ReturnType<typeof callApi>;
  /** Kills the server and starts it again on the same data. */
  restart(): Promise<void>;
}

/** A server in a process of its own, its models on a local server that outlives it, and a person who is logged in. */
async function startKillable(t: TestContext, api: 'studio' | 'research'): Promise<Killable> {
  const openai = await startFakeOpenAI();
  const dataDir = mkdtempSync(join(tmpdir(), 'koagent-kill-'));
  const env = { ...modelEnv(openai.url), KOAGENT_DATA_DIR: dataDir };
  let server: ServerProcess = await startServerProcess(env);
  t.after(async () => {
    await server.kill();
    await openai.close();
    rmSync(dataDir, { recursive: true, force: true });
  });
  const login = { email: 'user@example.com', password: 'password123', name: '张三' };
  const [prefix, field] = api === 'studio' ? ['/users', 'access_token'] : ['/auth', 'accessToken'];
  await callApi(server.url, 'POST', `${prefix}/register`, { body: login });
  const token = (await callApi(server.url, 'POST', `${prefix}/login`, { body: login })).body.data[field];
  return {
    openai,
    token,
    url: () => server.url,
    call: (method, path, body) => callApi(server.url, method, path, { token, body }),
    async restart() {
      await server.kill();
      server = await startServerProcess(env);
    },
  };
}

const increasing = (messages: readonly StreamedMessage[]) => {
  const ids = messages.flatMap(({ id }) => id ?? []);
  return ids.every((id, at) => at === 0 || id > (ids[at - 1] ?? 0));
};

for (const [what, again, expected] of [
  ['the same beginning', ['开', '头，中', '间，结尾'], '开头，中间，结尾'],
  ['another text', ['换一种', '说法'], '开头\n\n换一种说法'],
] as const) {
  test(`SIGKILL in the middle of an answer, then ${what}: stored once, the stream goes on without a gap`, async (t) => {
    const { openai, token, url, call, restart } = await startKillable(t, 'research');
    const { id } = (await call('POST', '/conversations', { agentId: 'agent-picos' })).body.data;
    const path = `/conversations/${id}/messages/stream`;
    const body = { content: '讲个故事' };
    openai.reply({ text: ['开头', '不会再来'], afterFirst: never });
    openai.always({ text: [...again] });
    const stream = await openStream(url(), path, { token, body });
    assert.equal((await stream.next())?.data.type, 'start');
    const first = await stream.next();
    assert.deepEqual(first?.data, { type: 'token', content: '开头' });
    await restart();
    await assert.rejects(stream.rest());

    const back = await openStream(url(), path, { token, body, lastEventId: first?.id ?? -1 });
    assert.equal(back.status, 200);
    const [start, ...rest] = await back.rest();
    assert.deepEqual(start?.data, { type: 'start', conversationId: id });
    assert.equal(first.data.content + textOf(rest), expected);
    assert.ok(increasing([first, ...rest]));
    const { messages, messageCount } = (await call('GET', `/conversations/${id}`)).body.data;
    assert.deepEqual(
      [messageCount, messages.map(({ content }: { content: string }) => content)],
      [2, ['讲个故事', again.join('')]],
    );
    assert.equal(messages[1].id, rest.at(-1)?.data.messageId);
    // From the beginning it is the same sequence.
    const whole = await openStream(url(), path, { token, body, lastEventId: 0 });
    const all = (await whole.rest()).slice(1);
    assert.deepEqual(all.slice(-rest.length), rest);
    assert.equal(textOf(all), expected);
    assert.equal(openai.requests.length, 2);

    await call('POST', path, { content: '还有吗' });
    assert.deepEqual(
      openai.requests
        .at(-1)
        ?.body.messages.slice(1)
        .map(({ content }: { content: string }) => content),
      ['讲个故事', again.join(''), '还有吗'],
    );
  });
}

test('SIGKILL at any moment of a message: sent once more it is there with one answer', async (t) => {
  const { openai, token, url, call, restart } = await startKillable(t, 'studio');
  const model_config = { provider: 'openai', model_name: 'gpt-4o-mini' };
  const agent = (await call('POST', '/agents', { name: 'a', prompt_template: 'p', model_config })).body.data;
  const { id } = (await call('POST', '/conversations', { agent_id: agent.id })).body.data;
  const path = `/conversations/${id}/messages`;
  const slow: Reply = (request) => ({ text: [...`answer to ${request.lastText}`], afterFirst: delay(60) });
  openai.always(slow);
  const read = async () => (await call('GET', `${path}?page_size=100`)).body.data;
  assert.equal(parseStream((await call('POST', path, { content: 'warm' })).text).at(-1)?.data.type, 'done');

  for (const [round, ms] of [2, 6, 12, 25, 50, 90].entries()) {
    const before = (await read()).items.length;
    const content = `message ${round}`;
    const sent = openStream(url(), path, { token, body: { content } }).then(
      (stream) => stream.rest().catch(() => undefined),
      () => undefined,
    );
    await delay(ms);
    await restart();
    await sent;
    // Whoever is not sure sends the message once more; an answer that is under way is followed, never doubled.
    const again = await openStream(url(), path, { token, body: { content }, lastEventId: 0 });
    assert.equal(again.status, 200);
    assert.equal((await again.rest()).at(-1)?.data.type, 'done', content);
    const { items, total } = await read();
    assert.equal(total, items.length);
    const added = items.slice(before).map((item: { content: string }) => item.content);
    assert.deepEqual(added, [content, `answer to ${content}`], `killed after ${ms} ms`);
  }
  const { items } = await read();
  assert.deepEqual(
    items.map(({ role }: { role: string }) => role),
    items.map((_: unknown, at: number) => (at % 2 === 0 ? 'user' : 'assistant')),
  );
});
