import { createHash } from 'node:crypto';
import { AppError } from '../../core/errors.ts';
import type { Principal } from '../../core/principal.ts';
import { RunInterrupted } from '../../core/run-kind.ts';
import { freeObject, Type } from '../../core/schema.ts';
import { defineTool, type ToolDefinition } from '../../core/tool.ts';
import type { RunService } from '../../runtime/runs/service.ts';
import type { ExecutionInput } from './engine/engine.ts';
import { tooDeep } from './errors.ts';
import type { ExecutionService, Workflow, WorkflowService } from './public.ts';
import { RUN_KIND } from './service/parts.ts';

const MOST = 50;

export interface WorkflowToolParts {
  workflows: Pick<WorkflowService, 'list' | 'get'>;
  executions: Pick<ExecutionService, 'start' | 'cancel' | 'follow'>;
  runs: Pick<RunService, 'get' | 'ended'>;
  /** Workflows that agents start in workflows that agents started. */
  depth: number;
  /** Longest execution. */
  executionMs: number;
}

/** Workflows as tools of models. */
export function workflowTools({
  workflows,
  executions,
  runs,
  depth,
  executionMs,
}: WorkflowToolParts): ToolDefinition[] {
  const published = async (principal: Principal, search?: string, limit = MOST): Promise<Workflow[]> => {
    const filter = { status: 'published', search, sortBy: 'updated_at', sortOrder: 'desc' } as const;
    return (await workflows.list(principal, filter, { offset: 0, limit })).items;
  };

  const byId = async (principal: Principal, id: string): Promise<Workflow | undefined> => {
    try {
      const found = await workflows.get(principal, id);
      return found.status === 'published' ? found : undefined;
    } catch (error) {
      if (error instanceof AppError && error.kind === 'not_found') return undefined;
      throw error;
    }
  };

  const find = async (principal: Principal, wanted: string): Promise<Workflow> => {
    const found = await byId(principal, wanted);
    if (found) return found;
    const [first, ...others] = (await published(principal, wanted)).filter(({ name }) => name === wanted);
    if (!first) {
      throw failure(
        'WORKFLOW_NOT_PUBLISHED',
        `没有已发布的工作流 ${wanted}`,
        `There is no published workflow ${wanted}`,
      );
    }
    if (others.length === 0) return first;
    const ids = [first, ...others].map(({ id }) => id).join(', ');
    throw failure(
      'WORKFLOW_AMBIGUOUS',
      `有多个名为“${wanted}”的工作流：${ids}`,
      `Several workflows are named "${wanted}": ${ids}`,
    );
  };

  /** How many agents stand between the workflow that is to be started and the first one. */
  const nestingOf = async (principal: Principal, runId: string): Promise<number> => {
    const run = await runs.get(principal, runId);
    const nested = run?.kind === RUN_KIND ? ((run.input as ExecutionInput).nested ?? 0) + 1 : 1;
    if (nested > depth) throw tooDeep(depth);
    return nested;
  };

  /** Waits for the end, or for a person: that may take days. */
  const outcome = async (principal: Principal, executionId: string, signal: AbortSignal) => {
    const { events } = await executions.follow(principal, executionId, 0, signal);
    for await (const { type, data } of events) {
      if (type === 'node_waiting' && data.for === 'approval') {
        return { execution_id: executionId, status: 'waiting', waits_for: 'an approval by a person' };
      }
    }
    const { status, result, error } = await runs.ended(principal, executionId, signal);
    if (status === 'succeeded') return { execution_id: executionId, status: 'completed', output: result };
    const why = error?.message ?? { zh: '执行已取消', en: 'it was cancelled' };
    throw failure('WORKFLOW_FAILED', `工作流执行失败：${why.zh}`, `The execution ${executionId} failed: ${why.en}`);
  };

  const available: ToolDefinition['available'] = async ({ principal }) =>
    (await published(principal, undefined, 1)).length > 0;

  return [
    defineTool({
      name: 'list_workflows',
      category: 'workflow',
      description:
        'Lists the workflows that run_workflow can start, with the fields of their input where they declare any.',
      parameters: Type.Object({}),
      effect: 'reads',
      available,
      call: async ({ principal }) =>
        (await published(principal)).map(({ id, name, description, nodes }) => ({
          id,
          name,
          description,
          input: nodes.flatMap(({ type, data }) =>
            type === 'input' && Array.isArray(data?.fields) ? data.fields : [],
          ),
        })),
    }),
    defineTool({
      name: 'run_workflow',
      category: 'workflow',
      description: 'Starts a workflow, waits for its end, and returns its output.',
      parameters: Type.Object({
        workflow: Type.String({ minLength: 1, maxLength: 200, description: 'id or name, see list_workflows' }),
        input: freeObject({ default: {}, description: 'input data by name' }),
      }),
      effect: 'changes',
      // The workflow has a limit of its own; this is for one that does not get its turn.
      timeoutMs: Math.min(executionMs + 60_000, 2 ** 31 - 1),
      available,
      async call({ arguments: { workflow, input }, principal, runId, idempotencyKey, signal }) {
        const { id } = await find(principal, workflow);
        const nested = await nestingOf(principal, runId);
        const execution = await executions.start(principal, id, input, { id: uuidOf(idempotencyKey), nested });
        try {
          return await outcome(principal, execution.id, signal);
        } catch (error) {
          // Whoever is interrupted comes back with the same key and waits on.
          if (signal.aborted && !(signal.reason instanceof RunInterrupted)) {
            await executions.cancel(principal, execution.id);
          }
          throw error;
        }
      },
    }),
  ];
}

const failure = (code: string, zh: string, en: string) => new AppError('invalid', code, { zh, en });

/** Execution ids are UUIDs: the same key gives the same one, so a call that is repeated finds its execution. */
function uuidOf(key: string): string {
  const hex = createHash('sha256').update(key).digest('hex');
  const variant = ((Number.parseInt(hex.charAt(16), 16) & 3) | 8).toString(16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
