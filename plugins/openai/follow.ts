import { fromErrorRecord } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import type { Principal } from '../../core/principal.ts';
import type { Run, RunEvent, RunService } from '../../runtime/runs/service.ts';
import { TokenStream } from '../conversations/public.ts';
import { completionStopped } from './errors.ts';
import type { Completion, CompletionPiece, CompletionResult } from './public.ts';
import type { CompletionInput, CompletionOutcome } from './run.ts';

const TERMINAL = new Set(['task_complete', 'task_stopped', 'run_succeeded', 'run_failed', 'run_cancelled']);
const isTerminal = ({ type, data }: RunEvent) => TERMINAL.has(type) || (type === 'error' && data.retry === false);

/** A run of an answer as its callers see it. */
export function completionOf(
  { runs, log }: { runs: RunService; log: Logger },
  principal: Principal,
  { id, logId, createdAt, input }: Run,
): Completion {
  const finished = async (signal?: AbortSignal) => resultOf(await runs.ended(principal, id, signal));

  async function* follow(signal: AbortSignal): AsyncGenerator<CompletionPiece> {
    const text = new TokenStream();
    for await (const event of runs.subscribe(principal, logId, 0, signal)) {
      const { type, data } = event;
      const ends = isTerminal(event);
      const content = ends ? text.end() : text.take(event);
      if (content !== '') yield { type: 'text', content };
      if (type === 'thinking_chunk') yield { type: 'thinking', content: String(data.content) };
      if (type === 'tool_start') yield { type: 'tool', name: String(data.name) };
      if (!ends) continue;
      yield { type: 'done', result: await finished(signal) };
      return;
    }
    signal.throwIfAborted();
  }

  const { agentId } = (input as CompletionInput).turn.scope;
  return {
    runId: id,
    ...(agentId !== undefined && { agentId }),
    createdAt,
    follow,
    finished,
    async cancel(reason) {
      await runs
        .cancel(principal, id, reason)
        .catch((error: unknown) => log.warn({ err: error, runId: id }, 'completion: could not be cancelled'));
    },
  };
}

function resultOf({ status, error, result, input }: Run): CompletionResult {
  if (status === 'failed' && error) throw fromErrorRecord(error);
  if (status !== 'succeeded') throw completionStopped();
  const { answer, closing } = result as CompletionOutcome;
  const { clientTools = [] } = (input as CompletionInput).turn;
  const theirs = new Set(clientTools.map(({ name }) => name));
  const assistant = answer.messages.filter((message) => message.role === 'assistant');
  const last = assistant.at(-1);
  const toolCalls = last?.toolCalls?.filter(({ name }) => theirs.has(name)) ?? [];
  const { finishReason, usage, model } = answer;
  return {
    text: [answer.text, closing].filter((text) => text !== '').join('\n\n'),
    thinking: assistant.flatMap(({ thinking }) => (thinking ? [thinking] : [])).join('\n\n'),
    toolCalls,
    finishReason: finishReason === 'iterations' ? 'stop' : finishReason,
    usage,
    model,
  };
}
