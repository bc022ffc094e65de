import type { Numbers } from '../../core/data/numbers.ts';
import type { Principal } from '../../core/principal.ts';
import type { ModelGateway } from '../../runtime/models/index.ts';
import type { HostCaller } from '../../runtime/pool/index.ts';
import type { ToolService } from '../../runtime/tools/service.ts';
import { fillPrompt } from './prompt.ts';
import type { Agent, AgentProfile, AgentService } from './public.ts';

interface HostDeps {
  agents: Pick<AgentService, 'get'>;
  models: Pick<ModelGateway, 'resolve'>;
  tools: Pick<ToolService, 'select'>;
  numbers: Pick<Numbers, 'idOf'>;
}

/** `AgentsForNodes` on the side of the host. */
export function createAgentHost({ agents, models, tools, numbers }: HostDeps) {
  /** An agent of the catalogue answers with the first of its models that has credentials; without any the server's default does. */
  const modelOf = ({ source, model, models: byKey }: Agent) => {
    if (source === 'account') {
      const { provider, name, ...settings } = model;
      return { ...(provider !== undefined && { provider }), model: name, ...settings };
    }
    const usable = Object.entries(byKey).find(([key]) => !models.resolve(key).offline);
    if (usable === undefined) return { temperature: model.temperature, maxTokens: model.maxTokens };
    const [key, settings] = usable;
    return { model: key, ...settings };
  };

  const toolsOf = async (principal: Principal, agent: Agent): Promise<unknown[]> => {
    const { id: agentId, source, toolSettings } = agent;
    // Agents of accounts search their own documents.
    const settings = { ...(source === 'account' && { search_knowledge: { knowledge_base_ids: [] } }), ...toolSettings };
    const selected = await tools.select(agent.tools, { principal, agentId, settings });
    return selected.map(({ name }) => ({ ...new Map(Object.entries(settings)).get(name), type: name }));
  };

  return {
    async profile({ principal }: Pick<HostCaller, 'principal'>, agentId: string): Promise<AgentProfile> {
      const wanted = agentId.trim();
      const numbered = /^\d{1,16}$/.test(wanted) ? await numbers.idOf('agent', Number(wanted)) : undefined;
      const agent = await agents.get(principal, numbered ?? wanted);
      return {
        id: agent.id,
        name: agent.name,
        instructions: fillPrompt(agent.promptTemplate, {}),
        ...modelOf(agent),
        tools: await toolsOf(principal, agent),
      };
    },
  };
}
