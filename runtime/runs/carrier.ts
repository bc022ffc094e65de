import type { Logger } from '../../core/log.ts';
import type { RunEventInput, RunKind, RunOutcome, RunWait } from '../../core/run-kind.ts';
import type { Clock } from './clock.ts';
import type { Endings } from './ending.ts';
import { runAbandoned } from './errors.ts';
import type { EventLog, LogSource } from './event-log.ts';
import type { EventLogs } from './event-logs.ts';
import { Execution, publicRecord } from './execution.ts';
import type { NodeExecutor } from './executor.ts';
import { emptyHistory, parseSteps, type RunHistory, readHistory } from './history.ts';
import { bucketId, inputOf, principalOf, type RunDocument, type RunStore } from './model.ts';
import type { RunsOptions } from './options.ts';
import type { Values } from './values.ts';
import { type Given, loadGiven, suspend } from './waiting.ts';

/** A run that this process has in hand, from the moment it may begin until all is done. */
export interface Active {
  readonly id: string;
  readonly tenantId: string;
  /** Settled when the first events of the run are stored. */
  readonly announced: PromiseWithResolvers<void>;
  /** As it was stored when it began. */
  document?: RunDocument;
  execution?: Execution;
  cancelReason?: string | undefined;
  interrupted?: boolean;
  lost?: boolean;
  /** As it is stored when all is done. */
  final?: RunDocument | undefined;
  readonly given: Given;
  /** The run rests until then. */
  wakeAt?: Date;
  /** It wanted to rest, but what it waits for has come already. */
  again?: boolean;
  /** It rests in the store. */
  resting?: boolean;
}

/** How this process came by a run. */
export type Origin =
  /** `start` has stored it as running this very moment. */
  | 'accepted'
  /** `start` of this process has stored it, and it has waited for its turn. */
  | 'queued'
  /** It was taken over from another process, or from an earlier life of this one. */
  | 'recovered';

export interface CarrierParts {
  store: RunStore;
  values: Values;
  logs: EventLogs;
  endings: Endings;
  executor: NodeExecutor;
  kinds: ReadonlyMap<string, RunKind>;
  clock: Clock;
  options: RunsOptions;
}

/**
 * Carries one claimed run out, from its first event of this attempt to its end.
 *
 * @returns false when the run has not ended (and does not rest) and should be given back to the store
 */
export async function carryOut(
  parts: CarrierParts,
  document: RunDocument,
  origin: Origin,
  active: Active,
  log: Logger,
): Promise<boolean> {
  const { store, values, logs, endings, executor, kinds, clock, options } = parts;
  const { _id: id, tenantId, attempt, takeovers } = document;
  const eventLog = await logs.open(document, document.logId);
  try {
    const cancelled = active.cancelReason ?? document.cancelRequest;
    const history =
      origin === 'recovered'
        ? await takeOver(store, document, eventLog, cancelled === undefined)
        : emptyHistory(eventLog.nextN);
    if (history.outcome) {
      active.final = await endings.conclude(document, history.outcome, log);
      return true;
    }
    const input = await values.load(document, inputOf(document));
    const end = async (source: LogSource, outcome: RunOutcome) => {
      active.final = await endings.end(document, eventLog, source, outcome, input, log);
      return true;
    };
    const plain: LogSource = { runId: id, attempt, marks: new Set(), lost: () => undefined };
    const first = origin === 'accepted' ? startEvents(document) : [];
    const cancelReason = active.cancelReason ?? document.cancelRequest;
    if (cancelReason !== undefined && first.length > 0) void eventLog.append(plain, { events: first });
    if (cancelReason !== undefined) return await end(plain, { status: 'cancelled', reason: cancelReason });
    if (takeovers > options.maxTakeovers) {
      return await end(plain, { status: 'failed', error: publicRecord(runAbandoned(takeovers)) });
    }
    const kind = kinds.get(document.kind);
    if (!kind || active.interrupted || active.lost) return active.lost === true;

    await loadGiven(values, document, document.given, active.given);
    const execution = new Execution({
      run: { id, tenantId, attempt },
      given: active.given,
      principal: principalOf(document),
      input,
      kind,
      history,
      eventLog,
      executor,
      values,
      clock,
      log,
      graceMs: options.graceMs,
      markAfterMs: options.markAfterMs,
      forgivenDeaths: options.forgivenDeaths,
      async readStep(n, key) {
        const _id = bucketId(document.logId, n);
        const bucket = await store.buckets.in(document).findOne({ _id }, { fields: ['steps'] });
        const step = parseSteps(bucket?.steps).find((each) => each.key === key);
        return step && { json: step.json, file: step.file };
      },
    });
    active.execution = execution;
    if (origin !== 'recovered') {
      const started = { type: 'run_started', data: { kind: document.kind, attempt } };
      const stored = eventLog.append(execution.source, { events: [...first, started] });
      stored.then(() => active.announced.resolve(), active.announced.resolve);
    }
    const ending = await execution.run();
    if (ending.how === 'ended') return await end(execution.source, ending.outcome);
    if (ending.how === 'waiting') return await rest(parts, document, active, ending.waits);
    return ending.how === 'lost';
  } finally {
    logs.release(eventLog);
  }
}

async function rest(
  parts: CarrierParts,
  document: RunDocument,
  active: Active,
  waits: readonly RunWait[],
): Promise<boolean> {
  const wakeAt =
    active.cancelReason === undefined ? await suspend(parts, document, parts.endings.holder(), waits) : undefined;
  active.again = wakeAt === undefined;
  active.resting = wakeAt !== undefined;
  if (wakeAt) active.wakeAt = wakeAt;
  return true;
}

/**
 * Makes this process the one that writes for the run: once the event is stored, an earlier holder that is still alive is refused
 * by the log. Only then what the run has done is known for certain.
 */
async function takeOver(
  store: RunStore,
  document: RunDocument,
  eventLog: EventLog,
  announce: boolean,
): Promise<RunHistory> {
  const { _id: id, tenantId, logId, logStart, attempt, kind } = document;
  const run = { id, tenantId, logId };
  const before = await readHistory(store.buckets, run, logStart);
  if (before.outcome) return before;
  const fence: LogSource = { runId: id, attempt, marks: new Set(), lost: () => undefined };
  const events: RunEventInput[] = before.present ? [] : startEvents(document);
  if (announce) events.push({ type: before.begun ? 'run_resumed' : 'run_started', data: { kind, attempt } });
  const { n } = await eventLog.append(fence, { events });
  return n === before.nextN ? before : readHistory(store.buckets, run, logStart);
}

const startEvents = (document: RunDocument): RunEventInput[] =>
  document.events === undefined ? [] : (JSON.parse(document.events) as RunEventInput[]);
