import type { Principal } from '../../../core/principal.ts';
import type { ModelMessage, ToolCall } from '../../../runtime/models/index.ts';
import type { RunEvent, RunService } from '../../../runtime/runs/service.ts';

/** What there is of an answer that did not come to its end. */
export interface PartialAnswer {
  /** All texts, as the user saw them. */
  text: string;
  /** Assistant and tool messages; every tool call has its result. */
  messages: ModelMessage[];
  toolCalls: number;
  /** Tokens as the last `token_update` has them, with those of earlier turns. */
  used: { input: number; output: number; context: number } | undefined;
}

const PAGE = 1000;
const NOT_CARRIED_OUT = 'Error: not carried out';

/** Puts an answer together again from the events of its run. */
export async function readPartialAnswer(
  runs: Pick<RunService, 'events'>,
  principal: Principal,
  logId: string,
): Promise<PartialAnswer> {
  const fold = createFold();
  for (let from = 0; ; from += PAGE) {
    const events = await runs.events(principal, logId, from, PAGE);
    for (const event of events) fold.take(event);
    if (events.length < PAGE) return fold.end();
  }
}

/** One call of the model: its thoughts, its text, its tool calls and their results. */
interface Iteration {
  thinking: string;
  text: string;
  calls: ToolCall[];
  results: Map<string, string>;
}

const empty = (): Iteration => ({ thinking: '', text: '', calls: [], results: new Map() });

function createFold() {
  const done: Iteration[] = [];
  let current = empty();
  let used: PartialAnswer['used'];

  const next = () => {
    if (current.text !== '' || current.calls.length > 0) done.push(current);
    current = empty();
  };

  return {
    take({ type, data }: RunEvent) {
      switch (type) {
        case 'thinking_chunk':
          current.thinking += String(data.content);
          break;
        case 'text_chunk':
          current.text += String(data.content);
          break;
        case 'tool_start': {
          const args = data.arguments as Record<string, unknown>;
          current.calls.push({
            id: String(data.preparing_id),
            name: String(data.name),
            arguments: args,
            raw: JSON.stringify(args),
          });
          break;
        }
        case 'update_action':
          current.results.set(String(data.preparing_id), resultOf(data));
          break;
        case 'token_update':
          used = {
            input: Number(data.cumulative_input_tokens),
            output: Number(data.cumulative_output_tokens),
            context: Number(data.current_context_tokens),
          };
          next();
          break;
        case 'system_message':
          if (data.discards_iteration !== undefined) current = empty();
          break;
      }
    },

    end(): PartialAnswer {
      next();
      return {
        text: done
          .map(({ text }) => text)
          .filter((text) => text !== '')
          .join('\n\n'),
        messages: done.flatMap(messagesOf),
        toolCalls: done.reduce((sum, { calls }) => sum + calls.length, 0),
        used,
      };
    },
  };
}

const resultOf = ({ result }: Record<string, unknown>): string =>
  typeof result === 'string'
    ? result
    : result === null || result === undefined
      ? NOT_CARRIED_OUT
      : JSON.stringify(result);

const messagesOf = ({ thinking, text, calls, results }: Iteration): ModelMessage[] => [
  {
    role: 'assistant',
    content: text,
    ...(thinking !== '' && { thinking }),
    ...(calls.length > 0 && { toolCalls: calls }),
  },
  ...calls.map(({ id }) => ({ role: 'tool' as const, toolCallId: id, content: results.get(id) ?? NOT_CARRIED_OUT })),
];
