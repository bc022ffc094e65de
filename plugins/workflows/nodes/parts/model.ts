import { AppError } from '../../../../core/errors.ts';
import type { NodeContext } from '../../../../core/node.ts';
import { Type } from '../../../../core/schema.ts';
import {
  createBatches,
  type ModelRequest,
  type ModelResult,
  modelService,
  sharedLimits,
} from '../../../../runtime/models/index.ts';
import { emitUsage } from '../../../../runtime/usage/for-nodes.ts';

/** Which model answers, in the configuration of nodes that call one. */
export const modelFields = {
  provider: Type.Optional(
    Type.String({
      maxLength: 200,
      label: { zh: '提供方', en: 'Provider' },
      hint: {
        zh: 'config/models.yaml 中的提供方；留空使用默认模型',
        en: 'A provider of config/models.yaml; empty: the default model',
      },
    }),
  ),
  model: Type.Optional(
    Type.String({
      maxLength: 200,
      label: { zh: '模型', en: 'Model' },
      hint: {
        zh: '模型键或提供方的模型名；留空使用默认模型',
        en: 'A model key, or the provider’s name of a model; empty: the default model',
      },
    }),
  ),
  temperature: Type.Number({ minimum: 0, maximum: 2, default: 0.7, label: { zh: '温度', en: 'Temperature' } }),
  max_tokens: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 10_000_000,
      label: { zh: '最大输出 token 数', en: 'Most tokens of the answer' },
    }),
  ),
};

export interface ModelChoice {
  provider?: string | undefined;
  model?: string | undefined;
}

type Reporting = Pick<NodeContext, 'signal' | 'emit' | 'log' | 'service'>;

const BATCHES = { chars: 400, ms: 60 };

/**
 * Calls a model for a node. Events: `token {text}` and `thinking {text}` in batches as the answer comes in, then
 * `usage {model, input_tokens, output_tokens, total_tokens, cached_tokens, estimated, offline}`.
 *
 * @throws {AppError} MODEL_*
 */
export async function callModel(
  { signal, emit, log, service }: Reporting,
  { provider, model }: ModelChoice,
  request: Omit<ModelRequest, 'model'>,
): Promise<ModelResult> {
  const models = service(modelService);
  const ref = provider || model ? { ...(provider && { provider }), ...(model && { model }) } : undefined;
  if (models.resolve(ref).substituted) {
    log('warn', 'The model is not configured; the default model answers', { provider, model });
  }
  const batches = createBatches(
    (type: 'token' | 'thinking', text) => emit(type, { text }),
    () => sharedLimits(BATCHES, models.active),
  );
  try {
    const result = await models.complete(
      { ...request, ...(ref && { model: ref }) },
      {
        signal,
        onEvent(event) {
          if (event.type === 'text') batches.add('token', event.text);
          else if (event.type === 'thinking') batches.add('thinking', event.text);
          else if (event.type === 'retry' || event.type === 'fallback')
            log('warn', `model ${event.type}`, { ...event });
        },
      },
    );
    batches.flush();
    emitUsage({ emit }, result);
    return result;
  } finally {
    batches.flush();
  }
}

export const promptMissing = () =>
  new AppError('invalid', 'PROMPT_EMPTY', {
    zh: '提示词为空：模板中的变量没有取到内容',
    en: 'The prompt is empty: the names in its template gave nothing',
  });
