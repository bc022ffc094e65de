import type { Database } from '../../../core/data/database.ts';
import { AppError } from '../../../core/errors.ts';
import type { Principal } from '../../../core/principal.ts';
import type { RunContext } from '../../../core/run-kind.ts';
import type { Agent, AgentAnswer, AgentService, AgentTurn } from '../../../plugins/agents/public.ts';
import { createConversationCore } from '../../../plugins/conversations/service.ts';
import type { Hit, KnowledgeService, SearchOptions } from '../../../plugins/knowledge/public.ts';
import type { ResolvedModel } from '../../../runtime/models/index.ts';
import { openRuns, recordingLog } from '../../runtime/runs/harness.ts';
import { openTestDatabase } from '../../support/database.ts';

export const agent = (id: string, more: Partial<Agent> = {}): Agent => ({
  id,
  source: 'catalogue',
  name: `name of ${id}`,
  description: null,
  promptTemplate: 'You help.',
  model: { name: 'main', temperature: 0.7, maxTokens: 2048 },
  models: {},
  category: '',
  icon: '',
  ragEnabled: true,
  fileUploadEnabled: false,
  requiresProject: false,
  outputFormat: 'text',
  tags: [],
  status: 'active',
  tools: { names: [] },
  toolSettings: {},
  maxIterations: 4,
  createdAt: new Date(),
  updatedAt: new Date(),
  ...more,
});

const notFound = (code: string) => new AppError('not_found', code, { zh: '不存在', en: 'not found' });

/** What a script of an answer can do: say something, iteration by iteration, and look at what it was given. */
export type Script = (turn: AgentTurn, say: Say, context: RunContext) => Promise<void> | void;
export interface Say {
  /** Streams pieces of an iteration. */
  text(iteration: number, ...pieces: string[]): Promise<void>;
  /** What was said in the iteration does not count. */
  discard(iteration: number): Promise<void>;
}

export type Core = Awaited<ReturnType<typeof openConversations>>;

/**
 * The services of the plugin over real runs and a real store; agents, models, knowledge and the runner are the smallest that keep to
 * their interfaces. The runner writes the events of `AGENT_EVENTS`, as far as texts go.
 */
export async function openConversations(
  owner: Parameters<typeof openRuns>[0],
  options: { agents?: Agent[]; script?: Script; database?: Database; hits?: (query: string) => Partial<Hit>[] } = {},
) {
  const database = options.database ?? (await openTestDatabase(owner));
  const runs = await openRuns(owner, { kinds: [], database });
  const turns: AgentTurn[] = [];
  const searches: { query: string; options: SearchOptions | undefined }[] = [];
  const known = new Map((options.agents ?? [agent('helper')]).map((one) => [one.id, one]));
  const script: Script = options.script ?? ((turn, say) => say.text(1, `re: ${turn.message}`));

  const runner = {
    async answer(context: RunContext, turn: AgentTurn): Promise<AgentAnswer> {
      turns.push(turn);
      const texts = new Map<number, string>();
      if (context.attempt === 1) await context.emit('ai_message_start', {});
      const say: Say = {
        async text(iteration, ...pieces) {
          await context.emit('text_start', { iteration });
          for (const [at, content] of pieces.entries()) {
            await context.emit('text_chunk', { content, index: at + 1, elapsed: 0 });
            texts.set(iteration, (texts.get(iteration) ?? '') + content);
          }
          await context.emit('text_end', { full_content: texts.get(iteration) ?? '' });
        },
        async discard(iteration) {
          texts.delete(iteration);
          await context.emit('system_message', { content: { zh: '重写', en: 'anew' }, discards_iteration: iteration });
        },
      };
      await script(turn, say, context);
      const text = [...texts.values()].join('\n\n');
      const usage = { inputTokens: 10, outputTokens: 4, totalTokens: 14, cachedTokens: 0, estimated: false };
      return {
        text,
        messages: [{ role: 'assistant', content: text }],
        usage,
        contextTokens: 14,
        iterations: Math.max(1, ...texts.keys()),
        toolCalls: 0,
        finishReason: 'stop',
        model: 'main',
        offline: false,
      };
    },
  };

  const agents = {
    async get(_principal: Principal, id: string) {
      const found = known.get(id);
      if (!found) throw notFound('AGENT_NOT_FOUND');
      return found;
    },
    names: async (_principal: Principal, ids: readonly string[]) =>
      new Map(ids.flatMap((id) => (known.has(id) ? [[id, known.get(id)?.name ?? ''] as const] : []))),
  };

  const knowledge = {
    async getBase(_principal: Principal, id: string) {
      if (!id.startsWith('base')) throw notFound('KNOWLEDGE_BASE_NOT_FOUND');
      return {};
    },
    listDocuments: async () => [{}],
    async search(_principal: Principal, query: string, given?: SearchOptions) {
      searches.push({ query, options: given });
      return (options.hits?.(query) ?? []).map((hit, at) => ({
        passageId: `passage-${at}`,
        documentId: `document-${at}`,
        filename: 'file.md',
        knowledgeBaseId: 'base-1',
        agentId: null,
        text: 'text',
        headings: [],
        page: null,
        pageEnd: null,
        position: at,
        score: 1,
        ...hit,
      }));
    },
  };

  const core = createConversationCore({
    database,
    runs,
    models: {
      resolve(ref, { unknown } = {}) {
        const key = typeof ref === 'string' ? ref : 'main';
        if (unknown === 'error' && key === 'unknown') {
          throw new AppError('invalid', 'MODEL_UNKNOWN', { zh: '没有', en: 'none' });
        }
        return { key, contextWindow: 1000 } as ResolvedModel;
      },
    },
    agents: agents as unknown as AgentService,
    runner,
    knowledge: knowledge as unknown as KnowledgeService,
    options: { titleLength: 30, passages: 5 },
    log: recordingLog().log,
  });
  await database.ready();
  await core.recover();
  for (const kind of core.runKinds) runs.register(kind);
  return { ...core, database, runs, turns, searches, known };
}
