import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { AppError } from '../../../core/errors.ts';
import { createLogger } from '../../../core/log.ts';
import { checkOptions } from '../../../core/manifest.ts';
import type { Principal } from '../../../core/principal.ts';
import { budgetsSchema, createUsage, type UsageRecord } from '../../../runtime/usage/index.ts';
import { openTestDatabase } from '../../support/database.ts';

const database = await openTestDatabase({ after });
const log = createLogger('silent');
const price = { input: 2, output: 8, cachedInput: 0.5, currency: 'CNY' };
const models = { models: { dear: { price } } } as unknown as Parameters<typeof createUsage>[0]['models'];

let tenants = 0;
/** A caller in a tenant that no other test has. */
function caller(accountId?: string): Principal {
  tenants += 1;
  return { kind: 'user', accountId: accountId ?? `account-${tenants}`, tenantId: `tenant-${tenants}`, roles: ['user'] };
}

const call = (fields: Partial<UsageRecord> = {}): UsageRecord => ({
  runId: 'run-1',
  kind: 'chat',
  model: 'plain',
  inputTokens: 70,
  outputTokens: 30,
  cachedTokens: 0,
  estimated: false,
  ...fields,
});

const budgetsOf = (section: unknown) =>
  checkOptions(budgetsSchema, section, (path, why) => new Error(`budgets.${path} ${why}`));

/** A service with budgets, and a clock that the test turns. */
function createAt(section: unknown = {}, start = Date.UTC(2026, 4, 10, 12)) {
  const clock = { now: start };
  const usage = createUsage({ database, budgets: budgetsOf(section), models, log, now: () => clock.now });
  return { usage, clock };
}

const exceeded = (details: object) => (error: unknown) => {
  assert.ok(error instanceof AppError, String(error));
  assert.equal(error.code, 'BUDGET_EXCEEDED');
  assert.equal(error.kind, 'quota_exceeded');
  assert.deepEqual(error.details, details);
  return true;
};

await database.ready();

test('record: sums by run, account, tenant and day', async () => {
  const { usage, clock } = createAt();
  const one = caller();
  const other: Principal = { ...one, accountId: 'colleague' };
  await database.ready();
  await Promise.all([
    usage.record(one, call({ runId: 'a', cachedTokens: 20 })),
    usage.record(one, call({ runId: 'b' })),
    usage.record(one, call({ runId: 'a', model: 'other' })),
    usage.record(other, call({ runId: 'c' })),
  ]);
  clock.now += 86_400_000;
  await usage.record(one, call({ runId: 'a' }));

  const ofRun = await usage.totals(one, { runId: 'a' });
  assert.deepEqual(ofRun, {
    calls: 3,
    inputTokens: 210,
    outputTokens: 90,
    totalTokens: 300,
    cachedTokens: 20,
    cost: {},
  });
  assert.equal((await usage.totals(one, { accountId: one.accountId })).calls, 4);
  assert.equal((await usage.totals(one, {})).calls, 5, 'the whole tenant');
  assert.equal((await usage.totals(one, { accountId: 'colleague' })).calls, 1);
  const day = new Date(clock.now);
  assert.equal((await usage.totals(one, { from: day })).calls, 1);
  assert.equal((await usage.totals(one, { to: new Date(clock.now - 86_400_000) })).calls, 4);
  const days = await usage.days(one, { accountId: one.accountId });
  assert.deepEqual(
    days.map(({ day, model, calls, totalTokens }) => [day, model, calls, totalTokens]),
    [
      ['2026-05-11', 'plain', 1, 100],
      ['2026-05-10', 'other', 1, 100],
      ['2026-05-10', 'plain', 2, 200],
    ],
  );
});

test('record: costs by the prices of the configuration, cached input for less', async () => {
  const { usage } = createAt();
  const one = caller();
  await usage.record(
    one,
    call({ model: 'dear', inputTokens: 1_000_000, cachedTokens: 400_000, outputTokens: 250_000 }),
  );
  await usage.record(one, call());
  const { cost, totalTokens } = await usage.totals(one, {});
  assert.deepEqual(cost, { CNY: 0.6 * 2 + 0.4 * 0.5 + 0.25 * 8 });
  assert.equal(totalTokens, 1_250_100);
});

test('totals: other tenants are out of sight, except for administrators who ask for all', async () => {
  const { usage } = createAt();
  const one = caller();
  const stranger = caller();
  await usage.record(one, call({ runId: 'mine' }));
  assert.equal((await usage.totals(stranger, { runId: 'mine' })).calls, 0);
  assert.equal((await usage.totals(stranger, { accountId: one.accountId })).calls, 0);
  assert.deepEqual(await usage.days(stranger, {}), []);
  await assert.rejects(usage.totals(stranger, { everyTenant: true, accountId: one.accountId }), {
    code: 'ADMIN_REQUIRED',
  });
  const admin: Principal = { ...stranger, roles: ['user', 'admin'] };
  assert.equal((await usage.totals(admin, { everyTenant: true, accountId: one.accountId })).calls, 1);
});

test('totals: the own account counts in all tenants where it worked', async () => {
  const { usage } = createAt();
  const home = caller();
  const elsewhere = caller(home.accountId);
  await usage.record(home, call());
  await usage.record(elsewhere, call());
  assert.equal((await usage.totals(home, { accountId: home.accountId })).calls, 2);
  assert.equal((await usage.totals(home, {})).calls, 1);
});

test('record: hundreds of calls at once are all counted', async () => {
  const { usage } = createAt();
  const one = caller();
  const calls = Array.from({ length: 500 }, (_, at) =>
    usage.record({ ...one, accountId: `account-${at % 7}` }, call({ runId: `run-${at % 50}` })),
  );
  await Promise.all(calls);
  assert.equal((await usage.totals(one, {})).calls, 500);
  assert.equal((await usage.totals(one, { runId: 'run-3' })).calls, 10);
});

test('record: two servers that begin the same sum at once both count', async () => {
  const [first, second] = [createAt().usage, createAt().usage];
  const one = caller();
  await Promise.all([first, second].flatMap((usage) => Array.from({ length: 20 }, () => usage.record(one, call()))));
  assert.equal((await first.totals(one, {})).calls, 40);
});

test('check: without budgets everything is allowed', async () => {
  const { usage } = createAt();
  const one = caller();
  await usage.record(one, call({ inputTokens: 1e12 }));
  await usage.check(one);
});

test('check: the budget of an account ends at midnight UTC', async () => {
  const { usage, clock } = createAt({ perAccount: { tokens: 150, period: 'day' } });
  const one = caller();
  await usage.check(one);
  await usage.record(one, call());
  await usage.check(one);
  await usage.record(one, call());
  const details = { resource: 'tokens', quota: 150, scope: 'account', used: 200, resetAt: '2026-05-11T00:00:00.000Z' };
  await assert.rejects(usage.check(one), exceeded(details));
  await usage.check({ ...one, accountId: 'colleague' });
  clock.now = Date.UTC(2026, 4, 11);
  await usage.check(one);
});

test('check: the budget of a tenant holds all its accounts, and the month is the default', async () => {
  const { usage, clock } = createAt({ perTenant: { tokens: 150 } }, Date.UTC(2026, 11, 31, 23));
  const one = caller();
  const colleague: Principal = { ...one, accountId: 'colleague' };
  await usage.record(one, call());
  await usage.check(colleague);
  await usage.record(colleague, call());
  const details = { resource: 'tokens', quota: 150, scope: 'tenant', used: 200, resetAt: '2027-01-01T00:00:00.000Z' };
  await assert.rejects(usage.check(one), exceeded(details));
  await assert.rejects(usage.check({ ...one, kind: 'system', accountId: 'system' }), exceeded(details));
  clock.now = Date.UTC(2027, 0, 1);
  await usage.check(one);
});

test('check: a budget of money', async () => {
  const { usage } = createAt({ perAccount: { cost: { CNY: 1, USD: 5 }, period: 'day' } });
  const one = caller();
  await usage.record(one, call({ inputTokens: 1e9 }));
  await usage.check(one);
  await usage.record(one, call({ model: 'dear', inputTokens: 0, outputTokens: 125_000 }));
  await assert.rejects(
    usage.check(one),
    exceeded({
      resource: 'cost',
      currency: 'CNY',
      quota: 1,
      scope: 'account',
      used: 1,
      resetAt: '2026-05-11T00:00:00.000Z',
    }),
  );
});

test('check: after a restart what was counted before still counts', async () => {
  const section = { perAccount: { tokens: 100 } };
  const one = caller();
  const before = createAt(section).usage;
  await before.record(one, call());
  await before.close();
  await assert.rejects(createAt(section).usage.check(one), { code: 'BUDGET_EXCEEDED' });
});

test('check: what another server counts is seen within seconds', async () => {
  const section = { perAccount: { tokens: 100 } };
  const one = caller();
  const [here, there] = [createAt(section), createAt(section)];
  await here.usage.check(one);
  await there.usage.record(one, call());
  here.clock.now += 5000;
  await assert.rejects(here.usage.check(one), { code: 'BUDGET_EXCEEDED' });
});

test('check: sums that are read while calls are counted have each of them once', async () => {
  const section = { perAccount: { tokens: 10_000 } };
  for (let round = 0; round < 5; round += 1) {
    const { usage, clock } = createAt(section);
    const one = caller();
    const work = Array.from({ length: 100 }, async (_, at) => {
      if (at === 99) return;
      if (at % 10 === 0) clock.now += 5000;
      await Promise.all([usage.record(one, call()), usage.check(one)]);
    });
    await Promise.all(work);
    await usage.check(one);
    await usage.record(one, call());
    await assert.rejects(usage.check(one), (error: AppError) => error.details?.used === 10_000);
  }
});

test('options: what is misspelt or wrong is refused by name', () => {
  assert.deepEqual(budgetsOf(undefined), {});
  assert.deepEqual(budgetsOf({ perTenant: { tokens: 5 } }), { perTenant: { tokens: 5, period: 'month' } });
  assert.throws(() => budgetsOf({ perUser: { tokens: 5 } }), /budgets\.perUser is unknown/);
  assert.throws(() => budgetsOf({ perTenant: { token: 5 } }), /budgets\.perTenant\.token is unknown/);
  assert.throws(() => budgetsOf({ perTenant: { tokens: 0 } }), /budgets\.perTenant\.tokens/);
  assert.throws(() => budgetsOf({ perTenant: { tokens: 5, period: 'week' } }), /budgets\.perTenant\.period/);
  assert.throws(() => budgetsOf({ perTenant: { cost: { cny: 5 } } }), /budgets\.perTenant\.cost/);
});

test('budgets: tenants and accounts that are named have their own, or none', async () => {
  const [rich, free, poor] = [caller(), caller(), caller()];
  const { usage } = createAt({
    perTenant: { tokens: 100 },
    perAccount: { tokens: 100 },
    tenants: { [rich.tenantId]: { tokens: 1000 }, [free.tenantId]: {} },
    accounts: { [rich.accountId]: { tokens: 250, period: 'day' }, [free.accountId]: {} },
  });
  for (const one of [rich, free, poor]) await usage.record(one, call());
  await assert.rejects(usage.check(poor), { code: 'BUDGET_EXCEEDED' });
  await usage.check(free);
  assert.deepEqual(await usage.budgets(free), []);
  await usage.check(rich);
  assert.deepEqual(
    (await usage.budgets(rich)).map(({ scope, quota, used }) => [scope, quota, used]),
    [
      ['tenant', 1000, 100],
      ['account', 250, 100],
    ],
  );
  for (let count = 0; count < 2; count += 1) await usage.record(rich, call());
  await assert.rejects(usage.check(rich), /daily budget of the account for models \(250 tokens\)/);
  assert.throws(() => budgetsOf({ tenants: { a: { tokens: 0 } } }), /budgets\.tenants/);
});
