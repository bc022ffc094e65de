import type { Principal } from '../../core/principal.ts';
import { defineService } from '../../core/service.ts';

/** Tokens of one model call. */
export interface UsageRecord {
  readonly runId: string;
  /** Kind of the run. */
  readonly kind: string;
  /** Model key that answered; `offline` when the offline model stood in. */
  readonly model: string;
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** Part of `inputTokens`. */
  readonly cachedTokens: number;
  /** The provider sent no figures. */
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

/** What one model used on one day. */
export interface UsageOfDay extends UsageTotals {
  /** `YYYY-MM-DD`, UTC. */
  day: string;
  model: string;
}

/** A budget and how much of it is used. */
export interface BudgetState {
  scope: 'tenant' | 'account';
  resource: 'tokens' | 'cost';
  /** Of a cost. */
  currency?: string;
  quota: number;
  used: number;
  /** When the sums begin anew. */
  resetAt: Date;
}

/**
 * Which usage is meant: of a run, an account, or the whole tenant of the principal. The principal's own account counts in every
 * tenant where it worked.
 */
export interface UsageFilter {
  runId?: string;
  accountId?: string;
  /** All tenants; for administrators only. */
  everyTenant?: boolean;
  /** Inclusive; days in UTC. Default: everything. Runs have no days. */
  from?: Date;
  to?: Date;
}

/** Counts what model calls use, and keeps to budgets. */
export interface UsageService {
  /**
   * Before each call of a model. Reads sums in memory: what this process has counted is in them at once, what others have within five
   * seconds. So a budget is overrun by the calls that are under way when it is used up, and by what other processes count in that time.
   *
   * @throws {AppError} BUDGET_EXCEEDED (quota_exceeded; details `{resource: 'tokens' | 'cost', scope: 'tenant' | 'account', quota, used,
   *   resetAt}`, with `currency` for a cost)
   */
  check(principal: Principal): Promise<void>;
  /** The budgets that hold for the principal. */
  budgets(principal: Principal): Promise<BudgetState[]>;
  /** Counts in budgets at once; resolves when it is stored, a tenth of a second later at most: that is what a crash can lose. */
  record(principal: Principal, usage: UsageRecord): Promise<void>;
  /** @throws {AppError} ADMIN_REQUIRED for `everyTenant` without the role */
  totals(principal: Principal, filter: UsageFilter): Promise<UsageTotals>;
  /** By day, newest first, and model. @throws {AppError} ADMIN_REQUIRED */
  days(principal: Principal, filter: Omit<UsageFilter, 'runId'>): Promise<UsageOfDay[]>;
}

export const usageService = defineService<UsageService>('usage');
