import type { Language } from '../../../core/contracts/contract.ts';
import { research } from '../../../core/contracts/research.ts';
import { defineRoute, defineRoutes, EventStream, type StreamMessage } from '../../../core/http/route.ts';
import { id, Type, text, time } from '../../../core/schema.ts';
import { type Answering, type AnswerPiece, type ConversationService, MAX_KNOWLEDGE_BASES } from '../public.ts';
import { content, lastEventId } from './parts.ts';
import { failureOf } from './research-parts.ts';

const conversationId = () => id('conversation', { label: { zh: '对话', en: 'Conversation' } });

/** Conversations that the list shows. Source: research document, 9.2. */
const LISTED = 50;

/** Source: research document, 9.1: pieces, the last one with the usage, then `[DONE]`. The first one has the conversation's id. */
async function* streamOf(
  pieces: AsyncIterable<AnswerPiece>,
  conversation: string,
  language: Language,
): AsyncGenerator<StreamMessage> {
  let first: { conversationId?: string } = { conversationId: research.formatId('conversation', conversation) };
  for await (const piece of pieces) {
    if (piece.type === 'error') {
      yield { id: piece.id, data: { error: failureOf(piece, language) } };
    } else if (piece.type === 'token') {
      yield { id: piece.id, data: { content: piece.content, usage: null, ...first } };
      first = {};
    } else {
      const { inputTokens, outputTokens, totalTokens } = piece.usage;
      const usage = { promptTokens: inputTokens, completionTokens: outputTokens, totalTokens };
      yield { id: piece.id, data: { content: '', usage, ...first } };
    }
  }
  yield { data: '[DONE]' };
}

const events = (answering: Answering, signal: AbortSignal, language: Language) =>
  new EventStream(streamOf(answering.follow(signal, { bare: true }), answering.conversationId, language), {
    headers: { 'X-Conversation-Id': research.formatId('conversation', answering.conversationId) },
  });

/** Source: research document, section 9. */
export const chatRoutes = (conversations: ConversationService) =>
  defineRoutes('research', {
    tag: { zh: '智能问答', en: 'General chat' },
    codes: {},
    routes: [
      defineRoute({
        method: 'POST',
        path: '/chat/stream',
        auth: 'user',
        replyType: 'events',
        summary: { zh: '发送消息，流式回答', en: 'Sends a message; the answer is an event stream' },
        body: Type.Object({
          content: content(),
          modelType: text({
            label: { zh: '模型', en: 'Model' },
            description: 'a configured model: deepseek-v3, qwen3-72b, gemini-pro, ...',
            minLength: 1,
            maxLength: 100,
          }),
          knowledgeBaseIds: Type.Optional(
            Type.Array(id('knowledge_base'), {
              label: { zh: '知识库', en: 'Knowledge bases' },
              maxItems: MAX_KNOWLEDGE_BASES,
            }),
          ),
          conversationId: Type.Optional(conversationId()),
        }),
        errors: ['CONVERSATION_NOT_FOUND', 'KNOWLEDGE_BASE_NOT_FOUND', 'CONVERSATION_BUSY', 'MODEL_UNKNOWN'],
        async handler({ principal, body, request }) {
          const answering = await conversations.chat(principal, {
            content: body.content,
            modelName: body.modelType,
            knowledgeBaseIds: body.knowledgeBaseIds ?? [],
            ...(body.conversationId !== undefined && { conversationId: body.conversationId }),
            language: request.language,
            ...lastEventId(request),
          });
          return events(answering, request.signal, request.language);
        },
      }),
      defineRoute({
        method: 'GET',
        path: '/chat/conversations',
        auth: 'user',
        summary: { zh: '通用对话列表', en: 'The general chats of the caller, newest change first' },
        reply: Type.Array(
          Type.Object({
            id: conversationId(),
            userId: id('user'),
            title: Type.String(),
            modelName: Type.String(),
            createdAt: time(),
            updatedAt: time(),
          }),
        ),
        handler: async ({ principal }) =>
          (await conversations.listChats(principal, LISTED)).map((conversation) => ({
            ...conversation,
            userId: conversation.ownerId,
          })),
      }),
      defineRoute({
        method: 'DELETE',
        path: '/chat/conversations/:id',
        auth: 'user',
        summary: { zh: '删除通用对话及其消息', en: 'Deletes a general chat with its messages' },
        params: Type.Object({ id: conversationId() }),
        message: { zh: '删除成功', en: 'Deleted' },
        errors: ['CONVERSATION_NOT_FOUND'],
        handler: ({ principal, params }) => conversations.deleteChat(principal, params.id),
      }),
    ],
  });
