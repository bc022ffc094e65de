import { defineRoute, defineRoutes } from '../../../core/http/route.ts';
import { freeObject, nullable, oneOf, Type, text, time } from '../../../core/schema.ts';
import type { ModelGateway, ModelInfo } from '../../../runtime/models/index.ts';
import { toWire } from '../profiles/personalization.ts';
import type { ProfileItem, ProfileService } from '../profiles/types.ts';
import { RUN_MODES } from '../run-mode.ts';

const PERSONALIZATION_BYTES = 256 * 1024;
const PROMPT_CHARACTERS = 500_000;

const name = () => text({ label: { zh: '名称', en: 'Name' }, minLength: 1 });
const CONTENT = { zh: '内容', en: 'Content' };

const list = Type.Object({
  items: Type.Array(
    Type.Object({
      name: Type.String(),
      size: Type.Integer({ description: 'bytes' }),
      updated_at: time(),
    }),
  ),
});
const listView = (items: readonly ProfileItem[]) => ({
  items: items.map(({ name, size, updatedAt }) => ({ name, size, updated_at: updatedAt })),
});

const personalization = Type.Object({
  enabled: Type.Boolean(),
  self_identify: Type.String(),
  user_name: Type.String(),
  profession: Type.String(),
  tone: Type.String(),
  considerations: Type.Array(Type.String()),
  thinking_interval: nullable(Type.Integer()),
  disabled_tool_categories: Type.Array(Type.String()),
  default_run_mode: nullable(oneOf(RUN_MODES)),
  auto_generate_title: Type.Boolean(),
  tool_intent_enabled: Type.Boolean(),
  default_model: Type.String(),
});

const model = Type.Object({
  model_key: Type.String(),
  name: Type.String(),
  supports_thinking: Type.Boolean(),
  fast_only: Type.Boolean(),
  multimodal: Type.Boolean(),
  context_window: Type.Integer({ description: 'tokens of question and answer' }),
  max_output_tokens: Type.Integer(),
  is_default: Type.Boolean(),
});
const modelView = (info: ModelInfo) => ({
  model_key: info.key,
  name: info.name,
  supports_thinking: info.supportsThinking,
  fast_only: !info.supportsThinking,
  multimodal: info.multimodal,
  context_window: info.contextWindow,
  max_output_tokens: info.maxOutputTokens,
  is_default: info.isDefault,
});

/** Source: tasks document, capabilities 8 to 10. */
export const tasksRoutes = (profiles: ProfileService, models: Pick<ModelGateway, 'list'>) =>
  defineRoutes('tasks', {
    tag: { zh: 'Prompt、个性化与模型', en: 'Prompts, personalizations, models' },
    codes: {},
    routes: [
      defineRoute({
        method: 'GET',
        path: '/prompts',
        auth: 'api',
        summary: { zh: 'Prompt 列表', en: 'The prompts of the account' },
        reply: list,
        handler: async ({ principal }) => listView(await profiles.listPrompts(principal)),
      }),
      defineRoute({
        method: 'GET',
        path: '/prompts/:name',
        auth: 'api',
        summary: { zh: '读取 Prompt', en: 'One prompt' },
        params: Type.Object({ name: Type.String() }),
        reply: Type.Object({ name: Type.String(), content: Type.String() }),
        errors: ['PROMPT_NOT_FOUND'],
        handler: async ({ principal, params: { name } }) => ({
          name,
          content: await profiles.prompt(principal, name),
        }),
      }),
      defineRoute({
        method: 'POST',
        path: '/prompts',
        auth: 'api',
        summary: { zh: '创建或覆盖 Prompt', en: 'Creates or overwrites a prompt' },
        body: Type.Object({
          name: name(),
          content: Type.String({ label: CONTENT, maxLength: PROMPT_CHARACTERS }),
        }),
        reply: Type.Object({ name: Type.String() }),
        errors: ['PROFILE_NAME_INVALID', 'PROFILE_LIMIT'],
        async handler({ principal, body: { name, content } }) {
          await profiles.savePrompt(principal, name, content);
          return { name };
        },
      }),
      defineRoute({
        method: 'GET',
        path: '/personalizations',
        auth: 'api',
        summary: { zh: '个性化设置列表', en: 'The personalizations of the account' },
        reply: list,
        handler: async ({ principal }) => listView(await profiles.listPersonalizations(principal)),
      }),
      defineRoute({
        method: 'GET',
        path: '/personalizations/:name',
        auth: 'api',
        summary: { zh: '读取个性化设置（已规范化）', en: 'One personalization, normalised' },
        params: Type.Object({ name: Type.String() }),
        reply: Type.Object({ name: Type.String(), content: personalization }),
        errors: ['PERSONALIZATION_NOT_FOUND', 'PERSONALIZATION_BROKEN'],
        handler: async ({ principal, params: { name } }) => ({
          name,
          content: toWire(await profiles.personalization(principal, name)),
        }),
      }),
      defineRoute({
        method: 'POST',
        path: '/personalizations',
        auth: 'api',
        summary: {
          zh: '创建或更新个性化设置；缺少的字段保持不变，其余按规则规范化',
          en: 'Creates or updates a personalization; missing fields stay, the others are normalised',
        },
        body: Type.Object({
          name: name(),
          content: freeObject({ label: CONTENT, maxBytes: PERSONALIZATION_BYTES }),
        }),
        reply: Type.Object({ name: Type.String(), content: personalization }),
        errors: ['PROFILE_NAME_INVALID', 'PROFILE_LIMIT'],
        handler: async ({ principal, body: { name, content } }) => ({
          name,
          content: toWire(await profiles.savePersonalization(principal, name, content)),
        }),
      }),
      defineRoute({
        method: 'GET',
        path: '/models',
        auth: 'none',
        summary: { zh: '可用的模型', en: 'The models that can be asked for' },
        reply: Type.Object({ items: Type.Array(model) }),
        handler: () => ({
          items: models
            .list()
            .filter(({ available }) => available)
            .map(modelView),
        }),
      }),
    ],
  });
