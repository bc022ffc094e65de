import { AppError } from '../../../core/errors.ts';
import { evaluate } from '../expression/evaluate.ts';
import { getPath, type Path, pathText, setPath } from '../path.ts';
import { templateValue } from '../template.ts';
import type { Scope, Step } from '../types.ts';
import { isRecord } from '../values.ts';
import type { MappingSource, Transform } from './config.ts';
import { filterItems } from './filter.ts';

export interface Transformed {
  value: unknown;
  /** Paths and placeholders that found nothing. */
  unresolved: string[];
}

/** What a transform reads: a step has all of it. */
export type TransformContext = Pick<Step, 'input' | 'predecessors' | 'scope'>;

/**
 * Carries out a transform; changes none of its inputs.
 *
 * - `mapping`: a new object of the targets.
 * - `filter`: the items of the input list, or of the list at `items_path`, that fit; the result is the list.
 * - `compute`: the input's fields and the computed ones, each visible to the next; of a list: every item by itself.
 * - `merge`: deep merge of the predecessors (or `sources`), later ones win, lists are replaced; what is no object stands under its node id.
 * - `all`: mapping, filter and compute, those that have rules; here a list at `items_path` is replaced in its object.
 *
 * @throws {AppError} TRANSFORM_FAILED: nothing to filter; EXPRESSION_FAILED of a computed field
 */
export function transform(plan: Transform, context: TransformContext): Transformed {
  const unresolved: string[] = [];
  const { mode } = plan;
  if (mode === 'merge') return { value: merge(plan, context, unresolved), unresolved };
  let value = context.input;
  if (plan.mapping.length > 0) value = map(plan, context.scope, unresolved);
  if (plan.filter.length > 0) value = filter(plan, value, context.scope, unresolved);
  if (plan.compute.length > 0) value = computeAll(plan, value, context.scope);
  return { value, unresolved };
}

function map(plan: Transform, scope: Scope, unresolved: string[]): unknown {
  const mapped: Record<string, unknown> = {};
  for (const { target, from } of plan.mapping) setPath(mapped, target, read(from, scope, unresolved));
  return mapped;
}

function read(from: MappingSource, scope: Scope, unresolved: string[]): unknown {
  if (from.kind === 'constant') return from.value;
  if (from.kind === 'path') {
    const value = scope.lookup(from.path);
    if (value === undefined) unresolved.push(from.source);
    return value ?? null;
  }
  const { value, unresolved: missing } = templateValue(from.template, scope);
  unresolved.push(...missing);
  return value;
}

function filter(plan: Transform, value: unknown, scope: Scope, unresolved: string[]): unknown {
  const { itemsPath, mode } = plan;
  const inner = itemsPath && !Array.isArray(value) ? getPath(value, itemsPath) : value;
  const items = inner === undefined && itemsPath && mode === 'filter' ? scope.lookup(itemsPath) : inner;
  if (!Array.isArray(items)) {
    const where = itemsPath ? pathText(itemsPath) : 'input';
    throw failed(`${where} 不是数组，无法过滤`, `${where} is not a list and cannot be filtered`);
  }
  const rules = plan.filter.map((rule) => ({ ...rule, value: read(rule.value, scope, unresolved) }));
  const kept = filterItems(items, rules, plan.logic);
  return mode === 'all' && itemsPath && isRecord(value) ? replaceAt(value, itemsPath, kept) : kept;
}

/** A copy of the objects and lists on the path, with another value at its end. */
function replaceAt(holder: unknown, path: Path, value: unknown, from = 0): unknown {
  const part = path[from];
  if (part === undefined) return value;
  if (Array.isArray(holder)) {
    const index = Number(part) < 0 ? holder.length + Number(part) : Number(part);
    return holder.map((item: unknown, at) => (at === index ? replaceAt(item, path, value, from + 1) : item));
  }
  return isRecord(holder) ? { ...holder, [part]: replaceAt(holder[part], path, value, from + 1) } : holder;
}

function computeAll(plan: Transform, value: unknown, scope: Scope): unknown {
  return Array.isArray(value) ? value.map((item: unknown) => compute(plan, item, scope)) : compute(plan, value, scope);
}

function compute(plan: Transform, value: unknown, scope: Scope): unknown {
  const fields: Record<string, unknown> = isRecord(value) ? { ...value } : {};
  const inner: Scope = {
    lookup: (path) => {
      const found = getPath(fields, path);
      return found === undefined ? scope.lookup(path) : found;
    },
  };
  for (const { field, expression } of plan.compute) {
    const computed = evaluate(expression, inner);
    const [name = ''] = field;
    const above = Object.hasOwn(fields, name) ? fields[name] : undefined;
    // Nested objects belong to the input: they are copied before they are written to.
    if (field.length > 1 && isRecord(above)) fields[name] = structuredClone(above);
    setPath(fields, field, computed);
  }
  return fields;
}

function merge(plan: Transform, context: TransformContext, unresolved: string[]): unknown {
  const parts =
    plan.sources === undefined
      ? context.predecessors
      : plan.sources.flatMap((id) => {
          const output = context.scope.lookup([id]);
          if (output === undefined) unresolved.push(id);
          return output === undefined ? [] : [{ id, output }];
        });
  const merged: Record<string, unknown> = {};
  for (const { id, output } of parts) deepMerge(merged, isRecord(output) ? output : { [id]: output });
  return merged;
}

/** Merges into objects that this function made; lists and scalars of `from` replace what was there. */
function deepMerge(target: Record<string, unknown>, from: Readonly<Record<string, unknown>>, depth = 0): void {
  if (depth > 200) throw failed('数据嵌套过深，无法合并', 'the data is nested too deeply to be merged');
  for (const [name, value] of Object.entries(from)) {
    if (name === '__proto__') continue;
    if (!isRecord(value)) {
      target[name] = value;
      continue;
    }
    const present = Object.hasOwn(target, name) ? target[name] : undefined;
    const inner: Record<string, unknown> = isRecord(present) ? present : {};
    target[name] = inner;
    deepMerge(inner, value, depth + 1);
  }
}

const failed = (zh: string, en: string) => new AppError('invalid', 'TRANSFORM_FAILED', { zh, en });
