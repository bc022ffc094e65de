import { AppError } from '../../../core/errors.ts';
import type { Principal } from '../../../core/principal.ts';
import type { Agent } from '../../agents/public.ts';
import type { ConversationDocument } from '../models/conversation.ts';
import type { MessageDocument } from '../models/message.ts';
import type { ProjectDocument } from '../models/project.ts';
import type { Conversation, Message, Project } from '../public.ts';
import type { ConversationParts } from './parts.ts';

export const messageView = (message: MessageDocument): Message => ({
  id: message._id,
  conversationId: message.conversationId,
  role: message.role,
  content: message.content,
  pinned: message.pinned,
  tokens: message.tokens,
  status: message.status,
  citations: message.citations ?? [],
  createdAt: message.createdAt,
});

export const projectView = (project: ProjectDocument, conversationCount: number): Project => ({
  id: project._id,
  name: project.name,
  description: project.description,
  conversationCount,
  createdAt: project.createdAt,
  updatedAt: project.updatedAt,
});

/** Conversations with the names of their agents and projects. */
export async function conversationViews(
  { agents, projects }: Pick<ConversationParts, 'agents' | 'projects'>,
  principal: Principal,
  found: readonly ConversationDocument[],
): Promise<Conversation[]> {
  const distinct = (ids: (string | undefined)[]) => [...new Set(ids.filter((id) => id !== undefined))];
  const agentIds = distinct(found.map(({ agentId }) => agentId));
  const projectIds = distinct(found.map(({ projectId }) => projectId));
  const known = new Map<string, Agent | undefined>(
    await Promise.all(agentIds.map(async (id) => [id, await existing(agents.get(principal, id))] as const)),
  );
  const named = new Map(
    (projectIds.length === 0
      ? []
      : await projects.in(principal).find({ _id: { $in: projectIds } }, { fields: ['name'] })
    ).map(({ _id, name }) => [_id, name]),
  );
  return found.map((conversation) => {
    const { agentId, projectId } = conversation;
    const agent = agentId === undefined ? undefined : known.get(agentId);
    return {
      id: conversation._id,
      ownerId: conversation.ownerId,
      title: conversation.title,
      agentId: agentId ?? null,
      agentName: agent?.name ?? null,
      projectId: projectId ?? null,
      projectName: projectId === undefined ? null : (named.get(projectId) ?? null),
      modelName: conversation.modelName ?? agent?.model.name ?? '',
      messageCount: conversation.messageCount,
      totalTokens: conversation.inputTokens + conversation.outputTokens,
      answering: conversation.activeRunId !== undefined,
      createdAt: conversation.createdAt,
      updatedAt: conversation.updatedAt,
      lastMessageAt: conversation.lastMessageAt,
    };
  });
}

/** Undefined for what is not found. */
async function existing<T>(found: Promise<T>): Promise<T | undefined> {
  try {
    return await found;
  } catch (error) {
    if (error instanceof AppError && error.kind === 'not_found') return undefined;
    throw error;
  }
}
