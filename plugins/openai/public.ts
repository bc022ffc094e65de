import type { Language } from '../../core/contracts/contract.ts';
import type { Principal } from '../../core/principal.ts';
import { defineService } from '../../core/service.ts';
import type { FinishReason, ToolCall, Usage } from '../../runtime/models/index.ts';
import type { CompletionRequest } from './request.ts';

export type { CompletionRequest } from './request.ts';

/** What answers under a name: a model, or an agent of the catalogue or the caller. */
export interface Answerer {
  /** A model key, an id of the catalogue, or `agent-<n>` with the running number of the studio. */
  id: string;
  kind: 'model' | 'agent';
  name: string;
  description: string | null;
  /** Absent: as long as the server. */
  createdAt?: Date;
  /** Id as services know it; of agents. */
  agentId?: string;
}

/** What an answer came to. */
export interface CompletionResult {
  /** With what it cites below it, where an agent has looked into its documents. */
  text: string;
  thinking: string;
  /** Tools that the caller is to carry out; then the answer goes on with their results. */
  toolCalls: ToolCall[];
  finishReason: FinishReason;
  usage: Usage;
  /** Key of the model that answered. */
  model: string;
}

export type CompletionPiece =
  | { type: 'text' | 'thinking'; content: string }
  /** The agent uses a tool of its own. */
  | { type: 'tool'; name: string }
  | { type: 'done'; result: CompletionResult };

/** An answer under way; a run that goes on whether or not anybody follows it. */
export interface Completion {
  readonly runId: string;
  /** Of an agent. */
  readonly agentId?: string;
  readonly createdAt: Date;
  /** From the beginning up to `done`. @throws {AppError} what the answer failed with; COMPLETION_STOPPED */
  follow(signal: AbortSignal): AsyncIterable<CompletionPiece>;
  /** @throws {AppError} as `follow`, or the reason of the signal */
  finished(signal?: AbortSignal): Promise<CompletionResult>;
  /** Ends it; nobody wants the answer any more. */
  cancel(reason: string): Promise<void>;
}

export interface CompletionOptions {
  /** Language of what is said around the answer. */
  language: Language;
  /**
   * The same key again is the same answer: one under way is joined, a finished one is given once more, only one that failed is begun anew.
   * Without a key every request is another answer.
   */
  key?: string;
}

/** Answers of models and agents to whole conversations that the caller keeps; what they are made of is removed after some days. */
export interface CompletionService {
  /** Models, then the agents of the catalogue, then the caller's own. */
  answerers(principal: Principal): Promise<Answerer[]>;
  /**
   * By id as `answerers` gives it, alias of a model, UUID of an agent, or name of an agent.
   *
   * @throws {AppError} COMPLETION_MODEL_NOT_FOUND; REQUEST_INVALID when several agents have the name
   */
  answerer(principal: Principal, name: string): Promise<Answerer>;
  /** @throws {AppError} COMPLETION_MODEL_NOT_FOUND, IDEMPOTENCY_KEY_REUSED, TENANT_BUSY */
  start(principal: Principal, request: CompletionRequest, options: CompletionOptions): Promise<Completion>;
}

export const completionService = defineService<CompletionService>('completions');
