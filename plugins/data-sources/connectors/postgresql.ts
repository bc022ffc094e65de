import { Socket } from 'node:net';
import pg from 'pg';
import Cursor from 'pg-cursor';
import type { AddressPolicy } from '../../../core/outbound/addresses.ts';
import { codeOf, reasonOf } from '../../../core/outbound/errors.ts';
import type { DatabaseTarget } from '../config.ts';
import { DataSourceError } from '../errors.ts';
import type { Connector, ConnectorLimits, ConnectorParts } from './connector.ts';
import { createDatabaseConnector, type DatabaseSession, queryTimeout } from './database.ts';
import { type Rows, resultTooLarge } from './rows.ts';
import { strangeAnswer, Unasked, withByteLimit } from './socket.ts';
import { decimal, float, integer, json } from './values.ts';

export function createPostgresqlConnector(target: DatabaseTarget, parts: ConnectorParts): Connector {
  const { limits, databaseAddresses } = parts;
  return createDatabaseConnector(
    {
      dialect: 'postgresql',
      open: (signal) => openSession(target, limits, databaseAddresses, signal),
      describe: (error) => describe(error, target, limits),
    },
    parts,
  );
}

/** What the typings of the driver leave out. */
interface Inner {
  connection: { stream: Socket };
  processID: number | null;
}

async function connect(
  { host, port, database, username, password, tls }: DatabaseTarget,
  limits: ConnectorLimits,
  addresses: AddressPolicy,
  signal: AbortSignal,
): Promise<{ client: pg.Client & Inner; unasked: Unasked }> {
  addresses.checkHost(host);
  const socket = guardedSocket(addresses);
  const unasked = new Unasked(socket, () => abort());
  // Everything is given: what is missing the driver would take from the environment of the server (PGPASSWORD, ~/.pgpass).
  const client = new pg.Client({
    host,
    port,
    database,
    user: username,
    password: () => password,
    ssl: tls ? { rejectUnauthorized: tls.verify, ...pick(tls) } : false,
    stream: () => socket,
    application_name: 'koagent',
    keepAlive: true,
    connectionTimeoutMillis: limits.connectMs,
  }) as pg.Client & Inner;
  // Without a listener an error of an idle connection would end the process.
  client.on('error', () => undefined);
  const abort = () => void client.connection.stream.destroy();
  signal.addEventListener('abort', abort, { once: true });
  try {
    signal.throwIfAborted();
    await client.connect();
  } catch (error) {
    abort();
    throw unasked.exceeded ? strangeAnswer(host, port) : error;
  } finally {
    signal.removeEventListener('abort', abort);
  }
  return { client, unasked };
}

const pick = ({ ca, cert, key }: NonNullable<DatabaseTarget['tls']>) => ({
  ...(ca !== undefined && { ca }),
  ...(cert !== undefined && { cert }),
  ...(key !== undefined && { key }),
});

/** The driver calls `connect(port, host)`; the look-up is ours. */
function guardedSocket(addresses: AddressPolicy): Socket {
  const socket = new Socket();
  const connectTo = socket.connect.bind(socket);
  const guarded = (port: number, host: string) =>
    connectTo({ port, host, lookup: addresses.lookup, autoSelectFamily: true });
  socket.connect = guarded as typeof socket.connect;
  return socket;
}

async function openSession(
  target: DatabaseTarget,
  limits: ConnectorLimits,
  addresses: AddressPolicy,
  signal: AbortSignal,
): Promise<DatabaseSession> {
  const { client, unasked } = await connect(target, limits, addresses, signal);
  const { stream } = client.connection;
  const state = { broken: false };
  stream.on('close', () => {
    state.broken = true;
  });
  const destroy = () => {
    state.broken = true;
    stream.destroy();
  };
  const ms = Math.max(1, Math.ceil(limits.queryMs));
  // `LOCAL`: nothing is left behind on a server-side pool of connections.
  const begin = [
    'BEGIN TRANSACTION READ ONLY',
    `SET LOCAL statement_timeout = ${ms}`,
    `SET LOCAL lock_timeout = ${ms}`,
    `SET LOCAL idle_in_transaction_session_timeout = ${ms + 60_000}`,
    `SET LOCAL standard_conforming_strings = on`,
    `SET LOCAL TIME ZONE 'UTC'`,
    `SET LOCAL datestyle = 'ISO'`,
    `SET LOCAL intervalstyle = 'iso_8601'`,
    `SET LOCAL bytea_output = 'hex'`,
  ].join('; ');

  return {
    get broken() {
      return state.broken;
    },
    destroy,

    async read(sql, rows) {
      const work = async () => {
        try {
          await client.query(begin);
          await readRows(client, sql, rows, limits.rows);
          await client.query('ROLLBACK');
        } catch (error) {
          if (!state.broken) await client.query('ROLLBACK').catch(destroy);
          throw error;
        }
      };
      const tooMany = () => {
        destroy();
        return resultTooLarge(limits.bytes);
      };
      const most = limits.bytes * 2 + 65_536;
      unasked.allow(most);
      try {
        await withByteLimit(stream, most, tooMany, work);
      } catch (error) {
        throw unasked.exceeded ? resultTooLarge(limits.bytes) : error;
      } finally {
        unasked.allow();
      }
    },

    async cancel() {
      const { client: other } = await connect(target, limits, addresses, AbortSignal.timeout(limits.connectMs));
      try {
        // Not `pg_cancel_backend`: a server that is between two messages forgets it and starts the statement all the same.
        await other.query('SELECT pg_terminate_backend($1)', [client.processID]);
      } finally {
        other.connection.stream.destroy();
      }
    },

    end: () => client.end(),
  };
}

/** First a few rows, then the rest: one row over the limit tells that there are more. */
async function readRows(client: pg.Client, sql: string, rows: Rows, limit: number): Promise<void> {
  const cursor = client.query(new Cursor<unknown[]>(sql, [], { rowMode: 'array', types: TYPES }));
  let wanted = Math.min(100, limit + 1);
  let left = limit + 1;
  for (let first = true; ; first = false) {
    const { page, names } = await readPage(cursor, wanted);
    if (first) rows.columns(names);
    try {
      left -= page.length;
      if (!page.every((row) => rows.add(row)) || page.length < wanted || left === 0) break;
    } catch (error) {
      // Our own error; after one of the server the driver has closed it.
      await cursor.close();
      throw error;
    }
    wanted = Math.min(left, 500);
  }
  await cursor.close();
}

const readPage = (cursor: Cursor<unknown[]>, size: number) =>
  new Promise<{ page: unknown[][]; names: string[] }>((resolve, reject) => {
    cursor.read(size, (error, page, result) => {
      if (error) reject(error);
      else resolve({ page, names: result.fields.map(({ name }) => name) });
    });
  });

const { builtins } = pg.types;
type Convert = (text: string) => unknown;

const CONVERTERS = new Map<number, Convert>([
  [builtins.BOOL, (text) => text === 't'],
  [builtins.INT2, integer],
  [builtins.INT4, integer],
  [builtins.INT8, integer],
  [builtins.OID, integer],
  [builtins.NUMERIC, decimal],
  [builtins.FLOAT4, float],
  [builtins.FLOAT8, float],
  [builtins.JSON, json],
  [builtins.JSONB, json],
  [builtins.BYTEA, (text) => Buffer.from(text.slice(2), 'hex').toString('base64')],
  [builtins.TIMESTAMP, (text) => text.replace(' ', 'T')],
  [builtins.TIMESTAMPTZ, (text) => text.replace(' ', 'T').replace(/\+00$/, 'Z')],
]);

/** Array types of the catalogue and the types of their items; those of other types are read as text. */
const ARRAYS = new Map<number, number>([
  [1000, builtins.BOOL],
  [1001, builtins.BYTEA],
  [1005, builtins.INT2],
  [1007, builtins.INT4],
  [1016, builtins.INT8],
  [1028, builtins.OID],
  [1231, builtins.NUMERIC],
  [1021, builtins.FLOAT4],
  [1022, builtins.FLOAT8],
  [199, builtins.JSON],
  [3807, builtins.JSONB],
  [1115, builtins.TIMESTAMP],
  [1185, builtins.TIMESTAMPTZ],
  ...[1002, 1003, 1009, 1014, 1015, 1041, 651, 1040, 1182, 1183, 1270, 1187, 1561, 1563, 2951].map(
    (oid): [number, number] => [oid, builtins.TEXT],
  ),
]);

const asText: Convert = (text) => text;

/** Typed wrongly where it comes from. */
const arrays = pg.types.arrayParser as unknown as { create(text: string, convert: Convert): { parse(): unknown[] } };

/** Values come as text; what has no converter (uuid, inet, intervals in ISO 8601, bits, ranges, money, ...) stays text. */
const TYPES = {
  getTypeParser: (oid: number): Convert => {
    const item = ARRAYS.get(oid);
    if (item === undefined) return CONVERTERS.get(oid) ?? asText;
    const convert = CONVERTERS.get(item) ?? asText;
    return (text) => arrays.create(text, convert).parse();
  },
} as unknown as pg.CustomTypesConfig;

function describe(error: unknown, { host, port, database }: DatabaseTarget, limits: ConnectorLimits): DataSourceError {
  const { code = '', message = '' } = error as { code?: string; message?: string };
  if (code === '57014' || code === '55P03') return queryTimeout(limits.queryMs);
  if (code.startsWith('28')) {
    return new DataSourceError('login', {
      zh: '数据库拒绝登录：用户名、密码或权限不正确',
      en: 'The database refused the login: wrong user name, password or privileges',
    });
  }
  if (code === '3D000') {
    return new DataSourceError('login', {
      zh: `数据库 ${database} 不存在`,
      en: `The database ${database} does not exist`,
    });
  }
  if (code === '25006') {
    return new DataSourceError('query', {
      zh: '查询试图写入数据，已拒绝',
      en: 'The query tried to write and was refused',
    });
  }
  if (error instanceof pg.DatabaseError) {
    return new DataSourceError('query', { zh: `查询失败：${message}`, en: `The query failed: ${message}` });
  }
  if (/timeout/i.test(message)) {
    return new DataSourceError('timeout', {
      zh: `连接 ${host}:${port} 超时`,
      en: `Connecting to ${host}:${port} timed out`,
    });
  }
  if (/does not support SSL/.test(message)) {
    return new DataSourceError('connection', {
      zh: '数据库服务器不支持 TLS 连接',
      en: 'The database server has no TLS',
    });
  }
  const reason = codeOf(error) === undefined ? { zh: '连接被断开', en: 'the connection was cut' } : reasonOf(error);
  return new DataSourceError('connection', {
    zh: `无法连接 ${host}:${port}：${reason.zh}`,
    en: `Cannot connect to ${host}:${port}: ${reason.en}`,
  });
}
