import assert from 'node:assert/strict';
import { type AddressInfo, connect, createServer } from 'node:net';
import { after, type TestContext, test } from 'node:test';
import { createAddressPolicy } from '../../../core/outbound/addresses.ts';
import { createOutbound } from '../../../core/outbound/outbound.ts';
import type { Connector, ConnectorLimits } from '../../../plugins/data-sources/connectors/connector.ts';
import { createConnectors, type SourceTarget } from '../../../plugins/data-sources/connectors/index.ts';
import { createSqlGuard } from '../../../plugins/data-sources/sql/guard.ts';
import { listenSilently, openMysql, openPostgresql, type TestDatabase } from '../../support/servers.ts';

const MIB = 1024 * 1024;
const LIMITS: ConnectorLimits = {
  rows: 1000,
  bytes: 8 * MIB,
  connectMs: 5000,
  queryMs: 10_000,
  connections: 2,
  idleMs: 60_000,
};
/** `numbers(n)` is for making test data; nothing else of the operator is needed. */
const guard = createSqlGuard({ functions: { mysql: [], postgresql: [] } });
const outbound = createOutbound({
  allow: [],
  maxResponseBytes: MIB,
  connectMs: 1000,
  firstByteMs: 1000,
  totalMs: 1000,
  maxRedirects: 0,
});
after(async () => {
  await guard.close();
  await outbound.close();
});

type Type = 'mysql' | 'postgresql';

interface Options extends Partial<ConnectorLimits> {
  addresses?: string[];
  sources?: number;
}

function connectorsOf(t: Pick<TestContext, 'after'>, options: Options = {}) {
  const { addresses = ['0.0.0.0/0', '::/0'], sources = 8, ...limits } = options;
  const connectors = createConnectors(
    {
      limits: { ...LIMITS, ...limits },
      guard,
      outbound,
      databaseAddresses: createAddressPolicy({ base: 'none', allow: addresses }),
      filesDir: '/nonexistent',
    },
    sources,
  );
  t.after(() => connectors.close());
  return connectors;
}

/** One source of its own; every call goes through the registry as in the service. */
function sourceOf(t: TestContext, type: Type, config: Record<string, unknown>, options: Options = {}) {
  const connectors = connectorsOf(t, options);
  const target = (): SourceTarget => ({ id: 'one', tenantId: 't', type, config, revision: 1 });
  const use = <T>(work: (connector: Connector) => Promise<T>) => connectors.use('one', 1, target, work);
  return {
    connectors,
    query: (sql: string, signal?: AbortSignal) => use((connector) => connector.query(sql, signal)),
    test: (signal?: AbortSignal) => use((connector) => connector.test(signal)),
  };
}

const failure =
  (reason: string, pattern?: RegExp) => (error: Error & { code: string; details?: { reason?: string } }) => {
    assert.deepEqual([error.code, error.details?.reason], ['DATA_SOURCE_ERROR', reason], error.message);
    if (pattern) assert.match(error.message, pattern);
    return true;
  };

/** Statements of others that are at work on the server. */
const running = (type: Type, database: TestDatabase, marker: string) =>
  database.exec(
    type === 'mysql'
      ? `SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE '%${marker}%' AND ID <> CONNECTION_ID()`
      : `SELECT pid FROM pg_stat_activity WHERE query LIKE '%${marker}%' AND state = 'active' AND pid <> pg_backend_pid()`,
  );

const connectionsTo = async (type: Type, database: TestDatabase) =>
  (
    await database.exec(
      type === 'mysql'
        ? `SELECT ID FROM information_schema.PROCESSLIST WHERE DB = '${database.config.database}' AND ID <> CONNECTION_ID()`
        : `SELECT pid FROM pg_stat_activity WHERE datname = '${database.config.database}' AND pid <> pg_backend_pid()`,
    )
  ).length;

/** Stands before a server and counts what is taken from it. */
async function countingProxy(t: TestContext, { host, port }: TestDatabase['config']) {
  let taken = 0;
  const server = createServer((client) => {
    const upstream = connect(port, host);
    upstream.on('data', ({ length }) => {
      taken += length;
    });
    client.pipe(upstream).pipe(client);
    for (const [one, other] of [[client, upstream] as const, [upstream, client] as const]) {
      one.on('error', () => undefined).on('close', () => other.destroy());
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  return { config: { host: '127.0.0.1', port: (server.address() as AddressInfo).port }, taken: () => taken };
}

async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + 60_000;
  while (!(await condition())) {
    assert.ok(Date.now() < end, what);
    await new Promise((done) => setImmediate(done));
  }
}

const OPEN: Record<Type, (t: TestContext) => Promise<TestDatabase | undefined>> = {
  mysql: openMysql,
  postgresql: openPostgresql,
};

/** A statement that takes for ever without a function of its own, and one that gives many rows. */
const SLOW: Record<Type, string> = {
  mysql: 'select count(*) as slow_marker from big a, big b, big c, big d',
  postgresql: 'select count(*) as slow_marker from big a, big b, big c, big d',
};

const makeBig: Record<Type, string> = {
  mysql:
    'create table big (n int); insert into big with recursive c(n) as (select 1 union all select n+1 from c where n < 999) select n from c; insert into big select n+1000 from big',
  postgresql: 'create table big (n int); insert into big select generate_series(1, 2000)',
};

for (const type of ['mysql', 'postgresql'] as const) {
  test(`${type}: rows come as objects, at most 1000 and told so, through kept connections`, async (t) => {
    const database = await OPEN[type](t);
    if (!database) return;
    await database.exec(makeBig[type]);
    const { query, test: connect } = sourceOf(t, type, database.config);
    await connect();
    assert.deepEqual(await query('select n from big order by n limit 2'), {
      data: [{ n: 1 }, { n: 2 }],
      count: 2,
      truncated: false,
    });
    for (const sql of ['select n from big', 'select n from big limit 1500']) {
      const many = await query(sql);
      assert.deepEqual([many.count, many.data.length, many.truncated], [1000, 1000, true], sql);
    }
    const exact = await query('select n from big limit 1000');
    assert.deepEqual([exact.count, exact.truncated], [1000, false]);
    const empty = await query('select n from big where n < 0');
    assert.deepEqual(empty, { data: [], count: 0, truncated: false });
    const twice = await query('select 1 as id, 2 as id, 3 as other');
    assert.deepEqual(twice.data, [{ id: 1, id_2: 2, other: 3 }]);
    assert.ok((await query('explain select * from big')).count > 0);
    await Promise.all(Array.from({ length: 20 }, (_, at) => query(`select ${at} as at from big limit 3`)));
    const open = await connectionsTo(type, database);
    assert.ok(open >= 1 && open <= 2, `${open} connections`);
  });

  test(`${type}: nothing can be written, not even by what the parser does not see`, async (t) => {
    const database = await OPEN[type](t);
    if (!database) return;
    await database.exec('create table t (a int)');
    const returns =
      type === 'mysql'
        ? 'returns int modifies sql data begin insert into t values (1); return 1; end'
        : "returns int language sql as 'insert into t values (1) returning a'";
    await database.exec(`create function writes() ${returns}`);
    await database.exec('create view v as select writes() as a');
    const { query } = sourceOf(t, type, database.config);
    await assert.rejects(query('insert into t values (1)'), { code: 'QUERY_NOT_ALLOWED' });
    await assert.rejects(query('select writes()'), { code: 'QUERY_NOT_ALLOWED' });
    // The view hides the function from every parser: the read-only transaction is what stops it.
    await assert.rejects(query('select * from v'), failure('query'));
    assert.deepEqual(await database.exec('select * from t'), []);
    assert.equal((await query('select 1 as one')).count, 1, 'the connection is still good');
  });

  test(`${type}: a slow statement ends at its time limit, on the server too`, async (t) => {
    const database = await OPEN[type](t);
    if (!database) return;
    await database.exec(makeBig[type]);
    const { query } = sourceOf(t, type, database.config, { queryMs: 400 });
    // It would go on for ever.
    await assert.rejects(query(SLOW[type]), failure('timeout'));
    await until('the statement is gone', async () => (await running(type, database, 'slow_marker')).length === 0);
    assert.equal((await query('select 1 as one')).count, 1);
  });

  test(`${type}: an abort ends the statement on the server at once`, async (t) => {
    const database = await OPEN[type](t);
    if (!database) return;
    await database.exec(makeBig[type]);
    const { query } = sourceOf(t, type, database.config, { queryMs: 60_000 });
    const abort = new AbortController();
    const pending = query(SLOW[type], abort.signal);
    pending.catch(() => undefined);
    await until('the statement runs', async () => (await running(type, database, 'slow_marker')).length === 1);
    abort.abort();
    await assert.rejects(pending, { code: 'DATA_SOURCE_CANCELLED' });
    await until('the statement is gone', async () => (await running(type, database, 'slow_marker')).length === 0);
    await assert.rejects(query('select 1', abort.signal), { code: 'DATA_SOURCE_CANCELLED' });
    assert.equal((await query('select 1 as one')).count, 1);
  });

  test(`${type}: closing ends what is at work, on the server too`, async (t) => {
    const database = await OPEN[type](t);
    if (!database) return;
    await database.exec(makeBig[type]);
    const { query, connectors } = sourceOf(t, type, database.config, { queryMs: 60_000 });
    const pending = assert.rejects(query(SLOW[type]), { code: 'DATA_SOURCE_CANCELLED' });
    await until('the statement runs', async () => (await running(type, database, 'slow_marker')).length === 1);
    await connectors.close();
    await pending;
    await until('the statement is gone', async () => (await running(type, database, 'slow_marker')).length === 0);
    await until('nothing is connected', async () => (await connectionsTo(type, database)) === 0);
  });

  test(`${type}: results of 100 MB are refused without being held`, async (t) => {
    const database = await OPEN[type](t);
    if (!database) return;
    await database.exec(makeBig[type]);
    const proxy = await countingProxy(t, database.config);
    const { query } = sourceOf(t, type, { ...database.config, ...proxy.config });
    await query('select 1');
    await assert.rejects(query("select repeat('x', 100000) as wide from big"), failure('too_large', /8 MiB/));
    // One row is more than the limit: it must not be taken into memory whole.
    const wide = type === 'mysql' ? 'repeat(repeat(1, 10000), 1600)' : "repeat('x', 100000000)";
    await assert.rejects(query(`select ${wide} as wide, ${wide} as wider`), failure('too_large', /8 MiB/));
    const taken = proxy.taken() / MIB;
    assert.ok(taken > 8 && taken < 60, `${Math.round(taken)} MiB were taken`);
    assert.equal((await query('select 1 as one')).count, 1);
  });

  test(`${type}: what cannot be reached is told in time, and without the password`, async (t) => {
    const silent = await listenSilently(t);
    const password = 'hidden-password';
    const base = { host: '127.0.0.1', port: silent.port, database: 'd', username: 'u', password };
    const hushed = (reason: string) => (error: Error) => {
      assert.doesNotMatch(JSON.stringify([error.message, error, error.cause]), /hidden-password/);
      return failure(reason)(error as never);
    };
    const slow = sourceOf(t, type, base, { connectMs: 200 });
    await assert.rejects(slow.test(), hushed('timeout'));
    await assert.rejects(slow.query('select 1'), hushed('timeout'));
    await until('the connections are cut', async () => silent.open() === 0);
    await assert.rejects(sourceOf(t, type, { ...base, ssl: true }, { connectMs: 200 }).test(), hushed('timeout'));
    await assert.rejects(sourceOf(t, type, { ...base, port: 1 }).test(), hushed('connection'));
    await assert.rejects(sourceOf(t, type, { ...base, host: 'no.such.host.invalid' }).test(), hushed('connection'));
    await assert.rejects(sourceOf(t, type, base, { addresses: ['10.0.0.0/8'] }).test(), hushed('refused'));
    const named = { ...base, host: 'localhost' };
    await assert.rejects(sourceOf(t, type, named, { addresses: ['10.0.0.0/8'] }).test(), hushed('refused'));
  });

  test(`${type}: wrong login, unknown database, no TLS and errors in a query are told apart`, async (t) => {
    const database = await OPEN[type](t);
    if (!database) return;
    const { config } = database;
    await assert.rejects(
      sourceOf(t, type, { ...config, username: 'nobody_here', password: 'hidden' }).test(),
      failure('login'),
    );
    await assert.rejects(
      sourceOf(t, type, { ...config, database: 'no_such_database' }).test(),
      failure('login', /no_such_database/),
    );
    const { query } = sourceOf(t, type, config);
    await assert.rejects(query('select * from no_such_table'), failure('query', /no_such_table/));
    await assert.rejects(query('select no_such_column from (select 1 as a) x'), failure('query', /no_such_column/));
    if (type === 'mysql')
      await assert.rejects(sourceOf(t, type, { ...config, ssl: true }).test(), failure('connection'));
    else await assert.rejects(sourceOf(t, type, { ...config, ssl: true }).test(), failure('connection', /TLS/));
  });

  test(`${type}: connections are closed when idle, when the config changes, and when the source is dropped`, async (t) => {
    const database = await OPEN[type](t);
    if (!database) return;
    const connectors = connectorsOf(t, { idleMs: 20, sources: 1 });
    const query = (id: string, revision: number) =>
      connectors.use(
        id,
        revision,
        () => ({ id, tenantId: 't', type, config: database.config, revision }),
        (connector) => connector.query('select 1 as one'),
      );
    await query('a', 1);
    await until('idle connections are closed', async () => (await connectionsTo(type, database)) === 0);
    const lasting = connectorsOf(t, { sources: 1 });
    const ask = (id: string, revision: number) =>
      lasting.use(
        id,
        revision,
        () => ({ id, tenantId: 't', type, config: database.config, revision }),
        (connector) => connector.query('select 1 as one'),
      );
    await ask('a', 1);
    await ask('a', 2);
    await until('only the new revision is connected', async () => (await connectionsTo(type, database)) === 1);
    await ask('b', 1);
    await until('there is room for one source', async () => (await connectionsTo(type, database)) === 1);
    assert.equal(lasting.size, 1);
    lasting.drop('b');
    await until('dropped', async () => (await connectionsTo(type, database)) === 0);
    await ask('a', 2);
    await lasting.close();
    await until('closed', async () => (await connectionsTo(type, database)) === 0);
  });
}

test('mysql: values keep their meaning as JSON', async (t) => {
  const database = await openMysql(t);
  if (!database) return;
  await database.exec(`create table v (i int, big bigint unsigned, small bigint, d decimal(30,5), e decimal(6,2), f double, day date,
    at datetime(3), ts timestamp(3), clock time, y year, b bit(10), flag bool, raw varbinary(10), bytes blob, txt text, j json, en enum('x','y'), n int);
    set time_zone = '+08:00';
    insert into v values (7, 18446744073709551615, -9007199254740991, 1234567890123456789012345.12345, 1.50, 0.1, '2024-02-29',
    '2024-02-29 12:34:56.789', '2024-02-29 12:34:56.789', '-12:30:00', 2024, b'1000000001', true, x'00ff', x'010203', '中文 "q"', '{"a":[1]}', 'x', null)`);
  const { query } = sourceOf(t, 'mysql', database.config);
  const { data } = await query('select * from v');
  assert.deepEqual(data, [
    {
      i: 7,
      big: '18446744073709551615',
      small: -9007199254740991,
      d: '1234567890123456789012345.12345',
      e: 1.5,
      f: 0.1,
      day: '2024-02-29',
      at: '2024-02-29T12:34:56.789',
      ts: '2024-02-29T04:34:56.789',
      clock: '-12:30:00',
      y: 2024,
      b: 513,
      flag: 1,
      raw: 'AP8=',
      bytes: 'AQID',
      txt: '中文 "q"',
      j: (data[0] as { j: unknown }).j,
      en: 'x',
      n: null,
    },
  ]);
  const { j } = data[0] as { j: unknown };
  assert.deepEqual(typeof j === 'string' ? JSON.parse(j) : j, { a: [1] }, 'MariaDB has JSON as text');
  const odd = await query("select 1 as `__proto__`, '$' as `a.b`, 'x' as `constructor`");
  assert.equal(JSON.stringify(odd.data), '[{"__proto__":1,"a.b":"$","constructor":"x"}]');
  assert.ok((await query('show tables')).count === 1);
});

test('mysql: an operator’s sql_mode does not change where a string ends', async (t) => {
  const database = await openMysql(t);
  if (!database) return;
  const [{ mode } = {}] = await database.exec('select @@global.sql_mode as mode');
  try {
    await database.exec("set global sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,ONLY_FULL_GROUP_BY'");
    const { query } = sourceOf(t, 'mysql', database.config);
    const { data } = await query(String.raw`select "a\" , sleep(5) , '" as text, @@sql_mode as mode`);
    const [{ text, mode: session } = {}] = data as { text?: string; mode?: string }[];
    assert.equal(text, `a" , sleep(5) , '`);
    assert.match(String(session), /ONLY_FULL_GROUP_BY/);
    assert.doesNotMatch(String(session), /ANSI|BACKSLASH/);
  } finally {
    await database.exec(`set global sql_mode = '${String(mode)}'`);
  }
});

test('mysql: a user with a wrong password is refused', async (t) => {
  const database = await openMysql(t);
  if (!database) return;
  const { config } = database;
  const user = `ko_${config.database.slice(-8)}`;
  try {
    for (const host of ['%', 'localhost'])
      await database.exec(
        `create user '${user}'@'${host}' identified by 'right-1'; grant select on ${config.database}.* to '${user}'@'${host}'`,
      );
    await sourceOf(t, 'mysql', { ...config, username: user, password: 'right-1' }).test();
    const wrong = sourceOf(t, 'mysql', { ...config, username: user, password: 'wrong-1' });
    await assert.rejects(wrong.test(), failure('login'));
  } finally {
    await database.exec(`drop user '${user}'@'%', '${user}'@'localhost'`);
  }
});

test('postgresql: values keep their meaning as JSON', async (t) => {
  const database = await openPostgresql(t);
  if (!database) return;
  const { query } = sourceOf(t, 'postgresql', database.config);
  const { data } =
    await query(`select 7 as i, 9223372036854775807 as big, 1234567890123456789012345.12345 as d, 1.50 as e, 0.1::float8 as f,
    'NaN'::float8 as nan, date '2024-02-29' as day, timestamp '2024-02-29 12:34:56.789' as at, timestamptz '2024-02-29 12:34:56.789+08' as ts,
    time '12:30' as clock, interval '1 day 2 hours' as span, b'101' as b, true as flag, '\\x00ff'::bytea as raw, '中文 "q"' as txt, '{"a":[1]}'::jsonb as j,
    array[1,2,null] as list, array['a','b,"c'] as texts, array[array[1],array[2]] as nested, array['2024-01-01 00:00:00+00'::timestamptz] as times,
    '1e3f0c3a-8c1b-4c7e-9a53-0d6c3c6f7b11'::uuid as id, int4range(1,5) as r, null as n, 'infinity'::timestamp as never, '{"x":1}'::json as k, 12.5::money as m`);
  assert.deepEqual(data, [
    {
      i: 7,
      big: '9223372036854775807',
      d: '1234567890123456789012345.12345',
      e: 1.5,
      f: 0.1,
      nan: 'NaN',
      day: '2024-02-29',
      at: '2024-02-29T12:34:56.789',
      ts: '2024-02-29T04:34:56.789Z',
      clock: '12:30:00',
      span: 'P1DT2H',
      b: '101',
      flag: true,
      raw: 'AP8=',
      txt: '中文 "q"',
      j: { a: [1] },
      list: [1, 2, null],
      texts: ['a', 'b,"c'],
      nested: [[1], [2]],
      times: ['2024-01-01T00:00:00Z'],
      id: '1e3f0c3a-8c1b-4c7e-9a53-0d6c3c6f7b11',
      r: '[1,5)',
      n: null,
      never: 'infinity',
      k: { x: 1 },
      m: (data[0] as { m: unknown }).m,
    },
  ]);
  const odd = await query(`select 1 as "__proto__", 'x' as "constructor"`);
  assert.equal(JSON.stringify(odd.data), '[{"__proto__":1,"constructor":"x"}]');
  assert.ok((await query('show server_version')).count === 1);
});

test('postgresql: the environment of the server lends no credentials', async (t) => {
  const database = await openPostgresql(t);
  if (!database) return;
  const names = { PGPASSWORD: 'from-environment', PGOPTIONS: '-c bogus.option=1', PGSSLMODE: 'require' };
  const before = Object.fromEntries(Object.keys(names).map((name) => [name, process.env[name]]));
  t.after(() => {
    for (const [name, value] of Object.entries(before)) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  });
  Object.assign(process.env, names);
  const { test: connect } = sourceOf(t, 'postgresql', { ...database.config, password: '' });
  await connect();
});
