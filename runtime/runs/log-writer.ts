import type { TenantModel } from '../../core/data/database.ts';
import { isDuplicate } from '../../core/data/errors.ts';
import { AppError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import type { Buckets } from './buckets.ts';
import type { Clock } from './clock.ts';
import { logIdTaken, storeFailed } from './errors.ts';
import type { EventLog, PendingBucket } from './event-log.ts';
import type { BucketFields } from './model.ts';

const BATCH_LOGS = 512;
const BATCH_BYTES = 8 * 1024 * 1024;
/** Pauses between attempts while the database cannot be reached; after the last one the writers are told. */
const RETRY_MS = [50, 200, 500, 1000, 2000, 4000, 8000, 8000];

/** What may wait is stored together with what comes in the next milliseconds: the longer, the more logs are written to. */
const PATIENCE_MS = { perLog: 2, most: 20 };

export interface LogWriter {
  /** Something waits in the log. */
  schedule(log: EventLog, mayWait?: boolean): void;
  /** Resolves when nothing waits that could be stored. */
  settled(): Promise<void>;
}

/**
 * Stores what all logs of this process have waiting: one write at a time, with at most one bucket of each log; what comes
 * meanwhile goes into the next one. So a lone run waits for nobody, and a hundred runs share a write. What may wait begins no write of its
 * own while there are many runs: hundreds of answers whose words come one by one would make a write of each handful of them.
 */
export function createLogWriter(parts: {
  model: TenantModel<BucketFields>;
  buckets: Buckets;
  log: Logger;
  clock: Clock;
  writerId: string;
}): LogWriter {
  const { model, buckets, log: logger, clock, writerId } = parts;
  const dirty = new Set<EventLog>();
  const store = model.acrossTenants('group commit: each document names the tenant of its log');
  let writing: Promise<void> | undefined;
  let writes = 0;
  /** Something is dirty that may not wait. */
  let hurry = false;
  let stopWaiting: (() => void) | undefined;
  /** Logs of the last write. */
  let together = 0;

  const schedule: LogWriter['schedule'] = (log, mayWait = false) => {
    dirty.add(log);
    if (!mayWait) hurry = true;
    goOn();
  };

  const goOn = () => {
    if (writing || dirty.size === 0) return;
    const ms = Math.min(PATIENCE_MS.most, (together - 1) * PATIENCE_MS.perLog);
    if (hurry || ms <= 0) write();
    else stopWaiting ??= clock.after(ms, write);
  };

  const write = () => {
    stopWaiting?.();
    stopWaiting = undefined;
    // Not at once: whatever is appended in this turn of the event loop shares the write.
    writing ??= new Promise<void>((resolve) => setImmediate(resolve)).then(drain).finally(() => {
      writing = undefined;
      goOn();
    });
  };

  const drain = async () => {
    do {
      const batch: PendingBucket[] = [];
      let bytes = 0;
      for (const log of dirty) {
        if (batch.length >= BATCH_LOGS || bytes >= BATCH_BYTES) break;
        dirty.delete(log);
        const pending = log.build(`${writerId}.${++writes}`);
        if (!pending) continue;
        batch.push(pending);
        bytes += pending.bytes;
      }
      // What is left has found no room.
      hurry = dirty.size > 0;
      if (batch.length === 0) continue;
      together = batch.length;
      try {
        await store.insertMany(
          batch.map(({ document }) => document),
          { trusted: true },
        );
        batch.forEach(stored);
      } catch (error) {
        if (!isDuplicate(error)) logger.warn({ err: error, buckets: batch.length }, 'event log: a write failed');
        for (const pending of batch) await alone(pending);
      }
      for (const { log } of batch) {
        if (!log.ready || dirty.has(log)) continue;
        dirty.add(log);
        hurry = true;
      }
    } while (hurry);
  };

  const stored = (pending: PendingBucket) => {
    const { log, document } = pending;
    buckets.put({
      tenantId: document.tenantId,
      logId: document.logId,
      runId: document.runId ?? '',
      n: document.n,
      from: document.from,
      to: document.to,
      text: document.events,
    });
    log.commit(pending);
  };

  /** One bucket of a batch that failed; some of the batch may have been stored. */
  const alone = async (pending: PendingBucket) => {
    const { log, document } = pending;
    for (let attempt = 0; ; attempt += 1) {
      try {
        await store.insertMany([document], { trusted: true });
        stored(pending);
        return;
      } catch (error) {
        try {
          if (isDuplicate(error)) {
            const winner = await model.in(log).get(document._id);
            if (winner?.writeId === document.writeId) stored(pending);
            else if (winner) {
              log.putBack(pending);
              log.follow(await buckets.after(log, log.logId, log.nextN));
            } else log.refuse(pending, logIdTaken(log.logId));
            return;
          }
        } catch (readError) {
          logger.warn({ err: readError, logId: log.logId }, 'event log: the winner of a conflict could not be read');
        }
        const again = error instanceof AppError && error.kind !== 'unavailable' ? undefined : RETRY_MS[attempt];
        if (again === undefined) {
          logger.error({ err: error, logId: log.logId }, 'event log: a bucket could not be stored');
          log.refuse(pending, storeFailed(error));
          return;
        }
        await new Promise<void>((resolve) => clock.after(again, resolve));
      }
    }
  };

  return {
    schedule,
    async settled() {
      while (writing || stopWaiting) {
        if (stopWaiting) write();
        await writing;
      }
    },
  };
}
