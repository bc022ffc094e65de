import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AppError } from '../../../core/errors.ts';
import type { Answering, AnswerPiece } from '../../../plugins/conversations/public.ts';
import { DyingDatabase, gate, user } from '../../runtime/runs/harness.ts';
import { openTestDatabase } from '../../support/database.ts';
import { agent, type Core, openConversations } from './harness.ts';

const principal = user();
const NEW = { untitled: 'agent-name', language: 'zh' } as const;
const never = new AbortController().signal;

const create = ({ conversations }: Core, agentId = 'helper', more: object = {}) =>
  conversations.create(principal, { agentId, ...NEW, ...more });
const send = ({ conversations }: Core, id: string, content: string, more: object = {}) =>
  conversations.send(principal, id, { content, language: 'zh', ...more });

async function read(answering: Answering): Promise<{ text: string; pieces: AnswerPiece[] }> {
  const pieces: AnswerPiece[] = [];
  for await (const piece of answering.follow(never)) pieces.push(piece);
  return { text: pieces.map((piece) => (piece.type === 'token' ? piece.content : '')).join(''), pieces };
}

test('the answer of several iterations: streamed and stored alike, with what it used', async (t) => {
  const core = await openConversations(t, {
    script: async (_turn, say) => {
      await say.text(1, 'Let me ', 'look.');
      await say.text(3, 'Done', '.');
    },
  });
  const { id } = await create(core);
  const { text, pieces } = await read(await send(core, id, 'go'));
  assert.equal(text, 'Let me look.\n\nDone.');
  const last = pieces.at(-1);
  assert.ok(last?.type === 'done' && last.message);
  assert.deepEqual(last.usage, { inputTokens: 10, outputTokens: 4, totalTokens: 14 });
  assert.deepEqual([last.message.content, last.message.tokens, last.message.status], [text, 4, 'complete']);
  assert.ok(pieces.every(({ id: seq }, at) => at === 0 || seq > (pieces[at - 1]?.id ?? 0)));
  const after = await core.conversations.get(principal, id);
  assert.deepEqual([after.messageCount, after.totalTokens, after.answering], [2, 14, false]);
});

test('settings: of the agent for the model of the conversation; knowledge only where the agent looks things up', async (t) => {
  const core = await openConversations(t, {
    agents: [
      agent('rag', {
        models: { 'deepseek-v3': { temperature: 0.1, maxTokens: 99 } },
        tools: { names: ['x'] },
        maxIterations: 7,
      }),
      agent('plain', { ragEnabled: false }),
      agent('own', { source: 'account', model: { provider: 'openai', name: 'gpt-x', temperature: 1, maxTokens: 5 } }),
    ],
    hits: () => [{ text: 'The warranty is three years.' }],
  });
  await read(await send(core, (await create(core, 'rag')).id, 'q', { knowledgeBaseIds: ['base-1', 'base-1'] }));
  const [rag] = core.turns;
  assert.deepEqual(
    [rag?.model, rag?.temperature, rag?.maxTokens, rag?.maxIterations, rag?.tools, rag?.scope.knowledgeBaseIds],
    ['deepseek-v3', 0.1, 99, 7, { names: ['x'] }, ['base-1']],
  );
  assert.match(rag?.system ?? '', /^You help\.\n\n## Reference material\n\n[\s\S]*ref="1"[\s\S]*three years/);
  assert.deepEqual(core.searches.at(-1)?.options?.scope, { knowledgeBaseIds: ['base-1'] });

  await read(await send(core, (await create(core, 'plain')).id, 'q', { knowledgeBaseIds: ['nobody’s'] }));
  assert.equal(core.turns[1]?.system, 'You help.');
  assert.equal(core.searches.length, 1);

  const own = await create(core, 'own');
  assert.equal(own.modelName, 'gpt-x');
  await read(await send(core, own.id, 'q'));
  const { model, temperature, maxTokens } = core.turns[2] ?? {};
  assert.deepEqual([model, temperature, maxTokens], [{ provider: 'openai', model: 'gpt-x' }, 1, 5]);
  assert.deepEqual(core.searches[1]?.options?.scope, { agentId: 'own' });
});

test('an agent that is gone, switched off, or wants a project', async (t) => {
  const core = await openConversations(t, { agents: [agent('helper'), agent('bound', { requiresProject: true })] });
  const { id } = await create(core);
  core.known.set('helper', agent('helper', { status: 'inactive' }));
  await assert.rejects(send(core, id, 'x'), { code: 'AGENT_NOT_FOUND' });
  await assert.rejects(create(core), { code: 'AGENT_NOT_FOUND' });
  core.known.delete('helper');
  await assert.rejects(send(core, id, 'x'), { code: 'AGENT_NOT_FOUND' });
  assert.equal((await core.conversations.get(principal, id)).agentName, null);
  await assert.rejects(create(core, 'bound'), { code: 'PROJECT_REQUIRED' });
  const project = await core.projects.create(principal, { name: 'p', description: '' });
  assert.equal((await create(core, 'bound', { projectId: project.id })).projectName, 'p');
  await assert.rejects(create(core, 'bound', { projectId: 'nobody’s' }), { code: 'PROJECT_NOT_FOUND' });
});

test('a part that is written anew: the stream goes on, what is stored is the final text', async (t) => {
  const core = await openConversations(t, {
    script: async ({ message }, say) => {
      await say.text(1, 'One two');
      await say.discard(1);
      await say.text(1, ...(message === 'same' ? ['One ', 'two three'] : ['Something ', 'else']));
    },
  });
  const { id } = await create(core);
  assert.equal((await read(await send(core, id, 'same'))).text, 'One two three');
  const { text, pieces } = await read(await send(core, id, 'other'));
  assert.equal(text, 'One two\n\nSomething else');
  const last = pieces.at(-1);
  assert.equal(last?.type === 'done' && last.message?.content, 'Something else');
});

test('a failure and a cancel keep what there was of the answer, and say which it was', async (t) => {
  const begun = gate();
  const core = await openConversations(t, {
    script: async ({ message }, say, { signal }) => {
      await say.text(1, 'begin ', '{{of it}}');
      if (message === 'fail') throw new AppError('unavailable', 'MODEL_DOWN', { zh: '模型不可用', en: 'down' });
      if (message === 'bug') throw new Error('secret detail');
      begun.resolve();
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    },
  });
  const { id } = await create(core);
  const end = async (answering: Answering) => {
    const { pieces } = await read(answering);
    const last = pieces.at(-1);
    return last?.type === 'error' ? [last.code, last.message.zh] : last?.type;
  };
  assert.deepEqual(await end(await send(core, id, 'fail')), ['MODEL_DOWN', '模型不可用']);
  assert.deepEqual(await end(await send(core, id, 'bug')), ['INTERNAL_ERROR', '服务器内部错误']);
  const waiting = await send(core, id, 'wait');
  await begun.promise;
  await core.runs.cancel(principal, waiting.runId);
  assert.deepEqual(await end(waiting), ['ANSWER_STOPPED', '回答已停止']);
  await assert.rejects(waiting.finished(), { code: 'ANSWER_STOPPED' });
  const { items } = await core.conversations.messages(principal, id, { offset: 0, limit: 10 });
  assert.deepEqual(
    items.map(({ content, status }) => [content, status]),
    [
      ['fail', 'complete'],
      ['begin {{of it}}', 'failed'],
      ['bug', 'complete'],
      ['begin {{of it}}', 'failed'],
      ['wait', 'complete'],
      ['begin {{of it}}', 'stopped'],
    ],
  );
  const [, , third] = core.turns;
  assert.deepEqual(
    third?.history.map(({ role }) => role),
    ['user', 'assistant', 'user', 'assistant'],
  );
});

test('a message of nothing that can be shown is taken, and gives no title', async (t) => {
  const core = await openConversations(t);
  const chat = await core.conversations.chat(principal, { content: '\u0007', modelName: 'm', language: 'zh' });
  const { answer } = await chat.finished();
  assert.equal(answer.content, 're: \u0007');
  assert.equal((await core.conversations.listChats(principal, 1))[0]?.title, '新对话');
  const { id } = await create(core, 'helper', { untitled: 'first-message' });
  await (await send(core, id, '\u0007')).finished();
  assert.equal((await core.conversations.get(principal, id)).title, '新对话');
  await (await send(core, id, 'now')).finished();
  assert.equal((await core.conversations.get(principal, id)).title, 'now');
});

test('general chats: a conversation that cannot be answered is not made', async (t) => {
  const core = await openConversations(t);
  const chat = (more: object = {}) =>
    core.conversations.chat(principal, { content: 'hi', modelName: 'm', language: 'en', ...more });
  await assert.rejects(chat({ modelName: 'unknown' }), { code: 'MODEL_UNKNOWN' });
  await assert.rejects(chat({ knowledgeBaseIds: ['nobody’s'] }), { code: 'KNOWLEDGE_BASE_NOT_FOUND' });
  await core.runs.close();
  await assert.rejects(chat(), { code: 'SHUTTING_DOWN' });
  assert.deepEqual(await core.conversations.listChats(principal, 50), []);
});

test('statistics: of agents and general chats, for administrators', async (t) => {
  const core = await openConversations(t, { agents: [agent('a'), agent('b')] });
  for (const agentId of ['a', 'b', 'b']) await create(core, agentId);
  const gone = await create(core, 'a');
  await core.conversations.delete(principal, gone.id);
  const chat = await core.conversations.chat(principal, { content: 'hi', modelName: 'm', language: 'en' });
  await chat.finished();
  await core.store.insert(principal, { kind: 'task', title: 't', titleFrom: 'default' });
  await assert.rejects(core.conversations.statistics(principal), { code: 'ADMIN_REQUIRED' });
  const admin = { ...user('tenant-b', 'root'), roles: ['user', 'admin'] as const };
  assert.deepEqual(await core.conversations.statistics(admin), {
    total: 4,
    today: 4,
    mostUsed: [
      { agentId: 'b', name: 'name of b', count: 2 },
      { agentId: 'a', name: 'name of a', count: 1 },
    ],
  });
  assert.deepEqual([...(await core.count([principal.accountId, 'nobody']))], [[principal.accountId, 4]]);
});

test('deleting a project: whatever write a crash cuts off, its conversations are gone after the next start', async (t) => {
  const database = await openTestDatabase(t);
  for (let at = 1, cut = true; cut; at += 1) {
    const before = await openConversations(t, { database });
    const project = await before.projects.create(principal, { name: 'p', description: '' });
    const ids: string[] = [];
    for (let n = 0; n < 2; n += 1) ids.push((await create(before, 'helper', { projectId: project.id })).id);
    await before.runs.close();

    const dying = new DyingDatabase(database, at, true);
    const doomed = openConversations({ after: async () => undefined }, { database: dying.database });
    const deleted = doomed.then((core) => core.projects.delete(principal, project.id));
    await Promise.race([deleted, dying.died.promise]);
    cut = dying.writes >= at;
    dying.kill();

    const { conversations, projects, runs } = await openConversations(t, { database });
    if (await projects.get(principal, project.id).catch(() => undefined)) assert.fail(`write ${at}: it is still there`);
    for (const id of ids) await assert.rejects(conversations.get(principal, id), { code: 'CONVERSATION_NOT_FOUND' });
    assert.equal(await database.connection.collection('conversations').countDocuments({ removing: true }), 0);
    await runs.close();
  }
});
