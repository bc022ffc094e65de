import { AppError, type AppErrorOptions, type ErrorKind, type LocalText } from '../../core/errors.ts';
import type { ModelConfig, ProviderConfig } from './config.ts';

/** A failed model call, and what may be done about it. */
export class ModelError extends AppError {
  /** The same request may succeed a little later. */
  readonly retryable: boolean;
  /** Another model may succeed where this one failed. */
  readonly fallback: boolean;
  /** Milliseconds the provider asked to wait. */
  readonly retryAfterMs: number | undefined;

  constructor(
    kind: ErrorKind,
    code: string,
    text: LocalText,
    options: AppErrorOptions & { retryable?: boolean; fallback?: boolean; retryAfterMs?: number } = {},
  ) {
    super(kind, code, text, {
      ...options,
      ...(options.retryAfterMs !== undefined && { retryAfter: Math.ceil(options.retryAfterMs / 1000) }),
    });
    this.retryable = options.retryable ?? false;
    this.fallback = options.fallback ?? this.retryable;
    this.retryAfterMs = options.retryAfterMs;
  }
}

export const cancelled = (reason: unknown) =>
  new AppError(
    'cancelled',
    'MODEL_CANCELLED',
    { zh: '模型调用已取消', en: 'The model call was cancelled' },
    { cause: reason },
  );

export const timedOut = (phase: 'first_token' | 'idle' | 'total', ms: number) =>
  new ModelError(
    'timeout',
    'MODEL_TIMEOUT',
    {
      zh: `模型在 ${ms / 1000} 秒内${phase === 'total' ? '未完成回答' : phase === 'idle' ? '没有继续回答' : '没有开始回答'}`,
      en: `The model did not ${phase === 'total' ? 'finish' : phase === 'idle' ? 'continue' : 'begin'} its answer within ${ms / 1000} s`,
    },
    { details: { phase, timeoutMs: ms }, retryable: phase !== 'total' },
  );

export const streamBroken = (reason: string) =>
  new ModelError(
    'unavailable',
    'MODEL_STREAM_BROKEN',
    { zh: '模型的回答中断或无法识别', en: 'The answer of the model broke off or could not be read' },
    { details: { reason }, retryable: true },
  );

export const outputTooLarge = (limit: number) =>
  new ModelError(
    'too_large',
    'MODEL_OUTPUT_TOO_LARGE',
    { zh: '模型的回答超出长度上限', en: 'The answer of the model exceeds the length limit' },
    { details: { maxCharacters: limit } },
  );

export const unknownModel = (name: string) =>
  new AppError(
    'invalid',
    'MODEL_UNKNOWN',
    { zh: `没有名为“${name}”的模型`, en: `There is no model named "${name}"` },
    { details: { model: name } },
  );

export const notConfigured = (key: string, missing: readonly string[]) =>
  new ModelError(
    'unavailable',
    'MODEL_NOT_CONFIGURED',
    { zh: `模型 ${key} 尚未配置`, en: `The model ${key} is not configured` },
    { details: { model: key, missing: [...missing] }, fallback: true },
  );

export const imagesUnsupported = (key: string) =>
  new ModelError(
    'invalid',
    'MODEL_IMAGES_UNSUPPORTED',
    { zh: `模型 ${key} 不支持图片`, en: `The model ${key} does not read pictures` },
    { details: { model: key } },
  );

export const invalidJson = (reason: string) =>
  new ModelError(
    'unavailable',
    'MODEL_INVALID_JSON',
    { zh: '模型的回答不是有效的 JSON', en: 'The answer of the model is not valid JSON' },
    { details: { reason } },
  );

/** What is kept of a provider's message: one short line without addresses' queries, help links, or anything like a key. */
const clean = (message: string, secret: string | undefined): string => {
  const known = secret !== undefined && secret.length >= 4 ? message.replaceAll(secret, '[redacted]') : message;
  return known
    .replace(/\s*Troubleshooting URL:[\s\S]*$/i, '')
    .replace(/<[^>]*>/g, ' ')
    .replace(/\b(Bearer\s+)\S+/gi, '$1[redacted]')
    .replace(/\b(sk|pk|key|AIza)[-_A-Za-z0-9*]{6,}/g, '[redacted]')
    .replace(/(https?:\/\/)(?:[^\s/@]*@)?([^\s?#]*)[^\s]*/gi, '$1$2')
    .replace(/\s+/g, ' ')
    .trim()
    .slice(0, 300);
};

const field = (value: unknown, name: string): unknown =>
  typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;

/** Milliseconds of a `Retry-After` (seconds or date) or `retry-after-ms` header. */
const retryAfter = (error: unknown): number | undefined => {
  const headers = field(error, 'headers');
  if (!(headers instanceof Headers)) return undefined;
  const exact = Number(headers.get('retry-after-ms') ?? Number.NaN);
  if (Number.isFinite(exact)) return Math.max(0, exact);
  const value = headers.get('retry-after');
  if (value === null) return undefined;
  const ms = /^\d+(\.\d+)?$/.test(value.trim()) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
};

const TOO_LONG =
  /context[ _]length|context window|maximum context|too many tokens|input is too long|reduce the length|prompt is too long|Input tokens exceed/i;
const NO_CREDIT = /insufficient[ _](quota|balance)|exceeded your current quota|billing|arrear/i;

/**
 * Maps what LangChain, the provider's client or fetch threw. Names and classes differ between versions, so the numeric
 * `status` decides first.
 *
 * @param begun a part of the answer had come in; what has no status is then a broken stream
 */
export const toModelError = (
  error: unknown,
  model: ModelConfig,
  provider: ProviderConfig,
  begun: boolean,
): AppError => {
  if (error instanceof AppError) return error;
  // A context overflow is wrapped once more by LangChain.
  const inner = field(error, 'name') === 'ContextOverflowError' ? (field(error, 'cause') ?? error) : error;
  const status = Number(field(inner, 'status') ?? 0);
  const code = String(field(inner, 'code') ?? '');
  const message = error instanceof Error ? error.message : String(error);
  const upstream = clean(message, provider.apiKey);
  const details = { model: model.key, provider: provider.name, ...(status > 0 && { status }), upstream };
  const make = (
    kind: ErrorKind,
    name: string,
    zh: string,
    en: string,
    more: { retryable?: boolean; fallback?: boolean; retryAfterMs?: number } = {},
  ) => new ModelError(kind, name, { zh, en }, { details, ...more });
  const who = model.key;

  if (
    status === 413 ||
    code === 'context_length_exceeded' ||
    ((status === 400 || status === 422 || status === 0) && TOO_LONG.test(message))
  ) {
    return make(
      'too_large',
      'MODEL_CONTEXT_TOO_LONG',
      `内容超出模型 ${who} 的上下文长度`,
      `The request exceeds the context window of the model ${who}`,
    );
  }
  if (status === 402 || (status === 429 && (code === 'insufficient_quota' || NO_CREDIT.test(message)))) {
    return make(
      'unavailable',
      'MODEL_QUOTA_EXHAUSTED',
      `模型 ${who} 的额度已用完`,
      `The credit for the model ${who} is used up`,
      { fallback: true },
    );
  }
  if (status === 401 || status === 403) {
    return make(
      'unavailable',
      'MODEL_UNAUTHENTICATED',
      `模型 ${who} 的凭据无效或无权限`,
      `The provider refused the credentials for the model ${who}`,
      { fallback: true },
    );
  }
  if (status === 429) {
    const ms = retryAfter(inner);
    return make(
      'unavailable',
      'MODEL_RATE_LIMITED',
      `模型 ${who} 请求过于频繁`,
      `The provider limits the rate of requests to the model ${who}`,
      {
        retryable: true,
        ...(ms !== undefined && { retryAfterMs: ms }),
      },
    );
  }
  if (status === 404) {
    return make(
      'unavailable',
      'MODEL_NOT_FOUND',
      `提供方没有模型 ${who}，或地址有误`,
      `The provider does not know the model ${who}, or its address is wrong`,
      { fallback: true },
    );
  }
  if (
    status === 400 &&
    /content_filter|content_policy|data_inspection_failed|content management policy/i.test(`${code} ${message}`)
  ) {
    return make(
      'invalid',
      'MODEL_CONTENT_FILTERED',
      '请求被模型提供方的内容审核拒绝',
      "The request was refused by the provider's content filter",
    );
  }
  if (status === 408 || status === 409 || status >= 500) {
    const ms = retryAfter(inner);
    return make(
      'unavailable',
      'MODEL_UNAVAILABLE',
      `模型 ${who} 暂时不可用`,
      `The model ${who} is unavailable at the moment`,
      {
        retryable: true,
        ...(ms !== undefined && { retryAfterMs: ms }),
      },
    );
  }
  if (status >= 400) {
    return make(
      'invalid',
      'MODEL_BAD_REQUEST',
      `模型 ${who} 不接受该请求`,
      `The model ${who} does not accept the request`,
    );
  }
  if (field(error, 'name') === 'TimeoutError' || code === 'ETIMEDOUT') {
    return make('timeout', 'MODEL_TIMEOUT', `模型 ${who} 响应超时`, `The model ${who} did not answer in time`, {
      retryable: true,
    });
  }
  // An error object inside the stream (no status, but the provider's code), broken JSON, a connection cut in the middle.
  if (
    begun ||
    error instanceof SyntaxError ||
    message.startsWith('terminated') ||
    field(inner, 'error') !== undefined
  ) {
    return make(
      'unavailable',
      'MODEL_STREAM_BROKEN',
      '模型的回答中断或无法识别',
      'The answer of the model broke off or could not be read',
      { retryable: true },
    );
  }
  return make('unavailable', 'MODEL_UNAVAILABLE', `无法连接模型 ${who}`, `The model ${who} cannot be reached`, {
    retryable: true,
  });
};
