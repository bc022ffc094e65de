import { type Dispatcher, type DispatchJob, type DispatchLimits, type Place, tenantBusy } from './dispatcher.ts';

interface Tenant<Job> {
  readonly id: string;
  running: number;
  /** Places taken in the queue, entered or not. */
  queued: number;
  readonly kinds: Map<string, Kind<Job>>;
}

interface Kind<Job> {
  running: number;
  queued: number;
  /** Waiting jobs in the order of their entry, with a number that orders them among the kinds of the tenant. */
  readonly waiting: Map<string, { job: Job; order: number }>;
}

/**
 * The dispatcher of one process. First come, first served within a tenant (a kind at its limit lets later jobs of other
 * kinds pass); round robin between tenants, so one tenant with a thousand jobs delays another one's only job by one turn.
 *
 * @param begin carries a job out; its place is free again when the promise settles
 */
export function createLocalDispatcher<Job extends DispatchJob>(
  limits: DispatchLimits,
  begin: (job: Job) => Promise<void>,
): Dispatcher<Job> {
  const tenants = new Map<string, Tenant<Job>>();
  /** Tenants with waiting jobs, in the order of their next turn. */
  const turns = new Set<Tenant<Job>>();
  const places = new Map<string, { tenant: Tenant<Job>; kind: Kind<Job> }>();
  let running = 0;
  let queued = 0;
  let order = 0;
  let stopped = false;

  const tenantOf = (id: string) => {
    const tenant = tenants.get(id) ?? { id, running: 0, queued: 0, kinds: new Map() };
    tenants.set(id, tenant);
    return tenant;
  };
  const kindOf = (tenant: Tenant<Job>, name: string) => {
    const kind = tenant.kinds.get(name) ?? { running: 0, queued: 0, waiting: new Map() };
    tenant.kinds.set(name, kind);
    return kind;
  };
  const forget = (tenant: Tenant<Job>) => {
    if (tenant.running === 0 && tenant.queued === 0) tenants.delete(tenant.id);
  };
  const mayRun = (tenant: Tenant<Job>, kind: Kind<Job>, name: string) =>
    running < limits.total &&
    tenant.running < limits.perTenant &&
    kind.running < (limits.kinds[name]?.running ?? Number.POSITIVE_INFINITY);

  const count = (tenant: Tenant<Job>, kind: Kind<Job>, what: 'running' | 'queued', by: 1 | -1) => {
    tenant[what] += by;
    kind[what] += by;
    if (what === 'running') running += by;
    else queued += by;
  };

  const run = (job: Job, tenant: Tenant<Job>, kind: Kind<Job>) => {
    const done = () => {
      count(tenant, kind, 'running', -1);
      forget(tenant);
      pump();
    };
    begin(job).then(done, done);
  };

  const take = (tenant: Tenant<Job>): boolean => {
    let best: { job: Job; order: number; kind: Kind<Job> } | undefined;
    for (const [name, kind] of tenant.kinds) {
      const first = kind.waiting.values().next().value;
      if (first && mayRun(tenant, kind, name) && (!best || first.order < best.order)) best = { ...first, kind };
    }
    if (!best) return false;
    const { job, kind } = best;
    unqueue(job.id, tenant, kind);
    count(tenant, kind, 'running', 1);
    run(job, tenant, kind);
    return true;
  };

  const unqueue = (jobId: string, tenant: Tenant<Job>, kind: Kind<Job>) => {
    kind.waiting.delete(jobId);
    places.delete(jobId);
    count(tenant, kind, 'queued', -1);
    // A tenant without waiting jobs has no turn; one that still waits goes to the end of the row.
    turns.delete(tenant);
    if ([...tenant.kinds.values()].some(({ waiting }) => waiting.size > 0)) turns.add(tenant);
  };

  const clear = () => {
    for (const [jobId, { tenant, kind }] of [...places]) {
      unqueue(jobId, tenant, kind);
      forget(tenant);
    }
  };

  const pump = () => {
    let passed = 0;
    while (!stopped && running < limits.total && passed < turns.size) {
      const tenant = turns.values().next().value;
      if (!tenant) return;
      if (take(tenant)) {
        passed = 0;
      } else {
        // Blocked by its own limits: it keeps its turn for later, behind the others.
        turns.delete(tenant);
        turns.add(tenant);
        passed += 1;
      }
    }
  };

  return {
    admit(job, { recovered = false } = {}): Place {
      const tenant = tenantOf(job.tenantId);
      const kind = kindOf(tenant, job.kind);
      let open = true;
      const once = (act: () => void) => () => {
        if (open) act();
        open = false;
      };
      const leave = (what: 'running' | 'queued') =>
        once(() => {
          count(tenant, kind, what, -1);
          forget(tenant);
          pump();
        });

      if (!stopped && kind.queued === 0 && mayRun(tenant, kind, job.kind)) {
        count(tenant, kind, 'running', 1);
        return { state: 'now', enter: once(() => run(job, tenant, kind)), leave: leave('running') };
      }
      const kindLimit = limits.kinds[job.kind]?.queued ?? Number.POSITIVE_INFINITY;
      if (!recovered && (tenant.queued >= limits.queuedPerTenant || kind.queued >= kindLimit)) {
        forget(tenant);
        throw tenantBusy(job.tenantId, limits.retryAfterSeconds);
      }
      if (queued >= limits.queuedTotal) {
        forget(tenant);
        return { state: 'stored', enter: () => undefined, leave: () => undefined };
      }
      count(tenant, kind, 'queued', 1);
      return {
        state: 'queued',
        enter: once(() => {
          if (stopped) return;
          kind.waiting.set(job.id, { job, order: order++ });
          places.set(job.id, { tenant, kind });
          turns.add(tenant);
          pump();
        }),
        leave: leave('queued'),
      };
    },

    remove(jobId) {
      const place = places.get(jobId);
      if (!place) return false;
      unqueue(jobId, place.tenant, place.kind);
      forget(place.tenant);
      return true;
    },

    get running() {
      return running;
    },
    get queued() {
      return queued;
    },
    get full() {
      return queued >= limits.queuedTotal;
    },

    clear,
    stop() {
      stopped = true;
      clear();
    },
  };
}
