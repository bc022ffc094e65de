import assert from 'node:assert/strict';
import { test } from 'node:test';
import { adminRequired } from '../../../core/auth.ts';
import type { Principal } from '../../../core/principal.ts';
import { createAdminService } from '../../../plugins/admin/service.ts';
import type { AccountService } from '../../../plugins/auth/public.ts';
import type { ConversationService } from '../../../plugins/conversations/public.ts';
import type { KnowledgeService } from '../../../plugins/knowledge/public.ts';

const admin: Principal = { kind: 'user', accountId: 'root', tenantId: 't', roles: ['user', 'admin'] };
const person: Principal = { ...admin, accountId: 'person', roles: ['user'] };

const people = { total: 3, active: 2, newToday: 1, new7Days: 3 };
const accounts = {
  async statistics(principal: Principal) {
    if (!principal.roles.includes('admin')) throw adminRequired();
    return people;
  },
  list: async () => ({ items: [{ id: 'a' }, { id: 'b' }], total: 9 }),
  usage: async (name: string) => new Map([['a', name === 'conversations' ? 25 : 1]]),
} as unknown as AccountService;

const mostUsed = [{ agentId: 'agent-picos', name: 'PICOS构建', count: 800 }];

test('statistics: figures of all plugins, conversations of an account with one decimal', async () => {
  const service = createAdminService({
    accounts,
    conversations: {
      statistics: async () => ({ total: 5000, today: 200, mostUsed }),
    } as unknown as ConversationService,
    knowledge: { statistics: async () => ({ bases: 300, documents: 4500, bytes: 7 }) } as unknown as KnowledgeService,
  });
  assert.deepEqual(await service.statistics(admin), {
    accounts: people,
    conversations: { total: 5000, today: 200, mostUsed, perAccount: 1666.7 },
    knowledge: { bases: 300, documents: 4500, bytes: 7 },
  });
});

test('statistics: zeros for plugins that are not there, and a refusal all the same', async () => {
  const service = createAdminService({ accounts });
  assert.deepEqual(await service.statistics(admin), {
    accounts: people,
    conversations: { total: 0, today: 0, mostUsed: [], perAccount: 0 },
    knowledge: { bases: 0, documents: 0, bytes: 0 },
  });
  await assert.rejects(service.statistics(person), { code: 'ADMIN_REQUIRED' });
});

test('accounts: with what each has, 0 where nobody counts', async () => {
  const { items, total } = await createAdminService({ accounts }).accounts(admin, { offset: 0, limit: 2 });
  assert.equal(total, 9);
  assert.deepEqual(items, [
    { id: 'a', kbUsed: 1, conversationCount: 25 },
    { id: 'b', kbUsed: 0, conversationCount: 0 },
  ]);
});
