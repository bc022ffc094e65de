import type { ErrorRecord, LocalText } from '../../core/errors.ts';
import type { DataBudget } from './budget.ts';
import type { Path } from './path.ts';

/** A node as clients store it; fields that are not named here are kept and ignored. */
export interface GraphNode {
  id: string;
  type: string;
  position?: unknown;
  /** Configuration of the node type, the common error policy (`ErrorPolicy`), and `label`. */
  data?: Record<string, unknown>;
  /** Id of the loop whose body holds this node; `data.parent_id` means the same. */
  parentNode?: string;
}

/** An edge as clients store it. */
export interface GraphEdge {
  id?: string;
  source: string;
  target: string;
  sourceHandle?: string | null;
  targetHandle?: string | null;
  label?: unknown;
}

/** One finding of the validator. `code` is stable; `text` names the node or edge. */
export interface Problem {
  code: ProblemCode;
  nodeId?: string;
  edgeId?: string;
  text: LocalText;
}

export type ProblemCode =
  // errors
  | 'NODES_MISSING'
  | 'TOO_MANY_NODES'
  | 'TOO_MANY_EDGES'
  | 'SHAPE_INVALID'
  | 'START_MISSING'
  | 'START_REPEATED'
  | 'NODE_ID_REPEATED'
  | 'NODE_TYPE_UNKNOWN'
  | 'EDGE_END_UNKNOWN'
  | 'EDGE_TO_ITSELF'
  | 'CYCLE'
  | 'START_ENTERED'
  | 'END_LEFT'
  | 'CONFIG_INVALID'
  | 'HANDLE_INVALID'
  | 'LOOP_TOO_DEEP'
  | 'TOO_MANY_PROBLEMS'
  // warnings
  | 'OUTPUT_MISSING'
  | 'NODE_UNREACHABLE'
  | 'NODE_LEADS_NOWHERE'
  | 'BRANCH_MISSING'
  | 'HANDLE_MISSING'
  | 'MODEL_DEFAULT'
  | 'TEMPLATE_NAME_UNKNOWN'
  | 'TEMPLATE_OPEN'
  | 'EDGE_ID_REPEATED'
  | 'LOOP_BODY_EMPTY'
  | 'LOOP_BODY_SHARED'
  | 'EDGE_REPEATED';

export interface Validation {
  valid: boolean;
  errors: Problem[];
  warnings: Problem[];
}

/** What the validator has to know about a node type. */
export interface NodeTypeCheck {
  /** Complaints about `data` beyond the rules that the validator has itself; never throws. */
  check?(data: Record<string, unknown>, node: GraphNode): LocalText[];
  /** Names of the fields of `data` that are templates, for the warning about unknown names. */
  templates?: readonly string[];
}

export interface ValidateOptions {
  /** Every type that a graph may use, with its own check. */
  nodeTypes: ReadonlyMap<string, NodeTypeCheck>;
}

/** What becomes of a node that failed. It stands in `data` of every node type; times are milliseconds. */
export interface ErrorPolicy {
  /**
   * `fail` (default): the execution (in a loop: the item) fails. `continue`: the node's output is null. `default`: it is
   * `default_value`. A condition that goes on leads to `false`, with `default` to the branch of `default_value`.
   */
  onError: 'fail' | 'continue' | 'default';
  defaultValue: unknown;
  /** `retry: {max, delay_ms, factor}`: `max` attempts beyond the first; the wait before the n-th is `delay_ms * factor^(n-1)`. */
  retry: { max: number; delayMs: number; factor: number };
  /** `timeout_ms` of one attempt; the caller keeps it. */
  timeoutMs: number | undefined;
}

/** Where templates and expressions find names. `undefined` means that there is nothing at the path. */
export interface Scope {
  lookup(path: Path): unknown;
}

/** The place of a step in the iterations around it, outermost first. */
export interface LoopPosition {
  loopId: string;
  index: number;
  total: number;
}

/** One attempt of one node that is to be carried out now. */
export interface Step {
  /** Unique within the execution and the same in every attempt and after a crash, for example `loop-1[3]/llm-1`. */
  readonly key: string;
  readonly nodeId: string;
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
  /** 1 for the first. */
  readonly attempt: number;
  /** How long to wait before this attempt; 0 for the first. */
  readonly delayMs: number;
  readonly timeoutMs: number | undefined;
  readonly loops: readonly LoopPosition[];
  /** By the rules of data flow: the output of the one executed predecessor, or several merged. Never change it. */
  readonly input: unknown;
  /** Outputs of the executed predecessors in the order of their edges. */
  readonly predecessors: readonly { id: string; output: unknown }[];
  readonly scope: Scope;
}

/**
 * How a step ended for good: what a checkpoint has to keep. `same`: its output is its input, which need not be kept twice. `branch` is
 * the handle that a branching node chose.
 */
export type Outcome = { output: unknown; branch?: string } | { same: true; branch?: string } | { error: ErrorRecord };

export interface Failure {
  nodeId: string;
  key: string;
  error: ErrorRecord;
}

export type SkipReason = 'branch_not_taken' | 'predecessors_skipped' | 'unreachable';

/** What happened beside the steps themselves; for logs. */
export type Change =
  | { type: 'skipped'; key: string; nodeId: string; reason: SkipReason }
  | { type: 'retry'; key: string; nodeId: string; attempt: number; delayMs: number; error: ErrorRecord }
  /** The node failed and its error policy let the execution go on. */
  | { type: 'recovered'; key: string; nodeId: string; how: 'continue' | 'default'; error: ErrorRecord }
  /** The step's result is not wanted any more; stop its work. */
  | { type: 'abandoned'; key: string; nodeId: string }
  | { type: 'loop_started'; key: string; nodeId: string; total: number }
  | { type: 'loop_item_failed'; key: string; nodeId: string; index: number; failure: Failure }
  | { type: 'loop_finished'; key: string; nodeId: string; output: LoopOutput }
  | { type: 'completed' }
  | { type: 'failed'; failure: Failure };

export interface LoopOutput {
  /** In the order of the items; null for a failed one with `continue`, left out with `remove`. */
  results: unknown[];
  /** Length of `results`. */
  count: number;
  errors: { index: number; error: string; code: string; node_id: string }[];
}

export type ExecutionStatus = 'pending' | 'running' | 'completed' | 'failed';

export interface ExecutionOptions {
  /** Items of one loop. Default 10,000. */
  maxLoopItems?: number;
  /** Steps of the whole execution, retries not counted. Default 1,000,000. */
  maxSteps?: number;
  /** Bytes of one output, of a node or of a loop. Default 32 MiB. */
  maxOutputBytes?: number;
  /** Where the data that is held counts. Default: one of its own, 128 MiB. */
  budget?: DataBudget;
  /** Language of error texts that become data (`errors` of loops). Default `zh`. */
  language?: 'zh' | 'en';
  /**
   * End at the first failure, whichever it is. Default false: parallel steps before the failed one in the order of the
   * plan are waited for, so that the reported failure does not depend on timing.
   */
  failFast?: boolean;
}
