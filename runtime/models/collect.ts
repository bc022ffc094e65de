import type { ModelEvent, ModelResult } from './types.ts';

/** A result before the first event. */
export const emptyResult = (): ModelResult => ({
  text: '',
  thinking: '',
  toolCalls: [],
  usage: { inputTokens: 0, outputTokens: 0, totalTokens: 0, cachedTokens: 0, estimated: true },
  finishReason: 'other',
  model: '',
  offline: false,
});

/** Adds an event of a model call to its result. */
export const collect = (result: ModelResult, event: ModelEvent): void => {
  switch (event.type) {
    case 'text':
    case 'thinking':
      result[event.type] += event.text;
      break;
    case 'tool_call': {
      const { type: _, ...call } = event;
      result.toolCalls.push(call);
      break;
    }
    case 'usage': {
      const { type: _, ...usage } = event;
      result.usage = usage;
      break;
    }
    case 'finish':
      result.finishReason = event.reason;
      result.model = event.model;
      result.offline = event.offline;
      break;
    default:
      break;
  }
};
