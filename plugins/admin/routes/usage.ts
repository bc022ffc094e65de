import type { Principal } from '../../../core/principal.ts';
import { oneOf, Type, time } from '../../../core/schema.ts';
import type { UsageFilter, UsageService, UsageTotals } from '../../../runtime/usage/index.ts';

const totals = {
  calls: Type.Integer(),
  inputTokens: Type.Integer(),
  outputTokens: Type.Integer(),
  totalTokens: Type.Integer(),
  cachedTokens: Type.Integer({ description: 'part of inputTokens' }),
  cost: Type.Array(Type.Object({ currency: Type.String(), amount: Type.Number() }), {
    description: 'for models with a price',
  }),
};

export const usageReply = Type.Object({
  totals: Type.Object(totals),
  days: Type.Array(Type.Object({ date: Type.String({ format: 'date' }), model: Type.String(), ...totals }), {
    description: 'newest first; days in UTC',
  }),
  budgets: Type.Array(
    Type.Object({
      scope: oneOf(['tenant', 'account']),
      resource: oneOf(['tokens', 'cost']),
      currency: Type.Optional(Type.String()),
      quota: Type.Number(),
      used: Type.Number(),
      resetAt: time(),
    }),
    { description: 'those that hold for the caller' },
  ),
});

const view = ({ cost, ...rest }: UsageTotals) => ({
  ...rest,
  cost: Object.entries(cost).map(([currency, amount]) => ({ currency, amount })),
});

/** What was used, in all and by day and model. */
export async function usageView(usage: UsageService, principal: Principal, filter: UsageFilter) {
  const [sum, days, budgets] = await Promise.all([
    usage.totals(principal, filter),
    usage.days(principal, filter),
    usage.budgets(principal),
  ]);
  return { totals: view(sum), days: days.map(({ day, ...one }) => ({ date: day, ...view(one) })), budgets };
}
