import { setTimeout as delay } from 'node:timers/promises';
import type { Database } from '../../core/data/database.ts';
import { AppError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import { dayModel, runModel } from './model.ts';

/** What one call adds to the sums. */
export interface Counts {
  tenantId: string;
  accountId: string;
  runId: string;
  kind: string;
  model: string;
  /** `YYYY-MM-DD`, UTC. */
  day: string;
  inputTokens: number;
  outputTokens: number;
  cachedTokens: number;
  estimatedCalls: number;
  cost: number;
  /** Empty: the model has no price. */
  currency: string;
}

export interface Ledger {
  /** Resolves when it is stored, a moment later: what comes meanwhile shares the write. */
  add(counts: Counts): Promise<void>;
  /** Tells what a tenant or an account used since a day: all that was added up to the moment of the call of `tell`, and nothing twice. */
  sum(scope: 'tenant' | 'account', id: string, fromDay: string, tell: (spent: Spent) => void): Promise<void>;
  /** Stores what waits, at once. */
  settled(): Promise<void>;
}

export interface Spent {
  tokens: number;
  /** By currency. */
  cost: Record<string, number>;
}

/** `accountId` of the sums of a whole tenant. */
export const WHOLE_TENANT = '';
/** How long a call may wait to be stored: as much as a crash can lose. */
const WAIT_MS = 100;
/** Pauses between attempts while the database cannot be reached. */
const RETRY_MS = [50, 200, 1000, 4000];

/** Sums by run, by account and day, and by tenant and day; each call of a model adds to all three. */
export function createLedger(database: Database, log: Logger): Ledger {
  const reason = 'sums of many tenants in one write: each names its tenant';
  const tenantDays = dayModel(database);
  const [days, runs] = [tenantDays.acrossTenants(reason), runModel(database).acrossTenants(reason)];
  /** Added, and not yet in a write. */
  let pending: Counts[] = [];
  /** Writes and reads of sums are one after another: a read sees all that was written, and `pending` is all that was not. */
  let tail: Promise<unknown> = Promise.resolve();
  let nextWrite: Promise<void> | undefined;
  let hurry = new AbortController();

  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const result = tail.then(work);
    tail = result.catch(() => undefined);
    return result;
  };

  const persist = async (work: () => Promise<unknown>): Promise<void> => {
    for (let attempt = 0; ; attempt += 1) {
      try {
        await work();
        return;
      } catch (error) {
        const pause = error instanceof AppError && error.kind === 'unavailable' ? RETRY_MS[attempt] : undefined;
        if (pause === undefined) throw error;
        await delay(pause);
      }
    }
  };

  const write = async () => {
    nextWrite = undefined;
    const batch = pending;
    pending = [];
    const byDay = (accountOf: (counts: Counts) => string) =>
      sumsBy(batch, (counts) => {
        const { tenantId, day, model, currency } = counts;
        return { key: { tenantId, accountId: accountOf(counts), day, model, currency } };
      });
    const byRun = sumsBy(batch, ({ tenantId, runId, model, currency, accountId, kind }) => ({
      key: { tenantId, runId, model, currency },
      once: { accountId, kind },
    }));
    try {
      await Promise.all([
        persist(() => days.updateEach([...byDay(({ accountId }) => accountId), ...byDay(() => WHOLE_TENANT)])),
        persist(() => runs.updateEach(byRun)),
      ]);
    } catch (error) {
      log.error({ err: error, calls: batch.length }, 'usage: sums could not be stored');
      throw error;
    }
  };

  return {
    add(counts) {
      pending.push(counts);
      if (nextWrite === undefined) {
        hurry = new AbortController();
        const waited = delay(WAIT_MS, undefined, { signal: hurry.signal }).catch(() => undefined);
        nextWrite = waited.then(() => inTurn(write));
      }
      return nextWrite;
    },

    sum: (scope, id, fromDay, tell) =>
      inTurn(async () => {
        const ofTenant = scope === 'tenant';
        const rows = await (ofTenant ? tenantDays.in({ tenantId: id }) : days).aggregate<{
          _id: string;
          tokens: number;
          cost: number;
        }>([
          { $match: { accountId: ofTenant ? WHOLE_TENANT : id, day: { $gte: fromDay } } },
          {
            $group: {
              _id: '$currency',
              tokens: { $sum: { $add: ['$inputTokens', '$outputTokens'] } },
              cost: { $sum: '$cost' },
            },
          },
        ]);
        const spent: Spent = { tokens: 0, cost: {} };
        for (const { _id, tokens, cost } of rows) addTo(spent, tokens, cost, _id);
        for (const one of pending) {
          const counts = (ofTenant ? one.tenantId : one.accountId) === id && one.day >= fromDay;
          if (counts) addTo(spent, one.inputTokens + one.outputTokens, one.cost, one.currency);
        }
        tell(spent);
      }),

    async settled() {
      while (nextWrite !== undefined) {
        hurry.abort();
        await nextWrite.catch(() => undefined);
      }
      await tail;
    },
  };
}

export function addTo(spent: Spent, tokens: number, cost: number, currency: string): void {
  spent.tokens += tokens;
  if (currency !== '') spent.cost[currency] = (spent.cost[currency] ?? 0) + cost;
}

/** One change for all that adds to the same document. */
function sumsBy<Key extends object>(
  batch: readonly Counts[],
  place: (counts: Counts) => { key: Key; once?: Record<string, unknown> },
) {
  const sums = new Map<string, { filter: Key; once: Record<string, unknown>; $inc: Record<string, number> }>();
  for (const counts of batch) {
    const { key, once = {} } = place(counts);
    const name = JSON.stringify(key);
    const sum = sums.get(name) ?? { filter: key, once, $inc: {} };
    const { inputTokens, outputTokens, cachedTokens, estimatedCalls, cost } = counts;
    const added = { calls: 1, inputTokens, outputTokens, cachedTokens, estimatedCalls, cost };
    for (const [field, value] of Object.entries(added)) sum.$inc[field] = (sum.$inc[field] ?? 0) + value;
    sums.set(name, sum);
  }
  return [...sums.values()].map(({ filter, once, $inc }) => ({
    filter,
    update: { $inc, ...(Object.keys(once).length > 0 && { $setOnInsert: once }) },
    upsert: true,
  }));
}
