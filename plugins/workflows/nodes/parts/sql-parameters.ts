import { AppError } from '../../../../core/errors.ts';

export type SqlDialect = 'mysql' | 'postgresql';

/** Items of one list. */
const MAX_ITEMS = 1000;
const MAX_TEXT = 16_000;

/** Strings, quoted names and comments, in which a colon means nothing; `::` is a cast, `:=` an assignment. */
const SKIPPED: Record<SqlDialect, string> = {
  mysql: String.raw`'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|\`[^\`]*\`|--[^\n]*|#[^\n]*|/\*[\s\S]*?\*/|:=|::`,
  postgresql: String.raw`[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"[^"]*"|\$([A-Za-z_]\w*)?\$[\s\S]*?\$\1\$|--[^\n]*|/\*[\s\S]*?\*/|:=|::`,
};

/**
 * Puts values in the places of `:name`. What stands for a text holds nothing but hexadecimal digits, so no value can end its literal or become
 * a part of the statement, whatever the server's rules of quoting are; a list becomes its items (`in (:ids)`), an object its JSON.
 *
 * @throws {AppError} SQL_PARAMETER_MISSING, SQL_PARAMETER_INVALID
 */
export function withParameters(
  dialect: SqlDialect,
  sql: string,
  parameters: Readonly<Record<string, unknown>>,
): string {
  const pattern = new RegExp(`(?:${SKIPPED[dialect]})|:(?<name>[A-Za-z_]\\w*)`, 'g');
  return sql.replace(pattern, (whole, ...rest) => {
    const { name } = rest.at(-1) as { name?: string };
    if (name === undefined) return whole;
    if (!Object.hasOwn(parameters, name)) {
      throw new AppError('invalid', 'SQL_PARAMETER_MISSING', {
        zh: `查询使用了参数 :${name}，但没有给出它的值`,
        en: `The query uses :${name}, but the parameters have no such value`,
      });
    }
    return literals(dialect, name, parameters[name]);
  });
}

function literals(dialect: SqlDialect, name: string, value: unknown): string {
  if (!Array.isArray(value)) return literal(dialect, name, value);
  if (value.length > MAX_ITEMS)
    throw invalid(name, `列表超过 ${MAX_ITEMS} 项`, `a list of more than ${MAX_ITEMS} items`);
  // `in (null)` is true for nothing, which is what an empty list means.
  return value.length === 0 ? 'NULL' : value.map((item) => literal(dialect, name, item)).join(', ');
}

function literal(dialect: SqlDialect, name: string, value: unknown): string {
  if (value === null || value === undefined) return 'NULL';
  if (typeof value === 'boolean') return value ? 'TRUE' : 'FALSE';
  if (typeof value === 'number')
    return Number.isFinite(value) && value >= 0 ? String(value) : `(${finite(name, value)})`;
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  if (text.length > MAX_TEXT)
    throw invalid(name, `文本超过 ${MAX_TEXT} 个字符`, `a text of more than ${MAX_TEXT} characters`);
  if (text.includes('\0') || !text.isWellFormed())
    throw invalid(name, '含有数据库不支持的字符', 'characters that no database keeps');
  if (text === '') return "''";
  if (dialect === 'mysql') return `_utf8mb4 x'${Buffer.from(text, 'utf8').toString('hex')}'`;
  const escaped = Array.from(
    { length: text.length },
    (_, at) => `\\u${text.charCodeAt(at).toString(16).padStart(4, '0')}`,
  );
  return `E'${escaped.join('')}'`;
}

function finite(name: string, value: number): number {
  if (!Number.isFinite(value)) throw invalid(name, '不是有限的数', 'a number that is not finite');
  return value;
}

const invalid = (name: string, zh: string, en: string) =>
  new AppError('invalid', 'SQL_PARAMETER_INVALID', {
    zh: `参数 :${name} 无效：${zh}`,
    en: `The parameter :${name} is ${en}`,
  });
