import { nodeProblem, problem, shownId } from '../problems.ts';
import type { ReadGraph } from '../shape.ts';
import type { Problem } from '../types.ts';
import { type Arrangement, arrange } from './arrange.ts';
import { findBodies, ROOT } from './bodies.ts';
import { linksFrom } from './links.ts';

export interface Structure extends Arrangement {
  scope: Int32Array;
  /** 1 for nodes that can be reached from the start node. */
  reachable: Uint8Array;
  shared: number[];
}

/** Loops, order and reachability of a graph. Cycles and loops nested too deeply are errors; then the structure is missing. */
export function analyse(graph: ReadGraph): { structure: Structure | undefined; errors: Problem[] } {
  const { nodes } = graph;
  const bodies = findBodies(graph);
  if (bodies.tooDeep !== undefined) {
    const id = nodes[bodies.tooDeep]?.id ?? '';
    return {
      structure: undefined,
      errors: [nodeProblem('LOOP_TOO_DEEP', id, '循环嵌套过深', 'loops nest too deeply')],
    };
  }
  const names = (list: readonly number[]) => list.map((node) => nodes[node]?.id ?? '');
  if (bodies.cycles.length > 0) {
    const errors = bodies.cycles.slice(0, 20).map(({ nodes: cycle }) => cycleProblem(names(cycle), true));
    return { structure: undefined, errors };
  }
  const arrangement = arrange(graph, bodies.scope);
  if (arrangement.cycles.length > 0) {
    const errors = arrangement.cycles.slice(0, 20).map((cycle) => cycleProblem(names(cycle), false));
    return { structure: undefined, errors };
  }
  const reachable = findReachable(graph, arrangement, bodies.scope);
  return { structure: { ...arrangement, scope: bodies.scope, reachable, shared: bodies.shared }, errors: [] };
}

/** A cycle by its nodes; `around` says whether they are in the order of its edges. */
function cycleProblem(ids: readonly string[], around: boolean): Problem {
  const shown = ids.slice(0, 10).map(shownId);
  const dots = ids.length > 10 ? ['…'] : [];
  const text = (around ? [...shown, ...dots, ...shown.slice(0, 1)] : [...shown, ...dots]).join(around ? ' -> ' : ', ');
  const [first] = ids;
  return problem(
    'CYCLE',
    `存在环路：${text}`,
    `there is a cycle: ${text}`,
    first === undefined ? {} : { nodeId: first },
  );
}

function findReachable({ nodes }: ReadGraph, { flow, scopes }: Arrangement, scope: Int32Array): Uint8Array {
  const reachable = new Uint8Array(nodes.length);
  const { offsets, ids } = linksFrom(
    nodes.length,
    flow.map(({ from }) => from),
  );
  const entered = new Uint8Array(nodes.length);
  for (const { to } of flow) entered[to] = 1;
  const outside = new Map<number, number[]>();
  for (const { from, to, kind } of flow) {
    if (kind !== 'outer') continue;
    const known = outside.get(to);
    if (known) known.push(from);
    else outside.set(to, [from]);
  }
  const queue: number[] = [];
  const reach = (node: number) => {
    if (reachable[node] === 1) return;
    // What is inside a body can be reached only when the loop can.
    const around = scope[node] ?? ROOT;
    if (around !== ROOT && reachable[around] === 0) return;
    reachable[node] = 1;
    queue.push(node);
  };
  for (const { index, type } of nodes) if (type === 'start') reach(index);
  for (let head = 0; head < queue.length; head += 1) {
    const node = queue[head] ?? 0;
    // Children of a loop that nothing leads to are where its body begins; and edges from outside may have come earlier.
    if (nodes[node]?.type === 'loop') {
      for (const inner of scopes.get(node) ?? []) {
        const early = outside.get(inner)?.some((from) => reachable[from] === 1);
        if (entered[inner] === 0 || early) reach(inner);
      }
    }
    for (let at = offsets[node] ?? 0; at < (offsets[node + 1] ?? 0); at += 1) reach(flow[ids[at] ?? 0]?.to ?? 0);
  }
  return reachable;
}
