import { randomUUID } from 'node:crypto';
import type { Principal } from '../../../core/principal.ts';
import type { Run } from '../../../runtime/runs/service.ts';
import type { Agent } from '../../agents/public.ts';
import { AgentUnavailableError, KnowledgeBaseUnavailableError } from '../errors.ts';
import type { ConversationDocument } from '../models/conversation.ts';
import type { Answering, ConversationService, NewMessage } from '../public.ts';
import { type ChatInput, RUN_KIND } from '../run/chat.ts';
import { GENERAL_PROMPT } from '../run/prompts.ts';
import { NEW_CONVERSATION, titleFromMessage } from '../run/titles.ts';
import { createFollowing } from './follow.ts';
import { knownModel } from './model-names.ts';
import type { ConversationParts } from './parts.ts';
import type { Store } from './store.ts';
import type { NewPlace, TurnRun, Turns } from './turns.ts';

type Settings = Omit<ChatInput, 'turn' | 'language' | 'knowledgeBaseIds'>;

/** Messages of users and the answers to them. */
export function createAnswers(
  parts: ConversationParts,
  { store, turns }: { store: Store; turns: Turns },
): Pick<ConversationService, 'send' | 'chat'> {
  const { agents, knowledge, runs, models, options } = parts;
  const following = createFollowing(parts, turns);

  /** The run of the conversation's last message, when that is this one and the client has seen a part of its answer. */
  const lostSight = async (
    principal: Principal,
    { lastRunId }: ConversationDocument,
    { content, lastEventId }: NewMessage,
  ): Promise<Run | undefined> => {
    if (lastEventId === undefined || lastRunId === undefined) return undefined;
    const run = await runs.get(principal, lastRunId);
    return run?.kind === RUN_KIND && (run.input as ChatInput).turn.content === content ? run : undefined;
  };

  /** The start of the message as title; nothing when it has none. */
  const titled = ({ content }: NewMessage): { set?: { title: string; titleFrom: 'message' } } => {
    const title = titleFromMessage(content, options.titleLength);
    return title === '' ? {} : { set: { title, titleFrom: 'message' } };
  };

  /** @throws {AppError} KNOWLEDGE_BASE_NOT_FOUND */
  const checkBases = async (principal: Principal, ids: readonly string[] = []): Promise<string[]> => {
    const distinct = [...new Set(ids)];
    const [first] = distinct;
    // Without the plugin there are no bases.
    if (!knowledge && first !== undefined) throw new KnowledgeBaseUnavailableError(first);
    await Promise.all(distinct.map((id) => knowledge?.getBase(principal, id)));
    return distinct;
  };

  const begin = async (
    principal: Principal,
    place: ConversationDocument | NewPlace,
    message: NewMessage,
    { settings, title, set }: { settings: Settings; title: string; set?: TurnRun<ChatInput>['set'] },
  ): Promise<Answering> => {
    const { content, knowledgeBaseIds, language } = message;
    const created = 'make' in place;
    const { run } = await turns.begin<ChatInput>(
      principal,
      place,
      { content },
      {
        kind: RUN_KIND,
        input: (turn) => ({ ...settings, turn, language, knowledgeBaseIds: [...(knowledgeBaseIds ?? [])] }),
        events: ({ conversationId }) => [
          {
            type: 'user_message',
            data: { message: content, images: [], timestamp: Date.now() / 1000 },
          },
          {
            type: 'conversation_resolved',
            data: { conversation_id: conversationId, title: set?.title ?? title, created },
          },
        ],
        ...(set && { set }),
      },
    );
    return following(principal, run, { created });
  };

  return {
    async send(principal, conversationId, message) {
      const conversation = await store.find(principal, 'agent', conversationId);
      const { agentId = '', projectId, modelName, titleFrom } = conversation;
      const seen = await lostSight(principal, conversation, message);
      if (seen) return following(principal, seen, { created: false, ...seenUpTo(message) });
      const agent = await agents.get(principal, agentId);
      if (agent.status !== 'active') throw new AgentUnavailableError(agentId);
      // An agent that looks nothing up ignores what the message names.
      const knowledgeBaseIds = agent.ragEnabled ? await checkBases(principal, message.knowledgeBaseIds) : [];
      return begin(
        principal,
        conversation,
        { ...message, knowledgeBaseIds },
        {
          settings: settingsOf(agent, { projectId, modelName }),
          title: conversation.title,
          ...(titleFrom === 'default' && titled(message)),
        },
      );
    },

    async chat(principal, { conversationId: givenId, modelName, ...message }) {
      const model = knownModel(models, 'modelType', modelName);
      const given = givenId === undefined ? undefined : await store.find(principal, 'general', givenId);
      const seen = given && (await lostSight(principal, given, message));
      if (seen) return following(principal, seen, { created: false, ...seenUpTo(message) });
      const knowledgeBaseIds = await checkBases(principal, message.knowledgeBaseIds);
      const first = titled(message).set ?? { title: NEW_CONVERSATION[message.language], titleFrom: 'default' };
      const conversationId = randomUUID();
      const place: ConversationDocument | NewPlace = given ?? {
        conversationId,
        make: (taken) =>
          store.insert(principal, { _id: conversationId, kind: 'general', ...first, modelName: model, ...taken }),
      };
      const settings: Settings = {
        template: GENERAL_PROMPT[message.language],
        model,
        tools: { names: [] },
        toolSettings: {},
        maxIterations: 1,
        agentDocuments: false,
      };
      return begin(
        principal,
        place,
        { ...message, knowledgeBaseIds },
        { settings, title: given?.title ?? first.title, ...(given && { set: { modelName: model } }) },
      );
    },
  };
}

const seenUpTo = ({ lastEventId }: NewMessage) => (lastEventId === undefined ? {} : { lastEventId });

/** How an agent answers in a conversation. */
function settingsOf(
  agent: Agent,
  { projectId, modelName }: { projectId: string | undefined; modelName: string | undefined },
): Settings {
  const { provider, name, temperature, maxTokens } = agent.model;
  const own = provider === undefined ? name : { provider, model: name };
  return {
    template: agent.promptTemplate,
    model: modelName ?? own,
    ...((modelName !== undefined && agent.models[modelName]) || { temperature, maxTokens }),
    agentId: agent.id,
    ...(projectId !== undefined && { projectId }),
    tools: agent.tools,
    toolSettings: agent.toolSettings,
    maxIterations: agent.maxIterations,
    ...(agent.outputSchema && { outputSchema: agent.outputSchema }),
    agentDocuments: agent.source === 'account',
  };
}
