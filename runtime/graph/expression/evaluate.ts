import { GRAPH_LIMITS } from '../limits.ts';
import type { Scope } from '../types.ts';
import { compare, contains, equals, isRecord, numeric, textOf, truthy } from '../values.ts';
import type { BinaryOperator, Expression, FunctionName } from './ast.ts';
import { evaluationError } from './errors.ts';

/**
 * The value of an expression.
 *
 * - `and`, `or` give one of their operands and look at the second only when it matters; `not` gives a boolean.
 *   False are null, false, 0, empty text, empty lists and objects.
 * - `==` compares deeply; a number equals the text that spells it; otherwise values of different types differ.
 * - `<` and its like: numbers, a number with numeric text, text with text; everything else (null too) is not less and not greater.
 * - `+`: a text with anything that is not a number joins; a number and a text join unless the text is numeric. `- * / %` take
 *   numbers and numeric text; the sign of `%` is that of the left side.
 * - `x in y`, `y contains x`: part of a text, item of a list, field of an object; false when y is something else.
 * - `len`: characters of a text, items of a list, fields of an object, 0 of null. `lower`, `upper`: text; null stays null.
 * - A path that finds nothing is null.
 *
 * @throws {ExpressionError} EXPRESSION_FAILED: arithmetic on what is no number, division by zero, results out of range
 */
export function evaluate(expression: Expression, scope: Scope): unknown {
  switch (expression.kind) {
    case 'literal':
      return expression.value;
    case 'path':
      return scope.lookup(expression.path) ?? null;
    case 'list':
      return expression.items.map((item) => evaluate(item, scope));
    case 'call':
      return call(expression.name, evaluate(expression.argument, scope), expression.start);
    case 'unary': {
      const operand = evaluate(expression.operand, scope);
      if (expression.operator === 'not') return !truthy(operand);
      const number = numeric(operand);
      if (number === undefined) throw notNumbers(expression.operator, expression.start);
      return expression.operator === '-' ? -number : number;
    }
    case 'binary': {
      const left = evaluate(expression.left, scope);
      if (expression.operator === 'and') return truthy(left) ? evaluate(expression.right, scope) : left;
      if (expression.operator === 'or') return truthy(left) ? left : evaluate(expression.right, scope);
      return binary(expression.operator, left, evaluate(expression.right, scope), expression.start);
    }
  }
}

/** Whether a condition holds. @throws {ExpressionError} EXPRESSION_FAILED */
export const holds = (expression: Expression, scope: Scope): boolean => truthy(evaluate(expression, scope));

function binary(operator: Exclude<BinaryOperator, 'and' | 'or'>, left: unknown, right: unknown, at: number): unknown {
  switch (operator) {
    case '==':
      return equals(left, right);
    case '!=':
      return !equals(left, right);
    case '>':
      return (compare(left, right) ?? -1) > 0;
    case '>=':
      return (compare(left, right) ?? -1) >= 0;
    case '<':
      return (compare(left, right) ?? 1) < 0;
    case '<=':
      return (compare(left, right) ?? 1) <= 0;
    case 'in':
      return contains(right, left);
    case 'not in':
      return !contains(right, left);
    case 'contains':
      return contains(left, right);
    case '+':
      return add(left, right, at);
    default:
      return arithmetic(operator, left, right, at);
  }
}

function add(left: unknown, right: unknown, at: number): unknown {
  const someText = typeof left === 'string' || typeof right === 'string';
  const someNumber = typeof left === 'number' || typeof right === 'number';
  const join = someText && !(someNumber && numeric(left) !== undefined && numeric(right) !== undefined);
  if (!join) return arithmetic('+', left, right, at);
  const [a, b] = [textOf(left), textOf(right)];
  if (a.length + b.length > GRAPH_LIMITS.textChars) throw evaluationError(at, '文本过长', 'the text is too long');
  return a + b;
}

function arithmetic(operator: '+' | '-' | '*' | '/' | '%', left: unknown, right: unknown, at: number): number {
  const a = numeric(left);
  const b = numeric(right);
  if (a === undefined || b === undefined) throw notNumbers(operator, at);
  if (b === 0 && (operator === '/' || operator === '%')) throw evaluationError(at, '除数为零', 'division by zero');
  const result = { '+': a + b, '-': a - b, '*': a * b, '/': a / b, '%': a % b }[operator];
  if (!Number.isFinite(result)) throw evaluationError(at, '结果超出范围', 'the result is out of range');
  return result;
}

function call(name: FunctionName, value: unknown, at: number): unknown {
  if (name === 'len') {
    if (value === null) return 0;
    if (typeof value === 'string') return characters(value);
    if (Array.isArray(value)) return value.length;
    if (isRecord(value)) return Object.keys(value).length;
  } else {
    if (value === null) return null;
    if (typeof value === 'string') return name === 'lower' ? value.toLowerCase() : value.toUpperCase();
  }
  throw evaluationError(at, `${name}() 不接受这种数据`, `${name}() does not take this kind of value`);
}

function characters(text: string): number {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}

const notNumbers = (operator: string, at: number) =>
  evaluationError(at, `运算 ${operator} 需要数字`, `${operator} needs numbers`);
