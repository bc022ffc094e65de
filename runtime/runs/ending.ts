import { AppError, type ErrorRecord } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import type { RunEventInput, RunKind, RunOutcome } from '../../core/run-kind.ts';
import type { Clock } from './clock.ts';
import type { EventLog, LogSource } from './event-log.ts';
import { publicRecord } from './execution.ts';
import { inputOf, principalOf, type RunDocument, type StoredOutcome } from './model.ts';
import { pause, persist } from './patience.ts';
import type { RunWriter } from './run-writer.ts';
import type { Values } from './values.ts';

export interface Endings {
  /** The process that holds the runs which are ended here. */
  holder(): string;
  /** Ends a run: terminal event first, then the run's document, then what its kind has to do. */
  end(
    document: RunDocument,
    eventLog: EventLog,
    source: LogSource,
    outcome: RunOutcome,
    input: unknown,
    log: Logger,
  ): Promise<RunDocument | undefined>;
  /**
   * The end of the run is in the log already: brings the document and the kind in line. Whatever a crash leaves undone here is
   * done again after the next start.
   *
   * @returns the run as it is stored then; undefined when it belongs to another process by now
   */
  conclude(document: RunDocument, stored: StoredOutcome, log: Logger, known?: Known): Promise<RunDocument | undefined>;
}

interface Known {
  outcome: RunOutcome;
  input: unknown;
}

const SETTLE_RETRY_MS = [1000, 5000, 30_000];
const CLOSED = { open: '', holder: '', events: '', cancelRequest: '', given: '', wakeAt: '' } as const;

const closed = (document: RunDocument): RunDocument =>
  Object.fromEntries(
    Object.entries(document).filter(([name]) => !Object.hasOwn(CLOSED, name)),
  ) as unknown as RunDocument;

export function createEndings(parts: {
  writer: RunWriter;
  values: Values;
  clock: Clock;
  kinds: ReadonlyMap<string, RunKind>;
  holder: () => string;
  closing: () => boolean;
}): Endings {
  const { writer, values, clock, kinds, holder, closing } = parts;

  const terminalEvent = (document: RunDocument, outcome: RunOutcome, input: unknown, log: Logger): RunEventInput => {
    const kind = kinds.get(document.kind);
    try {
      return kind?.terminal?.(outcome, { runId: document._id, input }) ?? defaultTerminal(outcome);
    } catch (error) {
      log.error({ err: error }, 'run: the kind gave no terminal event');
      return defaultTerminal(outcome);
    }
  };

  const settle = async (document: RunDocument, kind: RunKind, known: Known, log: Logger): Promise<boolean> => {
    for (let attempt = 0; ; attempt += 1) {
      try {
        await kind.settled?.({ runId: document._id, principal: principalOf(document), ...known, log });
        return true;
      } catch (error) {
        log.error({ err: error, attempt }, 'run: its kind could not settle it');
        const again = SETTLE_RETRY_MS[attempt];
        // Else it stays open, and is settled after the next start.
        if (again === undefined || closing()) return false;
        await pause(clock, again);
      }
    }
  };

  const storedOutcome = async (
    document: RunDocument,
    outcome: RunOutcome,
    log: Logger,
  ): Promise<{ stored: StoredOutcome; final: RunOutcome }> => {
    if (outcome.status !== 'succeeded') return { stored: outcome, final: outcome };
    try {
      const result = await values.store(document, outcome.result, 'The result of the run');
      return { stored: { status: 'succeeded', result }, final: outcome };
    } catch (error) {
      if (error instanceof AppError && error.kind === 'unavailable') throw error;
      log.error({ err: error }, 'run: the result cannot be stored');
      const failed = { status: 'failed', error: publicRecord(error) } as const;
      return { stored: failed, final: failed };
    }
  };

  const conclude: Endings['conclude'] = async (document, stored, log, known) => {
    const kind = kinds.get(document.kind);
    // A kind that is gone may have to settle the run when it is back.
    const settles = kind === undefined || kind.settled !== undefined;
    const set = {
      status: stored.status,
      finishedAt: new Date(clock.now()),
      ...(stored.status === 'succeeded' && stored.result.json !== undefined && { result: stored.result.json }),
      ...(stored.status === 'succeeded' && stored.result.file !== undefined && { resultFile: stored.result.file }),
      ...(stored.status === 'failed' && {
        error: JSON.stringify(stored.error),
        ...(document.search !== undefined && { errorText: errorText(stored.error) }),
      }),
    };
    const isEnded = await persist(clock, () =>
      writer.end(document, holder(), { set, ...(!settles && { unset: CLOSED }) }),
    );
    if (!isEnded) return undefined;
    const concluded = settles ? { ...document, ...set } : closed({ ...document, ...set });
    if (!settles || !kind) return concluded;
    const given = known ?? {
      input: await values.load(document, inputOf(document)),
      outcome:
        stored.status === 'succeeded'
          ? { status: 'succeeded' as const, result: await values.load(document, stored.result) }
          : stored,
    };
    if (!(await settle(document, kind, given, log))) return concluded;
    const isClosed = await persist(clock, () => writer.close(document, holder(), CLOSED));
    return isClosed ? closed(concluded) : undefined;
  };

  return {
    holder,
    conclude,
    async end(document, eventLog, source, outcome, input, log) {
      const { stored, final } = await storedOutcome(document, outcome, log);
      const json = JSON.stringify(stored);
      try {
        await eventLog.append(source, { events: [terminalEvent(document, final, input, log)], outcome: json });
      } catch (error) {
        if (!(error instanceof AppError) || error.code !== 'VALUE_NOT_STORABLE') throw error;
        log.error({ err: error }, 'run: the terminal event of the kind cannot be stored');
        await eventLog.append(source, { events: [defaultTerminal(final)], outcome: json });
      }
      return conclude(document, stored, log, { outcome: final, input });
    },
  };
}

const errorText = ({ message }: ErrorRecord) => `${message.zh} ${message.en}`.toLowerCase();

const defaultTerminal = (outcome: RunOutcome): RunEventInput => {
  if (outcome.status === 'succeeded') return { type: 'run_succeeded', data: {} };
  if (outcome.status === 'failed') return { type: 'run_failed', data: { error: outcome.error } };
  return { type: 'run_cancelled', data: { reason: outcome.reason } };
};
