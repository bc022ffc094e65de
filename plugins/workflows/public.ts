import type { ErrorRecord, LocalText } from '../../core/errors.ts';
import type { Page } from '../../core/http/route.ts';
import type { Principal } from '../../core/principal.ts';
import { defineService } from '../../core/service.ts';
import type { GraphEdge, GraphNode } from '../../runtime/graph/index.ts';
import type { RunEvent } from '../../runtime/runs/service.ts';

export const WORKFLOW_STATUS = ['draft', 'published', 'running', 'stopped'] as const;
export type WorkflowStatus = (typeof WORKFLOW_STATUS)[number];
export const EXECUTION_STATUS = ['pending', 'running', 'completed', 'failed'] as const;
export type ExecutionStatus = (typeof EXECUTION_STATUS)[number];
export const LOG_LEVELS = ['info', 'warn', 'error', 'debug'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Nodes and edges as the client gave them; fields that nobody knows are kept. */
export interface Graph {
  nodes: GraphNode[];
  edges: GraphEdge[];
}

export interface Workflow extends Graph {
  id: string;
  name: string;
  description: string | null;
  /** Counts changes of content from 1. */
  version: number;
  status: WorkflowStatus;
  ownerId: string;
  createdAt: Date;
  updatedAt: Date;
}

export interface WorkflowVersion extends Graph {
  id: string;
  workflowId: string;
  version: number;
  name: string;
  description: string | null;
  status: WorkflowStatus;
  comment: string | null;
  createdBy: string;
  createdAt: Date;
}

export interface WorkflowTemplate extends Graph {
  id: string;
  name: LocalText;
  description: LocalText;
  category: string;
}

export interface NewWorkflow extends Graph {
  name: string;
  description?: string | null | undefined;
}

export interface WorkflowChanges extends Partial<NewWorkflow> {
  status?: WorkflowStatus | undefined;
  /** Kept with the new version. */
  comment?: string | undefined;
}

export interface Execution {
  id: string;
  workflowId: string;
  /** Of the workflow when it was started; null in lists that leave large inputs out. */
  version: number | null;
  status: ExecutionStatus;
  /** In lists, data that is too large for one is `{_truncated: true}`. */
  inputData: Record<string, unknown>;
  outputData: Record<string, unknown> | null;
  error: LocalText | null;
  /** Milliseconds from start to end; null before the end. */
  executionTime: number | null;
  createdAt: Date;
  startedAt: Date | null;
  completedAt: Date | null;
}

export interface ExecutionProgress {
  status: ExecutionStatus;
  /** Percent of nodes that are finished or skipped; 100 only when completed. */
  progress: number;
  /** Id of a node that is running or waits. */
  currentNode: string | null;
}

export interface ExecutionLog {
  id: string;
  executionId: string;
  /** Null: a line of the whole execution. */
  nodeId: string | null;
  nodeType: string | null;
  level: LogLevel;
  message: LocalText;
  data: Record<string, unknown> | null;
  timestamp: Date;
  durationMs: number | null;
}

export interface LogSummary {
  totalLogs: number;
  levelStats: Record<LogLevel, number>;
  nodeStats: { nodeId: string; nodeType: string; logCount: number; totalDurationMs: number }[];
  errorLogs: ExecutionLog[];
}

export type NodeState = 'running' | 'waiting' | 'finished' | 'failed' | 'skipped';

/** What became of one node of an execution. */
export interface NodeSummary {
  nodeId: string;
  nodeType: string;
  status: NodeState;
  /** How often it was carried out; more than once in loops. */
  runs: number;
  failures: number;
  startedAt: Date | null;
  finishedAt: Date | null;
  durationMs: number;
  error: ErrorRecord | null;
  /** Keys of its steps, at most 1000: more than one in loops and sub-workflows. */
  keys: string[];
}

/** Input and output of one step of an execution. */
export interface NodeDetail extends NodeSummary {
  /** The step that is shown. */
  key: string;
  input: unknown;
  output: unknown;
}

export interface Approval {
  approved: boolean;
  comment?: string | undefined;
  data?: unknown;
  /** The step, when the node waits in several places. */
  key?: string | undefined;
}

/** A node type as editors show it. */
export interface NodeType {
  type: string;
  version: number;
  label: LocalText;
  summary: LocalText;
  /** `control`: carried out by the engine itself; else the lane of the worker pool. */
  lane: 'control' | 'shared' | 'isolated';
  /** Fields whose text is not a template. */
  literal: readonly string[];
  /** JSON Schema of the node's `data`. */
  config: Record<string, unknown>;
  input: Record<string, unknown>;
  output: Record<string, unknown>;
}

export interface PageRequest {
  offset: number;
  limit: number;
}

/**
 * Workflows and their executions. Everybody sees and changes their own; administrators those of everybody. What is not the
 * caller's is not found.
 */
export interface WorkflowService {
  /** @throws {AppError} LIST_TOO_LARGE when the graphs of the page are more than one answer can hold */
  list(
    principal: Principal,
    filter: {
      search?: string | undefined;
      status?: WorkflowStatus | undefined;
      sortBy: 'name' | 'created_at' | 'updated_at';
      sortOrder: 'asc' | 'desc';
    },
    page: PageRequest,
  ): Promise<Page<Workflow>>;
  create(principal: Principal, workflow: NewWorkflow): Promise<Workflow>;
  get(principal: Principal, workflowId: string): Promise<Workflow>;
  /** @throws {AppError} WORKFLOW_INVALID when a graph with errors is published; WORKFLOW_CHANGED */
  update(principal: Principal, workflowId: string, changes: WorkflowChanges): Promise<Workflow>;
  /** Removes versions, executions and logs as well; executions under way are cancelled. */
  delete(principal: Principal, workflowId: string): Promise<void>;
  validate(graph: Graph): { valid: boolean; errors: LocalText[]; warnings: LocalText[] };
  /** Newest first. @throws {AppError} LIST_TOO_LARGE */
  versions(principal: Principal, workflowId: string, page: PageRequest): Promise<WorkflowVersion[]>;
  version(principal: Principal, workflowId: string, version: number): Promise<WorkflowVersion>;
  rollback(principal: Principal, workflowId: string, version: number, comment?: string): Promise<Workflow>;
  diff(principal: Principal, workflowId: string, from: number, to: number): Promise<Record<string, unknown>>;
  templates(): WorkflowTemplate[];
  template(templateId: string): WorkflowTemplate;
  nodeTypes(): NodeType[];
}

export interface ExecutionService {
  /**
   * @param options.id makes it repeatable: the same id a second time is the same execution
   * @param options.nested an agent starts it: how many of them stand between it and the first workflow
   * @throws {AppError} WORKFLOW_INVALID, WORKFLOW_STOPPED, TENANT_BUSY
   */
  start(
    principal: Principal,
    workflowId: string,
    inputData: Record<string, unknown>,
    options?: { id?: string; nested?: number },
  ): Promise<Execution>;
  list(
    principal: Principal,
    filter: { workflowId?: string | undefined; status?: ExecutionStatus | undefined; search?: string | undefined },
    page: PageRequest,
  ): Promise<Execution[]>;
  get(principal: Principal, executionId: string): Promise<Execution>;
  progress(principal: Principal, executionId: string): Promise<ExecutionProgress>;
  cancel(principal: Principal, executionId: string): Promise<Execution>;
  /**
   * A new execution of the same version and input.
   *
   * @param fromNode nodes before it keep their outputs and are not carried out again
   * @throws {AppError} EXECUTION_RUNNING, EXECUTION_NODE_NOT_FOUND
   */
  retry(principal: Principal, executionId: string, fromNode?: string): Promise<Execution>;
  /** @throws {AppError} NODE_NOT_WAITING, NODE_KEY_REQUIRED */
  approve(principal: Principal, executionId: string, nodeId: string, approval: Approval): Promise<void>;
  logs(
    principal: Principal,
    executionId: string,
    filter: { level?: LogLevel | undefined; nodeId?: string | undefined },
    page: PageRequest,
  ): Promise<Page<ExecutionLog>>;
  logSummary(principal: Principal, executionId: string): Promise<LogSummary>;
  nodes(principal: Principal, executionId: string): Promise<NodeSummary[]>;
  /** @param key the step to show. Default: the last one of the node */
  node(principal: Principal, executionId: string, nodeId: string, key?: string): Promise<NodeDetail>;
  /**
   * The execution's events from `from` on until it has ended, then the end.
   *
   * @throws {AppError} EXECUTION_NOT_FOUND before the first event
   */
  follow(
    principal: Principal,
    executionId: string,
    from: number,
    signal?: AbortSignal,
  ): Promise<{ execution: Execution; events: AsyncIterable<RunEvent> }>;
}

export const workflowService = defineService<WorkflowService>('workflows');
export const executionService = defineService<ExecutionService>('executions');
