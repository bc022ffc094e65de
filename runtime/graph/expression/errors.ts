import { AppError, type LocalText } from '../../../core/errors.ts';

/** An expression cannot be parsed (`EXPRESSION_INVALID`, with its `position`) or has no value (`EXPRESSION_FAILED`). */
export class ExpressionError extends AppError {
  /** Offset in the source, from 0. */
  readonly position: number;

  constructor(code: 'EXPRESSION_INVALID' | 'EXPRESSION_FAILED', position: number, text: LocalText) {
    super('invalid', code, text, { details: { position } });
    this.position = position;
  }
}

export const syntaxError = (position: number, zh: string, en: string) =>
  new ExpressionError('EXPRESSION_INVALID', position, {
    zh: `表达式第 ${position + 1} 个字符处：${zh}`,
    en: `Expression, character ${position + 1}: ${en}`,
  });

export const evaluationError = (position: number, zh: string, en: string) =>
  new ExpressionError('EXPRESSION_FAILED', position, {
    zh: `表达式求值失败：${zh}`,
    en: `The expression has no value: ${en}`,
  });
