import type { LocalText } from './errors.ts';
import type { Static, TSchema } from './schema.ts';
import type { ServiceKey } from './service.ts';

/**
 * A node type: a building block that a worker thread executes. The file that declares one has it as default
 * export and imports little else: a worker imports it to run it, the main thread to read its schemas.
 */
export interface NodeDefinition<C extends TSchema = TSchema, I extends TSchema = TSchema, O extends TSchema = TSchema> {
  readonly type: string;
  /** Stored work outlives code: a changed config shape gets a new version, and the old one still runs. */
  readonly version: number;
  /** `shared`: cooperative, many per thread. `isolated`: one per thread in a child process, killed at the deadline. */
  readonly lane: 'shared' | 'isolated';
  /** Deadline of one attempt in milliseconds. Default: the lane's. */
  readonly timeoutMs?: number;
  /** How often an attempt that was cut off (process or thread died) is repeated. Default 2. */
  readonly retries?: number;
  /**
   * Calls a language model: the budget is checked before it runs, and what it emits as `usage {model, input_tokens, output_tokens,
   * total_tokens, cached_tokens, estimated, offline}` is counted. One that calls several times asks `checkBudget` before each further call.
   */
  readonly callsModel?: true;
  /** Name for people, in editors. A node without one is internal to its plugin: workflows cannot use it. */
  readonly label?: LocalText;
  /** One sentence for people on what the node does. */
  readonly summary?: LocalText;
  /**
   * Fields of `config` that reach the node as they are stored. Text in all others is a template, resolved before the node runs:
   * name here what holds braces of its own, such as program code.
   */
  readonly literal?: readonly (keyof Static<C> & string)[];
  /** Its properties may carry `label`, `hint` and `editor` (see `FieldOptions`), which editors show. */
  readonly config: C;
  readonly input: I;
  readonly output: O;
  run(context: NodeContext<Static<C>, Static<I>>): Promise<Static<O>> | Static<O>;
}

export interface NodeContext<C = unknown, I = unknown> {
  readonly config: C;
  readonly input: I;
  /** Fires on cancel and at the deadline; shared-lane nodes must give up soon after. */
  readonly signal: AbortSignal;
  /** The same for every attempt of the same step; send it along with anything that changes the outside world. */
  readonly idempotencyKey: string;
  /** 1 for the first attempt. */
  readonly attempt: number;
  readonly run: { readonly id: string; readonly tenantId: string };
  /** Progress of this node, 0-1. */
  report(fraction: number): void;
  /** Appends an event to the run's log; many small ones are sent to the host in batches. */
  emit(type: string, data: Record<string, unknown>): void;
  /**
   * For nodes that emit much: a promise when a good part of what was emitted is still on its way to the host, else nothing. A node
   * that does not wait for it is held up with its whole thread when the host is slow.
   */
  room(): Promise<void> | undefined;
  log(level: 'debug' | 'info' | 'warn' | 'error', message: string, data?: Record<string, unknown>): void;
  /**
   * A service that the worker has at hand (the model gateway), or a proxy to one that the host exposes to nodes.
   * Methods of a proxy are asynchronous and take and return plain data; what was emitted before a call has reached the host by then.
   *
   * @throws {AppError} SERVICE_NOT_AVAILABLE when neither has it
   */
  service<T>(key: ServiceKey<T>): T;
}

/** Declares a node type; the generics give `run` its types. */
export const defineNode = <C extends TSchema, I extends TSchema, O extends TSchema>(
  definition: NodeDefinition<C, I, O>,
): NodeDefinition<C, I, O> => definition;
