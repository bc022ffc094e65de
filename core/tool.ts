import type { Logger } from './log.ts';
import type { Principal } from './principal.ts';
import type { NodeCall } from './run-kind.ts';
import type { Static, TObject } from './schema.ts';

/** A tool that a model may ask for while it works on an answer. A plugin brings it; every agent chooses from one registry. */
export interface ToolDefinition<P extends TObject = TObject> {
  /** Unique; letters, digits, `_` and `-`, at most 64. */
  readonly name: string;
  /** Group that people switch off together: `network`, `knowledge`, `data`, `workflow`, `file_edit`, `read_focus`, `todo`, `mcp`, ... */
  readonly category: string;
  /** What the model is told. English, as all words to models. */
  readonly description: string;
  /** JSON Schema of the arguments; checked before `call`. */
  readonly parameters: P;
  /** `call` checks the arguments itself, for example on another server: here they are only known to be an object. */
  readonly checksArguments?: boolean;
  /** `changes`: does something that others can see; only then the idempotency key matters. */
  readonly effect: 'reads' | 'changes';
  /** Default 60,000. */
  readonly timeoutMs?: number;
  /**
   * What the model is told instead where the tool has settings (`ToolScope.settings`); arguments are checked by it, too.
   *
   * @throws {AppError} the settings are wrong; the tool is then left out
   */
  tailored?(settings: ToolSettings): { description?: string; parameters?: TObject };
  /** Whether the tool makes sense in this place, for example a file tool without files. Default: always. */
  available?(scope: ToolScope): boolean | Promise<boolean>;
  /**
   * Runs on the main thread: waiting is fine, work of more than a few milliseconds belongs into `context.node`.
   *
   * @returns text or JSON for the model
   * @throws what went wrong; the model is told, the answer goes on
   */
  call(context: ToolContext<Static<P>>): Promise<unknown>;
}

/** Where a tool is used. */
export interface ToolScope {
  readonly principal: Principal;
  /** Agent that answers, if any. */
  readonly agentId?: string | undefined;
  readonly conversationId?: string | undefined;
  /** Knowledge bases that this answer may look into; absent: all of the caller. */
  readonly knowledgeBaseIds?: readonly string[] | undefined;
  /** Settings of the agent for single tools, by the name of the tool. */
  readonly settings?: Readonly<Record<string, ToolSettings>> | undefined;
}

export type ToolSettings = Readonly<Record<string, unknown>>;

export interface ToolContext<Arguments = Record<string, unknown>> {
  readonly arguments: Arguments;
  readonly principal: Principal;
  readonly scope: ToolScope;
  readonly runId: string;
  /** Stays the same when the call is repeated after a crash; send it along with whatever changes something. */
  readonly idempotencyKey: string;
  /** Fires on cancel and at the tool's deadline. */
  readonly signal: AbortSignal;
  readonly log: Logger;
  /** Appends an event to the run's log, for example `file_tree_update`. */
  emit(type: string, data: Record<string, unknown>): void;
  /** Runs a node in the worker pool. */
  node<T = unknown>(call: NodeCall): Promise<T>;
}

/** Declares a tool; the generic gives `call` its types. */
export const defineTool = <P extends TObject>(tool: ToolDefinition<P>): ToolDefinition =>
  tool as unknown as ToolDefinition;
