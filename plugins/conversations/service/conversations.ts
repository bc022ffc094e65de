import type { Filter } from '../../../core/data/database.ts';
import { containsText } from '../../../core/data/text.ts';
import type { Principal } from '../../../core/principal.ts';
import { AgentUnavailableError, MessageNotFoundError, ProjectRequiredError } from '../errors.ts';
import type { ConversationDocument } from '../models/conversation.ts';
import type { MessageDocument } from '../models/message.ts';
import type { Conversation, ConversationFilter, ConversationService } from '../public.ts';
import { NEW_CONVERSATION } from '../run/titles.ts';
import { knownModel } from './model-names.ts';
import type { ConversationParts } from './parts.ts';
import type { Projects } from './projects.ts';
import type { Store } from './store.ts';
import { conversationViews, messageView } from './views.ts';

/** Model of conversations with agents of the catalogue when nobody names one. Source: research document, 4.2. */
const DEFAULT_MODEL = 'deepseek-v3';

/** What lists of messages need; the rest of an answer can be long. */
const SHOWN: (keyof MessageDocument)[] = [
  'conversationId',
  'role',
  'content',
  'pinned',
  'tokens',
  'status',
  'citations',
  'createdAt',
];

/** Conversations with agents, and the lists of general chats. */
export function createConversations(
  parts: ConversationParts,
  { store, projects }: { store: Store; projects: Projects },
): Omit<ConversationService, 'send' | 'chat' | 'statistics'> {
  const { conversations, messages, agents, models } = parts;

  const view = async (principal: Principal, conversation: ConversationDocument): Promise<Conversation> => {
    const [only] = await conversationViews(parts, principal, [conversation]);
    return only as Conversation;
  };

  /** Conversations in whose title or messages the words are. */
  const containing = async (principal: Principal, keyword: string): Promise<Filter<ConversationDocument>> => {
    const content = containsText(keyword);
    const found = await messages
      .in(principal)
      .aggregate<{ _id: string }>([
        { $match: { ownerId: principal.accountId, content } },
        { $group: { _id: '$conversationId' } },
      ]);
    return { $or: [{ title: content }, { _id: { $in: found.map(({ _id }) => _id) } }] };
  };

  const filterOf = async (
    principal: Principal,
    { projectId, agentId, from, to, keyword }: ConversationFilter,
  ): Promise<Filter<ConversationDocument>> => ({
    ownerId: principal.accountId,
    kind: 'agent',
    deleted: false,
    ...(projectId !== undefined && { projectId }),
    ...(agentId !== undefined && { agentId }),
    ...((from || to) && { createdAt: { ...(from && { $gte: from }), ...(to && { $lte: to }) } }),
    ...(keyword !== undefined && keyword !== '' && (await containing(principal, keyword))),
  });

  return {
    async create(principal, { agentId, projectId, title, untitled, modelName, language }) {
      const agent = await agents.get(principal, agentId);
      if (agent.status !== 'active') throw new AgentUnavailableError(agentId);
      if (projectId !== undefined) await projects.find(principal, projectId);
      else if (agent.requiresProject) throw new ProjectRequiredError('agent');
      const standard = agent.source === 'catalogue' ? models.resolve(DEFAULT_MODEL).key : undefined;
      const chosen = modelName === undefined ? standard : knownModel(models, 'modelName', modelName);
      const named = title !== undefined && title !== '';
      const fallback =
        untitled === 'agent-name'
          ? ({ title: agent.name, titleFrom: 'agent' } as const)
          : ({ title: NEW_CONVERSATION[language], titleFrom: 'default' } as const);
      const made = await store.insert(principal, {
        kind: 'agent',
        agentId,
        ...(projectId !== undefined && { projectId }),
        ...(named ? { title, titleFrom: 'user' } : fallback),
        ...(chosen !== undefined && { modelName: chosen }),
      });
      try {
        // Deleted between the look at it and now: then nobody else removes the conversation.
        if (projectId !== undefined) await projects.find(principal, projectId);
      } catch (error) {
        await store.remove(principal, 'agent', made._id);
        throw error;
      }
      return view(principal, made);
    },

    get: async (principal, conversationId) => view(principal, await store.find(principal, 'agent', conversationId)),

    async list(principal, filter, { offset, limit, sortBy = 'updatedAt', sortOrder = 'desc' }) {
      const where = await filterOf(principal, filter);
      const direction = sortOrder === 'asc' ? 1 : -1;
      const [found, total] = await Promise.all([
        conversations.in(principal).find(where, { sort: { [sortBy]: direction, _id: direction }, skip: offset, limit }),
        conversations.in(principal).count(where),
      ]);
      return { items: await conversationViews(parts, principal, found), total };
    },

    async messages(principal, conversationId, { offset, limit }) {
      await store.find(principal, 'agent', conversationId);
      const [found, total] = await Promise.all([
        messages.in(principal).find({ conversationId }, { sort: { position: 1 }, skip: offset, limit, fields: SHOWN }),
        messages.in(principal).count({ conversationId }),
      ]);
      return { items: found.map(messageView), total };
    },

    async pin(principal, messageId) {
      const message = await messages
        .in(principal)
        .findOne({ _id: messageId, ownerId: principal.accountId }, { fields: ['conversationId'] });
      const conversation =
        message &&
        (await conversations
          .in(principal)
          .findOne({ _id: message.conversationId, kind: 'agent', deleted: false }, { fields: ['projectId'] }));
      if (!conversation) throw new MessageNotFoundError(messageId);
      const { projectId } = conversation;
      if (projectId === undefined) throw new ProjectRequiredError('pin');
      await messages
        .in(principal)
        .update(
          { _id: messageId, pinned: false },
          { $set: { pinned: true, pinnedAt: new Date(), pinnedIn: projectId } },
        );
    },

    delete: (principal, conversationId) => store.remove(principal, 'agent', conversationId),

    async listChats(principal, limit) {
      const found = await conversations.in(principal).find(
        // One without messages was cut off while it was being made.
        { ownerId: principal.accountId, kind: 'general', deleted: false, messageCount: { $gt: 0 } },
        { sort: { updatedAt: -1, _id: -1 }, limit },
      );
      return conversationViews(parts, principal, found);
    },

    deleteChat: (principal, conversationId) => store.remove(principal, 'general', conversationId),
  };
}
