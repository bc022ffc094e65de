import type { Language } from '../../../core/contracts/contract.ts';
import type { Principal } from '../../../core/principal.ts';
import { defineRunKind, type RunContext, type RunKind, type SettledContext } from '../../../core/run-kind.ts';
import type { ModelMessage, ModelRef } from '../../../runtime/models/index.ts';
import type { ToolSelection } from '../../../runtime/tools/service.ts';
import { type AgentAnswer, type AgentTurn, answerTerminal, systemText } from '../../agents/public.ts';
import type { SearchScope } from '../../knowledge/public.ts';
import type { Citation } from '../public.ts';
import { loadHistory } from '../service/history.ts';
import type { ConversationParts } from '../service/parts.ts';
import type { Turn, TurnEnd, Turns } from '../service/turns.ts';
import { readPartialAnswer } from '../tasks/partial.ts';
import { projectBackground } from './background.ts';
import { citedIn, citedOfTools, closingText, contextText, type Passage, passageOf } from './sources.ts';
import { languageOf } from './titles.ts';

export const RUN_KIND = 'chat';

/** A message and how it is answered, as it was settled when it came in: later changes of an agent do not reach an answer under way. */
export interface ChatInput {
  turn: Turn;
  /** The system text before its places are filled. */
  template: string;
  model?: ModelRef;
  temperature?: number;
  maxTokens?: number;
  agentId?: string;
  projectId?: string;
  tools: ToolSelection;
  toolSettings: Readonly<Record<string, Record<string, unknown>>>;
  maxIterations: number;
  outputSchema?: Record<string, unknown>;
  /** Bases that the user has named. */
  knowledgeBaseIds: string[];
  /** Look into the documents of the agent. */
  agentDocuments: boolean;
  language: Language;
}

export interface ChatResult {
  answer: AgentAnswer;
  /** Stands below the answer; may be empty. */
  closing: string;
  citations: Citation[];
}

/** What was looked up for an answer. Missing passages: nothing was searched. */
interface Prepared {
  background: string;
  passages?: Passage[];
}

/** Longer questions stand in the user's message only, wherever a template has a place for them. */
const LONGEST_QUESTION = 8000;

/** Wants a text over all of the material rather than the few sentences that answer a question. */
const WRITING = /总结|概括|摘要|归纳|整理|梳理|[撰编]写|起草|\b(?:write|draft|summari[sz]e|outline)\b/i;
/** Characters that are kept of an answer which did not come to its end: a model that does not stop writes megabytes. */
const MOST_PARTIAL = 500_000;

/** The run behind an answer of an agent or of the general chat. */
export function chatRunKind(parts: ConversationParts, turns: Turns): RunKind {
  const { runs, runner, models, knowledge, options } = parts;

  /** Where the answer may look; undefined: nowhere. */
  const searchScope = async ({ principal, input }: RunContext<ChatInput>): Promise<SearchScope | undefined> => {
    const { agentId, agentDocuments, knowledgeBaseIds } = input;
    // An agent without documents has not looked for anything.
    const own =
      agentDocuments && agentId !== undefined && (await knowledge?.listDocuments(principal, { agentId }))?.length;
    if (!own && knowledgeBaseIds.length === 0) return undefined;
    return { ...(knowledgeBaseIds.length > 0 && { knowledgeBaseIds }), ...(own && { agentId }) };
  };

  const search = async (
    { principal, signal, input }: RunContext<ChatInput>,
    scope: SearchScope,
  ): Promise<Passage[] | undefined> => {
    const hits = await knowledge?.search(principal, input.turn.content, { scope, limit: options.passages, signal });
    return hits?.map(passageOf);
  };

  /** What is looked up, once: a later attempt works with the same. Nothing found costs no checkpoint. */
  const prepare = async (run: RunContext<ChatInput>): Promise<Prepared> => {
    const { principal, input } = run;
    const { projectId } = input;
    const scope = await searchScope(run);
    if (!scope && projectId === undefined) return { background: '' };
    return run.step('prepare', async () => {
      const [background, passages] = await Promise.all([
        projectId === undefined ? '' : projectBackground(parts, principal, projectId),
        scope && search(run, scope),
      ]);
      return { background, ...(passages && { passages }) };
    });
  };

  const earlier = ({ principal, input: { turn, model } }: RunContext<ChatInput>): Promise<ModelMessage[]> => {
    const { conversationId, position: before } = turn;
    return loadHistory(parts, principal, { conversationId, before, windowTokens: models.resolve(model).contextWindow });
  };

  const agentTurn = (input: ChatInput, { background, passages }: Prepared, history: ModelMessage[]): AgentTurn => {
    const { turn, template, model, temperature, maxTokens, agentId, tools, outputSchema, knowledgeBaseIds } = input;
    const { conversationId, content } = turn;
    const language = languageOf(template, input.language);
    return {
      ...(model !== undefined && { model }),
      ...(temperature !== undefined && { temperature }),
      ...(maxTokens !== undefined && { maxTokens }),
      system: systemText(template, {
        background,
        ...(passages && { context: contextText(passages, language) }),
        ...(content.length <= LONGEST_QUESTION && { question: content }),
      }),
      history,
      message: content,
      tools,
      scope: {
        conversationId,
        ...(agentId !== undefined && { agentId }),
        ...(knowledgeBaseIds.length > 0 && { knowledgeBaseIds }),
        settings: input.toolSettings,
      },
      maxIterations: input.maxIterations,
      ...(outputSchema && { responseFormat: { type: 'json', schema: outputSchema } }),
      // Who gives a knowledge base a few words wants an answer, also without a question mark.
      ...(passages && !WRITING.test(content) && { offline: { offlineStyle: 'answer' } }),
    };
  };

  /** What stands below the answer, put into the log once. */
  const close = (
    { step, input }: RunContext<ChatInput>,
    { text, messages, iterations }: AgentAnswer,
    passages: Passage[],
  ): Promise<Pick<ChatResult, 'closing' | 'citations'>> =>
    step(
      'sources',
      async () => {
        const citations = citedIn(text, passages);
        const closing = closingText(citations, {
          language: languageOf(input.turn.content, input.language),
          found: passages.length,
          ofTools: citedOfTools(text, messages),
          wanted: input.knowledgeBaseIds.length > 0,
        });
        return { citations, closing };
      },
      {
        events: ({ closing }) =>
          closing === ''
            ? []
            : [
                { type: 'text_start', data: { iteration: iterations + 1 } },
                { type: 'text_chunk', data: { content: closing, index: 1, elapsed: 0 } },
                { type: 'text_end', data: { full_content: closing } },
              ],
      },
    );

  const partialEnd = async (principal: Principal, runId: string, status: 'stopped' | 'failed'): Promise<TurnEnd> => {
    const { text, messages, used } = await readPartialAnswer(runs, principal, runId);
    const content = text.slice(0, MOST_PARTIAL);
    const turn: ModelMessage[] = content === text ? messages : [{ role: 'assistant', content }];
    return {
      usage: { inputTokens: used?.input ?? 0, outputTokens: used?.output ?? 0 },
      ...(used && { contextTokens: used.context }),
      ...(text !== '' && { answer: { content, turn, status } }),
    };
  };

  const endOf = async ({ principal, runId, outcome }: SettledContext<ChatInput, ChatResult>): Promise<TurnEnd> => {
    if (outcome.status !== 'succeeded') {
      return partialEnd(principal, runId, outcome.status === 'cancelled' ? 'stopped' : 'failed');
    }
    const { answer, closing, citations } = outcome.result;
    return {
      usage: answer.usage,
      contextTokens: answer.contextTokens,
      answer: {
        content: [answer.text, closing].filter((text) => text !== '').join('\n\n'),
        turn: answer.messages,
        citations,
        modelName: answer.model,
        status: 'complete',
      },
    };
  };

  return defineRunKind<ChatInput, ChatResult>({
    kind: RUN_KIND,
    // Messages are kept in their conversation.
    removable: true,

    async execute(run) {
      const [prepared, history] = await Promise.all([
        prepare(run),
        earlier(run),
        turns.resume(run.principal, run.runId, run.input.turn),
      ]);
      const answer = await runner.answer(run as RunContext, agentTurn(run.input, prepared, history));
      const looked = prepared.passages !== undefined || answer.toolCalls > 0;
      // Nothing is added to JSON.
      const closed =
        looked && run.input.outputSchema === undefined
          ? await close(run, answer, prepared.passages ?? [])
          : { closing: '', citations: [] };
      return { answer, ...closed };
    },

    terminal: (outcome) => answerTerminal(outcome),

    async settled(context) {
      await turns.settle(context.principal, context.runId, context.input.turn, await endOf(context));
    },
  }) as unknown as RunKind;
}
