import { ReportInputError } from '../errors.ts';
import { checkFreeJson, PARAMETER_LIMITS } from '../free-json.ts';
import type { TaskStep } from '../models/task.ts';
import type { NewTask, ReportService } from '../public.ts';
import { assertAllowed } from '../rules.ts';
import type { ReportParts } from './parts.ts';
import type { States } from './states.ts';
import { outlineView, packageView, reportView, taskView } from './views.ts';

type Tasks = Pick<ReportService, 'createTask' | 'listTasks' | 'getTask' | 'updateTask' | 'cancel'>;

const REGEX_SIGNS = /[\\^$.*+?()[\]{}|]/g;

const assertParameters = ({ parameters }: Partial<NewTask>): void => {
  if (parameters === undefined) return;
  const label = { zh: '任务参数', en: 'Parameters' };
  const error = checkFreeJson(parameters, 'parameters', label, PARAMETER_LIMITS);
  if (error) throw new ReportInputError([error]);
};

/** Report tasks: create, read, change, cancel. */
export function createTasks(parts: ReportParts, states: States): Tasks {
  const { tasks, outlines, packages, reports, runs } = parts;

  return {
    async createTask(principal, { taskName, description = '', modelConfigId = null, parameters = {} }) {
      assertParameters({ parameters });
      const task = await tasks.in(principal).insert({
        taskName,
        description,
        modelConfigId,
        parameters,
        ownerId: principal.accountId,
        status: 'PENDING_OUTLINE',
        stage: null,
        progress: 0,
        message: { zh: '任务已创建，等待大纲', en: 'The task is created and waits for an outline' },
        errorMessage: null,
        revision: 1,
        step: null,
        failedStep: null,
        outlineId: null,
        outlineVersion: 0,
        confirmation: null,
        startTime: null,
        finishTime: null,
      });
      await states.announce(principal, task);
      return taskView(task);
    },

    async listTasks(principal, { status, keyword }, { offset, limit }) {
      const filter = {
        ...(status && { status }),
        ...(keyword && { taskName: { $regex: keyword.replace(REGEX_SIGNS, '\\$&'), $options: 'i' } }),
      };
      const mine = tasks.in(principal);
      const [found, total] = await Promise.all([
        mine.find(filter, { sort: { createdAt: -1, _id: -1 }, skip: offset, limit }),
        mine.count(filter),
      ]);
      return { items: found.map(taskView), total };
    },

    async getTask(principal, taskId) {
      const task = await states.get(principal, taskId);
      const [outline, found, written] = await Promise.all([
        task.outlineId ? outlines.in(principal).get(task.outlineId) : undefined,
        packages.in(principal).find({ taskId }, { sort: { createdAt: 1, _id: 1 } }),
        reports.in(principal).find({ taskId }, { sort: { createdAt: 1, _id: 1 } }),
      ]);
      return {
        ...taskView(task),
        outline: outline ? outlineView(outline, task) : null,
        dataPackages: found.map(packageView),
        reports: written.map((report) => reportView(report, task)),
      };
    },

    async updateTask(principal, taskId, changes) {
      assertParameters(changes);
      const task = await states.get(principal, taskId);
      assertAllowed('update', task.status);
      const changed = await tasks
        .in(principal)
        .update({ _id: taskId, status: task.status, revision: task.revision }, { $set: changes });
      if (changed) return taskView(changed);
      // The status changed in between: decide on the new one.
      const task2 = await states.transition(principal, taskId, (current) => {
        assertAllowed('update', current.status);
        return changes;
      });
      await states.announce(principal, task2);
      return taskView(task2);
    },

    async cancel(principal, taskId) {
      let running: TaskStep | null = null;
      const task = await states.transition(principal, taskId, (current) => {
        assertAllowed('cancel', current.status);
        running = current.step;
        return {
          status: 'CANCELLED',
          step: null,
          message: { zh: '任务已取消', en: 'The task was cancelled' },
          finishTime: new Date(),
        };
      });
      const step = running as TaskStep | null;
      if (step) {
        await runs.cancel(principal, step.runId, 'the task was cancelled');
        // The same as the run does when it settles, so that the answer already shows it.
        const { name, runId, reportId } = step;
        await states.settle(
          principal,
          runId,
          { step: name, taskId, ...(reportId && { reportId }) },
          { status: 'cancelled', reason: 'the task was cancelled' },
        );
      }
      await states.announce(principal, task);
      return taskView(task);
    },
  };
}
