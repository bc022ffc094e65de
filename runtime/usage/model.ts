import type { Database, Document, TenantModel } from '../../core/data/database.ts';

/** What is added up, beside the key of a sum. */
interface SumFields {
  /** Empty in the sums of a whole tenant. */
  accountId: string;
  model: string;
  /** Empty: the model has no price. A price in another currency begins another sum. */
  currency: string;
  calls: number;
  inputTokens: number;
  outputTokens: number;
  cachedTokens: number;
  /** Calls whose provider sent no figures. */
  estimatedCalls: number;
  cost: number;
}

export interface DayFields extends SumFields {
  /** `YYYY-MM-DD`, UTC. */
  day: string;
}

export interface RunFields extends SumFields {
  runId: string;
  kind: string;
}

export type DayDocument = DayFields & Document & { tenantId: string };
export type RunDocument = RunFields & Document & { tenantId: string };

const count = { type: Number, default: 0 };
const text = { type: String, default: '' };

const sumFields = {
  accountId: text,
  model: { type: String, required: true },
  currency: text,
  calls: count,
  inputTokens: count,
  outputTokens: count,
  cachedTokens: count,
  estimatedCalls: count,
  cost: count,
} as const;

export const dayModel = (database: Database): TenantModel<DayFields> =>
  database.tenantModel<DayFields>(
    'usage_days',
    { ...sumFields, day: { type: String, required: true } },
    {
      indexes: [
        { fields: { accountId: 1, day: 1, model: 1, currency: 1 }, unique: true },
        { fields: { accountId: 1, day: 1 }, acrossTenants: true },
      ],
    },
  );

export const runModel = (database: Database): TenantModel<RunFields> =>
  database.tenantModel<RunFields>(
    'usage_runs',
    { ...sumFields, runId: { type: String, required: true }, kind: { type: String, required: true } },
    { indexes: [{ fields: { runId: 1, model: 1, currency: 1 }, unique: true }] },
  );
