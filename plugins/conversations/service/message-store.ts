import type { TenantModel } from '../../../core/data/database.ts';
import { isDuplicate } from '../../../core/data/errors.ts';
import type { Principal } from '../../../core/principal.ts';
import type { MessageRecord } from '../models/message.ts';
import type { Turn, TurnEnd } from './turns.ts';

/** The two messages of a turn. Ids and places are the turn's, so storing one again changes nothing. */
export function createMessageStore(messages: TenantModel<MessageRecord>) {
  type Message = Omit<MessageRecord, 'conversationId' | 'ownerId' | 'pinned' | 'runId'> & { _id: string };

  const store = async (principal: Principal, runId: string, turn: Turn, message: Message): Promise<void> => {
    const { conversationId } = turn;
    try {
      const whole = { ...message, conversationId, ownerId: principal.accountId, pinned: false, runId };
      await messages.in(principal).insert(whole, { trusted: true });
    } catch (error) {
      if (!isDuplicate(error)) throw error;
    }
  };

  return {
    storeUserMessage: (principal: Principal, runId: string, turn: Turn): Promise<void> =>
      store(principal, runId, turn, {
        _id: turn.userMessageId,
        role: 'user',
        position: turn.position,
        content: turn.content,
        ...(turn.images && { images: turn.images }),
        tokens: 0,
        status: 'complete',
      }),

    /** @param tokens of the answer */
    storeAnswer(
      principal: Principal,
      runId: string,
      turn: Turn,
      { citations = [], ...answer }: NonNullable<TurnEnd['answer']>,
      tokens: number,
    ): Promise<void> {
      return store(principal, runId, turn, {
        ...answer,
        ...(citations.length > 0 && { citations }),
        _id: turn.answerId,
        role: 'assistant',
        position: turn.position + 1,
        tokens,
      });
    },
  };
}
