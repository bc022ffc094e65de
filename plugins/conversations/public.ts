import type { Language } from '../../core/contracts/contract.ts';
import type { ErrorKind, LocalText } from '../../core/errors.ts';
import type { Page } from '../../core/http/route.ts';
import type { Principal } from '../../core/principal.ts';
import { defineService } from '../../core/service.ts';

export { citedIn, citedOfTools, closingText, contextText, type Passage, passageOf } from './run/sources.ts';
export { languageOf } from './run/titles.ts';
export { TokenStream } from './run/token-stream.ts';

/** `agent`: with an agent, in a project or not. `general`: the general chat of research. `task`: of the tasks API. */
export const CONVERSATION_KINDS = ['agent', 'general', 'task'] as const;
export type ConversationKind = (typeof CONVERSATION_KINDS)[number];

/** Where a title comes from. A `default` one gives way to the start of the first message, or to a generated one. */
export const TITLE_ORIGINS = ['default', 'agent', 'message', 'user', 'generated'] as const;
export type TitleFrom = (typeof TITLE_ORIGINS)[number];

/** `stopped` and `failed`: what there was of the answer until then. */
export const MESSAGE_STATUS = ['complete', 'stopped', 'failed'] as const;
export type MessageStatus = (typeof MESSAGE_STATUS)[number];

/** Longest message of a user, in characters. */
export const MAX_MESSAGE_LENGTH = 32_000;
/** Knowledge bases that one message may name. */
export const MAX_KNOWLEDGE_BASES = 3;

/** A passage that an answer rests on. */
export interface Citation {
  /** The answer carries it as `[1]`. */
  number: number;
  documentId: string;
  filename: string;
  /** First and last page, from 1; null where the format has none. */
  page: number | null;
  pageEnd: number | null;
  /** Headings above the passage, outermost first. */
  headings: string[];
  passageId: string;
  text: string;
}

/** A conversation with an agent, or a general chat. */
export interface Conversation {
  id: string;
  ownerId: string;
  title: string;
  /** Null in a general chat. */
  agentId: string | null;
  /** Null when the agent is gone. */
  agentName: string | null;
  projectId: string | null;
  projectName: string | null;
  modelName: string;
  messageCount: number;
  /** Tokens of all requests and answers. */
  totalTokens: number;
  /** A message is being answered right now. */
  answering: boolean;
  createdAt: Date;
  updatedAt: Date;
  lastMessageAt: Date;
}

export interface Message {
  id: string;
  conversationId: string;
  role: 'user' | 'assistant';
  content: string;
  pinned: boolean;
  /** Of answers; 0 for messages of users. */
  tokens: number;
  status: MessageStatus;
  citations: Citation[];
  createdAt: Date;
}

export interface Project {
  id: string;
  name: string;
  description: string;
  /** Conversations that are not deleted. */
  conversationCount: number;
  createdAt: Date;
  updatedAt: Date;
}

export interface NewConversation {
  agentId: string;
  projectId?: string;
  /** Without one: the name of the agent, or "new conversation" until the first message gives it a title. */
  title?: string;
  untitled: 'agent-name' | 'first-message';
  /** A configured model key. Default: the agent's. */
  modelName?: string;
  language: Language;
}

export interface ConversationFilter {
  projectId?: string;
  agentId?: string;
  /** First and last moment at which a conversation was made. */
  from?: Date;
  to?: Date;
  /** In title or messages, without regard to case. */
  keyword?: string;
}

export interface ListOptions<SortBy extends string> {
  offset: number;
  limit: number;
  sortBy?: SortBy;
  sortOrder?: 'asc' | 'desc';
}

/** A message of a user to be answered. */
export interface NewMessage {
  content: string;
  knowledgeBaseIds?: readonly string[];
  /** Language of what is said around the answer. */
  language: Language;
  /**
   * Number of the last event that the client has seen: when the conversation's last message is this one, its stream is taken up
   * behind it, and nothing is sent anew.
   */
  lastEventId?: number;
}

/** A piece of an answer as all clients see it; `id` is the number of the event in the run's log. */
export type AnswerPiece =
  | { id: number; type: 'token'; content: string }
  | { id: number; type: 'done'; message: Message | null; usage: AnswerUsage }
  | { id: number; type: 'error'; kind: ErrorKind; code: string; message: LocalText };

export interface AnswerUsage {
  inputTokens: number;
  outputTokens: number;
  totalTokens: number;
}

/** An answer under way. It goes on whether or not anybody follows it. */
export interface Answering {
  runId: string;
  conversationId: string;
  /** True when the conversation was made for this message. */
  created: boolean;
  /**
   * The answer in pieces, ended by `done` or `error`; stored before that is said.
   *
   * @param options.bare the end needs no message
   */
  follow(signal: AbortSignal, options?: { bare?: boolean }): AsyncIterable<AnswerPiece>;
  /**
   * Waits for the end.
   *
   * @throws {AppError} what the answer failed with
   */
  finished(): Promise<{ user: Message; answer: Message }>;
}

export interface ConversationStatistics {
  /** Of agents and general chats, without deleted ones. */
  total: number;
  /** Made since 00:00 UTC. */
  today: number;
  /** At most ten, most conversations first. */
  mostUsed: { agentId: string; name: string; count: number }[];
}

/** Conversations of the caller with agents, and general chats. What is not the caller's is not found. */
export interface ConversationService {
  /**
   * @throws {AppError} AGENT_NOT_FOUND, PROJECT_NOT_FOUND; PROJECT_REQUIRED, MODEL_UNKNOWN (invalid)
   */
  create(principal: Principal, conversation: NewConversation): Promise<Conversation>;
  /** @throws {AppError} CONVERSATION_NOT_FOUND */
  get(principal: Principal, conversationId: string): Promise<Conversation>;
  /** Conversations with agents. */
  list(
    principal: Principal,
    filter: ConversationFilter,
    options: ListOptions<'updatedAt' | 'createdAt' | 'lastMessageAt'>,
  ): Promise<Page<Conversation>>;
  /** Oldest first. @throws {AppError} CONVERSATION_NOT_FOUND */
  messages(
    principal: Principal,
    conversationId: string,
    page: { offset: number; limit: number },
  ): Promise<Page<Message>>;
  /**
   * Stores a message and has it answered.
   *
   * @throws {AppError} CONVERSATION_NOT_FOUND, AGENT_NOT_FOUND, KNOWLEDGE_BASE_NOT_FOUND; CONVERSATION_BUSY (conflict) while an answer
   *   is under way; TENANT_BUSY
   */
  send(principal: Principal, conversationId: string, message: NewMessage): Promise<Answering>;
  /**
   * Makes a message part of the background of its project; again changes nothing.
   *
   * @throws {AppError} MESSAGE_NOT_FOUND; PROJECT_REQUIRED (invalid) when the conversation has no project
   */
  pin(principal: Principal, messageId: string): Promise<void>;
  /** Ends an answer under way. @throws {AppError} CONVERSATION_NOT_FOUND */
  delete(principal: Principal, conversationId: string): Promise<void>;

  /** A message of the general chat; without a conversation one is made. @throws {AppError} as `send`, and MODEL_UNKNOWN */
  chat(principal: Principal, message: NewMessage & { modelName: string; conversationId?: string }): Promise<Answering>;
  /** The last changed general chats. */
  listChats(principal: Principal, limit: number): Promise<Conversation[]>;
  /** Final, with its messages. @throws {AppError} CONVERSATION_NOT_FOUND */
  deleteChat(principal: Principal, conversationId: string): Promise<void>;

  /** Over the whole installation. Administrators only. @throws {AppError} ADMIN_REQUIRED (forbidden) */
  statistics(principal: Principal): Promise<ConversationStatistics>;
}

export const conversationService = defineService<ConversationService>('conversations');

/** Projects of the caller. */
export interface ProjectService {
  list(
    principal: Principal,
    filter: { keyword?: string },
    options: ListOptions<'createdAt' | 'updatedAt' | 'name'>,
  ): Promise<Page<Project>>;
  create(principal: Principal, project: { name: string; description: string }): Promise<Project>;
  /** @throws {AppError} PROJECT_NOT_FOUND */
  get(principal: Principal, projectId: string): Promise<Project>;
  /** @throws {AppError} PROJECT_NOT_FOUND */
  update(principal: Principal, projectId: string, changes: { name: string; description: string }): Promise<Project>;
  /** With its conversations. @throws {AppError} PROJECT_NOT_FOUND */
  delete(principal: Principal, projectId: string): Promise<void>;
}

export const projectService = defineService<ProjectService>('projects');
