import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type { Language } from '../../../core/contracts/contract.ts';
import { AppError } from '../../../core/errors.ts';
import type { Principal } from '../../../core/principal.ts';
import { defineRunKind, type RunContext, type RunKind, type SettledContext } from '../../../core/run-kind.ts';
import { type AgentAnswer, type AgentTurn, answerTerminal, type RunMode } from '../../agents/public.ts';
import { titleFromMessage } from '../run/titles.ts';
import { loadHistory } from '../service/history.ts';
import type { Turn, TurnEnd } from '../service/turns.ts';
import { markImages } from './images.ts';
import { readPartialAnswer } from './partial.ts';
import type { TaskParts } from './parts.ts';
import { NEW_SETTINGS } from './settings.ts';

export const RUN_KIND = 'task';

/** A message and how it is answered, as it was settled when it came in: later changes of prompts do not reach a running task. */
export interface TaskInput {
  turn: Turn;
  /** Model key. */
  model: string;
  runMode: RunMode;
  thinkingInterval: number | null;
  toolIntents: boolean;
  disabledCategories: string[];
  system: string;
  maxIterations: number;
  /** The conversation has none yet, and shall have one. */
  wantsTitle: boolean;
  language: Language;
}

interface TaskResult {
  answer: AgentAnswer;
  /** Of the model's making. */
  title: string | null;
}

/** How long a title may take beyond the answer. */
const TITLE_PATIENCE_MS = 3000;

/** The run behind a task of the tasks API. */
export function taskRunKind(parts: TaskParts): RunKind {
  const { tasks, conversations, runs, runner, turns, slots, images, models, options } = parts;

  /** A cancel that was asked for before a crash and not carried out by then. */
  const cancelledBefore = async (run: RunContext<TaskInput>): Promise<void> => {
    const task = await tasks.in(run.principal).get(run.runId);
    if (!task?.cancelRequestedAt) return;
    // It resolves when this run has ended, so it cannot be waited for here.
    runs
      .cancel(run.principal, run.runId, 'user_requested')
      .catch((error: unknown) => run.log.warn({ err: error }, 'task: cancelling failed'));
    if (!run.signal.aborted) await once(run.signal, 'abort');
    throw run.signal.reason;
  };

  const agentTurn = async (
    { principal, step, input }: RunContext<TaskInput>,
    used: { inputTokens: number; outputTokens: number },
  ): Promise<AgentTurn> => {
    const { turn, model, thinkingInterval } = input;
    const { conversationId, position: before } = turn;
    const windowTokens = models.resolve(model).contextWindow;
    const place = { conversationId, before, windowTokens };
    const history = await loadHistory(parts, principal, place, (message) =>
      markImages(message.content, message.images),
    );
    // The pictures as they are now: tools may change the files while the task goes on.
    const pictures = turn.images ? await step('images', () => images.load(principal, turn.images ?? [])) : [];
    return {
      model,
      system: input.system,
      history: await images.fill(principal, history),
      message: turn.content,
      ...(pictures.length > 0 && { images: pictures }),
      tools: { disabledCategories: input.disabledCategories },
      scope: { conversationId },
      maxIterations: input.maxIterations,
      mode: input.runMode,
      ...(thinkingInterval !== null && { thinkingInterval }),
      toolIntents: input.toolIntents,
      offline: { language: input.language },
      usedBefore: used,
    };
  };

  /** Works beside the answer; nothing that goes wrong with it is told to anybody. */
  const titleOf = ({ node, input, log }: RunContext<TaskInput>, signal: AbortSignal): Promise<string | null> => {
    const { turn, model, wantsTitle } = input;
    if (!wantsTitle || turn.content === '') return Promise.resolve(null);
    return node<{ title: string }>(
      'title',
      {
        type: 'conversations.title',
        config: { model },
        input: { message: turn.content, maxLength: options.titleLength },
      },
      { signal, onEvent: () => false },
    ).then(
      ({ title }) => title || null,
      (error: unknown) => {
        log.info({ err: error }, 'task: no title from the model');
        return null;
      },
    );
  };

  const partialEnd = async (
    { principal, runId, input, outcome }: SettledContext<TaskInput, TaskResult>,
    before: { inputTokens: number; outputTokens: number },
  ): Promise<TurnEnd & { toolCalls: number }> => {
    const { text, messages, toolCalls, used } = await readPartialAnswer(runs, principal, runId);
    return {
      usage: {
        inputTokens: Math.max(0, (used?.input ?? 0) - before.inputTokens),
        outputTokens: Math.max(0, (used?.output ?? 0) - before.outputTokens),
      },
      ...(used && { contextTokens: used.context }),
      ...(messages.length > 0 && {
        answer: {
          content: text,
          turn: messages,
          modelName: input.model,
          status: outcome.status === 'cancelled' ? 'stopped' : 'failed',
        },
      }),
      toolCalls,
    };
  };

  return defineRunKind<TaskInput, TaskResult>({
    kind: RUN_KIND,

    async execute(run) {
      await cancelledBefore(run);
      const conversation = await turns.resume(run.principal, run.runId, run.input.turn);
      const enough = new AbortController();
      const title = titleOf(run, enough.signal);
      try {
        const answer = await runner.answer(run as RunContext, await agentTurn(run, conversation));
        const late = delay(TITLE_PATIENCE_MS, null, { signal: enough.signal }).catch(() => null);
        return { answer, title: await Promise.race([title, late]) };
      } catch (error) {
        if (error instanceof AppError && error.code === 'BUDGET_EXCEEDED') await tellQuota(run, error);
        throw error;
      } finally {
        enough.abort();
      }
    },

    terminal: (outcome) => answerTerminal(outcome),

    async settled(context) {
      const { principal, runId, input, outcome } = context;
      const { turn } = input;
      const conversation = await conversations.in(principal).get(turn.conversationId);
      if (conversation?.activeRunId === runId) {
        const { toolCalls, ...end } =
          outcome.status === 'succeeded' ? wholeEnd(outcome.result.answer) : await partialEnd(context, conversation);
        const before = conversation.task ?? NEW_SETTINGS;
        const task = {
          ...before,
          totalTools: before.totalTools + toolCalls,
          moreMessages: before.moreMessages + Math.max(0, (end.answer?.turn.length ?? 1) - 1),
        };
        const title = input.wantsTitle ? titleAfter(context, options.titleLength) : {};
        await turns.settle(principal, runId, turn, { ...end, set: { task, ...title } });
      }
      await endTask(principal, runId, outcome);
    },
  }) as RunKind;

  function endTask(
    principal: Principal,
    runId: string,
    outcome: SettledContext<TaskInput, TaskResult>['outcome'],
  ): Promise<void> {
    if (outcome.status === 'failed') {
      return slots.end(principal, runId, { end: 'failed', error: outcome.error.message });
    }
    return slots.end(principal, runId, { end: outcome.status === 'succeeded' ? 'succeeded' : 'canceled' });
  }
}

/** Said once, however often the task is taken up again after it. */
const tellQuota = (run: RunContext<TaskInput>, { details }: AppError) =>
  run.step('quota', async () => null, {
    events: () => [
      {
        type: 'quota_exceeded',
        data: { type: details?.resource ?? 'tokens', reset_at: details?.resetAt ?? null },
      },
    ],
  });

/** Of the model's making, else the start of the message; a picture alone says nothing. */
function titleAfter(
  { input, outcome }: SettledContext<TaskInput, TaskResult>,
  length: number,
): Pick<NonNullable<TurnEnd['set']>, 'title' | 'titleFrom'> {
  const generated = outcome.status === 'succeeded' ? outcome.result.title : null;
  if (generated !== null) return { title: generated, titleFrom: 'generated' };
  const title = titleFromMessage(input.turn.content, length);
  return title === '' ? {} : { title, titleFrom: 'message' };
}

const wholeEnd = (answer: AgentAnswer): TurnEnd & { toolCalls: number } => ({
  usage: answer.usage,
  contextTokens: answer.contextTokens,
  answer: { content: answer.text, turn: answer.messages, modelName: answer.model, status: 'complete' },
  toolCalls: answer.toolCalls,
});
