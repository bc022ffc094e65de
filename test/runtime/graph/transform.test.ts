import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AppError } from '../../../core/errors.ts';
import { filterItems, parseTransform, type TransformContext, transform } from '../../../runtime/graph/index.ts';
import { scopeOf } from './support.ts';

const contextOf = (input: unknown, nodes: Record<string, unknown> = {}): TransformContext => ({
  input,
  predecessors: Object.entries(nodes).map(([id, output]) => ({ id, output })),
  scope: scopeOf({ ...nodes, ...(typeof input === 'object' && !Array.isArray(input) ? input : {}), input }),
});
const apply = (data: Record<string, unknown>, input: unknown, nodes: Record<string, unknown> = {}) =>
  transform(parseTransform(data), contextOf(input, nodes));

const items = [
  { name: 'a', n: 1, tag: 'x' },
  { name: 'b', n: '20', tag: null },
  { name: 'c', n: 3 },
];
const rule = (field: string, operator: string, value?: unknown) => ({ filter_rules: [{ field, operator, value }] });

const cases: [string, Record<string, unknown>, unknown, unknown][] = [
  [
    'mapping: paths, templates, constants',
    { mapping: { a: 'user.name', b: '你好 {user.name}', c: 5, d: "'text'", e: 'two words', f: '{user}' } },
    { user: { name: 'N' } },
    { a: 'N', b: '你好 N', c: 5, d: 'text', e: 'two words', f: { name: 'N' } },
  ],
  [
    'mapping: dotted targets build objects',
    { mapping: { 'x.y': 'a', 'x.z': 'b' } },
    { a: 1, b: 2 },
    { x: { y: 1, z: 2 } },
  ],
  [
    'mapping: what is missing becomes null',
    { mode: 'mapping', mapping: { a: 'nope', b: '{nope}' } },
    {},
    { a: null, b: null },
  ],
  ['mapping: typed lists', { mapping: { first: 'list[0]', n: 'list.length' } }, { list: [7, 8] }, { first: 7, n: 2 }],
  [
    'filter: and',
    {
      mode: 'filter',
      filter_rules: [
        { field: 'n', operator: '>', value: 2 },
        { field: 'name', operator: '!=', value: 'c' },
      ],
    },
    items,
    [items[1]],
  ],
  [
    'filter: or',
    {
      mode: 'filter',
      logic: 'or',
      filter_rules: [
        { field: 'n', operator: '==', value: '1' },
        { field: 'name', operator: 'in', value: ['c'] },
      ],
    },
    items,
    [items[0], items[2]],
  ],
  [
    'filter: items_path gives the list',
    { mode: 'filter', items_path: 'data.rows', ...rule('n', '>=', 3) },
    { data: { rows: items } },
    [items[1], items[2]],
  ],
  [
    'filter: value may be a template',
    { mode: 'filter', items_path: 'rows', ...rule('n', '<', '{limit}') },
    { rows: items, limit: 2 },
    [items[0]],
  ],
  ['filter: items themselves', { mode: 'filter', ...rule('', 'contains', 'b') }, ['abc', 'xyz'], ['abc']],
  [
    'compute: in order',
    { mode: 'compute', compute_rules: { sum: '{a} + {b}', twice: '{sum} * 2' } },
    { a: 1, b: '2' },
    { a: 1, b: '2', sum: 3, twice: 6 },
  ],
  [
    'compute: every item of a list',
    { mode: 'compute', compute_rules: { m: '{n} * 10' } },
    [{ n: 1 }, { n: 2 }],
    [
      { n: 1, m: 10 },
      { n: 2, m: 20 },
    ],
  ],
  [
    'compute: constants and dotted fields',
    { mode: 'compute', compute_rules: { 'o.b': '2', ok: true } },
    { o: { a: 1 } },
    { o: { a: 1, b: 2 }, ok: true },
  ],
  [
    'all: one after another',
    {
      mode: 'all',
      mapping: { rows: 'data' },
      items_path: 'rows',
      ...rule('n', '>', 1),
      compute_rules: { count: 'len({rows})' },
    },
    { data: items },
    { rows: [items[1], items[2]], count: 2 },
  ],
];
for (const [title, data, input, expected] of cases) {
  test(`transform: ${title}`, () => {
    const before = structuredClone(input);
    assert.deepEqual(apply(data, input).value, expected);
    assert.deepEqual(input, before, 'the input was changed');
  });
}

test('transform: merge is deep, later ones win, lists are replaced, other values stand by id', () => {
  const nodes = { a: { x: { p: 1, q: 1 }, l: [1, 2] }, b: { x: { q: 2 }, l: [3] }, c: 'text' };
  assert.deepEqual(apply({ mode: 'merge' }, {}, nodes).value, { x: { p: 1, q: 2 }, l: [3], c: 'text' });
  assert.deepEqual(apply({ mode: 'merge', sources: ['b', 'c'] }, {}, nodes).value, { x: { q: 2 }, l: [3], c: 'text' });
  assert.deepEqual(apply({ mode: 'merge', sources: ['gone'] }, {}, nodes), { value: {}, unresolved: ['gone'] });
  assert.deepEqual(nodes.a, { x: { p: 1, q: 1 }, l: [1, 2] });
});

test('transform: paths and placeholders that find nothing are listed', () => {
  assert.deepEqual(apply({ mapping: { a: 'x.y', b: 'to {z}' } }, {}).unresolved, ['x.y', '{z}']);
});

const operators: [string, unknown, unknown, boolean][] = [
  ['==', '5', 5, true],
  ['!=', 'a', 'b', true],
  ['>', '10', 9, true],
  ['>=', 5, 5, true],
  ['<', null, 5, false],
  ['<=', 'a', 5, false],
  ['contains', ['a'], 'a', true],
  ['not_contains', 'abc', 'x', true],
  ['in', 'a', ['a', 'b'], true],
  ['not_in', 'c', ['a', 'b'], true],
  ['starts_with', 'abc', 'ab', true],
  ['starts_with', 123, '12', true],
  ['ends_with', 'abc', 'bc', true],
  ['ends_with', null, '', false],
  ['exists', 0, undefined, true],
  ['exists', null, undefined, false],
  ['not_exists', undefined, undefined, true],
];
for (const [operator, actual, value, expected] of operators) {
  test(`filter: ${JSON.stringify(actual)} ${operator} ${JSON.stringify(value)} is ${expected}`, () => {
    const { filter } = parseTransform({ mode: 'filter', ...rule('v', operator, value) });
    const [first] = filter;
    assert.ok(first);
    const kept = filterItems([{ v: actual }], [{ field: 'v', operator: first.operator, value }], 'and');
    assert.equal(kept.length === 1, expected);
  });
}

for (const [title, data] of [
  ['an unknown mode', { mode: 'magic' }],
  ['mapping without rules', {}],
  ['an empty mapping', { mapping: {} }],
  ['a mapping that is a list', { mapping: [] }],
  ['filter without rules', { mode: 'filter' }],
  ['an unknown operator', { mode: 'filter', ...rule('a', '~') }],
  ['an unknown logic', { mode: 'filter', logic: 'xor', ...rule('a', '==') }],
  ['compute without rules', { mode: 'compute' }],
  ['a broken expression', { mode: 'compute', compute_rules: { a: '1 +' } }],
  ['a rule that is an object', { mode: 'compute', compute_rules: { a: {} } }],
  ['all without rules', { mode: 'all' }],
  ['sources that are no ids', { mode: 'merge', sources: [1] }],
  ['a target that is a prototype', { mapping: { '__proto__.x': 'a' } }],
  ['an empty part of a target', { mapping: { 'a..b': 'a' } }],
] as const) {
  test(`transform: ${title} is refused`, () => {
    assert.throws(() => parseTransform(data), { kind: 'invalid' });
  });
}

test('transform: what cannot be filtered or computed fails the node', () => {
  assert.throws(() => apply({ mode: 'filter', ...rule('a', '==') }, { a: 1 }), { code: 'TRANSFORM_FAILED' });
  assert.throws(() => apply({ mode: 'filter', items_path: 'x', ...rule('a', '==') }, {}), { code: 'TRANSFORM_FAILED' });
  assert.throws(() => apply({ mode: 'compute', compute_rules: { a: '{x} * 2' } }, {}), { code: 'EXPRESSION_FAILED' });
});

test('transform: any configuration and input give a value or an expected error, and prototypes stay clean', () => {
  const mode = fc.constantFrom('mapping', 'filter', 'compute', 'merge', 'all', undefined);
  const names = fc.constantFrom('a', 'b.c', '__proto__', 'constructor.prototype.polluted', 'prototype', '');
  const config = fc.record({
    mode,
    mapping: fc.option(fc.dictionary(names, fc.oneof(names, fc.jsonValue()))),
    filter_rules: fc.option(
      fc.array(
        fc.record({ field: names, operator: fc.constantFrom('==', '>', 'in', 'exists'), value: fc.jsonValue() }),
      ),
    ),
    compute_rules: fc.option(fc.dictionary(names, fc.constantFrom('1', '{a}', '{a} + 1', '{b.c} == null'))),
    sources: fc.option(fc.array(names)),
  });
  fc.assert(
    fc.property(config, fc.jsonValue(), fc.jsonValue(), (data, input, other) => {
      try {
        apply(data, input, { a: other, ['__proto__']: other });
      } catch (error) {
        assert.ok(error instanceof AppError, String(error));
      }
      assert.equal(({} as Record<string, unknown>).polluted, undefined);
      assert.equal(Object.getPrototypeOf({}), Object.prototype);
    }),
    { numRuns: 1000 },
  );
});
