import type { Socket } from 'node:net';
import mysql, { type Connection, type FieldPacket } from 'mysql2';
import type { AddressPolicy } from '../../../core/outbound/addresses.ts';
import { reasonOf } from '../../../core/outbound/errors.ts';
import type { DatabaseTarget } from '../config.ts';
import { DataSourceError } from '../errors.ts';
import type { Connector, ConnectorLimits, ConnectorParts } from './connector.ts';
import { createDatabaseConnector, type DatabaseSession, queryTimeout } from './database.ts';
import { type Rows, resultTooLarge } from './rows.ts';
import { guardedConnect, strangeAnswer, Unasked, withByteLimit } from './socket.ts';
import { decimal, float, integer, json } from './values.ts';

const { createConnection, Types } = mysql;

/** MySQL and MariaDB. */
export function createMysqlConnector(target: DatabaseTarget, parts: ConnectorParts): Connector {
  const { limits, databaseAddresses } = parts;
  return createDatabaseConnector(
    {
      dialect: 'mysql',
      open: (signal) => openSession(target, limits, databaseAddresses, signal),
      describe: (error) => describe(error, target, limits),
    },
    parts,
  );
}

const optionsOf = (
  { host, port, database, username, password, tls }: DatabaseTarget,
  limits: ConnectorLimits,
  stream: () => Socket,
) => ({
  host,
  port,
  user: username,
  password,
  database,
  charset: 'utf8mb4_general_ci',
  stream,
  connectTimeout: limits.connectMs,
  // A server may ask for a file of ours; several statements at once are not ours to send.
  flags: ['-LOCAL_FILES', '-MULTI_STATEMENTS', '-COMPRESS'],
  multipleStatements: false,
  // The driver's faster row reader is code made from the server's column names.
  disableEval: true,
  rowsAsArray: true,
  typeCast: false as const,
  ...(tls && {
    ssl: {
      rejectUnauthorized: tls.verify,
      verifyIdentity: tls.verify,
      ...(tls.ca !== undefined && { ca: tls.ca }),
      ...(tls.cert !== undefined && { cert: tls.cert }),
      ...(tls.key !== undefined && { key: tls.key }),
    },
  }),
});

async function connect(
  target: DatabaseTarget,
  limits: ConnectorLimits,
  addresses: AddressPolicy,
  signal: AbortSignal,
): Promise<{ connection: Connection; unasked: Unasked }> {
  const { host, port } = target;
  let cut: () => void = () => undefined;
  const socket = guardedConnect(host, port, addresses);
  const unasked = new Unasked(socket, () => cut());
  const connection = createConnection(optionsOf(target, limits, () => socket) as never);
  // Without a listener an error of an idle connection would end the process.
  connection.on('error', () => undefined);
  await new Promise<void>((resolve, reject) => {
    const abort = () => {
      connection.destroy();
      reject(signal.reason);
    };
    cut = () => {
      connection.destroy();
      reject(strangeAnswer(host, port));
    };
    if (signal.aborted) return abort();
    signal.addEventListener('abort', abort, { once: true });
    connection.connect((error) => {
      signal.removeEventListener('abort', abort);
      if (error) {
        connection.destroy();
        reject(error);
      } else resolve();
    });
  });
  return { connection, unasked };
}

/** Statements of our own; their answers are small. */
const run = (connection: Connection, sql: string) =>
  new Promise<(Buffer | null)[][]>((resolve, reject) => {
    connection.query(sql, (error, rows) => (error ? reject(error) : resolve(rows as unknown as (Buffer | null)[][])));
  });

async function openSession(
  target: DatabaseTarget,
  limits: ConnectorLimits,
  addresses: AddressPolicy,
  signal: AbortSignal,
): Promise<DatabaseSession> {
  const { connection, unasked } = await connect(target, limits, addresses, signal);
  const abort = () => connection.destroy();
  signal.addEventListener('abort', abort, { once: true });
  try {
    await prepare(connection, limits);
  } catch (error) {
    connection.destroy();
    throw unasked.exceeded ? strangeAnswer(target.host, target.port) : error;
  } finally {
    signal.removeEventListener('abort', abort);
  }
  return createSession({ connection, unasked }, target, limits, addresses);
}

/** Modes that change where a string or a name ends: the check of statements relies on none of them being on. */
const UNSAFE_MODES = /^(ANSI|ANSI_QUOTES|NO_BACKSLASH_ESCAPES|ORACLE|MSSQL|DB2|MAXDB|POSTGRESQL)$/;

async function prepare(connection: Connection, { queryMs, rows }: ConnectorLimits): Promise<void> {
  const [found] = await run(connection, 'SELECT VERSION(), @@SESSION.sql_mode');
  const [version = '', mode = ''] = (found ?? []).map(String);
  const modes = mode.split(',').filter((name) => !UNSAFE_MODES.test(name) && /^\w+$/.test(name));
  await run(connection, `SET SESSION sql_mode = '${modes.join(',')}', time_zone = '+00:00'`);
  await run(connection, 'SET SESSION TRANSACTION READ ONLY');
  const optional = [
    /mariadb/i.test(version)
      ? `SET SESSION max_statement_time = ${queryMs / 1000}`
      : `SET SESSION max_execution_time = ${Math.ceil(queryMs)}`,
    // One more than we keep tells that there are more; an explicit LIMIT is beyond this, so rows are counted as well.
    `SET SESSION sql_select_limit = ${rows + 1}`,
    `SET SESSION lock_wait_timeout = ${Math.max(1, Math.ceil(queryMs / 1000))}`,
  ];
  for (const statement of optional) {
    // Servers that only speak the protocol may lack these; our own limits stand behind them.
    await run(connection, statement).catch((error: { code?: string }) => {
      if (error.code !== 'ER_UNKNOWN_SYSTEM_VARIABLE') throw error;
    });
  }
}

function createSession(
  { connection, unasked }: { connection: Connection; unasked: Unasked },
  target: DatabaseTarget,
  limits: ConnectorLimits,
  addresses: AddressPolicy,
): DatabaseSession {
  const { stream } = connection as unknown as { stream: Socket };
  const state = { broken: false };
  stream.on('close', () => {
    state.broken = true;
  });
  const destroy = () => {
    state.broken = true;
    connection.destroy();
  };
  return {
    get broken() {
      return state.broken;
    },
    destroy,

    async read(sql, rows) {
      const work = async () => {
        try {
          await run(connection, 'START TRANSACTION READ ONLY');
          const enough = await streamRows(connection, sql, rows);
          // The rest of the rows is on its way; cutting the connection is cheaper than reading them.
          if (enough) destroy();
          else await run(connection, 'ROLLBACK');
        } catch (error) {
          if (!state.broken) await run(connection, 'ROLLBACK').catch(destroy);
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
      const { threadId } = connection;
      const signal = AbortSignal.timeout(limits.connectMs);
      const { connection: other } = await connect(target, limits, addresses, signal);
      try {
        // Not `KILL QUERY`: between two statements it would be forgotten.
        await run(other, `KILL CONNECTION ${Number(threadId)}`);
      } finally {
        other.destroy();
      }
    },

    end: () =>
      new Promise((resolve) => {
        stream.once('close', () => resolve());
        connection.end(() => connection.destroy());
      }),
  };
}

/** Reads row by row. @returns true when it stopped before the last row */
const streamRows = (connection: Connection, sql: string, rows: Rows) =>
  new Promise<boolean>((resolve, reject) => {
    let convert: ((value: Buffer) => unknown)[] = [];
    let over = false;
    const query = connection.query({ sql, rowsAsArray: true, typeCast: false });
    query
      .on('error', (error: unknown) => reject(error))
      .on('fields', (fields: FieldPacket[] | undefined) => {
        rows.columns((fields ?? []).map(({ name }) => name));
        convert = (fields ?? []).map(converterOf);
      })
      .on('result', (row: unknown) => {
        if (over || !Array.isArray(row)) return;
        try {
          if (rows.add(row.map((value: Buffer | null, at) => (value === null ? null : convert[at]?.(value))))) return;
          over = true;
          resolve(true);
        } catch (error) {
          over = true;
          connection.destroy();
          reject(error);
        }
      })
      .on('end', () => resolve(false));
  });

const BINARY_CHARSET = 63;
const INTEGERS = new Set<number | undefined>([
  Types.TINY,
  Types.SHORT,
  Types.LONG,
  Types.INT24,
  Types.LONGLONG,
  Types.YEAR,
]);
const MOMENTS = new Set<number | undefined>([Types.DATETIME, Types.TIMESTAMP]);
const TIMES = new Set<number | undefined>([Types.DATE, Types.TIME, Types.NEWDATE]);

/** How the values of a column, text on the wire, become JSON. Moments are UTC without zone, bytes base64, bits a number. */
function converterOf(field: FieldPacket): (value: Buffer) => unknown {
  const type = field.columnType;
  const charset = (field as unknown as { characterSet: number }).characterSet;
  if (INTEGERS.has(type)) return (value) => integer(value.toString('latin1'));
  if (type === Types.DECIMAL || type === Types.NEWDECIMAL) return (value) => decimal(value.toString('latin1'));
  if (type === Types.FLOAT || type === Types.DOUBLE) return (value) => float(value.toString('latin1'));
  if (MOMENTS.has(type)) return (value) => value.toString('latin1').replace(' ', 'T');
  if (TIMES.has(type)) return (value) => value.toString('latin1');
  if (type === Types.BIT)
    return (value) => integer(String(value.length === 0 ? 0 : BigInt(`0x${value.toString('hex')}`)));
  if (type === Types.JSON) return (value) => json(value.toString('utf8'));
  if (type === Types.GEOMETRY || charset === BINARY_CHARSET) return (value) => value.toString('base64');
  return (value) => value.toString('utf8');
}

const LOGIN = new Set([
  'ER_ACCESS_DENIED_ERROR',
  'ER_DBACCESS_DENIED_ERROR',
  'ER_ACCESS_DENIED_NO_PASSWORD_ERROR',
  'ER_HOST_NOT_PRIVILEGED',
]);
/** Time limits of MariaDB and MySQL, an interrupted statement, a wait for a lock. By number: the driver does not know the name of every one. */
const TIMEOUTS = new Set([1969, 3024, 1317, 1205]);

function describe(error: unknown, { host, port, database }: DatabaseTarget, limits: ConnectorLimits): DataSourceError {
  const { code = '', errno = 0, sqlMessage = '' } = error as { code?: string; errno?: number; sqlMessage?: string };
  if (TIMEOUTS.has(errno)) return queryTimeout(limits.queryMs);
  if (LOGIN.has(code)) {
    return new DataSourceError('login', {
      zh: '数据库拒绝登录：用户名、密码或权限不正确',
      en: 'The database refused the login: wrong user name, password or privileges',
    });
  }
  if (code === 'ER_BAD_DB_ERROR') {
    return new DataSourceError('login', {
      zh: `数据库 ${database} 不存在`,
      en: `The database ${database} does not exist`,
    });
  }
  if (code === 'ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION') {
    return new DataSourceError('query', {
      zh: '查询试图写入数据，已拒绝',
      en: 'The query tried to write and was refused',
    });
  }
  if (sqlMessage !== '') {
    return new DataSourceError('query', { zh: `查询失败：${sqlMessage}`, en: `The query failed: ${sqlMessage}` });
  }
  if (code === 'ETIMEDOUT') {
    return new DataSourceError('timeout', {
      zh: `连接 ${host}:${port} 超时`,
      en: `Connecting to ${host}:${port} timed out`,
    });
  }
  if (code === 'HANDSHAKE_NO_SSL_SUPPORT') {
    return new DataSourceError('connection', {
      zh: '数据库服务器不支持 TLS 连接',
      en: 'The database server has no TLS',
    });
  }
  const reason = reasonOf(error);
  return new DataSourceError('connection', {
    zh: `无法连接 ${host}:${port}：${reason.zh}`,
    en: `Cannot connect to ${host}:${port}: ${reason.en}`,
  });
}
