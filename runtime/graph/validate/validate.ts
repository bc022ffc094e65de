import { conditionBranch, namesBranch } from '../handles.ts';
import { GRAPH_LIMITS } from '../limits.ts';
import { edgeProblem, nodeProblem, problem, shownId } from '../problems.ts';
import { type ReadEdge, type ReadGraph, readGraph } from '../shape.ts';
import { ROOT } from '../structure/bodies.ts';
import { analyse, type Structure } from '../structure/structure.ts';
import type { NodeTypeCheck, Problem, ValidateOptions, Validation } from '../types.ts';
import { configProblems } from './config.ts';
import { nameWarnings } from './names.ts';

/**
 * All errors and warnings of a graph in any form. Never throws; takes time linear in its size. At most 1000 of each are listed,
 * the last then says so.
 */
export function validateGraph(nodes: unknown, edges: unknown, { nodeTypes }: ValidateOptions): Validation {
  const graph = readGraph(nodes, edges);
  const errors = [...graph.errors];
  const warnings = [...graph.warnings];
  if (graph.usable) {
    const degrees = degreesOf(graph);
    errors.push(...startErrors(graph), ...typeErrors(graph, nodeTypes), ...edgeErrors(graph));
    const { structure, errors: structural } = analyse(graph);
    errors.push(...structural);
    for (const node of graph.nodes) {
      for (const text of configProblems(node.type, node.data)) {
        errors.push(nodeProblem('CONFIG_INVALID', node.id, text.zh, text.en));
      }
      for (const text of nodeTypes.get(node.type)?.check?.({ ...node.data }, node.raw) ?? []) {
        errors.push(nodeProblem('CONFIG_INVALID', node.id, text.zh, text.en));
      }
    }
    if (!graph.nodes.some(({ type }) => type === 'end' || type === 'output')) {
      warnings.push(problem('OUTPUT_MISSING', '没有 end 或 output 节点', 'there is no end or output node'));
    }
    if (structure) warnings.push(...structureWarnings(graph, structure));
    warnings.push(...conditionWarnings(graph, degrees), ...modelWarnings(graph));
    warnings.push(...nameWarnings(graph, structure, nodeTypes));
  }
  return { valid: errors.length === 0, errors: limited(errors), warnings: limited(warnings) };
}

function limited(problems: Problem[]): Problem[] {
  const { problems: most } = GRAPH_LIMITS;
  if (problems.length <= most) return problems;
  const more = problems.length - most + 1;
  return [
    ...problems.slice(0, most - 1),
    problem('TOO_MANY_PROBLEMS', `还有 ${more} 个问题未列出`, `${more} more are not listed`),
  ];
}

function degreesOf({ nodes, edges }: ReadGraph): { outgoing: ReadEdge[][] } {
  const outgoing: ReadEdge[][] = nodes.map(() => []);
  for (const edge of edges) outgoing[edge.source]?.push(edge);
  return { outgoing };
}

function startErrors({ nodes }: ReadGraph): Problem[] {
  const starts = nodes.filter(({ type }) => type === 'start');
  if (starts.length === 0) return [problem('START_MISSING', '缺少开始节点 start', 'there is no start node')];
  return starts
    .slice(1)
    .map(({ id }) => nodeProblem('START_REPEATED', id, '只能有一个开始节点', 'there may be only one start node'));
}

function typeErrors({ nodes }: ReadGraph, nodeTypes: ReadonlyMap<string, NodeTypeCheck>): Problem[] {
  return nodes
    .filter(({ type }) => !nodeTypes.has(type))
    .map(({ id, type }) =>
      nodeProblem('NODE_TYPE_UNKNOWN', id, `未知的节点类型 ${shownId(type)}`, `unknown node type ${shownId(type)}`),
    );
}

function edgeErrors({ nodes, edges }: ReadGraph): Problem[] {
  const errors: Problem[] = [];
  for (const edge of edges) {
    const source = nodes[edge.source];
    const target = nodes[edge.target];
    if (target?.type === 'start') {
      errors.push(nodeProblem('START_ENTERED', target.id, '开始节点不能有入边', 'a start node has no incoming edges'));
    }
    if (source?.type === 'end') {
      errors.push(nodeProblem('END_LEFT', source.id, '结束节点不能有出边', 'an end node has no outgoing edges'));
    }
    if (source?.type === 'condition' && conditionBranch(edge) === undefined) {
      const handle = shownId(edge.handle ?? '');
      const id = shownId(source.id);
      errors.push(
        edgeProblem(
          'HANDLE_INVALID',
          edge,
          `条件节点 ${id} 的出口只能是 true 或 false，不能是 ${handle}`,
          `an edge out of the condition ${id} leaves by true or false, not by ${handle}`,
          source.id,
        ),
      );
    }
  }
  return errors;
}

function structureWarnings({ nodes }: ReadGraph, structure: Structure): Problem[] {
  const warnings: Problem[] = [];
  const leads = new Uint8Array(nodes.length);
  for (const { from, kind } of structure.flow) if (kind !== 'entry') leads[from] = 1;
  for (const { index, id, type } of nodes) {
    if (structure.reachable[index] === 0) {
      warnings.push(
        nodeProblem('NODE_UNREACHABLE', id, '从开始节点无法到达', 'it cannot be reached from the start node'),
      );
    }
    const inBody = (structure.scope[index] ?? ROOT) !== ROOT;
    if (leads[index] === 0 && !inBody && type !== 'end' && type !== 'output') {
      warnings.push(nodeProblem('NODE_LEADS_NOWHERE', id, '没有后续节点', 'it leads nowhere'));
    }
    if (type === 'loop' && (structure.scopes.get(index)?.length ?? 0) === 0) {
      warnings.push(nodeProblem('LOOP_BODY_EMPTY', id, '循环体为空', 'the loop has an empty body'));
    }
  }
  for (const index of structure.shared) {
    const id = nodes[index]?.id ?? '';
    warnings.push(
      nodeProblem(
        'LOOP_BODY_SHARED',
        id,
        '多个循环通向此节点，它不属于任何一个循环体',
        'several loops lead to it; it is in the body of none of them',
      ),
    );
  }
  return warnings;
}

function conditionWarnings({ nodes }: ReadGraph, { outgoing }: { outgoing: ReadEdge[][] }): Problem[] {
  const warnings: Problem[] = [];
  for (const { index, id, type } of nodes) {
    if (type !== 'condition') continue;
    const edges = outgoing[index] ?? [];
    const branches = new Set(edges.map(conditionBranch));
    if (edges.length > 0 && !(branches.has('true') && branches.has('false'))) {
      const lacking = branches.has('true') ? 'false' : 'true';
      warnings.push(nodeProblem('BRANCH_MISSING', id, `分支 ${lacking} 未连接`, `the branch ${lacking} leads nowhere`));
    }
    for (const edge of edges.filter((one) => !namesBranch(one))) {
      warnings.push(
        edgeProblem(
          'HANDLE_MISSING',
          edge,
          `从条件节点 ${shownId(id)} 出发但未指明 true 或 false，按 true 处理`,
          `it leaves the condition ${shownId(id)} by neither true nor false and counts as true`,
          id,
        ),
      );
    }
  }
  return warnings;
}

function modelWarnings({ nodes }: ReadGraph): Problem[] {
  const given = (value: unknown) => typeof value === 'string' && value !== '';
  return nodes
    .filter(({ type, data }) => type === 'llm' && !(given(data.provider) && given(data.model)))
    .map(({ id }) =>
      nodeProblem(
        'MODEL_DEFAULT',
        id,
        '未指定 provider 或 model，将使用默认模型',
        'provider or model is not given, the default is used',
      ),
    );
}
