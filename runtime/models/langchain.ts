import type { BaseMessage } from '@langchain/core/messages';
import type { ChatOpenAICompletions, ChatOpenAIFields } from '@langchain/openai';
import type { Dispatcher } from 'undici';
import { createDispatcher, Exchange, type Wire } from './exchange.ts';
import type { ModelSource, SourceCall, SourcePart } from './source.ts';
import type { FinishReason, ModelMessage, ModelRequest } from './types.ts';

interface Libraries extends Wire {
  openai: typeof import('@langchain/openai');
  messages: typeof import('@langchain/core/messages');
}

/** Clients that are kept; each is for one way of calling a model. */
const MAX_CLIENTS = 64;

/** Together some 90 MB and 0.4 s, so they are loaded with the first real call and not with the gateway. */
const load = async (): Promise<Libraries> => {
  const [openai, messages, undici, { createParser }] = await Promise.all([
    import('@langchain/openai'),
    import('@langchain/core/messages'),
    import('undici'),
    import('eventsource-parser'),
  ]);
  return { openai, messages, undici, createParser };
};

/** Calls OpenAI-compatible endpoints, Azure or Gemini (through its OpenAI-compatible endpoint). */
export function createLangchainSource(): ModelSource {
  let libraries: Promise<Libraries & { dispatcher: Dispatcher }> | undefined;
  const clients = new Map<string, ChatOpenAICompletions>();
  const ready = () => {
    libraries ??= load().then((loaded) => ({ ...loaded, dispatcher: createDispatcher(loaded.undici) }));
    return libraries;
  };

  /** Making a client costs more than a call. */
  const clientOf = ({ openai }: Libraries, call: SourceCall): ChatOpenAICompletions => {
    const fields = fieldsOf(call);
    const key = JSON.stringify(fields);
    const client = clients.get(key) ?? new openai.ChatOpenAICompletions(withFetch(fields));
    clients.delete(key);
    clients.set(key, client);
    if (clients.size > MAX_CLIENTS) clients.delete(clients.keys().next().value as string);
    return client;
  };

  async function* source(call: SourceCall): AsyncGenerator<SourcePart> {
    const { dispatcher, ...loaded } = await ready();
    const chat = clientOf(loaded, call);
    const exchange = new Exchange(loaded, dispatcher);
    await chat.completionWithRetry(paramsOf(loaded, chat, call), {
      signal: call.signal,
      // Azure takes a bearer token for one of its own directory and refuses the key beside it.
      ...(call.provider.kind === 'azure' && { headers: { Authorization: null } }),
      fetchOptions: { exchange } as object,
    });
    for await (const data of exchange.events()) for (const part of partsOf(JSON.parse(data))) yield part;
  }

  return Object.assign(source, { ready: async () => void (await ready()) });
}

/** The client hands the options of a call on to `fetch`: among them is the exchange that it belongs to. */
const withFetch = (fields: ChatOpenAIFields): ChatOpenAIFields => ({
  ...fields,
  configuration: {
    ...fields.configuration,
    fetch: (url, init) => (init as RequestInit & { exchange: Exchange }).exchange.fetch(String(url), init ?? {}),
  },
});

/** What is read of a chunk; it comes from outside, so nothing is certain. */
interface RawChunk {
  choices?: ({ delta?: RawDelta | null; finish_reason?: unknown } | null)[];
  usage?: RawUsage | null;
  error?: { code?: unknown; message?: unknown };
}

interface RawDelta {
  content?: unknown;
  reasoning?: unknown;
  reasoning_content?: unknown;
  tool_calls?: ({
    index?: number;
    id?: string | null;
    function?: { name?: string | null; arguments?: string | null } | null;
  } | null)[];
}

interface RawUsage {
  prompt_tokens?: number;
  completion_tokens?: number;
  total_tokens?: number;
  prompt_tokens_details?: { cached_tokens?: number | null } | null;
}

/** The parts that a chunk has; never none. */
function partsOf(chunk: RawChunk | null): SourcePart[] {
  if (chunk?.error) throw streamedError(chunk.error);
  const parts: SourcePart[] = [];
  const choice = chunk?.choices?.[0];
  const { content, reasoning_content: reasoning, reasoning: other, tool_calls: calls } = choice?.delta ?? {};
  const thinking = typeof reasoning === 'string' ? reasoning : other;
  if (typeof thinking === 'string' && thinking !== '') parts.push({ type: 'thinking', text: thinking });
  const text = Array.isArray(content) ? content.map((part) => part?.text ?? '').join('') : content;
  if (typeof text === 'string' && text !== '') parts.push({ type: 'text', text });
  for (const call of Array.isArray(calls) ? calls : []) {
    const { name, arguments: pieces } = call?.function ?? {};
    parts.push({
      type: 'tool',
      index: call?.index ?? 0,
      ...(call?.id && { id: call.id }),
      ...(name && { name }),
      arguments: pieces ?? '',
    });
  }
  const usage = chunk?.usage;
  if (usage && Number.isFinite(usage.prompt_tokens)) {
    const { prompt_tokens: inputTokens = 0, completion_tokens: outputTokens = 0 } = usage;
    parts.push({
      type: 'usage',
      inputTokens,
      outputTokens,
      totalTokens: usage.total_tokens ?? inputTokens + outputTokens,
      cachedTokens: usage.prompt_tokens_details?.cached_tokens ?? 0,
    });
  }
  const reason = choice?.finish_reason;
  if (typeof reason === 'string' && reason !== '') parts.push({ type: 'finish', reason: finishReason(reason) });
  return parts.length > 0 ? parts : [{ type: 'alive' }];
}

/** An error that a provider sends as an event, in the form of the client's own. */
const streamedError = (error: NonNullable<RawChunk['error']>): Error =>
  Object.assign(new Error(typeof error.message === 'string' ? error.message : JSON.stringify(error)), {
    error,
    code: error.code,
  });

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

/** The request as the endpoint gets it. */
const paramsOf = (libraries: Libraries, chat: ChatOpenAICompletions, { request, model }: SourceCall) => {
  const tools = (request.tools ?? []).map((tool) => ({ type: 'function' as const, function: { ...tool } }));
  const messages = libraries.openai.convertMessagesToCompletionsMessageParams({
    messages: request.messages.map((message) => toLangChainMessage(libraries, message)),
    model: chat.model,
  });
  if (model.returnThinking) addThinking(messages, request.messages);
  return {
    ...chat.invocationParams(
      {
        ...(tools.length > 0 && {
          tools,
          ...(request.toolChoice !== undefined && { tool_choice: toolChoice(request.toolChoice) }),
        }),
        ...(request.stop?.length && { stop: request.stop }),
      },
      { streaming: true },
    ),
    messages,
    stream: true as const,
  };
};

/** The thinking of earlier answers, which LangChain does not send. */
const addThinking = (sent: readonly object[], history: readonly ModelMessage[]): void => {
  for (const [at, message] of history.entries()) {
    const one = sent[at];
    if (one && message.role === 'assistant' && message.thinking) {
      Object.assign(one, { reasoning_content: message.thinking });
    }
  }
};

const fieldsOf = ({ model, provider, request }: SourceCall): ChatOpenAIFields => {
  const azure = provider.kind === 'azure';
  const name = request.thinking === true && model.thinkingModel !== undefined ? model.thinkingModel : model.model;
  return {
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
};

const responseFormat = ({ responseFormat: format }: ModelRequest, mode: 'schema' | 'object' | 'prompt') => {
  if (format?.type !== 'json' || mode === 'prompt') return {};
  if (mode === 'schema' && format.schema) {
    return {
      response_format: { type: 'json_schema', json_schema: { name: format.name ?? 'answer', schema: format.schema } },
    };
  }
  return { response_format: { type: 'json_object' } };
};

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
