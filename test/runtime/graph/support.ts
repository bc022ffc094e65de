import {
  compileGraph,
  createPurePerformer,
  type Execution,
  type ExecutionOptions,
  type GraphEdge,
  type GraphNode,
  type Outcome,
  type Path,
  type Plan,
  restore,
  type Scope,
  type Step,
} from '../../../runtime/graph/index.ts';
import { getPath } from '../../../runtime/graph/path.ts';

/** A scope over one object, for templates and expressions by themselves. */
export const scopeOf = (data: unknown): Scope => ({ lookup: (path: Path) => getPath(data, path) });

export const node = (id: string, type = id.split('-')[0] ?? id, data: Record<string, unknown> = {}): GraphNode => ({
  id,
  type,
  data,
});

/** Edges of chains such as `start > a > end`; `cond:true > a` leaves by a handle. */
export function edges(...chains: string[]): GraphEdge[] {
  const list: GraphEdge[] = [];
  for (const chain of chains) {
    const parts = chain.split('>').map((part) => part.trim());
    for (let at = 1; at < parts.length; at += 1) {
      const [source = '', handle] = (parts[at - 1] ?? '').split(':');
      const [target = ''] = (parts[at] ?? '').split(':');
      list.push({ id: `e${list.length + 1}`, source, target, ...(handle && { sourceHandle: handle }) });
    }
  }
  return list;
}

/** A graph of chains; nodes that are not given get the type that their id begins with. */
export function graphOf(chains: string[], given: GraphNode[] = []): { nodes: GraphNode[]; edges: GraphEdge[] } {
  const list = edges(...chains);
  const nodes = new Map(given.map((one) => [one.id, one]));
  for (const { source, target } of list) {
    for (const id of [source, target]) if (!nodes.has(id)) nodes.set(id, node(id));
  }
  return { nodes: [...nodes.values()], edges: list };
}

export const planOf = (chains: string[], given: GraphNode[] = []): Plan => {
  const graph = graphOf(chains, given);
  return compileGraph(graph.nodes, graph.edges);
};

export type Work = (step: Step) => unknown;
export interface Ran {
  execution: Execution;
  /** Keys of the steps in the order in which they were carried out. */
  keys: string[];
  skipped: Map<string, string>;
  changes: string[];
  finished: Map<string, Outcome>;
}

export interface RunOptions extends ExecutionOptions {
  work?: Work;
  /** Which of the open steps is reported next. Default the first. */
  choose?: (open: Step[]) => number;
  finished?: ReadonlyMap<string, Outcome>;
  /** Called after every report. */
  observe?: (execution: Execution) => void;
  /** Stop after so many reports. */
  atMost?: number;
}

/** Carries a plan out: pure nodes by themselves, other nodes by `work` (default: the node's id); a thrown value fails the step. */
export function run(plan: Plan, input: unknown = {}, options: RunOptions = {}): Ran {
  const { work, choose = () => 0, atMost = Number.POSITIVE_INFINITY } = options;
  const execution = restore(plan, input, options.finished ?? new Map(), options);
  const performer = createPurePerformer();
  const ran: Ran = { execution, keys: [], skipped: new Map(), changes: [], finished: new Map(options.finished) };
  let open: Step[] = execution.ready();
  const note = () => {
    for (const change of execution.changes()) {
      ran.changes.push('key' in change ? `${change.type} ${change.key}` : change.type);
      if (change.type === 'skipped') ran.skipped.set(change.key, change.reason);
      if (change.type === 'abandoned') open = open.filter(({ key }) => key !== change.key);
    }
  };
  note();
  for (let reports = 0; open.length > 0 && reports < atMost; reports += 1) {
    const [step] = open.splice(choose(open), 1);
    if (!step) break;
    ran.keys.push(step.key);
    try {
      const performed = performer.perform(step);
      const output = performed ? performed.output : work ? work(step) : step.nodeId;
      execution.finish(step, output, performed?.branch);
      ran.finished.set(step.key, { output, ...(performed?.branch && { branch: performed.branch }) });
    } catch (error) {
      execution.fail(step, error);
    }
    note();
    options.observe?.(execution);
    open.push(...execution.ready());
  }
  return ran;
}
