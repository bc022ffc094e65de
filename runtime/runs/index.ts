import { randomUUID } from 'node:crypto';
import type { Database } from '../../core/data/database.ts';
import type { Logger } from '../../core/log.ts';
import type { RunKind } from '../../core/run-kind.ts';
import { createLocalDispatcher } from '../dispatch/local.ts';
import { createBuckets } from './buckets.ts';
import { type Clock, systemClock } from './clock.ts';
import { createEndings } from './ending.ts';
import { createEventLogs } from './event-logs.ts';
import type { NodeExecutor } from './executor.ts';
import { createHosts, createSoleHost } from './hosts.ts';
import { createLogWriter, type LogWriter } from './log-writer.ts';
import { createRunStore } from './model.ts';
import { DEFAULT_OPTIONS, type RunsOptions } from './options.ts';
import { createRunWriter } from './run-writer.ts';
import { createRunService, type Runs } from './runs.ts';
import { Supervisor } from './supervisor.ts';
import { createValues } from './values.ts';

export { type Clock, systemClock } from './clock.ts';
export { eventJson, perEvent } from './event-json.ts';
export type { NodeExecutor, NodeHooks, NodeTask } from './executor.ts';
export type { RunsOptions } from './options.ts';
export type { Runs } from './runs.ts';
export { type Run, type RunEvent, type RunService, type RunStatus, runService, type StartOptions } from './service.ts';

/**
 * Runs on a database. Nothing is taken up before `recover()`. The database must be `ready()` before the first call.
 *
 * @param kinds more can be added with `register`
 */
export function createRuns(parts: {
  database: Database;
  executor: NodeExecutor;
  kinds?: readonly RunKind[];
  log: Logger;
  options?: Partial<Omit<RunsOptions, 'limits'>> & { limits?: Partial<RunsOptions['limits']> };
  clock?: Clock;
}): Runs {
  const { database, executor, log, clock = systemClock } = parts;
  const options: RunsOptions = {
    ...DEFAULT_OPTIONS,
    ...parts.options,
    limits: { ...DEFAULT_OPTIONS.limits, ...parts.options?.limits },
  };
  const store = createRunStore(database);
  const values = createValues(database.files('run-values'));
  const buckets = createBuckets(store.buckets, values, options.cacheBytes);
  const logs = createEventLogs({
    buckets,
    values,
    writer: () => writer,
    clock,
    shared: !options.exclusive,
    pollMs: options.pollMs,
  });
  const writer: LogWriter = createLogWriter({ model: store.buckets, buckets, log, clock, writerId: randomUUID() });
  const runWriter = createRunWriter(store);
  const kinds = new Map<string, RunKind>();
  const endings = createEndings({
    writer: runWriter,
    values,
    clock,
    kinds,
    holder: () => supervisor.holder,
    closing: () => supervisor.closing,
  });
  const supervisor: Supervisor = new Supervisor({
    store,
    values,
    logs,
    writer,
    endings,
    executor,
    kinds,
    clock,
    options,
    log,
    hosts: (callbacks) =>
      options.exclusive
        ? createSoleHost()
        : createHosts({ hosts: store.hosts, log, clock, leaseMs: options.leaseMs, ...callbacks }),
    dispatcher: (begin) => createLocalDispatcher(options.limits, begin),
  });
  for (const kind of parts.kinds ?? []) supervisor.register(kind);
  return createRunService({ supervisor, store, writer: runWriter, values, logs, kinds, clock, options });
}
