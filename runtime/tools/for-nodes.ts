import type { Logger } from '../../core/log.ts';
import type { NodeCall } from '../../core/run-kind.ts';
import { defineService } from '../../core/service.ts';
import type { ToolScope, ToolSettings } from '../../core/tool.ts';
import type { ModelTool } from '../models/index.ts';
import type { HostCaller } from '../pool/index.ts';
import type { NodeExecutor } from '../runs/executor.ts';
import type { ToolService } from './service.ts';

/** One tool as a node uses it. */
export interface ToolUse {
  readonly name: string;
  readonly settings: ToolSettings;
  readonly agentId?: string;
}

/** Tools of the registry for nodes, with the rights of whoever started their run. */
export interface ToolsForNodes {
  /** What the model is told; undefined when there is no such tool, or it is of no use there. */
  describe(use: ToolUse): Promise<ModelTool | undefined>;
  /** @throws {AppError} as `ToolService.call` */
  call(use: ToolUse, args: Record<string, unknown>, idempotencyKey: string): Promise<unknown>;
}

export const toolsForNodes = defineService<ToolsForNodes>('tools');

/** The host's side of `ToolsForNodes`. Events of a tool are not kept: a node has none of its own to append them to. */
export function createToolsForNodes(tools: ToolService, executor: Pick<NodeExecutor, 'run'>, log: Logger) {
  const scopeOf = ({ principal }: HostCaller, { name, settings, agentId }: ToolUse): ToolScope => ({
    principal,
    ...(agentId !== undefined && { agentId }),
    ...(Object.keys(settings).length > 0 && { settings: { [name]: settings } }),
  });
  return {
    describe: async (caller: HostCaller, use: ToolUse): Promise<ModelTool | undefined> =>
      (await tools.select({ names: [use.name] }, scopeOf(caller, use))).find(({ name }) => name === use.name),

    call(caller: HostCaller, use: ToolUse, args: Record<string, unknown>, idempotencyKey: string): Promise<unknown> {
      const { id, tenantId, principal, signal } = caller;
      let nodes = 0;
      return tools.call({
        name: use.name,
        arguments: args,
        scope: scopeOf(caller, use),
        runId: id,
        idempotencyKey,
        signal,
        log: log.child({ runId: id, tool: use.name }),
        emit: () => undefined,
        async node<T>(task: NodeCall): Promise<T> {
          nodes += 1;
          const key = `${idempotencyKey}.n${nodes}`;
          // Only workflows have nodes that use tools.
          const run = { id, tenantId, kind: 'workflow' };
          return (await executor.run({ ...task, run, principal, idempotencyKey: key, attempt: 1 }, {}, signal)) as T;
        },
      });
    },
  };
}
