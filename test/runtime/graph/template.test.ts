import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseTemplate, renderTemplate, templateValue } from '../../../runtime/graph/index.ts';
import { parsePath, setPath } from '../../../runtime/graph/path.ts';
import { openPlaceholders } from '../../../runtime/graph/template.ts';
import { inOnePass } from '../../support/effort.ts';
import { scopeOf } from './support.ts';

const scope = scopeOf({
  name: '世界',
  n: 3,
  no: false,
  nothing: null,
  user: { list: [{ x: 'first' }, { x: 'last' }], 'odd key': 1 },
  'llm-1': { text: 'answer' },
});
const fill = (text: string) => renderTemplate(parseTemplate(text), scope);

const cases: [string, string, string[]][] = [
  ['你好，{name}！', '你好，世界！', []],
  ['{{name}} and { name } and {{ name }}', '世界 and 世界 and 世界', []],
  ['{{{name}}}', '{世界}', []],
  ['{n}{no}{nothing}|', '3false|', []],
  ['{user.list[0].x} {user.list.1.x} {user.list[-1].x}', 'first last last', []],
  ["{user['odd key']}", '1', []],
  ['{llm-1.text}', 'answer', []],
  ['{user.list}', '[{"x":"first"},{"x":"last"}]', []],
  ['{user.list.length}', '2', []],
  // what finds nothing stays
  ['a {missing} b {user.nope}', 'a {missing} b {user.nope}', ['{missing}', '{user.nope}']],
  ['{{missing}}', '{{missing}}', ['{{missing}}']],
  ['{constructor} {user.__proto__}', '{constructor} {user.__proto__}', ['{constructor}', '{user.__proto__}']],
  // what is no placeholder stays
  ['{"a": {"b": 1}}', '{"a": {"b": 1}}', []],
  ['{"name": "{name}"}', '{"name": "世界"}', []],
  ['{ "a": {n} }', '{ "a": 3 }', []],
  ['open { and {name', 'open { and {name', []],
  ['{{name}', '{世界', []],
  ['{name}}', '世界}', []],
  ['{} {{}} { } {.} {a..b} {a.} {a b} {[0]}', '{} {{}} { } {.} {a..b} {a.} {a b} {[0]}', []],
  ['function f() { return n; }', 'function f() { return n; }', []],
  ['', '', []],
];
for (const [template, expected, unresolved] of cases) {
  test(`template: ${JSON.stringify(template)} becomes ${JSON.stringify(expected)}`, () => {
    assert.deepEqual(fill(template), { text: expected, unresolved });
  });
}

test('template: one placeholder alone gives its typed value', () => {
  assert.deepEqual(templateValue(parseTemplate('{n}'), scope), { value: 3, unresolved: [] });
  assert.deepEqual(templateValue(parseTemplate('{{ user.list }}'), scope).value, [{ x: 'first' }, { x: 'last' }]);
  assert.deepEqual(templateValue(parseTemplate('{missing}'), scope), { value: null, unresolved: ['missing'] });
  assert.deepEqual(templateValue(parseTemplate('{n}!'), scope), { value: '3!', unresolved: [] });
});

test('template: a value is not read as a template again', () => {
  const { text } = renderTemplate(parseTemplate('{a}{b}'), scopeOf({ a: '{b}', b: '{a}' }));
  assert.equal(text, '{b}{a}');
});

test('template: no text is ever lost, whatever it is', () => {
  const piece = fc.constantFrom('{', '}', '{{', '}}', 'a', '.', 'b', '[0]', ' ', '"', '{a}', '{{a.b}}', '中', '\n');
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(piece).map((parts) => parts.join('')),
  );
  fc.assert(
    fc.property(text, (source) => {
      const { parts } = parseTemplate(source);
      assert.equal(parts.map((part) => (typeof part === 'string' ? part : part.source)).join(''), source);
      const empty = { lookup: () => undefined };
      assert.equal(renderTemplate({ parts }, empty).text, source);
    }),
    { numRuns: 2000 },
  );
});

test('template: hostile texts of a megabyte are parsed in one pass', async () => {
  for (const text of ['{', '{{', '{a', '{a.', '{a[', '{{a}', '{ ', '{a b', `{${'a.'.repeat(10)}`]) {
    await inOnePass(() => parseTemplate(text.repeat(Math.ceil(1_000_000 / text.length))), text);
  }
  parseTemplate(`{${'a'.repeat(1_000_000)}`);
  parseTemplate(`{${'a.'.repeat(500_000)}`);
});

test('template: braces that are open are found in one pass over a megabyte', async () => {
  assert.deepEqual(openPlaceholders('{a} {b {{c} {"d": 1} {e'), ['{b', '{{c', '{e']);
  for (const text of ['{{', '{', '{{a', '{a ', '{ "']) {
    await inOnePass(() => openPlaceholders(text.repeat(300_000)), text);
  }
});

test('path: braces and $. are taken off, what is no path is refused', () => {
  assert.deepEqual(parsePath('{items}'), ['items']);
  assert.deepEqual(parsePath('{{ a.b }}'), ['a', 'b']);
  assert.deepEqual(parsePath('$.a[2]'), ['a', 2]);
  for (const text of ['', ' ', '{', 'a b', 'a.', '.a', 'a[', 'a[x]', 'a()', '{a} {b}']) {
    assert.equal(parsePath(text), undefined, text);
  }
});

test('path: setting never reaches a prototype', () => {
  const target: Record<string, unknown> = {};
  setPath(target, ['constructor', 'prototype', 'polluted'], 1);
  assert.throws(() => setPath(target, ['a', '__proto__', 'polluted'], 1), { code: 'PATH_UNSAFE' });
  assert.equal(({} as Record<string, unknown>).polluted, undefined);
  assert.deepEqual(Object.keys(target), ['constructor', 'a']);
});
