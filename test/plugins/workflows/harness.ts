import type { Database } from '../../../core/data/database.ts';
import { AppError } from '../../../core/errors.ts';
import { createLogger } from '../../../core/log.ts';
import type { Principal } from '../../../core/principal.ts';
import type { Graph } from '../../../plugins/workflows/public.ts';
import { workflowRunKind } from '../../../plugins/workflows/run.ts';
import { createExecutionService } from '../../../plugins/workflows/service/executions.ts';
import { createGraphs } from '../../../plugins/workflows/service/graphs.ts';
import { createNodeTypes } from '../../../plugins/workflows/service/node-types.ts';
import { createParts, type WorkflowOptions } from '../../../plugins/workflows/service/parts.ts';
import { createWorkflowService } from '../../../plugins/workflows/service/workflows.ts';
import type { NodeDescription } from '../../../runtime/pool/index.ts';
import { createRuns, type NodeExecutor, type NodeTask, type RunEvent } from '../../../runtime/runs/index.ts';
import { openTestDatabase } from '../../support/database.ts';

export const user = (name = 'owner', ...roles: ('user' | 'admin')[]): Principal => ({
  kind: 'user',
  accountId: name,
  tenantId: `tenant-${name}`,
  roles: roles.length > 0 ? roles : ['user'],
});

/** What a node of a test does; `call` counts the calls with the same idempotency key in this process. */
export type TestNode = (task: NodeTask & { call: number }, signal: AbortSignal) => unknown;

const OPTIONS: WorkflowOptions = {
  executionMs: 60_000,
  modelNodeMs: 5000,
  depth: 8,
  loopItems: 10_000,
  nodesAtOnce: 64,
  inlineBytes: 64 * 1024,
  outputBytes: 32 * 2 ** 20,
  dataBytes: 128 * 2 ** 20,
  allDataBytes: 1024 * 2 ** 20,
  listBytes: 32 * 2 ** 20,
};

/** Stands in for the worker pool: nodes are functions of the test, their configuration has free fields `a`, `b` and literal `raw`. */
export function fakePool(nodes: Record<string, TestNode>) {
  const calls: NodeTask[] = [];
  const executor: NodeExecutor & { describe(): NodeDescription[] } = {
    describe: () =>
      Object.keys(nodes).map((type) => ({
        type,
        version: 1,
        label: { zh: type, en: type },
        lane: 'shared' as const,
        callsModel: false,
        literal: ['raw'],
        config: { type: 'object', properties: { a: {}, b: { type: 'string' }, n: { type: 'number' }, raw: {} } },
        input: {},
        output: {},
        timeoutMs: 1000,
        retries: 2,
      })),
    async run(task, hooks, signal) {
      calls.push(task);
      const call = calls.filter(({ idempotencyKey }) => idempotencyKey === task.idempotencyKey).length;
      const node = nodes[task.type];
      if (!node) throw new Error(`no node ${task.type}`);
      void hooks.onEvent?.('hello', { from: task.type });
      return node({ ...task, call }, signal ?? new AbortController().signal);
    },
  };
  return { executor, calls };
}

/** The plugin without HTTP, over a store of its own. */
export async function openWorkflows(
  owner: { after(dispose: () => Promise<void>): void },
  nodes: Record<string, TestNode> = {},
  given: { database?: Database; options?: Partial<WorkflowOptions> } = {},
) {
  const database = given.database ?? (await openTestDatabase(owner));
  const { executor, calls } = fakePool({ 'test.echo': ({ input, config }) => ({ input, config }), ...nodes });
  const log = createLogger('silent');
  const runs = createRuns({ database, executor, log, options: { exclusive: true } });
  const parts = createParts({ database, runs, pool: executor, options: { ...OPTIONS, ...given.options }, log });
  const types = createNodeTypes(executor);
  const graphs = createGraphs(parts, types);
  const workflows = createWorkflowService(parts, types);
  const executions = createExecutionService(parts, graphs);
  runs.register(workflowRunKind(parts, graphs, types));
  await database.ready();
  await runs.recover();
  owner.after(() => runs.close({ timeoutMs: 1000 }));
  const me = user();

  const start = async (graph: Graph | string, input: Record<string, unknown> = {}): Promise<string> => {
    const id = typeof graph === 'string' ? graph : (await workflows.create(me, { name: 'w', ...graph })).id;
    return (await executions.start(me, id, input)).id;
  };
  const ended = async (executionId: string) => {
    const run = await runs.ended(me, executionId);
    const execution = await executions.get(me, executionId);
    return { ...execution, message: execution.error?.zh ?? '', run };
  };
  return {
    database,
    runs,
    workflows,
    executions,
    calls,
    me,
    start,
    ended,
    execute: async (graph: Graph | string, input: Record<string, unknown> = {}) => ended(await start(graph, input)),
    events: (executionId: string) => runs.events(me, executionId, 0, 1_000_000),
    /** Resolves when an event of the type (of the node) is in the log. */
    async seen(executionId: string, type: string, nodeId?: string): Promise<RunEvent> {
      for await (const event of runs.subscribe(me, executionId, 0)) {
        if (event.type === type && (nodeId === undefined || event.data.node_id === nodeId)) return event;
        if (event.type === 'execution_finished') break;
      }
      throw new Error(`The execution ended before ${type} of ${nodeId}`);
    },
    /** Resolves when the run has given its place back. */
    async resting(executionId: string): Promise<void> {
      while ((await runs.get(me, executionId))?.status !== 'waiting') await new Promise((next) => setImmediate(next));
    },
  };
}

type NodeSpec = string | [id: string, type: string, data?: Record<string, unknown>];

/** Nodes (`'start'`, or id, type and data) and edges (`a>b`, `a>b:handle`). */
export function graph(nodes: readonly NodeSpec[], ...edges: string[]): Graph {
  return {
    nodes: nodes.map((spec) => {
      const [id, type, data = {}] = typeof spec === 'string' ? [spec, spec] : spec;
      return { id, type, data };
    }),
    edges: edges.flatMap((chain) => {
      const ids = chain.split('>');
      return ids.slice(1).map((end, at) => {
        const [target = '', sourceHandle] = end.split(':');
        const [source = ''] = (ids[at] ?? '').split(':');
        return {
          id: `${source}-${target}-${sourceHandle ?? ''}`,
          source,
          target,
          ...(sourceHandle && { sourceHandle }),
        };
      });
    }),
  };
}

export const boom = (code = 'TEST_FAILED') => new AppError('internal', code, { zh: '测试失败', en: 'test failure' });
