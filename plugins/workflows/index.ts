import { databaseService } from '../../core/data/database.ts';
import { definePlugin } from '../../core/plugin.ts';
import { Type } from '../../core/schema.ts';
import { poolService } from '../../runtime/pool/index.ts';
import { runService } from '../../runtime/runs/service.ts';
import { nodeFiles } from './nodes/index.ts';
import { executionService, workflowService } from './public.ts';
import { lowcodeRoutes } from './routes/lowcode.ts';
import { workflowRunKind } from './run.ts';
import { createExecutionService } from './service/executions.ts';
import { createGraphs } from './service/graphs.ts';
import { createNodeTypes } from './service/node-types.ts';
import { createParts } from './service/parts.ts';
import { createWorkflowService, finishDeletions } from './service/workflows.ts';
import { executionSocket } from './socket.ts';
import { workflowTools } from './tools.ts';

const count = (value: number, maximum: number, description: string) =>
  Type.Integer({ minimum: 1, maximum, default: value, description });

export default definePlugin({
  name: 'workflows',
  config: Type.Object({
    executionMinutes: Type.Number({
      exclusiveMinimum: 0,
      maximum: 10_000,
      default: 30,
      description: 'longest execution; waiting for people and moments does not count',
    }),
    modelNodeSeconds: count(120, 3600, 'longest call of a node that asks a model and names no time-out'),
    depth: count(8, 32, 'sub-workflows in sub-workflows'),
    loopItems: count(10_000, 1_000_000, 'items of one loop'),
    nodesAtOnce: count(64, 1000, 'nodes of one execution in the worker pool at the same time'),
    inlineKiB: count(64, 10_000, 'larger data is transformed in the worker pool'),
    outputMiB: count(32, 200, 'output of one node, result of one execution'),
    dataMiB: count(128, 10_000, 'data that one execution holds at one time'),
    listMiB: count(32, 1000, 'graphs of one list of workflows or versions'),
    allDataMiB: count(1024, 100_000, 'data that all executions of this process hold at one time'),
  }),
  requires: { database: databaseService, runs: runService, pool: poolService },
  provides: { workflows: workflowService, executions: executionService },

  setup({ config, services, log }) {
    const parts = createParts({
      ...services,
      options: {
        executionMs: config.executionMinutes * 60_000,
        modelNodeMs: config.modelNodeSeconds * 1000,
        depth: config.depth,
        loopItems: config.loopItems,
        nodesAtOnce: config.nodesAtOnce,
        inlineBytes: config.inlineKiB * 1024,
        outputBytes: config.outputMiB * 2 ** 20,
        dataBytes: config.dataMiB * 2 ** 20,
        listBytes: config.listMiB * 2 ** 20,
        allDataBytes: config.allDataMiB * 2 ** 20,
      },
      log,
    });
    const types = createNodeTypes(services.pool);
    const graphs = createGraphs(parts, types);
    const workflows = createWorkflowService(parts, types);
    const executions = createExecutionService(parts, graphs);
    return {
      services: { workflows, executions },
      routes: [lowcodeRoutes(workflows, executions)],
      sockets: [executionSocket(executions)],
      nodes: nodeFiles,
      runKinds: [workflowRunKind(parts, graphs, types)],
      tools: workflowTools({ workflows, executions, runs: services.runs, ...parts.options }),
      ready: () => finishDeletions(parts),
    };
  },
});
