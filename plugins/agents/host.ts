import type { Numbers } from '../../core/data/numbers.ts';
import type { Principal } from '../../core/principal.ts';
import type { ModelGateway } from '../../runtime/models/index.ts';
import type { HostCaller } from '../../runtime/pool/index.ts';
import type { ToolService } from '../../runtime/tools/service.ts';
import { fillPrompt } from './prompt.ts';
import type { Agent, AgentService } from './public.ts';

/** What nodes of workflows are told of an agent. */
export interface AgentProfile {
  name: string;
  instructions: string;
  provider?: string;
  model?: string;
  temperature: number;
  maxTokens: number;
  /** Types of the tools of agent nodes. */
  tools: string[];
}

interface HostDeps {
  agents: Pick<AgentService, 'get'>;
  models: Pick<ModelGateway, 'resolve'>;
  tools: Pick<ToolService, 'select' | 'list'>;
  numbers: Pick<Numbers, 'idOf'>;
}

/** Categories of the registry, and the tools that agent nodes have for them without further settings. */
const NODE_TOOLS: Readonly<Record<string, string>> = { knowledge: 'knowledge', network: 'http' };

/** Agents for nodes of workflows, with the rights of the execution's owner. */
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

  const toolsOf = async (principal: Principal, agent: Agent): Promise<string[]> => {
    const selected = await tools.select(agent.tools, { principal, agentId: agent.id, settings: agent.toolSettings });
    const names = new Set(selected.map(({ name }) => name));
    const categories = new Set(tools.list().flatMap(({ name, category }) => (names.has(name) ? [category] : [])));
    return Object.entries(NODE_TOOLS).flatMap(([category, tool]) => (categories.has(category) ? [tool] : []));
  };

  return {
    /**
     * @param agentId as any API shows it: the running number of the studio, a UUID, or an id of the catalogue
     * @throws {AppError} AGENT_NOT_FOUND
     */
    async profile({ principal }: Pick<HostCaller, 'principal'>, agentId: string): Promise<AgentProfile> {
      const wanted = agentId.trim();
      const numbered = /^\d{1,16}$/.test(wanted) ? await numbers.idOf('agent', Number(wanted)) : undefined;
      const agent = await agents.get(principal, numbered ?? wanted);
      return {
        name: agent.name,
        instructions: fillPrompt(agent.promptTemplate, {}),
        ...modelOf(agent),
        tools: await toolsOf(principal, agent),
      };
    },
  };
}
