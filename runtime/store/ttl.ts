import { decode, toNumber } from './bson.ts';
import type { Collection } from './database.ts';
import type { Engine } from './engine.ts';
import type { Index } from './indexes.ts';
import { compileFilter } from './match.ts';
import { choosePlan } from './planner.ts';
import { matching } from './query.ts';

/** Removes documents whose time is over, in slices between other commands. */
export async function expire(engine: Engine, now = Date.now()): Promise<number> {
  let removed = 0;
  for (const collection of [...engine.database.collections.values()]) {
    for (const index of [...collection.indexes.values()]) {
      if (index.spec.expireAfterSeconds !== undefined) removed += await expireIndex(engine, collection, index, now);
    }
  }
  engine.counters.expired += removed;
  return removed;
}

async function expireIndex(engine: Engine, collection: Collection, index: Index, now: number): Promise<number> {
  const { database } = engine;
  const path = index.fields[0]?.path ?? '';
  const limit = new Date(now - (toNumber(index.spec.expireAfterSeconds) ?? 0) * 1000);
  const partial = index.spec.partialFilterExpression;
  const condition = { [path]: { $lte: limit } };
  const filter = compileFilter(partial ? { $and: [condition, partial] } : condition);
  const operation = engine.operation({});
  const plan = choosePlan(collection, { filter, sort: [], limited: false, hint: index.spec.name, estimate: () => 0 });
  let removed = 0;
  for await (const rows of matching(database, collection, plan, filter, operation)) {
    for (const { rid } of rows) {
      // Read again: it may have been renewed since the chunk was read.
      const raw = database.read(collection, rid);
      if (!raw || !filter.test(decode(raw))) continue;
      database.remove(collection, rid, raw);
      removed++;
      if (operation.due) await operation.pause();
    }
    if (!database.collections.has(`${collection.db}.${collection.name}`)) return removed;
  }
  return removed;
}

export function startExpiry(engine: Engine, intervalMs: number): { stop(): Promise<void> } {
  let running: Promise<unknown> = Promise.resolve();
  let busy = false;
  const timer = setInterval(() => {
    if (busy) return;
    busy = true;
    running = expire(engine)
      .catch((error: unknown) => {
        // The next round tries again; a full disk or a dropped collection is no reason to end the server.
        process.emitWarning(`TTL indexes: ${error instanceof Error ? error.message : String(error)}`);
      })
      .finally(() => {
        busy = false;
      });
  }, intervalMs);
  timer.unref();
  return {
    async stop() {
      clearInterval(timer);
      await running;
    },
  };
}
