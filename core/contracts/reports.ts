import { Type } from '../schema.ts';
import { COMMON_STATUS, type Contract, localSeconds, pageByNumber, prefixedIds } from './contract.ts';

const prefixes = { task: 'task_', outline: 'outline_', package: 'package_', report: 'report_' } as const;

/** Pre-loan report tasks: `{code, message, data}`, camelCase, ids with a prefix, times without zone. */
export const reports: Contract = {
  name: 'reports',
  title: { zh: '贷前报告 API', en: 'Reports API' },
  ...prefixedIds(prefixes),
  numbered: () => false,
  formatTime: localSeconds,

  success: (data) => ({ code: 200, message: 'success', data: data ?? null }),

  failure(error, codes, language) {
    const mapped = codes[error.code];
    const status =
      typeof mapped === 'number' ? mapped : error.kind === 'quota_exceeded' ? 429 : COMMON_STATUS[error.kind];
    const fields = error.fields?.map(({ field, message }) => ({ field, message: message[language] }));
    return {
      status,
      body: { code: status, message: error.text[language], data: null, ...(fields && { errors: fields }) },
    };
  },

  pageQuery: ({ size = 10 }) => ({
    page: Type.Integer({ minimum: 1, maximum: 1_000_000, default: 1, label: { zh: '页码', en: 'Page' } }),
    size: Type.Integer({ minimum: 1, maximum: 100, default: size, label: { zh: '每页条数', en: 'Page size' } }),
  }),
  pageRequest: (query) => pageByNumber(query, 'size'),
  pageBody: (records, total, { page, limit }) => ({
    records,
    total,
    page,
    size: limit,
    pages: Math.ceil(total / limit),
  }),

  docs: {
    idSchema: (kind) => ({ type: 'string', examples: [`${(prefixes as Record<string, string>)[kind] ?? ''}…`] }),
    timeSchema: { type: 'string', description: 'UTC without zone', examples: ['2024-01-01T00:00:00'] },
    success: (data) => ({
      type: 'object',
      required: ['code', 'message', 'data'],
      properties: { code: { const: 200 }, message: { const: 'success' }, data: data ?? { type: 'null' } },
    }),
    page: (item) => ({
      type: 'object',
      required: ['records', 'total', 'page', 'size', 'pages'],
      properties: {
        records: { type: 'array', items: item },
        total: { type: 'integer' },
        page: { type: 'integer' },
        size: { type: 'integer' },
        pages: { type: 'integer' },
      },
    }),
    failure: {
      type: 'object',
      required: ['code', 'message', 'data'],
      properties: {
        code: { type: 'integer', description: 'the HTTP status' },
        message: { type: 'string' },
        data: { type: 'null' },
        errors: {
          type: 'array',
          items: {
            type: 'object',
            required: ['field', 'message'],
            properties: { field: { type: 'string' }, message: { type: 'string' } },
          },
        },
      },
    },
    statuses: { invalid: 400, unauthenticated: 401 },
  },
};
