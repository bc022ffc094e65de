export { budgetsSchema } from './budgets.ts';
export { type BudgetForNodes, budgetForNodes, checkBudget } from './for-nodes.ts';
export { meteredExecutor } from './metered.ts';
export type { BudgetState, UsageFilter, UsageOfDay, UsageRecord, UsageService, UsageTotals } from './service.ts';
export { usageService } from './service.ts';
export { createUsage } from './usage.ts';
