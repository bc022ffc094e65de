import { Writable } from 'node:stream';
import type { Database } from '../../../core/data/database.ts';
import { AppError } from '../../../core/errors.ts';
import { createLogger, type Logger } from '../../../core/log.ts';
import type { Principal } from '../../../core/principal.ts';
import type { RunKind } from '../../../core/run-kind.ts';
import { type Clock, createRuns, type NodeExecutor, type RunEvent, type Runs } from '../../../runtime/runs/index.ts';
import { openTestDatabase } from '../../support/database.ts';

export const user = (tenantId = 'tenant-a', accountId = 'account-1'): Principal => ({
  kind: 'user',
  accountId,
  tenantId,
  roles: ['user'],
});

/** A promise to be resolved from outside. */
export const gate = <T = void>() => Promise.withResolvers<T>();

/** Lines of a log, parsed. */
export function recordingLog(): { log: Logger; lines: Record<string, unknown>[] } {
  const lines: Record<string, unknown>[] = [];
  const sink = new Writable({
    write(chunk, _encoding, done) {
      lines.push(JSON.parse(String(chunk)));
      done();
    },
  });
  return { log: createLogger('debug', sink), lines };
}

export const cutOff = () => new AppError('unavailable', 'NODE_CUT_OFF', { zh: '中断', en: 'cut off' });

/** Answers with `{ got: input, attempt }`. */
export const echoExecutor: NodeExecutor = { run: async ({ input, attempt }) => ({ got: input, attempt }) };

interface Owner {
  after(dispose: () => Promise<void>): void;
}

type Options = NonNullable<Parameters<typeof createRuns>[0]['options']>;

export async function openRuns(
  owner: Owner,
  parts: {
    kinds: RunKind<never, unknown>[];
    executor?: NodeExecutor;
    options?: Options;
    clock?: Clock;
    database?: Database;
    log?: Logger;
  },
): Promise<Runs & { database: Database }> {
  const database = parts.database ?? (await openTestDatabase(owner));
  const runs = createRuns({
    database,
    executor: parts.executor ?? echoExecutor,
    kinds: parts.kinds as unknown as RunKind[],
    log: parts.log ?? createLogger('silent'),
    options: { exclusive: true, ...parts.options },
    ...(parts.clock && { clock: parts.clock }),
  });
  await database.ready();
  await runs.recover();
  owner.after(() => runs.close({ timeoutMs: 1000 }));
  return Object.assign(runs, { database });
}

/** Everything that is in a log now. */
export const allEvents = (runs: Runs, logId: string, principal = user()) => runs.events(principal, logId, 0, 1_000_000);

export const types = (events: readonly RunEvent[]) => events.map(({ type }) => type);

/** Reads a subscription until an event of the type. */
export async function until(events: AsyncIterable<RunEvent>, type: string): Promise<RunEvent[]> {
  const seen: RunEvent[] = [];
  for await (const event of events) {
    seen.push(event);
    if (event.type === type) return seen;
  }
  throw new Error(`The subscription ended before ${type}: ${types(seen).join(' ')}`);
}

/** Whether `seq` counts from 0 without gaps. */
export const gapFree = (events: readonly RunEvent[]) => events.every(({ seq }, index) => seq === index);

/** Time that stands still until it is moved. */
export class ManualClock implements Clock {
  #now = Date.parse('2026-01-01T00:00:00Z');
  readonly #timers = new Set<{ at: number; act: () => void }>();

  now(): number {
    return this.#now;
  }

  after(ms: number, act: () => void): () => void {
    const timer = { at: this.#now + ms, act };
    this.#timers.add(timer);
    return () => {
      this.#timers.delete(timer);
    };
  }

  /** Lets time pass; timers act in their order. */
  pass(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const due = [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (!due) break;
      this.#timers.delete(due);
      this.#now = due.at;
      due.act();
    }
    this.#now = end;
  }
}

const WRITES = new Set(['insert', 'insertMany', 'update', 'updateEach', 'updateMany', 'delete', 'write']);

/**
 * A database whose user dies in the middle of its n-th write: the write is carried out or not, nothing after it is, and no call
 * ever answers again.
 */
export class DyingDatabase {
  writes = 0;
  readonly died = gate();
  readonly #inner: Database;
  readonly #at: number;
  readonly #carriedOut: boolean;
  #dead = false;
  #failures = 0;

  constructor(inner: Database, at: number, carriedOut: boolean) {
    this.#inner = inner;
    this.#at = at;
    this.#carriedOut = carriedOut;
  }

  /** From now on nothing answers. */
  kill(): void {
    this.#dead = true;
  }

  /** The next so many calls fail as with a server that cannot be reached. */
  fail(calls: number): void {
    this.#failures = calls;
  }

  get database(): Database {
    return {
      connection: this.#inner.connection,
      tenantModel: (name, schema, options) => {
        const model = this.#inner.tenantModel(name, schema, options);
        return {
          in: (principal) => this.#wrap(model.in(principal)),
          acrossTenants: (reason) => this.#wrap(model.acrossTenants(reason)),
        };
      },
      globalModel: (name, schema, options) => this.#wrap(this.#inner.globalModel(name, schema, options)),
      files: (name) => this.#wrap(this.#inner.files(name)),
      ready: () => this.#inner.ready(),
      ping: () => this.#inner.ping(),
    };
  }

  #wrap<T extends object>(target: T): T {
    return new Proxy(target, {
      get: (object, name) => {
        const method: unknown = Reflect.get(object, name);
        if (typeof method !== 'function') return method;
        // The one method that returns no promise.
        if (name === 'iterate') return method.bind(object);
        const write = WRITES.has(String(name));
        return async (...args: unknown[]) => {
          const forever = new Promise<never>(() => undefined);
          if (this.#dead || this.writes >= this.#at) return forever;
          if (this.#failures > 0) {
            this.#failures -= 1;
            throw new AppError('unavailable', 'DATABASE_UNAVAILABLE', { zh: '不可用', en: 'not available' });
          }
          if (write) this.writes += 1;
          const dies = write && this.writes === this.#at;
          if (dies && !this.#carriedOut) {
            this.died.resolve();
            return forever;
          }
          try {
            const result = await Reflect.apply(method, object, args);
            return this.#dead || this.writes >= this.#at ? forever : result;
          } finally {
            if (dies) this.died.resolve();
          }
        };
      },
    });
  }
}
