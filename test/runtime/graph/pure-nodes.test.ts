import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPurePerformer, PURE_NODE_TYPES } from '../../../runtime/graph/index.ts';
import { node, planOf, run } from './support.ts';

/** Carries out start > x > last, where x is the node under test. */
const result = (type: string, data: Record<string, unknown>, input: unknown) =>
  run(planOf(['start > x > last > end'], [node('x', type, data)]), input, { work: (step) => ({ got: step.input }) })
    .execution;

const cases: [string, string, Record<string, unknown>, unknown, unknown][] = [
  ['input: without fields hands its input on', 'input', {}, { a: 1 }, { a: 1 }],
  [
    'input: fills defaults and keeps other fields',
    'input',
    { fields: [{ name: 'n', default: 5 }] },
    { a: 1 },
    { a: 1, n: 5 },
  ],
  ['input: keeps what is given', 'input', { fields: [{ name: 'n', default: 5 }] }, { n: 0 }, { n: 0 }],
  [
    'input: reads text as the declared type',
    'input',
    {
      fields: [
        { name: 'n', type: 'number' },
        { name: 'b', type: 'boolean' },
      ],
    },
    { n: '7', b: 'true' },
    { n: 7, b: true },
  ],
  [
    'input: leaves text that is not of the declared type',
    'input',
    { fields: [{ name: 'n', type: 'number' }] },
    { n: 'x' },
    { n: 'x' },
  ],
  ['input: the short form', 'input', { key: 'q', default: 'd' }, {}, { q: 'd' }],
  ['input: a value that is no object stands under the one field', 'input', { key: 'q' }, 'text', { q: 'text' }],
  ['input: an optional field stays away', 'input', { fields: [{ name: 'n' }] }, {}, {}],
  ['output: its input', 'output', {}, { a: 1 }, { a: 1 }],
  ['output: under a key', 'output', { output_key: 'answer' }, { a: 1 }, { answer: { a: 1 } }],
  ['output: a template', 'output', { template: '{a}、{b}' }, { a: 1 }, '1、{b}'],
  ['output: a template under a key', 'output', { template: '{a}', output_key: 'k' }, { a: 1 }, { k: '1' }],
  [
    'output: JSON keeps types and cannot be broken by quotes',
    'output',
    { format: 'json', template: '{"n": "{n}", "t": "say {t}"}' },
    { n: [1], t: '"\n' },
    { n: [1], t: 'say "\n' },
  ],
  [
    'output: JSON with placeholders for values',
    'output',
    { format: 'json', template: '{"n": {n}}' },
    { n: { x: 1 } },
    { n: { x: 1 } },
  ],
  ['output: JSON of one placeholder', 'output', { format: 'json', template: '{n}' }, { n: [1] }, [1]],
];
for (const [title, type, data, input, expected] of cases) {
  test(title, () => assert.deepEqual(result(type, data, input).result, { got: expected }));
}

test('input: a missing or empty required field fails the node', () => {
  const data = { fields: [{ name: 'q', required: true }] };
  for (const input of [{}, { q: null }, { q: '' }]) {
    assert.equal(result('input', data, input).failure?.error.code, 'INPUT_FIELD_MISSING');
  }
  assert.deepEqual(result('input', data, { q: 0 }).result, { got: { q: 0 } });
});

test('output: what is no JSON fails the node', () => {
  assert.equal(
    result('output', { format: 'json', template: 'x {n}' }, { n: 1 }).failure?.error.code,
    'OUTPUT_NOT_JSON',
  );
});

test('performer: other types are left to others, unresolved names are listed', () => {
  const { perform } = createPurePerformer();
  const step = (type: string, data = {}) => ({
    ...{ key: 'x', nodeId: 'x', attempt: 1, delayMs: 0, timeoutMs: undefined, loops: [], predecessors: [] },
    ...{ type, data, input: {}, scope: { lookup: () => undefined } },
  });
  assert.equal(perform(step('llm')), undefined);
  assert.equal(perform(step('constructor')), undefined);
  assert.deepEqual(perform(step('output', { template: '{gone}' }))?.unresolved, ['{gone}']);
  for (const type of PURE_NODE_TYPES) {
    const data = { expression: 'true', mapping: { a: 'b' } };
    assert.ok(perform(step(type, data)), type);
  }
});
