import type { Principal } from '../../core/principal.ts';
import { defineService } from '../../core/service.ts';

/** Tokens of one model call, and what they cost where the configuration has a price. */
export interface UsageRecord {
  readonly runId: string;
  readonly kind: string;
  /** Model key that answered. */
  readonly model: string;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly cachedTokens: number;
  readonly estimated: boolean;
}

/** Sums; `cost` by currency, for the models that have a price. */
export interface UsageTotals {
  calls: number;
  inputTokens: number;
  outputTokens: number;
  totalTokens: number;
  cachedTokens: number;
  cost: Record<string, number>;
}

/** Which usage is meant: of a run, an account, or the whole tenant of the principal. */
export interface UsageFilter {
  runId?: string;
  accountId?: string;
  /** Inclusive; days in UTC. Default: everything. */
  from?: Date;
  to?: Date;
}

/** Counts what model calls use, and keeps to budgets. */
export interface UsageService {
  /**
   * Before each call of a model.
   *
   * @throws {AppError} BUDGET_EXCEEDED (quota_exceeded; details `{resource: 'tokens', scope: 'tenant' | 'account', quota, used, resetAt}`)
   */
  check(principal: Principal): Promise<void>;
  record(principal: Principal, usage: UsageRecord): Promise<void>;
  totals(principal: Principal, filter: UsageFilter): Promise<UsageTotals>;
}

export const usageService = defineService<UsageService>('usage');
