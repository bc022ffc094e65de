import type { Path } from '../path.ts';

/** Offsets in the source, `end` behind the last character. */
interface Located {
  readonly start: number;
  readonly end: number;
}

export type Expression = Located &
  (
    | { readonly kind: 'literal'; readonly value: null | boolean | number | string }
    | { readonly kind: 'path'; readonly path: Path }
    | { readonly kind: 'list'; readonly items: readonly Expression[] }
    | { readonly kind: 'unary'; readonly operator: UnaryOperator; readonly operand: Expression }
    | {
        readonly kind: 'binary';
        readonly operator: BinaryOperator;
        readonly left: Expression;
        readonly right: Expression;
      }
    | { readonly kind: 'call'; readonly name: FunctionName; readonly argument: Expression }
  );

export type UnaryOperator = 'not' | '-' | '+';
export type BinaryOperator =
  | 'or'
  | 'and'
  | '=='
  | '!='
  | '>'
  | '>='
  | '<'
  | '<='
  | 'in'
  | 'not in'
  | 'contains'
  | '+'
  | '-'
  | '*'
  | '/'
  | '%';

export const FUNCTIONS = ['len', 'lower', 'upper'] as const;
export type FunctionName = (typeof FUNCTIONS)[number];

/** Paths that the expression reads, in order. */
export function expressionPaths(expression: Expression): Path[] {
  switch (expression.kind) {
    case 'literal':
      return [];
    case 'path':
      return [expression.path];
    case 'list':
      return expression.items.flatMap(expressionPaths);
    case 'unary':
      return expressionPaths(expression.operand);
    case 'binary':
      return [...expressionPaths(expression.left), ...expressionPaths(expression.right)];
    case 'call':
      return expressionPaths(expression.argument);
  }
}
