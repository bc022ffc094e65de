import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AppError } from '../../../core/errors.ts';
import {
  compileGraph,
  Execution,
  type GraphEdge,
  type GraphNode,
  type Plan,
  type Step,
} from '../../../runtime/graph/index.ts';
import { node, planOf, run } from './support.ts';

/** What a random graph is made of: nodes in an order in which edges lead forward, and choices for the rest. */
interface Recipe {
  kinds: ('work' | 'condition' | 'loop' | 'output')[];
  policies: ('fail' | 'continue' | 'default')[];
  handling: ('stop' | 'continue' | 'remove')[];
  concurrency: number[];
  sources: number[];
  links: [number, number, number][];
  back: [number, number][];
  parents: [number, number][];
  fails: number[];
  items: number;
}

const small = fc.nat({ max: 60 });
const recipe: fc.Arbitrary<Recipe> = fc.record({
  kinds: fc.array(fc.constantFrom('work', 'work', 'work', 'work', 'condition', 'loop', 'loop', 'output'), {
    minLength: 2,
    maxLength: 10,
  }),
  policies: fc.array(fc.constantFrom('fail', 'fail', 'continue', 'default'), { minLength: 1, maxLength: 5 }),
  handling: fc.array(fc.constantFrom('stop', 'continue', 'remove'), { minLength: 1, maxLength: 5 }),
  concurrency: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 4 }),
  sources: fc.array(small, { minLength: 3, maxLength: 9 }),
  links: fc.array(fc.tuple(small, small, small), { maxLength: 8 }),
  back: fc.array(fc.tuple(small, small), { maxLength: 2 }),
  parents: fc.array(fc.tuple(small, small), { maxLength: 3 }),
  fails: fc.array(small, { maxLength: 3 }),
  items: fc.nat({ max: 3 }),
});

const HANDLES = {
  condition: ['true', 'false', undefined],
  loop: ['body', 'done', undefined],
  work: [undefined],
  output: [undefined],
};
const at = <T>(list: readonly T[], index: number): T => list[index % list.length] as T;

function graphOf(made: Recipe): { nodes: GraphNode[]; edges: GraphEdge[] } {
  const count = made.kinds.length;
  const nodes: GraphNode[] = [node('start')];
  made.kinds.forEach((type, index) => {
    const on_error = at(made.policies, index);
    const common = { on_error, default_value: index, retry: { max: index % 3 } };
    const data = {
      work: common,
      output: common,
      condition: { ...common, expression: at(['{n} > 1', '{index} == 1', 'true', '{n} + 1 > 0'], index) },
      loop: {
        ...common,
        items_path: 'list',
        error_handling: at(made.handling, index),
        concurrency: at(made.concurrency, index),
      },
    }[type];
    nodes.push(node(`${type}-${index}`, type, data));
  });
  nodes.push(node('end'));
  const edges: GraphEdge[] = [];
  const link = (from: number, to: number, choice: number) => {
    const source = nodes[from];
    const target = nodes[to];
    if (!source || !target) return;
    const handle = at(HANDLES[source.type as keyof typeof HANDLES] ?? [undefined], choice);
    edges.push({ source: source.id, target: target.id, ...(handle && { sourceHandle: handle }) });
  };
  // Every node is entered from an earlier one: often the same, so that there are parallel branches.
  for (let index = 0; index <= count; index += 1)
    link(at(made.sources, index) % (index + 1), index + 1, index + made.items);
  for (const [a, b, choice] of made.links) {
    const from = a % (count + 1);
    link(from, from + 1 + (b % (count + 1 - from)), choice);
  }
  for (const [a, b] of made.back) {
    const from = (a % count) + 1;
    const to = (b % from) + 1;
    if (from !== to && nodes[to]?.type === 'loop') link(from, to, 2);
  }
  for (const [a, b] of made.parents) {
    const loop = at(nodes, b);
    const inner = nodes[(a % count) + 1];
    if (inner && loop.type === 'loop' && nodes.indexOf(loop) < nodes.indexOf(inner)) inner.parentNode = loop.id;
  }
  return { nodes, edges };
}

function planFor(made: Recipe): Plan | undefined {
  const { nodes, edges } = graphOf(made);
  try {
    return compileGraph(nodes, edges);
  } catch (error) {
    assert.ok(error instanceof AppError && error.code === 'WORKFLOW_INVALID', String(error));
    return undefined;
  }
}

const inputOf = (made: Recipe) => ({ list: Array.from({ length: made.items }, (_, index) => index), n: made.items });

/** The same output for the same step, whatever the order; some steps fail. */
const workOf = (made: Recipe) => (step: Step) => {
  const works = made.kinds.flatMap((kind, index) => (kind === 'work' ? [`work-${index}`] : []));
  const failing = new Set(made.fails.map((index) => at([...works, ''], index)));
  const place = step.loops.at(-1)?.index ?? 0;
  if (failing.has(step.nodeId) && place !== 1) {
    throw new AppError('internal', 'FAILED', { zh: step.key, en: step.key });
  }
  const ids = made.kinds.map((kind, index) => `${kind}-${index}`);
  const seen = [...ids, 'item', 'index', 'n'].filter((name) => step.scope.lookup([name, 'list']) !== undefined);
  const input = typeof step.input === 'object' && step.input !== null ? step.input : { input: step.input };
  return { ...input, list: [1, 2].slice(0, made.items), by: step.key, seen };
};

/** All orders have to lead here. */
const outcomeOf = ({ execution }: { execution: Execution }) => ({
  status: execution.status,
  result: execution.result,
  failure: execution.failure,
});

const rotate = (seeds: readonly number[]) => {
  let calls = 0;
  return (open: readonly Step[]) => {
    calls += 1;
    return at(seeds, calls) % open.length;
  };
};
const seeds = fc.array(fc.nat({ max: 1000 }), { minLength: 1, maxLength: 30 });

test('random graphs: every execution ends, every step is handed out once per attempt, progress never falls', () => {
  let compiled = 0;
  let looped = 0;
  fc.assert(
    fc.property(recipe, seeds, (made, order) => {
      const plan = planFor(made);
      if (!plan) return;
      compiled += 1;
      let progress = 0;
      const counts = new Map<string, number>();
      const work = workOf(made);
      const ran = run(plan, inputOf(made), {
        choose: rotate(order),
        work: (step) => {
          const key = `${step.key}#${step.attempt}`;
          counts.set(key, (counts.get(key) ?? 0) + 1);
          return work(step);
        },
        observe: (execution) => {
          assert.ok(execution.progress >= progress, `${progress} to ${execution.progress}`);
          progress = execution.progress;
          assert.equal(execution.currentNode === null, execution.running.length === 0);
        },
      });
      const { execution } = ran;
      assert.ok(execution.status === 'completed' || execution.status === 'failed', execution.status);
      assert.equal(execution.running.length, 0);
      assert.deepEqual(execution.ready(), []);
      for (const [key, count] of counts) assert.equal(count, 1, key);
      assert.equal(progress === 100, execution.status === 'completed');
      if (ran.keys.some((key) => key.includes('['))) looped += 1;
    }),
    { numRuns: 1500 },
  );
  assert.ok(compiled > 500 && looped > 150, `${compiled} compiled, ${looped} had loops`);
});

test('random graphs: in a completed execution every node of the graph was executed once or skipped for a reason', () => {
  let completed = 0;
  fc.assert(
    fc.property(recipe, seeds, (made, order) => {
      const plan = planFor(made);
      if (!plan) return;
      const ran = run(plan, inputOf(made), { choose: rotate(order), work: workOf({ ...made, fails: [] }) });
      if (ran.execution.status !== 'completed') return;
      completed += 1;
      const done = new Map<string, number>();
      for (const key of ran.keys) done.set(key, (done.get(key) ?? 0) + 1);
      for (const change of ran.changes) {
        const [what = '', key = ''] = change.split(' ');
        if (what === 'loop_finished') done.set(key, (done.get(key) ?? 0) + 1);
      }
      for (const [key, reason] of ran.skipped) {
        assert.ok(['branch_not_taken', 'predecessors_skipped', 'unreachable'].includes(reason));
        done.set(key, (done.get(key) ?? 0) + 1);
      }
      for (const one of plan.root.nodes) {
        const recovered = ran.changes.includes(`recovered ${one.keyPart}`);
        const times = (done.get(one.keyPart) ?? 0) + (recovered && one.loop ? 1 : 0);
        assert.ok(recovered ? times >= 1 : times === 1, `${one.id}: ${times}`);
      }
      for (const one of plan.unreachable) assert.equal(ran.skipped.get(one.keyPart), 'unreachable');
    }),
    { numRuns: 1000 },
  );
  assert.ok(completed > 200, `only ${completed} completed`);
});

test('random graphs: the outcome does not depend on the order in which steps end', () => {
  let failed = 0;
  fc.assert(
    fc.property(recipe, seeds, seeds, (made, one, other) => {
      const plan = planFor(made);
      if (!plan) return;
      const work = workOf(made);
      const input = inputOf(made);
      const expected = outcomeOf(run(plan, input, { work }));
      if (expected.status === 'failed') failed += 1;
      assert.deepEqual(outcomeOf(run(plan, input, { work, choose: rotate(one) })), expected);
      assert.deepEqual(outcomeOf(run(plan, input, { work, choose: rotate(other) })), expected);
      assert.deepEqual(outcomeOf(run(plan, input, { work, choose: (open) => open.length - 1 })), expected);
    }),
    { numRuns: 4000 },
  );
  assert.ok(failed > 50, `only ${failed} failed`);
});

test('random graphs: cut off at any point and restored, the outcome is the same and no finished step runs again', () => {
  fc.assert(
    fc.property(recipe, seeds, fc.nat({ max: 40 }), fc.nat({ max: 40 }), (made, order, first, second) => {
      const plan = planFor(made);
      if (!plan) return;
      const work = workOf(made);
      const input = inputOf(made);
      const expected = outcomeOf(run(plan, input, { work }));
      const begun = run(plan, input, { work, choose: rotate(order), atMost: first });
      const further = run(plan, input, { work, choose: rotate(order), atMost: second, finished: begun.finished });
      const last = run(plan, input, { work, finished: further.finished });
      assert.deepEqual(outcomeOf(last), expected);
      for (const key of [...further.keys, ...last.keys]) assert.ok(!begun.finished.has(key), key);
      for (const key of last.keys) assert.ok(!further.finished.has(key), key);
    }),
    { numRuns: 2000 },
  );
});

const cost = (body: () => void): number => {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 3; round += 1) {
    const started = performance.now();
    body();
    best = Math.min(best, performance.now() - started);
  }
  return best;
};

/** Far more milliseconds than a step takes anywhere (`npm run bench -- workflows` measures them), far less than a look at all the others. */
const BUDGET_MS = 1;

function drive(plan: Plan, input: unknown): number {
  const execution = new Execution(plan, input);
  execution.start();
  let steps = 0;
  for (let open = execution.ready(); open.length > 0; open = execution.ready()) {
    for (const step of open) {
      steps += 1;
      const { input: own } = step;
      execution.finish(step, step.nodeId === 'start' ? own : 1);
    }
    execution.changes();
  }
  assert.equal(execution.status, 'completed');
  return steps;
}

test('cost: 1,000 parallel branches, a loop over 10,000 items and a chain of 10,000 nodes cost the same for each step', (t) => {
  const ids = (count: number) => Array.from({ length: count }, (_, index) => `w${index}`);
  const graphs: [string, Plan, unknown, number][] = [
    ['parallel', planOf(ids(1000).map((id) => `start > ${id} > end`)), {}, 1002],
    ['chain', planOf([`start > ${ids(9998).join(' > ')} > end`]), {}, 10_000],
    [
      'loop',
      planOf(['start > loop > a > b > end'], [node('loop', 'loop', { items_path: 'items' })]),
      { items: ids(10_000) },
      20_002,
    ],
    [
      'loop, 100 at once',
      planOf(['start > loop > a > b > end'], [node('loop', 'loop', { items_path: 'items', concurrency: 100 })]),
      { items: ids(10_000) },
      20_002,
    ],
  ];
  for (const [title, plan, input, steps] of graphs) {
    const took = cost(() => assert.equal(drive(plan, input), steps));
    t.diagnostic(`${title}: ${((took / steps) * 1000).toFixed(2)} µs a step`);
    assert.ok(took / steps < BUDGET_MS, `${title}: ${took / steps} ms a step`);
  }
  const big = ids(998);
  const compile = cost(() => planOf([`start > ${big.join(' > ')} > end`]));
  t.diagnostic(`compiling 1,000 nodes: ${compile.toFixed(1)} ms`);
  assert.ok(compile < 1000 * BUDGET_MS);
});

test('cost: a deep skip, thousands of empty iterations and recorded steps need no stack', () => {
  const ids = Array.from({ length: 9000 }, (_, index) => `w${index}`).join(' > ');
  const skipping = planOf(
    [`start > c:true > ${ids} > end`, 'c:false > end'],
    [node('c', 'condition', { expression: 'false' })],
  );
  const skipped = run(skipping);
  assert.equal(skipped.skipped.size, 9000);
  const inner = planOf(
    ['start > loop-1:body > loop-2:body > a', 'loop-1:done > end'],
    [node('loop-1', 'loop', { items_path: 'items' }), node('loop-2', 'loop', { items_path: 'none' })],
  );
  const { execution, finished } = run(inner, { items: new Array(10_000).fill(0), none: [] });
  assert.equal(execution.result?.count, 10_000);
  const chain = planOf([`start > ${ids} > end`]);
  const first = run(chain);
  assert.deepEqual(run(chain, {}, { finished: first.finished }).keys, []);
  assert.ok(finished.size > 0);
});
