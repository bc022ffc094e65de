import { AppError } from '../../core/errors.ts';
import { GRAPH_LIMITS } from './limits.ts';
import { type Path, parsePath } from './path.ts';
import { readPolicy } from './policy.ts';
import { type ReadNode, readGraph } from './shape.ts';
import type { FlowEdge } from './structure/arrange.ts';
import { ROOT } from './structure/bodies.ts';
import { analyse, type Structure } from './structure/structure.ts';
import type { ErrorPolicy, Problem } from './types.ts';

/** A graph that is ready to be executed. Immutable; any number of executions can share one. */
export interface Plan {
  readonly nodes: readonly PlanNode[];
  readonly byId: ReadonlyMap<string, PlanNode>;
  /** What is outside of all loops. */
  readonly root: PlanScope;
  /** Nodes that nothing from the start node leads to; they are never executed. */
  readonly unreachable: readonly PlanNode[];
}

export interface PlanNode {
  readonly index: number;
  readonly id: string;
  /** The id as it stands in keys of steps: `/`, `[`, `]` and `%` are percent-encoded. */
  readonly keyPart: string;
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly policy: ErrorPolicy;
  readonly scope: PlanScope;
  /** Place in `scope.nodes`, which is a topological order; -1 for unreachable nodes. */
  readonly position: number;
  /** Incoming edges in the order in which the client gave them. */
  readonly incoming: readonly PlanEdge[];
  /** Edges to nodes of the same scope. */
  readonly outgoing: readonly PlanEdge[];
  /** Loops of the same scope into whose bodies this node leads: they wait for it. */
  readonly awaitedBy: readonly PlanNode[];
  readonly loop: LoopPlan | undefined;
  /** Nodes that are settled with this one: itself and, of a loop, its body. */
  readonly weight: number;
}

export interface PlanEdge {
  readonly from: PlanNode;
  readonly to: PlanNode;
  readonly kind: FlowEdge['kind'];
  readonly branch: string | undefined;
}

export interface LoopPlan {
  readonly body: PlanScope;
  readonly itemsPath: Path | undefined;
  readonly itemVariable: string;
  readonly errorHandling: 'stop' | 'continue' | 'remove';
  /** Iterations at the same time; 1 by default. */
  readonly concurrency: number;
  /** Edges back to the loop: the body's result is the output of the last of their sources that led there. */
  readonly returns: readonly PlanEdge[];
}

/** The graph itself or the body of a loop. */
export interface PlanScope {
  /** The loop whose body this is; undefined for the graph itself. */
  readonly loop: PlanNode | undefined;
  readonly depth: number;
  /** Reachable nodes in topological order. */
  readonly nodes: readonly PlanNode[];
  /** Per node: edges and waits that have to be settled before it is decided. */
  readonly pending: readonly number[];
  /** Per node: edges that are taken from the beginning (from the loop itself, or because nothing leads there). */
  readonly taken: readonly number[];
  readonly outer: readonly PlanEdge[];
  readonly weight: number;
}

/**
 * Compiles a graph.
 *
 * @throws {AppError} WORKFLOW_INVALID with `details.errors` when its form or structure is wrong; configuration is not looked at
 */
export function compileGraph(nodes: unknown, edges: unknown): Plan {
  const graph = readGraph(nodes, edges);
  const errors: Problem[] = [...graph.errors];
  const starts = graph.nodes.filter(({ type }) => type === 'start');
  if (graph.usable && starts.length !== 1) {
    errors.push({
      code: starts.length === 0 ? 'START_MISSING' : 'START_REPEATED',
      text: { zh: '工作流必须有且只有一个开始节点', en: 'a workflow has exactly one start node' },
    });
  }
  const found = errors.length === 0 ? analyse(graph) : undefined;
  errors.push(...(found?.errors ?? []));
  if (!found?.structure) throw invalidWorkflow(errors);
  return buildPlan(graph.nodes, found.structure);
}

/** The error of an attempt to execute a graph that has errors. */
export function invalidWorkflow(errors: readonly Problem[]): AppError {
  const first = errors[0]?.text ?? { zh: '工作流无效', en: 'the workflow is not valid' };
  return new AppError('invalid', 'WORKFLOW_INVALID', first, { details: { errors: errors.map(({ text }) => text) } });
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };
type DraftNode = Writable<PlanNode> & { incoming: PlanEdge[]; outgoing: PlanEdge[]; awaitedBy: PlanNode[] };
type DraftScope = Writable<PlanScope> & { nodes: PlanNode[]; pending: number[]; taken: number[]; outer: PlanEdge[] };

function buildPlan(read: readonly ReadNode[], structure: Structure): Plan {
  const scopes = new Map<number, DraftScope>();
  const scopeOf = (loop: number): DraftScope => {
    const known = scopes.get(loop);
    if (known) return known;
    const scope: DraftScope = { loop: undefined, depth: 0, nodes: [], pending: [], taken: [], outer: [], weight: 0 };
    scopes.set(loop, scope);
    return scope;
  };
  const nodes = read.map(
    (node): DraftNode => ({
      index: node.index,
      id: node.id,
      keyPart: node.id.replace(/[%/[\]]/g, encodeURIComponent),
      type: node.type,
      data: node.data,
      policy: readPolicy(node.data),
      scope: scopeOf(structure.scope[node.index] ?? ROOT),
      position: -1,
      incoming: [],
      outgoing: [],
      awaitedBy: [],
      loop: undefined,
      weight: 1,
    }),
  );
  const returns = new Map<DraftNode, PlanEdge[]>();
  const wire = (edge: FlowEdge): PlanEdge | undefined => {
    const from = nodes[edge.from];
    const to = nodes[edge.to];
    const alive = structure.reachable[edge.from] === 1 && structure.reachable[edge.to] === 1;
    return from && to && alive ? { from, to, kind: edge.kind, branch: edge.branch } : undefined;
  };
  for (const edge of structure.returns) {
    const wired = wire(edge);
    const loop = nodes[edge.to];
    if (wired && loop) returns.set(loop, [...(returns.get(loop) ?? []), wired]);
  }
  for (const node of nodes) if (node.type === 'loop') addLoop(node, scopeOf(node.index), returns.get(node) ?? []);
  for (const [loop, order] of structure.scopes) {
    const scope = scopeOf(loop);
    for (const index of order) {
      const node = nodes[index];
      if (!node || structure.reachable[index] === 0) continue;
      node.position = scope.nodes.length;
      scope.nodes.push(node);
      scope.pending.push(0);
      scope.taken.push(0);
    }
  }
  const count = (list: number[], at: number) => {
    list[at] = (list[at] ?? 0) + 1;
  };
  for (const edge of structure.flow) {
    const wired = wire(edge);
    const from = nodes[edge.from];
    const to = nodes[edge.to];
    if (!wired || !from || !to) continue;
    to.incoming.push(wired);
    const scope = to.scope as DraftScope;
    if (edge.kind === 'flow') {
      from.outgoing.push(wired);
      count(scope.pending, to.position);
    } else if (edge.kind === 'entry') count(scope.taken, to.position);
    else scope.outer.push(wired);
  }
  for (const link of structure.order) {
    const from = nodes[link.from];
    const to = nodes[link.to];
    if (!from || !to || structure.reachable[link.from] === 0 || structure.reachable[link.to] === 0) continue;
    from.awaitedBy.push(to);
    count((to.scope as DraftScope).pending, to.position);
  }
  for (const scope of scopes.values()) {
    scope.nodes.forEach((node, at) => {
      if (node.incoming.length === 0) scope.taken[at] = 1;
    });
  }
  weigh(nodes);
  for (const node of nodes) Object.freeze(node);
  for (const scope of scopes.values()) Object.freeze(scope);
  return Object.freeze({
    nodes,
    byId: new Map(nodes.map((node) => [node.id, node])),
    root: scopeOf(ROOT),
    unreachable: nodes.filter(({ position }) => position === -1),
  });
}

function addLoop(node: DraftNode, body: DraftScope, returns: readonly PlanEdge[]): void {
  const { data } = node;
  const variable = data.item_variable;
  const handling = data.error_handling;
  const concurrency = data.concurrency;
  body.loop = node;
  node.loop = {
    body,
    itemsPath: typeof data.items_path === 'string' ? parsePath(data.items_path) : undefined,
    itemVariable: typeof variable === 'string' && variable !== '' ? variable : 'item',
    errorHandling: handling === 'continue' || handling === 'remove' ? handling : 'stop',
    concurrency:
      typeof concurrency === 'number' && concurrency >= 1
        ? Math.floor(Math.min(concurrency, GRAPH_LIMITS.loopConcurrency))
        : 1,
    returns,
  };
}

/** Weights and depths from the outside in: loops are counted into the scopes around them. */
function weigh(nodes: readonly DraftNode[]): void {
  for (const node of nodes) {
    if (node.position === -1) continue;
    let scope = node.scope as DraftScope;
    scope.weight += 1;
    for (let loop = scope.loop; loop; loop = scope.loop) {
      (loop as DraftNode).weight += 1;
      scope = loop.scope as DraftScope;
      scope.weight += 1;
    }
  }
  for (const { loop } of nodes) {
    if (!loop) continue;
    let depth = 0;
    for (let at = loop.body.loop; at; at = at.scope.loop) depth += 1;
    (loop.body as DraftScope).depth = depth;
  }
}
