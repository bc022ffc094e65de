import type { AccountService } from '../auth/public.ts';
import type { ConversationService, ConversationStatistics } from '../conversations/public.ts';
import type { KnowledgeService, KnowledgeStatistics } from '../knowledge/public.ts';
import type { AdminService } from './public.ts';

export interface AdminParts {
  accounts: AccountService;
  conversations?: ConversationService | undefined;
  knowledge?: KnowledgeService | undefined;
}

const NO_CONVERSATIONS: ConversationStatistics = { total: 0, today: 0, mostUsed: [] };
const NO_KNOWLEDGE: KnowledgeStatistics = { bases: 0, documents: 0, bytes: 0 };

export function createAdminService({ accounts, conversations, knowledge }: AdminParts): AdminService {
  return {
    async accounts(principal, query) {
      const { items, total } = await accounts.list(principal, query);
      const ids = items.map(({ id }) => id);
      const [bases, talks] = await Promise.all([
        accounts.usage('knowledgeBases', ids),
        accounts.usage('conversations', ids),
      ]);
      return {
        items: items.map((account) => ({
          ...account,
          kbUsed: bases.get(account.id) ?? 0,
          conversationCount: talks.get(account.id) ?? 0,
        })),
        total,
      };
    },

    async setStatus(principal, accountId, status) {
      await accounts.setStatus(principal, accountId, status);
    },

    async statistics(principal) {
      // First: it refuses whoever is no administrator, also where nothing else is there to refuse.
      const people = await accounts.statistics(principal);
      const [talks = NO_CONVERSATIONS, documents = NO_KNOWLEDGE] = await Promise.all([
        conversations?.statistics(principal),
        knowledge?.statistics(principal),
      ]);
      const perAccount = people.total === 0 ? 0 : Math.round((talks.total / people.total) * 10) / 10;
      return { accounts: people, conversations: { ...talks, perAccount }, knowledge: documents };
    },
  };
}
