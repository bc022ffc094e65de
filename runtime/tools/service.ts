import type { Logger } from '../../core/log.ts';
import type { NodeCall } from '../../core/run-kind.ts';
import { defineService } from '../../core/service.ts';
import type { ToolDefinition, ToolScope } from '../../core/tool.ts';
import type { ModelTool } from '../models/index.ts';

/** Which tools an answer may use. */
export interface ToolSelection {
  /** Names, or `category:<name>`; absent: every tool; empty: none. */
  readonly names?: readonly string[] | undefined;
  /** Categories that are left out whatever `names` says. */
  readonly disabledCategories?: readonly string[] | undefined;
}

/** One call, as a model asked for it. */
export interface ToolCallRequest {
  readonly name: string;
  readonly arguments: Record<string, unknown>;
  readonly scope: ToolScope;
  readonly runId: string;
  readonly idempotencyKey: string;
  readonly signal: AbortSignal;
  readonly log: Logger;
  emit(type: string, data: Record<string, unknown>): void;
  node<T = unknown>(call: NodeCall): Promise<T>;
}

/** All tools of the installation. Plugins bring theirs as `tools` of their parts; what comes and goes later is added here. */
export interface ToolService {
  /** @throws {AppError} TOOL_INVALID, TOOL_DUPLICATE. Returns the disposer. */
  add(tool: ToolDefinition): () => void;
  /** Every tool, by name. */
  list(): readonly ToolDefinition[];
  /** Known categories, sorted. */
  categories(): readonly string[];
  /** What a model is told of the tools that are selected and available there, by name. Unknown names are left out. */
  select(selection: ToolSelection, scope: ToolScope): Promise<ModelTool[]>;
  /**
   * Carries one call out: checks the arguments, keeps the deadline.
   *
   * @throws {AppError} TOOL_UNKNOWN, TOOL_INPUT_INVALID (with fields), TOOL_TIMEOUT, or what the tool threw
   */
  call(request: ToolCallRequest): Promise<unknown>;
}

export const toolService = defineService<ToolService>('tools');
