import type { RunContext } from '../../../core/run-kind.ts';
import type { Outcome } from '../../../runtime/graph/index.ts';
import { around } from './frame.ts';

/**
 * Keys of the steps that the engine stores in a run. `n:` the output of a node of the worker pool, `o:` the outcome of a step,
 * `x:` what the engine has to know about a step later (`x:until:…`, `x:version:…`) or must not say twice (`x:skip:…`).
 */
export const outputKey = (key: string) => `n:${key}`;
export const outcomeKey = (key: string) => `o:${key}`;
export const factKey = (what: string, key = '') => `x:${what}:${key}`;

/** The step that a stored key is the result of; undefined for facts. */
export const stepOf = (stored: string): string | undefined =>
  stored.startsWith('n:') || stored.startsWith('o:') ? stored.slice(2) : undefined;

/** What is read of a run that has stored steps: of this one, or of an earlier execution. */
export interface Stored {
  keys: readonly string[];
  load(key: string): Promise<unknown>;
}

export const outcomeOf = (stored: string, value: unknown): Outcome =>
  stored.startsWith('n:') ? { output: value } : (value as Outcome);

/** Outcomes by key of step; those inside of finished loops and sub-workflows are not needed any more and left out. */
export async function readOutcomes({ keys, load }: Stored): Promise<Map<string, Outcome>> {
  const done = new Set(keys.flatMap((key) => stepOf(key) ?? []));
  const outcomes = new Map<string, Outcome>();
  for (const stored of keys) {
    const key = stepOf(stored);
    if (key === undefined || insideOf(key, done)) continue;
    outcomes.set(key, outcomeOf(stored, await load(stored)));
  }
  return outcomes;
}

function insideOf(key: string, done: ReadonlySet<string>): boolean {
  for (const outer of around(key)) if (done.has(outer)) return true;
  return false;
}

/** Facts of the kinds that are asked for, by what follows `x:`. */
export async function readFacts(context: RunContext, kinds: readonly string[]): Promise<Map<string, unknown>> {
  const wanted = context.finished().filter((key) => kinds.some((kind) => key.startsWith(`x:${kind}:`)));
  return new Map(await Promise.all(wanted.map(async (key) => [key, await context.result(key)] as const)));
}

/** The part of the outcomes whose keys begin with a prefix, without it. */
export function below(outcomes: ReadonlyMap<string, Outcome>, prefix: string): ReadonlyMap<string, Outcome> {
  if (prefix === '' || outcomes.size === 0) return outcomes;
  return new Map(
    [...outcomes]
      .filter(([key]) => key.startsWith(prefix))
      .map(([key, outcome]) => [key.slice(prefix.length), outcome]),
  );
}
