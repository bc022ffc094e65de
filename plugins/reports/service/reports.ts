import { randomUUID } from 'node:crypto';
import { AppError } from '../../../core/errors.ts';
import type { Principal } from '../../../core/principal.ts';
import { OutlineNotFoundError, ReportConflictError, ReportInputError, ReportNotFoundError } from '../errors.ts';
import { checkFreeJson, PARAMETER_LIMITS } from '../free-json.ts';
import type { ReportDocumentRecord } from '../models/report.ts';
import type { StepName, TaskDocument } from '../models/task.ts';
import { unitsOf } from '../outline.ts';
import type { NewReport, ReportFile, ReportFormat, ReportService } from '../public.ts';
import { assertAllowed, assertPackagesConfirmed, nextStep } from '../rules.ts';
import { FORMATS, fileIdOf } from './formats.ts';
import type { ReportParts } from './parts.ts';
import type { States } from './states.ts';
import { RUN_KIND } from './task-state.ts';
import { reportView, taskView } from './views.ts';

type Reports = Pick<ReportService, 'start' | 'createReport' | 'exportReport'>;

const assertOutline = (task: TaskDocument): string => {
  if (task.outlineId && task.confirmation) return task.outlineId;
  throw new ReportConflictError('OUTLINE_NOT_CONFIRMED', {
    zh: '任务还没有已确认的大纲',
    en: 'The task has no confirmed outline',
  });
};

/** Steps and reports: what `start` does next, writing a report, and handing it out. */
export function createReports(parts: ReportParts, states: States): Reports {
  const { outlines, packages, reports, runs, files } = parts;
  /** Formats that are being rendered for an export, by file. */
  const rendering = new Map<string, Promise<void>>();

  const packagesOf = (principal: Principal, taskId: string) =>
    packages.in(principal).find({ taskId }, { fields: ['knowledgeUnitId', 'status'] });

  const assertFormat = (format: ReportFormat): void => {
    if (parts.options.formats.includes(format)) return;
    const names = parts.options.formats;
    throw new ReportInputError([
      {
        field: 'format',
        message: { zh: `报告格式必须是 ${names.join('、')} 之一`, en: `Format must be one of ${names.join(', ')}` },
      },
    ]);
  };

  /** Starts a step; a report document goes with the step `report`, a new one or the one that failed. */
  const launch = async (
    principal: Principal,
    taskId: string,
    choose: (task: TaskDocument) => Promise<StepName>,
    wanted?: NewReport,
  ): Promise<{ task: TaskDocument; report: ReportDocumentRecord | undefined }> => {
    const mine = reports.in(principal);
    const newId = randomUUID();
    let failed: ReportDocumentRecord | undefined;
    try {
      const task = await states.startStep(
        principal,
        taskId,
        async (current) => {
          const name = await choose(current);
          if (name !== 'report') return { name };
          const repeated = wanted ? undefined : current.failedStep?.reportId;
          return { name, reportId: repeated ?? newId };
        },
        async (current, runId) => {
          if ((await choose(current)) !== 'report') return;
          const repeated = wanted ? undefined : current.failedStep?.reportId;
          if (repeated) {
            failed = await mine.get(repeated);
            await mine.update(
              { _id: repeated },
              { $set: { status: 'GENERATING', runId, progress: 0, errorMessage: null, finishTime: null } },
            );
            return;
          }
          await mine.insert({
            _id: newId,
            taskId,
            outlineId: assertOutline(current),
            title: wanted?.title ?? current.taskName,
            format: wanted?.format ?? 'PDF',
            status: 'GENERATING',
            progress: 0,
            metadata: wanted?.metadata ?? {},
            runId,
            documentId: null,
            fileSize: null,
            errorMessage: null,
            finishTime: null,
          });
        },
      );
      return { task, report: task.step?.reportId ? await mine.get(task.step.reportId) : undefined };
    } catch (error) {
      await mine.delete({ _id: newId });
      if (failed) {
        const { status, runId, progress, errorMessage, finishTime } = failed;
        await mine.update({ _id: failed._id }, { $set: { status, runId, progress, errorMessage, finishTime } });
      }
      throw error;
    }
  };

  /** Renders one more format of a finished report in a run of its own and waits for it. */
  const render = async (principal: Principal, report: ReportDocumentRecord, format: ReportFormat): Promise<void> => {
    const run = await runs.start(principal, RUN_KIND, { step: 'export', reportId: report._id, format });
    const limit = AbortSignal.timeout(parts.options.exportWaitMs);
    let ended: Awaited<ReturnType<typeof runs.ended>>;
    try {
      ended = await runs.ended(principal, run.id, limit);
    } catch (error) {
      if (!limit.aborted) throw error;
      // It goes on, and the next request finds the file.
      const text = { zh: '导出仍在进行，请稍后再试', en: 'The export is still being made; try again' };
      throw new AppError('unavailable', 'REPORT_EXPORT_PENDING', text, { cause: error, retryAfter: 10 });
    }
    if (ended.status === 'succeeded') return;
    const reason = ended.error?.message ?? { zh: '已取消', en: 'cancelled' };
    throw new AppError(ended.error?.kind ?? 'unavailable', 'REPORT_EXPORT_FAILED', {
      zh: `导出失败：${reason.zh}`,
      en: `The export failed: ${reason.en}`,
    });
  };

  return {
    async start(principal, taskId) {
      const { task } = await launch(principal, taskId, async (current) => {
        const outline = current.outlineId ? await outlines.in(principal).get(current.outlineId) : undefined;
        return nextStep(current.status, {
          failedStep: current.failedStep?.name,
          units: outline ? unitsOf(outline.rootNode) : [],
          packages: await packagesOf(principal, taskId),
        });
      });
      return taskView(task);
    },

    async createReport(principal, taskId, wanted) {
      assertFormat(wanted.format ?? 'PDF');
      const error = checkFreeJson(
        wanted.metadata ?? {},
        'metadata',
        { zh: '元数据', en: 'Metadata' },
        PARAMETER_LIMITS,
      );
      if (error) throw new ReportInputError([error]);
      const { task, report } = await launch(
        principal,
        taskId,
        async (current) => {
          if (wanted.outlineId !== undefined) {
            const outline = await outlines.in(principal).get(wanted.outlineId);
            if (outline?.taskId !== taskId) throw new OutlineNotFoundError(wanted.outlineId);
          }
          assertAllowed('postReport', current.status);
          const outlineId = assertOutline(current);
          if (wanted.outlineId !== undefined && wanted.outlineId !== outlineId) {
            throw new ReportConflictError('OUTLINE_SUPERSEDED', {
              zh: '大纲已被新版本取代',
              en: 'The outline was replaced by a newer version',
            });
          }
          assertPackagesConfirmed(await packagesOf(principal, taskId));
          return 'report';
        },
        wanted,
      );
      if (!report) throw new ReportNotFoundError(taskId);
      return reportView(report, task);
    },

    async exportReport(principal, reportId, wanted): Promise<ReportFile> {
      const report = await reports.in(principal).get(reportId);
      if (!report) throw new ReportNotFoundError(reportId);
      const format = wanted ?? report.format;
      assertFormat(format);
      if (report.status !== 'COMPLETED') {
        throw new ReportConflictError(
          'REPORT_NOT_COMPLETED',
          { zh: '报告尚未生成完成', en: 'The report is not completed' },
          { status: report.status },
        );
      }
      const fileId = fileIdOf(report.runId, format);
      let file = await files.open(principal, fileId);
      if (!file) {
        const going =
          rendering.get(fileId) ?? render(principal, report, format).finally(() => rendering.delete(fileId));
        rendering.set(fileId, going);
        await going;
        file = await files.open(principal, fileId);
      }
      if (!file) throw new ReportNotFoundError(reportId);
      const { extension, contentType } = FORMATS[format];
      // Signs that file systems refuse; the HTTP layer writes the name in any script.
      const name = report.title.replace(/[\p{Cc}\\/:*?"<>|]+/gu, ' ').trim() || reportId;
      return { content: file.stream, filename: `${name}.${extension}`, contentType, size: file.size };
    },
  };
}
