import type { ErrorRecord } from '../../../core/errors.ts';
import type {
  FinishReason,
  ModelMessage,
  ModelRef,
  ModelTool,
  OfflineHints,
  ResponseFormat,
  RetryPolicy,
  ToolCall,
  Usage,
} from '../../../runtime/models/index.ts';

/** Input of the node `agents.model`: one call of the model, before its history is cut to the window. */
export interface ModelCall {
  model?: ModelRef;
  system: string;
  /** Earlier turns and the present one. */
  messages: ModelMessage[];
  /** Tools that are carried out here, then those of the caller. */
  tools: ModelTool[];
  clientTools: ModelTool[];
  toolChoice?: 'auto' | 'none' | 'required' | { name: string };
  /** Names of tools whose parameters were given an `intent`, to be taken out of the arguments again. */
  intents: string[];
  temperature?: number;
  maxTokens?: number;
  thinking: boolean;
  responseFormat?: ResponseFormat;
  stop?: string[];
  retry?: Partial<RetryPolicy>;
  offline?: OfflineHints;
}

/** A tool call as the loop goes on with it. */
export interface PlannedCall extends ToolCall {
  /** What the model says it wants with it. */
  intent?: string;
  /** The caller carries it out. */
  client?: true;
  /** Why it is not carried out; the model is told. */
  refused?: string;
}

/** Output of the node `agents.model`. */
export interface ModelAnswer {
  text: string;
  thinking: string;
  calls: PlannedCall[];
  usage: Usage;
  finishReason: FinishReason;
  model: string;
  offline: boolean;
  /** With `responseFormat` json and no calls: the value, or why there is none. */
  json?: { value: unknown } | { problem: string };
}

/** What was left out of a request so that it fits into the window of the model. */
export interface LeftOut {
  /** Earlier turns. */
  turns: number;
  /** Tool results that were shortened. */
  results: number;
}

/** Events of the node, by type; `usage` is for whoever counts. */
export interface NodeEvents {
  /** A later attempt begins: the earlier one was cut off. */
  again: Record<string, never>;
  left_out: LeftOut & { window: number };
  text: { text: string };
  thinking: { text: string };
  /** A tool call has a name; its arguments are still coming in. */
  tool: { id: string; name: string };
  retry: { attempt: number; maxAttempts: number; retryIn: number; error: ErrorRecord };
  fallback: { from: string; to: string; error: ErrorRecord };
}
