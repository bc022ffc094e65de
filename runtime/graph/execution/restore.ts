import type { Plan, PlanNode, PlanScope } from '../plan.ts';
import type { ExecutionOptions, Outcome } from '../types.ts';
import { Execution } from './execution.ts';

/**
 * An execution that goes on after the steps that have an outcome. Outcomes are the whole state: with the same plan, input and options
 * an execution rebuilt at any point ends as it would have.
 *
 * @param finished outcome per step key; that of a finished loop makes those of its body unnecessary. Unknown keys are ignored
 */
export function restore(
  plan: Plan,
  input: unknown,
  finished: ReadonlyMap<string, Outcome>,
  options: ExecutionOptions = {},
): Execution {
  const execution = new Execution(plan, input, options);
  execution.start(finished);
  return execution;
}

/**
 * The outcomes of an earlier execution that are kept when it is started again from a node: all but those of the node, of what comes
 * behind it, and of the loops around it. Inside a loop that counts for every iteration. Errors are kept only where the policy of the
 * node let the execution go on.
 */
export function outcomesBefore(
  plan: Plan,
  nodeId: string,
  finished: ReadonlyMap<string, Outcome>,
): Map<string, Outcome> {
  const from = plan.byId.get(nodeId);
  const dropped = from ? behind(from) : new Set<PlanNode>();
  const parts = new Map(plan.nodes.map((node) => [node.keyPart, node]));
  const kept = new Map<string, Outcome>();
  for (const [key, outcome] of finished) {
    const last = parts.get(key.slice(key.lastIndexOf('/') + 1));
    if (!last || dropped.has(last)) continue;
    if ('error' in outcome && last.policy.onError === 'fail') continue;
    kept.set(key, outcome);
  }
  return kept;
}

/** The node, what depends on it, and everything in the bodies of loops that do. */
function behind(from: PlanNode): Set<PlanNode> {
  const found = new Set<PlanNode>();
  const queue: PlanNode[] = [];
  const add = (node: PlanNode) => {
    if (found.has(node)) return;
    found.add(node);
    queue.push(node);
  };
  const addBody = (scope: PlanScope) => {
    for (const node of scope.nodes) add(node);
  };
  add(from);
  const around = new Set<PlanNode>();
  for (let loop = from.scope.loop; loop; loop = loop.scope.loop) {
    around.add(loop);
    add(loop);
  }
  for (let node = queue.pop(); node; node = queue.pop()) {
    for (const { to } of node.outgoing) add(to);
    for (const loop of node.awaitedBy) add(loop);
    if (node.loop && !around.has(node)) addBody(node.loop.body);
  }
  return found;
}
