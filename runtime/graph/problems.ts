import type { Problem, ProblemCode } from './types.ts';

/** An id in a message; hostile ones are cut. */
export const shownId = (id: string): string => (id.length > 100 ? `${id.slice(0, 100)}…` : id);

export const problem = (code: ProblemCode, zh: string, en: string, where: Pick<Problem, 'nodeId' | 'edgeId'> = {}) =>
  ({ code, ...where, text: { zh, en } }) satisfies Problem;

/** A finding about one node; both texts begin with its id. */
export const nodeProblem = (code: ProblemCode, nodeId: string, zh: string, en: string): Problem =>
  problem(code, `节点 ${shownId(nodeId)}：${zh}`, `node ${shownId(nodeId)}: ${en}`, { nodeId });

/** A finding about one edge; both texts begin with its id, or its place when it has none. */
export const edgeProblem = (
  code: ProblemCode,
  edge: { id: string | undefined; at: number },
  zh: string,
  en: string,
  nodeId?: string,
): Problem => {
  const name = edge.id === undefined ? `#${edge.at + 1}` : shownId(edge.id);
  return problem(code, `连线 ${name}：${zh}`, `edge ${name}: ${en}`, {
    ...(nodeId !== undefined && { nodeId }),
    ...(edge.id !== undefined && { edgeId: edge.id }),
  });
};
