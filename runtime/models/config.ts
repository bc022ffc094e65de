/** A name in `config/models.yaml`. */
export type ModelKey = string;

/** A key or alias, or a provider section and the model's name there; what is missing is filled by the defaults. */
export type ModelRef = ModelKey | { provider?: string; model?: string };

export type ProviderKind = 'openai' | 'azure' | 'gemini' | 'offline';

/** All in milliseconds. */
export interface TimeoutPolicy {
  /** From the start of an attempt to its first piece of text, thinking or tool call. */
  firstTokenMs: number;
  /** Between two chunks of a stream. */
  idleMs: number;
  /** The whole call with all attempts and fallbacks. */
  totalMs: number;
}

export interface RetryPolicy {
  /** Attempts per model, the first one included. */
  maxAttempts: number;
  /** Wait after the first failure; doubled each time up to `maxDelayMs`. A `Retry-After` of the provider is longer. */
  baseDelayMs: number;
  maxDelayMs: number;
  /** Part of the wait (0-1) that is left to chance, so that many callers do not come back at once. */
  jitter: number;
}

export interface ProviderConfig {
  name: string;
  kind: ProviderKind;
  baseUrl?: string;
  apiKey?: string;
  /** Azure only. */
  apiVersion?: string;
  /** How JSON answers are asked for: by schema, as "a JSON object" with the schema in words, or in words only. */
  jsonMode: 'schema' | 'object' | 'prompt';
  /** Whether the endpoint knows `stream_options.include_usage`. */
  streamUsage: boolean;
  available: boolean;
  /** Names of the environment variables that have to be set before it is available. */
  missing: string[];
}

export interface ModelConfig {
  key: ModelKey;
  /** Shown to people. */
  name: string;
  provider: string;
  /** Name of the model (Azure: of the deployment) at the provider. */
  model: string;
  /** Name to use instead when thinking is asked for. */
  thinkingModel?: string;
  /** Tokens of question and answer together. */
  contextWindow: number;
  maxOutputTokens: number;
  supportsThinking: boolean;
  /** Reads pictures. */
  multimodal: boolean;
  /** False for models that refuse the parameter. */
  supportsTemperature: boolean;
  /** Thinking of earlier answers is sent back as `reasoning_content`. */
  returnThinking: boolean;
  /** Keys that are tried in this order when this one fails. */
  fallback: ModelKey[];
  timeouts: TimeoutPolicy;
  retry: RetryPolicy;
  /** Fields added to the request body: always, with thinking, without thinking. */
  body: { always: Record<string, unknown>; thinking: Record<string, unknown>; noThinking: Record<string, unknown> };
  /** Per million tokens, in `currency`. */
  price?: { input: number; output: number; cachedInput?: number; currency: string };
  available: boolean;
  missing: string[];
}

/** The model that turns texts into vectors, of an OpenAI-compatible provider. */
export interface EmbeddingConfig {
  provider: string;
  model: string;
  /** Texts of one request. */
  batch: number;
  /** Put before passages and queries; models of the E5 family and their like want it. */
  passagePrefix: string;
  queryPrefix: string;
}

/** The validated configuration: plain data that can be sent to a worker thread. Holds credentials: never log it. */
export interface ModelsConfig {
  defaultKey: ModelKey;
  /** The offline model stands in for every key without credentials. */
  offlineFallback: boolean;
  providers: Record<string, ProviderConfig>;
  embeddings?: EmbeddingConfig;
  models: Record<ModelKey, ModelConfig>;
  aliases: Record<string, ModelKey>;
  /** For models that are named by provider and model name only. */
  defaults: { contextWindow: number; maxOutputTokens: number; timeouts: TimeoutPolicy; retry: RetryPolicy };
}
