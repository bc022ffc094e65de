import type { Principal } from '../../../core/principal.ts';
import type { Run, RunService, RunState, RunStatus } from '../../../runtime/runs/service.ts';
import type { ExecutionInput } from '../engine/engine.ts';
import {
  ambiguousNode,
  executionNotFound,
  executionRunning,
  nodeNotFound,
  notWaiting,
  workflowStopped,
} from '../errors.ts';
import type { Execution, ExecutionProgress, ExecutionService, ExecutionStatus } from '../public.ts';
import { findWorkflow, isAdmin, ownerOf } from './access.ts';
import { followRun, hasEnded, storedEvents } from './follow.ts';
import type { Graphs } from './graphs.ts';
import { createSummary, logLine } from './logs.ts';
import { readNode } from './node-detail.ts';
import { createNodeStates } from './node-states.ts';
import { RUN_KIND, type WorkflowParts } from './parts.ts';

const STATUS: Readonly<Record<RunStatus, ExecutionStatus>> = {
  pending: 'pending',
  running: 'running',
  waiting: 'running',
  succeeded: 'completed',
  failed: 'failed',
  cancelled: 'failed',
};

/** Longest input and output (as JSON) that lists show; the execution by itself shows all. */
const LISTED_BYTES = 64 * 1024;
const LEFT_OUT = { _truncated: true };

const statusFilter = (wanted: ExecutionStatus): RunStatus[] =>
  (Object.entries(STATUS) as [RunStatus, ExecutionStatus][]).flatMap(([run, shown]) => (shown === wanted ? [run] : []));

export function createExecutionService(parts: WorkflowParts, graphs: Graphs): ExecutionService {
  const { runs } = parts;

  const begin = async (
    scope: { tenantId: string; ownerId: string },
    input: ExecutionInput,
    name: string,
    id?: string,
  ): Promise<Execution> => {
    const search = `${name} ${JSON.stringify(input.input)}`;
    const run = await runs.start(ownerOf(scope), RUN_KIND, input, {
      meta: { subject: input.workflowId, search },
      ...(id !== undefined && { id }),
    });
    // It has begun by now, or not; what was asked for is that it is accepted.
    return { ...executionView(run), status: 'pending', startedAt: null };
  };

  /** The run, and who may read its log: its owner, whoever asks. */
  const seen = <R extends RunState>(principal: Principal, run: R | undefined): { run: R; as: Principal } => {
    const mine = run && (isAdmin(principal) || run.ownerId === principal.accountId);
    if (!run || !mine || run.kind !== RUN_KIND) throw executionNotFound();
    return { run, as: ownerOf(run) };
  };
  const find = async (principal: Principal, executionId: string) =>
    seen(principal, await runs.get(principal, executionId, { everyTenant: isAdmin(principal) }));
  /** Inputs and results may be large; most questions are not about them. */
  const findState = async (principal: Principal, executionId: string) =>
    seen(principal, await runs.state(principal, executionId, { everyTenant: isAdmin(principal) }));

  return {
    async start(principal, workflowId, inputData, { id, nested } = {}) {
      const workflow = await findWorkflow(parts, principal, workflowId);
      if (workflow.status === 'stopped') throw workflowStopped();
      const { version, name } = workflow;
      await graphs.get(workflow, workflowId, version);
      const input = { workflowId, version, input: inputData, ...(nested !== undefined && { nested }) };
      return begin(workflow, input, name, id);
    },

    async list(principal, { workflowId, status, search }, { offset, limit }) {
      const found = await runs.list(
        principal,
        {
          kind: RUN_KIND,
          ...(isAdmin(principal) ? { everyTenant: true } : { ownerId: principal.accountId }),
          ...(workflowId !== undefined && { subject: workflowId }),
          ...(status && { status: statusFilter(status) }),
          ...(search && { search }),
        },
        { offset, limit, valueBytes: LISTED_BYTES },
      );
      return found.map(executionView);
    },

    get: async (principal, executionId) => executionView((await find(principal, executionId)).run),

    async progress(principal, executionId) {
      const { run, as } = await findState(principal, executionId);
      return progressOf(runs, as, run);
    },

    async cancel(principal, executionId) {
      const { run, as } = await findState(principal, executionId);
      const cancelled = await runs.cancel(as, run.id, 'cancelled by the user');
      if (!cancelled) throw executionNotFound();
      return executionView(cancelled);
    },

    async retry(principal, executionId, fromNode) {
      const { run, as } = await find(principal, executionId);
      if (!hasEnded(run)) throw executionRunning();
      const { workflowId, version, input } = run.input as ExecutionInput;
      const { plan, name } = await graphs.get(run, workflowId, version);
      if (fromNode !== undefined && !plan.byId.has(fromNode)) throw nodeNotFound(fromNode);
      const reuse = fromNode === undefined ? {} : { reuse: { executionId, fromNode } };
      return begin({ tenantId: as.tenantId, ownerId: as.accountId }, { workflowId, version, input, ...reuse }, name);
    },

    async approve(principal, executionId, nodeId, { approved, comment = '', data = null, key }) {
      const { run, as } = await findState(principal, executionId);
      const waiting = new Set<string>();
      for await (const { type, data: event } of storedEvents(runs, as, run.logId)) {
        if (event.node_id !== nodeId || typeof event.key !== 'string') continue;
        if (type === 'node_waiting' && event.for === 'approval') waiting.add(event.key);
        if (type === 'node_finished' || type === 'node_failed') waiting.delete(event.key);
      }
      const [only] = waiting;
      const chosen = key ?? only;
      if (chosen === undefined || !waiting.has(chosen) || hasEnded(run)) throw notWaiting(nodeId);
      if (key === undefined && waiting.size > 1) throw ambiguousNode(nodeId, [...waiting]);
      const decision = {
        approved,
        comment,
        data,
        decided_by: principal.accountId,
        decided_at: new Date().toISOString(),
      };
      if (!(await runs.signal(as, run.id, chosen, decision))) throw notWaiting(nodeId);
    },

    async logs(principal, executionId, { level, nodeId }, { offset, limit }) {
      const { run, as } = await findState(principal, executionId);
      const items = [];
      let total = 0;
      for await (const event of storedEvents(runs, as, run.logId)) {
        const line = logLine(event);
        if (!line || (level && line.level !== level) || (nodeId !== undefined && line.nodeId !== nodeId)) continue;
        if (total >= offset && items.length < limit) items.push(line);
        total += 1;
      }
      return { items, total };
    },

    async logSummary(principal, executionId) {
      const { run, as } = await findState(principal, executionId);
      const counted = createSummary();
      for await (const event of storedEvents(runs, as, run.logId)) {
        const line = logLine(event);
        if (line) counted.add(line);
      }
      return counted.summary;
    },

    async nodes(principal, executionId) {
      const { run, as } = await findState(principal, executionId);
      const states = createNodeStates();
      for await (const event of storedEvents(runs, as, run.logId)) states.add(event);
      return states.end();
    },

    async node(principal, executionId, nodeId, key) {
      const found = (await this.nodes(principal, executionId)).find((node) => node.nodeId === nodeId);
      const chosen = key ?? found?.keys.at(-1);
      if (!found || chosen === undefined) throw nodeNotFound(nodeId);
      const { run, as } = await find(principal, executionId);
      const steps = await runs.steps(as, run.id);
      const { workflowId, version, input } = run.input as ExecutionInput;
      const { plan } = await graphs.get(run, workflowId, version);
      const detail = steps && (await readNode({ graphs, run, steps, plan, input }, chosen));
      if (!detail) throw nodeNotFound(nodeId);
      return { ...found, ...detail, key: chosen };
    },

    async follow(principal, executionId, from, signal) {
      const { run, as } = await find(principal, executionId);
      return { execution: executionView(run), events: await followRun(runs, as, run, from, signal) };
    },
  };
}

export function executionView(run: Run): Execution {
  const given = run.input as ExecutionInput | undefined;
  const { startedAt, finishedAt, leftOut = [] } = run;
  const result = leftOut.includes('result') ? LEFT_OUT : (run.result as Record<string, unknown> | undefined);
  return {
    id: run.id,
    workflowId: given?.workflowId ?? run.subject ?? '',
    version: given?.version ?? null,
    status: STATUS[run.status],
    inputData: given?.input ?? LEFT_OUT,
    outputData: result ?? null,
    error:
      run.status === 'cancelled'
        ? { zh: '执行已取消', en: 'The execution was cancelled' }
        : (run.error?.message ?? null),
    executionTime: finishedAt ? Math.max(0, finishedAt.getTime() - (startedAt ?? run.createdAt).getTime()) : null,
    createdAt: run.createdAt,
    startedAt: startedAt ?? null,
    completedAt: finishedAt ?? null,
  };
}

async function progressOf(runs: RunService, as: Principal, run: RunState): Promise<ExecutionProgress> {
  const status = STATUS[run.status];
  if (status === 'completed') return { status, progress: 100, currentNode: null };
  const last = await runs.lastEvent(as, run.logId, ['status']);
  const progress = Number(last?.data.progress ?? 0);
  const currentNode = status === 'running' ? ((last?.data.current_node as string | null | undefined) ?? null) : null;
  return { status, progress, currentNode };
}
