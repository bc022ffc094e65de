import type { ErrorKind, LocalText } from '../errors.ts';
import { oneOf, Type } from '../schema.ts';
import { COMMON_STATUS, type Contract, localSeconds, prefixedIds } from './contract.ts';

const CODES: Readonly<Record<ErrorKind, string>> = {
  invalid: 'BAD_REQUEST',
  malformed: 'BAD_REQUEST',
  unauthenticated: 'UNAUTHORIZED',
  forbidden: 'FORBIDDEN',
  not_found: 'NOT_FOUND',
  method_not_allowed: 'METHOD_NOT_ALLOWED',
  conflict: 'BAD_REQUEST',
  too_large: 'PAYLOAD_TOO_LARGE',
  rate_limited: 'RATE_LIMITED',
  quota_exceeded: 'QUOTA_EXCEEDED',
  unavailable: 'SERVICE_UNAVAILABLE',
  timeout: 'SERVICE_UNAVAILABLE',
  cancelled: 'BAD_REQUEST',
  internal: 'INTERNAL_ERROR',
};

/** Workflows, executions, data sources: bare bodies, `{detail, error_code, status_code}`, snake_case, UUIDs. */
export const lowcode: Contract = {
  name: 'lowcode',
  title: { zh: '低代码 API', en: 'Low-code API' },
  ...prefixedIds({}),
  numbered: () => false,
  formatTime: localSeconds,

  success: (data, { message, language, beside }) =>
    data === undefined ? { message: (message ?? { zh: '操作成功', en: 'Success' })[language], ...beside } : data,

  failure(error, codes, language) {
    const mapped = codes[error.code];
    // Wrong fields and bodies that cannot be read are 422 here; a rule of the domain that refuses is 400, conflicts too.
    const wrongFields =
      (error.kind === 'invalid' && error.fields !== undefined && mapped === undefined) || error.kind === 'malformed';
    const status = wrongFields
      ? 422
      : error.kind === 'conflict' || error.kind === 'cancelled'
        ? 400
        : COMMON_STATUS[error.kind];
    const first = error.fields?.[0];
    return {
      status,
      body: {
        detail: first ? `${first.field}: ${first.message[language]}` : error.text[language],
        error_code: wrongFields ? 'VALIDATION_ERROR' : typeof mapped === 'string' ? mapped : CODES[error.kind],
        status_code: status,
        ...(error.fields && {
          errors: error.fields.map(({ field, message }) => ({
            loc: field.split('.'),
            msg: message[language],
            type: 'value_error',
          })),
        }),
        // Everything that is wrong with a graph; `detail` is the first of it.
        ...(Array.isArray(error.details?.errors) && {
          errors: (error.details.errors as LocalText[]).map((text) => text[language]),
        }),
      },
      ...(status === 401 && { headers: { 'WWW-Authenticate': 'Bearer' } }),
    };
  },

  pageQuery: ({ size = 100, sortBy, sortOrder = 'desc' }) => ({
    skip: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, default: 0 }),
    limit: Type.Integer({ minimum: 1, maximum: 100, default: size }),
    ...(sortBy?.[0] !== undefined && {
      sort_by: oneOf(sortBy, { default: sortBy[0] }),
      sort_order: oneOf(['asc', 'desc'], { default: sortOrder }),
    }),
  }),
  pageRequest(query) {
    const offset = Number(query.skip);
    const limit = Number(query.limit);
    return {
      offset,
      limit,
      page: Math.floor(offset / limit) + 1,
      ...(typeof query.sort_by === 'string' && { sortBy: query.sort_by }),
      ...(query.sort_order === 'asc' || query.sort_order === 'desc' ? { sortOrder: query.sort_order } : {}),
    };
  },
  pageBody: (items) => items,

  docs: {
    idSchema: () => ({ type: 'string', format: 'uuid' }),
    timeSchema: { type: 'string', description: 'UTC without zone', examples: ['2024-01-01T00:00:00'] },
    success: (data) => data ?? { type: 'object', required: ['message'], properties: { message: { type: 'string' } } },
    page: (item) => ({ type: 'array', items: item }),
    failure: {
      type: 'object',
      required: ['detail', 'error_code', 'status_code'],
      properties: {
        detail: { type: 'string' },
        error_code: { type: 'string', examples: ['NOT_FOUND'] },
        status_code: { type: 'integer' },
        errors: {
          type: 'array',
          items: {
            type: 'object',
            properties: {
              loc: { type: 'array', items: { type: 'string' } },
              msg: { type: 'string' },
              type: { type: 'string' },
            },
          },
        },
      },
    },
    statuses: { invalid: 422, unauthenticated: 401 },
  },
};
