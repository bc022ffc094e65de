import type { RunWait } from '../../core/run-kind.ts';
import type { Clock } from './clock.ts';
import type { GivenField, RunDocument, RunStore } from './model.ts';
import { persist } from './patience.ts';
import type { Values } from './values.ts';

/** By key, what was given to a run from outside. */
export type Given = Map<string, { data: unknown }>;

/** Loads what is new in `fields` into `given` and returns the keys that it adds. */
export async function loadGiven(
  values: Values,
  scope: { tenantId: string },
  fields: readonly GivenField[] | undefined,
  given: Given,
): Promise<string[]> {
  const added: string[] = [];
  for (const { key, json, file } of fields ?? []) {
    if (given.has(key)) continue;
    const data = await values.load(scope, { ...(json !== undefined && { json }), ...(file !== undefined && { file }) });
    if (given.has(key)) continue;
    given.set(key, { data });
    added.push(key);
  }
  return added;
}

/**
 * Puts a run to rest until something is given for one of the keys or the first moment has come.
 *
 * @returns the moment at which it is to be woken, or null when only a gift can wake it; undefined when it cannot rest: something
 *   was given meanwhile, or the run is not ours any more
 */
export async function suspend(
  { store, clock }: { store: RunStore; clock: Clock },
  document: RunDocument,
  holder: string,
  waits: readonly RunWait[],
): Promise<Date | null | undefined> {
  const moments = waits.flatMap(({ until }) => (until ? [until.getTime()] : []));
  const wakeAt = moments.length > 0 ? new Date(Math.min(...moments)) : null;
  const rested = await persist(clock, () =>
    store.runs.in(document).update(
      {
        _id: document._id,
        open: true,
        holder,
        cancelRequest: { $exists: false },
        'given.key': { $nin: waits.map(({ key }) => key) },
      },
      {
        $set: { status: 'waiting', ...(wakeAt && { wakeAt }) },
        $unset: { holder: '', ...(!wakeAt && { wakeAt: '' }) },
      },
    ),
  );
  return rested && wakeAt;
}

/** The longest delay of a timer. */
const LONGEST_MS = 2 ** 31 - 1;
const WAKE_PAGE = 200;

interface AlarmParts {
  store: RunStore;
  clock: Clock;
  wake(run: RunDocument): Promise<void>;
  failed(error: unknown): void;
}

/** Wakes waiting runs when their moment has come: one timer for the first of them. */
export class Alarm {
  readonly #parts: AlarmParts;
  #at = Number.POSITIVE_INFINITY;
  #stop: (() => void) | undefined;
  #ringing: Promise<void> | undefined;
  #ended = false;

  constructor(parts: AlarmParts) {
    this.#parts = parts;
  }

  /** A run waits until then. */
  set(moment: Date): void {
    const at = moment.getTime();
    if (at >= this.#at || this.#ended) return;
    const { clock } = this.#parts;
    this.#stop?.();
    this.#at = at;
    this.#stop = clock.after(Math.min(Math.max(0, at - clock.now()), LONGEST_MS), () => {
      this.ring().catch((error: unknown) => this.#parts.failed(error));
    });
  }

  /** Wakes what is due and sets the timer for the next. Calls that overlap share one pass. */
  ring(): Promise<void> {
    this.#ringing ??= this.#ring().finally(() => {
      this.#ringing = undefined;
    });
    return this.#ringing;
  }

  end(): void {
    this.#ended = true;
    this.#stop?.();
  }

  async #ring(): Promise<void> {
    const { store, clock, wake } = this.#parts;
    this.#stop?.();
    this.#at = Number.POSITIVE_INFINITY;
    const runs = store.runs.acrossTenants('runs whose moment has come');
    for (;;) {
      if (this.#ended) return;
      const waiting = await runs.find(
        { status: 'waiting', wakeAt: { $exists: true } },
        { sort: { wakeAt: 1 }, limit: WAKE_PAGE },
      );
      for (const run of waiting) {
        if (!run.wakeAt) continue;
        if (run.wakeAt.getTime() > clock.now()) {
          this.set(run.wakeAt);
          return;
        }
        await wake(run);
      }
      if (waiting.length < WAKE_PAGE) return;
    }
  }
}
