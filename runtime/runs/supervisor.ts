import type { Logger } from '../../core/log.ts';
import type { RunKind } from '../../core/run-kind.ts';
import type { Dispatcher, DispatchJob, Place } from '../dispatch/dispatcher.ts';
import { type Active, type CarrierParts, carryOut, type Origin } from './carrier.ts';
import type { Clock } from './clock.ts';
import type { Endings } from './ending.ts';
import { runNotFound, shuttingDown } from './errors.ts';
import { readHistory } from './history.ts';
import type { Hosts } from './hosts.ts';
import type { LogWriter } from './log-writer.ts';
import { isTerminal, type RunDocument, type RunStore } from './model.ts';
import type { RunsOptions } from './options.ts';
import { createNews, type News, pause, persist } from './patience.ts';
import type { RunState } from './service.ts';
import { EndedStates, stateOf } from './states.ts';
import { Alarm, loadGiven } from './waiting.ts';

export interface Job extends DispatchJob {
  readonly origin: Origin;
  /** Attempts so far. */
  readonly attempt: number;
  /** Its process died while it was running. */
  readonly unclean?: boolean;
}

export interface SupervisorParts extends CarrierParts {
  writer: LogWriter;
  endings: Endings;
  kinds: Map<string, RunKind>;
  log: Logger;
  hosts: (callbacks: { onLost(lostId: string): void; onBeat(): void }) => Hosts;
  dispatcher: (begin: (job: Job) => Promise<void>) => Dispatcher<Job>;
}

const TAKE_UP_PAGE = 200;
/** Between giving a run back and looking for runs again. */
const SECOND_LOOK_MS = 1000;
/** After the database failed. */
const LOOK_AGAIN_MS = 5000;

/** Decides which runs this process has in hand: takes them up, carries them out, cancels them, lets them go. */
export class Supervisor {
  closing = false;
  closed = false;
  readonly #parts: SupervisorParts;
  readonly #store: RunStore;
  readonly #clock: Clock;
  readonly #options: RunsOptions;
  readonly #hosts: Hosts;
  readonly #dispatcher: Dispatcher<Job>;
  readonly #news: News;
  readonly #alarm: Alarm;
  readonly #active = new Map<string, Active>();
  /** Stored by `start` in the moment before they begin: no need to read them again. */
  readonly #accepted = new Map<string, RunDocument>();
  /** Cancelled in the moment between being stored and entering the queue. */
  readonly #cancelSoon = new Map<string, string>();
  readonly #background = new Set<Promise<void>>();
  readonly #ended = new EndedStates();
  #recovering: Promise<void> | undefined;
  #recoverAgain = false;
  #recovered = false;
  /** The store has pending runs that are not in memory. */
  #backlog = false;

  constructor(parts: SupervisorParts) {
    this.#parts = parts;
    this.#store = parts.store;
    this.#clock = parts.clock;
    this.#options = parts.options;
    this.#news = createNews(parts.clock);
    this.#hosts = parts.hosts({ onLost: (id) => this.#loseAll(id), onBeat: () => this.#look() });
    this.#dispatcher = parts.dispatcher((job) => this.#begin(job));
    this.#alarm = new Alarm({
      ...parts,
      wake: (run) => this.#wake(run),
      failed: (error) => {
        parts.log.error({ err: error }, 'runs: waiting runs could not be woken');
        this.#clock.after(LOOK_AGAIN_MS, () => this.#look());
      },
    });
    if (!parts.options.exclusive) this.#watchRequests();
  }

  get holder(): string {
    return this.#hosts.id;
  }

  async isAlive(holder: string): Promise<boolean> {
    return (await this.#hosts.alive()).includes(holder);
  }

  get running(): number {
    return this.#active.size;
  }

  /** The state of a run that is being carried out here, or was until lately; undefined when only the store knows. */
  state(id: string): RunState | undefined {
    const { document, final } = this.#active.get(id) ?? {};
    if (final) return stateOf(final);
    return document ? { ...stateOf(document), status: 'running' } : this.#ended.get(id);
  }

  /** The runs are removed from the store. */
  forget(ids: readonly string[]): void {
    this.#ended.forget(ids);
  }

  /** Resolves when this process may hold runs. */
  joined(): Promise<void> {
    return this.#hosts.join();
  }

  register(kind: RunKind): () => void {
    const { kinds } = this.#parts;
    if (kinds.has(kind.kind)) throw new Error(`The run kind ${kind.kind} is registered twice`);
    kinds.set(kind.kind, kind);
    if (this.#recovered) this.#look();
    return () => {
      kinds.delete(kind.kind);
    };
  }

  admit(job: DispatchJob): Place {
    const place = this.#dispatcher.admit({ ...job, origin: 'queued', attempt: 0 });
    if (place.state === 'stored') this.#backlog = true;
    return place;
  }

  /** The run is stored as running and begins now. Resolves when its first events are stored, or it has ended without. */
  accept(document: RunDocument, place: Place): Promise<void> {
    this.#accepted.set(document._id, document);
    place.enter();
    return this.#active.get(document._id)?.announced.promise ?? Promise.resolve();
  }

  /** A stored run that cannot be begun the usual way. */
  giveBack({ _id: id, tenantId, kind }: RunDocument, cause: unknown): void {
    this.#parts.log.error({ err: cause, runId: id, tenantId }, 'run: it will be begun later');
    this.#inBackground(this.#letGo({ id, tenantId, kind, origin: 'queued', attempt: 0 }));
  }

  #activate(id: string, tenantId: string): Active {
    const cancelReason = this.#cancelSoon.get(id);
    const announced = Promise.withResolvers<void>();
    const given = new Map<string, { data: unknown }>();
    const active: Active = { id, tenantId, cancelReason, announced, interrupted: this.closing, given };
    this.#active.set(id, active);
    return active;
  }

  #deactivate(active: Active): void {
    active.announced.resolve();
    // Another process may remove a run; nobody would tell this one.
    if (active.final && this.#options.exclusive) this.#ended.add(active.final);
    // A run that was lost may have been taken up again by this very process.
    if (this.#active.get(active.id) === active) this.#active.delete(active.id);
    this.#news.tell(active.id);
  }

  async #begin(job: Job): Promise<void> {
    const { id, tenantId } = job;
    const active = this.#activate(id, tenantId);
    const accepted = this.#accepted.get(id);
    this.#accepted.delete(id);
    const log = this.#parts.log.child({ runId: id, tenantId });
    try {
      const document = accepted ?? (await persist(this.#clock, () => this.#claimed(job)));
      if (!document) return;
      active.document = document;
      const done = await carryOut(this.#parts, document, accepted ? 'accepted' : job.origin, active, log);
      if (!done) this.#inBackground(this.#letGo(job));
    } catch (error) {
      log.error({ err: error }, 'run: this attempt broke off');
      // Counted like a crash, so that a run which breaks every time is given up in the end.
      this.#inBackground(this.#letGo(job, { broken: true }));
    } finally {
      this.#deactivate(active);
      if (active.wakeAt) this.#alarm.set(active.wakeAt);
      // Cancelled in the moment in which it was put to rest.
      if (active.resting && active.cancelReason !== undefined) {
        this.#inBackground(this.#requestCancel({ _id: id, tenantId, kind: job.kind }, active.cancelReason));
      }
      if (active.again) this.#enter({ ...job, origin: 'recovered', attempt: job.attempt + 1, unclean: false });
      if (this.#backlog && !this.#dispatcher.full) this.#look();
    }
  }

  /** Marks a waiting run as running. Undefined: it has ended or belongs to somebody else by now. */
  #claimed(job: Job): Promise<RunDocument | undefined> {
    return this.#store.runs.in(job).update(
      { _id: job.id, open: true, holder: this.holder, status: { $in: ['pending', 'running', 'waiting'] } },
      {
        $set: { status: 'running', ...(job.attempt === 0 && { startedAt: new Date(this.#clock.now()) }) },
        $inc: { attempt: 1, takeovers: job.unclean ? 1 : 0 },
      },
    );
  }

  /** Gives the run back to the store without an end; whoever looks for runs next takes it up. */
  async #letGo(job: Job, { broken = false } = {}): Promise<void> {
    const { holder } = this;
    const give = () =>
      this.#store.runs
        .in(job)
        .update(
          { _id: job.id, open: true, holder },
          { $unset: { holder: '' }, ...(broken && { $inc: { takeovers: 1 } }) },
        );
    // Without this write nobody would ever look at the run again in the life of this process.
    for (let given = false; !given && !this.closing; ) {
      try {
        await persist(this.#clock, give);
        given = true;
      } catch (error) {
        this.#parts.log.error({ err: error, runId: job.id }, 'runs: a run could not be given back yet');
        await pause(this.#clock, LOOK_AGAIN_MS);
      }
    }
    this.#clock.after(SECOND_LOOK_MS, () => this.#look());
  }

  // Runs that wait for something.

  /** Something was given to a run: tells the one that is being carried out here. `woken`: it rested, and is this process's now. */
  async given(document: RunDocument, woken: boolean): Promise<void> {
    const active = this.#active.get(document._id);
    if (active) {
      const added = await loadGiven(this.#parts.values, document, document.given, active.given);
      for (const key of added) active.execution?.tell(key);
    }
    if (woken) this.#enterWoken(document);
  }

  async #wake({ _id, tenantId }: RunDocument): Promise<void> {
    const woken = await this.#store.runs
      .in({ tenantId })
      .update(
        { _id, open: true, status: 'waiting', holder: { $exists: false } },
        { $set: { status: 'pending', holder: this.holder }, $unset: { wakeAt: '' } },
      );
    if (woken) this.#enterWoken(woken);
  }

  #enterWoken({ _id: id, tenantId, kind, attempt }: RunDocument): void {
    if (!this.closing) this.#enter({ id, tenantId, kind, attempt, origin: 'recovered' });
  }

  #enter(job: Job): void {
    const place = this.#dispatcher.admit(job, { recovered: true });
    if (place.state === 'stored') this.#inBackground(this.#letGo(job));
    else place.enter();
  }

  // Cancelling and waiting.

  /** Resolves when the run has ended. */
  async cancel(document: RunDocument, reason: string): Promise<RunDocument> {
    const { _id: id } = document;
    if (isTerminal(document.status) && !this.#active.has(id)) return document;
    this.#cancelSoon.set(id, reason);
    try {
      await this.#requestCancel(document, reason);
      return await this.ended(document, id);
    } finally {
      this.#cancelSoon.delete(id);
    }
  }

  async #requestCancel(
    { _id: id, tenantId, kind }: Pick<RunDocument, '_id' | 'tenantId' | 'kind'>,
    reason: string,
  ): Promise<void> {
    if (this.#cancelActive(id, reason)) return;
    const requested = await this.#store.runs
      .in({ tenantId })
      .update(
        { _id: id, open: true, status: { $in: ['pending', 'running', 'waiting'] } },
        { $set: { cancelRequest: reason } },
      );
    // It may have begun while the request was being stored.
    if (!requested || this.#cancelActive(id, reason)) return;
    const job: Job = { id, tenantId, kind, origin: 'recovered', attempt: requested.attempt };
    if (this.#dispatcher.remove(id)) return this.#begin(job);
    // Held by this process and neither waiting nor active: it is about to enter, and finds the request then.
    if (requested.holder === this.holder) return;
    const held = requested.holder !== undefined && (await this.isAlive(requested.holder));
    if (!held && (await this.#claim(requested))) await this.#begin(job);
  }

  #cancelActive(id: string, reason: string): boolean {
    const active = this.#active.get(id);
    if (!active) return false;
    active.cancelReason ??= reason;
    active.execution?.cancel(reason);
    return true;
  }

  /**
   * Resolves when the run has ended and its kind has settled it.
   *
   * @throws {AppError} RUN_NOT_FOUND; SHUTTING_DOWN when this process lets the run go; the reason of the signal
   */
  async ended({ tenantId }: { tenantId: string }, id: string, signal?: AbortSignal): Promise<RunDocument> {
    const ms = this.#options.exclusive ? undefined : this.#options.pollMs;
    for (;;) {
      signal?.throwIfAborted();
      // Asked for before the look at the store: what happens meanwhile is not missed.
      const news = this.#news.of(id, { signal, ms });
      try {
        const active = this.#active.get(id);
        if (active?.tenantId === tenantId) {
          await news.arrived;
          if (active.final) return active.final;
          continue;
        }
        const current = await this.#store.runs.in({ tenantId }).get(id);
        if (!current) throw runNotFound(id);
        if (isTerminal(current.status) && !this.#active.has(id)) return current;
        if (this.closing && !this.#active.has(id)) throw shuttingDown();
        await news.arrived;
      } finally {
        news.stop();
      }
    }
  }

  // Recovery.

  /** Takes up what nobody holds. Calls that overlap are served by one more pass. */
  recover(): Promise<void> {
    this.#recovered = true;
    if (this.#recovering) {
      this.#recoverAgain = true;
      return this.#recovering;
    }
    const passes = async () => {
      await this.#hosts.join();
      do {
        this.#recoverAgain = false;
        await this.#takeUpOrphans();
        await this.#alarm.ring();
      } while (this.#recoverAgain && !this.closing);
    };
    this.#recovering = passes().finally(() => {
      this.#recovering = undefined;
    });
    return this.#recovering;
  }

  async #takeUpOrphans(): Promise<void> {
    const runs = this.#store.runs.acrossTenants('recovery: runs without a living holder');
    this.#backlog = false;
    let after: Date | undefined;
    for (;;) {
      const orphans = await runs.find(
        {
          open: true,
          kind: { $in: [...this.#parts.kinds.keys()] },
          holder: { $nin: await this.#hosts.alive() },
          // Waiting runs have no holder and need none, unless somebody wants them to end.
          $or: [{ status: { $ne: 'waiting' } }, { cancelRequest: { $exists: true } }],
          ...(after && { createdAt: { $gte: after } }),
        },
        { sort: { createdAt: 1 }, limit: TAKE_UP_PAGE },
      );
      let taken = 0;
      for (const orphan of orphans) {
        if (this.closing) return;
        if (this.#dispatcher.full) {
          this.#backlog = true;
          return;
        }
        if (await this.#takeUp(orphan)) taken += 1;
      }
      after = orphans.at(-1)?.createdAt;
      if (orphans.length < TAKE_UP_PAGE || taken === 0) return;
    }
  }

  async #takeUp(orphan: RunDocument): Promise<boolean> {
    if (!(await this.#claim(orphan))) return false;
    if (isTerminal(orphan.status)) {
      this.#inBackground(this.#settleLate(orphan));
      return true;
    }
    const { _id: id, tenantId, kind, attempt } = orphan;
    const unclean = orphan.status === 'running' && orphan.holder !== undefined;
    const job: Job = { id, tenantId, kind, attempt, unclean, origin: 'recovered' };
    const place = this.#dispatcher.admit(job, { recovered: true });
    if (place.state === 'stored') await this.#letGo(job);
    place.enter();
    return true;
  }

  /** The end is stored, its kind has still to settle it. */
  async #settleLate(document: RunDocument): Promise<void> {
    const { _id: id, tenantId, logId, logStart } = document;
    const active = this.#activate(id, tenantId);
    try {
      const history = await readHistory(this.#store.buckets, { id, tenantId, logId }, logStart);
      if (!history.outcome) throw new Error(`The log of the ended run ${id} has no terminal event`);
      const log = this.#parts.log.child({ runId: id, tenantId });
      active.final = await this.#parts.endings.conclude(document, history.outcome, log);
    } finally {
      this.#deactivate(active);
    }
  }

  async #claim({ _id, tenantId, holder }: RunDocument): Promise<boolean> {
    const claimed = await this.#store.runs
      .in({ tenantId })
      .update(
        { _id, open: true, holder: holder === undefined ? { $exists: false } : holder },
        { $set: { holder: this.holder } },
      );
    return claimed !== undefined;
  }

  /** Recovery without anybody waiting for it. */
  #look(): void {
    if (this.closing) return;
    const again = () => {
      this.#clock.after(LOOK_AGAIN_MS, () => this.#look());
    };
    this.#inBackground(
      this.recover().catch((error: unknown) => {
        again();
        throw error;
      }),
    );
  }

  /** While other processes may be asked to cancel the runs of this one. */
  #watchRequests(): void {
    this.#clock.after(this.#options.pollMs, () => {
      if (this.closing) return;
      const look = this.#active.size > 0 ? this.#lookForRequests() : Promise.resolve();
      this.#inBackground(look.finally(() => this.#watchRequests()));
    });
  }

  /** Cancel requests that other processes have stored. */
  async #lookForRequests(): Promise<void> {
    const asked = await this.#store.runs
      .acrossTenants('cancel requests for the runs of this process')
      .find(
        { open: true, holder: this.holder, cancelRequest: { $exists: true } },
        { limit: 1000, fields: ['_id', 'cancelRequest'] },
      );
    for (const { _id: id, cancelRequest } of asked) {
      if (cancelRequest !== undefined) this.#cancelActive(id, cancelRequest);
    }
    const listening = [...this.#active.values()].filter(({ execution }) => execution?.listening);
    if (listening.length === 0) return;
    const given = await this.#store.runs
      .acrossTenants('what other processes were given for the runs of this one')
      .find({ _id: { $in: listening.map(({ id }) => id) }, 'given.key': { $exists: true } }, { limit: 1000 });
    for (const document of given) await this.given(document, false);
  }

  #loseAll(lostId: string): void {
    this.#parts.log.error({ holder: lostId, runs: this.#active.size }, 'runs: all runs of this process are given up');
    // What waits here may be taken up by anybody now, this process among them.
    this.#dispatcher.clear();
    for (const active of this.#active.values()) {
      active.lost = true;
      active.execution?.lose();
    }
  }

  /** Accepts nothing more, interrupts what runs, and gives everything back to the store. */
  async close(timeoutMs: number): Promise<void> {
    if (this.closing) return;
    this.closing = true;
    this.#alarm.end();
    this.#dispatcher.stop();
    for (const active of this.#active.values()) {
      active.interrupted = true;
      active.execution?.interrupt('shutdown');
    }
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const stopTimer = this.#clock.after(timeoutMs, resolve);
    await Promise.race([this.#drained(), late]);
    stopTimer();
    for (const { execution } of this.#active.values()) execution?.lose();
    try {
      await this.#store.runs
        .acrossTenants('what this process still holds is for the next one')
        .updateMany({ open: true, holder: this.holder }, { $unset: { holder: '' } });
      await this.#hosts.leave();
    } catch (error) {
      this.#parts.log.warn({ err: error }, 'runs: not everything could be given back');
    }
    this.closed = true;
    this.#news.tellAll();
    this.#parts.logs.close();
  }

  async #drained(): Promise<void> {
    for (const id of this.#active.keys()) {
      while (this.#active.has(id)) await this.#news.of(id).arrived;
    }
    await Promise.allSettled(this.#background);
    await this.#parts.writer.settled();
  }

  #inBackground(work: Promise<void>): void {
    const watched: Promise<void> = work
      .catch((error: unknown) => this.#parts.log.error({ err: error }, 'runs: a background task failed'))
      .finally(() => this.#background.delete(watched));
    this.#background.add(watched);
  }
}
