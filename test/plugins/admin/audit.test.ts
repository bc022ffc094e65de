import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { AuditEntry } from '../../../core/audit.ts';
import type { Collection } from '../../../core/data/database.ts';
import { AppError } from '../../../core/errors.ts';
import { createLogger } from '../../../core/log.ts';
import type { Principal } from '../../../core/principal.ts';
import { type AuditDocument, auditModel } from '../../../plugins/admin/audit/model.ts';
import { createAuditLog } from '../../../plugins/admin/audit/service.ts';
import { openTestDatabase } from '../../support/database.ts';

const database = await openTestDatabase({ after });
const entries = auditModel(database, 30);
await database.ready();
const log = createLogger('silent');
const admin: Principal = { kind: 'user', accountId: 'root', tenantId: 't', roles: ['user', 'admin'] };

const entry = (fields: Partial<AuditEntry> = {}): AuditEntry => ({
  at: new Date(),
  tenantId: 't',
  accountId: 'a',
  principal: 'user',
  contract: 'studio',
  method: 'POST',
  route: '/api/v1/agents',
  action: { zh: '创建智能体', en: 'Makes an agent' },
  objectIds: ['one', 'two'],
  status: 200,
  ip: '127.0.0.1',
  traceId: 'trace',
  ...fields,
});

const all = (accountId: string) => entries.find({ accountId });

test('record: entries are stored whole, at the latest when the log is closed', async () => {
  const audit = createAuditLog(entries, log);
  for (let at = 0; at < 2500; at += 1) audit.record(entry({ accountId: 'many', traceId: `trace-${at}` }));
  await audit.close();
  const stored = await all('many');
  assert.equal(stored.length, 2500);
  assert.equal(new Set(stored.map(({ traceId }) => traceId)).size, 2500);
  const { items, total } = await audit.list(admin, { accountId: 'many' }, { offset: 0, limit: 1 });
  const { id, at, ...rest } = items[0] ?? assert.fail();
  const { at: _at, ...wanted } = entry({ accountId: 'many', traceId: rest.traceId });
  assert.equal(total, 2500);
  assert.ok(id !== '' && at instanceof Date);
  assert.deepEqual(rest, wanted);
});

test('record: a write whose answer was lost is not stored twice', async () => {
  let failures = 2;
  const flaky = {
    ...entries,
    async insertMany(...given: Parameters<typeof entries.insertMany>) {
      // The first time half of it arrives, then nothing does, then all is well.
      if (failures === 2) await entries.insertMany(given[0].slice(0, 2), given[1]);
      failures -= 1;
      if (failures >= 0)
        throw new AppError('unavailable', 'DATABASE_UNAVAILABLE', { zh: '不可用', en: 'out of reach' });
      return entries.insertMany(...given);
    },
  } as Collection<AuditDocument>;
  const audit = createAuditLog(flaky, log);
  for (let at = 0; at < 5; at += 1) audit.record(entry({ accountId: 'flaky' }));
  await audit.close();
  assert.equal((await all('flaky')).length, 5);
});

test('list: administrators only', async () => {
  const audit = createAuditLog(entries, log);
  await assert.rejects(audit.list({ ...admin, roles: ['user'] }, {}, { offset: 0, limit: 1 }), {
    code: 'ADMIN_REQUIRED',
  });
});

test('retention: the database removes what is older, and keeps everything without a limit', async () => {
  const [kept, limited] = [await openTestDatabase({ after }), await openTestDatabase({ after })];
  auditModel(kept, 0);
  auditModel(limited, 7);
  await Promise.all([kept.ready(), limited.ready()]);
  const ttl = async (of: typeof database) =>
    (await of.connection.collection('audit_log').indexes()).map(({ expireAfterSeconds }) => expireAfterSeconds);
  assert.deepEqual(
    (await ttl(kept)).filter((seconds) => seconds !== undefined),
    [],
  );
  assert.deepEqual(
    (await ttl(limited)).filter((seconds) => seconds !== undefined),
    [7 * 86_400],
  );
});
