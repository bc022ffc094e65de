import type { Language } from '../../../core/contracts/contract.ts';
import type { Numbers } from '../../../core/data/numbers.ts';
import { AppError } from '../../../core/errors.ts';
import {
  defineRoute,
  defineRoutes,
  EventStream,
  type RequestInfo,
  type StreamMessage,
} from '../../../core/http/route.ts';
import type { Principal } from '../../../core/principal.ts';
import { id, nullable, oneOf, Type, text, time } from '../../../core/schema.ts';
import type { AnswerPiece, Citation, Conversation, ConversationService, Message } from '../public.ts';
import { content, lastEventId } from './parts.ts';

const conversationId = () => id('conversation', { label: { zh: '会话', en: 'Conversation' } });
const agentId = () => id('agent', { label: { zh: '智能体', en: 'Agent' } });

const citations = Type.Array(
  Type.Object({
    number: Type.Integer(),
    document_id: id('document'),
    filename: Type.String(),
    page: nullable(Type.Integer()),
    page_end: nullable(Type.Integer()),
    headings: Type.Array(Type.String()),
    chunk_id: id('chunk'),
    content: Type.String(),
  }),
);
const citationView = ({
  number,
  documentId,
  filename,
  page,
  pageEnd,
  headings,
  passageId,
  text: quoted,
}: Citation) => ({
  number,
  document_id: documentId,
  filename,
  page,
  page_end: pageEnd,
  headings,
  chunk_id: passageId,
  content: quoted,
});
const citationsView = (message: Message | null) =>
  message && message.citations.length > 0 ? { citations: message.citations.map(citationView) } : {};

const conversationReply = Type.Object({
  id: conversationId(),
  agent_id: agentId(),
  title: Type.String(),
  created_at: time(),
  updated_at: time(),
});
const conversationView = (conversation: Conversation) => ({
  id: conversation.id,
  agent_id: conversation.agentId,
  title: conversation.title,
  created_at: conversation.createdAt,
  updated_at: conversation.updatedAt,
});

const messageReply = Type.Object({
  id: id('message'),
  conversation_id: conversationId(),
  role: oneOf(['user', 'assistant']),
  content: Type.String(),
  created_at: time(),
  citations: Type.Optional(citations),
});
const messageView = (message: Message) => ({
  id: message.id,
  conversation_id: message.conversationId,
  role: message.role,
  content: message.content,
  created_at: message.createdAt,
  ...citationsView(message),
});

const doneMessage = Type.Object({
  type: Type.Literal('done'),
  message_id: Type.Optional(id('message')),
  citations: Type.Optional(citations),
});

/**
 * Source: studio document, 4.2: unnamed events `token`, then `done` or `error`.
 *
 * @param number called before the end is told
 */
async function* streamOf(
  pieces: AsyncIterable<AnswerPiece>,
  language: Language,
  number: () => Promise<void>,
): AsyncGenerator<StreamMessage> {
  for await (const piece of pieces) {
    if (piece.type === 'token') {
      yield { id: piece.id, data: { type: 'token', content: piece.content } };
      continue;
    }
    await number();
    if (piece.type === 'error') {
      yield { id: piece.id, data: { type: 'error', content: piece.message[language] } };
    } else {
      const { message } = piece;
      const data = { type: 'done', ...(message && { message_id: message.id }), ...citationsView(message) };
      yield { id: piece.id, data, schema: doneMessage };
    }
  }
}

/** Whether the client wants one JSON answer: it says so, or takes JSON and no event stream. */
function wantsJson(stream: boolean | undefined, request: RequestInfo): boolean {
  if (stream !== undefined) return !stream;
  const accepted = (request.header('accept') ?? '*/*').toLowerCase();
  return /application\/(json|\*)/.test(accepted) && !/text\/event-stream|\*\/\*/.test(accepted);
}

/** Every way in which a call of a model fails. */
const MODEL_FAILED = 50001;
const MODEL_CODES = Object.fromEntries(
  [
    'MODEL_BAD_REQUEST',
    'MODEL_CANCELLED',
    'MODEL_CONTENT_FILTERED',
    'MODEL_CONTEXT_TOO_LONG',
    'MODEL_IMAGES_UNSUPPORTED',
    'MODEL_INVALID_JSON',
    'MODEL_NOT_CONFIGURED',
    'MODEL_NOT_FOUND',
    'MODEL_OUTPUT_TOO_LARGE',
    'MODEL_QUOTA_EXHAUSTED',
    'MODEL_RATE_LIMITED',
    'MODEL_STREAM_BROKEN',
    'MODEL_TIMEOUT',
    'MODEL_UNAUTHENTICATED',
    'MODEL_UNAVAILABLE',
    'NODE_RETRIES_EXHAUSTED',
    'NODE_TIMEOUT',
  ].map((code) => [code, MODEL_FAILED]),
);

/** Messages of a conversation that get their numbers together, at most: the last ones. */
const NUMBERED = 100;

/** Source: studio document, section 4. */
export const studioRoutes = (conversations: ConversationService, numbers: Pick<Numbers, 'numberOf'>) => {
  /**
   * Numbers are made when an id is first told, and the first one that a stream tells is that of the answer: without this, a question
   * would come after it, and so would what was said through other APIs.
   */
  const numberMessages = async (principal: Principal, conversationId: string): Promise<void> => {
    try {
      const { messageCount } = await conversations.get(principal, conversationId);
      const last = { offset: Math.max(0, messageCount - NUMBERED), limit: NUMBERED };
      const { items } = await conversations.messages(principal, conversationId, last);
      await numbers.numberOf(
        'message',
        items.map((message) => message.id),
      );
    } catch (error) {
      // Deleted while it was answered: there is nothing to number.
      if (!(error instanceof AppError && error.kind === 'not_found')) throw error;
    }
  };

  return defineRoutes('studio', {
    tag: { zh: '对话', en: 'Conversations' },
    codes: { AGENT_NOT_FOUND: 40401, CONVERSATION_NOT_FOUND: 40402, ...MODEL_CODES },
    routes: [
      defineRoute({
        method: 'POST',
        path: '/conversations',
        auth: 'user',
        summary: { zh: '创建会话', en: 'Makes a conversation' },
        body: Type.Object({
          agent_id: agentId(),
          title: Type.Optional(text({ label: { zh: '会话标题', en: 'Title' }, maxLength: 200 })),
        }),
        reply: conversationReply,
        errors: ['AGENT_NOT_FOUND'],
        handler: async ({ principal, body, request }) =>
          conversationView(
            await conversations.create(principal, {
              agentId: body.agent_id,
              ...(body.title !== undefined && { title: body.title }),
              untitled: 'first-message',
              language: request.language,
            }),
          ),
      }),
      defineRoute({
        method: 'POST',
        path: '/conversations/:conversation_id/messages',
        auth: 'user',
        replyType: 'events',
        summary: {
          zh: '发送消息；以 SSE 流式返回，stream 为 false 时返回 JSON',
          en: 'Sends a message; answered as an event stream, with `stream: false` as JSON',
        },
        params: Type.Object({ conversation_id: conversationId() }),
        body: Type.Object({
          content: content(),
          stream: Type.Optional(Type.Boolean({ label: { zh: '是否流式返回', en: 'Stream' } })),
        }),
        reply: Type.Object({ user_message: messageReply, assistant_message: messageReply }),
        errors: ['CONVERSATION_NOT_FOUND', 'AGENT_NOT_FOUND', 'CONVERSATION_BUSY', 'MODEL_UNAVAILABLE'],
        async handler({ principal, params, body, request }) {
          const { language } = request;
          const json = wantsJson(body.stream, request);
          const answering = await conversations.send(principal, params.conversation_id, {
            content: body.content,
            language,
            ...(!json && lastEventId(request)),
          });
          const number = () => numberMessages(principal, params.conversation_id);
          if (!json) return new EventStream(streamOf(answering.follow(request.signal), language, number));
          const { user, answer } = await answering.finished();
          await number();
          return { user_message: messageView(user), assistant_message: messageView(answer) };
        },
      }),
      defineRoute({
        method: 'GET',
        path: '/conversations/:conversation_id/messages',
        auth: 'user',
        paged: { size: 50 },
        summary: { zh: '会话的消息，旧的在前', en: 'The messages of a conversation, oldest first' },
        params: Type.Object({ conversation_id: conversationId() }),
        reply: messageReply,
        errors: ['CONVERSATION_NOT_FOUND'],
        async handler({ principal, params, paging }) {
          const { items, total } = await conversations.messages(principal, params.conversation_id, paging);
          return { items: items.map(messageView), total };
        },
      }),
    ],
  });
};
