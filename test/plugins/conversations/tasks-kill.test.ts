import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { callApi } from '../../support/api-client.ts';
import type { SeenRequest } from '../../support/fake-openai.ts';
import { type ServerProcess, startServerProcess } from '../../support/server-process.ts';
import { modelEnv, startModel, type TaskEvent, taskClient, writeManifest } from '../../support/task-server.ts';

/** A server in a process of its own, an account, and models that outlive its deaths. */
async function open(t: TestContext) {
  const dataDir = mkdtempSync(join(tmpdir(), 'koagent-kill-'));
  t.after(() => rmSync(dataDir, { recursive: true, force: true }));
  const model = await startModel(t);
  const env = {
    ...modelEnv(model.openai.url),
    KOAGENT_DATA_DIR: dataDir,
    KOAGENT_MANIFEST: writeManifest(t, { agents: { modelRetrySeconds: 0.01 } }),
  };
  const script = join(import.meta.dirname, '../../../scripts/token.ts');
  const { stdout } = await promisify(execFile)(process.execPath, [script, 'create', 'bot'], {
    env: { PATH: process.env.PATH, KOAGENT_DATA_DIR: dataDir },
  });
  let child: ServerProcess = await startServerProcess(env);
  t.after(() => child.kill());
  const client = taskClient(
    (method, path, options) => callApi(child.url, method, path, options),
    stdout.trim().split('\n').at(-1) ?? '',
  );
  return {
    model,
    client,
    async restart() {
      await child.kill();
      child = await startServerProcess(env);
    },
  };
}

type Client = Awaited<ReturnType<typeof open>>['client'];

const types = (events: readonly TaskEvent[]) =>
  events.map(({ type }) => type).filter((type, at, all) => !(type.endsWith('_chunk') && all[at - 1] === type));

/** Waits for an event, and returns all up to the end of that answer of the poll. */
const upTo = async (client: Client, taskId: string, from: number, until: (event: TaskEvent) => boolean) =>
  (await client.finished(taskId, { from, until })).events;

/** All events as they can be read at the end: the ones that were seen while it ran, and the rest, numbered without a gap. */
async function whole(client: Client, taskId: string, seen: readonly TaskEvent[]) {
  const task = await client.finished(taskId);
  assert.deepEqual(task.events.slice(0, seen.length), seen, 'what was seen before a death has changed');
  const terminal = task.events.filter(({ type }) => ['task_complete', 'task_stopped'].includes(type));
  assert.equal(terminal.length, 1);
  assert.equal(task.events.at(-1), terminal[0]);
  return task;
}

test('kill -9 in the middle of an answer: it is written anew, the poll goes on where it was', async (t) => {
  const { client, model, restart } = await open(t);
  model.reply({ text: ['the first ', 'half'], afterFirst: new Promise(() => undefined) }, { text: ['all ', 'of it'] });
  const { task_id, conversation_id } = await client.send('tell me');
  const seen = await upTo(client, task_id, 0, ({ type }) => type === 'text_chunk');
  await restart();
  const rest = await client.finished(task_id, { from: seen.length });
  assert.equal(rest.status, 'succeeded');
  assert.deepEqual(types(rest.events), [
    'text_end',
    'system_message',
    'text_start',
    'text_chunk',
    'text_end',
    'token_update',
    'task_complete',
  ]); // prettier-ignore
  assert.deepEqual([rest.events[0]?.data.full_content, rest.events[1]?.data.discards_iteration], ['the first ', 1]);
  await whole(client, task_id, [...seen, ...rest.events]);
  const { data } = (await client.call('GET', `/conversations/${conversation_id}?full=1`)).body;
  assert.deepEqual(
    data.messages.map(({ content }: { content: string }) => content),
    ['tell me', 'all of it'],
  );
  assert.equal((await client.ask('next', { conversation_id })).status, 'succeeded');
});

test('kill -9 in the middle of a tool loop, again and again: every tool call is done once', async (t) => {
  const CALLS = 12;
  const KILLS = 5;
  const { client, model, restart } = await open(t);
  /** One line in each iteration; which one is told by what the model has been told so far. */
  const next = ({ body }: SeenRequest) => {
    const done = body.messages.filter(({ role }: { role: string }) => role === 'tool').length;
    if (done === CALLS) return { text: 'finished' };
    const line = { path: 'user_upload/log.txt', content: `line ${done + 1}\n`, append: true };
    const todo = { tasks: [{ title: `step ${done + 1}`, status: 'in_progress' }] };
    const call = done % 3 === 2 ? { name: 'todo_write', arguments: todo } : { name: 'write_file', arguments: line };
    return {
      text: `step ${done + 1} `,
      toolCalls: [{ id: `call_${done + 1}`, name: call.name, arguments: JSON.stringify(call.arguments) }],
      gate: delay(60),
    };
  };
  model.reply(...Array.from({ length: 200 }, () => next));
  const { task_id, conversation_id } = await client.send('write the log');
  const seen: TaskEvent[] = [];
  for (let kill = 1; kill <= KILLS; kill++) {
    const wanted = Math.floor((kill * CALLS) / (KILLS + 1));
    const more = await upTo(client, task_id, seen.length, ({ type, data }) =>
      kill % 2 === 0
        ? type === 'tool_start' && data.preparing_id === `call_${wanted}`
        : type === 'update_action' && data.preparing_id === `call_${wanted}`,
    );
    seen.push(...more);
    await delay(kill * 7);
    await restart();
  }
  const { status, events } = await whole(client, task_id, seen);
  assert.equal(status, 'succeeded');
  const complete = events.at(-1)?.data;
  assert.deepEqual([complete.total_iterations, complete.total_tool_calls], [CALLS + 1, CALLS]);
  const finished = events.filter(({ type, data }) => type === 'update_action' && data.status === 'completed');
  assert.deepEqual(
    finished.map(({ data }) => data.preparing_id),
    Array.from({ length: CALLS }, (_, at) => `call_${at + 1}`),
  );
  const lines = Array.from({ length: CALLS }, (_, at) => at + 1).filter((line) => line % 3 !== 0);
  const log = await client.call('GET', '/files/download?path=log.txt');
  assert.equal(log.text, lines.map((line) => `line ${line}\n`).join(''));
  const { data } = (await client.call('GET', `/conversations/${conversation_id}?full=1`)).body;
  assert.equal(data.messages.length, 2 * CALLS + 2);
  assert.equal(data.todo_list.tasks[0].title, `step ${CALLS}`);
  assert.equal(data.metadata.total_tools, CALLS);
});

test('kill -9 after a message was taken, and after a cancel: neither is lost', async (t) => {
  const { client, model, restart } = await open(t);
  model.reply({ text: ['a', 'b'], afterFirst: new Promise(() => undefined) });
  const { task_id, conversation_id } = await client.send('cancel me');
  const seen = await upTo(client, task_id, 0, ({ type }) => type === 'text_chunk');
  assert.equal((await client.call('POST', `/tasks/${task_id}/cancel`)).status, 200);
  await restart();
  const { status } = await whole(client, task_id, seen);
  assert.equal(status, 'canceled');

  model.reply({ text: 'here I am' });
  const sent = await client.send('and I?', { conversation_id });
  await restart();
  const task = await whole(client, sent.task_id, []);
  assert.equal(task.status, 'succeeded');
  // The account is free again, whatever had died.
  assert.equal((await client.ask('next')).status, 'succeeded');
  assert.equal((await client.call('GET', '/conversations')).body.total, 2);
});
