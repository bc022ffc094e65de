import type { ErrorRecord } from '../../core/errors.ts';
import type { ModelKey, ModelRef, ProviderKind, RetryPolicy, TimeoutPolicy } from './config.ts';
import type { TextEmbedder } from './embeddings.ts';

/** A picture for models that read pictures: an `https:` address or a `data:image/…;base64,` address. */
export interface ImagePart {
  type: 'image';
  url: string;
}

export interface TextPart {
  type: 'text';
  text: string;
}

export interface ToolCall {
  id: string;
  name: string;
  /** `null`: the model sent something that is not a JSON object; `raw` has it and `invalid` says why. */
  arguments: Record<string, unknown> | null;
  /** The text exactly as the model sent it. */
  raw: string;
  invalid?: string;
}

export type ModelMessage =
  | { role: 'system'; content: string }
  | { role: 'user'; content: string | (TextPart | ImagePart)[] }
  | { role: 'assistant'; content: string; thinking?: string; toolCalls?: ToolCall[] }
  | { role: 'tool'; toolCallId: string; content: string };

/** A tool that the model may ask for. `parameters` is a JSON Schema of type object. */
export interface ModelTool {
  name: string;
  description: string;
  parameters: Record<string, unknown>;
}

export type ResponseFormat =
  | { type: 'text' }
  /** The answer is one JSON value; `schema` (JSON Schema) is sent along where the provider knows it. */
  | { type: 'json'; schema?: Record<string, unknown>; name?: string };

export interface ModelRequest {
  /** A model key, or provider and model name. Missing or unknown: the server's default model. */
  model?: ModelRef;
  messages: ModelMessage[];
  tools?: ModelTool[];
  /** `{ name }` forces that tool; `required` forces any. Default `auto`. */
  toolChoice?: 'auto' | 'none' | 'required' | { name: string };
  /** 0-2. Default: the provider's. */
  temperature?: number;
  /** Tokens of the answer; cut down to the model's own limit. */
  maxTokens?: number;
  /** Ask for (true) or switch off (false) thinking, for models that know both. */
  thinking?: boolean;
  responseFormat?: ResponseFormat;
  stop?: string[];
  /** Overrides of the configured policies for this request. */
  retry?: Partial<RetryPolicy>;
  timeouts?: Partial<TimeoutPolicy>;
  /** Hints for the offline model; never sent anywhere. */
  metadata?: OfflineHints;
}

export interface OfflineHints {
  /** `false`: leave out the sentence that no model was used; the caller then says it once for the whole work. */
  offlineNotice?: boolean;
  /** `report`: prose over all of the material; `answer`: the few passages that answer a question. Default: by the request. */
  offlineStyle?: 'report' | 'answer';
  /** Language of the text around the excerpts. Default: the language of the request. */
  language?: 'zh' | 'en';
}

export interface Usage {
  inputTokens: number;
  outputTokens: number;
  totalTokens: number;
  /** Part of `inputTokens` that the provider had in its cache. */
  cachedTokens: number;
  /** True when the provider sent no figures and `countTokens` was used. */
  estimated: boolean;
}

export type FinishReason = 'stop' | 'length' | 'tool_calls' | 'content_filter' | 'other';

/** What a model call gives, in order: retries, pieces of thinking and text, tool calls, usage, finish. */
export type ModelEvent =
  | { type: 'retry'; attempt: number; maxAttempts: number /** seconds */; retryIn: number; error: ErrorRecord }
  | { type: 'fallback'; from: ModelKey; to: ModelKey; error: ErrorRecord }
  | { type: 'thinking'; text: string }
  | { type: 'text'; text: string }
  /** A piece of a tool call as it comes in; `index` counts the calls of this answer. */
  | { type: 'tool_call_delta'; index: number; id: string; name: string; arguments: string }
  | ({ type: 'tool_call' } & ToolCall)
  | ({ type: 'usage' } & Usage)
  /** `model` is the key that answered: a fallback, or `offline` when the offline model stood in. */
  | { type: 'finish'; reason: FinishReason; model: ModelKey; offline: boolean };

export interface ModelResult {
  text: string;
  thinking: string;
  toolCalls: ToolCall[];
  /** The parsed answer; only with `responseFormat` json. */
  json?: unknown;
  usage: Usage;
  finishReason: FinishReason;
  model: ModelKey;
  offline: boolean;
}

/** A model as clients may see it; holds no credentials. */
export interface ModelInfo {
  key: ModelKey;
  name: string;
  provider: string;
  /** Name of the model at its provider. */
  model: string;
  contextWindow: number;
  maxOutputTokens: number;
  supportsThinking: boolean;
  multimodal: boolean;
  isDefault: boolean;
  /** Can be called now: it has credentials, or the offline model stands in. */
  available: boolean;
  /** The offline model answers for this key. */
  offline: boolean;
}

export interface ResolvedModel extends ModelInfo {
  kind: ProviderKind;
  /** True when what was asked for is not configured and the default was taken. */
  substituted: boolean;
}

export interface ModelGateway {
  /** Calls that are under way in this thread. */
  readonly active: number;
  /** Loads what calls need, if any provider has credentials; otherwise the first call does. */
  ready(): Promise<void>;
  /** Absent when no embedding model is configured. */
  readonly embedder?: TextEmbedder;
  /** All configured keys in the order of the configuration; aliases are left out. */
  list(): ModelInfo[];
  /**
   * Finds the model of a key, an alias, or provider and model name.
   *
   * @param options.unknown what to do with a name that is not configured; default `default`
   * @throws {AppError} MODEL_UNKNOWN with `unknown: 'error'`
   */
  resolve(ref: ModelRef | undefined, options?: { unknown?: 'default' | 'error' }): ResolvedModel;
  /** `resolve` for a provider section and a model name; any name is taken where the section exists. */
  resolveProvider(
    provider: string | undefined,
    model: string | undefined,
    options?: { unknown?: 'default' | 'error' },
  ): ResolvedModel;
  /**
   * Calls a model. Attempts that failed before anything was streamed are repeated, then the fallbacks are tried.
   * Leaving the loop ends the call to the provider at once.
   *
   * @throws {AppError} MODEL_* (runtime/models/errors.ts), MODEL_CANCELLED when the signal fires
   */
  stream(request: ModelRequest, options?: { signal?: AbortSignal }): AsyncIterable<ModelEvent>;
  /**
   * `stream`, collected.
   *
   * @throws {AppError} as `stream`; MODEL_INVALID_JSON when JSON was asked for and the answer is not JSON
   */
  complete(
    request: ModelRequest,
    options?: { signal?: AbortSignal; onEvent?: (event: ModelEvent) => void },
  ): Promise<ModelResult>;
}
