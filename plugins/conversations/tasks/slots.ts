import type { TenantModel } from '../../../core/data/database.ts';
import { isDuplicate } from '../../../core/data/errors.ts';
import type { LocalText } from '../../../core/errors.ts';
import type { Logger } from '../../../core/log.ts';
import { type Principal, systemPrincipal } from '../../../core/principal.ts';
import type { RunEvent, RunService } from '../../../runtime/runs/service.ts';
import type { TaskDocument, TaskEnd, TaskRecord } from '../models/task.ts';
import { isAbandoned } from '../service/abandoned.ts';
import { TaskRunningError } from './errors.ts';

/** How long a run that has ended may be storing its answer while somebody wants its place. */
const SETTLE_MS = 5000;

/**
 * Tasks and the places that running ones take. A unique index over account and place keeps the limit, whoever asks and however many at
 * once; a place is given back in the write that ends the task.
 */
export interface TaskSlots {
  /**
   * Takes a place for a task that is about to start.
   *
   * @throws {TaskRunningError} when all are taken
   */
  take(principal: Principal, task: { id: string; conversationId: string }): Promise<TaskDocument>;
  /** The task was not started after all, or starting it is over. */
  started(taskId: string): void;
  drop(principal: Pick<Principal, 'tenantId'>, taskId: string): Promise<void>;
  /** Ends a task; may be repeated. */
  end(principal: Pick<Principal, 'tenantId'>, taskId: string, end: { end: TaskEnd; error?: LocalText }): Promise<void>;
  /** Gives back what a crash has left taken. */
  recover(): Promise<void>;
}

export function createTaskSlots(parts: {
  tasks: TenantModel<TaskRecord>;
  runs: RunService;
  limit: number;
  log: Logger;
}): TaskSlots {
  const { tasks, runs, limit, log } = parts;
  /** Tasks of this process between their place and their run. */
  const starting = new Set<string>();

  const drop: TaskSlots['drop'] = async (tenant, taskId) => {
    starting.delete(taskId);
    await tasks.in(tenant).delete({ _id: taskId });
  };

  /** Whether a place is free now that seemed to be taken. */
  const isLeftBehind = async (task: TaskDocument): Promise<boolean> => {
    const { _id, host, createdAt: since, tenantId } = task;
    if (starting.has(_id)) return false;
    const system = systemPrincipal(tenantId);
    // The end of a log is in memory, the run with all of its input is not.
    const last = await runs.lastEvent(system, _id);
    if (last === undefined) {
      if ((await runs.get(system, _id)) || !(await isAbandoned(runs, { host, since }))) return false;
      await drop(task, _id);
      return true;
    }
    if (!isLast(last)) return false;
    await runs
      .ended(system, _id, AbortSignal.timeout(SETTLE_MS))
      .catch((error: unknown) => log.warn({ err: error, task: _id }, 'task: not settled yet'));
    return (await tasks.in(task).findOne({ _id, slot: { $exists: true } })) === undefined;
  };

  /** @throws {TaskRunningError} */
  const placeAfterLook = async (mine: ReturnType<typeof tasks.in>, ownerId: string): Promise<number> => {
    for (;;) {
      const taken = await mine.find({ ownerId, slot: { $exists: true } });
      const slot = freeSlot(taken, limit);
      if (slot !== undefined) return slot;
      const freed = await Promise.all(taken.map(isLeftBehind));
      if (!freed.includes(true)) throw new TaskRunningError(limit);
    }
  };

  return {
    async take(principal, { id, conversationId }) {
      const mine = tasks.in(principal);
      const { accountId: ownerId } = principal;
      starting.add(id);
      try {
        // Most accounts have nothing running: the first place is tried without a look.
        for (let slot = 0; ; ) {
          try {
            return await mine.insert({ _id: id, ownerId, conversationId, slot, host: runs.host });
          } catch (error) {
            if (!isDuplicate(error, 'slot')) throw error;
          }
          slot = await placeAfterLook(mine, ownerId);
        }
      } catch (error) {
        starting.delete(id);
        throw error;
      }
    },

    started: (taskId) => void starting.delete(taskId),
    drop,

    async end(tenant, taskId, { end, error }) {
      await tasks
        .in(tenant)
        .update(
          { _id: taskId, end: { $exists: false } },
          { $set: { end, endedAt: new Date(), ...(error && { error }) }, $unset: { slot: 1 } },
        );
    },

    async recover() {
      const taken = tasks.acrossTenants('recovery at start').iterate({ slot: { $exists: true } });
      for await (const task of taken) {
        // A run that there is settles itself, now or when its recovery has come to it.
        const last = await runs.lastEvent(systemPrincipal(task.tenantId), task._id);
        if (last === undefined) await isLeftBehind(task);
      }
    },
  };
}

const LAST = ['task_complete', 'task_stopped', 'run_succeeded', 'run_failed', 'run_cancelled'];

/** Whether a run has ended with this event of its log. */
const isLast = ({ type, data }: RunEvent): boolean => LAST.includes(type) || (type === 'error' && data.retry === false);

function freeSlot(taken: readonly { slot?: number }[], limit: number): number | undefined {
  const used = new Set(taken.map(({ slot }) => slot));
  for (let slot = 0; slot < limit; slot++) if (!used.has(slot)) return slot;
  return undefined;
}
