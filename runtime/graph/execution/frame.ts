import type { ErrorRecord } from '../../../core/errors.ts';
import type { PlanEdge, PlanNode, PlanScope } from '../plan.ts';
import type { Failure, LoopOutput, LoopPosition } from '../types.ts';

export const Status = { waiting: 0, ready: 1, running: 2, done: 3, skipped: 4, failed: 5 } as const;
export type Status = (typeof Status)[keyof typeof Status];

/** The state of the graph itself or of one iteration of a loop. Plain data, but for its links to the plan and to the frame around it. */
export interface Frame {
  /** Begins every key of its steps: empty, or `loop-1[3]/`. */
  readonly path: string;
  readonly scope: PlanScope;
  readonly parent: Frame | undefined;
  readonly index: number;
  /** Per position in the scope. */
  readonly status: Status[];
  readonly pending: number[];
  readonly taken: number[];
  readonly outputs: unknown[];
  /** What each output counts in the budget, where it counts anything. */
  readonly sizes: number[];
  /** Handles that branching nodes chose. */
  readonly branches: Map<number, string>;
  /** Errors of nodes whose policy let the execution go on. */
  readonly errors: Map<number, ErrorRecord>;
  readonly attempts: Map<number, number>;
  readonly loops: Map<number, LoopState>;
  /** Positions below `failedAt` that are not settled. */
  open: number;
  /** The first failed position, or the number of nodes. Nothing behind it is begun. */
  failedAt: number;
  failure: Failure | undefined;
  /** Weight of the settled nodes. */
  settled: number;
  /** Sum of `sizes`. */
  held: number;
}

export interface LoopState {
  readonly input: unknown;
  readonly items: readonly unknown[];
  readonly results: unknown[];
  /** What the results count in the budget. */
  held: number;
  readonly errors: LoopOutput['errors'];
  /** Iterations under way by index. */
  readonly live: Map<number, Frame>;
  next: number;
  finished: number;
  /** With `stop`: the first failed index, or the number of items. Nothing behind it is begun. */
  failedAt: number;
  failure: Failure | undefined;
}

export function createFrame(scope: PlanScope, parent: Frame | undefined, path: string, index: number): Frame {
  const size = scope.nodes.length;
  return {
    path,
    scope,
    parent,
    index,
    status: new Array<Status>(size).fill(Status.waiting),
    pending: scope.pending.slice(),
    taken: scope.taken.slice(),
    outputs: new Array<unknown>(size).fill(undefined),
    sizes: [],
    branches: new Map(),
    errors: new Map(),
    attempts: new Map(),
    loops: new Map(),
    open: size,
    failedAt: size,
    failure: undefined,
    settled: 0,
    held: 0,
  };
}

export const keyOf = (frame: Frame, node: PlanNode): string => frame.path + node.keyPart;

/** Whether the source of an edge was executed and led there; `frame` is the one of the source. */
export function isTaken(frame: Frame, edge: PlanEdge): boolean {
  const at = edge.from.position;
  if (frame.status[at] !== Status.done) return false;
  const chosen = edge.branch === undefined ? undefined : frame.branches.get(at);
  return chosen === undefined || chosen === edge.branch;
}

/** The frame of a scope, seen from a frame inside it. */
export function frameOf(frame: Frame, scope: PlanScope): Frame | undefined {
  let at: Frame | undefined = frame;
  while (at && at.scope !== scope) at = at.parent;
  return at;
}

/** The loop state that an iteration belongs to. */
export function loopOf(frame: Frame): { node: PlanNode; outer: Frame; state: LoopState } | undefined {
  const node = frame.scope.loop;
  const state = node && frame.parent?.loops.get(node.position);
  return node && frame.parent && state ? { node, outer: frame.parent, state } : undefined;
}

/** `item`, `index` and `total` of an iteration, under the names of its loop. */
export function loopVariables(frame: Frame): Record<string, unknown> | undefined {
  const loop = loopOf(frame);
  if (!loop?.node.loop) return undefined;
  const { state } = loop;
  return {
    index: frame.index,
    total: state.items.length,
    [loop.node.loop.itemVariable]: state.items[frame.index] ?? null,
  };
}

export function loopPositions(frame: Frame): LoopPosition[] {
  const positions: LoopPosition[] = [];
  for (let at: Frame | undefined = frame; at; at = at.parent) {
    const loop = loopOf(at);
    if (loop) positions.unshift({ loopId: loop.node.id, index: at.index, total: loop.state.items.length });
  }
  return positions;
}
