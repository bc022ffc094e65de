import type { RunContext } from '../../../core/run-kind.ts';
import { StepReplacedError } from '../errors.ts';
import type { TaskDocument } from '../models/task.ts';
import type { ReportParts } from '../service/parts.ts';
import type { States } from '../service/states.ts';
import type { StepInput } from '../service/task-state.ts';

/** What every step works with. */
export interface StepContext {
  run: RunContext<StepInput>;
  parts: ReportParts;
  states: States;
}

/**
 * The task of a run that is still its task's step.
 *
 * @throws {StepReplacedError} the task was cancelled, or went on without this run, while no process carried it out
 */
export async function taskOf({ run, states }: StepContext): Promise<TaskDocument> {
  const task = await states.get(run.principal, run.input.taskId);
  if (task.step?.runId !== run.runId) throw new StepReplacedError(run.input.taskId);
  return task;
}

/** Does `work` for all items, at most `limit` at a time; the first failure ends it. Results keep the order. */
export async function mapLimited<T, R>(
  items: readonly T[],
  limit: number,
  work: (item: T, index: number) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  let failed = false;
  const worker = async () => {
    while (next < items.length && !failed) {
      const at = next;
      next += 1;
      try {
        results[at] = await work(items[at] as T, at);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
  return results;
}
