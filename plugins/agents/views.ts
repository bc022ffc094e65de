import type { AgentDocument } from './models/agent.ts';
import type { Agent } from './public.ts';

/** What an agent made in the studio is where the catalogue's have more to say. */
const OWN = {
  category: '我的智能体',
  icon: 'smart_toy',
  ragEnabled: true,
  fileUploadEnabled: false,
  requiresProject: false,
  outputFormat: 'text',
  tags: [],
  status: 'active',
  toolSettings: {},
  maxIterations: 8,
} as const satisfies Partial<Agent>;

export const agentView = (document: AgentDocument, tools: readonly string[]): Agent => {
  const { provider, name, temperature, maxTokens } = document.model;
  return {
    ...OWN,
    id: document._id,
    source: 'account',
    ownerId: document.ownerId,
    name: document.name,
    description: document.description,
    promptTemplate: document.promptTemplate,
    model: { provider, name, temperature, maxTokens },
    models: { [name]: { temperature, maxTokens } },
    tools: { names: tools },
    createdAt: document.createdAt,
    updatedAt: document.updatedAt,
  };
};
