import type { Language } from '../../core/contracts/contract.ts';
import { defineRunKind, type RunContext, type RunKind } from '../../core/run-kind.ts';
import {
  type AgentAnswer,
  type AgentRunner,
  type AgentTurn,
  answerTerminal,
  placesOf,
  systemText,
} from '../agents/public.ts';
import {
  citedIn,
  citedOfTools,
  closingText,
  contextText,
  languageOf,
  type Passage,
  passageOf,
} from '../conversations/public.ts';
import type { KnowledgeService } from '../knowledge/public.ts';

export const RUN_KIND = 'completion';

/** Everything that an answer is made from, settled when the request came in. */
export interface CompletionInput {
  turn: AgentTurn;
  /** Of an agent: its prompt, before its places are filled. The system text of the turn is what the caller says beside it. */
  template?: string;
  /** Look into the documents of this agent. */
  documentsOf?: string;
  language: Language;
  /** Of a request with a key, to tell another one under the same; otherwise empty. */
  digest: string;
}

export interface CompletionOutcome {
  answer: AgentAnswer;
  /** Stands below the answer; may be empty. */
  closing: string;
}

export interface CompletionRunParts {
  runner: AgentRunner;
  knowledge: KnowledgeService | undefined;
  /** Passages that an answer is given to rest on. */
  passages: number;
}

/** Longer questions stand in the user's message only. */
const LONGEST_QUESTION = 8000;

export function completionRunKind({ runner, knowledge, passages: most }: CompletionRunParts): RunKind {
  const search = async (run: RunContext<CompletionInput>): Promise<Passage[] | undefined> => {
    const { principal, signal, input } = run;
    const { documentsOf: agentId, turn } = input;
    if (!knowledge || agentId === undefined || turn.message.trim() === '') return undefined;
    if ((await knowledge.listDocuments(principal, { agentId })).length === 0) return undefined;
    const hits = await knowledge.search(principal, turn.message, { scope: { agentId }, limit: most, signal });
    return hits.map(passageOf);
  };

  const systemOf = ({ template, turn, language }: CompletionInput, passages: Passage[] | undefined): string => {
    if (template === undefined) return turn.system;
    const hasPlace = placesOf(template).has('background');
    const filled = systemText(template, {
      ...(hasPlace && { background: turn.system }),
      ...(passages && { context: contextText(passages, languageOf(template, language)) }),
      ...(turn.message.length <= LONGEST_QUESTION && { question: turn.message }),
    });
    return hasPlace || turn.system === '' ? filled : `${filled}\n\n${turn.system}`;
  };

  /** What is cited stands below the answer, put into the log once. */
  const close = (run: RunContext<CompletionInput>, { text, messages, iterations }: AgentAnswer, passages: Passage[]) =>
    run.step(
      'sources',
      async () => {
        const language = languageOf(run.input.turn.message, run.input.language);
        return closingText(citedIn(text, passages), {
          language,
          found: passages.length,
          wanted: false,
          ofTools: citedOfTools(text, messages),
        });
      },
      {
        events: (closing) =>
          closing === ''
            ? []
            : [
                { type: 'text_start', data: { iteration: iterations + 1 } },
                { type: 'text_chunk', data: { content: closing, index: 1, elapsed: 0 } },
                { type: 'text_end', data: { full_content: closing } },
              ],
      },
    );

  return defineRunKind<CompletionInput, CompletionOutcome>({
    kind: RUN_KIND,

    async execute(run) {
      const passages = run.input.documentsOf === undefined ? undefined : await run.step('search', () => search(run));
      const turn = { ...run.input.turn, system: systemOf(run.input, passages) };
      const answer = await runner.answer(run as RunContext, turn);
      // Nothing stands below JSON, and nothing below an answer that is not the last word.
      const ends = turn.responseFormat?.type !== 'json' && answer.finishReason !== 'tool_calls';
      const looked = passages !== undefined || answer.toolCalls > 0;
      return { answer, closing: ends && looked ? await close(run, answer, passages ?? []) : '' };
    },

    terminal: (outcome) => answerTerminal(outcome),
  }) as unknown as RunKind;
}
