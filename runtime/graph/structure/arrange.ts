import { conditionBranch } from '../handles.ts';
import type { ReadEdge, ReadGraph } from '../shape.ts';
import { isInside, ROOT } from './bodies.ts';
import { kahn, type Link } from './links.ts';

/**
 * An edge as the engine sees it. Edges that cross the border of a loop's body are lifted to the loop:
 * out of a body they become edges from the loop, into a body they make the loop wait.
 */
export interface FlowEdge {
  from: number;
  to: number;
  /**
   * `flow`: both in one scope. `entry`: from the loop to a node of its body. `outer`: from a node outside the body; its state is
   * settled before the loop begins.
   */
  kind: 'flow' | 'entry' | 'outer';
  /** The branch that `from` has to choose for the edge to be taken; undefined: it is taken whenever `from` was executed. */
  branch: string | undefined;
}

export interface Arrangement {
  flow: FlowEdge[];
  /** Waits without data: `to` is a loop into whose body an edge from `from` leads. */
  order: Link[];
  /** Edges from inside a body back to its loop; their sources are where the body ends. */
  returns: FlowEdge[];
  /** Nodes of every scope in topological order; the graph itself under `ROOT`. */
  scopes: Map<number, number[]>;
  /** Nodes that wait for each other once bodies are taken as one, by scope. */
  cycles: number[][];
}

/** Sorts edges by what they mean for loops and orders the nodes of every scope. */
export function arrange({ nodes, edges }: ReadGraph, scope: Int32Array): Arrangement {
  const flow: FlowEdge[] = [];
  const order: Link[] = [];
  const returns: FlowEdge[] = [];
  const branchOf = (edge: ReadEdge): string | undefined => {
    const type = nodes[edge.source]?.type;
    if (type === 'condition') return conditionBranch(edge) ?? 'true';
    return type === 'loop' ? undefined : edge.handle;
  };
  for (const edge of edges) {
    const { source: from, target: to } = edge;
    if (isInside(from, to, scope)) {
      const lifted = lift(from, to, scope);
      returns.push({ from: lifted, to, kind: 'flow', branch: lifted === from ? branchOf(edge) : undefined });
      continue;
    }
    if (isInside(to, from, scope)) {
      const entered = lift(to, from, scope);
      flow.push({ from, to: entered, kind: 'entry', branch: undefined });
      if (entered !== to) flow.push({ from, to, kind: 'entry', branch: undefined });
      continue;
    }
    const common = commonScope(from, to, scope);
    const a = lift(from, common, scope);
    const b = lift(to, common, scope);
    const branch = a === from ? branchOf(edge) : undefined;
    if (b === to) flow.push({ from: a, to, kind: 'flow', branch });
    else {
      order.push({ from: a, to: b });
      flow.push({ from: a, to, kind: 'outer', branch });
    }
  }
  return { flow, order, returns, ...orderScopes(nodes.length, scope, flow, order) };
}

function orderScopes(nodeCount: number, scope: Int32Array, flow: readonly FlowEdge[], order: readonly Link[]) {
  const members = new Map<number, number[]>([[ROOT, []]]);
  for (let node = 0; node < nodeCount; node += 1) {
    const at = scope[node] ?? ROOT;
    const list = members.get(at);
    if (list) list.push(node);
    else members.set(at, [node]);
  }
  const links = new Map<number, Link[]>();
  const add = (link: Link) => {
    const at = scope[link.to] ?? ROOT;
    const list = links.get(at);
    if (list) list.push(link);
    else links.set(at, [link]);
  };
  for (const edge of flow) if (edge.kind === 'flow') add(edge);
  for (const link of order) add(link);
  const scopes = new Map<number, number[]>();
  const cycles: number[][] = [];
  for (const [at, list] of members) {
    const sorted = kahn(list, links.get(at) ?? []);
    scopes.set(at, sorted.order);
    if (sorted.left.length > 0) cycles.push(onCycles(sorted.left, links.get(at) ?? []));
  }
  return { scopes, cycles };
}

/** Of the nodes that could not be ordered those that are not just behind a cycle. */
function onCycles(left: readonly number[], links: readonly Link[]): number[] {
  const some = new Set(left);
  const backwards = links
    .filter(({ from, to }) => some.has(from) && some.has(to))
    .map(({ from, to }) => ({ from: to, to: from }));
  return kahn(left, backwards).left;
}

/** The node, or the loop around it, that stands directly in the scope `target`. */
function lift(node: number, target: number, scope: Int32Array): number {
  let at = node;
  while ((scope[at] ?? ROOT) !== target && (scope[at] ?? ROOT) !== ROOT) at = scope[at] ?? ROOT;
  return at;
}

function commonScope(a: number, b: number, scope: Int32Array): number {
  const around = new Set<number>([ROOT]);
  for (let at = scope[a] ?? ROOT; at !== ROOT; at = scope[at] ?? ROOT) around.add(at);
  let at = scope[b] ?? ROOT;
  while (!around.has(at)) at = scope[at] ?? ROOT;
  return at;
}
