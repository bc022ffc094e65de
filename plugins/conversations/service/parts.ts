import type { Database, TenantModel } from '../../../core/data/database.ts';
import type { Logger } from '../../../core/log.ts';
import type { ModelGateway } from '../../../runtime/models/index.ts';
import type { RunService } from '../../../runtime/runs/service.ts';
import type { AgentRunner, AgentService } from '../../agents/public.ts';
import type { KnowledgeService } from '../../knowledge/public.ts';
import { type ConversationRecord, conversationModel } from '../models/conversation.ts';
import { type MessageRecord, messageModel } from '../models/message.ts';
import { type ProjectRecord, projectModel } from '../models/project.ts';

export interface ConversationOptions {
  /** Characters of a title that is taken from a message. */
  titleLength: number;
  /** Passages that an answer is given from a knowledge base, or from the documents of an agent. */
  passages: number;
}

/** What the plugin needs of others; tests pass their own. */
export interface ConversationDeps {
  database: Database;
  runs: RunService;
  models: Pick<ModelGateway, 'resolve'>;
  agents: AgentService;
  runner: AgentRunner;
  /** Absent when the plugin is disabled: then nothing is looked up. */
  knowledge?: KnowledgeService | undefined;
  options: ConversationOptions;
  log: Logger;
}

/** What the services of the plugin work on. */
export interface ConversationParts extends Omit<ConversationDeps, 'database'> {
  conversations: TenantModel<ConversationRecord>;
  messages: TenantModel<MessageRecord>;
  projects: TenantModel<ProjectRecord>;
}

export const createParts = ({ database, ...deps }: ConversationDeps): ConversationParts => ({
  ...deps,
  conversations: conversationModel(database),
  messages: messageModel(database),
  projects: projectModel(database),
});
