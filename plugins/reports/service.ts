import { systemPrincipal } from '../../core/principal.ts';
import type { ReportService } from './public.ts';
import { createOutlines } from './service/outlines.ts';
import { createPackages } from './service/packages.ts';
import type { ReportParts } from './service/parts.ts';
import { createProgress } from './service/progress.ts';
import { createReports } from './service/reports.ts';
import type { States } from './service/states.ts';
import { RUN_KIND, type StepInput, type StepResult, stateEvent } from './service/task-state.ts';
import { createTasks } from './service/tasks.ts';

export const createReportService = (parts: ReportParts, states: States): ReportService => ({
  ...createTasks(parts, states),
  ...createOutlines(parts, states),
  ...createPackages(parts, states),
  ...createReports(parts, states),
  ...createProgress(parts, states),
});

/**
 * Makes good what a crash cut off between a task and its run: a step whose run was never started is started, and the end of
 * one that was not taken over is. Repeatable.
 */
export async function recoverTasks(parts: ReportParts, states: States): Promise<void> {
  const { runs, log } = parts;
  const tasks = parts.tasks.acrossTenants('steps that were cut off by a crash');
  const open = tasks.iterate({ status: { $in: ['OUTLINE_GENERATING', 'DATA_COLLECTING', 'GENERATING'] } });
  for await (const task of open) {
    if (!task.step) continue;
    const principal = systemPrincipal(task.tenantId);
    const { name, runId, reportId } = task.step;
    const input: StepInput = { step: name, taskId: task._id, ...(reportId && { reportId }) };
    try {
      const run = await runs.get(principal, runId);
      if (!run) {
        await runs.start(principal, RUN_KIND, input, { id: runId, logId: task._id, events: [stateEvent(task)] });
      } else if (run.status === 'succeeded') {
        await states.settle(principal, runId, input, { status: 'succeeded', result: run.result as StepResult });
      } else if (run.status === 'failed' && run.error) {
        await states.settle(principal, runId, input, { status: 'failed', error: run.error });
      } else if (run.status === 'cancelled') {
        await states.settle(principal, runId, input, { status: 'cancelled', reason: 'cancelled' });
      }
    } catch (error) {
      log.error({ err: error, taskId: task._id }, 'task not recovered');
    }
  }
  // A report is stored just before its task takes it up; one whose task never did belongs to nobody.
  const reports = parts.reports.acrossTenants('reports that no task took up');
  for await (const report of reports.iterate({ status: 'GENERATING' })) {
    const principal = systemPrincipal(report.tenantId);
    const task = await parts.tasks.in(principal).get(report.taskId);
    if (task?.step?.reportId === report._id || (await runs.get(principal, report.runId))) continue;
    await reports.delete({ _id: report._id, status: 'GENERATING' });
  }
}
