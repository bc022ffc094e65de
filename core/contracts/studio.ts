import { Type } from '../schema.ts';
import { COMMON_STATUS, type Contract, pageByNumber, prefixedIds } from './contract.ts';

/** Agents, conversations, knowledge: `{code, message, data}` with five-digit codes, snake_case, integer ids. */
export const studio: Contract = {
  name: 'studio',
  title: { zh: '智能体平台 API', en: 'Studio API' },
  ...prefixedIds({}),
  numbered: () => true,
  formatTime: (at) => `${at.toISOString().slice(0, 19)}Z`,

  success: (data) => ({ code: 200, message: 'success', data: data ?? null }),

  failure(error, codes, language) {
    const mapped = codes[error.code];
    // The document knows neither 409 nor 403 for quotas: what a client can mend is a 400.
    const status = error.kind === 'conflict' || error.kind === 'cancelled' ? 400 : COMMON_STATUS[error.kind];
    const code = typeof mapped === 'number' ? mapped : status * 100;
    const first = error.fields?.[0];
    const message = first ? `${first.field}: ${first.message[language]}` : error.text[language];
    return { status: Math.floor(code / 100), body: { code, message, data: null } };
  },

  pageQuery: ({ size = 20 }) => ({
    page: Type.Integer({ minimum: 1, maximum: 1_000_000, default: 1, label: { zh: '页码', en: 'Page' } }),
    page_size: Type.Integer({ minimum: 1, maximum: 100, default: size, label: { zh: '每页条数', en: 'Page size' } }),
  }),
  pageRequest: (query) => pageByNumber(query, 'page_size'),
  pageBody: (items, total, { page, limit }) => ({ items, total, page, page_size: limit }),

  docs: {
    idSchema: () => ({ type: 'integer', minimum: 1 }),
    timeSchema: { type: 'string', format: 'date-time', examples: ['2026-05-10T08:00:00Z'] },
    success: (data) => ({
      type: 'object',
      required: ['code', 'message', 'data'],
      properties: { code: { const: 200 }, message: { const: 'success' }, data: data ?? { type: 'null' } },
    }),
    page: (item) => ({
      type: 'object',
      required: ['items', 'total', 'page', 'page_size'],
      properties: {
        items: { type: 'array', items: item },
        total: { type: 'integer' },
        page: { type: 'integer' },
        page_size: { type: 'integer' },
      },
    }),
    failure: {
      type: 'object',
      required: ['code', 'message', 'data'],
      properties: {
        code: { type: 'integer', description: 'five digits; the first three are the HTTP status', examples: [40000] },
        message: { type: 'string' },
        data: { type: 'null' },
      },
    },
    statuses: { invalid: 400, unauthenticated: 401 },
  },
};
