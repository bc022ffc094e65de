import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ExpressionError, evaluate, expressionPaths, parseExpression } from '../../../runtime/graph/index.ts';
import { scopeOf } from './support.ts';

const data = {
  value: 12,
  text: '12',
  word: 'Hello',
  empty: '',
  yes: true,
  nothing: null,
  list: [1, 'b', { c: 3 }],
  none: [],
  user: { name: '张三', tags: ['a', 'b'] },
  'llm-1': { text: 'ok' },
};
const compute = (source: string) => evaluate(parseExpression(source), scopeOf(data));

const cases: [string, unknown][] = [
  // the documented sample
  ['{value} > 10', true],
  ['{{ value }} > 10', true],
  // literals
  ['true', true],
  ['False', false],
  ['None', null],
  ['1.5e2', 150],
  ['.5', 0.5],
  ["'it\\'s'", "it's"],
  ['"a\\nb"', 'a\nb'],
  ['[1, "a", {value}]', [1, 'a', 12]],
  ['[]', []],
  // numbers and numeric text
  ['{text} > 9', true],
  ['9 < {text}', true],
  ['{text} == 12', true],
  ['{text} == "12"', true],
  ['"12.0" == 12', true],
  ['"12.0" == "12"', false],
  ['"10" < "9"', true],
  ['10 < 9', false],
  ['"abc" > 3', false],
  ['"abc" <= 3', false],
  ['"" == 0', false],
  ['true == 1', false],
  ['"0x10" == 16', false],
  // null and missing
  ['{missing} == null', true],
  ['{nothing} == null', true],
  ['{missing} > 0', false],
  ['{missing} <= 0', false],
  ['not ({missing} > 0)', true],
  ['{constructor}', null],
  ['{__proto__}', null],
  ['{process}', null],
  ['{user.constructor.prototype}', null],
  ['{list.constructor}', null],
  ['{word.length}', null],
  // deep equality
  ['{user.tags} == ["a", "b"]', true],
  ['{list} == {list}', true],
  ['{user} == {user.tags}', false],
  ['{list} != {none}', true],
  // logic gives operands and stops early
  ['{empty} or "default"', 'default'],
  ['{word} && {value}', 12],
  ['{none} || false', false],
  ['false and 1 / 0', false],
  ['true or 1 / 0', true],
  ['!{empty}', true],
  ['not {none}', true],
  ['not {value} == 1', true],
  ['!{value} == 1', false],
  ['1 == 1 and 2 == 2 or 1 / 0', true],
  // membership
  ['"ell" in {word}', true],
  ['{word} contains "ell"', true],
  ['"b" in {list}', true],
  ['"1" in {list}', true],
  ['"x" not in {list}', true],
  ['"name" in {user}', true],
  ['"toString" in {user}', false],
  ['1 in {missing}', false],
  ['{word} in ["Hello", "Bye"]', true],
  ['{nothing} in "abc"', false],
  // arithmetic
  ['1 + 2 * 3', 7],
  ['(1 + 2) * 3', 9],
  ['2 - 3 - 4', -5],
  ['7 % 4', 3],
  ['-7 % 4', -3],
  ['-{text} * 2', -24],
  ['{text} + 3', 15],
  ['"a" + 3', 'a3'],
  ['"1" + "2"', '12'],
  ['"n: " + {nothing}', 'n: '],
  ['"l: " + {none}', 'l: []'],
  ['{list[0]} + {list[-1].c}', 4],
  // functions
  ['len({word})', 5],
  ['len("𠮷野")', 2],
  ['len({list})', 3],
  ['len({user})', 2],
  ['len({missing})', 0],
  ['lower({word}) + upper("x")', 'helloX'],
  ['upper({missing})', null],
  ['{llm-1.text} == "ok"', true],
  ['{user.name} == "张三"', true],
];
for (const [source, expected] of cases) {
  test(`expression: ${source} is ${JSON.stringify(expected)}`, () => assert.deepEqual(compute(source), expected));
}

const wrong: [string, string, number][] = [
  ['', 'EXPRESSION_INVALID', 0],
  ['   ', 'EXPRESSION_INVALID', 0],
  ['1 +', 'EXPRESSION_INVALID', 3],
  ['1 2', 'EXPRESSION_INVALID', 2],
  ['(1', 'EXPRESSION_INVALID', 2],
  ['1)', 'EXPRESSION_INVALID', 1],
  ['"open', 'EXPRESSION_INVALID', 0],
  ['{value > 1', 'EXPRESSION_INVALID', 0],
  ['value > 10', 'EXPRESSION_INVALID', 0],
  ['process.exit()', 'EXPRESSION_INVALID', 7],
  ['constructor', 'EXPRESSION_INVALID', 0],
  ['{a}.constructor', 'EXPRESSION_INVALID', 3],
  ['(() => 1)()', 'EXPRESSION_INVALID', 2],
  ['{a}()', 'EXPRESSION_INVALID', 3],
  ['{a} = 1', 'EXPRESSION_INVALID', 4],
  ['{a} === 1', 'EXPRESSION_INVALID', 4],
  ['1 < 2 < 3', 'EXPRESSION_INVALID', 6],
  ['len', 'EXPRESSION_INVALID', 0],
  ['exec("x")', 'EXPRESSION_INVALID', 0],
  ['1; 2', 'EXPRESSION_INVALID', 1],
  ['`a`', 'EXPRESSION_INVALID', 0],
  ['1e999', 'EXPRESSION_INVALID', 0],
  ['1 / 0', 'EXPRESSION_FAILED', 0],
  ['1 % 0', 'EXPRESSION_FAILED', 0],
  ['{missing} + 1', 'EXPRESSION_FAILED', 0],
  ['{user} * 2', 'EXPRESSION_FAILED', 0],
  ['-{word}', 'EXPRESSION_FAILED', 0],
  ['len(5)', 'EXPRESSION_FAILED', 0],
  ['lower({list})', 'EXPRESSION_FAILED', 0],
  ['1e308 * 10', 'EXPRESSION_FAILED', 0],
];
for (const [source, code, position] of wrong) {
  test(`expression: ${JSON.stringify(source)} is refused with ${code} at ${position}`, () => {
    assert.throws(
      () => compute(source),
      (error) => error instanceof ExpressionError && error.code === code && error.position === position,
    );
  });
}

test('expression: length, nesting and chains are limited with a clear error', () => {
  const refused = (source: string) =>
    assert.throws(() => parseExpression(source), { code: 'EXPRESSION_INVALID' }, source.slice(0, 20));
  refused('('.repeat(5000) + 1 + ')'.repeat(5000));
  refused('!'.repeat(9000) + 1);
  refused('-'.repeat(9000) + 1);
  refused('['.repeat(9000));
  refused(`1${'+1'.repeat(4000)}`);
  refused(`"${'a'.repeat(10_001)}"`);
  assert.equal(compute(`1${'+1'.repeat(400)}`), 401);
  assert.equal(compute(`${'('.repeat(90)}1${')'.repeat(90)}`), 1);
});

test('expression: the tree has places for editors and lists its paths', () => {
  const source = '{a.b[0]} > 1 and len({c}) == 2';
  const tree = parseExpression(source);
  assert.equal(tree.kind, 'binary');
  assert.equal(source.slice(tree.start, tree.end), source);
  assert.deepEqual(expressionPaths(tree), [['a', 'b', 0], ['c']]);
});

test('expression: a value is never read as part of the expression', () => {
  const scope = scopeOf({ x: '1 or true', y: '"; process.exit()' });
  assert.equal(evaluate(parseExpression('{x} == 2'), scope), false);
  assert.equal(evaluate(parseExpression('{y} == "a"'), scope), false);
});

test('expression: any text parses or is refused with its own error, and so does its evaluation', () => {
  const pieces = fc.constantFrom(
    ...['{a}', '{a.b}', '{{list}}', '1', '"t"', '+', '-', '*', '/', '%', '==', '!=', '<', 'in', 'not', 'and', 'or'],
    ...[
      'contains',
      '(',
      ')',
      '[',
      ']',
      ',',
      'len(',
      'lower(',
      '!',
      '{',
      '}',
      'null',
      'true',
      '.',
      "'",
      'x',
      '&&',
      '||',
    ],
  );
  const operand = fc.constantFrom(
    '{a}',
    '{list}',
    '1',
    '"t"',
    'len({a})',
    '[{a}, 2]',
    'not {a}',
    '-{list[0]}',
    '(null)',
  );
  const operator = fc.constantFrom('+', '-', '*', '/', '%', 'in', 'not in', 'contains', 'and', 'or', '&&', '||');
  const source = fc.oneof(
    fc.string(),
    fc.array(fc.tuple(operator, operand), { maxLength: 6 }).map((list) => ['1', ...list.flat()].join(' ')),
    fc.array(pieces, { maxLength: 14 }).map((parts) => parts.join(' ')),
  );
  let parsed = 0;
  fc.assert(
    fc.property(source, fc.jsonValue(), (text, a) => {
      try {
        const tree = parseExpression(text);
        parsed += 1;
        const scope = scopeOf({ a, list: [a] });
        assert.deepEqual(evaluate(tree, scope), evaluate(tree, scope));
      } catch (error) {
        assert.ok(error instanceof ExpressionError, String(error));
      }
    }),
    { numRuns: 3000 },
  );
  assert.ok(parsed > 500, `only ${parsed} of the random texts were expressions`);
});
