import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { AppError } from '../../../core/errors.ts';
import { Type } from '../../../core/schema.ts';
import { defineTool, type ToolContext } from '../../../core/tool.ts';
import { startFakeOpenAI } from '../../support/fake-openai.ts';
import { blocks, dataOf, openLoop, openLoopPool, outline, textSoFar } from './loop-harness.ts';

const calls: ToolContext[] = [];

const city = defineTool({
  name: 'weather',
  category: 'network',
  description: 'The weather of a city.',
  parameters: Type.Object({ city: Type.String() }),
  effect: 'reads',
  async call(context) {
    calls.push(context);
    if (context.arguments.city === 'Atlantis') {
      throw new AppError('not_found', 'CITY_UNKNOWN', { zh: '没有这个城市', en: 'There is no such city' });
    }
    if (context.arguments.city === 'Broken') throw new Error('EACCES: /srv/koagent/data, token hunter2');
    return context.arguments.city === 'Long' ? 'x'.repeat(30_000) : { city: context.arguments.city, degrees: 21 };
  },
});

const openai = await startFakeOpenAI();
const pool = await openLoopPool(openai.url);
const loop = await openLoop({ after }, { pool, tools: [city] });
after(async () => {
  await pool.close({ graceMs: 0 });
  await openai.close();
});

const weather = (id: string, name = 'Paris', more: object = {}) => ({
  id,
  name: 'weather',
  arguments: JSON.stringify({ city: name, ...more }),
});

test('an answer without tools: events in the documented order, text, usage and messages', async () => {
  openai.reply({ thinking: ['let me ', 'think'], text: ['Hel', 'lo ', 'there'] });
  const { events, answer } = await loop.ask({ mode: 'deep', usedBefore: { inputTokens: 100, outputTokens: 7 } });
  assert.deepEqual(outline(events), [
    'ai_message_start',
    'thinking_start',
    'thinking_chunk',
    'thinking_end',
    'text_start',
    'text_chunk',
    'text_end',
    'token_update',
    'task_complete',
  ]);
  assert.deepEqual(blocks(events, 'thinking'), [{ content: 'let me think', full: 'let me think' }]);
  assert.deepEqual(blocks(events, 'text'), [{ content: 'Hello there', full: 'Hello there' }]);
  assert.equal(textSoFar(events), 'Hello there');
  const chunks = dataOf(events, 'text_chunk');
  assert.deepEqual(
    chunks.map(({ index }) => index),
    chunks.map((_, at) => at + 1),
  );
  assert.ok(chunks.every(({ elapsed }) => typeof elapsed === 'number' && elapsed >= 0));
  const [{ updated_at, ...tokens } = {}] = dataOf(events, 'token_update');
  assert.ok(!Number.isNaN(Date.parse(String(updated_at))));
  assert.deepEqual(tokens, {
    cumulative_input_tokens: 110,
    cumulative_output_tokens: 12,
    cumulative_total_tokens: 122,
    current_context_tokens: 15,
  });
  assert.deepEqual(answer, {
    text: 'Hello there',
    messages: [{ role: 'assistant', content: 'Hello there', thinking: 'let me think' }],
    usage: { inputTokens: 10, outputTokens: 5, totalTokens: 15, cachedTokens: 0, estimated: false },
    contextTokens: 15,
    iterations: 1,
    toolCalls: 0,
    finishReason: 'stop',
    model: 'main',
    offline: false,
  });
  assert.deepEqual(dataOf(events, 'task_complete'), [
    { total_iterations: 1, total_tool_calls: 0, auto_fix_attempts: 0 },
  ]);
  const { messages } = openai.requests.at(-1)?.body ?? {};
  assert.deepEqual(messages, [
    { role: 'system', content: 'You help.' },
    { role: 'user', content: 'hello' },
  ]);
});

test('tools: calls of one answer run at the same time and are told to the model; texts are joined by an empty line', async () => {
  calls.length = 0;
  openai.reply(
    {
      text: 'I look.',
      toolCalls: [weather('call_a', 'Paris', { intent: 'look up Paris' }), weather('call_b', 'Rome')],
    },
    { text: ['Both ', 'are warm.'] },
  );
  const { run, events, answer } = await loop.ask({ tools: { names: ['category:network'] }, scope: { agentId: 'a-1' } });
  assert.deepEqual(outline(events), [
    'ai_message_start',
    'text_start',
    'text_chunk',
    'text_end',
    'tool_preparing',
    'tool_preparing',
    'tool_intent',
    'tool_start',
    'tool_start',
    'update_action',
    'update_action',
    'token_update',
    'text_start',
    'text_chunk',
    'text_end',
    'token_update',
    'task_complete',
  ]);
  assert.deepEqual(dataOf(events, 'tool_preparing')[0], {
    id: 'call_a',
    name: 'weather',
    message: { zh: '正在准备 weather', en: 'Preparing weather' },
    intent: null,
  });
  assert.deepEqual(dataOf(events, 'tool_intent'), [{ id: 'call_a', name: 'weather', intent: 'look up Paris' }]);
  assert.deepEqual(dataOf(events, 'tool_start')[0], {
    id: `tool-${run.id}-1.1`,
    name: 'weather',
    arguments: { city: 'Paris' },
    preparing_id: 'call_a',
    monitor_snapshot: null,
  });
  assert.deepEqual(
    dataOf(events, 'update_action').sort((a, b) => (String(a.id) < String(b.id) ? -1 : 1)),
    [
      {
        id: `tool-${run.id}-1.1`,
        preparing_id: 'call_a',
        status: 'completed',
        result: '{"city":"Paris","degrees":21}',
      },
      { id: `tool-${run.id}-1.2`, preparing_id: 'call_b', status: 'completed', result: '{"city":"Rome","degrees":21}' },
    ],
  );
  assert.equal(answer.text, 'I look.\n\nBoth are warm.');
  assert.equal(textSoFar(events), answer.text);
  assert.deepEqual([answer.iterations, answer.toolCalls, answer.usage.totalTokens], [2, 2, 30]);
  assert.deepEqual(
    answer.messages.map(({ role }) => role),
    ['assistant', 'tool', 'tool', 'assistant'],
  );
  assert.deepEqual(calls.map(({ idempotencyKey }) => idempotencyKey).sort(), [`${run.id}:t1.1`, `${run.id}:t1.2`]);
  assert.equal(calls[0]?.scope.agentId, 'a-1');
  assert.equal(calls[0]?.principal.accountId, 'account-1');
  const [first, second] = openai.requests.slice(-2).map(({ body }) => body);
  assert.equal(first.tools[0].function.parameters.properties.intent.type, 'string');
  assert.deepEqual(
    second.messages
      .slice(2)
      .map(({ role, content, tool_call_id }: Record<string, unknown>) => [role, content, tool_call_id]),
    [
      ['assistant', 'I look.', undefined],
      ['tool', '{"city":"Paris","degrees":21}', 'call_a'],
      ['tool', '{"city":"Rome","degrees":21}', 'call_b'],
    ],
  );
});

test('tools: unknown ones, arguments that are no JSON or do not fit, failures and too many calls are told to the model', async () => {
  calls.length = 0;
  openai.reply(
    {
      toolCalls: [
        { id: 'a', name: 'nothing', arguments: '{}' },
        { id: 'b', name: 'weather', arguments: '{"city": "Par' },
        { id: 'c', name: 'weather', arguments: '{"town": "Paris"}' },
        weather('d', 'Atlantis'),
        weather('e', 'Long'),
        ...Array.from({ length: 12 }, (_, n) => weather(`f${n}`)),
      ],
    },
    { text: 'done' },
  );
  const { run, events, answer } = await loop.ask({ toolIntents: false });
  const results = new Map(
    answer.messages.flatMap((message) => (message.role === 'tool' ? [[message.toolCallId, message.content]] : [])),
  );
  assert.match(results.get('a') ?? '', /^Error: there is no tool nothing; there are: weather$/);
  assert.match(results.get('b') ?? '', /^Error: the arguments are not a JSON object/);
  assert.match(results.get('c') ?? '', /TOOL_INPUT_INVALID\): city /);
  assert.equal(results.get('d'), 'Error: There is no such city (CITY_UNKNOWN)');
  assert.equal(results.get('e')?.length, 20_000 + '\n[cut off: 30000 characters in all]'.length);
  assert.match(results.get('f11') ?? '', /more than 16 tool calls/);
  assert.equal(results.size, 17);
  const updates = new Map(dataOf(events, 'update_action').map((data) => [data.preparing_id, data]));
  assert.deepEqual(updates.get('d'), {
    id: `tool-${run.id}-1.4`,
    preparing_id: 'd',
    status: 'failed',
    result: 'Error: There is no such city (CITY_UNKNOWN)',
    message: { zh: '没有这个城市', en: 'There is no such city' },
  });
  assert.equal(updates.get('a')?.status, 'failed');
  assert.equal('id' in (updates.get('a') ?? {}), false);
  assert.ok(String(updates.get('e')?.result).length < 2100);
  assert.equal(updates.size, 17);
  assert.equal(dataOf(events, 'tool_start').length, 14);
  assert.equal(calls.length, 13);
  assert.equal(answer.text, 'done');
  assert.deepEqual(Object.keys(openai.requests.at(-1)?.body.tools[0].function.parameters.properties ?? {}), ['city']);
});

test('tools: what is wrong inside the server is no business of the model', async () => {
  openai.reply({ toolCalls: [weather('a', 'Broken')] }, { text: 'done' });
  const { events, answer } = await loop.ask({});
  assert.equal(answer.messages[1]?.content, 'Error: Internal server error (INTERNAL_ERROR)');
  assert.equal(dataOf(events, 'update_action')[0]?.status, 'failed');
  assert.ok(!JSON.stringify(events).includes('hunter2'));
});

test('tools: a call of a tool that was not offered is refused, whatever the registry has', async () => {
  calls.length = 0;
  openai.reply({ toolCalls: [weather('a')] }, { text: 'without' });
  const { answer } = await loop.ask({ tools: { disabledCategories: ['network'] } });
  assert.equal(answer.text, 'without');
  assert.equal(calls.length, 0);
  assert.equal(openai.requests.at(-1)?.body.tools, undefined);
});

test('tools: ids that are the same are told apart', async () => {
  openai.reply({ toolCalls: [weather('same'), { ...weather('same', 'Rome'), index: 1 }] }, { text: 'ok' });
  const { answer, events } = await loop.ask();
  assert.deepEqual(
    answer.messages.flatMap((message) => (message.role === 'tool' ? [message.toolCallId] : [])),
    ['same', 'same_2'],
  );
  assert.deepEqual(
    dataOf(events, 'tool_preparing').map(({ id }) => id),
    ['same', 'same_2'],
  );
});

test('the last iteration is without tools; a model that wants one all the same is told in the log', async () => {
  openai.reply({ toolCalls: [weather('a')] }, { text: 'so far', toolCalls: [weather('b')] });
  const { events, answer } = await loop.ask({ maxIterations: 2 });
  assert.equal(openai.requests.at(-2)?.body.tool_choice, 'auto');
  assert.equal(openai.requests.at(-1)?.body.tool_choice, 'none');
  assert.deepEqual(
    [answer.text, answer.finishReason, answer.iterations, answer.toolCalls],
    ['so far', 'iterations', 2, 1],
  );
  assert.deepEqual(answer.messages.at(-1), { role: 'assistant', content: 'so far' });
  const last = dataOf(events, 'update_action').at(-1);
  assert.deepEqual([last?.preparing_id, last?.status], ['b', 'failed']);
});

test('tools of the caller end the turn and are not carried out', async () => {
  const clientTools = [{ name: 'paint', description: 'Paints.', parameters: { type: 'object', properties: {} } }];
  openai.reply({ toolCalls: [weather('a'), { id: 'b', name: 'paint', arguments: '{"colour":"red"}' }] });
  const { answer, events } = await loop.ask({ clientTools, maxIterations: 1 });
  assert.deepEqual([answer.finishReason, answer.iterations, answer.toolCalls], ['tool_calls', 1, 0]);
  assert.deepEqual(answer.messages, [
    {
      role: 'assistant',
      content: '',
      toolCalls: [{ id: 'b', name: 'paint', arguments: { colour: 'red' }, raw: '{"colour":"red"}' }],
    },
  ]);
  assert.deepEqual(
    dataOf(events, 'update_action').map(({ preparing_id, status }) => [preparing_id, status]),
    [['a', 'failed']],
  );
  // Its result comes with the next turn, which has no message of its own.
  openai.reply({ text: 'painted' });
  const history = [
    { role: 'user' as const, content: 'paint it' },
    ...answer.messages,
    { role: 'tool' as const, toolCallId: 'b', content: 'done' },
  ];
  const next = await loop.ask({ clientTools, history, message: '', maxIterations: 1 });
  assert.equal(next.answer.text, 'painted');
  assert.deepEqual(
    openai.requests.at(-1)?.body.messages.map(({ role }: { role: string }) => role),
    ['system', 'user', 'assistant', 'tool'],
  );
});

test('modes: thinking is asked for in the first iteration, at intervals, in all, or not at all', async () => {
  const thinks = async (turn: object) => {
    const from = openai.requests.length;
    openai.reply({ toolCalls: [weather('a')] }, { toolCalls: [weather('b')] }, { text: 'end' });
    await loop.ask(turn);
    return openai.requests
      .slice(from)
      .map(({ body }) => body.reasoning_effort ?? body.enable_thinking ?? body.max_tokens);
  };
  // The fake provider has no fields for it: what counts is that every mode comes to its end.
  assert.equal((await thinks({ mode: 'fast' })).length, 3);
  assert.equal((await thinks({ mode: 'thinking', thinkingInterval: 2 })).length, 3);
  assert.equal((await thinks({ mode: 'deep' })).length, 3);
});

test('structured output: a wrong answer is corrected once, a second one fails the run', async () => {
  const responseFormat = {
    type: 'json' as const,
    schema: { type: 'object', properties: { n: { type: 'integer' } }, required: ['n'] },
  };
  openai.reply({ text: '{"n": "many"}' }, { text: '{"n": 3}' });
  const { answer, events } = await loop.ask({ responseFormat });
  assert.deepEqual([answer.text, answer.json, answer.iterations], ['{"n": 3}', { n: 3 }, 2]);
  assert.deepEqual(answer.messages, [{ role: 'assistant', content: '{"n": 3}' }]);
  assert.equal(textSoFar(events), '{"n": 3}');
  assert.match(openai.requests.at(-1)?.lastText ?? '', /\/n must be integer/);
  openai.reply({ text: 'no' }, { text: 'never' });
  const failed = await loop.ended(await loop.start({ responseFormat }));
  assert.equal(failed.run.error?.code, 'MODEL_INVALID_JSON');
  assert.equal(failed.events.at(-1)?.type, 'error');
});

test('the offline model answers through the same loop', async () => {
  const { answer, events } = await loop.ask({ model: 'offline', message: 'What is a durable run?' });
  assert.equal(answer.offline, true);
  assert.equal(blocks(events, 'text')[0]?.full, answer.text);
  assert.ok(answer.text.length > 0);
});
