/** Parses SQL away from the main thread: parsers are native code that a hostile text may keep busy or break. */
import { parentPort, workerData } from 'node:worker_threads';
import { AppError, type ErrorRecord, toErrorRecord } from '../../../core/errors.ts';
import { tooComplex } from './checked.ts';
import { functionRule, MYSQL_FUNCTIONS, POSTGRESQL_FUNCTIONS } from './functions.ts';
import { checkMysql } from './mysql.ts';
import { checkPostgresql } from './postgresql.ts';

export type Dialect = 'mysql' | 'postgresql';

export interface CheckRequest {
  id: number;
  dialect: Dialect;
  sql: string;
}

/** Without `sql` and `error`: the parser is broken and the worker must be replaced. */
export interface CheckReply {
  id: number;
  sql?: string;
  error?: ErrorRecord;
}

const { functions } = workerData as { functions: Record<Dialect, string[]> };
const rules = {
  mysql: functionRule(MYSQL_FUNCTIONS, functions.mysql),
  postgresql: functionRule(POSTGRESQL_FUNCTIONS, functions.postgresql),
};

const check = ({ dialect, sql }: CheckRequest) =>
  dialect === 'mysql' ? checkMysql(sql, rules.mysql) : checkPostgresql(sql, rules.postgresql);

parentPort?.on('message', async (request: CheckRequest) => {
  const reply: CheckReply = { id: request.id };
  try {
    reply.sql = (await check(request)).sql;
  } catch (error) {
    // Too deep for our own walk; the parser itself is well.
    if (error instanceof RangeError) reply.error = toErrorRecord(tooComplex());
    else if (error instanceof AppError) reply.error = toErrorRecord(error);
  }
  parentPort?.postMessage(reply);
});
