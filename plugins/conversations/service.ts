import type { RunKind } from '../../core/run-kind.ts';
import type { UsageCounter } from '../auth/public.ts';
import type { ConversationService, ProjectService } from './public.ts';
import { chatRunKind } from './run/chat.ts';
import { createAnswers } from './service/answers.ts';
import { createConversations } from './service/conversations.ts';
import { type ConversationDeps, type ConversationParts, createParts } from './service/parts.ts';
import { createProjects } from './service/projects.ts';
import { createStatistics } from './service/statistics.ts';
import { createStore, type Store } from './service/store.ts';
import { createTurns, type Turns } from './service/turns.ts';

/** Everything of the plugin that knows no API. */
export interface ConversationCore {
  readonly parts: ConversationParts;
  readonly store: Store;
  readonly turns: Turns;
  readonly conversations: ConversationService;
  readonly projects: ProjectService;
  /** Conversations of accounts. */
  readonly count: UsageCounter;
  readonly runKinds: RunKind[];
  /** Takes up what a crash cut off; before runs are recovered. */
  recover(): Promise<void>;
}

export function createConversationCore(deps: ConversationDeps): ConversationCore {
  const parts = createParts(deps);
  const store = createStore(parts);
  const turns = createTurns(parts);
  const projects = createProjects(parts, store);
  const { statistics, count } = createStatistics(parts);
  return {
    parts,
    store,
    turns,
    conversations: {
      ...createConversations(parts, { store, projects }),
      ...createAnswers(parts, { store, turns }),
      statistics,
    },
    projects: projects.service,
    count,
    runKinds: [turns.answeredBy(chatRunKind(parts, turns))],
    async recover() {
      await projects.recover();
      await store.recover();
      await turns.recover();
    },
  };
}
