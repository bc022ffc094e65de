import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { createLogger } from '../../../core/log.ts';
import type { Principal } from '../../../core/principal.ts';
import { type Session, type SessionLimits, Sessions } from '../../../plugins/mcp/sessions.ts';

const LIMITS: SessionLimits = { total: 10, perAccount: 2, idleMs: 1000, ageMs: 10_000 };
const person = (accountId: string, tenantId = 't'): Principal => ({
  kind: 'user',
  accountId,
  tenantId,
  roles: ['user'],
});
const make = () => new Server({ name: 'test', version: '1' }, { capabilities: {} });
const sessions = (limits: Partial<SessionLimits> = {}) =>
  new Sessions({ ...LIMITS, ...limits }, createLogger('silent'));

test('sweep: silent sessions end, those with a request under way only when they are too old', async () => {
  const all = sessions();
  const silent = await all.begin(person('a'), make);
  const busy = await all.begin(person('b'), make);
  busy.requests = 1;
  all.sweep(Date.now() + 900);
  assert.equal(all.size, 2);
  all.sweep(Date.now() + 1100);
  assert.deepEqual([all.size, silent.closed, busy.closed], [1, true, false]);
  all.sweep(Date.now() + 10_100);
  assert.deepEqual([all.size, busy.closed], [0, true]);
});

test('begin: an account that has all of its sessions at work gets no more, nor anybody when the server is full', async () => {
  const all = sessions({ total: 3 });
  const own: Session[] = [];
  for (let at = 0; at < 2; at += 1) own.push(await all.begin(person('a'), make));
  for (const session of own) session.requests = 1;
  await assert.rejects(all.begin(person('a'), make), { code: 'MCP_SESSIONS_FULL', retryAfter: 30 });
  await all.begin(person('b'), make);
  await assert.rejects(all.begin(person('c'), make), { code: 'MCP_SESSIONS_FULL' });
  await all.close();
  assert.equal(all.size, 0);
});

test('begin: many at once do not slip past the limit', async () => {
  const all = sessions({ total: 5, perAccount: 100 });
  const begun = await Promise.allSettled(Array.from({ length: 20 }, (_, at) => all.begin(person(`p${at}`), make)));
  assert.equal(begun.filter(({ status }) => status === 'fulfilled').length, 5);
  assert.equal(all.size, 5);
  await all.close();
});
