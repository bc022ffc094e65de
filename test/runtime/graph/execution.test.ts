import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AppError } from '../../../core/errors.ts';
import {
  compileGraph,
  outcomesBefore,
  parseTemplate,
  renderTemplate,
  type Step,
} from '../../../runtime/graph/index.ts';
import { node, planOf, run } from './support.ts';

const boom = (code = 'BOOM') => new AppError('internal', code, { zh: `坏了 ${code}`, en: `broken ${code}` });
const condition = (id: string, expression: string) => node(id, 'condition', { expression });

test('execution: a chain hands each output on and ends with the input of its end', () => {
  const { execution, keys } = run(planOf(['start > a > end']), { q: 1 }, { work: (step) => ({ got: step.input }) });
  assert.deepEqual(keys, ['start', 'a', 'end']);
  assert.deepEqual(execution.result, { got: { q: 1 } });
  assert.equal(execution.status, 'completed');
  assert.equal(execution.progress, 100);
  assert.equal(execution.currentNode, null);
});

test('execution: parallel branches are ready at the same time', () => {
  const plan = planOf(['start > a > end', 'start > b > end', 'start > c > end']);
  const { execution } = run(plan, {}, { atMost: 1 });
  assert.deepEqual(execution.running.map(({ key }) => key).sort(), ['a', 'b', 'c']);
  assert.equal(execution.progress, 20);
  assert.ok(['a', 'b', 'c'].includes(execution.currentNode ?? ''));
});

const results: [string, string[], Record<string, unknown>, Record<string, unknown>][] = [
  ['an object is the result', ['start > a > end'], { a: { x: 1 } }, { x: 1 }],
  ['text is wrapped', ['start > a > end'], { a: 'text' }, { result: 'text' }],
  ['a list is wrapped', ['start > a > end'], { a: [1] }, { result: [1] }],
  ['nothing becomes null', ['start > a > end'], { a: undefined }, { result: null }],
  ['two ends stand by node id', ['start > a > end-1', 'start > b > end-2'], { a: 1, b: 2 }, { 'end-1': 1, 'end-2': 2 }],
  ['without an end the output counts', ['start > a > output > b'], { a: 1, b: 2 }, { result: 1 }],
  [
    'two outputs stand by node id',
    ['start > a > output-1', 'a > output-2'],
    { a: 1 },
    { 'output-1': 1, 'output-2': 1 },
  ],
  ['without both the last node counts', ['start > a > b'], { a: 1, b: 2 }, { result: 2 }],
];
for (const [title, chains, outputs, expected] of results) {
  test(`result: ${title}`, () => {
    const { execution } = run(planOf(chains), {}, { work: ({ nodeId }) => outputs[nodeId] });
    assert.deepEqual(execution.result, expected);
  });
}

test('input: one predecessor as it is, several merged in the order of edges, other values by node id', () => {
  const inputs: Record<string, unknown> = {};
  const work = (step: Step) => {
    inputs[step.nodeId] = step.input;
    return { a: { x: 1, y: 1 }, b: { y: 2 }, c: 'text', d: [1] }[step.nodeId] ?? step.input;
  };
  const plan = planOf(['start > a', 'start > b', 'start > c', 'start > d', 'b > m', 'a > m', 'c > m', 'd > m > end']);
  run(plan, { q: 1 }, { work });
  assert.deepEqual(inputs.a, { q: 1 });
  assert.deepEqual(inputs.m, { y: 1, x: 1, c: 'text', d: [1] });
});

const branches: [string, string[], number, string[], Record<string, string>][] = [
  [
    'true',
    ['start > c:true > a > end', 'c:false > b > end'],
    11,
    ['start', 'c', 'a', 'end'],
    { b: 'branch_not_taken' },
  ],
  [
    'false',
    ['start > c:true > a > end', 'c:false > b > end'],
    1,
    ['start', 'c', 'b', 'end'],
    { a: 'branch_not_taken' },
  ],
  ['without a handle is true', ['start > c > a > end'], 11, ['start', 'c', 'a', 'end'], {}],
  [
    'a skip goes on to what only it leads to',
    ['start > c:true > a > b > end', 'c:false > end'],
    1,
    ['start', 'c', 'end'],
    { a: 'branch_not_taken', b: 'predecessors_skipped' },
  ],
  ['both branches to one node', ['start > c:true > a > end', 'c:false > a'], 1, ['start', 'c', 'a', 'end'], {}],
];
for (const [title, chains, value, keys, skipped] of branches) {
  test(`condition: ${title}`, () => {
    const ran = run(planOf(chains, [condition('c', '{value} > 10')]), { value });
    assert.deepEqual(ran.keys, keys);
    assert.deepEqual(Object.fromEntries(ran.skipped), skipped);
    assert.equal(ran.execution.status, 'completed');
  });
}

test('condition: labels stand in for missing handles, the output is the input, the id has a result', () => {
  const plan = (label: string) => {
    const nodes = [node('start'), condition('c', '{v}'), node('a'), node('end')];
    const edges = [
      { source: 'start', target: 'c' },
      { source: 'c', target: 'a', label },
      { source: 'a', target: 'end' },
    ];
    return compileGraph(nodes, edges);
  };
  for (const [label, value, runs] of [
    ['是', true, true],
    ['否', false, true],
    ['No', true, false],
    ['yes', false, false],
    ['下一步', true, true],
  ] as const) {
    const seen: unknown[] = [];
    const ran = run(
      plan(label),
      { v: value },
      {
        work: (step) => {
          seen.push(step.input, step.scope.lookup(['c', 'result']), step.scope.lookup(['c']));
          return 1;
        },
      },
    );
    assert.equal(ran.keys.includes('a'), runs, label);
    if (runs) assert.deepEqual(seen, [{ v: value }, value, { v: value }]);
  }
});

test('branches: an edge of another branching node is taken when its handle was chosen or missing', () => {
  const plan = planOf(['start > human:approved > a > end', 'human:rejected > b > end', 'human > c > end']);
  const ran = run(plan, {}, { atMost: 1 });
  const [step] = ran.execution.running;
  assert.ok(step);
  ran.execution.finish(step, 'x', 'approved');
  assert.deepEqual(
    ran.execution.ready().map(({ key }) => key),
    ['a', 'c'],
  );
});

test('merge: a node waits for all that leads to it and sees only what was taken', () => {
  const plan = planOf(['start > c:true > a > m > end', 'c:false > b > m', 'start > d > m'], [condition('c', 'true')]);
  const seen: unknown[] = [];
  run(
    plan,
    {},
    { work: (step) => (step.nodeId === 'm' ? seen.push(step.predecessors.map(({ id }) => id)) : step.nodeId) },
  );
  assert.deepEqual(seen, [['a', 'd']]);
});

test('nodes that nothing leads to are skipped as unreachable and keep nobody waiting', () => {
  const { execution, skipped } = run(planOf(['start > a > end', 'x > a', 'x > y']));
  assert.equal(execution.status, 'completed');
  assert.deepEqual(Object.fromEntries(skipped), { x: 'unreachable', y: 'unreachable' });
});

test('failure: the execution fails and names the node; steps behind it do not begin', () => {
  const ran = run(
    planOf(['start > a > b > end']),
    {},
    {
      work: ({ nodeId }) => {
        if (nodeId === 'a') throw boom();
        return 1;
      },
    },
  );
  assert.equal(ran.execution.status, 'failed');
  assert.deepEqual(
    { nodeId: ran.execution.failure?.nodeId, code: ran.execution.failure?.error.code },
    { nodeId: 'a', code: 'BOOM' },
  );
  assert.deepEqual(ran.keys, ['start', 'a']);
  assert.equal(ran.execution.result, undefined);
  assert.ok(ran.execution.progress < 100);
});

test('failure: what runs behind the failed node is abandoned, what is before it decides which failure is told', () => {
  const plan = planOf(['start > a > end', 'start > b > end', 'start > c > end']);
  for (const order of [['b', 'a'], ['c', 'b', 'a'], ['a']]) {
    const ran = run(plan, {}, { atMost: 1 });
    const open = new Map(ran.execution.running.map((step) => [step.key, step]));
    for (const key of order) {
      const step = open.get(key);
      assert.ok(step);
      assert.equal(ran.execution.status, 'running');
      assert.equal(ran.execution.fail(step, boom(key.toUpperCase())), true);
    }
    assert.equal(ran.execution.failure?.error.code, 'A', order.join());
    const late = open.get('c');
    assert.ok(late);
    assert.equal(ran.execution.finish(late, 1), false);
  }
});

test('failure: failFast ends at the first one', () => {
  const ran = run(planOf(['start > a > end', 'start > b > end']), {}, { atMost: 1, failFast: true });
  const step = ran.execution.running.find(({ key }) => key === 'b');
  assert.ok(step);
  ran.execution.fail(step, boom());
  assert.equal(ran.execution.failure?.nodeId, 'b');
  assert.deepEqual(
    ran.execution.changes().map(({ type }) => type),
    ['abandoned', 'failed'],
  );
});

test('policy: retry repeats with growing delays under the same key, then fails', () => {
  const plan = planOf(['start > a > end'], [node('a', 'a', { retry: { max: 2, delay_ms: 100, factor: 3 } })]);
  const attempts: [string, number, number][] = [];
  const ran = run(
    plan,
    {},
    {
      work: (step) => {
        attempts.push([step.key, step.attempt, step.delayMs]);
        throw boom();
      },
    },
  );
  assert.deepEqual(attempts, [
    ['a', 1, 0],
    ['a', 2, 100],
    ['a', 3, 300],
  ]);
  assert.equal(ran.execution.status, 'failed');
  assert.deepEqual(ran.changes, ['retry a', 'retry a', 'failed']);
});

test('policy: a cancelled step and one that cannot be retried are not repeated', () => {
  const plan = planOf(['start > a > end'], [node('a', 'a', { retry: { max: 5 } })]);
  const cancelled = run(
    plan,
    {},
    {
      work: () => {
        throw new AppError('cancelled', 'C', { zh: '', en: '' });
      },
    },
  );
  assert.deepEqual(cancelled.keys, ['start', 'a']);
  const ran = run(plan, {}, { atMost: 1 });
  const [step] = ran.execution.running;
  assert.ok(step);
  ran.execution.fail(step, boom(), { retryable: false });
  assert.equal(ran.execution.status, 'failed');
});

test('policy: continue gives null, default gives its value, both are noted and the error can be read', () => {
  const fail = (step: Step) => {
    if (step.nodeId === 'a') throw boom();
    return { input: step.input, code: step.scope.lookup(['a', 'error', 'code']) };
  };
  const withPolicy = (data: Record<string, unknown>) =>
    run(planOf(['start > a > b > end'], [node('a', 'a', { timeout_ms: 50, ...data })]), {}, { work: fail });
  const gone = withPolicy({ on_error: 'continue' });
  assert.deepEqual(gone.execution.result, { input: null, code: 'BOOM' });
  assert.deepEqual(gone.changes, ['recovered a', 'completed']);
  assert.deepEqual(withPolicy({ on_error: 'default', default_value: [1] }).execution.result, {
    input: [1],
    code: 'BOOM',
  });
});

test('policy: a condition that cannot be evaluated leads to false, or to the branch of its default', () => {
  const withPolicy = (data: Record<string, unknown>) =>
    run(
      planOf(
        ['start > c:true > a > end', 'c:false > b > end'],
        [node('c', 'condition', { expression: '{missing} + 1', ...data })],
      ),
      { v: 1 },
      { work: ({ nodeId, input }) => ({ nodeId, input }) },
    ).execution;
  assert.equal(withPolicy({}).failure?.error.code, 'EXPRESSION_FAILED');
  assert.deepEqual(withPolicy({ on_error: 'continue' }).result, { nodeId: 'b', input: { v: 1 } });
  assert.deepEqual(withPolicy({ on_error: 'default', default_value: true }).result, { nodeId: 'a', input: { v: 1 } });
});

const lookups: [string, string][] = [
  ['{text}', 'from a'], // field of the input before that of the execution's input
  ['{input}', 'from a'],
  ['{q}', 'question'],
  ['{start.q}', 'question'],
  ['{start}', '{"q":"question","text":"from user","only":1}'],
  ['{a.text} {a.output.text}', 'from a from a'],
  ['{side}', '{side}'], // does not come before: whether it is done depends on timing
  ['{n.1.x}', '7'],
  ['{b}', '{b}'],
];
for (const [template, expected] of lookups) {
  test(`look-up: ${template} is ${JSON.stringify(expected)}`, () => {
    const plan = planOf(['start > n.1 > a > b > end', 'start > side > end']);
    let text = '';
    run(
      plan,
      { q: 'question', text: 'from user', only: 1 },
      {
        work: (step) => {
          if (step.nodeId === 'b') ({ text } = renderTemplate(parseTemplate(template), step.scope));
          return step.nodeId === 'n.1' ? { x: 7 } : { text: 'from a', extra: 1 };
        },
      },
    );
    assert.equal(text, expected);
  });
}

test('look-up: text of a node is there as {id}, {id.text} and {id.output}, and {input} is the whole input', () => {
  const seen: unknown[] = [];
  run(
    planOf(['start > a > b > c > end']),
    { input: 'asked' },
    {
      work: ({ nodeId, scope }) => {
        seen.push(scope.lookup(['input']));
        if (nodeId === 'c') seen.push(scope.lookup(['a']), scope.lookup(['a', 'text']), scope.lookup(['a', 'output']));
        return `${nodeId}!`;
      },
    },
  );
  assert.deepEqual(seen, ['asked', 'a!', 'b!', 'a!', 'a!', 'a!']);
});

const essences: [unknown, unknown][] = [
  ['text', 'text'],
  [{ any: 5 }, 5],
  [{ a: 1, query: 'q', message: 'm' }, 'q'],
  [{ a: 1, result: 'r' }, 'r'],
  [
    { a: 1, b: 2 },
    { a: 1, b: 2 },
  ],
  [
    [1, 2],
    [1, 2],
  ],
];
for (const [value, expected] of essences) {
  test(`{input}: of ${JSON.stringify(value)} is ${JSON.stringify(expected)}`, () => {
    let seen: unknown;
    run(
      planOf(['start > a > b > end']),
      {},
      {
        work: ({ nodeId, scope }) => {
          if (nodeId === 'b') seen = scope.lookup(['input']);
          return value;
        },
      },
    );
    assert.deepEqual(seen, expected);
  });
}

test('restore: finished steps are not handed out again, whatever was finished', () => {
  const plan = planOf(['start > c:true > a > end', 'c:false > b > end'], [condition('c', '{v}')]);
  const whole = run(plan, { v: 1 }, { work: () => 'x' });
  for (let reports = 0; reports <= whole.keys.length; reports += 1) {
    const first = run(plan, { v: 1 }, { work: () => 'x', atMost: reports });
    const second = run(plan, { v: 1 }, { work: () => 'x', finished: first.finished });
    assert.deepEqual(second.execution.result, whole.execution.result);
    assert.deepEqual([...first.keys, ...second.keys], whole.keys);
  }
});

test('restore: a recorded error counts as the last word on its node', () => {
  const recorded = new Map([['a', { error: { kind: 'internal', code: 'X', message: { zh: '', en: '' } } as const }]]);
  const failing = planOf(['start > a > end']);
  assert.equal(run(failing, {}, { finished: recorded }).execution.failure?.error.code, 'X');
  const going = planOf(['start > a > end'], [node('a', 'a', { on_error: 'continue' })]);
  assert.equal(run(going, {}, { finished: recorded }).execution.status, 'completed');
});

test('restart: from a node with the earlier outputs, everything behind it runs again and nothing else', () => {
  const plan = planOf(['start > a > b > d > end', 'a > c > d']);
  const first = run(plan);
  const kept = outcomesBefore(plan, 'b', first.finished);
  assert.deepEqual([...kept.keys()].sort(), ['a', 'c', 'start']);
  assert.deepEqual(run(plan, {}, { finished: kept }).keys, ['b', 'd', 'end']);
  assert.equal(outcomesBefore(plan, 'nowhere', first.finished).size, first.finished.size);
});

test('a step is taken once: reports twice, by strangers or after the end are refused', () => {
  const ran = run(planOf(['start > a > end']), {}, { atMost: 1 });
  const [step] = ran.execution.running;
  assert.ok(step);
  assert.equal(ran.execution.finish({ ...step, key: 'a' } as Step, 1), false);
  assert.equal(ran.execution.finish(step, 1), true);
  assert.equal(ran.execution.finish(step, 2), false);
  assert.equal(ran.execution.fail(step, boom()), false);
});

test('ready: a limit leaves the others for later', () => {
  const plan = planOf(['start > a > end', 'start > b > end', 'start > c > end']);
  const { execution } = run(plan, {}, { atMost: 0 });
  const [start] = execution.running;
  assert.ok(start);
  execution.finish(start, {});
  assert.deepEqual(
    [execution.ready(2), execution.ready(2), execution.ready(2)].map(({ length }) => length),
    [2, 1, 0],
  );
});

test('steps: more than allowed fail the execution', () => {
  const { execution } = run(planOf(['start > a > b > end']), {}, { maxSteps: 2 });
  assert.equal(execution.failure?.error.code, 'TOO_MANY_STEPS');
});
