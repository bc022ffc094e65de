import type { Principal } from '../../../core/principal.ts';
import type { RunEvent, RunService } from '../../../runtime/runs/service.ts';
import type { AgentEvent } from '../../agents/public.ts';
import { isDocumented } from './vocabulary.ts';

export interface IndexedEvent {
  idx: number;
  event: RunEvent & { type: AgentEvent };
}

export interface EventPage {
  events: IndexedEvent[];
  /** The log went on when the page was full. */
  more: boolean;
  /** When the last event of the log was written, as far as it was read. */
  lastAt: Date | undefined;
}

export interface EventIndex {
  /** The documented events of a log from number `from` on, as many as fit into one answer. */
  read(principal: Principal, logId: string, from: number): Promise<EventPage>;
  forget(logId: string): void;
}

/** What one answer holds at most; a client gets the rest with the next one. */
export interface PageLimits {
  events: number;
  /** Characters of the events' data, about. */
  characters: number;
}

interface Entry {
  /** Numbers in the log of the events that clients do not see, ascending. There are few: starts, restarts, retries. */
  hidden: number[];
  /** The log is known up to here. */
  scanned: number;
  lastAt: Date | undefined;
}

const PAGE = 1000;
const DEFAULT_LIMITS: PageLimits = { events: 5000, characters: 4 << 20 };

/**
 * Finds the n-th documented event of a log: the log numbers all of its events, clients count those of the vocabulary only. What is known
 * of a log is a handful of numbers; the logs that were not asked for longest are forgotten, and read once from their beginning when they
 * are asked for again.
 */
export function createEventIndex(
  runs: Pick<RunService, 'events'>,
  { logs = 5000, limits = DEFAULT_LIMITS }: { logs?: number; limits?: PageLimits } = {},
): EventIndex {
  const entries = new Map<string, Entry>();

  const entryOf = (logId: string): Entry => {
    const entry = entries.get(logId) ?? { hidden: [], scanned: 0, lastAt: undefined };
    entries.delete(logId);
    entries.set(logId, entry);
    if (entries.size > logs) entries.delete(entries.keys().next().value as string);
    return entry;
  };

  const take = (entry: Entry, events: readonly RunEvent[]) => {
    for (const { seq, type, at } of events) {
      if (seq < entry.scanned) continue;
      if (!isDocumented(type)) entry.hidden.push(seq);
      entry.scanned = seq + 1;
      entry.lastAt = at;
    }
  };

  return {
    async read(principal, logId, from) {
      const entry = entryOf(logId);
      const load = async (seq: number) => {
        const events = await runs.events(principal, logId, seq, PAGE);
        take(entry, events);
        return events;
      };
      const end = (events: IndexedEvent[], more: boolean): EventPage => ({ events, more, lastAt: entry.lastAt });

      while (entry.scanned < seqOf(entry, from)) if ((await load(entry.scanned)).length === 0) return end([], false);

      const found: IndexedEvent[] = [];
      let characters = 0;
      for (let seq = seqOf(entry, from); ; ) {
        const events = await load(seq);
        for (const event of events) {
          if (!isSeen(event)) continue;
          if (found.length >= limits.events || characters >= limits.characters) return end(found, true);
          found.push({ idx: from + found.length, event });
          characters += sizeOf(event.data);
        }
        if (events.length < PAGE) return end(found, false);
        seq += events.length;
      }
    },

    forget: (logId) => void entries.delete(logId),
  };
}

const isSeen = (event: RunEvent): event is IndexedEvent['event'] => isDocumented(event.type);

/** Where in the log the event with a number is, or would be. */
function seqOf({ hidden }: Entry, idx: number): number {
  let seq = idx;
  for (const one of hidden) {
    if (one > seq) break;
    seq += 1;
  }
  return seq;
}

/** Characters of the data, about: most events hold a short text, some an object. */
function sizeOf(data: Record<string, unknown>): number {
  let size = 100;
  for (const value of Object.values(data)) {
    if (typeof value === 'string') size += value.length;
    else if (typeof value === 'object' && value !== null) size += JSON.stringify(value).length;
  }
  return size;
}
