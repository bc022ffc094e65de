import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AppError } from '../../../core/errors.ts';
import { compileGraph, type GraphNode, outcomesBefore, type Step } from '../../../runtime/graph/index.ts';
import { edges, graphOf, node, planOf, run } from './support.ts';

const loop = (id: string, data: Record<string, unknown> = {}) => node(id, 'loop', { items_path: 'items', ...data });
const child = (id: string, parentNode: string, type = 'work'): GraphNode => ({ id, type, parentNode, data: {} });
const boom = (code: string) => new AppError('internal', code, { zh: `坏了 ${code}`, en: code });

/** Ids of the nodes in the body of a loop, directly. */
const bodyOf = (chains: string[], given: GraphNode[], id: string) =>
  planOf(chains, given)
    .byId.get(id)
    ?.loop?.body.nodes.map((one) => one.id)
    .sort();

const bodies: [string, string[], GraphNode[], Record<string, string[]>][] = [
  ['region: up to the first output or end', ['start > loop > a > b > end'], [], { loop: ['a', 'b'] }],
  ['region: on each path', ['start > loop > a > output > x > end', 'loop > b > end'], [], { loop: ['a', 'b'] }],
  ['handles: body and done', ['start > loop:body > a > b', 'loop:done > c > end'], [], { loop: ['a', 'b'] }],
  ['handles: loop and next', ['start > loop:loop > a', 'loop:next > c > end'], [], { loop: ['a'] }],
  ['handles: item and an edge without handle', ['start > loop:item > a', 'loop > c > end'], [], { loop: ['a'] }],
  ['handles: done by handle, body without', ['start > loop > a', 'loop:done > c > end'], [], { loop: ['a'] }],
  ['handles: body alone ends at the end', ['start > loop:body > a > end'], [], { loop: ['a'] }],
  [
    'handles: what done reaches too is outside',
    ['start > loop:body > a > c', 'loop:done > c > end'],
    [],
    { loop: ['a'] },
  ],
  ['handles: an edge back to the loop', ['start > loop:body > a > loop', 'loop:done > c > end'], [], { loop: ['a'] }],
  ['region: an edge back to the loop', ['start > loop > a > loop', 'loop > end'], [], { loop: ['a'] }],
  [
    'parent: by parentNode',
    ['start > loop > c > end', 'a > b'],
    [child('a', 'loop'), child('b', 'loop')],
    { loop: ['a', 'b'] },
  ],
  ['nested by region', ['start > loop-1 > loop-2 > a > end'], [], { 'loop-1': ['loop-2'], 'loop-2': ['a'] }],
  [
    'nested by handles',
    ['start > loop-1:body > loop-2:body > a', 'loop-2:done > b > loop-1', 'loop-1:done > end'],
    [],
    { 'loop-1': ['b', 'loop-2'], 'loop-2': ['a'] },
  ],
  [
    'nested with returns to both',
    ['start > loop-1:body > loop-2:body > a > loop-2', 'loop-2:done > loop-1', 'loop-1:done > end'],
    [],
    { 'loop-1': ['loop-2'], 'loop-2': ['a'] },
  ],
  [
    'a region inside handles keeps its output inside',
    ['start > loop-1:body > loop-2 > a > output > b', 'loop-1:done > end'],
    [],
    { 'loop-1': ['b', 'loop-2', 'output'], 'loop-2': ['a'] },
  ],
  [
    'a region inside a parent',
    ['start > loop-1 > end', 'loop-2 > a'],
    [{ ...loop('loop-2'), parentNode: 'loop-1' }],
    { 'loop-1': ['loop-2'], 'loop-2': ['a'] },
  ],
  [
    'one after the other',
    ['start > loop-1:body > a', 'loop-1:done > loop-2:body > b', 'loop-2:done > end'],
    [],
    { 'loop-1': ['a'], 'loop-2': ['b'] },
  ],
  [
    'two regions that meet: the meeting is outside',
    ['start > loop-1 > a > m > end', 'start > loop-2 > b > m'],
    [],
    { 'loop-1': ['a'], 'loop-2': ['b'] },
  ],
  ['empty', ['start > loop > end'], [], { loop: [] }],
];
for (const [title, chains, given, expected] of bodies) {
  test(`body: ${title}`, () => {
    const loops = Object.keys(expected).filter((id) => !given.some((one) => one.id === id));
    for (const [id, ids] of Object.entries(expected)) {
      assert.deepEqual(bodyOf(chains, [...given, ...loops.map((one) => loop(one))], id), ids, id);
    }
  });
}

test('body: data.parent_id means the same as parentNode', () => {
  const a = node('a', 'work', { parent_id: 'loop' });
  assert.deepEqual(bodyOf(['start > loop > end'], [loop('loop'), a], 'loop'), ['a']);
});

test('loop: runs its body once per item in order and leads on with results, count and errors', () => {
  const seen: unknown[] = [];
  const plan = planOf(['start > loop > a > end'], [loop('loop', { item_variable: 'doc' })]);
  const { execution, keys } = run(
    plan,
    { items: ['x', 'y'], lang: 'zh' },
    {
      work: (step) => {
        seen.push(step.input, step.loops, step.scope.lookup(['doc']), step.scope.lookup(['loop', 'index']));
        return `${step.scope.lookup(['doc'])}!`;
      },
    },
  );
  assert.deepEqual(keys, ['start', 'loop[0]/a', 'loop[1]/a', 'end']);
  assert.deepEqual(seen, [
    { items: ['x', 'y'], lang: 'zh', index: 0, total: 2, doc: 'x' },
    [{ loopId: 'loop', index: 0, total: 2 }],
    'x',
    0,
    { items: ['x', 'y'], lang: 'zh', index: 1, total: 2, doc: 'y' },
    [{ loopId: 'loop', index: 1, total: 2 }],
    'y',
    1,
  ]);
  assert.deepEqual(execution.result, { results: ['x!', 'y!'], count: 2, errors: [] });
});

for (const [handling, results, errors] of [
  ['continue', ['1!', null, '3!'], [{ index: 1, error: '坏了 E2', code: 'E2', node_id: 'b' }]],
  ['remove', ['1!', '3!'], [{ index: 1, error: '坏了 E2', code: 'E2', node_id: 'b' }]],
] as const) {
  test(`loop: ${handling} goes on after a failed item`, () => {
    const plan = planOf(['start > loop > a > b > end'], [loop('loop', { error_handling: handling })]);
    const ran = run(plan, { items: [1, 2, 3] }, { work: failsAt('b', 2) });
    assert.deepEqual(ran.execution.result, { results, count: results.length, errors });
    assert.ok(ran.changes.includes('loop_item_failed loop'));
  });
}

const failsAt = (nodeId: string, item: unknown) => (step: Step) => {
  if (step.nodeId === nodeId && step.scope.lookup(['item']) === item) throw boom(`E${item}`);
  return `${step.scope.lookup(['item'])}!`;
};

test('loop: stop fails with the failure of the item and begins no further one', () => {
  const plan = planOf(['start > loop > a > end'], [loop('loop')]);
  const { execution, keys } = run(plan, { items: [1, 2, 3] }, { work: failsAt('a', 2) });
  assert.deepEqual(keys, ['start', 'loop[0]/a', 'loop[1]/a']);
  assert.equal(execution.failure?.key, 'loop[1]/a');
  assert.equal(execution.failure?.error.code, 'E2');
});

test('loop: its own error policy takes up the failure', () => {
  const plan = planOf(
    ['start > loop > a > end'],
    [loop('loop', { on_error: 'default', default_value: { none: true } })],
  );
  assert.deepEqual(run(plan, { items: [1] }, { work: failsAt('a', 1) }).execution.result, { none: true });
});

for (const [title, input, code] of [
  ['missing items', {}, 'LOOP_ITEMS_INVALID'],
  ['items that are no list', { items: 'abc' }, 'LOOP_ITEMS_INVALID'],
  ['more items than allowed', { items: new Array(10_001).fill(0) }, 'LOOP_TOO_LONG'],
] as const) {
  test(`loop: ${title} fail the node`, () => {
    const { execution } = run(planOf(['start > loop > a > end'], [loop('loop')]), input);
    assert.equal(execution.failure?.error.code, code);
    assert.equal(execution.failure?.nodeId, 'loop');
  });
}

test('loop: no items and an empty body need no steps', () => {
  const none = run(planOf(['start > loop > a > end'], [loop('loop')]), { items: [] });
  assert.deepEqual(none.execution.result, { results: [], count: 0, errors: [] });
  const empty = run(planOf(['start > loop > end'], [loop('loop')]), { items: [1, 2] });
  assert.deepEqual(empty.execution.result, { results: [1, 2], count: 2, errors: [] });
});

test('loop: items_path may be {input}, a node, or in braces', () => {
  for (const path of ['input', '{input}', 'a.list', '{{a.list}}', 'list']) {
    const plan = planOf(['start > a > loop > b > end'], [loop('loop', { items_path: path })]);
    const { execution } = run(plan, {}, { work: ({ nodeId, input }) => (nodeId === 'a' ? { list: [1, 2] } : input) });
    assert.equal(execution.result?.count, 2, path);
  }
});

test('loop: the result of an item is the last executed node, or what led back to the loop', () => {
  const skipping = planOf(
    ['start > loop > c:true > a > end', 'c:false > b > end'],
    [loop('loop'), node('c', 'condition', { expression: '{item} > 1' })],
  );
  const work = ({ nodeId, scope }: Step) => `${nodeId}${scope.lookup(['item'])}`;
  assert.deepEqual(run(skipping, { items: [1, 2] }, { work }).execution.result?.results, ['b1', 'a2']);
  const back = planOf(['start > loop:body > a > b > loop', 'a > side > more', 'loop:done > end'], [loop('loop')]);
  assert.deepEqual(run(back, { items: [1] }, { work }).execution.result?.results, ['b1']);
});

test('loop: nodes outside can be read inside, with and without an edge into the body', () => {
  const plan = planOf(['start > pre > loop:body > a', 'start > other > a', 'loop:done > end'], [loop('loop')]);
  const order: string[] = [];
  const { execution } = run(
    plan,
    {},
    {
      work: (step) => {
        order.push(step.key);
        if (step.nodeId === 'pre') return { items: [1] };
        if (step.nodeId === 'other') return { o: 'x' };
        return { o: step.scope.lookup(['o']), pre: step.scope.lookup(['pre', 'items']), input: step.input };
      },
      choose: (open) => open.length - 1,
    },
  );
  assert.equal(order.at(-1), 'loop[0]/a');
  const input = { items: [1], index: 0, total: 1, item: 1, o: 'x' };
  assert.deepEqual(execution.result?.results, [{ o: 'x', pre: [1], input }]);
});

test('loop: concurrency runs that many iterations at once and keeps the order of results', () => {
  const plan = planOf(['start > loop > a > end'], [loop('loop', { concurrency: 3 })]);
  let most = 0;
  const { execution } = run(
    plan,
    { items: [0, 1, 2, 3, 4, 5, 6] },
    {
      work: ({ scope }) => scope.lookup(['item']),
      choose: (open) => {
        most = Math.max(most, open.length);
        return open.length - 1;
      },
    },
  );
  assert.equal(most, 3);
  assert.deepEqual(execution.result?.results, [0, 1, 2, 3, 4, 5, 6]);
});

test('loop: nested concurrency does not open steps without end', () => {
  const plan = planOf(
    ['start > loop-1 > loop-2 > a > end'],
    [loop('loop-1', { concurrency: 1000 }), loop('loop-2', { concurrency: 1000 })],
  );
  const items = new Array(300).fill(0);
  let most = 0;
  let steps = 0;
  const { execution } = run(
    plan,
    { items },
    {
      work: () => {
        steps += 1;
        return 1;
      },
      choose: (open) => {
        most = Math.max(most, open.length);
        return open.length - 1;
      },
    },
  );
  assert.equal(steps, 90_000);
  assert.equal(execution.result?.count, 300);
  assert.ok(most > 9_000 && most < 11_000, `${most}`);
});

test('loop: with concurrency and stop the first failed item is told, whichever failed first', () => {
  const plan = planOf(['start > loop > a > end'], [loop('loop', { concurrency: 5 })]);
  for (const choose of [() => 0, (open: Step[]) => open.length - 1]) {
    const { execution } = run(
      plan,
      { items: [0, 1, 2, 3, 4] },
      {
        choose,
        work: ({ scope }) => {
          const item = scope.lookup(['item']);
          if (item === 1 || item === 3) throw boom(`E${item}`);
          return item;
        },
      },
    );
    assert.equal(execution.failure?.error.code, 'E1');
  }
});

test('loop: nested loops have their own variables and keys', () => {
  const plan = planOf(
    ['start > loop-1:body > loop-2:body > a', 'loop-2:done > b', 'loop-1:done > end'],
    [loop('loop-1', { item_variable: 'row' }), loop('loop-2', { items_path: 'row.cells', item_variable: 'cell' })],
  );
  const input = { items: [{ cells: [1, 2] }, { cells: [] }, { cells: [3] }] };
  const { execution, keys } = run(plan, input, {
    work: ({ nodeId, scope, input: own }) =>
      nodeId === 'a' ? [scope.lookup(['cell']), scope.lookup(['loop-1', 'index']), scope.lookup(['index'])] : own,
  });
  assert.deepEqual(keys, [
    'start',
    'loop-1[0]/loop-2[0]/a',
    'loop-1[0]/loop-2[1]/a',
    'loop-1[0]/b',
    'loop-1[1]/b',
    'loop-1[2]/loop-2[0]/a',
    'loop-1[2]/b',
    'end',
  ]);
  assert.deepEqual(
    (execution.result as { results: { results: unknown }[] }).results.map(({ results }) => results),
    [
      [
        [1, 0, 0],
        [2, 0, 1],
      ],
      [],
      [[3, 2, 0]],
    ],
  );
});

test('loop: progress grows with its iterations', () => {
  const plan = planOf(['start > loop > a > end'], [loop('loop')]);
  const seen: number[] = [];
  const ran = run(plan, { items: [1, 2, 3, 4] }, { work: () => 1, atMost: 3 });
  seen.push(ran.execution.progress);
  const [step] = ran.execution.running;
  assert.ok(step);
  ran.execution.finish(step, 1);
  seen.push(ran.execution.progress);
  assert.deepEqual(seen, [37, 43]);
});

test('loop: a finished loop can be restored by its own outcome, and a restart inside it runs every iteration again from there', () => {
  const plan = planOf(['start > pre > loop > a > b > end'], [loop('loop')]);
  const work = ({ nodeId, scope }: Step) =>
    nodeId === 'pre' ? { items: [1, 2] } : `${nodeId}${scope.lookup(['item'])}`;
  const first = run(plan, {}, { work });
  const whole = new Map([...first.finished].filter(([key]) => key === 'start' || key === 'pre'));
  whole.set('loop', { output: { results: ['kept'], count: 1, errors: [] } });
  const restored = run(plan, {}, { work, finished: whole });
  assert.deepEqual(restored.keys, ['end']);
  assert.deepEqual(restored.execution.result, { results: ['kept'], count: 1, errors: [] });
  const kept = outcomesBefore(plan, 'b', first.finished);
  assert.deepEqual(run(plan, {}, { work, finished: kept }).keys, ['loop[0]/b', 'loop[1]/b', 'end']);
});

test('keys: ids with slashes and brackets stay apart', () => {
  const { nodes, edges: list } = graphOf(['start > loop > a > end'], [loop('loop')]);
  const odd = [...nodes, node('loop[0]/a', 'work')];
  const plan = compileGraph(odd, [
    ...list,
    ...edges('start > loop[0]/a > end').map((edge) => ({ ...edge, id: `x${edge.id}` })),
  ]);
  const { keys } = run(plan, { items: [1] });
  assert.equal(new Set(keys).size, keys.length);
  assert.ok(keys.includes('loop%5B0%5D%2Fa'));
});
