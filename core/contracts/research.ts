import type { ErrorKind } from '../errors.ts';
import { oneOf, Type } from '../schema.ts';
import { COMMON_STATUS, type Contract, pageByNumber, prefixedIds } from './contract.ts';

const CODES: Readonly<Record<ErrorKind, string>> = {
  invalid: 'VALIDATION_ERROR',
  malformed: 'BAD_REQUEST',
  unauthenticated: 'UNAUTHORIZED',
  forbidden: 'FORBIDDEN',
  not_found: 'NOT_FOUND',
  method_not_allowed: 'METHOD_NOT_ALLOWED',
  conflict: 'CONFLICT',
  too_large: 'PAYLOAD_TOO_LARGE',
  rate_limited: 'RATE_LIMIT',
  quota_exceeded: 'QUOTA_EXCEEDED',
  unavailable: 'SERVICE_UNAVAILABLE',
  timeout: 'SERVICE_UNAVAILABLE',
  cancelled: 'CONFLICT',
  internal: 'INTERNAL_ERROR',
};

const prefixes = {
  user: 'user-',
  project: 'proj-',
  conversation: 'conv-',
  message: 'msg-',
  knowledge_base: 'kb-',
  document: 'doc-',
} as const;

/** Clinical research: `{success, data, message, timestamp}`, camelCase, ids with a prefix, times with milliseconds. */
export const research: Contract = {
  name: 'research',
  title: { zh: '临床科研 API', en: 'Research API' },
  ...prefixedIds(prefixes),
  numbered: () => false,
  formatTime: (at) => at.toISOString(),

  success: (data, { language, now, message, beside }) => ({
    success: true,
    ...(data !== undefined && { data }),
    message: (message ?? { zh: '操作成功', en: 'Success' })[language],
    ...beside,
    timestamp: now.toISOString(),
  }),

  failure(error, codes, language, now) {
    const mapped = codes[error.code];
    const code = typeof mapped === 'string' ? mapped : CODES[error.kind];
    const details =
      error.fields?.map(({ field, message }) => ({ field, message: message[language] })) ??
      (error.kind === 'quota_exceeded' ? error.details : undefined);
    return {
      status: error.kind === 'invalid' ? 422 : COMMON_STATUS[error.kind],
      body: {
        success: false,
        error: { code, message: error.text[language], ...(details && { details }) },
        timestamp: now.toISOString(),
      },
    };
  },

  pageQuery: ({ size = 20, sortBy, sortOrder = 'desc' }) => ({
    page: Type.Integer({ minimum: 1, maximum: 1_000_000, default: 1, label: { zh: '页码', en: 'Page' } }),
    pageSize: Type.Integer({ minimum: 1, maximum: 100, default: size, label: { zh: '每页条数', en: 'Page size' } }),
    ...(sortBy?.[0] !== undefined && {
      sortBy: oneOf(sortBy, { default: sortBy[0], label: { zh: '排序字段', en: 'Sort field' } }),
      sortOrder: oneOf(['asc', 'desc'], { default: sortOrder, label: { zh: '排序方向', en: 'Sort order' } }),
    }),
  }),
  pageRequest: (query) => ({
    ...pageByNumber(query, 'pageSize'),
    ...(typeof query.sortBy === 'string' && { sortBy: query.sortBy }),
    ...(query.sortOrder === 'asc' || query.sortOrder === 'desc' ? { sortOrder: query.sortOrder } : {}),
  }),
  pageBody(items, total, { page, limit }) {
    const totalPages = Math.ceil(total / limit);
    return {
      items,
      pagination: {
        page,
        pageSize: limit,
        total,
        totalPages,
        hasNext: page < totalPages,
        hasPrev: page > 1 && total > 0,
      },
    };
  },

  docs: {
    idSchema: (kind) => ({
      type: 'string',
      examples: [`${(prefixes as Record<string, string>)[kind] ?? `${kind}-`}…`],
    }),
    timeSchema: { type: 'string', format: 'date-time', examples: ['2025-10-10T10:00:00.000Z'] },
    success: (data) => ({
      type: 'object',
      required: ['success', 'message', 'timestamp'],
      properties: {
        success: { const: true },
        ...(data && { data }),
        message: { type: 'string' },
        timestamp: { type: 'string', format: 'date-time' },
      },
    }),
    page: (item) => ({
      type: 'object',
      required: ['items', 'pagination'],
      properties: {
        items: { type: 'array', items: item },
        pagination: {
          type: 'object',
          required: ['page', 'pageSize', 'total', 'totalPages', 'hasNext', 'hasPrev'],
          properties: {
            page: { type: 'integer' },
            pageSize: { type: 'integer' },
            total: { type: 'integer' },
            totalPages: { type: 'integer' },
            hasNext: { type: 'boolean' },
            hasPrev: { type: 'boolean' },
          },
        },
      },
    }),
    failure: {
      type: 'object',
      required: ['success', 'error', 'timestamp'],
      properties: {
        success: { const: false },
        error: {
          type: 'object',
          required: ['code', 'message'],
          properties: {
            code: { type: 'string', examples: ['VALIDATION_ERROR'] },
            message: { type: 'string' },
            details: { description: '[{field, message}] for wrong fields, an object for quotas' },
          },
        },
        timestamp: { type: 'string', format: 'date-time' },
      },
    },
    statuses: { invalid: 422, unauthenticated: 401 },
  },
};
