import type { CompletionService } from '../../openai/public.ts';
import { type CallContext, errorResult, type ServedTool, textResult } from './tool.ts';

const MAX_QUESTION = 32_000;
const MAX_CONTEXT = 200_000;
/** Progress is told when the answer has grown by so much. */
const STEP_CHARS = 200;

const INPUT = {
  type: 'object' as const,
  properties: {
    question: { type: 'string', minLength: 1, maxLength: MAX_QUESTION, description: 'What the agent is asked' },
    context: {
      type: 'string',
      maxLength: MAX_CONTEXT,
      description: 'Background that the agent should know, for example of the project',
    },
  },
  required: ['question'],
};

/** `ask_<agent>`: one question to an agent of the catalogue or the caller. */
export async function askTools(
  completions: CompletionService,
  principal: Parameters<CompletionService['answerers']>[0],
): Promise<ServedTool[]> {
  const all = await completions.answerers(principal);
  return all.flatMap(({ id, kind, name, description, agentId = id }) => {
    if (kind !== 'agent') return [];
    const definition = {
      name: `ask_${id}`,
      title: name,
      description: [`Asks the agent "${name}".`, description ?? ''].filter((part) => part !== '').join(' '),
      inputSchema: INPUT,
      annotations: { openWorldHint: true },
    };
    return [{ definition, objectId: agentId, call: (context) => ask(completions, id, context) }];
  });
}

async function ask(completions: CompletionService, agent: string, context: CallContext) {
  const { caller, cancelled, gone, report, touch } = context;
  const { question, context: background = '' } = context.arguments;
  if (typeof question !== 'string' || question.trim() === '' || question.length > MAX_QUESTION) {
    return errorResult(`question must be a text of 1 to ${MAX_QUESTION} characters`);
  }
  if (typeof background !== 'string' || background.length > MAX_CONTEXT) {
    return errorResult(`context must be a text of at most ${MAX_CONTEXT} characters`);
  }
  const completion = await completions.start(
    caller.principal,
    {
      model: agent,
      system: background,
      history: [],
      message: question,
      images: [],
      stream: false,
      includeUsage: false,
      tools: [],
      parallelCalls: true,
    },
    { language: caller.language },
  );
  touch(completion.runId);
  const cancel = () => void completion.cancel('the MCP client has cancelled the call');
  if (cancelled.aborted) cancel();
  else cancelled.addEventListener('abort', cancel, { once: true });
  try {
    let [written, told] = [0, 0];
    for await (const piece of completion.follow(gone)) {
      if (piece.type === 'tool') report({ message: `uses the tool ${piece.name}` });
      if (piece.type === 'text') {
        written += piece.content.length;
        if (written - told < STEP_CHARS && told > 0) continue;
        told = written;
        report({ message: `${written} characters written` });
      }
      if (piece.type !== 'done') continue;
      const { text, model, usage } = piece.result;
      return textResult(text, { 'koagent/run-id': completion.runId, model, totalTokens: usage.totalTokens });
    }
    throw gone.reason;
  } finally {
    cancelled.removeEventListener('abort', cancel);
  }
}
