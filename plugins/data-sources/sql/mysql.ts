import { init, parse } from '@guanmingchiu/sqlparser-ts';
import { type CheckedQuery, notAllowed, notParsed } from './checked.ts';
import { readMysqlText } from './mysql-text.ts';

type Node = Record<string, unknown>;

const isObject = (value: unknown): value is Node => typeof value === 'object' && value !== null;

const NAME = '(?:`(?:[^`]|``)+`|[\\p{L}\\p{N}_]+)';
const SHOW = new RegExp(
  `^show\\s+(?:(?:full\\s+)?(?:tables|columns|fields)|index(?:es)?|keys|databases|schemas|create\\s+(?:table|view)\\s+${NAME}(?:\\.${NAME})?|` +
    `table\\s+status|(?:(?:global|session|local)\\s+)?(?:status|variables)|character\\s+set|charset|collation|engines|warnings)` +
    `(?:\\s+(?:from|in)\\s+${NAME}(?:\\.${NAME})?){0,2}(?:\\s+like\\s+'s')?$`,
  'iu',
);
const DESCRIBE = new RegExp(`^(?:describe|desc|explain)\\s+${NAME}(?:\\.${NAME})?(?:\\s+${NAME})?$`, 'iu');
const EXPLAIN =
  /^(?:explain|describe|desc)\s+(?:(?:extended|partitions|analyze)\s+|format\s*=\s*\w+\s+)*(?=select\b|with\b|\()/i;
/** Reserved words, so none of them can be a bare name. They write, lock, or leave the query. */
const FORBIDDEN_WORDS =
  /\b(into|procedure|outfile|dumpfile|lock|load|call|insert\s+into|sql_calc_found_rows)\b|:=|\b(next|previous)\s+value\b|\bfor\s+(update|share|connection)\b/i;
/** A second look at the worst, which does not rely on the parser: these names in front of a parenthesis, quoted or not. */
const FORBIDDEN_CALLS =
  /(?:^|[^\w])`?(sleep|benchmark|load_file|get_lock|release_lock|release_all_locks|is_free_lock|is_used_lock|master_pos_wait|source_pos_wait|master_gtid_wait|wait_for_executed_gtid_set|wait_until_sql_thread_after_gtids|nextval|lastval|setval|sys_exec|sys_eval|sys_get|sys_set|name_const|procedure_analyse)`?\s*\(/i;
const STATEMENTS = new Set([
  'Insert',
  'Update',
  'Delete',
  'Merge',
  'Call',
  'Set',
  'Drop',
  'CreateTable',
  'Copy',
  'Truncate',
  'Execute',
]);
let ready: Promise<void> | undefined;

/** Checks one query of MySQL or MariaDB. @throws {AppError} QUERY_NOT_ALLOWED */
export async function checkMysql(text: string, isAllowed: (name: string) => boolean): Promise<CheckedQuery> {
  const { sql, masked } = withoutEnd(readMysqlText(text));
  if (sql === '') throw notAllowed('没有查询语句', 'There is no statement');
  if (masked.includes(';')) throw notAllowed('只能包含一条语句', 'Only one statement is possible');
  if (SHOW.test(masked) || DESCRIBE.test(masked)) return { sql };
  const plain = masked.replace(/`(?:[^`]|``)*`/g, '`n`');
  const word = FORBIDDEN_WORDS.exec(plain) ?? FORBIDDEN_CALLS.exec(masked);
  if (word) throw notAllowed(`查询中不允许 ${word[0].trim()}`, `${word[0].trim()} is not possible in a query`);
  const query = masked.replace(EXPLAIN, '');
  if (!/^[\s(]*(select|with|values)\b/i.test(query)) {
    throw notAllowed(
      '只允许读取数据的语句（SELECT、WITH、SHOW、EXPLAIN）',
      'Only reading statements are possible: SELECT, WITH, SHOW, EXPLAIN',
    );
  }
  ready ??= init();
  await ready;
  let statements: unknown;
  try {
    statements = parse(query, 'mysql');
  } catch (error) {
    // After a trap the module is of no more use: let the worker be replaced.
    if (/out of bounds|unreachable|recursive use/.test((error as Error).message))
      throw new Error('the parser has failed', { cause: error });
    throw notParsed((error as Error).message.replace(/^sql parser error: /, ''));
  }
  if (!Array.isArray(statements) || statements.length !== 1)
    throw notAllowed('只能包含一条语句', 'Only one statement is possible');
  const [statement] = statements as Node[];
  if (!isObject(statement?.Query)) throw notAllowed('只允许读取数据的语句', 'Only reading statements are possible');
  walk(statement, isAllowed);
  return { sql };
}

const withoutEnd = ({ sql, masked }: { sql: string; masked: string }) => ({
  sql: masked.endsWith(';') ? sql.slice(0, -1).trimEnd() : sql,
  masked: masked.endsWith(';') ? masked.slice(0, -1).trimEnd() : masked,
});

function walk(node: unknown, isAllowed: (name: string) => boolean): void {
  if (Array.isArray(node)) {
    for (const item of node) walk(item, isAllowed);
    return;
  }
  if (!isObject(node)) return;
  for (const [key, value] of Object.entries(node)) {
    // What is absent comes as undefined.
    if (value === null || value === undefined) continue;
    if (STATEMENTS.has(key))
      throw notAllowed('查询中包含写入或管理语句', 'The query contains a statement that does more than read');
    if (key === 'into') throw notAllowed('不允许 SELECT INTO', 'SELECT INTO is not possible');
    if (key === 'locks' && Array.isArray(value) && value.length > 0)
      throw notAllowed('不允许加锁', 'Locks are not possible');
    if (isObject(value)) {
      if (key === 'Function') checkName(value.name, isAllowed);
      // A table with arguments is a call as well.
      if (key === 'Table' && isObject(value.args)) checkName(value.name, isAllowed);
      if (key === 'TableFunction') throw notAllowed('不允许表函数', 'Table functions are not possible');
    }
    walk(value, isAllowed);
  }
}

function checkName(path: unknown, isAllowed: (name: string) => boolean): void {
  const parts = (Array.isArray(path) ? path : []).map(
    (part: Node) => (part.Identifier as { value?: unknown } | undefined)?.value,
  );
  const name = parts.every((part) => typeof part === 'string') ? parts.join('.').toLowerCase() : '';
  if (name === '' || !isAllowed(name))
    throw notAllowed(`不允许调用函数 ${name}`, `The function ${name} is not possible`);
}
