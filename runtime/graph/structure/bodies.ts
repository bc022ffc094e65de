import { loopExit } from '../handles.ts';
import { GRAPH_LIMITS } from '../limits.ts';
import type { ReadEdge, ReadGraph, ReadNode } from '../shape.ts';
import { depthFirst, type Link } from './links.ts';

/** No scope: the graph itself, outside every loop. */
export const ROOT = -1;

export interface Bodies {
  /** For every node the loop whose body it stands in directly, or `ROOT`. */
  scope: Int32Array;
  /** Edges that form a cycle; `nodes` begins with the edge's target and ends with its source. */
  cycles: { nodes: number[] }[];
  /** Nodes that two loops lead to, of which neither stands in the other: they belong to neither. */
  shared: number[];
  /** A loop that is nested too deeply, if there is one; then nothing else here can be relied on. */
  tooDeep: number | undefined;
}

/**
 * Finds the bodies of all loops in one pass over a topological order. For every node two sets of loops are kept as bit sets: those
 * whose body leads to it, and those that it stands behind. A node is in the body of the first without the second.
 *
 * - A loop with an edge out of a `body` handle: what that reaches, without what its `done` edges reach.
 * - Else a loop that nodes name as their parent: those nodes.
 * - Else, and with a `body` handle but no `done` edge: what its edges reach, up to the first `output` or `end` on each path.
 */
export function findBodies(graph: ReadGraph): Bodies {
  const { nodes, edges } = graph;
  const loops = nodes.filter(({ type }) => type === 'loop');
  const scope = new Int32Array(nodes.length).fill(ROOT);
  const parent = parentsOf(graph);
  const exits = readExits(nodes, edges, parent);
  const links: (Link & { edge: ReadEdge | undefined })[] = [];
  for (const edge of edges) {
    if (!isOwnReturn(edge, parent)) links.push({ from: edge.source, to: edge.target, edge });
  }
  parent.forEach((loop, node) => {
    if (loop !== ROOT) links.push({ from: loop, to: node, edge: undefined });
  });
  const { order, retreating } = depthFirst(nodes.length, links, walkOrder(nodes, links));
  const dropped = new Set(retreating.map(({ link }) => link));

  const width = Math.ceil(loops.length / 32);
  const bit = new Int32Array(nodes.length).fill(-1);
  loops.forEach(({ index }, at) => {
    bit[index] = at;
  });
  const inside = new Uint32Array(nodes.length * width);
  const behind = new Uint32Array(nodes.length * width);
  const set = (bits: Uint32Array, node: number, loop: number) => {
    const at = bit[loop] ?? 0;
    bits[node * width + (at >> 5)] = (bits[node * width + (at >> 5)] ?? 0) | (1 << (at & 31));
  };
  const byParent = new Uint32Array(width);
  const stopping = new Uint32Array(width);
  for (const { index } of loops) {
    const at = bit[index] ?? 0;
    const { mode, stops } = exits.get(index) ?? { mode: 'region', stops: true };
    if (mode === 'parent') byParent[at >> 5] = (byParent[at >> 5] ?? 0) | (1 << (at & 31));
    else if (stops) stopping[at >> 5] = (stopping[at >> 5] ?? 0) | (1 << (at & 31));
  }

  const depth = new Int32Array(nodes.length);
  const result: Bodies = { scope, cycles: [], shared: [], tooDeep: undefined };
  const incoming: number[][] = nodes.map(() => []);
  links.forEach(({ to }, link) => {
    if (!dropped.has(link)) incoming[to]?.push(link);
  });
  for (const node of order) {
    for (const id of incoming[node] ?? []) {
      const link = links[id];
      if (!link) continue;
      const from = link.from * width;
      for (let word = 0; word < width; word += 1) {
        const mask = link.edge ? ~(byParent[word] ?? 0) : -1;
        inside[node * width + word] = (inside[node * width + word] ?? 0) | ((inside[from + word] ?? 0) & mask);
        behind[node * width + word] = (behind[node * width + word] ?? 0) | (behind[from + word] ?? 0);
      }
      if (!link.edge) set(inside, node, link.from);
      else if ((bit[link.from] ?? -1) >= 0) {
        const exit = exits.get(link.from)?.of(link.edge) ?? 'done';
        if (exit === 'body') set(inside, node, link.from);
        else if (exits.get(link.from)?.mode !== 'parent') set(behind, node, link.from);
      }
    }
    const type = nodes[node]?.type;
    const candidates: number[] = [];
    for (let word = 0; word < width; word += 1) {
      const place = node * width + word;
      if (type === 'output' || type === 'end') {
        const left = (inside[place] ?? 0) & (stopping[word] ?? 0);
        inside[place] = (inside[place] ?? 0) & ~left;
        behind[place] = (behind[place] ?? 0) | left;
      }
      let bits = (inside[place] ?? 0) & ~(behind[place] ?? 0);
      while (bits !== 0) {
        const low = 31 - Math.clz32(bits & -bits);
        const loop = loops[word * 32 + low];
        if (loop) candidates.push(loop.index);
        bits &= bits - 1;
      }
    }
    if (candidates.length === 0) continue;
    addParents(candidates, scope, exits);
    const chosen = innermost(candidates, scope, depth);
    scope[node] = chosen.loop;
    depth[node] = chosen.loop === ROOT ? 0 : (depth[chosen.loop] ?? 0) + 1;
    for (const loop of chosen.refused) set(behind, node, loop);
    if (chosen.refused.length > 0) result.shared.push(node);
    if ((depth[node] ?? 0) > GRAPH_LIMITS.loopDepth) {
      result.tooDeep = chosen.loop;
      return result;
    }
  }
  for (const { link, cycle } of retreating) {
    const back = links[link];
    if (back && (back.edge === undefined || !isInside(back.from, back.to, scope))) result.cycles.push({ nodes: cycle });
  }
  return result;
}

/** Whether a node stands in the body of a loop, directly or deeper. */
export function isInside(node: number, loop: number, scope: Int32Array): boolean {
  for (let at = scope[node] ?? ROOT; at !== ROOT; at = scope[at] ?? ROOT) if (at === loop) return true;
  return false;
}

/** The innermost loop of a chain of nested ones. Where candidates do not nest, those from the fork on are refused. */
function innermost(candidates: number[], scope: Int32Array, depth: Int32Array) {
  const levels = new Map<number, number[]>();
  for (const loop of candidates) {
    const level = depth[loop] ?? 0;
    levels.set(level, [...(levels.get(level) ?? []).slice(0, 1), loop]);
  }
  let loop = ROOT;
  let taken = 0;
  for (let level = 0; ; level += 1) {
    const here = levels.get(level);
    const [only] = here ?? [];
    if (here?.length !== 1 || only === undefined || (scope[only] ?? ROOT) !== loop) break;
    loop = only;
    taken += 1;
  }
  if (taken === candidates.length) return { loop, refused: [] };
  return { loop, refused: candidates.filter((one) => one !== loop && !isInside(loop, one, scope)) };
}

/** Membership by parent is not handed on along edges, so what a loop inside such a body leads to lacks the loops around it. */
function addParents(candidates: number[], scope: Int32Array, exits: ReadonlyMap<number, Exits>): void {
  const known = new Set(candidates);
  for (const loop of candidates.slice()) {
    for (let at = scope[loop] ?? ROOT; at !== ROOT && !known.has(at); at = scope[at] ?? ROOT) {
      if (exits.get(at)?.mode !== 'parent') break;
      known.add(at);
      candidates.push(at);
    }
  }
}

/** For every node the loop that it names as its parent. Parents that are no loop (groups of an editor) mean nothing. */
function parentsOf({ nodes, byId }: ReadGraph): Int32Array {
  const parent = new Int32Array(nodes.length).fill(ROOT);
  for (const { index, parentId, type } of nodes) {
    const loop = parentId === undefined ? undefined : byId.get(parentId);
    if (loop?.type === 'loop' && loop.index !== index && type !== 'start') parent[index] = loop.index;
  }
  return parent;
}

interface Exits {
  mode: 'handles' | 'parent' | 'region';
  /** Whether `output` and `end` nodes end the body. */
  stops: boolean;
  of(edge: ReadEdge): 'body' | 'done';
}

function readExits(nodes: readonly ReadNode[], edges: readonly ReadEdge[], parent: Int32Array): Map<number, Exits> {
  const named = new Map<number, Set<'body' | 'done' | 'unnamed'>>();
  for (const edge of edges) {
    if (nodes[edge.source]?.type !== 'loop') continue;
    const known = named.get(edge.source) ?? new Set();
    known.add(loopExit(edge) ?? 'unnamed');
    named.set(edge.source, known);
  }
  const parents = new Set(parent);
  const exits = new Map<number, Exits>();
  for (const { index, type } of nodes) {
    if (type !== 'loop') continue;
    const names = named.get(index);
    if (names?.has('body')) {
      // An edge without a handle beside a body edge is what comes afterwards.
      exits.set(index, {
        mode: 'handles',
        stops: names.size === 1,
        of: (edge) => (loopExit(edge) === 'body' ? 'body' : 'done'),
      });
    } else if (parents.has(index)) {
      exits.set(index, {
        mode: 'parent',
        stops: false,
        of: (edge) => (parent[edge.target] === index ? 'body' : 'done'),
      });
    } else {
      exits.set(index, { mode: 'region', stops: true, of: (edge) => loopExit(edge) ?? 'body' });
    }
  }
  return exits;
}

/** An edge from a node back to a loop that it names as its parent, or that holds its parent. */
function isOwnReturn(edge: ReadEdge, parent: Int32Array): boolean {
  let at = parent[edge.source] ?? ROOT;
  for (let steps = 0; at !== ROOT && steps <= GRAPH_LIMITS.loopDepth; steps += 1) {
    if (at === edge.target) return true;
    at = parent[at] ?? ROOT;
  }
  return false;
}

/** Walks begin at the start node, then where nothing leads to, then at loops: so edges back to a loop are found as such. */
function* walkOrder(nodes: readonly ReadNode[], links: readonly Link[]): Iterable<number> {
  const entered = new Set(links.map(({ to }) => to));
  for (const { index, type } of nodes) if (type === 'start') yield index;
  for (const { index } of nodes) if (!entered.has(index)) yield index;
  for (const { index, type } of nodes) if (type === 'loop') yield index;
  yield* nodes.keys();
}
