import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Type } from '../../../core/schema.ts';
import { defineTool } from '../../../core/tool.ts';
import { type Fault, type Reply, startFakeOpenAI } from '../../support/fake-openai.ts';
import { blocks, dataOf, me, openLoop, openLoopPool, outline, textSoFar } from './loop-harness.ts';

const openai = await startFakeOpenAI();
const pool = await openLoopPool(openai.url);

/** Tools that wait until they are told to go on. */
const held: { city: string; signal: AbortSignal }[] = [];
const hold = defineTool({
  name: 'hold',
  category: 'test',
  description: 'Waits.',
  parameters: Type.Object({ city: Type.String() }),
  effect: 'changes',
  call: ({ arguments: { city }, signal }) =>
    new Promise((_, reject) => {
      held.push({ city, signal });
      signal.addEventListener('abort', () => reject(signal.reason));
    }),
});
const slow = defineTool({
  name: 'slow',
  category: 'test',
  description: 'Never ends.',
  parameters: Type.Object({}),
  effect: 'reads',
  timeoutMs: 30,
  call: () => new Promise(() => undefined),
});

const loop = await openLoop({ after }, { pool, tools: [hold, slow] });
after(async () => {
  await pool.close({ graceMs: 0 });
  await openai.close();
});

// The client library is loaded with the first call, which takes a while.
openai.reply({ text: 'warm' });
await loop.ask();

/** One answer to a fault. */
async function failing(...replies: Reply[]) {
  openai.reply(...replies);
  const asked = openai.requests.length;
  const { run, events } = await loop.ended(await loop.start({ model: 'hasty' }));
  return { run, events, requests: openai.requests.length - asked };
}
const fault = (name: Fault['fault']): Fault => ({ fault: name });

for (const [name, reply, code] of [
  ['401', { status: 401 }, 'MODEL_UNAUTHENTICATED'],
  ['400', { status: 400 }, 'MODEL_BAD_REQUEST'],
  ['402', { status: 402 }, 'MODEL_QUOTA_EXHAUSTED'],
] as const) {
  test(`${name}: fails at once and is not repeated`, async () => {
    const { run, events, requests } = await failing(reply);
    assert.equal(run.status, 'failed');
    assert.equal(run.error?.code, code);
    assert.equal(requests, 1);
    assert.deepEqual(outline(events), ['ai_message_start', 'error']);
    const { message, ...error } = events.at(-1)?.data ?? {};
    assert.ok(message);
    assert.deepEqual(error, {
      error_type: run.error?.kind,
      error_code: code,
      error_text: message,
      retry: false,
      attempt: 1,
      max_attempts: 1,
    });
  });
}

for (const [name, reply, code] of [
  ['429 with Retry-After', { status: 429, headers: { 'retry-after': '0' } }, 'MODEL_RATE_LIMITED'],
  ['500', { status: 500 }, 'MODEL_UNAVAILABLE'],
  ['a page of a proxy', fault('html'), 'MODEL_UNAVAILABLE'],
  ['a connection that is cut', fault('reset'), 'MODEL_UNAVAILABLE'],
  ['an answer of nothing', fault('nothing'), 'MODEL_STREAM_BROKEN'],
  ['an error as event', fault('error-event'), 'MODEL_STREAM_BROKEN'],
] as const) {
  test(`${name}: is repeated five times at most, each try announced, and a success counts`, async () => {
    const failed = await failing(reply, reply, reply, reply, reply);
    assert.equal(failed.run.error?.code, code);
    assert.equal(failed.requests, 5);
    const errors = dataOf(failed.events, 'error');
    assert.deepEqual(
      errors.map(({ retry, attempt, max_attempts, error_code }) => [retry, attempt, max_attempts, error_code]),
      [...[1, 2, 3, 4].map((attempt) => [true, attempt, 5, code]), [false, 1, 1, code]],
    );
    assert.equal(typeof errors[0]?.retry_in, 'number');
    openai.reply(reply, { text: 'there' });
    const { answer, events } = await loop.ask();
    assert.equal(answer.text, 'there');
    assert.deepEqual(outline(events).slice(0, 3), ['ai_message_start', 'error', 'text_start']);
  });
}

for (const name of ['half', 'no-finish', 'broken-json', 'stall'] as const) {
  test(`a stream that goes wrong in the middle (${name}): is not repeated, the text so far is closed and kept`, async () => {
    const { run, events, requests } = await failing(fault(name));
    assert.equal(run.status, 'failed');
    assert.match(run.error?.code ?? '', /^MODEL_(STREAM_BROKEN|TIMEOUT)$/);
    assert.equal(requests, 1);
    assert.deepEqual(outline(events), ['ai_message_start', 'text_start', 'text_chunk', 'text_end', 'error']);
    assert.deepEqual(blocks(events, 'text'), [{ content: 'begin ', full: 'begin ' }]);
    assert.equal(textSoFar(events), 'begin ');
  });
}

test('silence: the first token has a deadline, and each try is announced', async () => {
  openai.reply(fault('silent'), { text: 'late' });
  const { answer, events } = await loop.ask({ model: 'hasty' });
  assert.equal(answer.text, 'late');
  assert.equal(dataOf(events, 'error')[0]?.error_code, 'MODEL_TIMEOUT');
});

test('a stream without end: the answer has a limit, and all that was streamed is in the log', async () => {
  const { run, events } = await failing(fault('endless'));
  assert.equal(run.error?.code, 'MODEL_OUTPUT_TOO_LARGE');
  const [block] = blocks(events, 'text');
  assert.ok(block && block.content.length > 4_000_000);
  assert.equal(block.full, block.content);
});

test('a model that fails is replaced by its spare, which the log says', async () => {
  openai.reply({ status: 401 }, { text: 'from the spare' });
  const { answer, events } = await loop.ask({ model: 'main-with-spare' });
  assert.deepEqual([answer.text, answer.model], ['from the spare', 'spare']);
  assert.deepEqual(dataOf(events, 'system_message')[0]?.content, {
    zh: '模型 main-with-spare 不可用，改由 spare 回答',
    en: 'The model main-with-spare is not available; spare answers instead',
  });
});

test('tools: one that never ends is told to the model at its deadline', async () => {
  openai.reply({ toolCalls: [{ id: 'a', name: 'slow', arguments: '{}' }] }, { text: 'without it' });
  const { answer, events } = await loop.ask();
  assert.equal(answer.text, 'without it');
  assert.match(String(dataOf(events, 'update_action')[0]?.result), /TOOL_TIMEOUT/);
});

test('cancel in the middle of tokens: the call to the provider ends at once, the text so far is closed', async () => {
  openai.reply({ thinking: 'hm', text: ['one ', 'two'], afterFirst: new Promise(() => undefined) });
  const asked = openai.nextRequest();
  const id = await loop.start();
  await loop.seen(id, 'thinking_chunk');
  await loop.runs.cancel(me, id, 'user_stop');
  const { run, events } = await loop.ended(id);
  assert.equal(await (await asked).ended, 'aborted');
  assert.equal(run.status, 'cancelled');
  assert.deepEqual(outline(events), [
    'ai_message_start',
    'thinking_start',
    'thinking_chunk',
    'thinking_end',
    'task_stopped',
  ]);
  assert.deepEqual(events.at(-1)?.data.reason, 'user_stop');
});

test('cancel while tools run: each of them is told to stop and is cancelled in the log', async () => {
  const call = (id: string) => ({ id, name: 'hold', arguments: JSON.stringify({ city: id }) });
  openai.reply({ text: 'wait', toolCalls: [call('a'), call('b'), { id: 'c', name: 'nothing', arguments: '{}' }] });
  const id = await loop.start();
  await loop.seen(id, (event) => event.type === 'tool_start' && event.data.preparing_id === 'b');
  while (held.length < 2) await new Promise((next) => setImmediate(next));
  await loop.runs.cancel(me, id, 'user_requested');
  const { run, events } = await loop.ended(id);
  assert.equal(run.status, 'cancelled');
  assert.ok(held.every(({ signal }) => signal.aborted));
  assert.deepEqual(
    dataOf(events, 'update_action').map(({ id: shown, preparing_id, status }) => [shown, preparing_id, status]),
    [
      [undefined, 'c', 'failed'],
      [`tool-${id}-1.1`, 'a', 'cancelled'],
      [`tool-${id}-1.2`, 'b', 'cancelled'],
    ],
  );
  assert.equal(events.at(-1)?.type, 'task_stopped');
  assert.equal(textSoFar(events), 'wait');
});

test('cancel while the arguments of a tool come in: the call that was announced is cancelled', async () => {
  openai.reply({
    toolCalls: [{ id: 'a', name: 'hold', arguments: ['{"city":', '"x"}'] }],
    afterFirst: new Promise(() => undefined),
  });
  const id = await loop.start();
  await loop.seen(id, 'tool_preparing');
  await loop.runs.cancel(me, id, 'user_stop');
  const { events } = await loop.ended(id);
  assert.deepEqual(dataOf(events, 'update_action'), [{ preparing_id: 'a', status: 'cancelled', result: null }]);
});

test('a window that is too small: the oldest turns are left out as a whole, and the log says so', async () => {
  const turn = (n: number) => [
    { role: 'user' as const, content: `question ${n} ${'word '.repeat(200)}` },
    { role: 'assistant' as const, content: `answer ${n} ${'word '.repeat(200)}` },
  ];
  openai.reply({ text: 'short' });
  const { answer, events } = await loop.ask({
    model: 'small',
    message: 'the new one',
    tools: { names: [] },
    history: Array.from({ length: 10 }, (_, n) => turn(n)).flat(),
  });
  assert.equal(answer.text, 'short');
  const sent: { role: string; content: string }[] = openai.requests.at(-1)?.body.messages;
  assert.deepEqual([sent[0]?.content, sent.at(-1)?.content], ['You help.', 'the new one']);
  assert.equal(sent.length, 1 + 2 * 3 + 1);
  assert.match(sent[1]?.content ?? '', /^question 7 /);
  assert.deepEqual(dataOf(events, 'context_warning'), [
    {
      title: { zh: '上下文已截断', en: 'The context was cut' },
      message: {
        zh: '对话超出模型的上下文窗口：省略了最早的 7 轮对话',
        en: 'The conversation exceeds the context window of the model: the oldest 7 turns were left out',
      },
      type: 'warning',
    },
  ]);
});

test('a model that counts more tokens than estimated: the request is cut further', async () => {
  const tooLong = { status: 400, body: { error: { message: 'too long', code: 'context_length_exceeded' } } };
  const history = Array.from({ length: 4 }, (_, n) => [
    { role: 'user' as const, content: `question ${n} ${'word '.repeat(100)}` },
    { role: 'assistant' as const, content: `answer ${n} ${'word '.repeat(100)}` },
  ]).flat();
  openai.reply(tooLong, { text: 'fits now' });
  const { answer } = await loop.ask({ model: 'small', history });
  assert.equal(answer.text, 'fits now');
  const [first, second] = openai.requests.slice(-2).map(({ body }) => body.messages.length);
  assert.ok(second < first, `${second} < ${first}`);
  openai.reply(tooLong, tooLong, tooLong);
  const failed = await loop.ended(await loop.start({ model: 'small', history }));
  assert.equal(failed.run.error?.code, 'MODEL_CONTEXT_TOO_LONG');
});
