import { type AppError, fromErrorRecord } from '../../../core/errors.ts';
import type { Principal } from '../../../core/principal.ts';
import type { Run, RunEvent } from '../../../runtime/runs/service.ts';
import { AnswerStoppedError } from '../errors.ts';
import type { Answering, AnswerPiece, Message } from '../public.ts';
import type { ChatInput, ChatResult } from '../run/chat.ts';
import { TokenStream } from '../run/token-stream.ts';
import type { ConversationParts } from './parts.ts';
import type { Turns } from './turns.ts';
import { messageView } from './views.ts';

const TERMINAL = new Set(['task_complete', 'task_stopped', 'run_succeeded', 'run_failed', 'run_cancelled']);
const isTerminal = ({ type, data }: RunEvent) => TERMINAL.has(type) || (type === 'error' && data.retry === false);

/** What can be done with the run of an answer. Streams are projections of its log. */
export function createFollowing({ runs, messages }: Pick<ConversationParts, 'runs' | 'messages'>, turns: Turns) {
  const messageOf = async (principal: Principal, id: string): Promise<Message | undefined> => {
    const found = await messages.in(principal).get(id);
    return found && messageView(found);
  };

  async function* follow(
    principal: Principal,
    run: Run,
    after: number,
    signal: AbortSignal,
    bare: boolean,
  ): AsyncGenerator<AnswerPiece> {
    const { answerId } = (run.input as ChatInput).turn;
    const stream = new TokenStream();
    for await (const event of runs.subscribe(principal, run.logId, 0, signal)) {
      const { seq: id } = event;
      const ends = isTerminal(event);
      const content = ends ? stream.end() : stream.take(event);
      if (content !== '' && id > after) yield { id, type: 'token', content };
      if (!ends) continue;
      const ended = await turns.ended(principal, run.id, signal);
      if (ended.status === 'succeeded') {
        const { inputTokens, outputTokens, totalTokens } = (ended.result as ChatResult).answer.usage;
        const message = bare ? null : ((await messageOf(principal, answerId)) ?? null);
        yield { id, type: 'done', message, usage: { inputTokens, outputTokens, totalTokens } };
      } else {
        const { kind, code, text } = failureOf(ended);
        yield { id, type: 'error', kind, code, message: text };
      }
      return;
    }
  }

  /** @param lastEventId what the client has seen of the log, if anything */
  return (principal: Principal, run: Run, options: { created: boolean; lastEventId?: number }): Answering => {
    const { conversationId, userMessageId, answerId } = (run.input as ChatInput).turn;
    return {
      runId: run.id,
      conversationId,
      created: options.created,
      follow: (signal, { bare = false } = {}) => follow(principal, run, options.lastEventId ?? -1, signal, bare),
      async finished() {
        const ended = await turns.ended(principal, run.id);
        if (ended.status !== 'succeeded') throw failureOf(ended);
        const [user, answer] = await Promise.all([messageOf(principal, userMessageId), messageOf(principal, answerId)]);
        if (!user || !answer) throw new AnswerStoppedError();
        return { user, answer };
      },
    };
  };
}

const failureOf = ({ status, error }: Run): AppError =>
  status === 'failed' && error ? fromErrorRecord(error) : new AnswerStoppedError();
