import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Type } from '../../core/schema.ts';
import { defineTool } from '../../core/tool.ts';
import { toolService } from '../../runtime/tools/index.ts';
import type { Answer } from '../support/api-client.ts';
import type { SeenRequest } from '../support/fake-openai.ts';
import { startTaskServer, type TaskClient, type TaskEvent, wantsTitle } from '../support/task-server.ts';

const { server, model, client } = await startTaskServer({ after });

const tools = server.server.app.host.find(toolService);
assert.ok(tools);
let slowCalls = 0;
/** A tool that only a cancel ends. */
tools.add(
  defineTool({
    name: 'wait_for_ever',
    category: 'terminal_command',
    description: 'Waits.',
    parameters: Type.Object({}),
    effect: 'reads',
    async call({ signal }) {
      slowCalls += 1;
      if (!signal.aborted) await once(signal, 'abort');
      throw signal.reason;
    },
  }),
);

const failure = ({ status, body }: Answer): number => {
  assert.deepEqual([body.success, typeof body.error], [false, 'string'], JSON.stringify(body));
  return status;
};

/** Pieces that follow each other count as one: how a stream is cut is nobody's promise. */
const types = (events: readonly TaskEvent[]) =>
  events.map(({ type }) => type).filter((type, at, all) => !(type.endsWith('_chunk') && all[at - 1] === type));
const only = (events: readonly TaskEvent[], type: string) => events.filter((event) => event.type === type);
const textOf = (events: readonly TaskEvent[]) =>
  only(events, 'text_chunk')
    .map(({ data }) => data.content)
    .join('');
const messagesOf = async (who: TaskClient, conversationId: string) =>
  (await who.call('GET', `/conversations/${conversationId}?full=1`)).body.data.messages;

/** The request for an answer that is made next. */
async function nextAsked(count = model.asked.length): Promise<SeenRequest> {
  for (;;) {
    const request = model.asked[count];
    if (request) return request;
    await delay(5);
  }
}

/** A reply that stays open after its first piece until the function is called. */
function held(text: string[]): { reply: { text: string[]; afterFirst: Promise<unknown> }; release: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { reply: { text, afterFirst: promise }, release: resolve };
}

test('quick start of the document: create, send, poll, stop', async () => {
  const bot = await client('quick-start');
  const created = await bot.call('POST', '/conversations');
  assert.equal(created.status, 200);
  assert.deepEqual(Object.keys(created.body), ['success', 'conversation_id']);
  assert.equal(created.body.success, true);
  const { conversation_id } = created.body;
  assert.match(conversation_id, /^conv_\d{8}_\d{6}_\d{3}$/);

  model.reply({ text: ['《明日方舟：', '终末地》是一款游戏。'] });
  const began = Date.now() / 1000;
  const sent = await bot.call('POST', '/messages', {
    conversation_id,
    message: '请用中文简要介绍《明日方舟：终末地》',
    run_mode: 'fast',
    model_key: null,
    max_iterations: 100,
  });
  assert.equal(sent.status, 202);
  const { task_id, created_at, ...rest } = sent.body;
  assert.deepEqual(rest, { success: true, conversation_id, status: 'running' });
  assert.match(task_id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.ok(created_at > began - 1 && created_at < began + 30);

  const { status, events, data } = await bot.finished(task_id);
  assert.deepEqual([status, data.error, data.task_id, data.created_at], ['succeeded', null, task_id, created_at]);
  assert.ok(data.updated_at >= created_at);
  assert.deepEqual(Object.keys(data).sort(), [
    'created_at',
    'error',
    'events',
    'next_offset',
    'status',
    'task_id',
    'updated_at',
  ]); // prettier-ignore
  assert.deepEqual(types(events), [
    'user_message',
    'conversation_resolved',
    'ai_message_start',
    'text_start',
    'text_chunk',
    'text_end',
    'token_update',
    'task_complete',
  ]); // prettier-ignore
  for (const event of events) {
    assert.deepEqual(Object.keys(event), ['idx', 'type', 'data', 'ts']);
    assert.equal(event.data.task_id, task_id);
    assert.equal(event.data.conversation_id, conversation_id);
    assert.ok(event.ts >= began - 1 && event.ts < Date.now() / 1000 + 1);
  }
  const [user, resolved] = events;
  assert.deepEqual(
    [user?.data.message, user?.data.images, typeof user?.data.timestamp],
    ['请用中文简要介绍《明日方舟：终末地》', [], 'number'],
  );
  assert.deepEqual([resolved?.data.title, resolved?.data.created], ['新对话', false]);
  assert.equal(textOf(events), '《明日方舟：终末地》是一款游戏。');
  const chunks = only(events, 'text_chunk');
  assert.deepEqual(
    chunks.map(({ data: { index, elapsed } }) => [index, typeof elapsed]),
    chunks.map((_, at) => [at + 1, 'number']),
  );
  assert.equal(only(events, 'text_end')[0]?.data.full_content, '《明日方舟：终末地》是一款游戏。');
  const complete = events.at(-1)?.data;
  assert.deepEqual([complete.total_iterations, complete.total_tool_calls, complete.auto_fix_attempts], [1, 0, 0]);
  const tokens = only(events, 'token_update')[0]?.data;
  assert.deepEqual(
    [tokens.cumulative_input_tokens, tokens.cumulative_output_tokens, tokens.cumulative_total_tokens],
    [10, 5, 15],
  );

  const stopped = await bot.call('POST', `/tasks/${task_id}/cancel`);
  assert.deepEqual([stopped.status, stopped.body], [200, { success: true }]);
  assert.equal((await bot.finished(task_id)).status, 'succeeded', 'what has ended stays as it is');
});

test('poll: offsets that are beyond, below, none; other accounts; languages', async () => {
  const bot = await client('poller');
  model.reply({ text: 'x' });
  const { events, data, conversationId } = await bot.ask('hi');
  const poll = async (query: string) => (await bot.call('GET', `/tasks/${data.task_id}${query}`)).body.data;
  for (const query of ['', '?from=', '?from=abc', '?from=-5', '?from=1.5', '?from=0'])
    assert.deepEqual((await poll(query)).events, events, query);
  const part = await poll('?from=3');
  assert.deepEqual([part.events, part.next_offset], [events.slice(3), events.length]);
  for (const from of [events.length, events.length + 7, 999_999_999]) {
    const past = await poll(`?from=${from}`);
    assert.deepEqual([past.events, past.next_offset, past.status], [[], from, 'succeeded']);
  }
  const stranger = await client('poller-stranger');
  const unknown = await stranger.call('GET', '/tasks/00000000-0000-4000-8000-000000000000');
  const foreign = await stranger.call('GET', `/tasks/${data.task_id}`);
  assert.deepEqual([failure(foreign), foreign.body], [404, unknown.body]);
  assert.equal(failure(await stranger.call('POST', `/tasks/${data.task_id}/cancel`)), 404);
  assert.equal(failure(await stranger.call('GET', '/tasks/no-uuid')), 404);
  assert.equal(failure(await stranger.call('GET', `/conversations/${conversationId}`)), 404);
  assert.equal(failure(await server.call('GET', `/tasks/${data.task_id}?from=0`)), 401);
  assert.equal(failure(await server.call('POST', '/messages', { body: { message: 'x' } })), 401);

  // Words of the server are in the language of whoever asks; a client with lower case words of the scheme is served too.
  model.reply({ status: 401 });
  const { task_id } = await bot.send('hi');
  const { error } = await bot.finished(task_id);
  const english = await bot.call('GET', `/tasks/${task_id}`, undefined, {
    'accept-language': 'en',
    authorization: `bearer ${bot.token}`,
  });
  assert.match(error ?? '', /[\u4e00-\u9fff]/);
  assert.doesNotMatch(english.body.data.error, /[\u4e00-\u9fff]/);
  assert.equal(english.body.data.events.at(-1).data.message, english.body.data.error);
});

test('POST /messages: bad input is refused, and nothing is left of it', async () => {
  const bot = await client('bad-input');
  const other = await client('bad-input-other');
  const foreign = (await other.call('POST', '/conversations')).body.conversation_id;
  const cases: [number, unknown][] = [
    [400, { message: '' }],
    [400, { message: ' \n\t ' }],
    [400, {}],
    [400, { message: 5 }],
    [400, { message: null }],
    [400, { message: 'x', run_mode: 'turbo' }],
    [400, { message: 'x', run_mode: 1 }],
    [400, { message: 'x', thinking_mode: 'yes' }],
    [400, { message: 'x', model_key: 'no-such-model' }],
    [400, { message: 'x', max_iterations: 0 }],
    [400, { message: 'x', max_iterations: -1 }],
    [400, { message: 'x', max_iterations: 1.5 }],
    [400, { message: 'x', max_iterations: 'many' }],
    [400, { message: 'x', conversation_id: 'conv_20200101_000000_000' }],
    [400, { message: 'x', conversation_id: '../../etc' }],
    [400, { message: 'x', conversation_id: foreign }],
    [400, { message: 'x', conversation_id: 7 }],
    [400, { message: 'x', images: 'a.png' }],
    [400, { message: 'x', images: [7] }],
    [400, { message: 'x', images: [{}] }],
    [400, { message: 'x', images: ['user_upload/missing.png'] }],
    [400, { message: '', images: ['../../../etc/passwd'] }],
    [404, { message: 'x', prompt_name: 'missing' }],
    [404, { message: 'x', prompt_name: '../x' }],
    [404, { message: 'x', personalization_name: 'missing' }],
    [400, { message: 'x', prompt_name: 5 }],
    [400, '{"message": "x"'],
    [400, '[]'],
    [413, JSON.stringify({ message: 'x'.repeat(2 << 20) })],
  ];
  for (const [status, body] of cases) {
    const answer = await bot.call('POST', '/messages', body, { 'content-type': 'application/json' });
    assert.equal(failure(answer), status, `${JSON.stringify(body).slice(0, 80)}: ${answer.text}`);
  }
  assert.deepEqual((await bot.call('GET', '/conversations')).body.total, 0);
  const { status } = await bot.ask('still works', { unknown_field: 1, images: [], run_mode: ' FAST ', model_key: '' });
  assert.equal(status, 'succeeded');
});

test('POST /messages: without a conversation one is made; ids without their prefix are known', async () => {
  const bot = await client('conversations');
  model.reply({ text: 'one' }, { text: 'two' });
  const first = await bot.ask('first question');
  assert.match(first.conversationId, /^conv_/);
  assert.equal(only(first.events, 'conversation_resolved')[0]?.data.created, true);
  const second = await bot.ask('second', { conversation_id: first.conversationId.replace('conv_', '') });
  assert.equal(second.conversationId, first.conversationId);
  // What was said before is told to the model, and used tokens are counted on.
  const request = model.asked.at(-1);
  assert.deepEqual(
    request?.body.messages.slice(1).map(({ role, content }: Record<string, unknown>) => [role, content]),
    [
      ['user', 'first question'],
      ['assistant', 'one'],
      ['user', 'second'],
    ],
  ); // prettier-ignore
  assert.equal(only(second.events, 'token_update')[0]?.data.cumulative_total_tokens, 30);
});

test('a whole task: thoughts, text, tools, files, in the documented order', async () => {
  const bot = await client('whole');
  model.reply(
    {
      thinking: ['想一', '想'],
      text: ['我来', '写文件'],
      toolCalls: [
        {
          id: 'call_a',
          name: 'write_file',
          arguments: '{"intent":"写报告","path":"user_upload/报告.md","content":"# 报告"}',
        },
        { id: 'call_b', name: 'list_files', arguments: '{"path":"nowhere"}' },
      ],
    },
    { text: '写好了' },
  );
  const { status, events, conversationId } = await bot.ask('写一份报告', {
    model_key: 'deepseek-v3',
    run_mode: 'thinking',
  });
  assert.equal(status, 'succeeded');
  assert.deepEqual(types(events).slice(0, 14), [
    'user_message',
    'conversation_resolved',
    'ai_message_start',
    'thinking_start',
    'thinking_chunk',
    'thinking_end',
    'text_start',
    'text_chunk',
    'text_end',
    'tool_preparing',
    'tool_preparing',
    'tool_intent',
    'tool_start',
    'tool_start',
  ]); // prettier-ignore
  assert.deepEqual(types(events).slice(14, 17).sort(), ['file_tree_update', 'update_action', 'update_action']);
  assert.deepEqual(types(events).slice(17), [
    'token_update',
    'text_start',
    'text_chunk',
    'text_end',
    'token_update',
    'task_complete',
  ]); // prettier-ignore
  assert.equal(only(events, 'thinking_end')[0]?.data.full_content, '想一想');
  const ids = { task_id: events[0]?.data.task_id, conversation_id: conversationId };
  assert.deepEqual(only(events, 'tool_preparing')[0]?.data, {
    id: 'call_a',
    name: 'write_file',
    message: '正在准备 write_file',
    intent: null,
    ...ids,
  }); // prettier-ignore
  assert.deepEqual(only(events, 'tool_intent')[0]?.data, {
    id: 'call_a',
    name: 'write_file',
    intent: '写报告',
    ...ids,
  });
  const [started] = only(events, 'tool_start');
  assert.deepEqual(
    [started?.data.arguments, started?.data.preparing_id, started?.data.monitor_snapshot],
    [{ path: 'user_upload/报告.md', content: '# 报告' }, 'call_a', null],
  );
  const updates = new Map(only(events, 'update_action').map(({ data }) => [data.preparing_id, data]));
  assert.deepEqual([updates.get('call_a').id, updates.get('call_a').status], [started?.data.id, 'completed']);
  assert.deepEqual([updates.get('call_b').status, typeof updates.get('call_b').message], ['failed', 'string']);
  const [tree] = only(events, 'file_tree_update');
  assert.equal(tree?.data.tree[0].children[0].path, 'user_upload/报告.md');
  const complete = events.at(-1)?.data;
  assert.deepEqual([complete.total_iterations, complete.total_tool_calls], [2, 2]);

  const download = await bot.call('GET', `/files/download?path=${encodeURIComponent('报告.md')}`);
  assert.equal(download.text, '# 报告');
  const messages = await messagesOf(bot, conversationId);
  assert.deepEqual(
    messages.map(({ role }: { role: string }) => role),
    ['user', 'assistant', 'tool', 'tool', 'assistant'],
  );
  const [, asking, result] = messages;
  assert.equal(asking.reasoning_content, '想一想');
  assert.deepEqual(asking.tool_calls[0], {
    id: 'call_a',
    type: 'function',
    function: { name: 'write_file', arguments: '{"path":"user_upload/报告.md","content":"# 报告"}' },
  });
  assert.deepEqual([result.tool_call_id, result.name], ['call_a', 'write_file']);
  assert.equal(new Set(messages.map(({ message_id }: { message_id: string }) => message_id)).size, 5);
});

test('cancel: while the model streams, at once; the text so far is kept', async () => {
  const bot = await client('cancel-stream');
  model.reply({ fault: 'stall' });
  const asked = nextAsked();
  const { task_id, conversation_id } = await bot.send('never ending');
  await bot.finished(task_id, { until: ({ type }) => type === 'text_chunk' });
  const answers = await Promise.all([1, 2, 3].map(() => bot.call('POST', `/tasks/${task_id}/cancel`)));
  for (const { status, body } of answers) assert.deepEqual([status, body], [200, { success: true }]);
  const { status, events, data } = await bot.finished(task_id);
  assert.deepEqual([status, data.error], ['canceled', null]);
  assert.equal(await (await asked).ended, 'aborted');
  assert.deepEqual(types(events).slice(-2), ['text_end', 'task_stopped']);
  assert.deepEqual([events.at(-1)?.data.reason, typeof events.at(-1)?.data.message], ['user_requested', 'string']);
  const text = textOf(events);
  const [, answer] = await messagesOf(bot, conversation_id);
  assert.deepEqual([answer.content, answer.metadata.status], [text, 'stopped']);
  assert.ok(text.startsWith('begin '));

  // The conversation goes on, and the model is told what there was.
  const next = await bot.ask('and now?', { conversation_id });
  assert.equal(next.status, 'succeeded');
  assert.equal(model.asked.at(-1)?.body.messages[2].content, text);
});

test('cancel: before the model answers, and while a tool runs', async () => {
  const bot = await client('cancel-tool');
  model.reply({ fault: 'silent' });
  const asked = nextAsked();
  const silent = await bot.send('silence');
  await asked;
  await bot.call('POST', `/tasks/${silent.task_id}/cancel`);
  const first = await bot.finished(silent.task_id);
  assert.deepEqual([first.status, types(first.events).at(-1)], ['canceled', 'task_stopped']);
  assert.deepEqual(
    (await messagesOf(bot, silent.conversation_id)).map(({ role }: { role: string }) => role),
    ['user'],
  );

  model.reply({ text: '等一下', toolCalls: [{ id: 'w1', name: 'wait_for_ever', arguments: '{}' }] });
  const { task_id, conversation_id } = await bot.send('wait');
  const before = slowCalls;
  await bot.finished(task_id, { until: ({ type }) => type === 'tool_start' });
  while (slowCalls === before) await delay(5);
  await bot.call('POST', `/tasks/${task_id}/cancel`);
  const { status, events } = await bot.finished(task_id);
  assert.equal(status, 'canceled');
  assert.deepEqual(types(events).slice(-3), ['tool_start', 'update_action', 'task_stopped']);
  const update = events.at(-2)?.data;
  assert.deepEqual([update.preparing_id, update.status], ['w1', 'cancelled']);
  const messages = await messagesOf(bot, conversation_id);
  assert.deepEqual(
    messages.map(({ role }: { role: string }) => role),
    ['user', 'assistant', 'tool'],
  );
  assert.equal((await bot.ask('go on', { conversation_id })).status, 'succeeded');
});

test('one running task for an account, over all conversations and however many ask at once', async () => {
  const bot = await client('single');
  const other = await client('single-other');
  const { reply, release } = held(['a', 'b']);
  model.reply(reply);
  const conversations = await Promise.all(
    Array.from({ length: 12 }, async () => (await bot.call('POST', '/conversations')).body.conversation_id),
  );
  const answers = await Promise.all(
    conversations.map((conversation_id) => bot.call('POST', '/messages', { conversation_id, message: 'x' })),
  );
  const taken = answers.filter(({ status }) => status === 202);
  assert.equal(taken.length, 1);
  for (const answer of answers) if (answer.status !== 202) assert.equal(failure(answer), 409);
  assert.equal(failure(await bot.call('POST', '/messages', { message: 'new conversation' })), 409);
  assert.equal((await bot.call('GET', '/conversations')).body.total, 12, 'nothing is left of what was refused');
  model.reply({ text: 'mine' });
  assert.equal((await other.ask('another account')).status, 'succeeded');

  release();
  const { task_id } = taken[0]?.body ?? {};
  assert.equal((await bot.finished(task_id)).status, 'succeeded');
  // The moment the poll says so, the next message is taken.
  for (let round = 0; round < 5; round++) assert.equal((await bot.ask(`round ${round}`)).status, 'succeeded');
});

test('max_iterations: so many calls of the model, the last without a call that would be carried out', async () => {
  const bot = await client('iterations');
  const call = { text: 'again', toolCalls: [{ id: 't', name: 'list_files', arguments: '{}' }] };
  model.reply(call, call, call);
  const before = model.asked.length;
  const { status, events } = await bot.ask('loop', { max_iterations: 3 });
  assert.equal(status, 'succeeded');
  assert.equal(model.asked.length - before, 3);
  assert.equal(events.at(-1)?.data.total_iterations, 3);
});

test('the todo list is kept in the conversation', async () => {
  const bot = await client('todo');
  const list = (status: string) =>
    JSON.stringify({
      overview: '写报告',
      tasks: [
        { title: '查资料', status },
        { title: '写', colour: 'red' },
      ],
    });
  model.reply(
    { toolCalls: [{ id: 't1', name: 'todo_write', arguments: list('in_progress') }] },
    { toolCalls: [{ id: 't2', name: 'todo_write', arguments: list('done') }] },
    { toolCalls: [{ id: 't3', name: 'todo_write', arguments: '{"tasks":[{"title":""}]}' }] },
    { text: 'ok' },
  );
  const { events, conversationId } = await bot.ask('plan');
  assert.deepEqual(
    only(events, 'update_action').map(({ data }) => data.status),
    ['completed', 'completed', 'failed'],
  );
  const { data } = (await bot.call('GET', `/conversations/${conversationId}`)).body;
  assert.deepEqual(data.todo_list, {
    overview: '写报告',
    tasks: [
      { index: 1, title: '查资料', status: 'done' },
      { index: 2, title: '写', status: 'pending' },
    ],
  });
});

test('titles: of the model, after the first exchange only; of the message when the model gives none', async () => {
  const bot = await client('titles');
  const titleOf = async (id: string) => (await bot.call('GET', `/conversations/${id}`)).body.data.title;
  const first = await bot.ask('介绍一下你自己');
  assert.equal(await titleOf(first.conversationId), '模型起的标题');
  const before = model.openai.requests.filter(wantsTitle).length;
  await bot.ask('再来', { conversation_id: first.conversationId });
  assert.equal(model.openai.requests.filter(wantsTitle).length, before);

  const content = { auto_generate_title: false };
  await bot.call('POST', '/personalizations', { name: 'untitled', content });
  const untitled = await bot.ask('不要标题', { personalization_name: 'untitled' });
  assert.equal(await titleOf(untitled.conversationId), '新对话');

  model.reply({ status: 401 });
  const failed = await bot.ask('  \n第一行\u0007  很重要\n第二行');
  assert.equal(failed.status, 'failed');
  assert.equal(await titleOf(failed.conversationId), '第一行 很重要 第二行');
  const english = await bot.call('POST', '/conversations', {}, { 'accept-language': 'en' });
  assert.equal(await titleOf(english.body.conversation_id), 'New conversation');
});
