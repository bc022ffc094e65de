import type { PackageDocument } from '../models/data-package.ts';
import type { OutlineDocument } from '../models/outline.ts';
import type { ReportDocumentRecord } from '../models/report.ts';
import type { TaskDocument } from '../models/task.ts';
import type { DataPackage, OutlineStatus, Report, ReportOutline, ReportTask } from '../public.ts';

/** Stored documents as callers see them. */
export const taskView = (task: TaskDocument): ReportTask => ({
  taskId: task._id,
  taskName: task.taskName,
  description: task.description,
  modelConfigId: task.modelConfigId,
  parameters: task.parameters,
  status: task.status,
  stage: task.stage,
  progress: task.progress,
  message: task.message,
  errorMessage: task.errorMessage,
  createTime: task.createdAt,
  updateTime: task.updatedAt,
  startTime: task.startTime,
  finishTime: task.finishTime,
});

/** The status of an outline is a fact of its task: current or not, confirmed or not. */
const outlineStatus = (outline: OutlineDocument, task: TaskDocument): OutlineStatus => {
  if (task.outlineId !== outline._id) return 'SUPERSEDED';
  return task.confirmation ? 'CONFIRMED' : 'DRAFT';
};

export const outlineView = (outline: OutlineDocument, task: TaskDocument): ReportOutline => {
  const confirmation = task.outlineId === outline._id ? task.confirmation : null;
  return {
    outlineId: outline._id,
    taskId: outline.taskId,
    title: outline.title,
    type: outline.type,
    status: outlineStatus(outline, task),
    version: outline.version,
    rootNode: outline.rootNode,
    confirmerId: confirmation?.confirmerId ?? null,
    confirmerName: confirmation?.confirmerName ?? null,
    confirmTime: confirmation ? new Date(confirmation.at) : null,
    createTime: outline.createdAt,
    updateTime: confirmation ? new Date(confirmation.at) : outline.updatedAt,
  };
};

export const packageView = (item: PackageDocument): DataPackage => ({
  packageId: item._id,
  taskId: item.taskId,
  knowledgeUnitId: item.knowledgeUnitId,
  status: item.status,
  autoData: item.autoData,
  manualData: item.manualData,
  dataSources: item.dataSources,
  confirmerId: item.confirmerId,
  confirmerName: item.confirmerName,
  confirmTime: item.confirmTime,
  createTime: item.createdAt,
  updateTime: item.updatedAt,
});

/** A report that is being written has its task's progress. */
export const reportView = (report: ReportDocumentRecord, task?: TaskDocument): Report => ({
  reportId: report._id,
  taskId: report.taskId,
  outlineId: report.outlineId,
  title: report.title,
  format: report.format,
  status: report.status,
  progress: report.status === 'GENERATING' && task?.step?.runId === report.runId ? task.progress : report.progress,
  metadata: report.metadata,
  fileSize: report.fileSize,
  errorMessage: report.errorMessage,
  createTime: report.createdAt,
  finishTime: report.finishTime,
});
