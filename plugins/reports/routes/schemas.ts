import type { Language } from '../../../core/contracts/contract.ts';
import { freeObject, id, nullable, oneOf, type TSchema, Type, text, time } from '../../../core/schema.ts';
import {
  type DataPackage,
  DELIVERED_STATUS,
  OUTLINE_TYPE,
  type Report,
  type ReportFormat,
  type ReportTask,
  type ReportTaskDetail,
  TASK_STATUS,
} from '../public.ts';

export const label = (zh: string, en: string) => ({ label: { zh, en } });

/** `WORD` is what people call DOCX. */
export const FORMAT_NAMES = ['PDF', 'DOCX', 'WORD', 'HTML', 'MARKDOWN'] as const;
export const formatOf = (name: (typeof FORMAT_NAMES)[number]): ReportFormat => (name === 'WORD' ? 'DOCX' : name);

/** A field that may be left out; null says the same. */
export const optional = <S extends TSchema>(schema: S) => Type.Optional(nullable(schema));

type Given<T> = { [Name in keyof T]: Exclude<T[Name], null> };

/** A body without the fields that are null. */
export const given = <T extends object>(body: T): Given<T> =>
  Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null)) as Given<T>;

export const taskId = Type.Object({ taskId: id('task', label('任务编号', 'Task id')) });
export const outlineId = Type.Object({ outlineId: id('outline', label('大纲编号', 'Outline id')) });
export const packageId = Type.Object({ packageId: id('package', label('资料包编号', 'Data package id')) });
export const reportId = Type.Object({ reportId: id('report', label('报告编号', 'Report id')) });

export const taskName = text({ minLength: 1, maxLength: 200, ...label('任务名称', 'Task name') });
export const description = text({ maxLength: 2000, ...label('任务描述', 'Description') });
export const modelConfigId = Type.String({ maxLength: 100, ...label('模型配置编号', 'Model configuration id') });
export const parameters = freeObject({
  ...label('任务参数', 'Parameters'),

  description: 'free keys; known: enterpriseId, reportType',
});

const confirmation = {
  confirmerId: nullable(Type.String()),
  confirmerName: nullable(Type.String()),
  confirmTime: nullable(time()),
  createTime: time(),
  updateTime: time(),
};

export const Task = Type.Object({
  taskId: id('task'),
  taskName: Type.String(),
  description: Type.String(),
  modelConfigId: nullable(Type.String()),
  parameters: freeObject(),
  status: oneOf(TASK_STATUS),
  stage: nullable(Type.String()),
  progress: Type.Integer({ minimum: 0, maximum: 100 }),
  message: nullable(Type.String()),
  errorMessage: nullable(Type.String()),
  createTime: time(),
  updateTime: time(),
  startTime: nullable(time()),
  finishTime: nullable(time()),
});

export const OutlineTree = freeObject({
  ...label('根节点', 'Root node'),
  description:
    'a node: nodeId (unique, required), title (required), chapterNumber, knowledgeUnitId, sortOrder, children (nodes); at most 500 nodes, 6 levels',
});

export const Outline = Type.Object({
  outlineId: id('outline'),
  taskId: id('task'),
  title: Type.String(),
  type: oneOf(OUTLINE_TYPE),
  status: oneOf(['DRAFT', 'CONFIRMED', 'SUPERSEDED']),
  version: Type.Integer(),
  rootNode: freeObject(),
  ...confirmation,
});

export const Package = Type.Object({
  packageId: id('package'),
  taskId: id('task'),
  knowledgeUnitId: Type.String(),
  status: oneOf([...DELIVERED_STATUS, 'CONFIRMED']),
  autoData: freeObject(),
  manualData: Type.String(),
  dataSources: freeObject(),
  ...confirmation,
});

export const ReportReply = Type.Object({
  reportId: id('report'),
  taskId: id('task'),
  outlineId: id('outline'),
  title: Type.String(),
  format: Type.String(),
  status: oneOf(['GENERATING', 'COMPLETED', 'FAILED', 'CANCELLED']),
  progress: Type.Integer({ minimum: 0, maximum: 100 }),
  metadata: freeObject(),
  fileSize: nullable(Type.Integer()),
  errorMessage: nullable(Type.String()),
  createTime: time(),
  finishTime: nullable(time()),
});

export const TaskDetail = Type.Object({
  ...Task.properties,
  outline: nullable(Outline),
  dataPackages: Type.Array(Package),
  reports: Type.Array(ReportReply),
});

export const Progress = Type.Object({
  taskId: id('task'),
  status: oneOf(TASK_STATUS),
  stage: Type.String(),
  progress: Type.Integer({ minimum: 0, maximum: 100 }),
  message: Type.String(),
  timestamp: time(),
});

export const taskView = (task: ReportTask, language: Language) => ({
  ...task,
  message: task.message?.[language] ?? null,
  errorMessage: task.errorMessage?.[language] ?? null,
});

export const reportView = (report: Report, language: Language) => ({
  ...report,
  errorMessage: report.errorMessage?.[language] ?? null,
});

export const detailView = (task: ReportTaskDetail, language: Language) => ({
  ...taskView(task, language),
  outline: task.outline,
  dataPackages: task.dataPackages satisfies DataPackage[],
  reports: task.reports.map((report) => reportView(report, language)),
});
