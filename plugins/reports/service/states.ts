import { randomUUID } from 'node:crypto';
import type { Principal } from '../../../core/principal.ts';
import type { RunOutcome } from '../../../core/run-kind.ts';
import { NoModelError, ReportConflictError, TaskNotFoundError, TooManyRunningTasksError } from '../errors.ts';
import type { StepName, TaskDocument } from '../models/task.ts';
import { REACHED, STEPS } from '../rules.ts';
import type { ReportParts } from './parts.ts';
import {
  afterStep,
  type Change,
  RUN_KIND,
  reasonOf,
  STATE_EVENT,
  type StepInput,
  type StepResult,
  stateEvent,
  stateOf,
  type TaskState,
} from './task-state.ts';

type Tenant = Pick<Principal, 'tenantId'>;

import { createSerial } from '../../../core/serial.ts';

/**
 * All changes of a task's status. Each is one atomic update that expects the status and revision that were read; the
 * `state` event follows, and `announce` repeats one that a crash has swallowed.
 */
export function createStates(parts: ReportParts) {
  const serial = createSerial();
  const { tasks, runs } = parts;

  const get = async (principal: Tenant, taskId: string): Promise<TaskDocument> => {
    const task = await tasks.in(principal).get(taskId);
    if (!task) throw new TaskNotFoundError(taskId);
    return task;
  };

  /** Reads, decides and writes; when somebody else was faster, reads and decides again. Without a change nothing is written. */
  const transition = async (
    principal: Tenant,
    taskId: string,
    decide: (task: TaskDocument) => Change | undefined | Promise<Change | undefined>,
  ): Promise<TaskDocument> => {
    for (let attempt = 0; attempt < 8; attempt += 1) {
      const task = await get(principal, taskId);
      const change = await decide(task);
      if (!change) return task;
      const changed = await tasks
        .in(principal)
        .update({ _id: taskId, status: task.status, revision: task.revision }, { $set: change, $inc: { revision: 1 } });
      if (changed) return changed;
    }
    throw new ReportConflictError('TASK_CHANGED', {
      zh: '任务正被其他请求修改，请重试',
      en: 'The task is being changed by other requests; try again',
    });
  };

  /**
   * Appends the task's state to its log unless that, or a later one, is there already. Never fails: the change itself is
   * stored, and whoever watches the task next makes the event good.
   */
  const announce = async (principal: Principal, task: TaskDocument): Promise<void> => {
    try {
      await serial(`announce ${task._id}`, async () => {
        const last = stateOf(await runs.lastEvent(principal, task._id, [STATE_EVENT]));
        if (last && last.revision >= task.revision) return;
        await runs.append(principal, task._id, [stateEvent(task)]);
      });
    } catch (error) {
      parts.log.warn({ err: error, taskId: task._id }, 'task state not announced');
    }
  };

  const assertRoom = async (principal: Principal): Promise<void> => {
    const running = await tasks
      .in(principal)
      .count({ status: { $in: ['OUTLINE_GENERATING', 'DATA_COLLECTING', 'GENERATING'] } });
    if (running >= parts.options.runningPerTenant) throw new TooManyRunningTasksError(parts.options.runningPerTenant);
  };

  const assertModel = (modelConfigId: string | null): void => {
    let available: boolean;
    try {
      available = parts.models.resolve(modelConfigId ?? undefined, { unknown: 'default' }).available;
    } catch (error) {
      throw new NoModelError(error);
    }
    if (!available) throw new NoModelError();
  };

  /**
   * Brings the task into the status of a step and starts its run, whose id is stored first. When the run is refused, the
   * task gets back what it had.
   *
   * @param choose which step; may throw what refuses the start
   * @param prepare stores what the run will need, after everything else was checked
   */
  const startStep = (
    principal: Principal,
    taskId: string,
    choose: (task: TaskDocument) => Promise<{ name: StepName; reportId?: string }>,
    prepare: (task: TaskDocument, runId: string) => Promise<void> = async () => undefined,
  ): Promise<TaskDocument> =>
    serial(`start ${principal.tenantId}`, async () => {
      const runId = randomUUID();
      let before: TaskDocument | undefined;
      let step: { name: StepName; reportId?: string } | undefined;
      const task = await transition(principal, taskId, async (current) => {
        const chosen = await choose(current);
        if (chosen.name !== 'collect') assertModel(current.modelConfigId);
        await assertRoom(principal);
        if (!step) await prepare(current, runId);
        [before, step] = [current, chosen];
        const { status, stage, start, message } = STEPS[chosen.name];
        return {
          status,
          stage,
          progress: start,
          message,
          errorMessage: null,
          failedStep: null,
          step: { ...chosen, runId },
          startTime: current.startTime ?? new Date(),
          finishTime: null,
        };
      });
      const input: StepInput = {
        step: task.step?.name ?? 'report',
        taskId,
        ...(step?.reportId && { reportId: step.reportId }),
      };
      try {
        await runs.start(principal, RUN_KIND, input, { id: runId, logId: taskId, events: [stateEvent(task)] });
      } catch (error) {
        if (before) {
          const { status, stage, progress, message, errorMessage, failedStep, startTime, finishTime } = before;
          await tasks.in(principal).update(
            { _id: taskId, revision: task.revision },
            {
              $set: { status, stage, progress, message, errorMessage, failedStep, startTime, finishTime, step: null },
              $inc: { revision: 1 },
            },
          );
        }
        throw error;
      }
      return task;
    });

  /** Progress inside a running step; never falls, and is dropped when the task has gone on without the run. */
  const advance = async (
    principal: Tenant,
    taskId: string,
    runId: string,
    state: Pick<TaskState, 'stage' | 'progress' | 'message'>,
  ): Promise<void> => {
    await tasks
      .in(principal)
      .update(
        { _id: taskId, 'step.runId': runId, progress: { $lte: state.progress } },
        { $set: { stage: state.stage, progress: state.progress, message: state.message } },
      );
  };

  /** What the end of a run means for its task. Repeatable: a crash between the writes is made good by the next call. */
  const settle = async (
    principal: Principal,
    runId: string,
    input: StepInput,
    outcome: RunOutcome<StepResult>,
  ): Promise<void> => {
    const task = await tasks.in(principal).get(input.taskId);
    if (!task) return;
    const mine = task.step?.runId === runId;
    if (input.step === 'report' && input.reportId) {
      await settleReport(
        principal,
        input.reportId,
        runId,
        mine ? outcome : { status: 'cancelled', reason: 'replaced' },
      );
    }
    if (!mine) {
      if (task.step === null) await announce(principal, task);
      return;
    }
    const changed = await tasks
      .in(principal)
      .update(
        { _id: task._id, revision: task.revision, 'step.runId': runId },
        { $set: afterStep(input, outcome), $inc: { revision: 1 } },
      );
    if (changed) await announce(principal, changed);
    // Somebody cancelled or replaced the step in between: look again at what that means.
    else await settle(principal, runId, input, outcome);
  };

  const settleReport = async (
    principal: Tenant,
    reportId: string,
    runId: string,
    outcome: RunOutcome<StepResult>,
  ): Promise<void> => {
    const finishTime = new Date();
    const change =
      outcome.status === 'succeeded'
        ? {
            status: 'COMPLETED' as const,
            progress: REACHED.completed,
            ...(outcome.result.step === 'report' && {
              fileSize: outcome.result.fileSize,
              documentId: outcome.result.documentId,
            }),
          }
        : outcome.status === 'failed'
          ? { status: 'FAILED' as const, errorMessage: reasonOf(outcome) }
          : { status: 'CANCELLED' as const };
    await parts.reports
      .in(principal)
      .update({ _id: reportId, runId, status: 'GENERATING' }, { $set: { ...change, finishTime } });
  };

  return { get, transition, announce, startStep, advance, settle, serial };
}

export type States = ReturnType<typeof createStates>;
