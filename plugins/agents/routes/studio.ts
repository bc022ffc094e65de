import { defineRoute, defineRoutes } from '../../../core/http/route.ts';
import { id, nullable, oneOf, Type, text, time } from '../../../core/schema.ts';
import { agentNotFound } from '../errors.ts';
import { type Agent, type AgentService, PROVIDERS } from '../public.ts';

/** One line: no control characters. */
const LINE = '^[^\\u0000-\\u001f\\u007f]*$';

const agentId = () => id('agent', { label: { zh: '智能体', en: 'Agent' } });
const name = () => text({ label: { zh: '智能体名称', en: 'Name' }, minLength: 1, maxLength: 100, pattern: LINE });
const description = () => nullable(Type.String({ label: { zh: '智能体描述', en: 'Description' }, maxLength: 1000 }));
// Not trimmed: white space of a prompt is its author's business, but there has to be something else.
const promptTemplate = () =>
  Type.String({
    label: { zh: '系统提示词模板', en: 'Prompt template' },
    description: 'system text; `{context}` and `{question}` in it are filled',
    minLength: 1,
    maxLength: 20_000,
    pattern: '\\S',
  });
const model = {
  provider: () =>
    oneOf(PROVIDERS, { label: { zh: '模型提供商', en: 'Provider' }, description: 'section of config/models.yaml' }),
  model_name: () => text({ label: { zh: '模型名称', en: 'Model name' }, minLength: 1, maxLength: 100, pattern: LINE }),
  temperature: (options: { default?: number } = {}) =>
    Type.Number({ label: { zh: '生成温度', en: 'Temperature' }, minimum: 0, maximum: 2, ...options }),
  max_tokens: (options: { default?: number } = {}) =>
    Type.Integer({ label: { zh: '最大 Token 数', en: 'Most tokens' }, minimum: 1, maximum: 128_000, ...options }),
};
const MODEL = { zh: '模型配置', en: 'Model settings' };

const reply = Type.Object({
  id: agentId(),
  name: Type.String(),
  description: nullable(Type.String()),
  prompt_template: Type.String(),
  model_config: Type.Object({
    provider: Type.String(),
    model_name: Type.String(),
    temperature: Type.Number(),
    max_tokens: Type.Integer(),
  }),
  created_at: time(),
  updated_at: time(),
});

const view = (agent: Agent) => ({
  id: agent.id,
  name: agent.name,
  description: agent.description,
  prompt_template: agent.promptTemplate,
  model_config: {
    provider: agent.model.provider,
    model_name: agent.model.name,
    temperature: agent.model.temperature,
    max_tokens: agent.model.maxTokens,
  },
  created_at: agent.createdAt,
  updated_at: agent.updatedAt,
});

/** Source: studio document, section 3. */
export const studioRoutes = (agents: AgentService) =>
  defineRoutes('studio', {
    tag: { zh: '智能体', en: 'Agents' },
    // The catalogue is no part of this API: its agents are as unknown as those of others.
    codes: { AGENT_NOT_FOUND: 40401, AGENT_READ_ONLY: 40401, AGENT_LIMIT: 40000 },
    routes: [
      defineRoute({
        method: 'POST',
        path: '/agents',
        auth: 'user',
        summary: { zh: '创建智能体', en: 'Makes an agent' },
        body: Type.Object({
          name: name(),
          description: Type.Optional(description()),
          prompt_template: promptTemplate(),
          model_config: Type.Object(
            {
              provider: model.provider(),
              model_name: model.model_name(),
              temperature: model.temperature({ default: 0.7 }),
              max_tokens: model.max_tokens({ default: 2048 }),
            },
            { label: MODEL },
          ),
        }),
        reply,
        errors: ['AGENT_LIMIT'],
        handler: async ({ principal, body }) => {
          const { provider, model_name, temperature, max_tokens } = body.model_config;
          return view(
            await agents.create(principal, {
              name: body.name,
              description: body.description ?? null,
              promptTemplate: body.prompt_template,
              model: { provider, name: model_name, temperature, maxTokens: max_tokens },
            }),
          );
        },
      }),
      defineRoute({
        method: 'GET',
        path: '/agents',
        auth: 'user',
        summary: { zh: '当前用户的智能体，新的在前', en: 'The caller’s agents, newest first' },
        paged: true,
        reply,
        handler: async ({ principal, paging }) => {
          const { items, total } = await agents.list(principal, paging);
          return { items: items.map(view), total };
        },
      }),
      defineRoute({
        method: 'GET',
        path: '/agents/:agent_id',
        auth: 'user',
        summary: { zh: '智能体详情', en: 'One agent' },
        params: Type.Object({ agent_id: agentId() }),
        reply,
        errors: ['AGENT_NOT_FOUND'],
        handler: async ({ principal, params }) => {
          const agent = await agents.get(principal, params.agent_id);
          if (agent.source === 'catalogue') throw agentNotFound(agent.id);
          return view(agent);
        },
      }),
      defineRoute({
        method: 'PUT',
        path: '/agents/:agent_id',
        auth: 'user',
        summary: { zh: '更新智能体，只改给出的字段', en: 'Changes the fields that are given' },
        params: Type.Object({ agent_id: agentId() }),
        body: Type.Object({
          name: Type.Optional(name()),
          description: Type.Optional(description()),
          prompt_template: Type.Optional(promptTemplate()),
          model_config: Type.Optional(
            Type.Object(
              {
                provider: Type.Optional(model.provider()),
                model_name: Type.Optional(model.model_name()),
                temperature: Type.Optional(model.temperature()),
                max_tokens: Type.Optional(model.max_tokens()),
              },
              { label: MODEL, description: 'merged over the stored one' },
            ),
          ),
        }),
        reply,
        errors: ['AGENT_NOT_FOUND'],
        handler: async ({ principal, params, body }) => {
          const { name, description, prompt_template, model_config } = body;
          const { provider, model_name, temperature, max_tokens } = model_config ?? {};
          return view(
            await agents.update(principal, params.agent_id, {
              ...(name !== undefined && { name }),
              ...(description !== undefined && { description }),
              ...(prompt_template !== undefined && { promptTemplate: prompt_template }),
              model: {
                ...(provider !== undefined && { provider }),
                ...(model_name !== undefined && { name: model_name }),
                ...(temperature !== undefined && { temperature }),
                ...(max_tokens !== undefined && { maxTokens: max_tokens }),
              },
            }),
          );
        },
      }),
      defineRoute({
        method: 'DELETE',
        path: '/agents/:agent_id',
        auth: 'user',
        summary: { zh: '删除智能体及其文档', en: 'Deletes an agent with its documents' },
        params: Type.Object({ agent_id: agentId() }),
        errors: ['AGENT_NOT_FOUND'],
        handler: ({ principal, params }) => agents.delete(principal, params.agent_id),
      }),
    ],
  });
