import type { ErrorRecord } from '../../../core/errors.ts';
import type { PlanNode } from '../plan.ts';
import type { LoopOutput } from '../types.ts';
import { isRecord } from '../values.ts';
import { type Frame, isTaken, type LoopState, Status } from './frame.ts';

/**
 * The result of a finished graph: what its executed `end` got; of several an object by node id; without one the same of the executed
 * `output` nodes; else the output of the last node. A value that is no object comes as `{result: value}`.
 */
export function graphResult(frame: Frame): Record<string, unknown> {
  const executed = frame.scope.nodes.filter(({ position }) => frame.status[position] === Status.done);
  for (const type of ['end', 'output']) {
    const ends = executed.filter((node) => node.type === type).sort((a, b) => a.index - b.index);
    const [only] = ends;
    if (ends.length > 1) return Object.fromEntries(ends.map((node) => [node.id, frame.outputs[node.position]]));
    if (only) return wrapped(frame.outputs[only.position]);
  }
  return wrapped(lastOutput(frame, executed.at(-1)));
}

const wrapped = (value: unknown): Record<string, unknown> => (isRecord(value) ? value : { result: value ?? null });

const lastOutput = (frame: Frame, last: PlanNode | undefined) => (last ? frame.outputs[last.position] : null);

/**
 * The result of an iteration: the output of its last executed node, or of the last that led back to the loop; of an empty body the item.
 *
 * @returns `size`: what it counts in the budget
 */
export function iterationResult(frame: Frame, loop: PlanNode, state: LoopState): { result: unknown; size: number } {
  const back = (loop.loop?.returns ?? []).filter((edge) => isTaken(frame, edge)).map(({ from }) => from);
  const last =
    back.length > 0
      ? back.reduce((a, b) => (b.position > a.position ? b : a))
      : frame.scope.nodes.findLast(({ position }) => frame.status[position] === Status.done);
  return last
    ? { result: frame.outputs[last.position] ?? null, size: frame.sizes[last.position] ?? 0 }
    : { result: state.items[frame.index] ?? null, size: 0 };
}

export function loopOutput(loop: PlanNode, state: LoopState): LoopOutput {
  const errors = state.errors.sort((a, b) => a.index - b.index);
  const failed = new Set(errors.map(({ index }) => index));
  const removes = loop.loop?.errorHandling === 'remove' && failed.size > 0;
  const results = removes ? state.results.filter((_, index) => !failed.has(index)) : state.results;
  return { results, count: results.length, errors };
}

/** An error as text in data. */
export const errorText = (error: ErrorRecord, language: 'zh' | 'en'): string => error.message[language];
