import { readApiConfig, readDatabaseConfig, readJsonConfig } from '../config.ts';
import type { DataSourceType } from '../public.ts';
import { createApiConnector } from './api.ts';
import type { Connector, ConnectorParts } from './connector.ts';
import { createJsonConnector } from './json.ts';

/** A source with its secrets in place. */
export interface SourceTarget {
  id: string;
  tenantId: string;
  type: DataSourceType;
  config: Record<string, unknown>;
  revision: number;
}

/** The connectors in use, at most `size`: the one that was not used for longest makes room. */
export interface Connectors {
  /** The connector of this revision; one of an older revision is closed. `target` is only asked for when there is none. */
  use<T>(
    id: string,
    revision: number,
    target: () => SourceTarget,
    work: (connector: Connector) => Promise<T>,
  ): Promise<T>;
  drop(id: string): void;
  /** Ends everything, what is at work too. */
  close(): Promise<void>;
  readonly size: number;
}

interface Entry {
  revision: number;
  connector: Connector;
  /** Callers at work. */
  users: number;
}

export function createConnectors(parts: ConnectorParts, size: number): Connectors {
  /** In the order of use, the oldest first. */
  const entries = new Map<string, Entry>();
  /** Closed, but their last callers are still at work. */
  const leaving = new Set<Connector>();

  const leave = ({ connector }: Entry) => {
    leaving.add(connector);
    void connector.close().finally(() => leaving.delete(connector));
  };

  const entryOf = (id: string, revision: number, target: () => SourceTarget): Entry => {
    const known = entries.get(id);
    entries.delete(id);
    let entry = known;
    if (known === undefined || known.revision !== revision) {
      if (known) leave(known);
      entry = { revision, connector: createConnector(target(), parts), users: 0 };
    }
    entries.set(id, entry as Entry);
    return entry as Entry;
  };

  const makeRoom = () => {
    for (const [id, entry] of entries) {
      if (entries.size <= size) return;
      if (entry.users > 0) continue;
      entries.delete(id);
      leave(entry);
    }
  };

  return {
    async use(id, revision, target, work) {
      const entry = entryOf(id, revision, target);
      entry.users += 1;
      makeRoom();
      try {
        return await work(entry.connector);
      } finally {
        entry.users -= 1;
      }
    },

    drop(id) {
      const entry = entries.get(id);
      if (!entry) return;
      entries.delete(id);
      leave(entry);
    },

    async close() {
      const all = [...entries.values()].map(({ connector }) => connector).concat(...leaving);
      entries.clear();
      await Promise.all(all.map((connector) => connector.close(true)));
    },

    get size() {
      return entries.size;
    },
  };
}

function createConnector({ type, config, tenantId }: SourceTarget, parts: ConnectorParts): Connector {
  if (type === 'mysql') {
    const target = readDatabaseConfig(config, 3306);
    return lazily(async () => (await import('./mysql.ts')).createMysqlConnector(target, parts));
  }
  if (type === 'postgresql') {
    const target = readDatabaseConfig(config, 5432);
    return lazily(async () => (await import('./postgresql.ts')).createPostgresqlConnector(target, parts));
  }
  if (type === 'api') return createApiConnector(readApiConfig(config), parts);
  return createJsonConnector(readJsonConfig(config), tenantId, parts);
}

/** A connector whose driver is loaded when the first source needs it. */
function lazily(make: () => Promise<Connector>): Connector {
  const made = make();
  // Who uses it learns why it could not be made.
  made.catch(() => undefined);
  return {
    test: async (signal) => (await made).test(signal),
    query: async (query, signal) => (await made).query(query, signal),
    async close(now) {
      const connector = await made.catch(() => undefined);
      await connector?.close(now);
    },
  };
}
