import { AppError } from '../../../core/errors.ts';
import { DataSourceError, QueryCancelledError, queryRefused } from '../errors.ts';
import type { QueryResult } from '../public.ts';
import type { Dialect } from '../sql/worker.ts';
import type { Connector, ConnectorParts } from './connector.ts';
import { Rows } from './rows.ts';
import { type Session, Sessions } from './sessions.ts';

/** A connection of one dialect. */
export interface DatabaseSession extends Session {
  /** Runs one checked statement in a read-only transaction that ends afterwards. Errors are those of the driver. */
  read(sql: string, rows: Rows): Promise<void>;
  /** Ends this session on the server with the statement that runs in it, over a connection of its own. */
  cancel(): Promise<void>;
}

export interface DatabaseDriver {
  dialect: Dialect;
  /** Opens and prepares a connection; gives up when the signal fires. */
  open(signal: AbortSignal): Promise<DatabaseSession>;
  /** What an error of the driver means, without secrets. */
  describe(error: unknown): DataSourceError;
}

/** How much longer than the server's own limit we wait before we end a statement ourselves. */
const GRACE_MS = 500;
const WAITING = 64;

/** What both databases have in common: the check of the statement, connections, time limits, and ending work on the server. */
export function createDatabaseConnector({ dialect, open, describe }: DatabaseDriver, parts: ConnectorParts): Connector {
  const { limits, guard } = parts;
  const sessions = new Sessions<DatabaseSession>({
    open: async (signal) => {
      try {
        return await open(signal);
      } catch (error) {
        throw known(error) ?? describe(error);
      }
    },
    size: limits.connections,
    idleMs: limits.idleMs,
    waitMs: limits.connectMs,
    queue: WAITING,
  });
  /** Ends what is at work when the source is closed at once. */
  const closing = new AbortController();
  /** Statements that are being ended on the server; closing waits for them. */
  const cancelling = new Set<Promise<void>>();

  const cancel = (session: DatabaseSession) => {
    const ended = session
      .cancel()
      // The connection is cut in any case, and the server's own time limit stands behind it.
      .catch(() => undefined)
      .finally(() => {
        session.destroy();
        cancelling.delete(ended);
      });
    cancelling.add(ended);
    return ended;
  };

  const read = async (sql: string, given?: AbortSignal): Promise<QueryResult> => {
    const signal = given === undefined ? closing.signal : AbortSignal.any([given, closing.signal]);
    const session = await sessions.acquire(signal);
    const rows = new Rows(limits);
    let stop: () => void = () => undefined;
    let ended: Promise<void> | undefined;
    const stopped = new Promise<never>((_resolve, reject) => {
      const end = (error: AppError) => {
        ended = cancel(session);
        reject(error);
      };
      const timer = setTimeout(() => end(queryTimeout(limits.queryMs)), limits.queryMs + GRACE_MS);
      const cancelled = () => end(new QueryCancelledError());
      if (signal.aborted) cancelled();
      signal.addEventListener('abort', cancelled);
      stop = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', cancelled);
      };
    });
    const reading = session.read(sql, rows);
    try {
      await Promise.race([reading, stopped]);
      return rows.result();
    } catch (error) {
      throw known(error) ?? describe(error);
    } finally {
      stop();
      // The place is free again when the server has been told.
      const free = () => sessions.release(session);
      if (ended) void Promise.allSettled([ended, reading]).then(free);
      else free();
    }
  };

  return {
    async test(signal) {
      await read('SELECT 1', signal);
    },

    async query(query, signal) {
      if (typeof query !== 'string') throw queryRefused('数据库查询应为 SQL 文本', 'A query of a database is SQL text');
      return read(await guard.check(dialect, query), signal);
    },

    async close(now) {
      if (now) closing.abort();
      await sessions.close();
      await Promise.all(cancelling);
    },
  };
}

/** Errors of ours, and a refusal of the address policy that came through a socket. */
function known(error: unknown): AppError | undefined {
  const found = error instanceof AppError ? error : error instanceof Error ? error.cause : undefined;
  if (!(found instanceof AppError)) return undefined;
  if (found.code === 'OUTBOUND_REFUSED') return new DataSourceError('refused', found.text);
  return found;
}

export const queryTimeout = (ms: number): DataSourceError =>
  new DataSourceError('timeout', {
    zh: `查询超过 ${Math.round(ms / 100) / 10} 秒，已终止`,
    en: `The query took longer than ${Math.round(ms / 100) / 10} seconds and was ended`,
  });
