import type { Database, Document } from '../../../core/data/database.ts';
import { jsonField } from '../../../core/data/json.ts';
import type { RunMode } from '../../agents/public.ts';
import type { ConversationKind, TitleFrom } from '../public.ts';

/** What a conversation of the tasks API remembers beside its messages. */
export interface TaskSettings {
  /** What calls have asked for; null: nothing yet, the personalization or the server decides each time. */
  runMode: RunMode | null;
  modelKey: string | null;
  promptName: string | null;
  personalizationName: string | null;
  /** How the last message was answered. */
  used: { runMode: RunMode; modelKey: string } | null;
  hasImages: boolean;
  /** Tool calls so far. */
  totalTools: number;
  /** Messages of answers beyond one for each: what tools were asked and told. */
  moreMessages: number;
}

/** A conversation. `activeRunId` is set exactly while a run answers in it: one answer at a time. */
export interface ConversationRecord {
  ownerId: string;
  kind: ConversationKind;
  /** Kind `agent` only. */
  agentId?: string;
  projectId?: string;
  title: string;
  titleFrom: TitleFrom;
  /** Model key; absent: what the agent, or the server, takes. */
  modelName?: string;
  messageCount: number;
  /** Messages that users have sent, with those that came to nothing; gives messages their places. */
  turns: number;
  inputTokens: number;
  outputTokens: number;
  /** Tokens of the last request and its answer. */
  contextTokens: number;
  /** When the figures of tokens changed. */
  usedAt?: Date;
  /** Kept by the tool `todo`. */
  todoList: unknown;
  /** Kind `task` only. */
  task?: TaskSettings;
  /** Run that answers right now. */
  activeRunId?: string;
  activeSince?: Date;
  /** Process that has taken the conversation for the run, see `RunService.host`. */
  activeHost?: string;
  /** Run that answers or has answered the last message. */
  lastRunId?: string;
  lastMessageAt: Date;
  deleted: boolean;
  deletedAt?: Date;
  /** Deleted, and what belongs to it is not gone yet. */
  removing?: boolean;
}
export type ConversationDocument = ConversationRecord & Document & { tenantId: string };

export const conversationModel = (database: Database) =>
  database.tenantModel<ConversationRecord>(
    'conversations',
    {
      ownerId: { type: String, required: true },
      kind: { type: String, required: true },
      agentId: String,
      projectId: String,
      title: { type: String, required: true },
      titleFrom: { type: String, required: true },
      modelName: String,
      messageCount: { type: Number, required: true },
      turns: { type: Number, required: true },
      inputTokens: { type: Number, required: true },
      outputTokens: { type: Number, required: true },
      contextTokens: { type: Number, required: true },
      usedAt: Date,
      todoList: jsonField({ default: () => null }),
      task: jsonField(),
      activeRunId: String,
      activeSince: Date,
      activeHost: String,
      lastRunId: String,
      lastMessageAt: { type: Date, required: true },
      deleted: { type: Boolean, required: true },
      deletedAt: Date,
      removing: Boolean,
    },
    {
      indexes: [
        { fields: { ownerId: 1, kind: 1, updatedAt: -1 } },
        { fields: { ownerId: 1, kind: 1, lastMessageAt: -1 } },
        { fields: { projectId: 1, deleted: 1 }, partial: { projectId: { $exists: true } } },
        { fields: { ownerId: 1 }, acrossTenants: true },
        { fields: { activeRunId: 1 }, partial: { activeRunId: { $exists: true } }, acrossTenants: true },
        { fields: { removing: 1 }, partial: { removing: true }, acrossTenants: true },
      ],
    },
  );
