import type { Principal } from '../../../core/principal.ts';
import type { ModelMessage } from '../../../runtime/models/index.ts';
import type { MessageDocument } from '../models/message.ts';
import type { ConversationParts } from './parts.ts';
import { FIRST_POSITION } from './turns.ts';

const PAGE = 40;
/** However large the window of a model is: more than this is never loaded. */
const MOST_CHARACTERS = 2_000_000;
/** A token is seldom longer. */
const CHARACTERS_PER_TOKEN = 5;

/** Turns a stored message of a user into what the model gets, for example with its pictures. */
export type UserMessage = (message: MessageDocument) => ModelMessage;

const plainUserMessage: UserMessage = ({ content }) => ({ role: 'user', content });

/**
 * What was said before a place in the conversation, oldest first and beginning with a user: the last of it, as much as a window of so
 * many tokens can hold at most. Cutting it to the window exactly is the agent runner's work.
 */
export async function loadHistory(
  { messages }: Pick<ConversationParts, 'messages'>,
  principal: Principal,
  place: { conversationId: string; before: number; windowTokens: number },
  userMessage: UserMessage = plainUserMessage,
): Promise<ModelMessage[]> {
  const limit = Math.min(MOST_CHARACTERS, place.windowTokens * CHARACTERS_PER_TOKEN);
  const found: MessageDocument[] = [];
  let characters = 0;
  if (place.before <= FIRST_POSITION) return [];
  for (let before = place.before; ; ) {
    const page = await messages
      .in(principal)
      .find(
        { conversationId: place.conversationId, position: { $lt: before } },
        { sort: { position: -1 }, limit: PAGE },
      );
    for (const message of page) {
      characters += sizeOf(message);
      if (characters > limit) return expand(found, userMessage);
      found.push(message);
    }
    const last = page.at(-1);
    if (!last || page.length < PAGE) return expand(found, userMessage);
    before = last.position;
  }
}

const sizeOf = ({ content, turn }: MessageDocument): number => (turn ? JSON.stringify(turn).length : content.length);

/** @param found newest first */
function expand(found: MessageDocument[], userMessage: UserMessage): ModelMessage[] {
  const ordered = found.reverse();
  const first = ordered.findIndex(({ role }) => role === 'user');
  return ordered.slice(first === -1 ? ordered.length : first).flatMap((message) => {
    if (message.role === 'user') return [userMessage(message)];
    const said = message.turn && message.turn.length > 0 ? message.turn : [answerOf(message)];
    return said.filter(saysSomething);
  });
}

const answerOf = ({ content }: MessageDocument): ModelMessage => ({ role: 'assistant', content });

/** Many endpoints refuse an answer without a word: one of them would end the conversation for good. */
const saysSomething = (message: ModelMessage): boolean =>
  message.role !== 'assistant' || message.content.trim() !== '' || (message.toolCalls?.length ?? 0) > 0;
