import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Type } from '../../../core/schema.ts';
import { defineTool } from '../../../core/tool.ts';
import { DyingDatabase, gapFree } from '../../runtime/runs/harness.ts';
import { openTestDatabase } from '../../support/database.ts';
import { type Answer, type SeenRequest, startFakeOpenAI } from '../../support/fake-openai.ts';
import { assertWhole, blocks, dataOf, me, openLoop, openLoopPool, outline, textSoFar } from './loop-harness.ts';

const openai = await startFakeOpenAI();
const pool = await openLoopPool(openai.url);
after(async () => {
  await pool.close({ graceMs: 0 });
  await openai.close();
});

/** What was done outside, by idempotency key. */
const effects = new Map<string, number>();
const act = defineTool({
  name: 'act',
  category: 'test',
  description: 'Changes something.',
  parameters: Type.Object({ what: Type.String() }),
  effect: 'changes',
  async call({ arguments: { what }, idempotencyKey }) {
    await delay(5);
    effects.set(idempotencyKey, (effects.get(idempotencyKey) ?? 0) + 1);
    return `did ${what}`;
  },
});

const call = (id: string) => ({ id, name: 'act', arguments: [`{"what":`, `"${id}"}`] });
const pieces = (text: string) => text.split(/(?<= )/);

/** Two rounds of tools, then the answer; each stream takes some time, so that there are many writes. */
const scripted = ({ body }: SeenRequest): Answer => {
  const rounds = body.messages.filter(({ role }: { role: string }) => role === 'assistant').length;
  const afterFirst = delay(30);
  if (rounds === 0)
    return { thinking: ['so ', 'so'], text: pieces('first I act'), toolCalls: [call('a'), call('b')], afterFirst };
  if (rounds === 1) return { toolCalls: [call('c')], afterFirst };
  return { thinking: 'well', text: pieces('this is the answer'), afterFirst };
};

test('the server dies in the middle of any write: the answer goes on, nothing finished is done again, the log is whole', async (t) => {
  openai.always(scripted);
  let cutOff = 0;
  for (let at = 2; ; at += 1) {
    effects.clear();
    const inner = await openTestDatabase(t);
    const dying = new DyingDatabase(inner, at, at % 2 === 0);
    const owner = { after: () => undefined };
    const before = await openLoop(owner, { pool, tools: [act], database: dying.database });
    const id = 'run-1';
    const finished = before.start({ mode: 'deep' }, id).then(() => before.ended(id));
    const outcome = await Promise.race([dying.died.promise.then(() => 'died'), finished.then(() => 'ended')]);
    dying.kill();
    const loop = await openLoop(t, { pool, tools: [act], database: inner });
    // The first write may not have come to pass: then nothing was promised to anybody.
    await loop.start({ mode: 'deep' }, id);
    const { run, events, answer } = await loop.ended(id);
    assert.equal(run.status, 'succeeded', `write ${at}: ${JSON.stringify(run.error)}`);
    assert.equal(answer?.text, 'first I act\n\nthis is the answer', `write ${at}`);
    assert.ok(gapFree(await loop.runs.events(me, id, 0, 10_000)));
    assertWhole(events);
    assert.equal(textSoFar(events), answer?.text, `write ${at}: ${outline(events).join(' ')}`);
    assert.deepEqual([...effects.keys()].sort(), ['run-1:t1.1', 'run-1:t1.2', 'run-1:t2.1']);
    if (dataOf(events, 'system_message').length > 0) cutOff += 1;
    if (outcome === 'ended') {
      t.diagnostic(`${at} writes`);
      break;
    }
    assert.ok(at < 200, 'it never ends');
  }
  // How many depends on the pace of the machine; the next test makes one for certain.
  t.diagnostic(`${cutOff} answers were cut off in the middle`);
});

test('a stream that was cut off: its block is closed with what it had, the log says that it is written anew', async (t) => {
  openai.reply({ text: ['half an ', 'answer'], afterFirst: new Promise(() => undefined) });
  openai.always({ text: 'a whole answer' });
  const inner = await openTestDatabase(t);
  const dying = new DyingDatabase(inner, Number.POSITIVE_INFINITY, true);
  const before = await openLoop({ after: () => undefined }, { pool, database: dying.database });
  const id = await before.start();
  await before.seen(id, 'text_chunk');
  dying.kill();
  const loop = await openLoop(t, { pool, database: inner });
  const { run, events, answer } = await loop.ended(id);
  assert.equal(run.attempt, 2);
  assert.deepEqual(outline(events), [
    'ai_message_start',
    'text_start',
    'text_chunk',
    'text_end',
    'system_message',
    'text_start',
    'text_chunk',
    'text_end',
    'token_update',
    'task_complete',
  ]);
  assert.deepEqual(
    blocks(events, 'text').map(({ full }) => full),
    ['half an ', 'a whole answer'],
  );
  assert.deepEqual(dataOf(events, 'system_message'), [
    {
      content: {
        zh: '服务器已重启，这部分回答将重新生成',
        en: 'The server was restarted; this part of the answer is written anew',
      },
      discards_iteration: 1,
    },
  ]);
  assert.equal(answer?.text, 'a whole answer');
  assert.equal(textSoFar(events), 'a whole answer');
});

test('a worker thread that dies in the middle of an answer: the answer is written anew in another one', async (t) => {
  openai.reply({ thinking: 'hm', text: ['half', 'never'], afterFirst: new Promise(() => undefined) });
  openai.always({ text: 'whole' });
  const loop = await openLoop(t, { pool });
  const id = await loop.start();
  await loop.seen(id, 'thinking_chunk');
  await pool.addNodes([new URL('../../fixtures/nodes/act.ts', import.meta.url)]);
  const killed = pool.run({
    type: 'test.act',
    config: { what: 'exit' },
    input: {},
    run: { id: 'other', tenantId: 'tenant-1' },
    principal: me,
    idempotencyKey: 'other:1',
    attempt: 1,
  });
  await assert.rejects(killed, { code: 'NODE_CUT_OFF' });
  const { events, answer, run } = await loop.ended(id);
  assert.equal(run.status, 'succeeded', JSON.stringify(run.error));
  assert.equal(run.attempt, 1);
  assert.equal(answer?.text, 'whole');
  assertWhole(events);
  assert.equal(textSoFar(events), 'whole');
  assert.equal(dataOf(events, 'system_message')[0]?.discards_iteration, 1);
});
