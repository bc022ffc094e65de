import { type Path, pathText } from '../path.ts';
import { nodeProblem } from '../problems.ts';
import { inputFields } from '../pure-nodes.ts';
import type { ReadGraph, ReadNode } from '../shape.ts';
import { ROOT } from '../structure/bodies.ts';
import type { Structure } from '../structure/structure.ts';
import { openPlaceholders, parseTemplate, templatePaths } from '../template.ts';
import type { NodeTypeCheck, Problem } from '../types.ts';
import { isRecord } from '../values.ts';

/** Template fields of the documented types; other types name theirs. */
const TEMPLATES: ReadonlyMap<string, readonly string[]> = new Map([
  ['llm', ['prompt', 'system_prompt']],
  ['agent', ['prompt', 'instructions', 'system_prompt']],
  ['output', ['template']],
  ['transform', ['mapping', 'filter_rules']],
]);

/** Node types whose output has no fields of its own that a template could name without the node's id. */
const TELL_NOTHING = new Set(['start', 'condition', 'input', 'llm', 'agent', 'loop', 'output', 'end']);

/**
 * Warnings for placeholders that name no known node, declared input or variable. Names behind a node whose output may have any
 * field (transforms, plugins, models that answer in JSON) are not judged.
 */
export function nameWarnings(
  graph: ReadGraph,
  structure: Structure | undefined,
  nodeTypes: ReadonlyMap<string, NodeTypeCheck>,
): Problem[] {
  const declared = new Set<string>(['input']);
  for (const { type, data } of graph.nodes) {
    if (type === 'input') for (const { name } of inputFields(data)) declared.add(name);
    if (type === 'output' && typeof data.output_key === 'string') declared.add(data.output_key);
  }
  const open = structure ? mayHaveFields(graph, structure) : undefined;
  const warnings: Problem[] = [];
  for (const node of graph.nodes) {
    const fields = nodeTypes.get(node.type)?.templates ?? TEMPLATES.get(node.type) ?? [];
    const texts = fields.flatMap((field) => textsIn(node.data[field]));
    for (const open of texts.flatMap(openPlaceholders)) warnings.push(openWarning(node, open));
    for (const id of mergedIn(node)) if (!graph.byId.has(id)) warnings.push(unknownName(node, id));
    const variables = structure ? variablesOf(node, graph, structure) : undefined;
    for (const path of texts.flatMap((text) => templatePaths(parseTemplate(text)))) {
      const [name] = path;
      if (typeof name !== 'string' || declared.has(name) || namesNode(path, graph)) continue;
      if (!variables || variables.has(name) || open?.[node.index] === 1) continue;
      warnings.push(unknownName(node, pathText(path)));
    }
  }
  return warnings;
}

function unknownName({ id }: ReadNode, name: string): Problem {
  const shown = name.slice(0, 100);
  return nodeProblem(
    'TEMPLATE_NAME_UNKNOWN',
    id,
    `模板中的 {${shown}} 不是已知的节点、输入或变量`,
    `{${shown}} names no known node, input or variable`,
  );
}

function openWarning({ id }: ReadNode, open: string): Problem {
  const shown = open.slice(0, 100);
  return nodeProblem('TEMPLATE_OPEN', id, `模板中的 ${shown} 没有结束的花括号`, `${shown} has no closing brace`);
}

/** The nodes whose outputs a transform merges, where it names them. */
function mergedIn({ type, data }: ReadNode): string[] {
  if (type !== 'transform' || data.mode !== 'merge' || !Array.isArray(data.sources)) return [];
  return data.sources.filter((id): id is string => typeof id === 'string');
}

/** A text with braces, or those in an object or list. */
function textsIn(value: unknown, depth = 0): string[] {
  if (typeof value === 'string') return value.includes('{') ? [value] : [];
  if (depth > 5) return [];
  if (Array.isArray(value)) return value.flatMap((item: unknown) => textsIn(item, depth + 1));
  return isRecord(value) ? Object.values(value).flatMap((item) => textsIn(item, depth + 1)) : [];
}

function namesNode(path: Path, { byId }: ReadGraph): boolean {
  let id = '';
  for (const [at, part] of path.slice(0, 8).entries()) {
    if (typeof part !== 'string') return false;
    id = at === 0 ? part : `${id}.${part}`;
    if (byId.has(id)) return true;
  }
  return false;
}

function variablesOf({ index }: ReadNode, { nodes }: ReadGraph, { scope }: Structure): Set<string> {
  const names = new Set<string>();
  for (let loop = scope[index] ?? ROOT; loop !== ROOT; loop = scope[loop] ?? ROOT) {
    const variable = nodes[loop]?.data.item_variable;
    names.add(typeof variable === 'string' && variable !== '' ? variable : 'item');
    names.add('index').add('total');
  }
  return names;
}

/** 1 for nodes whose input may have fields that nobody declared. */
function mayHaveFields({ nodes }: ReadGraph, { flow, scopes }: Structure): Uint8Array {
  const open = new Uint8Array(nodes.length);
  const gives = (from: number): boolean => {
    const node = nodes[from];
    if (!node) return false;
    if (!TELL_NOTHING.has(node.type) || (node.type === 'llm' && node.data.output_format === 'json')) return true;
    const passes = node.type === 'condition' || node.type === 'input' || node.type === 'output' || node.type === 'loop';
    return passes && open[from] === 1;
  };
  const incoming = new Map<number, number[]>();
  for (const { from, to } of flow) {
    const known = incoming.get(to);
    if (known) known.push(from);
    else incoming.set(to, [from]);
  }
  // Loops stand before their bodies: scopes are visited from the outside in, each in its topological order.
  const visit = (loop: number) => {
    for (const node of scopes.get(loop) ?? []) {
      const sources = incoming.get(node) ?? (loop === ROOT ? [] : [loop]);
      if (sources.some(gives)) open[node] = 1;
      if (nodes[node]?.type === 'loop') visit(node);
    }
  };
  visit(ROOT);
  return open;
}
