import type { Failure, Language } from '../../core/contracts/contract.ts';
import { AppError, type ErrorKind, type FieldError } from '../../core/errors.ts';

/** Something in the request is wrong; `param` is the place as OpenAI names it: `messages[0].role`. */
export function requestInvalid(param: string, zh: string, en: string): AppError {
  const field: FieldError = { field: param, message: { zh, en } };
  return new AppError(
    'invalid',
    'REQUEST_INVALID',
    { zh: `${param}：${zh}`, en: `${param}: ${en}` },
    { fields: [field] },
  );
}

export const unsupported = (param: string) => requestInvalid(param, '不支持', 'is not supported');

export const modelNotFound = (name: string) =>
  new AppError(
    'not_found',
    'COMPLETION_MODEL_NOT_FOUND',
    {
      zh: `没有名为“${name}”的模型或智能体；可用的见 GET /v1/models`,
      en: `There is no model or agent "${name}"; GET /v1/models lists them`,
    },
    { fields: [{ field: 'model', message: { zh: '不存在', en: 'does not exist' } }] },
  );

export const routeNotFound = (method: string, path: string) =>
  new AppError('not_found', 'ROUTE_NOT_FOUND', {
    zh: `没有 ${method} ${path}`,
    en: `There is no ${method} ${path}`,
  });

export const keyReused = () =>
  new AppError('invalid', 'IDEMPOTENCY_KEY_REUSED', {
    zh: '该 Idempotency-Key 已用于另一个请求',
    en: 'This Idempotency-Key was used for another request',
  });

export const completionStopped = () =>
  new AppError('unavailable', 'COMPLETION_STOPPED', { zh: '回答已停止', en: 'The answer was stopped' });

export type ErrorBody = {
  error: { message: string; type: string; param: string | null; code: string | null };
};

interface Form {
  status: number;
  type: string;
  code?: string;
}

const KINDS: Readonly<Record<ErrorKind, Form>> = {
  invalid: { status: 400, type: 'invalid_request_error' },
  malformed: { status: 400, type: 'invalid_request_error' },
  unauthenticated: { status: 401, type: 'invalid_request_error', code: 'invalid_api_key' },
  forbidden: { status: 403, type: 'invalid_request_error' },
  not_found: { status: 404, type: 'invalid_request_error' },
  method_not_allowed: { status: 405, type: 'invalid_request_error' },
  conflict: { status: 409, type: 'invalid_request_error' },
  too_large: { status: 413, type: 'invalid_request_error' },
  rate_limited: { status: 429, type: 'requests', code: 'rate_limit_exceeded' },
  quota_exceeded: { status: 429, type: 'insufficient_quota', code: 'insufficient_quota' },
  unavailable: { status: 503, type: 'server_error' },
  timeout: { status: 504, type: 'server_error' },
  cancelled: { status: 503, type: 'server_error' },
  internal: { status: 500, type: 'server_error' },
};

/** Where OpenAI has a form of its own for what happened. */
const CODES: Readonly<Record<string, Form>> = {
  COMPLETION_MODEL_NOT_FOUND: { status: 404, type: 'invalid_request_error', code: 'model_not_found' },
  MODEL_CONTEXT_TOO_LONG: { status: 400, type: 'invalid_request_error', code: 'context_length_exceeded' },
  MODEL_CONTENT_FILTERED: { status: 400, type: 'invalid_request_error', code: 'content_filter' },
  MODEL_RATE_LIMITED: { status: 429, type: 'requests', code: 'rate_limit_exceeded' },
  MODEL_INVALID_JSON: { status: 502, type: 'server_error' },
  TENANT_BUSY: { status: 429, type: 'requests', code: 'rate_limit_exceeded' },
};

const formOf = ({ kind, code }: AppError): Form => CODES[code] ?? KINDS[kind];

/** The body of an error; `code` is ours in lower case where OpenAI has none. */
export function errorBody(error: AppError, language: Language): ErrorBody {
  const { type, code = error.code.toLowerCase() } = formOf(error);
  const [field] = error.fields ?? [];
  return { error: { message: error.text[language], type, param: field?.field ?? null, code } };
}

export function failureOf(error: AppError, language: Language): Failure {
  const { status } = formOf(error);
  return {
    status,
    body: errorBody(error, language),
    headers: {
      ...(status === 401 && { 'WWW-Authenticate': 'Bearer' }),
      // OpenAI's clients repeat every 429 and 409 unless they are told not to: a budget is not there again in a second.
      ...((error.kind === 'quota_exceeded' || error.kind === 'conflict') && { 'x-should-retry': 'false' }),
    },
  };
}
