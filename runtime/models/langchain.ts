import type { BaseMessage } from '@langchain/core/messages';
import type { ChatOpenAICompletions, ChatOpenAIFields } from '@langchain/openai';
import type { SourceCall, SourcePart } from './source.ts';
import type { FinishReason, ModelMessage, ModelRequest } from './types.ts';

type Libraries = {
  openai: typeof import('@langchain/openai');
  messages: typeof import('@langchain/core/messages');
};

/** Together some 90 MB and 0.4 s, so they are loaded with the first real call and not with the gateway. */
const load = async (): Promise<Libraries> => {
  const [openai, messages] = await Promise.all([import('@langchain/openai'), import('@langchain/core/messages')]);
  return { openai, messages };
};

/** Calls an OpenAI-compatible endpoint, Azure or Gemini (through its OpenAI-compatible endpoint). */
export async function* langchainSource(call: SourceCall): AsyncGenerator<SourcePart> {
  const libraries = await load();
  const chat = openChat(libraries, call);
  const { request, signal } = call;
  const tools = (request.tools ?? []).map((tool) => ({ type: 'function' as const, function: { ...tool } }));
  // The public `stream` would concatenate all chunks again for callbacks that nobody listens to.
  const chunks = chat._streamResponseChunks(toLangChain(libraries, request.messages), {
    signal,
    ...(tools.length > 0 && {
      tools,
      ...(request.toolChoice !== undefined && { tool_choice: toolChoice(request.toolChoice) }),
    }),
    ...(request.stop?.length && { stop: request.stop }),
  });
  for await (const { message, generationInfo, text } of chunks) {
    const thinking = message.additional_kwargs.reasoning_content;
    if (typeof thinking === 'string' && thinking !== '') yield { type: 'thinking', text: thinking };
    if (text !== '') yield { type: 'text', text };
    let pieces = 0;
    if ('tool_call_chunks' in message && Array.isArray(message.tool_call_chunks)) {
      for (const piece of message.tool_call_chunks) {
        pieces += 1;
        yield {
          type: 'tool',
          index: piece.index ?? 0,
          ...(piece.id && { id: piece.id }),
          ...(piece.name && { name: piece.name }),
          arguments: piece.args ?? '',
        };
      }
    }
    // Usage stands on a chunk of its own; concatenating chunks may lose it.
    const usage = 'usage_metadata' in message ? (message.usage_metadata as UsageMetadata | undefined) : undefined;
    if (usage && Number.isFinite(usage.input_tokens)) {
      yield {
        type: 'usage',
        inputTokens: usage.input_tokens,
        outputTokens: usage.output_tokens ?? 0,
        totalTokens: usage.total_tokens ?? usage.input_tokens + (usage.output_tokens ?? 0),
        cachedTokens: usage.input_token_details?.cache_read ?? 0,
      };
    }
    const reason = generationInfo?.finish_reason;
    if (typeof reason === 'string' && reason !== '') yield { type: 'finish', reason: finishReason(reason) };
    else if (text === '' && pieces === 0 && !thinking && !usage) yield { type: 'alive' };
  }
}

interface UsageMetadata {
  input_tokens: number;
  output_tokens?: number;
  total_tokens?: number;
  input_token_details?: { cache_read?: number };
}

const finishReason = (reason: string): FinishReason => {
  switch (reason) {
    case 'stop':
    case 'length':
    case 'content_filter':
    case 'tool_calls':
      return reason;
    case 'function_call':
      return 'tool_calls';
    case 'max_tokens':
      return 'length';
    default:
      return 'other';
  }
};

const toolChoice = (choice: NonNullable<ModelRequest['toolChoice']>) =>
  typeof choice === 'object' ? { type: 'function' as const, function: { name: choice.name } } : choice;

const openChat = ({ openai }: Libraries, { model, provider, request }: SourceCall): ChatOpenAICompletions => {
  const azure = provider.kind === 'azure';
  const name = request.thinking === true && model.thinkingModel !== undefined ? model.thinkingModel : model.model;
  const fields: ChatOpenAIFields = {
    model: name,
    // Local servers need no key, but the client insists on one.
    apiKey: provider.apiKey ?? 'none',
    maxRetries: 0,
    maxTokens: Math.min(request.maxTokens ?? model.maxOutputTokens, model.maxOutputTokens),
    streamUsage: provider.streamUsage,
    timeout: Math.min(request.timeouts?.totalMs ?? model.timeouts.totalMs, 2_147_483_647),
    ...(model.supportsTemperature && request.temperature !== undefined && { temperature: request.temperature }),
    modelKwargs: {
      ...model.body.always,
      ...(request.thinking === true ? model.body.thinking : request.thinking === false ? model.body.noThinking : {}),
      ...responseFormat(request, provider.jsonMode),
    },
    configuration: {
      // Without these the client would take them from OPENAI_* variables and send them to every provider.
      organization: null,
      project: null,
      // Its log would print what it cannot parse: pieces of answers.
      logLevel: 'off',
      ...(azure
        ? {
            baseURL: `${provider.baseUrl}/openai/deployments/${encodeURIComponent(name)}`,
            defaultQuery: { 'api-version': provider.apiVersion },
            defaultHeaders: { 'api-key': provider.apiKey },
          }
        : { baseURL: provider.baseUrl }),
    },
  };
  return adapt(new openai.ChatOpenAICompletions(fields), model.returnThinking ? request.messages : [], azure);
};

/**
 * Wraps the one method that talks to the endpoint. On the way out it adds the thinking of earlier answers, which
 * LangChain does not send; on the way in it repairs chunks that LangChain would misread: a first delta without role (its tool
 * calls and thinking would be lost), a missing delta (its finish reason would be lost), `reasoning` for `reasoning_content`.
 */
const adapt = (
  chat: ChatOpenAICompletions,
  history: readonly ModelMessage[],
  azure: boolean,
): ChatOpenAICompletions => {
  // The method is overloaded over all kinds of requests; only the streaming one is used here.
  const original = chat.completionWithRetry.bind(chat) as unknown as Complete;
  const patched: Complete = async (body, options) => {
    for (const [at, message] of history.entries()) {
      const sent = body.messages[at];
      if (sent && message.role === 'assistant' && message.thinking) sent.reasoning_content = message.thinking;
    }
    // Azure takes a bearer token for one of its own directory and refuses the key beside it.
    return repair(await original(body, azure ? { ...options, headers: { Authorization: null } } : options));
  };
  chat.completionWithRetry = patched as unknown as ChatOpenAICompletions['completionWithRetry'];
  return chat;
};

type Complete = (
  body: { messages: { reasoning_content?: string }[] },
  options: object,
) => Promise<AsyncIterable<RawChunk>>;

/** What is read of a chunk; it comes from outside, so nothing is certain. */
interface RawChunk {
  choices?: { delta?: { role?: string; content?: unknown; reasoning?: unknown; reasoning_content?: unknown } | null }[];
}

async function* repair(chunks: AsyncIterable<RawChunk | null>) {
  for await (const chunk of chunks) {
    const choice = chunk?.choices?.[0];
    if (choice) {
      const delta = choice.delta ?? {};
      choice.delta = delta;
      delta.role = 'assistant';
      if (Array.isArray(delta.content)) delta.content = delta.content.map((part) => part?.text ?? '').join('');
      if (typeof delta.reasoning === 'string') delta.reasoning_content ??= delta.reasoning;
    }
    if (chunk) yield chunk;
  }
}

const responseFormat = ({ responseFormat: format }: ModelRequest, mode: 'schema' | 'object' | 'prompt') => {
  if (format?.type !== 'json' || mode === 'prompt') return {};
  if (mode === 'schema' && format.schema) {
    return {
      response_format: { type: 'json_schema', json_schema: { name: format.name ?? 'answer', schema: format.schema } },
    };
  }
  return { response_format: { type: 'json_object' } };
};

const toLangChain = (libraries: Libraries, history: readonly ModelMessage[]): BaseMessage[] =>
  history.map((message) => toLangChainMessage(libraries, message));

const toLangChainMessage = ({ messages }: Libraries, message: ModelMessage): BaseMessage => {
  switch (message.role) {
    case 'system':
      return new messages.SystemMessage(message.content);
    case 'user':
      return typeof message.content === 'string'
        ? new messages.HumanMessage(message.content)
        : new messages.HumanMessage({
            content: message.content.map((part) =>
              part.type === 'text'
                ? { type: 'text' as const, text: part.text }
                : { type: 'image_url' as const, image_url: { url: part.url } },
            ),
          });
    case 'assistant':
      return new messages.AIMessage({
        content: message.content,
        tool_calls: (message.toolCalls ?? []).map(({ id, name, arguments: args }) => ({ id, name, args: args ?? {} })),
      });
    case 'tool':
      return new messages.ToolMessage({ content: message.content, tool_call_id: message.toolCallId });
  }
};
