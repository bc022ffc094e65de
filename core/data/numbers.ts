import type { Collection, Database, Document } from './database.ts';
import { isDuplicate } from './errors.ts';

/**
 * Running numbers for ids: contracts that show integers where others show UUIDs use them. A number is made when an id is
 * first seen, counts from 1 per kind, and never changes. Numbers that were not used after a race leave a gap.
 */
export interface Numbers {
  /** The numbers of ids, made where there is none yet. Only pass ids of existing objects. */
  numberOf(kind: string, ids: readonly string[]): Promise<Map<string, number>>;
  /** @returns undefined when no object of this kind has the number */
  idOf(kind: string, number: number): Promise<string | undefined>;
}

interface NumberEntry {
  kind: string;
  objectId: string;
  number: number;
}

/** Pairs of id and number kept in memory; about 200 bytes each. */
const CACHE_SIZE = 20_000;

export function createNumbers(database: Database): Numbers {
  const entries = database.globalModel<NumberEntry>(
    'id_numbers',
    {
      kind: { type: String, required: true },
      objectId: { type: String, required: true },
      number: { type: Number, required: true },
    },
    { indexes: [{ fields: { kind: 1, number: 1 }, unique: true }], timestamps: false },
  );
  const counters = database.globalModel<{ last: number }>(
    'id_counters',
    { last: { type: Number, required: true } },
    { timestamps: false },
  );
  const byId = new Lru<number>(CACHE_SIZE);
  const byNumber = new Lru<string>(CACHE_SIZE);
  /** One allocation per kind at a time: ids that show up together in this process get numbers without gaps. */
  const turns = new Map<string, Promise<unknown>>();

  const keep = (kind: string, id: string, number: number) => {
    byId.set(`${kind}:${id}`, number);
    byNumber.set(`${kind}:${number}`, id);
  };

  /** Fills `found` with what the store knows and returns the ids that it does not know. */
  const look = async (kind: string, ids: readonly string[], found: Map<string, number>): Promise<string[]> => {
    for (let at = 0; at < ids.length; at += 500) {
      const keys = ids.slice(at, at + 500).map((id) => `${kind}:${id}`);
      for (const { objectId, number } of await entries.find({ _id: { $in: keys } })) {
        keep(kind, objectId, number);
        found.set(objectId, number);
      }
    }
    return ids.filter((id) => !found.has(id));
  };

  const allocate = async (kind: string, ids: readonly string[], found: Map<string, number>): Promise<void> => {
    const missing = await look(kind, ids, found);
    if (missing.length === 0) return;
    const last = await nextBlock(counters, kind, missing.length);
    for (const [at, id] of missing.entries()) {
      const number = last - missing.length + 1 + at;
      try {
        await entries.insert({ _id: `${kind}:${id}`, kind, objectId: id, number });
        keep(kind, id, number);
        found.set(id, number);
      } catch (error) {
        // Another process was faster with this id; its number counts.
        if (!isDuplicate(error, '_id')) throw error;
        await look(kind, [id], found);
      }
    }
  };

  return {
    async numberOf(kind, ids) {
      const found = new Map<string, number>();
      const unknown: string[] = [];
      for (const id of new Set(ids)) {
        const number = byId.get(`${kind}:${id}`);
        if (number === undefined) unknown.push(id);
        else found.set(id, number);
      }
      const missing = await look(kind, unknown, found);
      if (missing.length > 0) {
        const before = turns.get(kind) ?? Promise.resolve();
        const turn = before.then(() => allocate(kind, missing, found));
        const settled = turn.catch(() => undefined);
        turns.set(kind, settled);
        await turn.finally(() => {
          if (turns.get(kind) === settled) turns.delete(kind);
        });
      }
      return found;
    },

    async idOf(kind, number) {
      if (!Number.isSafeInteger(number) || number < 1) return undefined;
      const known = byNumber.get(`${kind}:${number}`);
      if (known !== undefined) return known;
      const entry = await entries.findOne({ kind, number });
      if (entry) keep(kind, entry.objectId, number);
      return entry?.objectId;
    },
  };
}

/** Takes `size` numbers and returns the last of them. */
async function nextBlock(
  counters: Collection<{ last: number } & Document>,
  kind: string,
  size: number,
): Promise<number> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const counter = await counters.update({ _id: kind }, { $inc: { last: size } }, { upsert: true });
      if (counter) return counter.last;
    } catch (error) {
      // Two processes made the counter at the same moment: the loser finds it on the next attempt.
      if (!isDuplicate(error) || attempt === 3) throw error;
    }
  }
}

/** A map that forgets what was not used for longest. */
class Lru<V> {
  readonly #size: number;
  readonly #entries = new Map<string, V>();

  constructor(size: number) {
    this.#size = size;
  }

  get(key: string): V | undefined {
    const value = this.#entries.get(key);
    if (value !== undefined) {
      this.#entries.delete(key);
      this.#entries.set(key, value);
    }
    return value;
  }

  set(key: string, value: V): void {
    this.#entries.delete(key);
    this.#entries.set(key, value);
    if (this.#entries.size > this.#size) {
      for (const oldest of this.#entries.keys()) {
        this.#entries.delete(oldest);
        break;
      }
    }
  }
}
