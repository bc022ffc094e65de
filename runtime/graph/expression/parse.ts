import type { BinaryOperator, Expression, FunctionName } from './ast.ts';
import { FUNCTIONS } from './ast.ts';
import { syntaxError } from './errors.ts';
import { type Token, tokenize } from './tokens.ts';

export const EXPRESSION_LIMITS = { length: 10_000, nesting: 100, depth: 500 } as const;

/** Binding powers; `not` binds looser than comparisons, `!` and the signs tighter than everything else. */
const POWER: Readonly<Record<BinaryOperator, number>> = {
  or: 1,
  and: 2,
  '==': 4,
  '!=': 4,
  '>': 4,
  '>=': 4,
  '<': 4,
  '<=': 4,
  in: 4,
  'not in': 4,
  contains: 4,
  '+': 5,
  '-': 5,
  '*': 6,
  '/': 6,
  '%': 6,
};
const NOT_POWER = 3;
const COMPARISON_POWER = 4;
const PREFIX_POWER = 7;

const LITERALS: ReadonlyMap<string, null | boolean> = new Map([
  ['true', true],
  ['True', true],
  ['false', false],
  ['False', false],
  ['null', null],
  ['None', null],
]);
const SPELLINGS: ReadonlyMap<string, BinaryOperator> = new Map<string, BinaryOperator>([
  ...(Object.keys(POWER) as BinaryOperator[]).map((name): [string, BinaryOperator] => [name, name]),
  ['&&', 'and'],
  ['||', 'or'],
]);
const MISTAKES: ReadonlyMap<string, string> = new Map([
  ['=', '=='],
  ['===', '=='],
  ['!==', '!='],
  ['&', 'and'],
  ['|', 'or'],
]);

/**
 * Parses an expression of conditions and computed fields.
 *
 * @throws {ExpressionError} EXPRESSION_INVALID with the position; also for more than 10,000 characters or 100 nested parentheses
 */
export function parseExpression(source: string): Expression {
  if (source.length > EXPRESSION_LIMITS.length) {
    const { length } = EXPRESSION_LIMITS;
    throw syntaxError(length, `表达式超过 ${length} 个字符`, `longer than ${length} characters`);
  }
  return new Parser(tokenize(source)).whole();
}

class Parser {
  readonly #tokens: readonly Token[];
  readonly #depths = new WeakMap<Expression, number>();
  #at = 0;
  #nesting = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  whole(): Expression {
    if (this.#tokens[0]?.type === 'end') throw syntaxError(0, '表达式为空', 'the expression is empty');
    const expression = this.#expression(0);
    if (this.#token.type !== 'end') throw this.#unexpected();
    return expression;
  }

  get #token(): Token {
    return this.#tokens[this.#at] ?? { type: 'end', start: 0, end: 0 };
  }

  #expression(power: number): Expression {
    this.#nesting += 1;
    if (this.#nesting > EXPRESSION_LIMITS.nesting) {
      throw syntaxError(this.#token.start, '嵌套过深', 'nested too deeply');
    }
    let left = this.#prefix();
    for (;;) {
      const found = this.#operator();
      const bound = found && POWER[found.operator];
      if (!found || bound === undefined || bound <= power) break;
      this.#at += found.tokens;
      const right = this.#expression(bound);
      left = this.#node(
        { kind: 'binary', operator: found.operator, left, right, start: left.start, end: right.end },
        left,
        right,
      );
      const next = this.#operator();
      if (bound === COMPARISON_POWER && next && POWER[next.operator] === COMPARISON_POWER) {
        throw syntaxError(this.#token.start, '比较不能连写，请用 and 连接', 'comparisons cannot be chained, use and');
      }
    }
    this.#nesting -= 1;
    return left;
  }

  /** The binary operator at this place and the number of its tokens. */
  #operator(): { operator: BinaryOperator; tokens: number } | undefined {
    const token = this.#token;
    if (token.type !== 'word' && token.type !== 'symbol') return undefined;
    if (token.value === 'not') {
      const next = this.#tokens[this.#at + 1];
      return next?.type === 'word' && next.value === 'in' ? { operator: 'not in', tokens: 2 } : undefined;
    }
    const operator = SPELLINGS.get(token.value);
    return operator && { operator, tokens: 1 };
  }

  #prefix(): Expression {
    const token = this.#token;
    this.#at += 1;
    const { start, end } = token;
    if (token.type === 'number' || token.type === 'text') return { kind: 'literal', value: token.value, start, end };
    if (token.type === 'path') return { kind: 'path', path: token.path, start, end };
    if (token.type === 'word') return this.#word(token.value, token);
    if (token.type === 'symbol') {
      if (token.value === '(') {
        const inner = this.#expression(0);
        return this.#node({ ...inner, start, end: this.#close(')') }, inner);
      }
      if (token.value === '[') return this.#list(start);
      if (token.value === '-' || token.value === '+') {
        const operand = this.#expression(PREFIX_POWER);
        return this.#node({ kind: 'unary', operator: token.value, operand, start, end: operand.end }, operand);
      }
      if (token.value === '!') return this.#not(start, PREFIX_POWER);
    }
    this.#at -= 1;
    throw this.#unexpected();
  }

  #word(word: string, { start, end }: Token): Expression {
    const literal = LITERALS.get(word);
    if (literal !== undefined) return { kind: 'literal', value: literal, start, end };
    if (word === 'not') return this.#not(start, NOT_POWER);
    const name = FUNCTIONS.find((known) => known === word);
    const next = this.#token;
    if (name && next.type === 'symbol' && next.value === '(') return this.#call(name, start);
    this.#at -= 1;
    if (name || SPELLINGS.has(word)) throw this.#unexpected();
    throw syntaxError(
      start,
      `不认识的名称 ${word}，引用数据请写 {${word}}`,
      `unknown name ${word}; data is written {${word}}`,
    );
  }

  #not(start: number, power: number): Expression {
    const operand = this.#expression(power);
    return this.#node({ kind: 'unary', operator: 'not', operand, start, end: operand.end }, operand);
  }

  #call(name: FunctionName, start: number): Expression {
    this.#at += 1;
    const argument = this.#expression(0);
    return this.#node({ kind: 'call', name, argument, start, end: this.#close(')') }, argument);
  }

  #list(start: number): Expression {
    const items: Expression[] = [];
    while (!this.#is(']')) {
      items.push(this.#expression(0));
      if (!this.#is(',')) break;
      this.#at += 1;
    }
    return this.#node({ kind: 'list', items, start, end: this.#close(']') }, ...items);
  }

  #is(symbol: string): boolean {
    return this.#token.type === 'symbol' && this.#token.value === symbol;
  }

  #close(symbol: string): number {
    if (!this.#is(symbol)) throw this.#unexpected(symbol);
    const { end } = this.#token;
    this.#at += 1;
    return end;
  }

  /** Long chains of one operator nest to the left without parentheses: their depth is limited too, evaluation is recursive. */
  #node(expression: Expression, ...parts: Expression[]): Expression {
    const depth = 1 + Math.max(0, ...parts.map((part) => this.#depths.get(part) ?? 1));
    if (depth > EXPRESSION_LIMITS.depth) throw syntaxError(expression.start, '表达式过于复杂', 'too complex');
    this.#depths.set(expression, depth);
    return expression;
  }

  #unexpected(wanted?: string): Error {
    const token = this.#token;
    if (token.type === 'end') {
      return wanted === undefined
        ? syntaxError(token.start, '表达式不完整', 'the expression ends too early')
        : syntaxError(token.start, `缺少 ${wanted}`, `${wanted} is missing`);
    }
    const shown = token.type === 'word' || token.type === 'symbol' ? token.value : token.type;
    const correct = token.type === 'symbol' ? MISTAKES.get(token.value) : undefined;
    return correct === undefined
      ? syntaxError(token.start, `此处不能出现 ${shown}`, `${shown} is not expected here`)
      : syntaxError(token.start, `请用 ${correct} 代替 ${shown}`, `use ${correct} instead of ${shown}`);
  }
}
