import type { RunEventInput } from '../../core/run-kind.ts';
import type { Bucket } from './buckets.ts';
import { logOverflow, notStorable } from './errors.ts';
import { type BucketFields, bucketId } from './model.ts';
import { fits, INLINE_BYTES, type StoredValue, type Values } from './values.ts';

/** Who writes to a log: one attempt of a run, or the world outside. */
export interface LogSource {
  /** Empty: from outside a run. */
  readonly runId: string;
  readonly attempt: number;
  /** Nodes that have begun and are not yet noted as such; they ride along with the next bucket. */
  readonly marks: Set<string>;
  /** Set when the source may not write any more; everything it appends is refused with it. */
  closed?: Error;
  /** Another process writes for the run: this one has lost it. */
  lost(): void;
}

export const outside = (): LogSource => ({ runId: '', attempt: 0, marks: new Set(), lost: () => undefined });

/** What becomes durable in one write. */
export interface LogEntry {
  events?: readonly RunEventInput[];
  steps?: readonly StepEntry[];
  released?: readonly string[];
  /** Nobody is held up when it is stored some milliseconds later. */
  mayWait?: boolean;
  /** JSON of a `StoredOutcome`. */
  outcome?: string;
}

/** The result of a step: as it is stored, or how to store it first when it is too large for a document. */
export type StepEntry = { key: string } & (StoredValue | { write: () => Promise<StoredValue> });

/** Where an entry was stored. */
export interface Placed {
  n: number;
  /** `seq` of its first event and of the first one after it. */
  from: number;
  to: number;
}

interface Waiting {
  readonly source: LogSource;
  /** JSON of each event. */
  readonly events: string[];
  readonly types: readonly string[];
  /** JSON of each step. */
  readonly steps: string[];
  readonly entry: LogEntry;
  readonly bytes: number;
  /** False while its large values are on their way to their files. */
  ready: boolean;
  resolve(placed: Placed): void;
  reject(error: unknown): void;
}

/** A bucket on its way to the store. */
export interface PendingBucket {
  readonly log: EventLog;
  readonly source: LogSource;
  readonly document: BucketFields & { _id: string; tenantId: string };
  readonly bytes: number;
  readonly waiting: Waiting[];
  readonly marks: string[];
}

const BUCKET_EVENTS = 256;
const BUCKET_BYTES = 128 * 1024;
/** What a source may have waiting; whoever awaits its events never comes near. */
const WAITING_BYTES = 32 * 1024 * 1024;
/** One entry is one document in the end. */
const ENTRY_BYTES = 8 * 1024 * 1024;
/** What a waiting event costs beside its text. */
const OVERHEAD = 200;

/** The end of one event log in this process: what waits to be stored, and who waits for news. */
export class EventLog {
  readonly tenantId: string;
  readonly logId: string;
  nextN: number;
  nextSeq: number;
  /** Runs, subscriptions and calls that hold it; unused logs may be forgotten. */
  uses = 0;
  /** One at a time: a second one could be stored although the first was refused. */
  inFlight: PendingBucket | undefined;
  #queue: Waiting[] = [];
  #bytes = 0;
  readonly #listeners = new Set<() => void>();
  readonly #values: Values;
  readonly #schedule: (log: EventLog, mayWait?: boolean) => void;
  readonly #now: () => number;

  constructor(
    scope: { tenantId: string; logId: string },
    end: { nextN: number; nextSeq: number },
    parts: { values: Values; schedule: (log: EventLog, mayWait?: boolean) => void; now: () => number },
  ) {
    this.tenantId = scope.tenantId;
    this.logId = scope.logId;
    this.nextN = end.nextN;
    this.nextSeq = end.nextSeq;
    this.#values = parts.values;
    this.#schedule = parts.schedule;
    this.#now = parts.now;
  }

  get idle(): boolean {
    return this.uses === 0 && this.#queue.length === 0 && !this.inFlight;
  }

  get ready(): boolean {
    return !this.inFlight && this.#queue[0]?.ready === true;
  }

  /**
   * Queues an entry behind those that were appended before. Resolves when it is stored.
   *
   * The order is settled by the call, so nobody has to wait for one entry before the next; a failure is always delivered by
   * the promise, and an ignored promise does no harm.
   */
  append(source: LogSource, entry: LogEntry): Promise<Placed> {
    const stored = this.#enqueue(source, entry);
    stored.catch(() => undefined);
    return stored;
  }

  async #enqueue(source: LogSource, entry: LogEntry): Promise<Placed> {
    if (source.closed) throw source.closed;
    if (this.#bytes > WAITING_BYTES && entry.outcome === undefined) throw logOverflow(this.logId);
    const at = this.#now();
    const large: { index: number; type: string; json: string }[] = [];
    let bytes = OVERHEAD;
    const events = (entry.events ?? []).map(({ type, data }, index) => {
      const json = jsonOf(type, data);
      if (!fits(json, INLINE_BYTES)) large.push({ index, type, json });
      bytes += json.length + OVERHEAD;
      return `{"type":${JSON.stringify(type)},"at":${at},"data":${json}}`;
    });
    const files: { index: number; key: string; write: () => Promise<StoredValue> }[] = [];
    const steps = (entry.steps ?? []).map((step, index) => {
      if ('write' in step) {
        files.push({ index, key: step.key, write: step.write });
        return '';
      }
      const text = JSON.stringify(step);
      bytes += text.length;
      return text;
    });
    for (const { json } of large) bytes -= json.length;
    if (bytes > ENTRY_BYTES) throw notStorable(`${events.length} events at once`);

    const { promise, resolve, reject } = Promise.withResolvers<Placed>();
    const types = (entry.events ?? []).map(({ type }) => type);
    const ready = large.length === 0 && files.length === 0;
    const waiting: Waiting = { source, events, types, steps, entry, bytes, ready, resolve, reject };
    this.#queue.push(waiting);
    this.#bytes += bytes;
    if (!waiting.ready) {
      this.#storeLarge(waiting, large, files, at).catch((error: unknown) => {
        this.#remove(waiting);
        reject(error);
        this.#schedule(this);
      });
    }
    this.#schedule(this, entry.mayWait);
    return promise;
  }

  async #storeLarge(
    waiting: Waiting,
    large: { index: number; type: string; json: string }[],
    files: { index: number; key: string; write: () => Promise<StoredValue> }[],
    at: number,
  ) {
    for (const { index, type, json } of large) {
      const { file } = await this.#values.storeText(this, json);
      waiting.events[index] = JSON.stringify({ type, at, file });
    }
    for (const { index, key, write } of files) {
      waiting.steps[index] = JSON.stringify({ key, ...(await write()) });
    }
    waiting.ready = true;
    this.#schedule(this);
  }

  /** The next bucket to be stored: as many ready entries of one source from the front as fit. */
  build(writeId: string): PendingBucket | undefined {
    const first = this.#queue[0];
    if (!first?.ready || this.inFlight) return undefined;
    const { source } = first;
    let count = 0;
    let events = 0;
    let bytes = 0;
    for (const next of this.#queue) {
      const full = events + next.events.length > BUCKET_EVENTS || bytes + next.bytes > BUCKET_BYTES;
      if (next.source !== source || !next.ready || (count > 0 && full)) break;
      count += 1;
      events += next.events.length;
      bytes += next.bytes;
    }
    const waiting = this.#queue.splice(0, count);
    this.#bytes -= bytes;
    const marks = [...source.marks];
    // From now on they may be in the store: a node that ends meanwhile must say so.
    source.marks.clear();
    const steps = waiting.flatMap(({ steps }) => steps);
    const released = waiting.flatMap(({ entry }) => entry.released ?? []);
    const outcome = waiting.find(({ entry }) => entry.outcome !== undefined)?.entry.outcome;
    const document: PendingBucket['document'] = {
      _id: bucketId(this.logId, this.nextN),
      tenantId: this.tenantId,
      logId: this.logId,
      ...(source.runId !== '' && { runId: source.runId }),
      attempt: source.attempt,
      n: this.nextN,
      from: this.nextSeq,
      to: this.nextSeq + events,
      events: `[${waiting.flatMap((each) => each.events).join(',')}]`,
      types: [...new Set(waiting.flatMap(({ types }) => types))],
      ...(steps.length > 0 && { steps: `[${steps.join(',')}]` }),
      ...(marks.length > 0 && { started: marks }),
      ...(released.length > 0 && { released }),
      ...(outcome !== undefined && { outcome }),
      writeId,
    };
    this.inFlight = { log: this, source, document, bytes, waiting, marks };
    return this.inFlight;
  }

  /** The bucket is durable: its writers and the followers of the log may know. */
  commit(pending: PendingBucket): void {
    const { document, waiting } = pending;
    this.inFlight = undefined;
    this.nextN = document.n + 1;
    this.nextSeq = document.to;
    let from = document.from;
    for (const { events, resolve } of waiting) {
      resolve({ n: document.n, from, to: from + events.length });
      from += events.length;
    }
    this.#changed();
  }

  /** The bucket was not stored; its entries wait again, in front. */
  putBack(pending: PendingBucket): void {
    this.inFlight = undefined;
    for (const key of pending.marks) pending.source.marks.add(key);
    this.#queue.unshift(...pending.waiting);
    this.#bytes += pending.bytes;
  }

  /** The bucket cannot be stored at all. */
  refuse(pending: PendingBucket, error: unknown): void {
    this.inFlight = undefined;
    for (const { reject } of pending.waiting) reject(error);
  }

  /** Takes in what another process appended; a source whose run that process writes for is told that it has lost it. */
  follow(buckets: readonly Bucket[]): void {
    for (const bucket of buckets) {
      if (bucket.n < this.nextN) continue;
      this.nextN = bucket.n + 1;
      this.nextSeq = bucket.to;
      if (bucket.runId === '') continue;
      for (const source of new Set(this.#queue.map((waiting) => waiting.source))) {
        if (source.runId === bucket.runId) source.lost();
      }
    }
    this.#changed();
  }

  /** Refuses whatever a source has waiting, and everything it appends from now on. */
  close(source: LogSource, error: Error): void {
    source.closed ??= error;
    const dropped = this.#queue.filter((waiting) => waiting.source === source);
    for (const waiting of dropped) {
      this.#remove(waiting);
      waiting.reject(error);
    }
  }

  /** Calls `listener` once after the next change. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  wake(): void {
    this.#changed();
  }

  #changed() {
    const listeners = [...this.#listeners];
    this.#listeners.clear();
    for (const listener of listeners) listener();
  }

  #remove(waiting: Waiting) {
    const at = this.#queue.indexOf(waiting);
    if (at < 0) return;
    this.#queue.splice(at, 1);
    this.#bytes -= waiting.bytes;
  }
}

function jsonOf(type: string, data: Record<string, unknown>): string {
  try {
    return JSON.stringify(data) ?? '{}';
  } catch (error) {
    throw notStorable(`The event ${type}`, error);
  }
}
