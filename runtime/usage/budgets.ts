import { AppError } from '../../core/errors.ts';
import type { Principal } from '../../core/principal.ts';
import { oneOf, type Static, Type } from '../../core/schema.ts';
import { addTo, type Counts, type Ledger, type Spent } from './ledger.ts';
import type { BudgetState } from './service.ts';

const fields = {
  tokens: Type.Optional(
    Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, description: 'tokens of requests and answers' }),
  ),
  cost: Type.Optional(
    Type.Record(Type.String(), Type.Number({ exclusiveMinimum: 0 }), {
      propertyNames: { pattern: '^[A-Z]{3}$' },
      description: 'money by currency, for models with a price',
    }),
  ),
  /** In UTC; the sums begin anew with each. */
  period: oneOf(['day', 'month'], { default: 'month' }),
};
const budgetSchema = Type.Object(fields);
export type Budget = Static<typeof budgetSchema>;
/** Values of records get the defaults of their fields only where they have one themselves. */
const namedSchema = Type.Object(fields, { default: {} });

/**
 * Section `runtime.budgets` of the manifest: what each tenant and each account may use. Default: as much as they like. Tenants and accounts
 * that are named by their id have their own budget instead; `{}` is none.
 */
export const budgetsSchema = Type.Object(
  {
    perTenant: Type.Optional(budgetSchema),
    perAccount: Type.Optional(budgetSchema),
    tenants: Type.Optional(Type.Record(Type.String(), namedSchema)),
    accounts: Type.Optional(Type.Record(Type.String(), namedSchema)),
  },
  { default: {} },
);
export type BudgetOptions = Static<typeof budgetsSchema>;

/** Sums of other processes are read anew after so long. */
const STALE_MS = 5000;
/** Scopes whose sums are kept in memory. */
const MAX_SCOPES = 10_000;

interface Scope {
  kind: BudgetState['scope'];
  id: string;
  budget: Budget;
}

interface Sums extends Spent {
  /** First day of the period. */
  from: string;
  readAt: number;
  reading: Promise<void> | undefined;
}

export interface Budgets {
  states(principal: Principal): Promise<BudgetState[]>;
  check(principal: Principal): Promise<void>;
  /** Adds to the sums in memory what was counted here. */
  spent(principal: Principal, counts: Counts): void;
}

export function createBudgets(options: BudgetOptions, ledger: Ledger, now: () => number): Budgets {
  const known = new Map<string, Sums>();
  const tenants = new Map(Object.entries(options.tenants ?? {}));
  const accounts = new Map(Object.entries(options.accounts ?? {}));

  const scopesOf = ({ kind, tenantId, accountId }: Principal): Scope[] => {
    const { perTenant, perAccount } = options;
    const ofTenant = tenants.get(tenantId) ?? perTenant;
    // The server itself has no budget of its own.
    const ofAccount = kind === 'system' ? undefined : (accounts.get(accountId) ?? perAccount);
    return [
      ...(ofTenant ? [{ kind: 'tenant' as const, id: tenantId, budget: ofTenant }] : []),
      ...(ofAccount ? [{ kind: 'account' as const, id: accountId, budget: ofAccount }] : []),
    ];
  };

  const sumsOf = async (scope: Scope): Promise<Sums> => {
    const key = `${scope.kind}:${scope.id}`;
    const { from } = periodOf(scope.budget, now());
    const found = known.get(key);
    known.delete(key);
    const sums: Sums =
      found?.from === from
        ? found
        : { from, tokens: 0, cost: {}, readAt: Number.NEGATIVE_INFINITY, reading: undefined };
    known.set(key, sums);
    if (known.size > MAX_SCOPES) known.delete(known.keys().next().value as string);
    if (now() - sums.readAt >= STALE_MS) {
      sums.reading ??= ledger
        .sum(scope.kind, scope.id, from, (spent) => Object.assign(sums, spent, { readAt: now() }))
        .finally(() => {
          sums.reading = undefined;
        });
      await sums.reading;
    }
    return sums;
  };

  const statesOf = ({ kind: scope, budget }: Scope, { tokens, cost }: Sums): BudgetState[] => {
    const resetAt = periodOf(budget, now()).until;
    return [
      ...(budget.tokens === undefined
        ? []
        : [{ scope, resource: 'tokens' as const, quota: budget.tokens, used: tokens, resetAt }]),
      ...Object.entries(budget.cost ?? {}).map(([currency, quota]) => {
        // Fractions of money add up with the errors of floating point.
        const used = Number((cost[currency] ?? 0).toFixed(6));
        return { scope, resource: 'cost' as const, currency, quota, used, resetAt };
      }),
    ];
  };

  return {
    async states(principal) {
      const states = await Promise.all(scopesOf(principal).map(async (scope) => statesOf(scope, await sumsOf(scope))));
      return states.flat();
    },

    async check(principal) {
      for (const scope of scopesOf(principal)) {
        const used = statesOf(scope, await sumsOf(scope)).find((state) => state.used >= state.quota);
        if (used) throw budgetExceeded(used, scope.budget);
      }
    },

    spent(principal, { day, inputTokens, outputTokens, cost, currency }) {
      for (const { kind, id } of scopesOf(principal)) {
        const sums = known.get(`${kind}:${id}`);
        if (sums === undefined || day < sums.from) continue;
        addTo(sums, inputTokens + outputTokens, cost, currency);
      }
    },
  };
}

/** First day and end of the period that a moment lies in. */
function periodOf({ period }: Budget, at: number): { from: string; until: Date } {
  const date = new Date(at);
  const [year, month, day] = [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()];
  const [from, until] =
    period === 'day'
      ? [Date.UTC(year, month, day), Date.UTC(year, month, day + 1)]
      : [Date.UTC(year, month, 1), Date.UTC(year, month + 1, 1)];
  return { from: new Date(from).toISOString().slice(0, 10), until: new Date(until) };
}

function budgetExceeded(state: BudgetState, { period }: Budget): AppError {
  const { scope, quota, currency = 'tokens' } = state;
  const resetAt = state.resetAt.toISOString();
  const when = resetAt.slice(0, 16).replace('T', ' ');
  const zh = `${scope === 'tenant' ? '租户' : '账号'}${period === 'day' ? '今日' : '本月'}`;
  const en = `${period === 'day' ? 'daily' : 'monthly'} budget of the ${scope}`;
  return new AppError(
    'quota_exceeded',
    'BUDGET_EXCEEDED',
    {
      zh: `${zh}的模型用量已达上限（${quota} ${currency}），${when}（UTC）后恢复`,
      en: `The ${en} for models (${quota} ${currency}) is used up; it begins anew at ${when} UTC`,
    },
    { details: { ...state, resetAt } },
  );
}
