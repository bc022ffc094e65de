import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { AuditEntry, AuditService } from '../../../core/audit.ts';
import { adminRequired } from '../../../core/auth.ts';
import type { Collection, Filter } from '../../../core/data/database.ts';
import { isDuplicate } from '../../../core/data/errors.ts';
import { containsText } from '../../../core/data/text.ts';
import { AppError } from '../../../core/errors.ts';
import type { Page } from '../../../core/http/route.ts';
import type { Logger } from '../../../core/log.ts';
import type { AuditFilter, AuditLogService, AuditRecord } from '../public.ts';
import type { AuditDocument } from './model.ts';

/** Entries that come within so long share a write. */
const BATCH_MS = 50;
const BATCH_SIZE = 1000;
/** Entries that may wait while the database is out of reach; more are lost, and the log says how many. */
const MAX_WAITING = 50_000;
const RETRY_MS = [100, 500, 2000, 5000];

export interface AuditLog extends AuditService, AuditLogService {
  /** Stores what waits. */
  close(): Promise<void>;
}

/** The audit log: entries are only ever added; the database removes them when their time is over. */
export function createAuditLog(entries: Collection<AuditDocument>, log: Logger): AuditLog {
  const waiting: AuditEntry[] = [];
  let writing: Promise<void> | undefined;
  let lost = 0;
  const closing = new AbortController();

  const pause = (ms: number) => delay(ms, undefined, { signal: closing.signal }).catch(() => undefined);

  const write = async () => {
    // Not at once, so that many requests share a write; a shutdown does not wait.
    await pause(BATCH_MS);
    while (waiting.length > 0) {
      await store(waiting.splice(0, BATCH_SIZE));
      if (lost > 0) log.error({ entries: lost }, 'audit: entries were lost, too many were waiting');
      lost = 0;
    }
  };

  const store = async (batch: readonly AuditEntry[]) => {
    // With ids from here a repeated write cannot store an entry twice.
    let open = batch.map((entry) => ({ _id: randomUUID() as string, ...entry, objectIds: [...entry.objectIds] }));
    for (let attempt = 0; ; attempt += 1) {
      try {
        await entries.insertMany(open, { trusted: true });
        return;
      } catch (error) {
        const again = error instanceof AppError && error.kind === 'unavailable' ? RETRY_MS[attempt] : undefined;
        if (isDuplicate(error, '_id')) open = await missing(open);
        else if (again !== undefined) await pause(again);
        else {
          log.error({ err: error, entries: open }, 'audit: entries could not be stored');
          return;
        }
      }
    }
  };

  const missing = async <E extends { _id: string }>(batch: readonly E[]): Promise<E[]> => {
    const stored = await entries.find({ _id: { $in: batch.map(({ _id }) => _id) } }, { fields: ['_id'] });
    const known = new Set(stored.map(({ _id }) => _id));
    return batch.filter(({ _id }) => !known.has(_id));
  };

  return {
    record(entry) {
      if (waiting.length >= MAX_WAITING) {
        lost += 1;
        return;
      }
      waiting.push(entry);
      writing ??= write().finally(() => {
        writing = undefined;
      });
    },

    async list(principal, filter, { offset, limit }): Promise<Page<AuditRecord>> {
      if (principal.kind !== 'system' && !principal.roles.includes('admin')) throw adminRequired();
      const query = queryOf(filter);
      const [items, total] = await Promise.all([
        entries.find(query, { sort: { at: -1, _id: -1 }, skip: offset, limit }),
        entries.count(query),
      ]);
      return { items: items.map(({ _id, ...entry }) => ({ id: _id, ...entry }) as AuditRecord), total };
    },

    async close() {
      closing.abort();
      while (writing !== undefined) await writing;
    },
  };
}

function queryOf({ accountId, objectId, action, route, from, to }: AuditFilter): Filter<AuditDocument> {
  const words = action === undefined ? undefined : containsText(action);
  return {
    ...(accountId !== undefined && { accountId }),
    ...(objectId !== undefined && { objectIds: objectId }),
    ...(route !== undefined && { route }),
    ...(words && { $or: [{ 'action.zh': words }, { 'action.en': words }] }),
    ...((from || to) && { at: { ...(from && { $gte: from }), ...(to && { $lte: to }) } }),
  };
}
