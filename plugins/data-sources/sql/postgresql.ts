import { parse } from 'libpg-query';
import type { CheckedQuery } from './checked.ts';
import { notAllowed, notParsed } from './checked.ts';

type Node = Record<string, unknown>;

const isObject = (value: unknown): value is Node => typeof value === 'object' && value !== null;

/**
 * Names that reach outside a query. They are looked for in column references too: PostgreSQL takes `f.pg_read_file` for a call when
 * `f` is a function's result in FROM.
 */
const REACHES_OUT =
  /^(pg_.*|lo_.*|loread|lowrite|dblink.*|query_to_xml.*|cursor_to_xml.*|database_to_xml.*|set_config|setval|nextval|currval|lastval|txid_.*|ts_stat|ts_rewrite|binary_upgrade_.*|brin_.*|gin_.*|crosstab.*|connectby|xpath_table|http.*|currtid2)$/;

/** Checks one query with PostgreSQL's own grammar. @throws {AppError} QUERY_NOT_ALLOWED */
export async function checkPostgresql(sql: string, isAllowed: (name: string) => boolean): Promise<CheckedQuery> {
  let statements: { stmt?: Node }[];
  try {
    statements = ((await parse(sql)) as { stmts?: { stmt?: Node }[] }).stmts ?? [];
  } catch (error) {
    throw notParsed((error as Error).message);
  }
  const [first, ...more] = statements;
  if (first?.stmt === undefined) throw notAllowed('没有查询语句', 'There is no statement');
  if (more.length > 0) throw notAllowed('只能包含一条语句', 'Only one statement is possible');
  const kind = Object.keys(first.stmt)[0] ?? '';
  if (kind === 'VariableShowStmt') return { sql };
  const inner = kind === 'ExplainStmt' ? (first.stmt.ExplainStmt as Node).query : first.stmt;
  if (!isObject(inner) || Object.keys(inner)[0] !== 'SelectStmt') {
    throw notAllowed(
      '只允许读取数据的语句（SELECT、WITH、SHOW、EXPLAIN）',
      'Only reading statements are possible: SELECT, WITH, SHOW, EXPLAIN',
    );
  }
  walk(inner, isAllowed);
  return { sql };
}

/** Looks at every node of the tree; what it does not know it goes through. */
function walk(node: unknown, isAllowed: (name: string) => boolean): void {
  if (Array.isArray(node)) {
    for (const item of node) walk(item, isAllowed);
    return;
  }
  if (!isObject(node)) return;
  for (const [key, value] of Object.entries(node)) {
    if (key.endsWith('Stmt') && key !== 'SelectStmt') {
      throw notAllowed('查询中包含写入或管理语句', 'The query contains a statement that does more than read');
    }
    if (key === 'intoClause' || key === 'IntoClause')
      throw notAllowed('不允许 SELECT INTO', 'SELECT INTO is not possible');
    if (key === 'lockingClause')
      throw notAllowed('不允许加锁（FOR UPDATE、FOR SHARE）', 'Locks (FOR UPDATE, FOR SHARE) are not possible');
    if (key === 'FuncCall') checkCall(namesOf((value as Node).funcname), isAllowed);
    if (key === 'A_Indirection') checkFields(namesOf((value as Node).indirection), isAllowed);
    if (key === 'ColumnRef') checkColumn(namesOf((value as Node).fields), isAllowed);
    if (key === 'A_Expr' || key === 'SubLink') checkOperator(namesOf((value as Node).name ?? (value as Node).operName));
    walk(value, isAllowed);
  }
}

const namesOf = (list: unknown): string[] =>
  (Array.isArray(list) ? list : []).flatMap((item: Node) => {
    const text = (item.String as { sval?: string } | undefined)?.sval;
    return text === undefined ? [] : [text];
  });

function checkCall(path: string[], isAllowed: (name: string) => boolean): void {
  const [schema, ...rest] = path.length > 1 ? path : ['pg_catalog', ...path];
  const name = rest.join('.');
  const wanted = schema === 'pg_catalog' ? name : `${schema}.${name}`;
  if (!isAllowed(wanted)) throw functionRefused(path.join('.'));
}

/** `(x).name` calls the function `name` unless x has such a field; which one it is only the server knows. */
function checkFields(names: string[], isAllowed: (name: string) => boolean): void {
  for (const name of names) if (!isAllowed(name)) throw functionRefused(name);
}

function checkColumn(names: string[], isAllowed: (name: string) => boolean): void {
  const last = names.length > 1 ? names.at(-1) : undefined;
  if (last !== undefined && REACHES_OUT.test(last) && !isAllowed(last)) throw functionRefused(last);
}

/** An operator of another schema is somebody's function. */
function checkOperator(path: string[]): void {
  if (path.length > 1 && path[0] !== 'pg_catalog') {
    throw notAllowed(`不允许使用运算符 ${path.join('.')}`, `The operator ${path.join('.')} is not possible`);
  }
}

const functionRefused = (name: string) => notAllowed(`不允许调用函数 ${name}`, `The function ${name} is not possible`);
