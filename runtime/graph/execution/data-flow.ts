import { getPath, type Path } from '../path.ts';
import type { PlanNode, PlanScope } from '../plan.ts';
import type { Scope } from '../types.ts';
import { essence, isRecord } from '../values.ts';
import { type Frame, frameOf, isTaken, loopOf, loopVariables, Status } from './frame.ts';

/** Outputs of the executed predecessors in the order of their edges, each once; the loop itself gives its input and variables. */
export function predecessorsOf(frame: Frame, node: PlanNode): { id: string; output: unknown }[] {
  const found = new Map<PlanNode, unknown>();
  for (const edge of node.incoming) {
    if (found.has(edge.from)) continue;
    if (edge.kind === 'entry') {
      if (edge.from === frame.scope.loop) found.set(edge.from, bodyInput(frame));
      continue;
    }
    const source = edge.kind === 'flow' ? frame : frameOf(frame, edge.from.scope);
    if (source && isTaken(source, edge)) found.set(edge.from, source.outputs[edge.from.position]);
  }
  // A node of a body that no edge leads to begins the body.
  if (node.incoming.length === 0 && frame.scope.loop) found.set(frame.scope.loop, bodyInput(frame));
  return [...found].map(([{ id }, output]) => ({ id, output }));
}

/** What an iteration begins with: the fields of the loop's input, the item, `index` and `total`. */
function bodyInput(frame: Frame): unknown {
  const input = loopOf(frame)?.state.input;
  const fields = isRecord(input) ? input : Array.isArray(input) || input === null ? {} : { input };
  return { ...fields, ...loopVariables(frame) };
}

/** The output of the one predecessor, or several merged: objects field by field, other values under their node's id. */
export function mergeInput(predecessors: readonly { id: string; output: unknown }[]): unknown {
  const [only] = predecessors;
  if (only === undefined) return null;
  if (predecessors.length === 1) return only.output;
  const merged: Record<string, unknown> = {};
  for (const { id, output } of predecessors) {
    for (const [name, value] of isRecord(output) ? Object.entries(output) : [[id, output] as const]) {
      if (name !== '__proto__') merged[name] = value;
    }
  }
  return merged;
}

/**
 * Where a node's templates and expressions find names: fields of its input, variables of the loops around it, outputs of earlier
 * nodes by id, `{input}` as the whole input, fields of the execution's input. The first that has something at the whole path counts.
 */
export class NodeScope implements Scope {
  readonly #frame: Frame;
  readonly #node: PlanNode;
  readonly #input: unknown;
  readonly #executionInput: unknown;
  readonly #find: (id: string) => PlanNode | undefined;

  constructor(
    frame: Frame,
    node: PlanNode,
    data: { input: unknown; executionInput: unknown; find: (id: string) => PlanNode | undefined },
  ) {
    this.#frame = frame;
    this.#node = node;
    this.#input = data.input;
    this.#executionInput = data.executionInput;
    this.#find = data.find;
  }

  lookup(path: Path): unknown {
    let found = isRecord(this.#input) ? getPath(this.#input, path) : undefined;
    if (found !== undefined) return found;
    found = this.#fromLoops(path);
    if (found !== undefined) return found;
    found = this.#fromNodes(path);
    if (found !== undefined) return found;
    if (path[0] === 'input') {
      found = path.length === 1 ? essence(this.#input) : getPath(this.#input, path, 1);
      if (found !== undefined) return found;
    }
    return getPath(this.#executionInput, path);
  }

  #fromLoops(path: Path): unknown {
    for (let at: Frame | undefined = this.#frame; at?.parent; at = at.parent) {
      const found = getPath(loopVariables(at), path);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** Ids may hold dots: the shortest that is a node with something at the rest counts. */
  #fromNodes(path: Path): unknown {
    let id = '';
    for (let length = 1; length <= path.length && length <= 8; length += 1) {
      const part = path[length - 1];
      if (typeof part !== 'string') return undefined;
      id = length === 1 ? part : `${id}.${part}`;
      const node = this.#find(id);
      const found = node && this.#fromNode(node, path, length);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #fromNode(node: PlanNode, path: Path, from: number): unknown {
    const frame = frameOf(this.#frame, node.scope);
    if (!frame || node.position === -1) return undefined;
    const inside = innerFrame(this.#frame, frame);
    if (inside?.scope.loop === node) return getPath(loopVariables(inside), path, from);
    // Only what comes before this node in the graph: whether anything else is done by now depends on timing.
    const here = inside?.scope.loop ?? this.#node;
    if (frame.status[node.position] !== Status.done || !comesBefore(node, here)) return undefined;
    const output = frame.outputs[node.position];
    if (path.length === from) return output;
    if (node.type === 'condition' && path[from] === 'result') {
      return getPath(frame.branches.get(node.position) === 'true', path, from + 1);
    }
    const found = getPath(output, path, from);
    if (found !== undefined) return found;
    if (path[from] === 'output' || (path[from] === 'text' && typeof output === 'string')) {
      return getPath(output, path, from + 1);
    }
    return path[from] === 'error' ? getPath(frame.errors.get(node.position), path, from + 1) : undefined;
  }
}

/** The frame directly inside `outer` on the way to `frame`; undefined when they are the same. */
function innerFrame(frame: Frame, outer: Frame): Frame | undefined {
  let at: Frame | undefined = frame === outer ? undefined : frame;
  while (at && at.parent !== outer) at = at.parent;
  return at;
}

const ancestors = new WeakMap<PlanScope, { width: number; bits: Uint32Array }>();

/** Whether a path of edges leads from one node to another of the same scope. Computed once per scope, when first asked. */
function comesBefore(node: PlanNode, later: PlanNode): boolean {
  if (node.scope !== later.scope || later.position <= node.position) return false;
  let known = ancestors.get(node.scope);
  if (!known) {
    known = ancestorsOf(node.scope);
    ancestors.set(node.scope, known);
  }
  const word = known.bits[later.position * known.width + (node.position >> 5)] ?? 0;
  return (word & (1 << (node.position & 31))) !== 0;
}

function ancestorsOf({ nodes }: PlanScope): { width: number; bits: Uint32Array } {
  const width = Math.ceil(nodes.length / 32);
  const bits = new Uint32Array(nodes.length * width);
  const add = (to: number, from: number) => {
    for (let word = 0; word < width; word += 1) {
      bits[to * width + word] = (bits[to * width + word] ?? 0) | (bits[from * width + word] ?? 0);
    }
    const own = to * width + (from >> 5);
    bits[own] = (bits[own] ?? 0) | (1 << (from & 31));
  };
  // Positions are a topological order: everything before a node is complete when its own edges are followed.
  for (const node of nodes) {
    for (const { to } of node.outgoing) add(to.position, node.position);
    for (const to of node.awaitedBy) add(to.position, node.position);
  }
  return { width, bits };
}
