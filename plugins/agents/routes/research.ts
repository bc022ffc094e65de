import { defineRoute, defineRoutes } from '../../../core/http/route.ts';
import { id, oneOf, Type, text } from '../../../core/schema.ts';
import { AGENT_STATUS, type Agent, type AgentService, OUTPUT_FORMATS } from '../public.ts';

/** Source: research document, performance: static data are kept for one hour. */
const CACHE = { maxAge: 3600 };

const fields = {
  id: id('agent'),
  name: Type.String(),
  description: Type.String(),
  category: Type.String(),
  icon: Type.String(),
  ragEnabled: Type.Boolean(),
  fileUploadEnabled: Type.Boolean(),
  status: oneOf(AGENT_STATUS),
};

const view = ({ description, ...agent }: Agent) => ({ ...agent, description: description ?? '' });

/** Source: research document, section 5. */
export const researchRoutes = (agents: AgentService) =>
  defineRoutes('research', {
    tag: { zh: '智能体', en: 'Agents' },
    codes: { AGENT_NOT_FOUND: 'NOT_FOUND' },
    routes: [
      defineRoute({
        method: 'GET',
        path: '/agents',
        auth: 'user',
        cache: CACHE,
        summary: {
          zh: '智能体目录，之后是当前用户自己的智能体',
          en: 'The catalogue of agents, and after it the caller’s own',
        },
        query: Type.Object({
          category: Type.Optional(text({ label: { zh: '分类', en: 'Category' }, maxLength: 50 })),
          status: Type.Optional(oneOf(AGENT_STATUS, { label: { zh: '状态', en: 'Status' } })),
        }),
        reply: Type.Array(Type.Object(fields)),
        async handler({ principal, query: { category, status } }) {
          // A filter that was left alone is sent as an empty text.
          const wanted = { ...(category && { category }), ...(status && { status }) };
          return (await agents.catalogue(principal, wanted)).map(view);
        },
      }),
      defineRoute({
        method: 'GET',
        path: '/agents/:id',
        auth: 'user',
        cache: CACHE,
        summary: { zh: '智能体详情', en: 'One agent' },
        params: Type.Object({ id: id('agent') }),
        reply: Type.Object({
          ...fields,
          outputFormat: oneOf(OUTPUT_FORMATS),
          models: Type.Record(Type.String(), Type.Object({ temperature: Type.Number(), maxTokens: Type.Integer() }), {
            description: 'by model',
          }),
        }),
        errors: ['AGENT_NOT_FOUND'],
        handler: async ({ principal, params }) => view(await agents.get(principal, params.id)),
      }),
    ],
  });
