import type { Execution, Step } from '../../../runtime/graph/index.ts';

/** One graph that is being executed: the workflow of the run, or a sub-workflow inside it. */
export interface Frame {
  readonly execution: Execution;
  /** Begins every key of its steps: empty, or `sub-1/`. */
  readonly prefix: string;
  /** Begins every node id that is shown: empty, or `sub-1/`. */
  readonly nodePrefix: string;
  readonly depth: number;
  readonly workflowId: string;
  /** The step that this graph carries out; undefined for the run's own graph. */
  readonly parent: { frame: Frame; step: Step; begun: number } | undefined;
  /** Nobody wants its result any more, or it has ended. */
  closed: boolean;
}

/** Key of a step within the run. */
export const stepKey = (frame: Frame, key: string): string => frame.prefix + key;

/** Whether `inner` is `outer` or a sub-workflow inside it. */
export function isInside(inner: Frame, outer: Frame): boolean {
  for (let at: Frame | undefined = inner; at; at = at.parent?.frame) if (at === outer) return true;
  return false;
}

/** The step of the top graph that a key belongs to: itself, or the sub-workflow around it. */
export function ownerKey(key: string): string {
  let at = key.indexOf('/');
  while (at !== -1) {
    // Iterations end in an index; ids of nodes have their brackets encoded.
    if (!/\[\d+\]$/.test(key.slice(0, at))) return key.slice(0, at);
    at = key.indexOf('/', at + 1);
  }
  return key;
}

/** Steps that a step is inside of: loops and sub-workflows, outermost first. */
export function* around(key: string): Generator<string> {
  for (let at = key.indexOf('/'); at !== -1; at = key.indexOf('/', at + 1)) {
    yield key.slice(0, at).replace(/\[\d+\]$/, '');
  }
}

/** The id of a step's node as logs show it: loops around it are left out, sub-workflows stay. */
export const nodeIdOf = (key: string): string =>
  key
    .split('/')
    .filter((part) => !/\[\d+\]$/.test(part))
    .map((part) => part.replace(/%(25|2F|5B|5D)/gi, (encoded) => decodeURIComponent(encoded)))
    .join('/');
