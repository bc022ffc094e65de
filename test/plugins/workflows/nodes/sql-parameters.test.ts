import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createSqlGuard } from '../../../../plugins/data-sources/sql/guard.ts';
import { type SqlDialect, withParameters } from '../../../../plugins/workflows/nodes/parts/sql-parameters.ts';
import { inOnePass } from '../../../support/effort.ts';
import { openMysql, openPostgresql } from '../../../support/servers.ts';

const HOSTILE = [
  "'; drop table t; --",
  "\\'; drop table t; -- ",
  '\\',
  "''",
  '" or ""="',
  '*/ union select 1 /*',
  '$$; select 1; $$',
  '%_中文 😀 \n\r\t\u001a\u2028',
  ':a :b ? $1 {input}',
  "\u02bc\uff07\u00bf'",
];

/** Text as databases keep it. */
const text = fc
  .string({ unit: 'binary', maxLength: 60 })
  .filter((value) => !value.includes('\0') && value.isWellFormed());

for (const [dialect, open] of [
  ['mysql', openMysql],
  ['postgresql', openPostgresql],
] as const) {
  test(`${dialect}: what a parameter holds comes back as it was, and never becomes a part of the statement`, async (t) => {
    const database = await open(t);
    if (!database) return;
    const guard = createSqlGuard({ functions: { mysql: [], postgresql: [] } });
    t.after(() => guard.close());
    const read = async (sql: string, parameters: Record<string, unknown>) => {
      const bound = withParameters(dialect, sql, parameters);
      return (await database.exec(await guard.check(dialect, bound)))[0];
    };
    for (const value of HOSTILE) assert.deepEqual({ ...(await read('select :a as a', { a: value })) }, { a: value });
    await fc.assert(
      fc.asyncProperty(text, text, async (a, b) => {
        const row = await read("select :a as a, ':a' as s, :b as b", { a, b });
        assert.deepEqual({ ...row }, { a, s: ':a', b });
      }),
      { numRuns: 60 },
    );
    await database.exec('create table t (id int, name varchar(50), made date)');
    await database.exec("insert into t values (1, 'a', '2024-01-02'), (2, '中', '2024-03-04'), (3, null, null)");
    const count = async (where: string, parameters: Record<string, unknown>) =>
      Number((await read(`select count(*) as n from t where ${where}`, parameters))?.n);
    assert.equal(await count('name = :name', { name: '中' }), 1);
    assert.equal(await count('made > :day', { day: '2024-02-01' }), 1);
    assert.equal(await count('id in (:ids)', { ids: [1, 3, 9] }), 2);
    assert.equal(await count('id in (:ids)', { ids: [] }), 0);
    assert.equal(await count('id > :low and (name like :part or :all)', { low: -1, part: '%a%', all: false }), 1);
    assert.equal(await count('id = :id', { id: '2' }), 1);
  });
}

test('strings, names, comments and casts are left alone', () => {
  const cases: [SqlDialect, string][] = [
    ['mysql', "select ':a', \":a\", `:a`, 'it''s :a', 'x\\' :a' -- :a\n, /* :a */ 1 # :a"],
    [
      'postgresql',
      `select ':a', ":a", 'it''s :a', E'x\\' :a', $$ :a $$, $x$ :a $x$, 1::text -- :a\n, /* :a */ 1, b := 2`,
    ],
  ];
  for (const [dialect, sql] of cases) assert.equal(withParameters(dialect, sql, { a: 1 }), sql);
});

test('values that no literal holds, and names without a value, are refused', () => {
  const code = (sql: string, value: unknown) => {
    try {
      return withParameters('mysql', sql, { a: value });
    } catch (error) {
      return (error as { code: string }).code;
    }
  };
  for (const value of [
    'a\0b',
    '\ud800',
    Number.NaN,
    Number.POSITIVE_INFINITY,
    'x'.repeat(20_000),
    Array(1001).fill(1),
  ]) {
    assert.equal(code('select :a', value), 'SQL_PARAMETER_INVALID');
  }
  for (const sql of ['select :b', 'select :constructor', 'select :__proto__']) {
    assert.equal(code(sql, 1), 'SQL_PARAMETER_MISSING');
  }
});

test('a statement of hostile quotes is read in one pass', async () => {
  for (const piece of ["'", '"', '`', '/*', '$$', "E'\\", ':', '--']) {
    await inOnePass(() => {
      withParameters('postgresql', piece.repeat(300_000), {});
      withParameters('mysql', piece.repeat(300_000), {});
    }, piece);
  }
});
