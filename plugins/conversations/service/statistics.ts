import { adminRequired } from '../../../core/auth.ts';
import type { UsageCounter } from '../../auth/public.ts';
import type { ConversationService } from '../public.ts';
import type { ConversationParts } from './parts.ts';

const MOST_USED = 10;

/** Figures over all accounts. Conversations of API accounts are not among them. */
export function createStatistics({ conversations, agents }: Pick<ConversationParts, 'conversations' | 'agents'>): {
  statistics: ConversationService['statistics'];
  count: UsageCounter;
} {
  const counted = { kind: { $ne: 'task' as const }, deleted: false };

  return {
    async statistics(principal) {
      if (!principal.roles.includes('admin')) throw adminRequired();
      const all = conversations.acrossTenants('figures of the whole installation for administrators');
      const midnight = new Date();
      midnight.setUTCHours(0, 0, 0, 0);
      const [total, today, used] = await Promise.all([
        all.count(counted),
        all.count({ ...counted, createdAt: { $gte: midnight } }),
        all.aggregate<{ _id: string; count: number }>([
          { $match: { kind: 'agent', deleted: false } },
          { $group: { _id: '$agentId', count: { $sum: 1 } } },
          { $sort: { count: -1, _id: 1 } },
          { $limit: MOST_USED },
        ]),
      ]);
      const names = await agents.names(
        principal,
        used.map(({ _id }) => _id),
      );
      const mostUsed = used.map(({ _id: agentId, count }) => ({ agentId, name: names.get(agentId) ?? agentId, count }));
      return { total, today, mostUsed };
    },

    async count(accountIds) {
      const found = await conversations
        .acrossTenants('accounts are counted wherever their conversations are')
        .aggregate<{ _id: string; count: number }>([
          { $match: { ownerId: { $in: [...accountIds] }, ...counted } },
          { $group: { _id: '$ownerId', count: { $sum: 1 } } },
        ]);
      return new Map(found.map(({ _id, count }) => [_id, count]));
    },
  };
}
