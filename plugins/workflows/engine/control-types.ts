import type { LocalText } from '../../../core/errors.ts';
import { type TObject, Type } from '../../../core/schema.ts';
import { FILTER_OPERATORS, type NodeTypeCheck, TRANSFORM_MODES } from '../../../runtime/graph/index.ts';
import type { NodeType } from '../public.ts';

/** A node type that the engine carries out itself. */
export interface ControlType extends NodeTypeCheck {
  type: string;
  described: NodeType;
}

const json = (schema: object): Record<string, unknown> => JSON.parse(JSON.stringify(schema));
const text = (zh: string, en: string): LocalText => ({ zh, en });
const field = (zh: string, en: string, hint = '') => ({
  label: { zh, en },
  ...(hint !== '' && { description: hint }),
});

/** Fields that every node may have in its `data`, whatever its type. */
const common = {
  label: Type.Optional(Type.String(field('名称', 'Name'))),
  on_error: Type.Optional(
    Type.Unsafe<string>({
      type: 'string',
      enum: ['fail', 'continue', 'default'],
      default: 'fail',
      ...field('出错时', 'On error', 'fail, go on with null, or go on with default_value'),
    }),
  ),
  default_value: Type.Optional(Type.Unknown(field('默认值', 'Default value'))),
  retry: Type.Optional(
    Type.Object(
      {
        max: Type.Optional(Type.Integer({ minimum: 0, maximum: 10, default: 0 })),
        delay_ms: Type.Optional(Type.Number({ minimum: 0, maximum: 300_000, default: 0 })),
        factor: Type.Optional(Type.Number({ minimum: 1, maximum: 10, default: 2 })),
      },
      field('重试', 'Retry', 'attempts beyond the first, the wait before them, and its growth'),
    ),
  ),
  timeout_ms: Type.Optional(Type.Number({ minimum: 1, ...field('超时（毫秒）', 'Time-out, milliseconds') })),
};

/** Their JSON Schema, by field. */
export const COMMON_FIELDS = json(Type.Object(common)).properties as Record<string, unknown>;

function control(
  type: string,
  label: LocalText,
  summary: LocalText,
  config: TObject,
  rest: { literal?: readonly string[]; check?: ControlType['check']; templates?: readonly string[] } = {},
): ControlType {
  const { literal = [], ...checks } = rest;
  return {
    type,
    ...checks,
    described: {
      type,
      version: 1,
      label,
      summary,
      lane: 'control',
      literal,
      config: json(config),
      input: {},
      output: {},
    },
  };
}

const needs =
  (...names: string[]) =>
  (data: Record<string, unknown>): LocalText[] =>
    names
      .filter((name) => data[name] === undefined || data[name] === null || data[name] === '')
      .map((name) => ({ zh: `缺少配置 ${name}`, en: `${name} is missing` }));

function delayProblems(data: Record<string, unknown>): LocalText[] {
  const { seconds, until } = data;
  const empty = (value: unknown) => value === undefined || value === null || value === '';
  if (empty(seconds) && empty(until)) return [text('缺少配置 seconds 或 until', 'seconds or until is missing')];
  if (typeof seconds === 'number' && !(seconds >= 0 && seconds <= MAX_DELAY_SECONDS)) {
    return [
      text(`seconds 必须在 0 到 ${MAX_DELAY_SECONDS} 之间`, `seconds must be between 0 and ${MAX_DELAY_SECONDS}`),
    ];
  }
  return [];
}

/** The node type that transforms data which is too large for the main thread. */
export const LARGE_TRANSFORM = 'transform.large';

/** A year. */
export const MAX_DELAY_SECONDS = 366 * 86_400;

const any = Type.Unknown();

export const CONTROL_TYPES: readonly ControlType[] = [
  control('start', text('开始', 'Start'), text('给出执行的输入', 'Gives the input of the execution'), Type.Object({})),
  control(
    'input',
    text('输入', 'Input'),
    text('检查并补全输入字段', 'Checks the fields of its input and fills defaults'),
    Type.Object({
      ...common,
      fields: Type.Optional(
        Type.Array(
          Type.Object({
            name: Type.String(),
            type: Type.Optional(Type.String({ examples: ['text', 'number', 'boolean', 'array', 'object'] })),
            required: Type.Optional(Type.Boolean()),
            default: Type.Optional(any),
          }),
          field('字段', 'Fields'),
        ),
      ),
      key: Type.Optional(Type.String(field('单个字段', 'One field'))),
      default: Type.Optional(any),
    }),
  ),
  control(
    'condition',
    text('条件', 'Condition'),
    text('按表达式选择 true 或 false 分支', 'Takes the branch true or false by an expression'),
    Type.Object({ ...common, expression: Type.String(field('表达式', 'Expression', 'for example {value} > 10')) }),
    { literal: ['expression'] },
  ),
  control(
    'transform',
    text('转换', 'Transform'),
    text('映射、过滤、计算或合并数据', 'Maps, filters, computes or merges data'),
    Type.Object({
      ...common,
      mode: Type.Optional(
        Type.Unsafe<string>({
          type: 'string',
          enum: [...TRANSFORM_MODES],
          default: 'mapping',
          ...field('模式', 'Mode'),
        }),
      ),
      mapping: Type.Optional(Type.Record(Type.String(), any, field('映射', 'Mapping', 'target field to source'))),
      filter_rules: Type.Optional(
        Type.Array(
          Type.Object({
            field: Type.String(),
            operator: Type.Unsafe<string>({ type: 'string', enum: [...FILTER_OPERATORS] }),
            value: Type.Optional(any),
          }),
          field('过滤规则', 'Filter rules'),
        ),
      ),
      logic: Type.Optional(Type.Unsafe<string>({ type: 'string', enum: ['and', 'or'], default: 'and' })),
      items_path: Type.Optional(Type.String(field('数组路径', 'Path of the list'))),
      compute_rules: Type.Optional(Type.Record(Type.String(), any, field('计算规则', 'Computed fields'))),
      sources: Type.Optional(Type.Array(Type.String(), field('来源节点', 'Source nodes'))),
    }),
    { literal: ['compute_rules', 'items_path'] },
  ),
  control(
    'loop',
    text('循环', 'Loop'),
    text('对数组的每一项执行循环体', 'Carries its body out for every item of a list'),
    Type.Object({
      ...common,
      items_path: Type.String(field('数组路径', 'Path of the list')),
      item_variable: Type.Optional(Type.String({ default: 'item', ...field('循环变量', 'Loop variable') })),
      error_handling: Type.Optional(
        Type.Unsafe<string>({
          type: 'string',
          enum: ['stop', 'continue', 'remove'],
          default: 'stop',
          ...field('单项出错时', 'When an item fails'),
        }),
      ),
      concurrency: Type.Optional(
        Type.Integer({ minimum: 1, maximum: 1000, default: 1, ...field('并发', 'Items at the same time') }),
      ),
    }),
    { literal: ['items_path', 'item_variable'] },
  ),
  control(
    'output',
    text('输出', 'Output'),
    text('按模板给出结果', 'Gives a result by a template'),
    Type.Object({
      ...common,
      format: Type.Optional(Type.Unsafe<string>({ type: 'string', enum: ['text', 'json'], default: 'text' })),
      template: Type.Optional(Type.String(field('模板', 'Template'))),
      output_key: Type.Optional(Type.String(field('结果字段', 'Field of the result'))),
    }),
  ),
  control('end', text('结束', 'End'), text('它的输入是执行的结果', 'Its input is the result'), Type.Object({})),
  control(
    'template',
    text('模板', 'Template'),
    text('用模板生成文本', 'Makes a text by a template'),
    Type.Object({ ...common, template: Type.String(field('模板', 'Template')) }),
    { check: needs('template'), templates: ['template'] },
  ),
  control(
    'delay',
    text('等待', 'Delay'),
    text(
      '等待一段时间或到某一时刻；等待时不占用资源',
      'Waits for a time or until a moment; a waiting execution costs nothing',
    ),
    Type.Object({
      ...common,
      seconds: Type.Optional(Type.Number({ minimum: 0, maximum: MAX_DELAY_SECONDS, ...field('秒数', 'Seconds') })),
      until: Type.Optional(Type.String(field('时刻', 'Moment', 'ISO 8601; without a zone UTC'))),
    }),
    { check: delayProblems, templates: ['seconds', 'until'] },
  ),
  control(
    'human',
    text('人工审批', 'Approval'),
    text(
      '等待人工审批，可等待数天；出口 approved 与 rejected',
      'Waits for an approval, for days if need be; leaves by approved or rejected',
    ),
    Type.Object({ ...common, prompt: Type.Optional(Type.String(field('说明', 'What is asked'))) }),
    { templates: ['prompt'] },
  ),
  control(
    'workflow',
    text('子工作流', 'Sub-workflow'),
    text('执行另一个工作流并取得其结果', 'Carries another workflow out and gives its result'),
    Type.Object({
      ...common,
      workflow_id: Type.String(field('工作流', 'Workflow')),
      version: Type.Optional(Type.Integer({ minimum: 1, ...field('版本', 'Version', 'default: the newest') })),
      input: Type.Optional(Type.Record(Type.String(), any, field('输入', 'Input', 'default: the input of the node'))),
    }),
    { check: needs('workflow_id'), templates: ['input'] },
  ),
];
