import type { AppError } from '../../../core/errors.ts';
import { compileGraph, type Plan } from '../../../runtime/graph/index.ts';
import { versionNotFound, workflowInvalid } from '../errors.ts';
import type { Graph } from '../public.ts';
import type { NodeTypes } from './node-types.ts';
import type { WorkflowParts } from './parts.ts';

/** A version of a workflow as it is executed. */
export interface Compiled {
  readonly workflowId: string;
  readonly version: number;
  readonly name: string;
  readonly plan: Plan;
}

export interface Graphs {
  /**
   * The compiled graph of a version.
   *
   * @throws {AppError} WORKFLOW_INVALID with all errors; WORKFLOW_VERSION_NOT_FOUND
   */
  get(scope: { tenantId: string }, workflowId: string, version: number): Promise<Compiled>;
}

/** Nodes of all graphs that are kept; compiled graphs hold a few hundred bytes a node. */
const CACHED_NODES = 100_000;

/** Compiles versions of workflows and keeps the ones used last: versions never change. */
export function createGraphs({ workflows, versions }: WorkflowParts, types: NodeTypes): Graphs {
  const known = new Map<string, { compiled: Compiled; size: number } | { error: AppError; size: number }>();
  let size = 0;

  const keep = (key: string, entry: { size: number } & ({ compiled: Compiled } | { error: AppError })) => {
    known.set(key, entry);
    size += entry.size;
    for (const [oldKey, old] of known) {
      if (size <= CACHED_NODES || oldKey === key) break;
      known.delete(oldKey);
      size -= old.size;
    }
  };

  const content = async (scope: { tenantId: string }, workflowId: string, version: number) => {
    const stored = await versions.in(scope).findOne({ workflowId, version });
    if (stored) return stored;
    // Between a change and its snapshot.
    const workflow = await workflows.in(scope).get(workflowId);
    if (workflow?.version !== version) throw versionNotFound(workflowId, version);
    return workflow;
  };

  return {
    async get(scope, workflowId, version) {
      const key = `${scope.tenantId} ${workflowId} ${version}`;
      const found = known.get(key);
      if (found) {
        known.delete(key);
        known.set(key, found);
        if ('error' in found) throw found.error;
        return found.compiled;
      }
      const { graph, name } = await content(scope, workflowId, version);
      const { nodes, edges } = JSON.parse(graph) as Graph;
      const { valid, errors } = types.validate({ nodes, edges });
      const cost = 10 + nodes.length + edges.length;
      if (!valid) {
        const error = workflowInvalid(errors);
        keep(key, { error, size: cost });
        throw error;
      }
      const compiled = { workflowId, version, name, plan: compileGraph(nodes, edges) };
      keep(key, { compiled, size: cost });
      return compiled;
    },
  };
}
