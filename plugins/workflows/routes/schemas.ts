import type { Language } from '../../../core/contracts/contract.ts';
import type { LocalText } from '../../../core/errors.ts';
import { freeObject, id, nullable, oneOf, type TSchema, Type, text, time } from '../../../core/schema.ts';
import {
  EXECUTION_STATUS,
  type Execution,
  type ExecutionLog,
  LOG_LEVELS,
  type LogSummary,
  type NodeDetail,
  type NodeSummary,
  type NodeType,
  WORKFLOW_STATUS,
  type Workflow,
  type WorkflowTemplate,
  type WorkflowVersion,
} from '../public.ts';

const label = (zh: string, en: string) => ({ label: { zh, en } });
const free = <T>(type: string) => Type.Unsafe<T>(type === 'any' ? {} : { type });

/** Fields that nobody knows are kept and given back. */
export const Node = Type.Object(
  {
    id: Type.String({ minLength: 1, maxLength: 200, ...label('节点 id', 'Node id') }),
    type: Type.String({ minLength: 1, maxLength: 100, ...label('节点类型', 'Node type') }),
    position: Type.Optional(free<{ x: number; y: number }>('any')),
    data: Type.Optional(Type.Unsafe<Record<string, unknown>>({ type: 'object', additionalProperties: true })),
  },
  { additionalProperties: true },
);
export const Edge = Type.Object(
  {
    source: Type.String({ minLength: 1, ...label('起点', 'Source') }),
    target: Type.String({ minLength: 1, ...label('终点', 'Target') }),
  },
  { additionalProperties: true },
);
export const nodes = Type.Array(Node, label('节点', 'Nodes'));
export const edges = Type.Array(Edge, { default: [], ...label('连线', 'Edges') });
export const workflowName = text({ minLength: 1, maxLength: 100, ...label('名称', 'Name') });
export const description = nullable(Type.String({ maxLength: 2000, ...label('描述', 'Description') }));
export const inputData = freeObject({ default: {}, ...label('输入数据', 'Input data') });
export const workflowId = Type.Object({ workflow_id: id('workflow') });
export const executionId = Type.Object({ execution_id: id('execution') });
export const versionNumber = Type.Integer({
  minimum: 1,
  maximum: Number.MAX_SAFE_INTEGER,
  ...label('版本', 'Version'),
});

const graphReply = {
  nodes: Type.Array(free<object>('object')),
  edges: Type.Array(free<object>('object')),
};

export const WorkflowReply = Type.Object({
  id: id('workflow'),
  name: Type.String(),
  description: nullable(Type.String()),
  ...graphReply,
  version: Type.Integer(),
  status: oneOf(WORKFLOW_STATUS),
  user_id: id('user'),
  created_at: time(),
  updated_at: time(),
});
export const workflowView = ({ ownerId, createdAt, updatedAt, ...workflow }: Workflow) => ({
  ...workflow,
  user_id: ownerId,
  created_at: createdAt,
  updated_at: updatedAt,
});

export const VersionReply = Type.Object({
  id: Type.String({ format: 'uuid' }),
  workflow_id: id('workflow'),
  version: Type.Integer(),
  name: Type.String(),
  description: nullable(Type.String()),
  ...graphReply,
  status: oneOf(WORKFLOW_STATUS),
  comment: nullable(Type.String()),
  created_by: id('user'),
  created_at: time(),
});
export const versionView = ({ workflowId: workflow, createdBy, createdAt, ...version }: WorkflowVersion) => ({
  ...version,
  workflow_id: workflow,
  created_by: createdBy,
  created_at: createdAt,
});

export const TemplateReply = Type.Object({
  id: Type.String(),
  name: Type.String(),
  description: Type.String(),
  category: Type.String(),
  ...graphReply,
});
export const templateView = (template: WorkflowTemplate, language: Language) => ({
  ...template,
  name: template.name[language],
  description: template.description[language],
});

export const ExecutionReply = Type.Object({
  id: id('execution'),
  workflow_id: id('workflow'),
  status: oneOf(EXECUTION_STATUS),
  input_data: free<object>('object'),
  output_data: nullable(free<object>('object')),
  error_message: nullable(Type.String()),
  task_id: Type.String(),
  execution_time: nullable(Type.Integer({ description: 'milliseconds' })),
  created_at: time(),
  started_at: nullable(time()),
  completed_at: nullable(time()),
});
export const executionView = (execution: Execution, language: Language) => ({
  id: execution.id,
  workflow_id: execution.workflowId,
  status: execution.status,
  input_data: execution.inputData,
  output_data: execution.outputData,
  error_message: execution.error?.[language] ?? null,
  // The execution is the job of the queue.
  task_id: execution.id,
  execution_time: execution.executionTime,
  created_at: execution.createdAt,
  started_at: execution.startedAt,
  completed_at: execution.completedAt,
});

export const StatusReply = Type.Object({
  status: oneOf(EXECUTION_STATUS),
  progress: Type.Integer({ minimum: 0, maximum: 100 }),
  current_node: nullable(Type.String()),
});

export const LogReply = Type.Object({
  id: id('execution_log'),
  execution_id: id('execution'),
  node_id: nullable(Type.String()),
  node_type: nullable(Type.String()),
  level: oneOf(LOG_LEVELS),
  message: Type.String(),
  data: nullable(free<object>('object')),
  timestamp: time(),
  duration_ms: nullable(Type.Number()),
});
export const logView = (log: ExecutionLog, language: Language) => ({
  id: log.id,
  execution_id: log.executionId,
  node_id: log.nodeId,
  node_type: log.nodeType,
  level: log.level,
  message: log.message[language],
  data: log.data,
  timestamp: log.timestamp,
  duration_ms: log.durationMs,
});
export const LogsReply = Type.Object({
  logs: Type.Array(LogReply),
  total: Type.Integer(),
  skip: Type.Integer(),
  limit: Type.Integer(),
});

const count = Type.Integer();
export const SummaryReply = Type.Object({
  total_logs: count,
  level_stats: Type.Object({ info: count, warn: count, error: count, debug: count }),
  node_stats: Type.Array(
    Type.Object({
      node_id: Type.String(),
      node_type: Type.String(),
      log_count: count,
      total_duration_ms: Type.Number(),
    }),
  ),
  error_logs: Type.Array(LogReply),
});
export const summaryView = (summary: LogSummary, language: Language) => ({
  total_logs: summary.totalLogs,
  level_stats: summary.levelStats,
  node_stats: summary.nodeStats.map((node) => ({
    node_id: node.nodeId,
    node_type: node.nodeType,
    log_count: node.logCount,
    total_duration_ms: node.totalDurationMs,
  })),
  error_logs: summary.errorLogs.map((log) => logView(log, language)),
});

export const ValidationReply = Type.Object({
  valid: Type.Boolean(),
  errors: Type.Array(Type.String()),
  warnings: Type.Array(Type.String()),
});
export const texts = (list: readonly LocalText[], language: Language) => list.map((each) => each[language]);

const nodeFields = {
  node_id: Type.String(),
  node_type: Type.String(),
  status: oneOf(['running', 'waiting', 'finished', 'failed', 'skipped']),
  runs: Type.Integer({ description: 'how often it was carried out; more than once in loops' }),
  failures: Type.Integer(),
  started_at: nullable(time()),
  finished_at: nullable(time()),
  duration_ms: Type.Number(),
  error: nullable(Type.Object({ code: Type.String(), message: Type.String() })),
  keys: Type.Array(Type.String(), { description: 'its steps, at most 1000' }),
};
export const NodeSummaryReply = Type.Object(nodeFields);
export const NodeDetailReply = Type.Object({
  ...nodeFields,
  key: Type.String(),
  input: free<unknown>('any'),
  output: free<unknown>('any'),
});
export const nodeSummaryView = (node: NodeSummary, language: Language) => ({
  node_id: node.nodeId,
  node_type: node.nodeType,
  status: node.status,
  runs: node.runs,
  failures: node.failures,
  started_at: node.startedAt,
  finished_at: node.finishedAt,
  duration_ms: node.durationMs,
  error: node.error && { code: node.error.code, message: node.error.message[language] },
  keys: node.keys,
});
export const nodeDetailView = (node: NodeDetail, language: Language) => ({
  ...nodeSummaryView(node, language),
  key: node.key,
  input: node.input,
  output: node.output,
});

export const NodeTypeReply = Type.Object({
  type: Type.String(),
  version: Type.Integer(),
  label: Type.String(),
  summary: Type.String(),
  lane: oneOf(['control', 'shared', 'isolated']),
  literal: Type.Array(Type.String(), { description: 'fields whose text is no template' }),
  config: free<object>('object') as TSchema,
  input: free<object>('object') as TSchema,
  output: free<object>('object') as TSchema,
});
export const nodeTypeView = (node: NodeType, language: Language) => ({
  ...node,
  label: node.label[language],
  summary: node.summary[language],
});
