import type { Page } from '../../core/http/route.ts';
import type { Principal } from '../../core/principal.ts';
import type { RunContext, RunEventInput, RunOutcome } from '../../core/run-kind.ts';
import { defineService } from '../../core/service.ts';
import type { ToolScope } from '../../core/tool.ts';
import type {
  FinishReason,
  ImagePart,
  ModelMessage,
  ModelTool,
  OfflineHints,
  ResponseFormat,
  Usage,
} from '../../runtime/models/index.ts';
import type { ToolSelection } from '../../runtime/tools/service.ts';
import type { RunMode } from './run-mode.ts';

export { personalizationText } from './profiles/personalization.ts';
export { type Personalization, type ProfileItem, type ProfileService, profileService } from './profiles/types.ts';
export { fillPrompt, type PromptValues, placesOf, systemText } from './prompt.ts';
export { RUN_MODES, type RunMode } from './run-mode.ts';

export const AGENT_STATUS = ['active', 'inactive'] as const;
export type AgentStatus = (typeof AGENT_STATUS)[number];
export const PROVIDERS = ['openai', 'azure', 'local'] as const;
export const OUTPUT_FORMATS = ['text', 'structured'] as const;

/** How an agent calls one model. */
export interface AgentModel {
  /** Section of `config/models.yaml`; absent: `name` is a model key. */
  provider?: string;
  /** Name of the model at its provider, or a model key. */
  name: string;
  /** 0-2. */
  temperature: number;
  /** Tokens of an answer. */
  maxTokens: number;
}

/** An agent: of the installation's catalogue (`config/agents/*.yaml`), or made by an account. */
export interface Agent {
  /** `agent-picos` and the like in the catalogue, else a UUID. */
  id: string;
  source: 'catalogue' | 'account';
  /** Absent in the catalogue, which is everybody's. */
  ownerId?: string;
  name: string;
  description: string | null;
  /** System text. May hold `{context}`, `{question}`, `{{projectBackground}}`, `{{userInput}}`, `{{knowledgeBaseContext}}`. */
  promptTemplate: string;
  /** The model when nobody names one. */
  model: AgentModel;
  /** Settings by model key, where they differ. */
  models: Readonly<Record<string, { temperature: number; maxTokens: number }>>;
  category: string;
  icon: string;
  ragEnabled: boolean;
  fileUploadEnabled: boolean;
  requiresProject: boolean;
  outputFormat: (typeof OUTPUT_FORMATS)[number];
  /** JSON Schema of the answer when the output is structured by one. */
  outputSchema?: Record<string, unknown>;
  tags: readonly string[];
  status: AgentStatus;
  tools: ToolSelection;
  toolSettings: Readonly<Record<string, Record<string, unknown>>>;
  maxIterations: number;
  createdAt: Date;
  updatedAt: Date;
}

export interface NewAgent {
  name: string;
  description?: string | null;
  promptTemplate: string;
  model: { provider: string; name: string; temperature?: number; maxTokens?: number };
}

export interface AgentChanges {
  name?: string;
  description?: string | null;
  promptTemplate?: string;
  /** Merged over the stored one. */
  model?: Partial<NewAgent['model']>;
}

/** Agents of the catalogue and of the caller; what is not the caller's is not found. */
export interface AgentService {
  create(principal: Principal, agent: NewAgent): Promise<Agent>;
  /** The caller's own, newest first. */
  list(principal: Principal, page: { offset: number; limit: number }): Promise<Page<Agent>>;
  /** The catalogue in its order, then the caller's own, newest first. */
  catalogue(principal: Principal, filter?: { category?: string; status?: AgentStatus }): Promise<Agent[]>;
  /** @throws {AppError} AGENT_NOT_FOUND */
  get(principal: Principal, agentId: string): Promise<Agent>;
  /** Names by id; agents that are gone are missing. */
  names(principal: Principal, agentIds: readonly string[]): Promise<ReadonlyMap<string, string>>;
  /** @throws {AppError} AGENT_NOT_FOUND; AGENT_READ_ONLY (forbidden) for agents of the catalogue */
  update(principal: Principal, agentId: string, changes: AgentChanges): Promise<Agent>;
  /** @throws {AppError} AGENT_NOT_FOUND; AGENT_READ_ONLY (forbidden) */
  delete(principal: Principal, agentId: string): Promise<void>;
  /** Called (and awaited) after an agent was deleted; returns its disposer. */
  onDeleted(listener: (principal: Principal, agentId: string) => Promise<void>): () => void;
}

export const agentService = defineService<AgentService>('agents');

/** An agent as nodes of workflows see it. */
export interface AgentProfile {
  /** Absent: an agent that stands in the node itself. */
  id?: string;
  name: string;
  /** The prompt template, with its places saying that there is nothing. */
  instructions: string;
  /** Absent: the default model. */
  provider?: string;
  model?: string;
  temperature?: number;
  maxTokens?: number;
  /** As the field `tools` of an agent node. */
  tools?: unknown[];
}

/** What nodes reach under the same key, with the rights of their run's owner. */
export interface AgentsForNodes {
  /**
   * @param agentId as any API shows it: the running number of the studio, a UUID, or an id of the catalogue
   * @throws {AppError} AGENT_NOT_FOUND
   */
  profile(agentId: string): Promise<AgentProfile>;
}

/** One turn of an agent: everything that the answer is made from. Plain data: it stands in the input of a run. */
export interface AgentTurn {
  /** A model key, or provider and name. Absent: the default model. */
  model?: { provider?: string; model?: string } | string;
  temperature?: number;
  maxTokens?: number;
  system: string;
  /** Earlier messages, oldest first; cut to the model's window by tokens, in whole turns. */
  history: ModelMessage[];
  /** The new message of the user. Empty and without images: the history itself is to be answered (results of the caller's tools). */
  message: string;
  images?: ImagePart[];
  tools: ToolSelection;
  /** Tools that the caller carries out itself: a call of one ends the turn with `finishReason: 'tool_calls'` (OpenAI endpoint). */
  clientTools?: ModelTool[];
  toolChoice?: 'auto' | 'none' | 'required' | { name: string };
  scope: Omit<ToolScope, 'principal'>;
  /** Most calls of the model; the last one is without tools. */
  maxIterations: number;
  /** Default `fast`. `thinking`: in the first iteration and then every `thinkingInterval`; `deep`: in all. */
  mode?: RunMode;
  thinkingInterval?: number;
  /** Emit `tool_intent`. Default true. */
  toolIntents?: boolean;
  responseFormat?: ResponseFormat;
  stop?: string[];
  offline?: OfflineHints;
  /** What the conversation used before this turn; `token_update` counts on from there. Default: nothing. */
  usedBefore?: { inputTokens: number; outputTokens: number };
}

/** What a turn came to. */
export interface AgentAnswer {
  /** Texts of all iterations joined by an empty line; what streams of text alone show. */
  text: string;
  /** The messages of this turn after the user's, as a later turn needs them in its history: assistant and tool messages in order. */
  messages: ModelMessage[];
  usage: Usage;
  /** Tokens of the last request and its answer: how full the window is. */
  contextTokens: number;
  iterations: number;
  toolCalls: number;
  finishReason: FinishReason | 'iterations';
  /** Key of the model that answered last. */
  model: string;
  offline: boolean;
  /** The parsed answer when JSON was asked for. */
  json?: unknown;
}

/**
 * The agent loop. Each call of the model is a node of the worker pool and a checkpoint, and so is each tool call: what is finished is
 * not done again after a crash.
 */
export interface AgentRunner {
  /**
   * Works on a turn inside a run and emits the events of `AGENT_EVENTS` from `ai_message_start` to `token_update`; the terminal event
   * is the run kind's (`answerTerminal`).
   *
   * @throws {AppError} MODEL_*, BUDGET_EXCEEDED, RUN_CANCELLED
   */
  answer(context: RunContext, turn: AgentTurn): Promise<AgentAnswer>;
}

export const agentRunner = defineService<AgentRunner>('agent-runner');

/**
 * The vocabulary of the event log of an answer (contracts/tasks.md 2.4); other event types in the same log are the runtime's own.
 * Every text of an iteration is in its `text_chunk` events, in order.
 */
export const AGENT_EVENTS = [
  'user_message',
  'conversation_resolved',
  'ai_message_start',
  'thinking_start',
  'thinking_chunk',
  'thinking_end',
  'text_start',
  'text_chunk',
  'text_end',
  'tool_preparing',
  'tool_intent',
  'tool_start',
  'update_action',
  'file_tree_update',
  'token_update',
  'context_warning',
  'system_message',
  'error',
  'quota_exceeded',
  'task_stopped',
  'task_complete',
] as const;
export type AgentEvent = (typeof AGENT_EVENTS)[number];

/** What an answering run returns; `settled` of its kind stores it. */
export interface AnswerResult {
  answer: AgentAnswer;
}

/** Terminal event of a run that answers: `task_complete`, `task_stopped`, or a final `error`. */
export function answerTerminal(outcome: RunOutcome<AnswerResult>): RunEventInput {
  if (outcome.status === 'succeeded') {
    const { iterations, toolCalls } = outcome.result.answer;
    return {
      type: 'task_complete',
      data: { total_iterations: iterations, total_tool_calls: toolCalls, auto_fix_attempts: 0 },
    };
  }
  if (outcome.status === 'cancelled') {
    return {
      type: 'task_stopped',
      data: { message: { zh: '任务已停止', en: 'The task was stopped' }, reason: outcome.reason },
    };
  }
  const { code, kind, message } = outcome.error;
  return {
    type: 'error',
    data: {
      message,
      error_type: kind,
      error_code: code,
      error_text: message,
      retry: false,
      attempt: 1,
      max_attempts: 1,
    },
  };
}
