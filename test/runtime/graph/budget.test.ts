import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DataBudget, isLarger, restore, sizeOf } from '../../../runtime/graph/index.ts';
import { inOnePass } from '../../support/effort.ts';
import { node, planOf, run } from './support.ts';

const MIB = 2 ** 20;

/** Transforms one behind the other, each with its input twice. */
const doubling = (length: number) => {
  const ids = Array.from({ length }, (_, at) => `t-${at}`);
  const twice = ids.map((id, at) => {
    const from = at === 0 ? 'start' : `t-${at - 1}`;
    return node(id, 'transform', { mapping: { a: `{${from}}`, b: `{${from}}` } });
  });
  return planOf([['start', ...ids, 'end'].join(' > ')], twice);
};

test('size: about the length of the JSON, each time that something is in it; stops when it is known to be larger', () => {
  const shared = { text: 'x'.repeat(1000) };
  for (const value of [{ a: [1, 'two', null, { b: 'c' }] }, Array(100).fill(shared), 'text', 5, null, []]) {
    const length = JSON.stringify(value).length;
    const size = sizeOf(value, MIB);
    assert.ok(size >= length * 0.5 && size <= length * 3 + 10, `${size} for ${length}`);
  }
  assert.ok(isLarger(Array(2000).fill(shared), MIB));
  assert.ok(!isLarger(Array(900).fill(shared), MIB));
  let deep: unknown = 0;
  for (let level = 0; level < 10_000; level += 1) deep = [deep];
  assert.ok(isLarger(deep, MIB), 'deeper than anybody can walk');
});

test('output: one that doubles from node to node fails where it gets too large, at once', async () => {
  const { execution } = await inOnePass(() => run(doubling(60), { text: 'x'.repeat(100) }));
  assert.equal(execution.status, 'failed');
  assert.equal(execution.failure?.error.code, 'OUTPUT_TOO_LARGE');
  assert.match(execution.failure?.error.message.zh ?? '', /32 MiB/);
});

test('template: a text that doubles from node to node fails before it is made', () => {
  const ids = Array.from({ length: 60 }, (_, at) => `output-${at}`);
  const twice = ids.map((id, at) => {
    const from = at === 0 ? 'start.text' : `output-${at - 1}`;
    return node(id, 'output', { template: `{${from}}{${from}}` });
  });
  const { execution } = run(planOf([['start', ...ids].join(' > ')], twice), { text: 'x'.repeat(100) });
  assert.equal(execution.failure?.error.code, 'TEXT_TOO_LONG');
});

test('loop: results that are too large together fail the loop, with its policy', () => {
  const item = node('b', 'work');
  const plan = (policy: object) =>
    planOf(
      ['start > loop', 'loop:body > b', 'loop:done > end'],
      [node('loop', 'loop', { items_path: 'items', ...policy }), item],
    );
  const options = { work: () => 'x'.repeat(1000), maxOutputBytes: 50_000 };
  const items = Array(100).fill(0);
  const failed = run(plan({}), { items }, options).execution;
  assert.equal(failed.failure?.nodeId, 'loop');
  assert.equal(failed.failure?.error.code, 'OUTPUT_TOO_LARGE');
  assert.equal(run(plan({ on_error: 'default', default_value: 1 }), { items }, options).execution.status, 'completed');
});

test('budget: counts what is held, not what has been; what passes through counts once', () => {
  const budget = new DataBudget(MIB);
  const plan = planOf(
    ['start > loop', 'loop:body > big > condition', 'condition:true > small', 'loop:done > end'],
    [
      node('loop', 'loop', { items_path: 'items' }),
      node('big', 'work'),
      node('condition', 'condition', { expression: 'true' }),
      node('small', 'work'),
    ],
  );
  let most = 0;
  const { execution } = run(
    plan,
    { items: Array(50).fill(0) },
    {
      budget,
      work: ({ nodeId }) => (nodeId === 'big' ? 'x'.repeat(100_000) : 'done'),
      observe: () => {
        most = Math.max(most, budget.held);
      },
    },
  );
  assert.equal(execution.status, 'completed');
  assert.ok(most > 100_000 && most < 120_000, `${most} at most`);
  assert.ok(budget.held < 2000, `${budget.held} at the end`);
  execution.letGo();
  assert.equal(budget.held, 0);
});

test('budget: more than allowed fails the node, and nothing stays behind', () => {
  const budget = new DataBudget(MIB);
  const branches = Array.from({ length: 20 }, (_, at) => `work-${at}`);
  const plan = planOf(branches.map((id) => `start > ${id} > end`));
  const { execution } = run(plan, {}, { budget, work: () => 'x'.repeat(100_000) });
  assert.equal(execution.failure?.error.code, 'EXECUTION_DATA_TOO_LARGE');
  execution.letGo();
  assert.equal(budget.held, 0);
});

test('budget: under a roof all count together, what is refused counts nowhere', () => {
  const roof = new DataBudget(100);
  const [a, b] = [new DataBudget(80, undefined, roof), new DataBudget(80, undefined, roof)];
  a.take(60);
  assert.throws(() => b.take(60), { code: 'EXECUTION_DATA_TOO_LARGE' });
  assert.deepEqual([a.held, b.held, roof.held], [60, 0, 60]);
  a.close();
  b.take(60);
  assert.deepEqual([a.held, b.held, roof.held], [0, 60, 60]);
});

test('restore: an outcome may say that the output is the input', () => {
  const plan = planOf(
    ['start > condition', 'condition:true > end', 'condition:false > work'],
    [node('condition', 'condition', { expression: 'true' })],
  );
  const finished = new Map([
    ['start', { same: true as const }],
    ['condition', { same: true as const, branch: 'true' }],
  ]);
  const execution = restore(plan, { n: 5 }, finished);
  const [end] = execution.ready();
  assert.equal(end?.nodeId, 'end');
  assert.deepEqual(end?.input, { n: 5 });
});
