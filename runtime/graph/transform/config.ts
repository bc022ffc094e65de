import type { LocalText } from '../../../core/errors.ts';
import { AppError } from '../../../core/errors.ts';
import type { Expression } from '../expression/ast.ts';
import { parseExpression } from '../expression/parse.ts';
import { type Path, parsePath } from '../path.ts';
import { parseTemplate, type Template } from '../template.ts';
import { isRecord, textOf } from '../values.ts';
import { FILTER_OPERATORS, type FilterOperator } from './filter.ts';

export const TRANSFORM_MODES = ['mapping', 'filter', 'compute', 'merge', 'all'] as const;
export type TransformMode = (typeof TRANSFORM_MODES)[number];

/** Where a mapped value comes from. */
export type MappingSource =
  | { kind: 'path'; path: Path; source: string }
  | { kind: 'template'; template: Template }
  | { kind: 'constant'; value: unknown };

/** The configuration of a transform node, parsed once. */
export interface Transform {
  mode: TransformMode;
  mapping: { target: readonly string[]; from: MappingSource }[];
  filter: { field: string; operator: FilterOperator; value: MappingSource }[];
  logic: 'and' | 'or';
  itemsPath: Path | undefined;
  compute: { field: readonly string[]; expression: Expression }[];
  sources: readonly string[] | undefined;
}

const problem = (zh: string, en: string) => new AppError('invalid', 'TRANSFORM_INVALID', { zh, en });

/**
 * Reads `data` of a transform node. A source of `mapping` is a path (null when it finds nothing), a template, or a constant: any
 * value that is no text, text in quotes, or text that is no path. Values of filter rules are templates or constants.
 *
 * @throws {AppError} TRANSFORM_INVALID; EXPRESSION_INVALID of a computed field
 */
export function parseTransform(data: Readonly<Record<string, unknown>>): Transform {
  const mode = TRANSFORM_MODES.find((known) => known === (data.mode ?? 'mapping'));
  if (!mode) {
    throw problem(
      `未知的转换模式 ${shown(data.mode)}，可用：${TRANSFORM_MODES.join('、')}`,
      `unknown mode ${shown(data.mode)}, known are ${TRANSFORM_MODES.join(', ')}`,
    );
  }
  const transform: Transform = {
    mode,
    mapping: mode === 'mapping' || mode === 'all' ? readMapping(data.mapping) : [],
    filter: mode === 'filter' || mode === 'all' ? readFilter(data.filter_rules) : [],
    logic: readLogic(data.logic),
    itemsPath: readItemsPath(data.items_path),
    compute: mode === 'compute' || mode === 'all' ? readCompute(data.compute_rules) : [],
    sources: mode === 'merge' ? readSources(data.sources) : undefined,
  };
  const none = !transform.mapping.length && !transform.filter.length && !transform.compute.length;
  if (mode !== 'merge' && none) {
    const field = { mapping: 'mapping', filter: 'filter_rules', compute: 'compute_rules' }[mode as string] ?? 'mapping';
    throw problem(`模式 ${mode} 缺少 ${field}`, `mode ${mode} needs ${field}`);
  }
  return transform;
}

/** Complaint about `data` of a transform node, or undefined. */
export function transformProblem(data: Readonly<Record<string, unknown>>): LocalText | undefined {
  try {
    parseTransform(data);
    return undefined;
  } catch (error) {
    if (error instanceof AppError) return error.text;
    throw error;
  }
}

function readMapping(value: unknown): Transform['mapping'] {
  if (value === undefined || value === null) return [];
  if (!isRecord(value)) throw problem('mapping 必须是对象', 'mapping must be an object');
  return Object.entries(value).map(([target, source]) => ({ target: targetPath(target), from: readSource(source) }));
}

function readFilter(value: unknown): Transform['filter'] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw problem('filter_rules 必须是数组', 'filter_rules must be a list');
  return value.map((rule: unknown, at) => {
    const operator = isRecord(rule) ? FILTER_OPERATORS.find((known) => known === rule.operator) : undefined;
    const field = isRecord(rule) ? (rule.field ?? '') : undefined;
    if (!isRecord(rule) || typeof field !== 'string' || !operator) {
      throw problem(
        `filter_rules 第 ${at + 1} 条需要 field 与 operator（${FILTER_OPERATORS.join(' ')}）`,
        `filter_rules ${at + 1} needs field and operator (${FILTER_OPERATORS.join(' ')})`,
      );
    }
    return { field, operator, value: readValue(rule.value ?? null) };
  });
}

function readLogic(value: unknown): 'and' | 'or' {
  const logic = String(value ?? 'and').toLowerCase();
  if (logic !== 'and' && logic !== 'or') throw problem('logic 只能是 and 或 or', 'logic must be and or or');
  return logic;
}

function readItemsPath(value: unknown): Path | undefined {
  if (value === undefined || value === null || value === '') return undefined;
  const path = typeof value === 'string' ? parsePath(value) : undefined;
  if (!path) throw problem('items_path 不是有效路径', 'items_path is not a path');
  return path;
}

function readCompute(value: unknown): Transform['compute'] {
  if (value === undefined || value === null) return [];
  if (!isRecord(value)) throw problem('compute_rules 必须是对象', 'compute_rules must be an object');
  return Object.entries(value).map(([field, rule]) => ({
    field: targetPath(field),
    expression:
      typeof rule === 'string'
        ? parseRule(field, rule)
        : typeof rule === 'number' || typeof rule === 'boolean' || rule === null
          ? { kind: 'literal', value: rule, start: 0, end: 0 }
          : refuse(field),
  }));
}

/** Which of the rules it is cannot be seen from the place in the expression. */
function parseRule(field: string, rule: string): Expression {
  try {
    return parseExpression(rule);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    const { zh, en } = error.text;
    const name = `compute_rules.${shown(field)}`;
    throw new AppError(error.kind, error.code, { zh: `${name}：${zh}`, en: `${name}: ${en}` }, { cause: error });
  }
}

function refuse(field: string): never {
  throw problem(`compute_rules.${field} 必须是表达式`, `compute_rules.${field} must be an expression`);
}

function readSources(value: unknown): readonly string[] | undefined {
  if (value === undefined || value === null) return undefined;
  if (!Array.isArray(value) || !value.every((id) => typeof id === 'string')) {
    throw problem('sources 必须是节点 id 的数组', 'sources must be a list of node ids');
  }
  return value.length > 0 ? value : undefined;
}

function targetPath(target: string): readonly string[] {
  const names = target.split('.').map((name) => name.trim());
  if (names.length > 32 || names.some((name) => name === '' || name === '__proto__')) {
    throw problem(`目标字段 ${shown(target)} 无效`, `the target ${shown(target)} is not valid`);
  }
  return names;
}

function readSource(source: unknown): MappingSource {
  if (typeof source !== 'string') return { kind: 'constant', value: source };
  const quoted = /^\s*(?:'([^']*)'|"([^"]*)")\s*$/.exec(source);
  if (quoted) return { kind: 'constant', value: quoted[1] ?? quoted[2] };
  const path = source.includes('{') ? undefined : parsePath(source);
  return path ? { kind: 'path', path, source } : readValue(source);
}

function readValue(value: unknown): MappingSource {
  if (typeof value !== 'string') return { kind: 'constant', value };
  const template = parseTemplate(value);
  return template.parts.some((part) => typeof part !== 'string')
    ? { kind: 'template', template }
    : { kind: 'constant', value };
}

const shown = (value: unknown) => (value === undefined ? 'undefined' : textOf(value)).slice(0, 100);
