import { AppError } from '../../core/errors.ts';
import type { Expression } from './expression/ast.ts';
import { holds } from './expression/evaluate.ts';
import { parseExpression } from './expression/parse.ts';
import { parseTemplate, renderTemplate, type Template, templateValue } from './template.ts';
import { parseTransform, type Transform } from './transform/config.ts';
import { transform } from './transform/transform.ts';
import type { Scope, Step } from './types.ts';
import { isRecord, numeric, own } from './values.ts';

export interface Performed {
  output: unknown;
  /** The handle that a condition chose. */
  branch?: 'true' | 'false';
  /** Placeholders and paths that found nothing; worth a warning. */
  unresolved: string[];
}

export const PURE_NODE_TYPES = ['start', 'input', 'condition', 'transform', 'output', 'end'] as const;

/**
 * The documented nodes that need nothing but their input. What is parsed is kept per configuration object, so one performer serves
 * all steps of a plan.
 *
 * `perform` gives undefined for other types, and throws an `AppError` when the node fails.
 */
export function createPurePerformer(): { perform(step: Step): Performed | undefined } {
  const expressions = new WeakMap<object, Expression>();
  const transforms = new WeakMap<object, Transform>();
  const templates = new WeakMap<object, Template>();
  const cached = <T>(cache: WeakMap<object, T>, key: object, make: () => T): T => {
    const known = cache.get(key) ?? make();
    cache.set(key, known);
    return known;
  };
  return {
    perform(step) {
      const { data, input } = step;
      switch (step.type) {
        case 'start':
        case 'end':
          return { output: input, unresolved: [] };
        case 'input':
          return { output: fillInput(data, step), unresolved: [] };
        case 'condition': {
          const expression = cached(expressions, data, () => parseExpression(textField(data, 'expression')));
          return { output: input, branch: holds(expression, step.scope) ? 'true' : 'false', unresolved: [] };
        }
        case 'transform': {
          const { value, unresolved } = transform(
            cached(transforms, data, () => parseTransform(data)),
            step,
          );
          return { output: value, unresolved };
        }
        case 'output': {
          if (typeof data.template !== 'string' || data.template === '') {
            return { output: underKey(data, input), unresolved: [] };
          }
          const template = cached(templates, data, () => parseTemplate(textField(data, 'template')));
          const { value, unresolved } = fillOutput(data, template, step.scope);
          return { output: underKey(data, value), unresolved };
        }
        default:
          return undefined;
      }
    },
  };
}

const textField = (data: Readonly<Record<string, unknown>>, name: string): string => {
  const value = data[name];
  if (typeof value === 'string') return value;
  throw new AppError('invalid', 'NODE_CONFIG_INVALID', { zh: `缺少配置 ${name}`, en: `${name} is missing` });
};

const underKey = (data: Readonly<Record<string, unknown>>, value: unknown): unknown => {
  const key = data.output_key;
  return typeof key === 'string' && key !== '' ? { [key]: value } : value;
};

interface InputField {
  name: string;
  type: unknown;
  required: boolean;
  fallback: unknown;
}

/** Fields of an `input` node, from `fields` or the short form `key` and `default`. */
export function inputFields(data: Readonly<Record<string, unknown>>): InputField[] {
  const list: unknown[] = Array.isArray(data.fields) ? data.fields : [];
  const fields = list.filter(isRecord).flatMap((field): InputField[] => {
    const { name, type, required } = field;
    if (typeof name !== 'string' || name === '') return [];
    return [{ name, type, required: required === true, fallback: own(field, 'default') }];
  });
  const { key } = data;
  if (fields.length > 0 || typeof key !== 'string' || key === '') return fields;
  return [{ name: key, type: data.type, required: data.required === true, fallback: own(data, 'default') }];
}

function fillInput(data: Readonly<Record<string, unknown>>, { input, scope }: Step): unknown {
  const fields = inputFields(data);
  if (fields.length === 0) return input;
  const filled: Record<string, unknown> = isRecord(input) ? { ...input } : {};
  const [only] = fields;
  if (!isRecord(input) && input !== null && input !== undefined && fields.length === 1 && only) {
    return { [only.name]: input };
  }
  for (const { name, type, required, fallback } of fields) {
    if (name === '__proto__') continue;
    const given = own(filled, name) ?? scope.lookup([name]) ?? fallback;
    if (given === undefined || given === null || (required && given === '')) {
      if (required) {
        throw new AppError('invalid', 'INPUT_FIELD_MISSING', {
          zh: `缺少必填输入 ${name}`,
          en: `the required input ${name} is missing`,
        });
      }
      if (given === undefined) continue;
    }
    filled[name] = typed(given, type);
  }
  return filled;
}

/** Text that spells the declared type becomes it; everything else stays. */
function typed(value: unknown, type: unknown): unknown {
  if (typeof value !== 'string') return value;
  if (type === 'number' || type === 'integer') return numeric(value) ?? value;
  if (type === 'boolean' && (value === 'true' || value === 'false')) return value === 'true';
  return value;
}

function fillOutput(data: Readonly<Record<string, unknown>>, template: Template, scope: Scope) {
  if (data.format !== 'json') {
    const { text, unresolved } = renderTemplate(template, scope);
    return { value: text, unresolved };
  }
  const unresolved: string[] = [];
  const whole = tryJson(String(data.template));
  // A template that is JSON by itself is filled value by value: so quotes and line breaks in values cannot break it.
  if (whole) return { value: fillDeep(whole.value, scope, unresolved), unresolved };
  const filled = templateValue(template, scope);
  if (typeof filled.value !== 'string') return filled;
  const parsed = tryJson(filled.value);
  if (!parsed) {
    throw new AppError('invalid', 'OUTPUT_NOT_JSON', { zh: '输出不是有效的 JSON', en: 'the output is not valid JSON' });
  }
  return { value: parsed.value, unresolved: filled.unresolved };
}

function fillDeep(value: unknown, scope: Scope, unresolved: string[]): unknown {
  if (typeof value === 'string') {
    const filled = templateValue(parseTemplate(value), scope);
    unresolved.push(...filled.unresolved);
    return filled.value;
  }
  if (Array.isArray(value)) return value.map((item: unknown) => fillDeep(item, scope, unresolved));
  if (!isRecord(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, fillDeep(item, scope, unresolved)]));
}

function tryJson(text: string): { value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return undefined;
  }
}
