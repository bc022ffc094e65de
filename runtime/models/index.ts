import { type AppError, toErrorRecord } from '../../core/errors.ts';
import { defineService } from '../../core/service.ts';
import { attempt } from './attempt.ts';
import { type Clock, systemClock, wait } from './clock.ts';
import { collect, emptyResult } from './collect.ts';
import type { ModelsConfig, RetryPolicy } from './config.ts';
import { createEmbedder } from './embeddings.ts';
import {
  cancelled,
  imagesUnsupported,
  invalidJson,
  ModelError,
  notConfigured,
  timedOut,
  toModelError,
} from './errors.ts';
import { parseJsonAnswer, withJsonInstruction } from './json-answer.ts';
import { createLangchainSource } from './langchain.ts';
import { offlineSource } from './offline.ts';
import { createRegistry, type Found } from './registry.ts';
import type { ModelSource } from './source.ts';
import type { ModelEvent, ModelGateway, ModelRequest } from './types.ts';

export { type BatchLimits, createBatches, sharedLimits } from './batches.ts';
export { collect, emptyResult } from './collect.ts';
export type { ModelRef, ModelsConfig, RetryPolicy } from './config.ts';
export type { TextEmbedder } from './embeddings.ts';
export { invalidJson } from './errors.ts';
export { parseJsonAnswer } from './json-answer.ts';
export { extractMaterial, formatMaterial, type Material } from './material.ts';
export { countRequestTokens, countTokens } from './tokens.ts';
export { removeTracingVariables } from './tracing.ts';
export type * from './types.ts';

/** The key under which nodes and plugins reach the gateway. */
export const modelService = defineService<ModelGateway>('models');

export interface ModelGatewayDeps {
  /** Tells of retries and fallbacks; gets no content and no secrets. */
  log?: (level: 'info' | 'warn', message: string, data: Record<string, unknown>) => void;
  clock?: Clock;
  /** 0-1, for the jitter between attempts. */
  random?: () => number;
}

/** A longer wait than this is not worth holding a run for: the next model is tried or the call fails. */
const LONGEST_RETRY_AFTER_MS = 60_000;

/**
 * Makes the model gateway. It works in the main thread and in workers: the configuration is plain data, the client
 * libraries are loaded with the first call to a real provider, and nothing is held between calls.
 */
export const createModelGateway = (config: ModelsConfig, deps: ModelGatewayDeps = {}): ModelGateway => {
  const { log = () => undefined, clock = systemClock, random = Math.random } = deps;
  const registry = createRegistry(config);
  const langchain = createLangchainSource();
  let active = 0;

  const resolve: ModelGateway['resolve'] = (ref, { unknown = 'default' } = {}) =>
    registry.resolved(registry.find(ref, unknown));

  async function* stream(request: ModelRequest, options: { signal?: AbortSignal } = {}): AsyncGenerator<ModelEvent> {
    const first = registry.find(request.model, 'default');
    const candidates = [first, ...registry.fallbacks(first)];
    const overall = new AbortController();
    const onAbort = () => overall.abort(cancelled(options.signal?.reason));
    if (options.signal?.aborted) throw cancelled(options.signal.reason);
    options.signal?.addEventListener('abort', onAbort, { once: true });
    const { totalMs } = { ...first.model.timeouts, ...request.timeouts };
    const stopTimer = clock.after(totalMs, () => overall.abort(timedOut('total', totalMs)));
    active += 1;
    try {
      for (const [at, candidate] of candidates.entries()) {
        const outcome = yield* tryModel(candidate, request, overall.signal);
        if (!outcome) return;
        const next = candidates[at + 1];
        if (!next || !outcome.mayFallBack) throw outcome.error;
        const event = { from: candidate.model.key, to: next.model.key, error: toErrorRecord(outcome.error) };
        log('warn', 'model fallback', { from: event.from, to: event.to, code: outcome.error.code });
        yield { type: 'fallback', ...event };
      }
    } finally {
      active -= 1;
      stopTimer();
      options.signal?.removeEventListener('abort', onAbort);
    }
  }

  /** All attempts on one model. Returns nothing after a full answer, else what went wrong. */
  async function* tryModel(
    candidate: Found,
    request: ModelRequest,
    signal: AbortSignal,
  ): AsyncGenerator<ModelEvent, { error: AppError; mayFallBack: boolean } | undefined> {
    const { model, provider, offline } = candidate;
    const retry = { ...model.retry, ...request.retry };
    for (let number = 1; ; number += 1) {
      let started = false;
      let error: AppError;
      try {
        const source = sourceOf(candidate, request, langchain);
        const prepared = offline ? request : withJsonInstruction(request, provider.jsonMode);
        for await (const event of attempt(source, candidate, prepared, { signal, clock })) {
          started = true;
          yield event;
        }
        return undefined;
      } catch (cause) {
        // Whatever the source made of the abort: the caller's reason or the deadline is what counts.
        error = signal.aborted ? signal.reason : toModelError(cause, model, provider, started);
      }
      const details = error instanceof ModelError ? error : undefined;
      const delay = delayOf(retry, number, details?.retryAfterMs, random());
      const repeat = !started && !signal.aborted && details?.retryable === true && number < retry.maxAttempts;
      if (!repeat || delay > LONGEST_RETRY_AFTER_MS) {
        return { error, mayFallBack: !started && !signal.aborted && details?.fallback === true };
      }
      log('info', 'model retry', { model: model.key, attempt: number, code: error.code, delayMs: Math.round(delay) });
      yield {
        type: 'retry',
        attempt: number,
        maxAttempts: retry.maxAttempts,
        retryIn: Math.round(delay) / 1000,
        error: toErrorRecord(error),
      };
      await wait(clock, delay, signal);
    }
  }

  const embedder = createEmbedder(config);
  return {
    ...(embedder && { embedder }),
    async ready() {
      if (registry.list().some(({ available, offline }) => available && !offline)) await langchain.ready?.();
    },
    get active() {
      return active;
    },
    list: () => registry.list(),
    resolve,
    resolveProvider: (provider, model, options) =>
      resolve({ ...(provider !== undefined && { provider }), ...(model !== undefined && { model }) }, options),
    stream,
    async complete(request, options = {}) {
      const result = emptyResult();
      for await (const event of stream(request, options)) {
        options.onEvent?.(event);
        collect(result, event);
      }
      if (request.responseFormat?.type === 'json' && result.toolCalls.length === 0) {
        const parsed = parseJsonAnswer(result.text);
        if ('error' in parsed) throw invalidJson(parsed.error);
        result.json = parsed.value;
      }
      return result;
    },
  };
};

const sourceOf = ({ model, offline }: Found, request: ModelRequest, langchain: ModelSource): ModelSource => {
  if (offline) return offlineSource;
  if (!model.available) throw notConfigured(model.key, model.missing);
  const pictures = request.messages.some(
    ({ content }) => typeof content !== 'string' && content.some((part) => part.type === 'image'),
  );
  if (pictures && !model.multimodal) throw imagesUnsupported(model.key);
  return langchain;
};

const delayOf = (retry: RetryPolicy, attempt: number, retryAfterMs: number | undefined, chance: number): number => {
  const planned = Math.min(retry.maxDelayMs, retry.baseDelayMs * 2 ** (attempt - 1));
  return Math.max(retryAfterMs ?? 0, planned * (1 - retry.jitter + retry.jitter * chance));
};
