import { type Principal, systemPrincipal } from '../../../core/principal.ts';
import { ConversationNotFoundError } from '../errors.ts';
import type { ConversationDocument, ConversationRecord } from '../models/conversation.ts';
import type { ConversationKind } from '../public.ts';
import type { ConversationParts } from './parts.ts';
import type { TakenFields } from './turns.ts';

export type Store = ReturnType<typeof createStore>;

type New = Pick<ConversationRecord, 'kind' | 'title' | 'titleFrom'> &
  Partial<Pick<ConversationRecord, 'agentId' | 'projectId' | 'modelName' | 'task'> & TakenFields> & { _id?: string };

/** Conversations of all kinds: made, found and removed. Callers see their own. */
export function createStore({ conversations, messages, runs }: ConversationParts) {
  /** What is left to do for a conversation that is marked as deleted. May be repeated. */
  const finishRemoval = async (conversation: ConversationDocument): Promise<void> => {
    const { _id, kind, activeRunId, tenantId } = conversation;
    const system = systemPrincipal(tenantId);
    if (activeRunId !== undefined) await runs.cancel(system, activeRunId, 'deleted');
    // Of conversations with agents the messages stay, marked by their conversation.
    if (kind !== 'agent') {
      await runs.delete(system, { kind: kind === 'task' ? 'task' : 'chat', subject: _id });
      await messages.in(conversation).delete({ conversationId: _id });
    }
    await conversations.in(conversation).update({ _id }, { $unset: { removing: 1 } });
  };

  const remove = async (tenant: Pick<Principal, 'tenantId'>, where: Record<string, unknown>): Promise<boolean> => {
    const now = new Date();
    const gone = await conversations
      .in(tenant)
      .update({ ...where, deleted: false }, { $set: { deleted: true, deletedAt: now, removing: true } });
    if (gone) await finishRemoval(gone);
    return gone !== undefined;
  };

  return {
    /** @throws {ConversationNotFoundError} missing, deleted, of another kind, or not the caller's */
    async find(principal: Principal, kind: ConversationKind, conversationId: string): Promise<ConversationDocument> {
      const found = await conversations
        .in(principal)
        .findOne({ _id: conversationId, kind, ownerId: principal.accountId, deleted: false });
      if (!found) throw new ConversationNotFoundError(conversationId);
      return found;
    },

    /** @throws {AppError} DUPLICATE when the given id is taken */
    insert: (principal: Principal, conversation: New): Promise<ConversationDocument> =>
      conversations.in(principal).insert(
        {
          messageCount: 0,
          turns: 0,
          lastMessageAt: new Date(),
          ...conversation,
          ownerId: principal.accountId,
          inputTokens: 0,
          outputTokens: 0,
          contextTokens: 0,
          todoList: null,
          deleted: false,
        },
        { trusted: true },
      ),

    /** Unless an answer is under way. Returns whether it is gone by this call. */
    removeIdle: (principal: Principal, kind: ConversationKind, conversationId: string): Promise<boolean> =>
      remove(principal, {
        _id: conversationId,
        kind,
        ownerId: principal.accountId,
        activeRunId: { $exists: false },
      }),

    /** Ends an answer under way. @throws {ConversationNotFoundError} */
    async remove(principal: Principal, kind: ConversationKind, conversationId: string): Promise<void> {
      const gone = await remove(principal, { _id: conversationId, kind, ownerId: principal.accountId });
      if (!gone) throw new ConversationNotFoundError(conversationId);
    },

    /** All conversations of a project. May be repeated. */
    async removeOfProject(tenant: Pick<Principal, 'tenantId'>, projectId: string): Promise<void> {
      while (await remove(tenant, { projectId })) {
        // One after another: each may have an answer to end.
      }
    },

    /** Takes up deletions that a crash cut off. */
    async recover(): Promise<void> {
      const removing = conversations.acrossTenants('recovery at start').iterate({ removing: true });
      for await (const conversation of removing) await finishRemoval(conversation);
    },
  };
}
