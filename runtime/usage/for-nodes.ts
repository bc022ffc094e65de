import { AppError } from '../../core/errors.ts';
import type { NodeContext } from '../../core/node.ts';
import { defineService } from '../../core/service.ts';
import type { ModelResult } from '../models/types.ts';

/** What nodes may ask of the host; the composition root exposes it to the pool. */
export interface BudgetForNodes {
  /** @throws {AppError} BUDGET_EXCEEDED */
  check(): Promise<void>;
}

export const budgetForNodes = defineService<BudgetForNodes>('budget');

/**
 * For nodes that call a model several times: before each call but the first, for which it was done before the node began.
 *
 * @throws {AppError} BUDGET_EXCEEDED
 */
export async function checkBudget({ service }: Pick<NodeContext, 'service'>): Promise<void> {
  let budget: BudgetForNodes;
  try {
    budget = service(budgetForNodes);
  } catch (error) {
    // Nobody counts: a node that is tried out alone.
    if (error instanceof AppError && error.code === 'SERVICE_NOT_AVAILABLE') return;
    throw error;
  }
  await budget.check();
}

/** Tells what a call of a model used, as an event `usage`: it is counted by that. */
export function emitUsage(
  { emit }: Pick<NodeContext, 'emit'>,
  { model, usage, offline }: Pick<ModelResult, 'model' | 'usage' | 'offline'>,
): void {
  emit('usage', {
    model,
    input_tokens: usage.inputTokens,
    output_tokens: usage.outputTokens,
    total_tokens: usage.totalTokens,
    cached_tokens: usage.cachedTokens,
    estimated: usage.estimated,
    offline,
  });
}
