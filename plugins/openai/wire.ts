import type { FinishReason, ToolCall, Usage } from '../../runtime/models/index.ts';
import type { Answerer, Completion, CompletionResult } from './public.ts';

/** The objects of the OpenAI protocol. `reasoning_content` is what DeepSeek added to it, and others took over. */

const FINISH: Readonly<Record<FinishReason, string>> = {
  stop: 'stop',
  length: 'length',
  tool_calls: 'tool_calls',
  content_filter: 'content_filter',
  other: 'stop',
};

const seconds = (at: Date) => Math.floor(at.getTime() / 1000);
const idOf = ({ runId }: Pick<Completion, 'runId'>) => `chatcmpl-${runId.replaceAll('-', '')}`;

export const usageObject = ({ inputTokens, outputTokens, totalTokens, cachedTokens }: Usage) => ({
  prompt_tokens: inputTokens,
  completion_tokens: outputTokens,
  total_tokens: totalTokens,
  prompt_tokens_details: { cached_tokens: cachedTokens },
});

const callObject = ({ id, name, raw }: ToolCall) => ({ id, type: 'function', function: { name, arguments: raw } });

/** What a request asked for that shapes the answer's form. */
export interface Form {
  /** The model as the client named it. */
  model: string;
  parallelCalls: boolean;
}

const callsOf = ({ toolCalls }: CompletionResult, { parallelCalls }: Form) =>
  parallelCalls ? toolCalls : toolCalls.slice(0, 1);

export function completionObject(completion: Completion, result: CompletionResult, form: Form) {
  const { text, thinking, finishReason, usage } = result;
  const calls = callsOf(result, form);
  return {
    id: idOf(completion),
    object: 'chat.completion',
    created: seconds(completion.createdAt),
    model: form.model,
    choices: [
      {
        index: 0,
        message: {
          role: 'assistant',
          content: text === '' && calls.length > 0 ? null : text,
          refusal: null,
          ...(thinking !== '' && { reasoning_content: thinking }),
          ...(calls.length > 0 && { tool_calls: calls.map(callObject) }),
        },
        logprobs: null,
        finish_reason: calls.length > 0 ? 'tool_calls' : FINISH[finishReason],
      },
    ],
    usage: usageObject(usage),
  };
}

/** Makes the chunks of one streamed answer. */
export function chunksOf(completion: Completion, form: Form, includeUsage: boolean) {
  const head = {
    id: idOf(completion),
    object: 'chat.completion.chunk',
    created: seconds(completion.createdAt),
    model: form.model,
  };
  const chunk = (delta: object, finish: string | null = null) => ({
    ...head,
    choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }],
    ...(includeUsage && { usage: null }),
  });
  return {
    begin: () => chunk({ role: 'assistant', content: '', refusal: null }),
    piece: (type: 'text' | 'thinking', content: string) =>
      chunk(type === 'text' ? { content } : { reasoning_content: content }),
    /** Calls of tools come whole: they are known when the answer is complete. */
    end(result: CompletionResult): object[] {
      const calls = callsOf(result, form);
      return [
        ...calls.map((call, index) => chunk({ tool_calls: [{ index, ...callObject(call) }] })),
        chunk({}, calls.length > 0 ? 'tool_calls' : FINISH[result.finishReason]),
        ...(includeUsage ? [{ ...head, choices: [], usage: usageObject(result.usage) }] : []),
      ];
    },
  };
}

/** `name`, `description` and `kind` are ours: what people choose by. */
export const modelObject = ({ id, kind, name, description, createdAt }: Answerer, since: Date) => ({
  id,
  object: 'model',
  created: seconds(createdAt ?? since),
  owned_by: 'koagent',
  kind,
  name,
  description,
});
