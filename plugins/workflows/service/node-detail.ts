import { type Outcome, type Plan, restore } from '../../../runtime/graph/index.ts';
import type { Run, RunSteps } from '../../../runtime/runs/service.ts';
import { around } from '../engine/frame.ts';
import { factKey, outcomeOf, stepOf } from '../engine/records.ts';
import type { SubWorkflow } from '../engine/sub-workflow.ts';
import type { Graphs } from './graphs.ts';

interface Past {
  graphs: Graphs;
  run: Run;
  steps: RunSteps;
  plan: Plan;
  input: unknown;
}

/**
 * Input and output of one step of an execution. Outputs are stored; the input is worked out again by letting the graph go on until
 * the step is ready, with the stored outcomes of all others.
 */
export async function readNode(past: Past, key: string): Promise<{ input: unknown; output: unknown } | undefined> {
  const { steps } = past;
  const stored = steps.keys.find((each) => stepOf(each) === key);
  const outcome = stored === undefined ? undefined : outcomeOf(stored, await steps.load(stored));
  const place = await graphOf(past, key);
  if (!place) return undefined;
  const input = await inputOf(place, past, key);
  if (!outcome && input === undefined) return undefined;
  return { input: input ?? null, output: outputOf(outcome, input) };
}

function outputOf(outcome: Outcome | undefined, input: unknown): unknown {
  if (!outcome || 'error' in outcome) return null;
  return ('same' in outcome ? input : outcome.output) ?? null;
}

interface Place {
  plan: Plan;
  input: unknown;
  prefix: string;
}

/** The graph that the step belongs to: the workflow's own, or that of a sub-workflow. */
async function graphOf(past: Past, key: string): Promise<Place | undefined> {
  let place: Place = { plan: past.plan, input: past.input, prefix: '' };
  for (const outer of around(key)) {
    const inGraph = outer.slice(place.prefix.length);
    const id = inGraph.slice(inGraph.lastIndexOf('/') + 1);
    const node = [...place.plan.byId.values()].find(({ keyPart }) => keyPart === id);
    if (node?.type !== 'workflow') continue;
    const fact = factKey('version', outer);
    if (!past.steps.keys.includes(fact)) return undefined;
    const { version, input } = (await past.steps.load(fact)) as SubWorkflow;
    const { plan } = await past.graphs.get(past.run, String(node.data.workflow_id), version);
    place = { plan, input, prefix: `${outer}/` };
  }
  return place;
}

/** Undefined when the step was never ready. */
async function inputOf({ plan, input, prefix }: Place, { steps }: Past, key: string): Promise<unknown> {
  const wanted = new Set([key, ...around(key)]);
  const outcomes = new Map<string, Outcome>();
  for (const stored of steps.keys) {
    const step = stepOf(stored);
    // The loops around the step have to be gone into again; other loops stand for their bodies.
    if (step === undefined || !step.startsWith(prefix) || wanted.has(step)) continue;
    if (
      [...around(step.slice(prefix.length))].some(
        (outer) => !wanted.has(prefix + outer) && hasOutcome(steps, prefix + outer),
      )
    )
      continue;
    outcomes.set(step.slice(prefix.length), outcomeOf(stored, await steps.load(stored)));
  }
  const execution = restore(plan, input, outcomes);
  const name = key.slice(prefix.length);
  for (let ready = execution.ready(1000); ready.length > 0; ready = execution.ready(1000)) {
    const found = ready.find((step) => step.key === name);
    if (found) return found.input ?? null;
  }
  return undefined;
}

const known = new WeakMap<RunSteps, Set<string>>();

function hasOutcome(steps: RunSteps, key: string): boolean {
  let keys = known.get(steps);
  if (!keys) {
    keys = new Set(steps.keys.flatMap((each) => stepOf(each) ?? []));
    known.set(steps, keys);
  }
  return keys.has(key);
}
