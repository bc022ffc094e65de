import { GRAPH_LIMITS } from './limits.ts';
import { edgeProblem, nodeProblem, problem, shownId } from './problems.ts';
import type { GraphNode, Problem } from './types.ts';
import { isRecord } from './values.ts';

/** A node with what the engine reads of it, checked. */
export interface ReadNode {
  index: number;
  id: string;
  type: string;
  data: Readonly<Record<string, unknown>>;
  parentId: string | undefined;
  raw: GraphNode;
}

/** An edge between two known nodes, by their indexes. */
export interface ReadEdge {
  /** Place in the client's list. */
  at: number;
  id: string | undefined;
  source: number;
  target: number;
  handle: string | undefined;
  label: string | undefined;
}

export interface ReadGraph {
  nodes: ReadNode[];
  edges: ReadEdge[];
  byId: ReadonlyMap<string, ReadNode>;
  errors: Problem[];
  warnings: Problem[];
  /** False when the form alone forbids any further look at the graph. */
  usable: boolean;
}

/** Reads stored nodes and edges of any form; what cannot be read is reported and left out. Never throws. */
export function readGraph(nodes: unknown, edges: unknown): ReadGraph {
  const graph: ReadGraph = { nodes: [], edges: [], byId: new Map(), errors: [], warnings: [], usable: false };
  const { errors } = graph;
  if (!Array.isArray(nodes)) {
    errors.push(problem('SHAPE_INVALID', 'nodes 必须是数组', 'nodes must be a list'));
    return graph;
  }
  if (edges !== undefined && edges !== null && !Array.isArray(edges)) {
    errors.push(problem('SHAPE_INVALID', 'edges 必须是数组', 'edges must be a list'));
    return graph;
  }
  const edgeList: readonly unknown[] = edges ?? [];
  const over = (count: number, most: number) => count > most;
  if (nodes.length === 0) errors.push(problem('NODES_MISSING', '工作流没有节点', 'the workflow has no nodes'));
  if (over(nodes.length, GRAPH_LIMITS.nodes)) {
    const { nodes: most } = GRAPH_LIMITS;
    errors.push(
      problem('TOO_MANY_NODES', `节点过多：${nodes.length}，上限 ${most}`, `${nodes.length} nodes, at most ${most}`),
    );
  }
  if (over(edgeList.length, GRAPH_LIMITS.edges)) {
    const { edges: most } = GRAPH_LIMITS;
    const { length } = edgeList;
    errors.push(problem('TOO_MANY_EDGES', `连线过多：${length}，上限 ${most}`, `${length} edges, at most ${most}`));
  }
  if (errors.length > 0) return graph;
  graph.byId = readNodes(nodes, graph);
  readEdges(edgeList, graph);
  graph.usable = graph.nodes.length > 0;
  return graph;
}

function readNodes(list: readonly unknown[], { nodes, errors }: ReadGraph): Map<string, ReadNode> {
  const byId = new Map<string, ReadNode>();
  list.forEach((raw, at) => {
    const node = isRecord(raw) ? raw : {};
    const { id, type } = node;
    if (typeof id !== 'string' || id === '') {
      errors.push(problem('SHAPE_INVALID', `第 ${at + 1} 个节点没有 id`, `node #${at + 1} has no id`));
      return;
    }
    if (typeof type !== 'string' || type === '') {
      errors.push(nodeProblem('SHAPE_INVALID', id, '没有类型 type', 'it has no type'));
      return;
    }
    if (byId.has(id)) {
      errors.push(nodeProblem('NODE_ID_REPEATED', id, '节点 id 重复', 'the id is used twice'));
      return;
    }
    const data = isRecord(node.data) ? node.data : {};
    if (node.data !== undefined && node.data !== null && !isRecord(node.data)) {
      errors.push(nodeProblem('SHAPE_INVALID', id, 'data 必须是对象', 'data must be an object'));
    }
    const parent = node.parentNode ?? node.parentId ?? data.parent_id;
    const read: ReadNode = {
      index: nodes.length,
      id,
      type,
      data,
      parentId: typeof parent === 'string' ? parent : undefined,
      raw: node as unknown as GraphNode,
    };
    nodes.push(read);
    byId.set(id, read);
  });
  return byId;
}

function readEdges(list: readonly unknown[], graph: ReadGraph): void {
  const { edges, byId, errors, warnings } = graph;
  const ids = new Set<string>();
  const pairs = new Set<string>();
  list.forEach((raw, at) => {
    const edge = isRecord(raw) ? raw : {};
    const id = typeof edge.id === 'string' && edge.id !== '' ? edge.id : undefined;
    const { source, target } = edge;
    if (typeof source !== 'string' || typeof target !== 'string') {
      errors.push(edgeProblem('SHAPE_INVALID', { id, at }, '缺少 source 或 target', 'source or target is missing'));
      return;
    }
    const from = byId.get(source);
    const to = byId.get(target);
    for (const end of new Set([from ? undefined : source, to ? undefined : target])) {
      if (end === undefined) continue;
      const shown = shownId(end);
      errors.push(
        edgeProblem('EDGE_END_UNKNOWN', { id, at }, `节点 ${shown} 不存在`, `node ${shown} does not exist`, end),
      );
    }
    if (!from || !to) return;
    const handle = handleOf(edge.sourceHandle ?? edge.source_handle);
    const label = handleOf(edge.label);
    if (from === to) {
      const shown = shownId(source);
      errors.push(
        edgeProblem('EDGE_TO_ITSELF', { id, at }, `节点 ${shown} 连向自身`, `node ${shown} leads to itself`, source),
      );
      return;
    }
    if (id !== undefined && ids.has(id)) {
      warnings.push(edgeProblem('EDGE_ID_REPEATED', { id, at }, '连线 id 重复', 'the id is used twice'));
    }
    if (id !== undefined) ids.add(id);
    const pair = JSON.stringify([from.index, to.index, handle ?? '', handle === undefined ? (label ?? '') : '']);
    if (pairs.has(pair)) {
      const [a, b] = [shownId(source), shownId(target)];
      warnings.push(
        edgeProblem('EDGE_REPEATED', { id, at }, `${a} 到 ${b} 的连线重复`, `${a} to ${b} is given twice`, source),
      );
    }
    pairs.add(pair);
    edges.push({ at, id, source: from.index, target: to.index, handle, label });
  });
}

/** A handle as lower-case text; empty and missing ones are undefined. */
function handleOf(value: unknown): string | undefined {
  if (typeof value === 'boolean') return String(value);
  if (typeof value !== 'string') return undefined;
  const handle = value.trim().toLowerCase();
  return handle === '' ? undefined : handle;
}
