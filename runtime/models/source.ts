import type { ModelConfig, ProviderConfig } from './config.ts';
import type { FinishReason, ModelRequest } from './types.ts';

/** What an adapter reads from one attempt; the gateway assembles, times and counts. */
export type SourcePart =
  | { type: 'text'; text: string }
  | { type: 'thinking'; text: string }
  | { type: 'tool'; index: number; id?: string; name?: string; arguments: string }
  | { type: 'usage'; inputTokens: number; outputTokens: number; totalTokens: number; cachedTokens: number }
  | { type: 'finish'; reason: FinishReason }
  /** A chunk without content: the connection lives. */
  | { type: 'alive' };

export interface SourceCall {
  model: ModelConfig;
  provider: ProviderConfig;
  request: ModelRequest;
  signal: AbortSignal;
}

/** Opens one attempt. A part list that ends without `finish` is a broken answer. */
export interface ModelSource {
  (call: SourceCall): AsyncIterable<SourcePart>;
  /** Loads what it needs. The time limits of an attempt begin afterwards: they are about the provider. */
  ready?(): Promise<void>;
}
