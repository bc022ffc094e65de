import type { Buckets } from './buckets.ts';
import type { Clock } from './clock.ts';
import { EventLog } from './event-log.ts';
import type { LogWriter } from './log-writer.ts';
import type { RunEvent } from './service.ts';
import { createTurns } from './turns.ts';
import type { Values } from './values.ts';

type Scope = { tenantId: string };

/** Logs that nobody uses at the moment but whose end is remembered. */
const IDLE_LOGS = 2000;

export interface EventLogs {
  /** The log, held until `release`. `fresh`: it is known that nothing was ever stored in it. */
  open(scope: Scope, logId: string, options?: { fresh?: boolean }): Promise<EventLog>;
  release(log: EventLog): void;
  /** `work` with the log held. */
  using<T>(scope: Scope, logId: string, work: (log: EventLog) => Promise<T>): Promise<T>;
  read(log: EventLog, from: number, limit: number): Promise<RunEvent[]>;
  last(log: EventLog, types: readonly string[] | undefined): Promise<RunEvent | undefined>;
  /** Takes in what other processes stored in the log. */
  refresh(log: EventLog): Promise<void>;
  subscribe(scope: Scope, logId: string, from: number, signal?: AbortSignal): AsyncIterable<RunEvent>;
  /** Ends all subscriptions. */
  close(): void;
}

/**
 * The event logs that are in use in this process, and the ways to read them.
 *
 * @param shared other processes write to the same store: look there for news every `pollMs`
 */
export function createEventLogs(parts: {
  buckets: Buckets;
  values: Values;
  writer: () => LogWriter;
  clock: Clock;
  shared: boolean;
  pollMs: number;
}): EventLogs {
  const { buckets, values, writer, clock, shared, pollMs } = parts;
  const logs = new Map<string, EventLog>();
  const opening = new Map<string, Promise<EventLog>>();
  const looks = new WeakMap<EventLog, { at: number; done: Promise<void> }>();
  const turns = createTurns();
  const followers = new Set<() => void>();
  let closed = false;

  const keyOf = (scope: Scope, logId: string) => `${scope.tenantId}\0${logId}`;

  const make = (scope: Scope, logId: string, end: { n: number; to: number } | undefined) => {
    const log = new EventLog(
      { tenantId: scope.tenantId, logId },
      { nextN: end ? end.n + 1 : 0, nextSeq: end?.to ?? 0 },
      { values, schedule: (changed, mayWait) => writer().schedule(changed, mayWait), now: () => clock.now() },
    );
    logs.set(keyOf(scope, logId), log);
    return log;
  };

  const trim = () => {
    let looked = 0;
    for (const [key, log] of logs) {
      if (logs.size <= IDLE_LOGS || looked++ >= 8) return;
      logs.delete(key);
      // One that is in use moves to the end; it is looked at again when the others have passed.
      if (!log.idle) logs.set(key, log);
    }
  };

  const open: EventLogs['open'] = async (scope, logId, { fresh = false } = {}) => {
    const key = keyOf(scope, logId);
    let log = logs.get(key);
    if (!log) {
      if (fresh) {
        log = make(scope, logId, undefined);
      } else {
        let tail = opening.get(key);
        if (!tail) {
          tail = buckets
            .tail(scope, logId)
            .then((end) => logs.get(key) ?? make(scope, logId, end))
            .finally(() => opening.delete(key));
          opening.set(key, tail);
        }
        // Held from the moment it is made: nothing can run between making it and the lines below but other openers.
        log = await tail;
        if (logs.get(key) !== log) logs.set(key, log);
      }
      trim();
    } else {
      logs.delete(key);
      logs.set(key, log);
    }
    log.uses += 1;
    return log;
  };

  const release = (log: EventLog) => {
    log.uses -= 1;
  };

  const refresh = async (log: EventLog) => {
    // What this process has in flight decides the end itself, by success or conflict.
    for (let more = true; more && !log.inFlight; ) {
      const found = await buckets.after(log, log.logId, log.nextN);
      if (found.length > 0 && !log.inFlight) log.follow(found);
      more = found.length === 100;
    }
  };

  /** The bucket with an event that is known to be stored. */
  const holding = async (log: EventLog, seq: number) => {
    // Most readers want the end of the log, which is in memory.
    for (let n = log.nextN - 1; n >= 0; n -= 1) {
      const bucket = buckets.cached(log, log.logId, n);
      if (!bucket) break;
      if (bucket.from <= seq && seq < bucket.to) return bucket;
    }
    const bucket = await buckets.holding(log, log.logId, seq);
    if (!bucket) throw new Error(`Event ${seq} of the log ${log.logId} is missing`);
    return bucket;
  };

  /** A bucket by its bounds; its events are held weakly, so a consumer that stops in the middle keeps none of them in memory. */
  const page = async (log: EventLog, seq: number, n: number | undefined) => {
    const bucket = n === undefined ? await holding(log, seq) : await buckets.at(log, log.logId, n);
    return { n: bucket.n, from: bucket.from, to: bucket.to, events: new WeakRef(await buckets.events(bucket)) };
  };

  async function* follow(scope: Scope, logId: string, from: number, signal: AbortSignal): AsyncGenerator<RunEvent> {
    const log = await open(scope, logId);
    try {
      let seq = Math.max(0, from);
      let n: number | undefined;
      for (;;) {
        while (seq >= log.nextSeq) {
          if (signal.aborted) return;
          if (shared) await refreshOften(log);
          if (seq < log.nextSeq) break;
          await changed(log, signal);
        }
        let at = await page(log, seq, n);
        while (seq < at.to) {
          if (signal.aborted) return;
          const event = at.events.deref()?.[seq - at.from];
          if (!event) {
            at = await page(log, seq, at.n);
            continue;
          }
          seq += 1;
          const turn = turns.take();
          if (turn) await turn;
          yield event;
        }
        n = at.n + 1;
      }
    } finally {
      release(log);
    }
  }

  /** For many followers of one log: one look at the store per `pollMs`, whoever asks. */
  const refreshOften = async (log: EventLog) => {
    const known = looks.get(log);
    if (known && clock.now() - known.at < pollMs * 0.9) return known.done;
    const look = { at: clock.now(), done: refresh(log) };
    looks.set(log, look);
    return look.done;
  };

  const changed = (log: EventLog, signal: AbortSignal) =>
    new Promise<void>((resolve) => {
      const stops: (() => void)[] = [];
      const done = () => {
        signal.removeEventListener('abort', done);
        for (const stop of stops) stop();
        resolve();
      };
      signal.addEventListener('abort', done);
      stops.push(log.onChange(done));
      if (shared) stops.push(clock.after(pollMs, done));
      if (signal.aborted) done();
    });

  return {
    open,
    release,
    refresh,

    async using(scope, logId, work) {
      const log = await open(scope, logId);
      try {
        return await work(log);
      } finally {
        release(log);
      }
    },

    async read(log, from, limit) {
      const events: RunEvent[] = [];
      let seq = Math.max(0, from);
      let n: number | undefined;
      while (events.length < limit && seq < log.nextSeq) {
        const bucket = n === undefined ? await holding(log, seq) : await buckets.at(log, log.logId, n);
        const decoded = await buckets.events(bucket);
        events.push(...decoded.slice(seq - bucket.from, seq - bucket.from + limit - events.length));
        seq = bucket.to;
        n = bucket.n + 1;
      }
      return events;
    },

    async last(log, types) {
      if (log.nextSeq === 0) return undefined;
      if (!types) {
        const bucket = await holding(log, log.nextSeq - 1);
        return (await buckets.events(bucket)).at(-1);
      }
      for (let n = log.nextN - 1; n >= 0; n -= 1) {
        const bucket = buckets.cached(log, log.logId, n);
        if (!bucket) break;
        const found = (await buckets.events(bucket)).findLast(({ type }) => types.includes(type));
        if (found) return found;
      }
      const bucket = await buckets.lastOf(log, log.logId, types);
      return bucket && (await buckets.events(bucket)).findLast(({ type }) => types.includes(type));
    },

    subscribe(scope, logId, from, signal) {
      return {
        [Symbol.asyncIterator]() {
          const own = new AbortController();
          const stop = () => own.abort();
          const detach = () => {
            followers.delete(stop);
            signal?.removeEventListener('abort', stop);
          };
          followers.add(stop);
          signal?.addEventListener('abort', stop);
          if (closed || signal?.aborted) stop();
          const events = follow(scope, logId, from, own.signal);
          return {
            async next() {
              const next = own.signal.aborted ? await events.return(undefined) : await events.next();
              if (next.done) detach();
              return next;
            },
            // Works while a `next` waits for news, which a bare generator would sit out.
            async return() {
              stop();
              detach();
              return events.return(undefined);
            },
          };
        },
      };
    },

    close() {
      closed = true;
      for (const stop of [...followers]) stop();
    },
  };
}
