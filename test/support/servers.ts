import { randomUUID } from 'node:crypto';
import { createServer, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { createConnection } from 'mysql2/promise';
import pg from 'pg';

/** A fresh database on a real server of this machine. It goes away with the test. */
export interface TestDatabase {
  /** Config of a data source for it. */
  readonly config: { host: string; port: number; database: string; username: string; password: string };
  /** Runs statements as the owner of the server; rows as objects. */
  exec(sql: string): Promise<Record<string, unknown>[]>;
}

const MYSQL = new URL(process.env.KOAGENT_TEST_MYSQL ?? 'mysql://root@127.0.0.1:3306');
const POSTGRESQL = new URL(process.env.KOAGENT_TEST_POSTGRESQL ?? 'postgresql://postgres@127.0.0.1:5432');

/**
 * A database on the MariaDB or MySQL that `KOAGENT_TEST_MYSQL` names (default: root without password on this machine).
 *
 * @returns undefined when there is no server: the test is skipped with the reason; with CI=true it fails
 */
export async function openMysql(t: TestContext): Promise<TestDatabase | undefined> {
  const database = `koagent_test_${randomUUID().slice(0, 8)}`;
  const config = configOf(MYSQL, database);
  const connection = await createConnection({
    host: config.host,
    port: config.port,
    user: config.username,
    password: config.password,
    multipleStatements: true,
    connectTimeout: 3000,
  }).catch((error: Error) => missing(t, 'MariaDB or MySQL', error));
  if (!connection) return undefined;
  await connection.query(`CREATE DATABASE ${database} CHARACTER SET utf8mb4; USE ${database}`);
  t.after(async () => {
    await connection.query(`DROP DATABASE ${database}`);
    await connection.end();
  });
  return {
    config,
    async exec(sql) {
      const [rows] = await connection.query(sql);
      return rows as Record<string, unknown>[];
    },
  };
}

/** The same on the PostgreSQL that `KOAGENT_TEST_POSTGRESQL` names (default: user postgres on this machine). */
export async function openPostgresql(t: TestContext): Promise<TestDatabase | undefined> {
  const database = `koagent_test_${randomUUID().slice(0, 8)}`;
  const config = configOf(POSTGRESQL, database);
  const connect = async (name: string) => {
    const client = new pg.Client({
      host: config.host,
      port: config.port,
      user: config.username,
      password: config.password,
      database: name,
      connectionTimeoutMillis: 3000,
    });
    client.on('error', () => undefined);
    await client.connect();
    return client;
  };
  const server = await connect('postgres').catch((error: Error) => missing(t, 'PostgreSQL', error));
  if (!server) return undefined;
  await server.query(`CREATE DATABASE ${database}`);
  const client = await connect(database);
  t.after(async () => {
    await client.end();
    await server.query(`DROP DATABASE ${database} WITH (FORCE)`);
    await server.end();
  });
  return { config, exec: async (sql) => (await client.query(sql)).rows as Record<string, unknown>[] };
}

const configOf = (url: URL, database: string) => ({
  host: url.hostname,
  port: Number(url.port),
  database,
  username: decodeURIComponent(url.username),
  password: decodeURIComponent(url.password),
});

function missing(t: TestContext, what: string, error: Error): undefined {
  const reason = `no ${what} to test with: ${error.message || (error as NodeJS.ErrnoException).code}`;
  if (process.env.CI === 'true') throw new Error(reason, { cause: error });
  t.skip(reason);
}

/** A server that takes connections and never says a word. */
export async function listenSilently(t: Pick<TestContext, 'after'>): Promise<{ port: number; open: () => number }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
    socket.resume();
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: (server.address() as { port: number }).port, open: () => sockets.size };
}
