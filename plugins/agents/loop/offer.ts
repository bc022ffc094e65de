import type { ModelTool } from '../../../runtime/models/index.ts';
import type { AgentTurn } from '../public.ts';
import type { ModelCall } from './call.ts';

const INTENT = {
  type: 'string',
  description: 'In a few words of the language of the user: what this call is for. They see it while they wait.',
};

export type Offer = Pick<ModelCall, 'tools' | 'clientTools' | 'intents' | 'toolChoice' | 'thinking'>;

/** What the model is offered in an iteration. */
export function createOffer(turn: AgentTurn, selected: readonly ModelTool[]): (iteration: number) => Offer {
  const { clientTools = [], toolChoice = 'auto', mode = 'fast', thinkingInterval, toolIntents = true } = turn;
  // A name belongs to the caller when both have it: the caller asked for it.
  const own = selected.filter(({ name }) => !clientTools.some((theirs) => theirs.name === name));
  const withIntents = toolIntents ? own.map(askForIntent) : own;
  const intents = withIntents.filter((tool, at) => tool !== own[at]).map(({ name }) => name);
  const thinks = (iteration: number) => {
    if (mode !== 'thinking') return mode === 'deep';
    return thinkingInterval === undefined ? iteration === 1 : (iteration - 1) % thinkingInterval === 0;
  };
  return (iteration) => {
    const last = iteration >= turn.maxIterations;
    // Forced once: a model that is forced every time never comes to an answer.
    const choice = iteration === 1 || toolChoice === 'none' ? toolChoice : 'auto';
    if (!last) return { tools: withIntents, clientTools, intents, toolChoice: choice, thinking: thinks(iteration) };
    return {
      // Some providers refuse a conversation with tool calls when there are no tools at all.
      tools: clientTools.length > 0 ? [] : withIntents,
      clientTools,
      intents,
      toolChoice: clientTools.length > 0 ? choice : 'none',
      thinking: thinks(iteration),
    };
  };
}

function askForIntent(tool: ModelTool): ModelTool {
  const { properties = {}, ...rest } = tool.parameters;
  if (typeof properties !== 'object' || properties === null || 'intent' in properties) return tool;
  return { ...tool, parameters: { ...rest, properties: { intent: INTENT, ...properties } } };
}
