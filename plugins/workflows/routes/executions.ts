import { defineRoute, EventStream, type Route } from '../../../core/http/route.ts';
import { id, oneOf, Type } from '../../../core/schema.ts';
import { perEvent } from '../../../runtime/runs/index.ts';
import type { RunEvent } from '../../../runtime/runs/service.ts';
import { EXECUTION_STATUS, type ExecutionService, LOG_LEVELS } from '../public.ts';
import {
  ExecutionReply,
  executionId,
  executionView,
  inputData,
  LogsReply,
  logView,
  NodeDetailReply,
  NodeSummaryReply,
  nodeDetailView,
  nodeSummaryView,
  StatusReply,
  SummaryReply,
  summaryView,
} from './schemas.ts';

const executionNode = Type.Object({ ...executionId.properties, node_id: Type.String() });

/** Worked out once per event, however many follow it. */
const messageText = perEvent(({ runId, seq, type, data, at }: RunEvent) =>
  JSON.stringify({ execution_id: runId, seq, type, data, at: at.toISOString() }),
);

async function* messagesOf(events: AsyncIterable<RunEvent>) {
  for await (const event of events) yield { id: event.seq, data: messageText(event) };
}

/** Number of the first event that the client has not seen. */
const offsetOf = (header: string | undefined, query: string | undefined): number => {
  const value = header?.trim() || query?.trim();
  return value !== undefined && /^\d{1,12}$/.test(value) ? Number(value) + 1 : 0;
};

/** Rows 18-23 of the lowcode document, and what belongs to executions beyond it. */
export const executionRoutes = (executions: ExecutionService): Route[] => [
  defineRoute({
    method: 'POST',
    path: '/executions',
    auth: 'user',
    status: 201,
    summary: { zh: '创建执行任务', en: 'Executes a workflow' },
    body: Type.Object({ workflow_id: id('workflow'), input_data: inputData }),
    reply: ExecutionReply,
    errors: ['WORKFLOW_NOT_FOUND', 'WORKFLOW_INVALID', 'WORKFLOW_STOPPED', 'TENANT_BUSY'],
    handler: async ({ principal, body, request: { language } }) =>
      executionView(await executions.start(principal, body.workflow_id, body.input_data), language),
  }),
  defineRoute({
    method: 'GET',
    path: '/executions',
    auth: 'user',
    summary: { zh: '获取执行记录列表', en: 'Lists executions, newest first' },
    query: Type.Object({
      workflow_id: Type.Optional(id('workflow')),
      status: Type.Optional(oneOf(EXECUTION_STATUS)),
      search: Type.Optional(Type.String({ maxLength: 200 })),
    }),
    paged: true,
    reply: ExecutionReply,
    handler: async ({ principal, query, paging, request: { language } }) => {
      const { workflow_id: workflowId, ...filter } = query;
      const found = await executions.list(principal, { ...filter, workflowId }, paging);
      return { items: found.map((execution) => executionView(execution, language)), total: found.length };
    },
  }),
  defineRoute({
    method: 'GET',
    path: '/executions/:execution_id',
    auth: 'user',
    summary: { zh: '获取执行详情', en: 'One execution' },
    params: executionId,
    reply: ExecutionReply,
    errors: ['EXECUTION_NOT_FOUND'],
    handler: async ({ principal, params, request: { language } }) =>
      executionView(await executions.get(principal, params.execution_id), language),
  }),
  defineRoute({
    method: 'GET',
    path: '/executions/:execution_id/status',
    auth: 'user',
    summary: { zh: '获取执行状态', en: 'State and progress of an execution' },
    params: executionId,
    reply: StatusReply,
    errors: ['EXECUTION_NOT_FOUND'],
    handler: async ({ principal, params }) => {
      const { status, progress, currentNode } = await executions.progress(principal, params.execution_id);
      return { status, progress, current_node: currentNode };
    },
  }),
  defineRoute({
    method: 'GET',
    path: '/execution-logs/executions/:execution_id',
    auth: 'user',
    summary: { zh: '获取执行日志', en: 'Log lines of an execution, oldest first' },
    params: executionId,
    query: Type.Object({
      level: Type.Optional(oneOf(LOG_LEVELS)),
      node_id: Type.Optional(Type.String()),
      skip: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, default: 0 }),
      limit: Type.Integer({ minimum: 1, maximum: 1000, default: 100 }),
    }),
    reply: LogsReply,
    errors: ['EXECUTION_NOT_FOUND'],
    handler: async ({ principal, params, query, request: { language } }) => {
      const { level, node_id: nodeId, skip, limit } = query;
      const page = { offset: skip, limit };
      const { items, total } = await executions.logs(principal, params.execution_id, { level, nodeId }, page);
      return { logs: items.map((log) => logView(log, language)), total, skip, limit };
    },
  }),
  defineRoute({
    method: 'GET',
    path: '/execution-logs/executions/:execution_id/summary',
    auth: 'user',
    summary: { zh: '获取执行日志摘要', en: 'Counts of the log lines of an execution' },
    params: executionId,
    reply: SummaryReply,
    errors: ['EXECUTION_NOT_FOUND'],
    handler: async ({ principal, params, request: { language } }) =>
      summaryView(await executions.logSummary(principal, params.execution_id), language),
  }),
  defineRoute({
    method: 'POST',
    path: '/executions/:execution_id/cancel',
    auth: 'user',
    summary: { zh: '取消执行', en: 'Cancels an execution' },
    params: executionId,
    reply: ExecutionReply,
    errors: ['EXECUTION_NOT_FOUND'],
    handler: async ({ principal, params, request: { language } }) =>
      executionView(await executions.cancel(principal, params.execution_id), language),
  }),
  defineRoute({
    method: 'POST',
    path: '/executions/:execution_id/retry',
    auth: 'user',
    status: 201,
    summary: { zh: '重新执行，可从指定节点开始', en: 'Executes again, from a chosen node with the earlier outputs' },
    params: executionId,
    body: Type.Object({ from_node: Type.Optional(Type.String({ minLength: 1 })) }),
    bodyOptional: true,
    reply: ExecutionReply,
    errors: ['EXECUTION_NOT_FOUND', 'EXECUTION_RUNNING', 'EXECUTION_NODE_NOT_FOUND', 'TENANT_BUSY'],
    handler: async ({ principal, params, body, request: { language } }) =>
      executionView(await executions.retry(principal, params.execution_id, body.from_node), language),
  }),
  defineRoute({
    method: 'GET',
    path: '/executions/:execution_id/events',
    auth: 'user',
    summary: { zh: '执行事件流，可用 Last-Event-ID 续传', en: 'Events of an execution; resumes after Last-Event-ID' },
    params: executionId,
    query: Type.Object({ last_event_id: Type.Optional(Type.String()) }),
    replyType: 'events',
    errors: ['EXECUTION_NOT_FOUND'],
    handler: async ({ principal, params, query, request }) => {
      const from = offsetOf(request.header('last-event-id'), query.last_event_id);
      const { events } = await executions.follow(principal, params.execution_id, from, request.signal);
      return new EventStream(messagesOf(events), { retryMs: 1000 });
    },
  }),
  defineRoute({
    method: 'GET',
    path: '/executions/:execution_id/nodes',
    auth: 'user',
    summary: { zh: '获取执行中各节点的状态', en: 'What became of each node of an execution' },
    params: executionId,
    reply: Type.Array(NodeSummaryReply),
    errors: ['EXECUTION_NOT_FOUND'],
    handler: async ({ principal, params, request: { language } }) =>
      (await executions.nodes(principal, params.execution_id)).map((node) => nodeSummaryView(node, language)),
  }),
  defineRoute({
    method: 'GET',
    path: '/executions/:execution_id/nodes/:node_id',
    auth: 'user',
    summary: { zh: '获取节点的输入与输出', en: 'Input and output of a node' },
    params: executionNode,
    query: Type.Object({ key: Type.Optional(Type.String({ description: 'the step, where there are several' })) }),
    reply: NodeDetailReply,
    errors: ['EXECUTION_NOT_FOUND', 'EXECUTION_NODE_NOT_FOUND'],
    handler: async ({ principal, params, query, request: { language } }) =>
      nodeDetailView(await executions.node(principal, params.execution_id, params.node_id, query.key), language),
  }),
  defineRoute({
    method: 'POST',
    path: '/executions/:execution_id/nodes/:node_id/approve',
    auth: 'user',
    summary: { zh: '审批等待中的节点', en: 'Approves or rejects what a node waits for' },
    message: { zh: '审批已提交', en: 'The decision is stored' },
    params: executionNode,
    body: Type.Object({
      approved: Type.Boolean(),
      comment: Type.Optional(Type.String({ maxLength: 2000 })),
      data: Type.Optional(Type.Unknown()),
      key: Type.Optional(Type.String({ description: 'the step, where there are several' })),
    }),
    errors: ['EXECUTION_NOT_FOUND', 'NODE_NOT_WAITING', 'NODE_KEY_REQUIRED'],
    handler: async ({ principal, params, body }) => {
      await executions.approve(principal, params.execution_id, params.node_id, body);
    },
  }),
];
