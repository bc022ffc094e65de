import { randomUUID } from 'node:crypto';
import { type Principal, systemPrincipal } from '../../../core/principal.ts';
import type { RunEventInput, RunKind, RunOutcome } from '../../../core/run-kind.ts';
import type { ModelMessage } from '../../../runtime/models/index.ts';
import type { Run } from '../../../runtime/runs/service.ts';
import { ConversationBusyError, ConversationLostError, ConversationNotFoundError } from '../errors.ts';
import type { ConversationDocument, ConversationRecord } from '../models/conversation.ts';
import type { Citation, MessageStatus } from '../public.ts';
import { isAbandoned } from './abandoned.ts';
import { createMessageStore } from './message-store.ts';
import type { ConversationParts } from './parts.ts';

type Tenant = Pick<Principal, 'tenantId'>;

/** A message of a user and the answer to it. Plain data, part of the input of the run that answers. */
export interface Turn {
  conversationId: string;
  userMessageId: string;
  answerId: string;
  /** Place of the user's message in the conversation; the answer's is the next. */
  position: number;
  content: string;
  images?: string[];
}

export interface TurnRun<Input> {
  /** Default: a new one. */
  id?: string;
  kind: string;
  /** The input of the run; must hold the turn. */
  input(turn: Turn): Input;
  /** First events of its log. */
  events?(turn: Turn): RunEventInput[];
  /** What changes in the conversation with the message, for example its title. */
  set?: Partial<Pick<ConversationRecord, 'title' | 'titleFrom' | 'task' | 'modelName'>>;
}

/** How a turn ended. */
export interface TurnEnd {
  usage: { inputTokens: number; outputTokens: number };
  /** Tokens of the last request and its answer; missing: as before. */
  contextTokens?: number;
  /** Missing when there is nothing to keep. */
  answer?: {
    content: string;
    turn: ModelMessage[];
    citations?: Citation[];
    modelName?: string;
    status: MessageStatus;
  };
  set?: Partial<Pick<ConversationRecord, 'title' | 'titleFrom' | 'task' | 'todoList'>>;
}

/** A conversation that is made for the message, already taken for its run. */
export interface NewPlace {
  conversationId: string;
  make(taken: TakenFields): Promise<ConversationDocument>;
}

export type TakenFields = Pick<
  ConversationRecord,
  ActiveField | 'lastRunId' | 'lastMessageAt' | 'turns' | 'messageCount'
>;

/** Writes of `begin` that the run waits for before it does anything. */
interface Begun {
  conversation: Promise<ConversationDocument>;
  message: Promise<void>;
  /** Nobody else knows of the conversation yet. */
  isNew: boolean;
}

type ActiveField = 'activeRunId' | 'activeSince' | 'activeHost';
const ACTIVE_FIELDS: ActiveField[] = ['activeRunId', 'activeSince', 'activeHost'];
const NOT_TAKEN = { activeRunId: 1, activeSince: 1, activeHost: 1 } as const;

/** Place of the first message of a conversation. */
export const FIRST_POSITION = 2;

export type Turns = ReturnType<typeof createTurns>;

/**
 * One answer at a time. The order of writes, so that a crash between any two of them loses nothing:
 *
 * 1. the conversation is taken for a run, by a conditional write;
 * 2. the run is stored, with the whole message in its input, and at the same time the user's message;
 * 3. the run makes sure that the message is stored before it asks the model;
 * 4. when the run settles: the answer, then the conversation is given free.
 *
 * 2 to 4 may be repeated: ids and places come from the input of the run. A conversation that is taken for a run which does not exist
 * (crash within 2, nobody was told that the message was taken) is recognised and given free without the message; one whose run has ended
 * but not settled (crash within 4) is settled by whoever comes first.
 */
export function createTurns({ conversations, messages, runs, log }: ConversationParts) {
  /** Runs of this process between 1 and 2. */
  const starting = new Map<string, Begun | undefined>();
  const kinds = new Map<string, RunKind>();

  const takenFor = (runId: string) => {
    const now = new Date();
    return { activeRunId: runId, activeSince: now, activeHost: runs.host, lastRunId: runId, lastMessageAt: now };
  };

  /** Gives a conversation free whose run was never stored; what is counted is counted anew. */
  const undo = async (tenant: Tenant, conversationId: string, runId: string): Promise<void> => {
    const answered = await messages
      .in(tenant)
      .findOne({ conversationId, runId, role: 'assistant' }, { fields: ['_id'] });
    if (!answered) await messages.in(tenant).delete({ conversationId, runId });
    await release(tenant, conversationId, runId);
  };

  /** Gives a conversation free; what is counted is counted anew. */
  const release = async (tenant: Tenant, conversationId: string, runId: string): Promise<void> => {
    const messageCount = await messages.in(tenant).count({ conversationId });
    await conversations
      .in(tenant)
      .update({ _id: conversationId, activeRunId: runId }, { $set: { messageCount }, $unset: NOT_TAKEN });
  };

  /**
   * Waits for the end of a run and what its kind does then. After a restart a run may have ended and not be settled yet: then that is
   * done here.
   */
  const ended = async (tenant: Tenant, runId: string, signal?: AbortSignal): Promise<Run> => {
    const run = await runs.ended(systemPrincipal(tenant.tenantId), runId, signal);
    if (run.settled) return run;
    const unsettled = await conversations.in(tenant).findOne({ activeRunId: runId }, { fields: ['_id'] });
    const { ownerId: accountId, tenantId, input } = run;
    if (unsettled) {
      const principal: Principal = { kind: 'user', accountId, tenantId, roles: [] };
      await kinds.get(run.kind)?.settled?.({ runId, principal, input, outcome: outcomeOf(run), log });
    }
    return run;
  };

  /** Whether a conversation is only seemingly taken; if a run has ended in it, that is settled. */
  const isLeftBehind = async (
    tenant: Tenant,
    { activeRunId, activeSince: since, activeHost: host }: Pick<ConversationRecord, ActiveField>,
  ): Promise<boolean> => {
    if (activeRunId === undefined || starting.has(activeRunId)) return false;
    const run = await runs.get(systemPrincipal(tenant.tenantId), activeRunId);
    if (!run) return isAbandoned(runs, { host, since });
    if (!hasEnded(run)) return false;
    await ended(tenant, activeRunId);
    return true;
  };

  /** After `isLeftBehind`: what a run that exists has stored stays. */
  const giveFree = async (tenant: Tenant, conversationId: string, runId: string): Promise<void> => {
    const run = await runs.get(systemPrincipal(tenant.tenantId), runId);
    await (run ? release : undo)(tenant, conversationId, runId);
  };

  const take = async (
    principal: Principal,
    { _id, kind }: ConversationDocument,
    runId: string,
    set: TurnRun<unknown>['set'],
  ): Promise<ConversationDocument> => {
    const mine = { _id, kind, ownerId: principal.accountId, deleted: false };
    for (;;) {
      const taken = await conversations.in(principal).update(
        { ...mine, activeRunId: { $exists: false } },
        {
          $set: { ...set, ...takenFor(runId) },
          $inc: { turns: 1, messageCount: 1 },
        },
        { trusted: true },
      );
      if (taken) return taken;
      const current = await conversations.in(principal).findOne(mine, { fields: ACTIVE_FIELDS });
      if (!current) throw new ConversationNotFoundError(_id);
      if (current.activeRunId === undefined) continue;
      if (!(await isLeftBehind(principal, current))) throw new ConversationBusyError(_id);
      await giveFree(principal, _id, current.activeRunId);
    }
  };

  const { storeUserMessage, storeAnswer } = createMessageStore(messages);

  /** A conversation that was made for a message which came to nothing. */
  const discard = async (tenant: Tenant, conversationId: string): Promise<void> => {
    await messages.in(tenant).delete({ conversationId });
    await conversations.in(tenant).delete({ _id: conversationId });
  };

  /** The conversation is as it was before it was taken for a run that could not be started. */
  const takeBack = async (
    tenant: Tenant,
    conversation: ConversationDocument,
    runId: string,
    changed: TurnRun<unknown>['set'],
  ): Promise<void> => {
    const { _id } = conversation;
    await undo(tenant, _id, runId);
    if (!changed) return;
    const before = Object.keys(changed).map((key) => [key, conversation[key as keyof ConversationDocument]] as const);
    const set = Object.fromEntries(before.filter(([, value]) => value !== undefined));
    await conversations.in(tenant).update({ _id }, { $set: set });
  };

  return {
    ended,

    /** Tells of a kind of runs that answers; its `settled` may be called by others than the runs. */
    answeredBy(kind: RunKind): RunKind {
      kinds.set(kind.kind, kind);
      return kind;
    },

    /**
     * Takes the conversation, starts the run that answers, and stores the message.
     *
     * @throws {AppError} CONVERSATION_NOT_FOUND, CONVERSATION_BUSY; and what starting a run throws, then the conversation is as before
     */
    async begin<Input>(
      principal: Principal,
      place: ConversationDocument | NewPlace,
      message: { content: string; images?: string[] },
      run: TurnRun<Input>,
    ): Promise<{ run: Run; turn: Turn }> {
      const runId = run.id ?? randomUUID();
      starting.set(runId, undefined);
      try {
        const taken = 'make' in place ? undefined : await take(principal, place, runId, run.set);
        const conversationId = 'make' in place ? place.conversationId : place._id;
        const turn: Turn = {
          conversationId,
          userMessageId: randomUUID(),
          answerId: randomUUID(),
          position: (taken?.turns ?? 1) * FIRST_POSITION,
          ...message,
        };
        const begun: Begun = {
          conversation: taken
            ? Promise.resolve(taken)
            : (place as NewPlace).make({ ...takenFor(runId), turns: 1, messageCount: 1 }),
          message: storeUserMessage(principal, runId, turn),
          isNew: !taken,
        };
        starting.set(runId, begun);
        const events = run.events?.(turn);
        const start = runs.start(principal, run.kind, run.input(turn), {
          id: runId,
          fresh: run.id === undefined,
          meta: { subject: conversationId },
          ...(events && { events }),
        });
        const [started, made, stored] = await Promise.allSettled([start, begun.conversation, begun.message]);
        if (started.status === 'rejected' || made.status === 'rejected') {
          // A run that has begun without its conversation ends by itself.
          if ('make' in place) await discard(principal, conversationId);
          else await takeBack(principal, place, runId, run.set);
          throw started.status === 'rejected' ? started.reason : (made as PromiseRejectedResult).reason;
        }
        // The run is there and sees to the message itself; this here is only said.
        if (stored.status === 'rejected') log.warn({ err: stored.reason, run: runId }, 'message not stored yet');
        return { run: started.value, turn };
      } finally {
        starting.delete(runId);
      }
    },

    /**
     * The first thing that the run does, on every attempt: what the request may not have done any more.
     *
     * @returns the conversation as it is
     * @throws {AppError} CONVERSATION_LOST when it was deleted meanwhile, or is not taken for this run
     */
    async resume(principal: Principal, runId: string, turn: Turn): Promise<ConversationDocument> {
      const begun = starting.get(runId);
      const [conversation, message] = await Promise.all([
        begun?.isNew ? begun.conversation : conversations.in(principal).get(turn.conversationId),
        begun
          ? begun.message.then(
              () => true,
              () => false,
            )
          : messages.in(principal).findOne({ _id: turn.userMessageId }, { fields: ['_id'] }),
      ]);
      // Made for the message, and a crash came between the two.
      if (!conversation) await discard(principal, turn.conversationId);
      if (!conversation || conversation.deleted || conversation.activeRunId !== runId) {
        throw new ConversationLostError(turn.conversationId);
      }
      if (!message) await storeUserMessage(principal, runId, turn);
      return conversation;
    },

    /** Stores the end of a turn; for `settled` of the run kind, and as that repeatable. */
    async settle(principal: Principal, runId: string, turn: Turn, end: TurnEnd): Promise<void> {
      const { conversationId } = turn;
      const before = await conversations
        .in(principal)
        .findOne({ _id: conversationId, activeRunId: runId }, { fields: ['deleted'] });
      // All of it is done, or the run has come too late and somebody else has the conversation.
      if (!before) return;
      if (before.deleted) return release(principal, conversationId, runId);
      const { answer, usage } = end;
      // A run that was ended before it began has not seen to the message.
      if (answer?.status !== 'complete') await storeUserMessage(principal, runId, turn);
      if (answer) await storeAnswer(principal, runId, turn, answer, usage.outputTokens);
      const now = new Date();
      await conversations.in(principal).update(
        { _id: conversationId, activeRunId: runId },
        {
          $set: {
            ...end.set,
            lastMessageAt: now,
            usedAt: now,
            ...(end.contextTokens !== undefined && { contextTokens: end.contextTokens }),
          },
          $inc: {
            messageCount: answer === undefined ? 0 : 1,
            inputTokens: usage.inputTokens,
            outputTokens: usage.outputTokens,
          },
          $unset: NOT_TAKEN,
        },
        { trusted: true },
      );
    },

    /** Gives free what a crash has left taken. */
    async recover(): Promise<void> {
      const taken = conversations.acrossTenants('recovery at start').iterate({ activeRunId: { $exists: true } });
      for await (const conversation of taken) {
        const { _id, activeRunId } = conversation;
        if (activeRunId === undefined) continue;
        const run = await runs.get(systemPrincipal(conversation.tenantId), activeRunId);
        // A run that there is settles itself, now or when its recovery has come to it.
        if (run || !(await isLeftBehind(conversation, conversation))) continue;
        await undo(conversation, _id, activeRunId);
      }
    },
  };
}

export const hasEnded = ({ status }: Pick<Run, 'status'>): boolean =>
  status === 'succeeded' || status === 'failed' || status === 'cancelled';

function outcomeOf({ status, result, error }: Run): RunOutcome {
  if (status === 'succeeded') return { status, result };
  if (status === 'failed' && error) return { status, error };
  return { status: 'cancelled', reason: '' };
}
