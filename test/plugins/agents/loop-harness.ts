import assert from 'node:assert/strict';
import { parseModelsConfig } from '../../../config/models.ts';
import type { Database } from '../../../core/data/database.ts';
import { createLogger } from '../../../core/log.ts';
import type { Principal } from '../../../core/principal.ts';
import { defineRunKind, type RunKind } from '../../../core/run-kind.ts';
import type { ToolDefinition } from '../../../core/tool.ts';
import { createAgentRunner } from '../../../plugins/agents/loop/runner.ts';
import { type AgentTurn, type AnswerResult, answerTerminal } from '../../../plugins/agents/public.ts';
import { modelService } from '../../../runtime/models/index.ts';
import { createPool, type Pool } from '../../../runtime/pool/index.ts';
import { createRuns, type RunEvent } from '../../../runtime/runs/index.ts';
import { createToolService } from '../../../runtime/tools/index.ts';
import { openTestDatabase } from '../../support/database.ts';

export const me: Principal = { kind: 'user', accountId: 'account-1', tenantId: 'tenant-1', roles: ['user'] };

/** Models over a provider of the test: `main`, `hasty` that gives up after a second, `small` with a window of 2000 tokens, `spare` behind `main-with-spare`, and `offline`. */
export const modelsConfig = (baseUrl: string) =>
  parseModelsConfig(
    `
default: main
offlineFallback: false
defaults:
  contextWindow: 32768
  maxOutputTokens: 4096
  timeouts: { firstTokenMs: 20000, idleMs: 20000, totalMs: 60000 }
  retry: { maxAttempts: 5, baseDelayMs: 1000, maxDelayMs: 10000, jitter: 0.25 }
providers:
  fake: { kind: openai, baseUrl: ${baseUrl}, apiKeyEnv: KEY, jsonMode: schema }
  offline: { kind: offline }
models:
  main:
    name: Main
    provider: fake
    model: main-model
    supportsThinking: true
    returnThinking: true
    multimodal: true
    body: { thinking: { enable_thinking: true }, noThinking: { enable_thinking: false } }
  hasty: { name: Hasty, provider: fake, model: hasty-model, timeouts: { firstTokenMs: 1000, idleMs: 1000, totalMs: 30000 } }
  small: { name: Small, provider: fake, model: small-model, contextWindow: 2000, maxOutputTokens: 500 }
  main-with-spare: { name: Main, provider: fake, model: main-model, fallback: [spare] }
  spare: { name: Spare, provider: fake, model: spare-model }
  offline: { name: Offline, provider: offline, model: offline }
`,
    { KEY: 'sk-test-0123456789abcdef' },
  );

interface Owner {
  after(dispose: () => Promise<void>): void;
}

export const openLoopPool = (baseUrl: string, threads = 1): Promise<Pool> =>
  createPool({
    log: createLogger('silent'),
    nodes: [new URL('../../../plugins/agents/nodes/model.ts', import.meta.url)],
    shared: { threads, tasksPerThread: 256 },
    local: [
      {
        key: modelService.name,
        module: new URL('../../../runtime/models/worker.ts', import.meta.url).href,
        options: modelsConfig(baseUrl),
      },
    ],
  });

export type TurnParts = Partial<AgentTurn>;

export const turnOf = (parts: TurnParts = {}): AgentTurn => ({
  system: 'You help.',
  history: [],
  message: 'hello',
  tools: {},
  scope: {},
  maxIterations: 10,
  ...parts,
});

/** The loop on the real run machinery and a real pool, as a run kind that does nothing but answer. */
export async function openLoop(
  owner: Owner,
  parts: { pool: Pool; tools?: readonly ToolDefinition[]; database?: Database },
) {
  const database = parts.database ?? (await openTestDatabase(owner));
  const log = createLogger('silent');
  const tools = createToolService({ log });
  for (const tool of parts.tools ?? []) tools.add(tool);
  const runs = createRuns({ database, executor: parts.pool, log, options: { exclusive: true, graceMs: 1000 } });
  const retry = { maxAttempts: 5, baseDelayMs: 5, maxDelayMs: 5, jitter: 0 };
  const runner = createAgentRunner({ tools, runs, retry });
  const kind = defineRunKind<AgentTurn, AnswerResult>({
    kind: 'answer',
    execute: async (context) => ({ answer: await runner.answer(context, context.input) }),
    terminal: answerTerminal,
  });
  runs.register(kind as unknown as RunKind);
  await database.ready();
  await runs.recover();
  owner.after(() => runs.close({ timeoutMs: 1000 }));
  let last = 0;

  const ended = async (id: string) => {
    const run = await runs.ended(me, id);
    const events = (await runs.events(me, id, 0, 1_000_000)).filter(({ type }) => !type.startsWith('run_'));
    const answer = (run.result as AnswerResult | undefined)?.answer;
    return { run, events, answer };
  };
  const start = async (turn: TurnParts = {}, id = `run-${Date.now()}-${++last}`) =>
    (await runs.start(me, 'answer', turnOf(turn), { id })).id;
  return {
    database,
    runs,
    tools,
    start,
    ended,
    async ask(turn: TurnParts = {}) {
      const { run, events, answer } = await ended(await start(turn));
      if (!answer) throw new Error(`The run ${run.status}: ${JSON.stringify(run.error)}`);
      return { run, events, answer };
    },
    /** Resolves with the first event that fits. */
    async seen(id: string, fits: string | ((event: RunEvent) => boolean)): Promise<RunEvent> {
      for await (const event of runs.subscribe(me, id, 0)) {
        if (typeof fits === 'string' ? event.type === fits : fits(event)) return event;
      }
      throw new Error('The log ended before the event');
    },
  };
}

/** Types of events, repeated ones of a stream once. */
export const outline = (events: readonly { type: string }[]): string[] =>
  events.map(({ type }) => type).filter((type, at, all) => !(type.endsWith('_chunk') && all[at - 1] === type));

export const dataOf = (events: readonly RunEvent[], type: string) =>
  events.filter((event) => event.type === type).map(({ data }) => data);

/** What a follower of the stream has read: contents of the chunks of each block, and what its end says. */
export function blocks(events: readonly RunEvent[], kind: 'text' | 'thinking') {
  const found: { content: string; full?: unknown }[] = [];
  for (const { type, data } of events) {
    if (type === `${kind}_start`) found.push({ content: '' });
    const block = found.at(-1);
    if (block && type === `${kind}_chunk`) block.content += String(data.content);
    if (block && type === `${kind}_end`) block.full = data.full_content;
  }
  return found;
}

/**
 * What is true of every log of an answer that has ended, however often it was cut off: it begins once and ends once, every block is
 * closed and has what was streamed, every tool call that was announced has come to an end, and none of them began twice.
 */
export function assertWhole(events: readonly RunEvent[]): void {
  const types = events.map(({ type }) => type);
  assert.equal(types.filter((type) => type === 'ai_message_start').length, 1, 'one beginning');
  const ends = events.filter(
    ({ type, data }) => /^task_(complete|stopped)$/.test(type) || (type === 'error' && !data.retry),
  );
  assert.deepEqual(ends, events.slice(-1), 'one end');
  let open: { kind: string; content: string } | undefined;
  for (const { type, data } of events) {
    const [kind = '', what] = type.split('_');
    if (kind !== 'text' && kind !== 'thinking') continue;
    if (what === 'start') {
      assert.equal(open, undefined, `${type} while a block is open`);
      open = { kind, content: '' };
    } else {
      assert.equal(open?.kind, kind, `${type} outside of its block`);
      if (what === 'chunk') open.content += String(data.content);
      else {
        assert.equal(data.full_content, open.content, `${type} differs from its chunks`);
        open = undefined;
      }
    }
  }
  assert.equal(open, undefined, 'a block is open at the end');
  const ended = dataOf(events, 'update_action');
  for (const { id } of dataOf(events, 'tool_preparing')) {
    assert.ok(
      ended.some(({ preparing_id }) => preparing_id === id),
      `the call ${id} has no end`,
    );
  }
  const begun = dataOf(events, 'tool_start').map(({ id }) => id);
  assert.equal(new Set(begun).size, begun.length, 'a tool began twice');
  for (const id of begun) assert.equal(ended.filter((data) => data.id === id).length, 1, `ends of ${id}`);
}

/** The text of an answer as its log has it, in the way that the README of the plugin tells. */
export function textSoFar(events: Iterable<{ type: string; data: Record<string, unknown> }>): string {
  let iteration = 0;
  let texts = new Map<number, string>();
  for (const { type, data } of events) {
    if (type === 'ai_message_start') texts = new Map();
    else if (type === 'text_start') iteration = Number(data.iteration);
    else if (type === 'text_chunk') texts.set(iteration, (texts.get(iteration) ?? '') + String(data.content));
    else if (type === 'system_message' && data.discards_iteration !== undefined) {
      texts.delete(Number(data.discards_iteration));
    }
  }
  return [...texts.values()].join('\n\n');
}
