import type { Language } from '../../../core/contracts/contract.ts';
import { defineRoute, defineRoutes, EventStream, type StreamMessage } from '../../../core/http/route.ts';
import { id, nullable, oneOf, Type, text, time } from '../../../core/schema.ts';
import {
  type AnswerPiece,
  type Conversation,
  type ConversationService,
  MAX_KNOWLEDGE_BASES,
  type Message,
} from '../public.ts';
import { content, lastEventId } from './parts.ts';
import { dayOrMoment, failureOf } from './research-parts.ts';

const conversationId = () => id('conversation', { label: { zh: '对话', en: 'Conversation' } });
const agentId = () => id('agent', { label: { zh: '智能体', en: 'Agent' } });
const projectId = () => id('project', { label: { zh: '项目', en: 'Project' } });

/** Messages that one answer shows at most: the last ones. */
const MOST_MESSAGES = 10_000;

const citations = Type.Array(
  Type.Object({
    number: Type.Integer(),
    documentId: id('document'),
    filename: Type.String(),
    page: nullable(Type.Integer()),
    pageEnd: nullable(Type.Integer()),
    headings: Type.Array(Type.String()),
    passageId: Type.String(),
    text: Type.String(),
  }),
);
const citationsView = (message: Message | null) =>
  message && message.citations.length > 0 ? { citations: message.citations } : {};

const messageReply = Type.Object({
  id: id('message'),
  role: oneOf(['user', 'assistant']),
  content: Type.String(),
  isPinned: Type.Optional(Type.Boolean()),
  tokens: Type.Optional(Type.Integer()),
  citations: Type.Optional(citations),
  createdAt: time(),
});
const messageView = (message: Message) => ({
  id: message.id,
  role: message.role,
  content: message.content,
  ...((message.role === 'assistant' || message.pinned) && { isPinned: message.pinned }),
  ...(message.role === 'assistant' && { tokens: message.tokens }),
  ...citationsView(message),
  createdAt: message.createdAt,
});

const startMessage = Type.Object({ type: Type.Literal('start'), conversationId: conversationId() });
const doneMessage = Type.Object({
  type: Type.Literal('done'),
  messageId: nullable(id('message')),
  tokens: Type.Integer(),
  citations: Type.Optional(citations),
});

/** Source: research document, 4.4: `start`, `token`, `done`; a failure after the start is `error`. */
async function* streamOf(
  conversation: string,
  pieces: AsyncIterable<AnswerPiece>,
  language: Language,
): AsyncGenerator<StreamMessage> {
  yield { data: { type: 'start', conversationId: conversation }, schema: startMessage };
  for await (const piece of pieces) {
    if (piece.type === 'token') {
      yield { id: piece.id, data: { type: 'token', content: piece.content } };
    } else if (piece.type === 'error') {
      yield { id: piece.id, data: { type: 'error', ...failureOf(piece, language) } };
    } else {
      const { message, usage } = piece;
      const data = {
        type: 'done',
        messageId: message?.id ?? null,
        tokens: message?.tokens ?? usage.outputTokens,
        ...citationsView(message),
      };
      yield { id: piece.id, data, schema: doneMessage };
    }
  }
}

const listItem = Type.Object({
  id: conversationId(),
  title: Type.String(),
  agentId: agentId(),
  agentName: nullable(Type.String()),
  projectId: nullable(projectId()),
  projectName: nullable(Type.String()),
  modelName: Type.String(),
  messageCount: Type.Integer(),
  totalTokens: Type.Integer(),
  createdAt: time(),
  updatedAt: time(),
});

const historyItem = Type.Object({
  conversationId: conversationId(),
  title: Type.String(),
  agentId: agentId(),
  agentName: nullable(Type.String()),
  projectId: nullable(projectId()),
  projectName: nullable(Type.String()),
  source: oneOf(['project', 'global']),
  messageCount: Type.Integer(),
  createdAt: time(),
  lastMessageAt: time(),
});
const historyView = (conversation: Conversation) => ({
  ...conversation,
  conversationId: conversation.id,
  source: conversation.projectId === null ? 'global' : 'project',
});

const made = {
  id: conversationId(),
  title: Type.String(),
  agentId: agentId(),
  projectId: nullable(projectId()),
  modelName: Type.String(),
  messageCount: Type.Integer(),
};

const filter = {
  projectId: Type.Optional(projectId()),
  agentId: Type.Optional(agentId()),
};

/** Source: research document, sections 4 and 7. */
export const researchRoutes = (conversations: ConversationService) =>
  defineRoutes('research', {
    tag: { zh: '对话', en: 'Conversations' },
    codes: {},
    routes: [
      defineRoute({
        method: 'GET',
        path: '/conversations',
        auth: 'user',
        summary: { zh: '对话列表', en: 'The conversations of the caller' },
        query: Type.Object(filter),
        paged: { sortBy: ['updatedAt', 'createdAt'] },
        reply: listItem,
        handler: ({ principal, query, paging: { offset, limit, sortBy, sortOrder } }) =>
          conversations.list(principal, query, {
            offset,
            limit,
            sortBy: sortBy === 'createdAt' ? 'createdAt' : 'updatedAt',
            ...(sortOrder && { sortOrder }),
          }),
      }),
      defineRoute({
        method: 'POST',
        path: '/conversations',
        auth: 'user',
        status: 201,
        summary: { zh: '创建对话', en: 'Makes a conversation' },
        body: Type.Object({
          agentId: agentId(),
          projectId: Type.Optional(nullable(projectId())),
          title: Type.Optional(text({ label: { zh: '标题', en: 'Title' }, minLength: 1, maxLength: 200 })),
          modelName: Type.Optional(text({ label: { zh: '模型', en: 'Model' }, minLength: 1, maxLength: 100 })),
        }),
        reply: Type.Object({ ...made, createdAt: time() }),
        errors: ['AGENT_NOT_FOUND', 'PROJECT_NOT_FOUND', 'PROJECT_REQUIRED', 'MODEL_UNKNOWN'],
        handler: ({ principal, body: { projectId: project, ...rest }, request }) =>
          conversations.create(principal, {
            ...rest,
            ...(project && { projectId: project }),
            untitled: 'agent-name',
            language: request.language,
          }),
      }),
      defineRoute({
        method: 'GET',
        path: '/conversations/:id',
        auth: 'user',
        summary: { zh: '对话详情，含消息', en: 'A conversation with its messages, oldest first' },
        params: Type.Object({ id: conversationId() }),
        reply: Type.Object({ ...made, messages: Type.Array(messageReply), createdAt: time(), updatedAt: time() }),
        errors: ['CONVERSATION_NOT_FOUND'],
        async handler({ principal, params }) {
          const conversation = await conversations.get(principal, params.id);
          const { items } = await conversations.messages(principal, params.id, {
            offset: Math.max(0, conversation.messageCount - MOST_MESSAGES),
            limit: MOST_MESSAGES,
          });
          return { ...conversation, messages: items.map(messageView) };
        },
      }),
      defineRoute({
        method: 'POST',
        path: '/conversations/:id/messages/stream',
        auth: 'user',
        replyType: 'events',
        summary: { zh: '发送消息，流式回答', en: 'Sends a message; the answer is an event stream' },
        params: Type.Object({ id: conversationId() }),
        body: Type.Object({
          content: content(),
          kbReferences: Type.Optional(
            Type.Array(id('knowledge_base'), {
              label: { zh: '引用的知识库', en: 'Knowledge bases' },
              maxItems: MAX_KNOWLEDGE_BASES,
            }),
          ),
        }),
        errors: ['CONVERSATION_NOT_FOUND', 'AGENT_NOT_FOUND', 'KNOWLEDGE_BASE_NOT_FOUND', 'CONVERSATION_BUSY'],
        async handler({ principal, params, body, request }) {
          const answering = await conversations.send(principal, params.id, {
            content: body.content,
            knowledgeBaseIds: body.kbReferences ?? [],
            language: request.language,
            ...lastEventId(request),
          });
          return new EventStream(streamOf(params.id, answering.follow(request.signal), request.language));
        },
      }),
      defineRoute({
        method: 'POST',
        path: '/messages/:id/pin',
        auth: 'user',
        summary: { zh: '固定消息到项目背景', en: 'Makes a message part of the background of its project' },
        params: Type.Object({ id: id('message', { label: { zh: '消息', en: 'Message' } }) }),
        message: { zh: '已固定到项目背景', en: 'Pinned to the background of the project' },
        errors: ['MESSAGE_NOT_FOUND', 'PROJECT_REQUIRED'],
        handler: ({ principal, params }) => conversations.pin(principal, params.id),
      }),
      defineRoute({
        method: 'DELETE',
        path: '/conversations/:id',
        auth: 'user',
        status: 204,
        summary: { zh: '删除对话', en: 'Deletes a conversation' },
        params: Type.Object({ id: conversationId() }),
        errors: ['CONVERSATION_NOT_FOUND'],
        handler: ({ principal, params }) => conversations.delete(principal, params.id),
      }),
      defineRoute({
        method: 'GET',
        path: '/history',
        auth: 'user',
        summary: { zh: '跨项目的历史记录', en: 'Conversations of all projects, last message first' },
        query: Type.Object({
          ...filter,
          startDate: Type.Optional(Type.String({ description: 'day (UTC) or moment, inclusive' })),
          endDate: Type.Optional(Type.String({ description: 'day (UTC) or moment, inclusive' })),
          keyword: Type.Optional(text({ maxLength: 200, description: 'in title or messages' })),
        }),
        paged: true,
        reply: historyItem,
        async handler({ principal, query: { startDate, endDate, ...rest }, paging: { offset, limit } }) {
          const range = dayOrMoment(startDate, endDate);
          const found = await conversations.list(
            principal,
            { ...rest, ...range },
            { offset, limit, sortBy: 'lastMessageAt', sortOrder: 'desc' },
          );
          return { items: found.items.map(historyView), total: found.total };
        },
      }),
    ],
  });
