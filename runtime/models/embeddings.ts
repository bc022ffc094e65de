import type { ModelConfig, ModelsConfig } from './config.ts';
import { notConfigured, toModelError } from './errors.ts';

/** Turns texts into vectors with the configured embedding model. */
export interface TextEmbedder {
  /** Name of the model at its provider: vectors of different models cannot be compared. */
  readonly model: string;
  /**
   * One vector of length 1 per text, in order.
   *
   * @param kind what the texts are; some models want to be told by a prefix
   * @throws {AppError} what a model call throws (MODEL_…)
   */
  embed(texts: readonly string[], kind: 'passage' | 'query', signal?: AbortSignal): Promise<Float32Array[]>;
}

/** The embedder of the configuration; undefined when none is configured or its provider has no credentials. */
export function createEmbedder(config: ModelsConfig): TextEmbedder | undefined {
  const { embeddings, defaults } = config;
  const provider = embeddings && config.providers[embeddings.provider];
  if (embeddings === undefined || provider === undefined || !provider.available) return undefined;
  const { model, batch, passagePrefix, queryPrefix } = embeddings;
  // Errors of the client are told apart as those of chat models are.
  const described = {
    ...config.models[config.defaultKey],
    key: model,
    model,
    missing: provider.missing,
  } as ModelConfig;

  return {
    model,
    async embed(texts, kind, signal) {
      if (provider.baseUrl === undefined) throw notConfigured(model, provider.missing);
      const { OpenAIEmbeddings } = await import('@langchain/openai');
      const client = new OpenAIEmbeddings({
        model,
        apiKey: provider.apiKey ?? 'none',
        batchSize: batch,
        stripNewLines: false,
        // Servers that only look like OpenAI's do not know the packed form.
        encodingFormat: 'float',
        maxRetries: defaults.retry.maxAttempts - 1,
        timeout: defaults.timeouts.totalMs,
        configuration: { baseURL: provider.baseUrl },
      });
      const prefix = kind === 'query' ? queryPrefix : passagePrefix;
      try {
        const work = client.embedDocuments(texts.map((text) => prefix + text));
        return (await (signal === undefined ? work : unless(signal, work))).map(normalized);
      } catch (error) {
        signal?.throwIfAborted();
        throw toModelError(error, described, provider, false);
      }
    },
  };
}

/** The client takes no signal: what it still does after an abort is of no interest. */
function unless<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.throwIfAborted();
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

function normalized(values: readonly number[]): Float32Array {
  const length = Math.hypot(...values) || 1;
  return Float32Array.from(values, (value) => value / length);
}
