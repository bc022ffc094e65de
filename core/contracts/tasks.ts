import { Type } from '../schema.ts';
import { COMMON_STATUS, type Contract, prefixedIds } from './contract.ts';

/** Background tasks by polling: `{success, …}`, errors as text, snake_case, Unix seconds. */
export const tasks: Contract = {
  name: 'tasks',
  title: { zh: '后台任务 API', en: 'Tasks API' },
  ...prefixedIds({}),
  numbered: () => false,
  formatTime: (at) => at.getTime() / 1000,

  // The fields stand beside `success`; what is not an object has no name of its own and is called `data`.
  success: (data, { beside }) => ({
    success: true,
    ...(isRecord(data) ? data : data === undefined ? {} : { data }),
    ...beside,
  }),

  failure(error, codes, language) {
    const mapped = codes[error.code];
    const first = error.fields?.[0];
    return {
      status: typeof mapped === 'number' ? mapped : COMMON_STATUS[error.kind],
      body: {
        success: false,
        error: first ? `${first.field}: ${first.message[language]}` : error.text[language],
        ...(error.details?.tellsMessage === true && { message: error.text[language] }),
      },
    };
  },

  // The document clamps instead of refusing, so anything is accepted here.
  pageQuery: ({ size = 20 }) => ({
    limit: Type.Unsafe<string>({ type: 'string', default: String(size), description: '1-100, clamped' }),
    offset: Type.Unsafe<string>({ type: 'string', default: '0' }),
  }),
  pageRequest(query, { size = 20 }) {
    const limit = clamp(wholeNumber(query.limit) ?? size, 1, 100);
    const offset = clamp(wholeNumber(query.offset) ?? 0, 0, Number.MAX_SAFE_INTEGER);
    return { limit, offset, page: Math.floor(offset / limit) + 1 };
  },
  pageBody: (data, total) => ({ data, total }),

  docs: {
    idSchema: () => ({ type: 'string' }),
    timeSchema: { type: 'number', description: 'Unix seconds', examples: [1769182965.3] },
    success: (data) => ({
      type: 'object',
      required: ['success'],
      properties: { success: { const: true } },
      ...(data && { allOf: [data] }),
    }),
    page: (item) => ({
      type: 'object',
      required: ['data', 'total'],
      properties: { data: { type: 'array', items: item }, total: { type: 'integer' } },
    }),
    failure: {
      type: 'object',
      required: ['success', 'error'],
      properties: { success: { const: false }, error: { type: 'string' } },
    },
    statuses: { invalid: 400, unauthenticated: 401 },
  },
};

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const clamp = (value: number, low: number, high: number) => Math.min(high, Math.max(low, value));

const wholeNumber = (value: unknown): number | undefined => {
  const text = String(value ?? '').trim();
  return /^-?\d{1,15}$/.test(text) ? Number(text) : undefined;
};
