import { adminRequired } from '../../core/auth.ts';
import type { Database } from '../../core/data/database.ts';
import type { Logger } from '../../core/log.ts';
import type { Principal } from '../../core/principal.ts';
import type { ModelsConfig } from '../models/index.ts';
import { type BudgetOptions, createBudgets } from './budgets.ts';
import { createLedger, WHOLE_TENANT } from './ledger.ts';
import { type DayDocument, dayModel, runModel } from './model.ts';
import type { UsageFilter, UsageOfDay, UsageRecord, UsageService, UsageTotals } from './service.ts';

export interface UsageOptions {
  database: Database;
  budgets: BudgetOptions;
  /** Where the prices stand. */
  models: Pick<ModelsConfig, 'models'>;
  log: Logger;
  /** Milliseconds since 1970. */
  now?: () => number;
}

/** Usage and budgets over the sums in the database. `close` stores what was counted last. */
export function createUsage(options: UsageOptions): UsageService & { close(): Promise<void> } {
  const { database, models, log, now = Date.now } = options;
  const ledger = createLedger(database, log);
  const budgets = createBudgets(options.budgets, ledger, now);
  const days = dayModel(database);
  const runs = runModel(database);

  const daysOf = (principal: Principal, { accountId, everyTenant = false }: UsageFilter) => {
    if (everyTenant && principal.kind !== 'system' && !principal.roles.includes('admin')) throw adminRequired();
    const own = accountId === principal.accountId;
    return everyTenant || own
      ? days.acrossTenants('sums of the own account, or for administrators')
      : days.in(principal);
  };

  return {
    check: (principal) => budgets.check(principal),
    budgets: (principal) => budgets.states(principal),

    async record(principal, usage) {
      const counts = {
        tenantId: principal.tenantId,
        accountId: principal.accountId,
        runId: usage.runId,
        kind: usage.kind,
        model: usage.model,
        day: dayOf(new Date(now())),
        inputTokens: usage.inputTokens,
        outputTokens: usage.outputTokens,
        cachedTokens: usage.cachedTokens,
        estimatedCalls: usage.estimated ? 1 : 0,
        ...costOf(usage, models.models[usage.model]?.price),
      };
      budgets.spent(principal, counts);
      await ledger.add(counts);
    },

    async totals(principal, filter) {
      const { runId } = filter;
      await ledger.settled();
      const rows =
        runId === undefined
          ? await daysOf(principal, filter).aggregate<SumRow>([{ $match: dayFilter(filter) }, groupBy('$currency')])
          : await runs
              .in(principal)
              .aggregate<SumRow>([
                { $match: { runId, ...(filter.accountId !== undefined && { accountId: filter.accountId }) } },
                groupBy('$currency'),
              ]);
      const totals = noUsage();
      for (const row of rows) addRow(totals, row, String(row._id));
      return totals;
    },

    async days(principal, filter) {
      await ledger.settled();
      const rows = await daysOf(principal, filter).aggregate<SumRow<{ day: string; model: string; currency: string }>>([
        { $match: dayFilter(filter) },
        groupBy({ day: '$day', model: '$model', currency: '$currency' }),
        { $sort: { '_id.day': -1, '_id.model': 1 } },
      ]);
      const found = new Map<string, UsageOfDay>();
      for (const row of rows) {
        const { day, model, currency } = row._id;
        const key = `${day} ${model}`;
        const one = found.get(key) ?? { day, model, ...noUsage() };
        addRow(one, row, currency);
        found.set(key, one);
      }
      return [...found.values()];
    },

    close: () => ledger.settled(),
  };
}

interface SumRow<Id = string> {
  _id: Id;
  calls: number;
  inputTokens: number;
  outputTokens: number;
  cachedTokens: number;
  cost: number;
}

const SUMMED = [
  'calls',
  'inputTokens',
  'outputTokens',
  'cachedTokens',
  'cost',
] as const satisfies (keyof DayDocument)[];

const groupBy = (key: unknown) => ({
  $group: { _id: key, ...Object.fromEntries(SUMMED.map((field) => [field, { $sum: `$${field}` }])) },
});

const dayFilter = ({ accountId = WHOLE_TENANT, from, to }: UsageFilter) => ({
  accountId,
  ...((from || to) && { day: { ...(from && { $gte: dayOf(from) }), ...(to && { $lte: dayOf(to) }) } }),
});

const noUsage = (): UsageTotals => ({
  calls: 0,
  inputTokens: 0,
  outputTokens: 0,
  totalTokens: 0,
  cachedTokens: 0,
  cost: {},
});

function addRow(totals: UsageTotals, row: Omit<SumRow, '_id'>, currency: string): void {
  totals.calls += row.calls;
  totals.inputTokens += row.inputTokens;
  totals.outputTokens += row.outputTokens;
  totals.totalTokens += row.inputTokens + row.outputTokens;
  totals.cachedTokens += row.cachedTokens;
  if (currency !== '') totals.cost[currency] = Number(((totals.cost[currency] ?? 0) + row.cost).toFixed(9));
}

const dayOf = (at: Date): string => at.toISOString().slice(0, 10);

type Price = ModelsConfig['models'][string]['price'];

function costOf({ inputTokens, outputTokens, cachedTokens }: UsageRecord, price: Price) {
  if (price === undefined) return { cost: 0, currency: '' };
  const fresh = Math.max(0, inputTokens - cachedTokens);
  const cost = fresh * price.input + cachedTokens * (price.cachedInput ?? price.input) + outputTokens * price.output;
  return { cost: cost / 1_000_000, currency: price.currency };
}
