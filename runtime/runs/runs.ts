import { randomUUID } from 'node:crypto';
import { adminRequired } from '../../core/auth.ts';
import { isDuplicate } from '../../core/data/errors.ts';
import { requireTenant } from '../../core/data/tenant.ts';
import type { Principal } from '../../core/principal.ts';
import type { RunKind } from '../../core/run-kind.ts';
import { type DispatchJob, tenantBusy } from '../dispatch/dispatcher.ts';
import type { Clock } from './clock.ts';
import { deleteRuns } from './deletion.ts';
import { logIdTaken, runIdTaken, runKindNotRemovable, runKindUnknown, shuttingDown } from './errors.ts';
import { outside } from './event-log.ts';
import type { EventLogs } from './event-logs.ts';
import { listFilter, readSteps, SEARCH_LENGTH } from './lists.ts';
import {
  bucketId,
  inputOf,
  isTerminal,
  type RunDocument,
  type RunStore,
  resultOf,
  storedPrincipal,
  toRun,
} from './model.ts';
import type { RunsOptions } from './options.ts';
import { removeEnded } from './retention.ts';
import type { NewRun, RunWriter } from './run-writer.ts';
import type { Run, RunService, StartOptions } from './service.ts';
import { stateOf } from './states.ts';
import type { Supervisor } from './supervisor.ts';
import { INLINE_BYTES, type StoredValue, type Values } from './values.ts';

export interface Runs extends RunService {
  /**
   * Takes up what earlier processes left unfinished. Call it once the kinds are registered; runs of kinds that are registered
   * later are taken up then.
   *
   * @throws {AppError} RUN_KIND_NOT_REMOVABLE when `keepDays` names a kind whose runs others depend on
   */
  recover(): Promise<void>;
  /** Adds a kind; the returned function removes it. Runs of a kind that is not there wait. */
  register(kind: RunKind): () => void;
  /** Removes what ended longer ago than the option `keepDays` says. Returns how many there were. */
  sweep(signal?: AbortSignal): Promise<number>;
  /** Accepts nothing more, interrupts what runs at its next check-point, stores what is due, and lets go of the runs. */
  close(options?: { timeoutMs?: number }): Promise<void>;
}

const DAY_MS = 86_400_000;
const STATE_FIELDS: (keyof RunDocument)[] = ['kind', 'tenantId', 'ownerId', 'logId', 'status'];

/** The public face: scope of the tenant, storing and reading; the supervisor does the rest. */
export function createRunService(parts: {
  supervisor: Supervisor;
  store: RunStore;
  writer: RunWriter;
  values: Values;
  logs: EventLogs;
  kinds: ReadonlyMap<string, RunKind>;
  clock: Clock;
  options: RunsOptions;
}): Runs {
  const { supervisor, store, writer, values, logs, kinds, clock, options } = parts;
  const { limits, exclusive, keepDays } = options;

  const load = async (document: RunDocument, mostBytes = Number.POSITIVE_INFINITY): Promise<Run> => {
    const leftOut: ('input' | 'result')[] = [];
    const read = (name: 'input' | 'result', stored: StoredValue) => {
      const bytes = stored.file === undefined ? (stored.json?.length ?? 0) : INLINE_BYTES + 1;
      if (bytes <= mostBytes) return values.load(document, stored);
      leftOut.push(name);
      return undefined;
    };
    const [input, result] = await Promise.all([read('input', inputOf(document)), read('result', resultOf(document))]);
    return { ...toRun(document, input, result), ...(leftOut.length > 0 && { leftOut }) };
  };

  const existing = async (principal: Principal, runId: string) => {
    const document = await store.runs.in(principal).get(runId);
    return document && load(document);
  };

  const collectionOf = (principal: Principal, everyTenant = false) => {
    if (!everyTenant) return store.runs.in(principal);
    if (!principal.roles.includes('admin')) throw adminRequired();
    return store.runs.acrossTenants('an administrator looks at runs');
  };

  /** While runs wait in the store only, the queue limit of a tenant is counted there. */
  const checkBacklog = async (principal: Principal) => {
    const waiting = await store.runs.in(principal).count({ open: true, status: 'pending' });
    if (waiting >= limits.queuedPerTenant) throw tenantBusy(principal.tenantId, limits.retryAfterSeconds);
  };

  /** Refuses a log that belongs to another tenant, where nothing of the run could be stored. */
  const checkLog = async ({ tenantId }: Principal, logId: string) => {
    const first = await store.buckets.acrossTenants('whose log it is').get(bucketId(logId, 0));
    if (first && first.tenantId !== tenantId) throw logIdTaken(logId);
  };

  /** A place for the run, or the run itself when it is there already and its tenant has no room for another one. */
  const admit = async (principal: Principal, job: DispatchJob, givenId: string | undefined) => {
    try {
      return supervisor.admit(job);
    } catch (error) {
      const run = givenId === undefined ? undefined : await existing(principal, givenId);
      if (run) return { run };
      throw error;
    }
  };

  return {
    async start(principal, kind, input, given: StartOptions = {}) {
      if (supervisor.closing) throw shuttingDown();
      if (!kinds.has(kind)) throw runKindUnknown(kind);
      const id = given.id ?? randomUUID();
      const tenantId = requireTenant(principal);
      const logId = given.logId ?? id;
      const events = given.events ?? [];

      await supervisor.joined();
      const place = await admit(principal, { id, tenantId, kind }, given.id);
      if ('run' in place) return place.run;
      const now = place.state === 'now';
      let document: RunDocument | undefined;
      try {
        if (place.state === 'stored') await checkBacklog(principal);
        const storedInput = await values.store(principal, input, 'The input of the run');
        const fresh = given.logId === undefined && (given.id === undefined || given.fresh === true);
        const log = await logs.open(principal, logId, { fresh });
        try {
          if (log.nextN === 0 && !fresh) await checkLog(principal, logId);
          const run: NewRun = {
            _id: id,
            tenantId,
            kind,
            logId,
            logStart: log.nextN,
            ownerId: principal.accountId,
            principal: storedPrincipal(principal),
            status: now ? 'running' : 'pending',
            ...(storedInput.json !== undefined && { input: storedInput.json }),
            ...(storedInput.file !== undefined && { inputFile: storedInput.file }),
            ...(events.length > 0 && { events: JSON.stringify(events) }),
            attempt: now ? 1 : 0,
            takeovers: 0,
            ...(now && { startedAt: new Date(clock.now()) }),
            open: true,
            ...(given.meta && {
              subject: given.meta.subject,
              search: (given.meta.search ?? '').slice(0, SEARCH_LENGTH).toLowerCase(),
            }),
            ...(place.state !== 'stored' && { holder: supervisor.holder }),
          };
          // An id that was given may be taken: such a run is stored by itself.
          const mayBeTaken = given.id !== undefined && given.fresh !== true;
          document = mayBeTaken ? await store.runs.in(principal).insert(run) : await writer.insert(run);
          // From here on the run exists: what fails now does not fail the start, recovery makes up for it.
          if (now) {
            const announced = supervisor.accept(document, place);
            if (events.length > 0) await announced;
          } else {
            if (events.length > 0) await log.append({ ...outside(), runId: id }, { events });
            place.enter();
          }
          return toRun(document, input, undefined);
        } finally {
          logs.release(log);
        }
      } catch (error) {
        place.leave();
        if (document) {
          supervisor.giveBack(document, error);
          return toRun(document, input, undefined);
        }
        if (!isDuplicate(error)) throw error;
        const winner = await existing(principal, id);
        if (!winner) throw runIdTaken(id);
        return winner;
      }
    },

    async get(principal, runId, { everyTenant } = {}) {
      const document = await collectionOf(principal, everyTenant).get(runId);
      return document && load(document);
    },

    async state(principal, runId, { everyTenant = false } = {}) {
      const known = supervisor.state(runId);
      const visible = known && (known.tenantId === principal.tenantId || everyTenant);
      if (visible && (!everyTenant || principal.roles.includes('admin'))) return known;
      const document = await collectionOf(principal, everyTenant).findOne({ _id: runId }, { fields: STATE_FIELDS });
      return document && stateOf(document);
    },

    async list(principal, filter, { offset, limit, valueBytes }) {
      const found = await collectionOf(principal, filter.everyTenant).find(listFilter(filter), {
        sort: { createdAt: -1 },
        skip: offset,
        limit,
      });
      return Promise.all(found.map((document) => load(document, valueBytes)));
    },

    count: (principal, filter) => collectionOf(principal, filter.everyTenant).count(listFilter(filter)),

    async steps(principal, runId) {
      const document = await store.runs.in(principal).get(runId);
      if (!document) return undefined;
      return readSteps({ store, values }, document);
    },

    async signal(principal, runId, key, data) {
      const runsOfTenant = store.runs.in(principal);
      const stored = await values.store(principal, data, 'What is given to the run');
      const gift = {
        given: { key, ...(stored.json !== undefined && stored), ...(stored.file !== undefined && stored) },
      };
      await supervisor.joined();
      const fresh = { _id: runId, open: true, 'given.key': { $ne: key } };
      for (;;) {
        if (supervisor.closing) throw shuttingDown();
        const woken = await runsOfTenant.update(
          { ...fresh, status: 'waiting', holder: { $exists: false } },
          { $push: gift, $set: { status: 'pending', holder: supervisor.holder }, $unset: { wakeAt: '' } },
        );
        const taken = woken ?? (await runsOfTenant.update({ ...fresh, status: { $ne: 'waiting' } }, { $push: gift }));
        if (taken) {
          await supervisor.given(taken, woken !== undefined);
          return !isTerminal(taken.status);
        }
        // It may have gone to rest between the two.
        const current = await runsOfTenant.findOne({ ...fresh, status: 'waiting' }, { fields: ['_id', 'holder'] });
        if (!current || current.holder !== undefined) return false;
      }
    },

    delete: (principal, which) => deleteRuns(parts, principal, which, supervisor),

    async cancel(principal, runId, reason = 'user_requested') {
      const document = await store.runs.in(principal).get(runId);
      return document && load(await supervisor.cancel(document, reason));
    },

    async ended(principal, runId, signal) {
      return load(await supervisor.ended(principal, runId, signal));
    },

    append(principal, logId, events) {
      if (supervisor.closed) return Promise.reject(shuttingDown());
      return logs.using(principal, logId, async (log) => {
        const { from, to } = await log.append(outside(), { events });
        return logs.read(log, from, to - from);
      });
    },

    events: (principal, logId, from = 0, limit = 1000) =>
      logs.using(principal, logId, async (log) => {
        if (!exclusive) await logs.refresh(log);
        return logs.read(log, from, limit);
      }),

    lastEvent: (principal, logId, types) =>
      logs.using(principal, logId, async (log) => {
        if (!exclusive) await logs.refresh(log);
        return logs.last(log, types);
      }),

    subscribe: (principal, logId, from, signal) => logs.subscribe(principal, logId, from, signal),

    active: (principal) =>
      store.runs.in(principal).count({ open: true, status: { $in: ['pending', 'running', 'waiting'] } }),

    get running() {
      return supervisor.running;
    },

    get host() {
      return supervisor.holder;
    },

    isAlive: (host) => supervisor.isAlive(host),

    async recover() {
      for (const kind of Object.keys(keepDays)) {
        const known = kinds.get(kind);
        if (known && !known.removable) throw runKindNotRemovable(kind);
      }
      await supervisor.recover();
    },

    async sweep(signal) {
      let removed = 0;
      for (const [kind, days] of Object.entries(keepDays)) {
        // Of a plugin that is switched off nothing is removed.
        if (!kinds.has(kind)) continue;
        const ids = await removeEnded(parts, kind, new Date(clock.now() - days * DAY_MS), signal);
        supervisor.forget(ids);
        removed += ids.length;
      }
      return removed;
    },

    register: (kind) => supervisor.register(kind),
    close: (options) => supervisor.close(options?.timeoutMs ?? 10_000),
  };
}
