import type { Step } from '../../../runtime/graph/index.ts';
import { resolveValue } from './resolve.ts';

/** What is stored of a sub-workflow when it begins. */
export interface SubWorkflow {
  version: number;
  input: Record<string, unknown>;
}

export function subInput({ data, input, scope }: Step): Record<string, unknown> {
  const given = data.input;
  const value = typeof given === 'object' && given !== null ? resolveValue(given, scope).value : input;
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  return isObject ? (value as Record<string, unknown>) : { input: value ?? null };
}
