import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AppError } from '../../../core/errors.ts';
import { createLogger } from '../../../core/log.ts';
import type { Principal } from '../../../core/principal.ts';
import type { NodeExecutor, NodeTask } from '../../../runtime/runs/executor.ts';
import { meteredExecutor, type UsageRecord, type UsageService } from '../../../runtime/usage/index.ts';

const principal: Principal = { kind: 'user', accountId: 'a', tenantId: 't', roles: ['user'] };
const task = (type: string, version?: number): NodeTask => ({
  type,
  ...(version !== undefined && { version }),
  input: {},
  run: { id: 'run-1', tenantId: 't', kind: 'chat' },
  principal,
  idempotencyKey: 'k',
  attempt: 1,
});
const used = { model: 'm', input_tokens: 7, output_tokens: 3, total_tokens: 10, cached_tokens: 2, estimated: true };

/** An executor whose nodes emit what the test says, over a usage service that notes its calls. */
function metered(options: { events?: [string, Record<string, unknown>][]; refuse?: boolean; broken?: boolean } = {}) {
  const calls: string[] = [];
  const records: UsageRecord[] = [];
  const usage: UsageService = {
    async check(who) {
      assert.equal(who, principal);
      calls.push('check');
      if (options.refuse) throw new AppError('quota_exceeded', 'BUDGET_EXCEEDED', { zh: '超额', en: 'used up' });
    },
    async record(_who, record) {
      if (options.broken) throw new Error('no store');
      calls.push('record');
      records.push(record);
    },
    budgets: () => assert.fail('not used'),
    totals: () => assert.fail('not used'),
    days: () => assert.fail('not used'),
  };
  const inner: NodeExecutor = {
    describe: () => [
      { type: 'plain', version: 1 },
      { type: 'model', version: 1 },
      { type: 'model', version: 2, callsModel: true },
    ],
    async run(_task, hooks) {
      calls.push('run');
      for (const [name, data] of options.events ?? []) await hooks.onEvent?.(name, data);
      return 'done';
    },
  };
  return { executor: meteredExecutor(inner, usage, createLogger('silent')), calls, records };
}

test('a node that calls a model is checked first, and what it used is counted', async () => {
  const { executor, calls, records } = metered({
    events: [
      ['token', { text: 'x' }],
      ['usage', used],
    ],
  });
  const seen: string[] = [];
  const result = await executor.run(task('model'), { onEvent: (name) => void seen.push(name) });
  assert.equal(result, 'done');
  assert.deepEqual(calls, ['check', 'run', 'record']);
  assert.deepEqual(seen, ['token', 'usage'], 'events still reach the log');
  assert.deepEqual(records, [
    { runId: 'run-1', kind: 'chat', model: 'm', inputTokens: 7, outputTokens: 3, cachedTokens: 2, estimated: true },
  ]);
});

test('a node whose budget is used up does not run', async () => {
  const { executor, calls } = metered({ refuse: true });
  await assert.rejects(executor.run(task('model'), {}), { code: 'BUDGET_EXCEEDED' });
  assert.deepEqual(calls, ['check']);
});

test('other nodes, and versions that call no model, pass as they are', async () => {
  const { executor, calls } = metered({ events: [['usage', used]], refuse: true });
  await executor.run(task('plain'), {});
  await executor.run(task('model', 1), {});
  await executor.run(task('unknown'), {});
  assert.deepEqual(calls, ['run', 'run', 'run']);
});

test('what cannot be counted costs no answer', async () => {
  const broken = metered({ events: [['usage', used]], broken: true });
  assert.equal(await broken.executor.run(task('model'), {}), 'done');
  const malformed = metered({ events: [['usage', { model: 'm', input_tokens: -5, output_tokens: 'many' }]] });
  assert.equal(await malformed.executor.run(task('model'), {}), 'done');
  assert.deepEqual(malformed.records, []);
});
