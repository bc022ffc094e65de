import type { Database } from '../../core/data/database.ts';
import type { Logger } from '../../core/log.ts';
import { type Principal, systemPrincipal } from '../../core/principal.ts';
import type { RunService } from '../../runtime/runs/service.ts';
import { RUN_KIND } from './run.ts';

interface KeptFields {
  tenant: string;
  account: string;
  removeAt: Date;
}

const BATCH = 200;

/** Nobody asks for an answer again after some days: its run is removed with all that was said. */
export function createKeeping(parts: { database: Database; runs: RunService; log: Logger; keepMs: number }) {
  const { database, runs, log, keepMs } = parts;
  const kept = database.globalModel<KeptFields>(
    'completions',
    {
      tenant: { type: String, required: true },
      account: { type: String, required: true },
      removeAt: { type: Date, required: true },
    },
    { timestamps: false, indexes: [{ fields: { removeAt: 1 } }] },
  );

  return {
    /** Before the run begins: none is forgotten. */
    async note({ tenantId, accountId }: Principal, runId: string): Promise<void> {
      const removeAt = new Date(Date.now() + keepMs);
      await kept.update({ _id: runId }, { $set: { tenant: tenantId, account: accountId, removeAt } }, { upsert: true });
    },

    /** Removes what is over, and returns how many there were. */
    async sweep(now = new Date(), signal?: AbortSignal): Promise<number> {
      let removed = 0;
      for (;;) {
        const over = await kept.find({ removeAt: { $lte: now } }, { sort: { removeAt: 1 }, limit: BATCH });
        for (const { _id, tenant, account } of over) {
          if (signal?.aborted) return removed;
          await runs.delete(systemPrincipal(tenant), { kind: RUN_KIND, subject: account, id: _id });
          await kept.delete({ _id });
          removed += 1;
        }
        if (over.length < BATCH) break;
      }
      if (removed > 0) log.debug({ removed }, 'completions: removed what is no longer kept');
      return removed;
    },
  };
}

export type Keeping = ReturnType<typeof createKeeping>;
