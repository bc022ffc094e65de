import { AppError } from '../../../core/errors.ts';

/** A query that may be run. */
export interface CheckedQuery {
  /** What to send: the query, for MySQL without its comments. */
  sql: string;
}

/** Longer texts are not parsed. */
export const MAX_SQL_CHARS = 65_536;

/** The query does more than read, or nobody can tell. */
export const notAllowed = (zh: string, en: string): AppError =>
  new AppError('invalid', 'QUERY_NOT_ALLOWED', { zh, en });

export const notParsed = (reason: string): AppError =>
  notAllowed(`SQL 无法解析：${reason.slice(0, 200)}`, `The SQL cannot be parsed: ${reason.slice(0, 200)}`);

export const tooComplex = (): AppError => notAllowed('SQL 过于复杂，无法检查', 'The SQL is too complex to be checked');
