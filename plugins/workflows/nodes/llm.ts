import { defineNode } from '../../../core/node.ts';
import { freeObject, oneOf, Type } from '../../../core/schema.ts';
import { callModel, modelFields, promptMissing } from './parts/model.ts';

/** One call of a language model. Events: see `callModel`. */
export default defineNode({
  type: 'llm',
  version: 1,
  lane: 'shared',
  timeoutMs: 120_000,
  callsModel: true,
  label: { zh: 'LLM', en: 'LLM' },
  summary: { zh: '调用语言模型并输出其回答', en: 'Calls a language model and gives its answer' },
  config: Type.Object({
    ...modelFields,
    prompt: Type.String({
      editor: 'text',
      label: { zh: '提示词', en: 'Prompt' },
      hint: {
        zh: '可使用 {input}、{变量名} 或 {节点ID.字段}',
        en: 'May hold {input}, {name} or {node-id.field}',
      },
    }),
    system_prompt: Type.Optional(Type.String({ editor: 'text', label: { zh: '系统提示词', en: 'System prompt' } })),
    output_format: oneOf(['text', 'json'], { default: 'text', label: { zh: '输出格式', en: 'Output format' } }),
    json_schema: Type.Optional(
      freeObject({
        editor: 'json',
        label: { zh: 'JSON Schema', en: 'JSON Schema' },
        hint: { zh: '输出格式为 json 时回答应符合的结构', en: 'Shape of the answer when the output format is json' },
      }),
    ),
  }),
  literal: ['json_schema'],
  input: Type.Unknown(),
  output: Type.Unknown({ description: 'the text; with output_format json the parsed value' }),

  async run(context) {
    const { prompt, system_prompt, output_format, json_schema, temperature, max_tokens } = context.config;
    if (prompt.trim() === '') throw promptMissing();
    const result = await callModel(context, context.config, {
      messages: [
        ...(system_prompt?.trim() ? [{ role: 'system' as const, content: system_prompt }] : []),
        { role: 'user', content: prompt },
      ],
      temperature,
      ...(max_tokens !== undefined && { maxTokens: max_tokens }),
      ...(output_format === 'json' && {
        responseFormat: { type: 'json' as const, ...(json_schema && { schema: json_schema }) },
      }),
    });
    if (result.finishReason === 'length') context.log('warn', 'The answer was cut off at its token limit');
    return output_format === 'json' ? result.json : result.text;
  },
});
