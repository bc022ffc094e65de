import { reports as contract } from '../../../core/contracts/reports.ts';
import { defineRoute, defineRoutes, EmptyReply, EventStream, FileReply } from '../../../core/http/route.ts';
import { freeObject, id, oneOf, Type, text } from '../../../core/schema.ts';
import { ReportInputError } from '../errors.ts';
import { DELIVERED_STATUS, OUTLINE_TYPE, type ProgressMessage, type ReportService, TASK_STATUS } from '../public.ts';
import {
  description,
  detailView,
  FORMAT_NAMES,
  formatOf,
  given,
  label,
  modelConfigId,
  Outline,
  OutlineTree,
  optional,
  outlineId,
  Package,
  Progress,
  packageId,
  parameters,
  ReportReply,
  reportId,
  reportView,
  Task,
  TaskDetail,
  taskId,
  taskName,
  taskView,
} from './schemas.ts';

async function* messagesOf(source: AsyncIterable<ProgressMessage>) {
  for await (const { id: seq, data } of source) {
    const { taskId: task, timestamp } = data;
    // Event streams carry no envelope, and so no schema that would convert these two.
    yield {
      id: seq,
      data: { ...data, taskId: contract.formatId('task', task), timestamp: contract.formatTime(timestamp) },
    };
  }
}

/** The browser's own header, or its stand-in in the query; anything but a number starts from the present state. */
const lastEventIdOf = (header: string | undefined, query: string | undefined): number | undefined => {
  const value = header?.trim() || query?.trim();
  return value !== undefined && /^\d{1,12}$/.test(value) ? Number(value) : undefined;
};

/** Source: reports document; rules of contracts/reports.md. */
export const reportRoutes = (reports: ReportService) =>
  defineRoutes('reports', {
    tag: { zh: '贷前报告', en: 'Pre-loan reports' },
    codes: {},
    routes: [
      defineRoute({
        method: 'POST',
        path: '/tasks',
        auth: 'tenant',
        summary: { zh: '创建报告任务', en: 'Creates a report task' },
        body: Type.Object({
          taskName,
          description: optional(description),
          modelConfigId: optional(modelConfigId),
          parameters: optional(parameters),
        }),
        reply: Task,
        handler: async ({ principal, body, request }) =>
          taskView(await reports.createTask(principal, given(body)), request.language),
      }),
      defineRoute({
        method: 'GET',
        path: '/tasks',
        auth: 'tenant',
        summary: { zh: '查询任务列表', en: 'Lists tasks' },
        query: Type.Object({
          status: Type.Optional(oneOf(TASK_STATUS, label('任务状态', 'Status'))),
          keyword: Type.Optional(text({ maxLength: 200, ...label('关键字', 'Keyword') })),
        }),
        paged: true,
        reply: Task,
        handler: async ({ principal, query, paging, request }) => {
          const { items, total } = await reports.listTasks(principal, query, paging);
          return { items: items.map((task) => taskView(task, request.language)), total };
        },
      }),
      defineRoute({
        method: 'GET',
        path: '/tasks/:taskId',
        auth: 'tenant',
        summary: { zh: '查询任务详情', en: 'One task with its outline, data packages and reports' },
        params: taskId,
        reply: TaskDetail,
        errors: ['REPORT_TASK_NOT_FOUND'],
        handler: async ({ principal, params, request }) =>
          detailView(await reports.getTask(principal, params.taskId), request.language),
      }),
      defineRoute({
        method: 'PUT',
        path: '/tasks/:taskId',
        auth: 'tenant',
        summary: { zh: '更新任务', en: 'Changes a task' },
        params: taskId,
        body: Type.Object({
          taskName: optional(taskName),
          description: optional(description),
          modelConfigId: optional(modelConfigId),
          parameters: optional(parameters),
        }),
        reply: Task,
        errors: ['REPORT_TASK_NOT_FOUND', 'TASK_STEP_RUNNING', 'TASK_TERMINAL'],
        handler: async ({ principal, params, body, request }) => {
          // A name cannot be cleared, everything else can.
          const changes = {
            ...given(body),
            ...(body.description === null && { description: '' }),
            ...(body.modelConfigId === null && { modelConfigId: null }),
            ...(body.parameters === null && { parameters: {} }),
          };
          if (Object.keys(changes).length === 0) {
            const message = { zh: '至少需要一个要更新的字段', en: 'Name at least one field to change' };
            throw new ReportInputError([{ field: 'body', message }]);
          }
          return taskView(await reports.updateTask(principal, params.taskId, changes), request.language);
        },
      }),
      defineRoute({
        method: 'POST',
        path: '/tasks/:taskId/start',
        auth: 'tenant',
        summary: { zh: '启动任务的下一个自动步骤', en: 'Starts the next step that needs no person' },
        params: taskId,
        reply: Task,
        errors: [
          'REPORT_TASK_NOT_FOUND',
          'TASK_STEP_RUNNING',
          'TASK_TERMINAL',
          'OUTLINE_NOT_CONFIRMED',
          'DATA_PACKAGE_NOT_CONFIRMED',
          'REPORT_TASKS_BUSY',
          'REPORT_MODEL_UNAVAILABLE',
        ],
        handler: async ({ principal, params, request }) =>
          taskView(await reports.start(principal, params.taskId), request.language),
      }),
      defineRoute({
        method: 'POST',
        path: '/tasks/:taskId/cancel',
        auth: 'tenant',
        summary: { zh: '取消任务', en: 'Cancels a task' },
        params: taskId,
        reply: Task,
        errors: ['REPORT_TASK_NOT_FOUND', 'TASK_TERMINAL'],
        handler: async ({ principal, params, request }) =>
          taskView(await reports.cancel(principal, params.taskId), request.language),
      }),
      defineRoute({
        method: 'POST',
        path: '/tasks/:taskId/outline',
        auth: 'tenant',
        summary: { zh: '提交大纲', en: 'Delivers an outline' },
        params: taskId,
        body: Type.Object({
          title: text({ minLength: 1, maxLength: 200, ...label('大纲标题', 'Outline title') }),
          // The messages add 类型 themselves.
          type: optional(oneOf(OUTLINE_TYPE, { default: 'LEVEL1', ...label('大纲层级', 'Outline type') })),
          rootNode: OutlineTree,
        }),
        reply: Outline,
        errors: ['REPORT_TASK_NOT_FOUND', 'TASK_STEP_RUNNING', 'TASK_TERMINAL'],
        handler: ({ principal, params, body }) => reports.postOutline(principal, params.taskId, given(body)),
      }),
      defineRoute({
        method: 'POST',
        path: '/outline/:outlineId/confirm',
        auth: 'tenant',
        summary: { zh: '确认大纲', en: 'Confirms an outline' },
        params: outlineId,
        body: Type.Object({
          confirmerId: text({ minLength: 1, maxLength: 100, ...label('确认人编号', 'Confirmer id') }),
          confirmerName: text({ minLength: 1, maxLength: 100, ...label('确认人姓名', 'Confirmer name') }),
        }),
        reply: Outline,
        errors: ['REPORT_OUTLINE_NOT_FOUND', 'OUTLINE_ALREADY_CONFIRMED', 'OUTLINE_SUPERSEDED', 'TASK_TERMINAL'],
        handler: ({ principal, params, body }) => reports.confirmOutline(principal, params.outlineId, body),
      }),
      defineRoute({
        method: 'POST',
        path: '/tasks/:taskId/data-packages',
        auth: 'tenant',
        summary: { zh: '提交资料包', en: 'Delivers a data package' },
        params: taskId,
        body: Type.Object({
          knowledgeUnitId: text({ minLength: 1, maxLength: 100, ...label('知识单元编号', 'Knowledge unit id') }),
          status: optional(oneOf(DELIVERED_STATUS, { default: 'READY', ...label('资料包状态', 'Status') })),
          autoData: optional(freeObject({ default: {}, ...label('自动采集数据', 'Automatic data') })),
          manualData: optional(
            Type.String({ default: '', maxLength: 200_000, ...label('人工补充内容', 'Manual data') }),
          ),
          dataSources: optional(freeObject({ default: {}, ...label('数据来源', 'Data sources') })),
        }),
        reply: Package,
        errors: ['REPORT_TASK_NOT_FOUND', 'TASK_TERMINAL', 'DATA_PACKAGE_CONFIRMED', 'DATA_PACKAGE_LIMIT'],
        handler: ({ principal, params, body }) => reports.postPackage(principal, params.taskId, given(body)),
      }),
      defineRoute({
        method: 'POST',
        path: '/data-packages/:packageId/confirm',
        auth: 'tenant',
        summary: { zh: '确认资料包', en: 'Confirms a data package' },
        params: packageId,
        bodyOptional: true,
        body: Type.Object({
          confirmerId: optional(text({ maxLength: 100, ...label('确认人编号', 'Confirmer id') })),
          confirmerName: optional(text({ maxLength: 100, ...label('确认人姓名', 'Confirmer name') })),
        }),
        reply: Package,
        errors: ['DATA_PACKAGE_NOT_FOUND', 'DATA_PACKAGE_NOT_READY', 'DATA_PACKAGE_CONFIRMED', 'TASK_TERMINAL'],
        handler: ({ principal, params, body }) => reports.confirmPackage(principal, params.packageId, given(body)),
      }),
      defineRoute({
        method: 'POST',
        path: '/tasks/:taskId/reports',
        auth: 'tenant',
        summary: { zh: '生成报告', en: 'Writes a report' },
        params: taskId,
        body: Type.Object({
          title: text({ minLength: 1, maxLength: 200, ...label('报告标题', 'Report title') }),
          format: optional(oneOf(FORMAT_NAMES, { default: 'PDF', ...label('报告格式', 'Format') })),
          outlineId: optional(id('outline', label('大纲编号', 'Outline id'))),
          metadata: optional(freeObject({ default: {}, ...label('元数据', 'Metadata') })),
        }),
        reply: ReportReply,
        errors: [
          'REPORT_TASK_NOT_FOUND',
          'REPORT_OUTLINE_NOT_FOUND',
          'OUTLINE_NOT_CONFIRMED',
          'DATA_PACKAGE_NOT_CONFIRMED',
          'TASK_STEP_RUNNING',
          'TASK_TERMINAL',
          'REPORT_TASKS_BUSY',
          'REPORT_MODEL_UNAVAILABLE',
        ],
        handler: async ({ principal, params, body, request }) => {
          const { format, ...wanted } = given(body);
          const report = await reports.createReport(principal, params.taskId, {
            ...wanted,
            ...(format && { format: formatOf(format) }),
          });
          return reportView(report, request.language);
        },
      }),
      defineRoute({
        method: 'POST',
        path: '/reports/:reportId/export',
        auth: 'tenant',
        summary: { zh: '导出报告文件', en: 'Exports a report as a file' },
        params: reportId,
        query: Type.Object({ format: Type.Optional(oneOf(FORMAT_NAMES, label('导出格式', 'Format'))) }),
        replyType: 'file',
        errors: ['REPORT_NOT_FOUND', 'REPORT_NOT_COMPLETED'],
        handler: async ({ principal, params, query }) => {
          const { content, ...options } = await reports.exportReport(
            principal,
            params.reportId,
            query.format && formatOf(query.format),
          );
          return new FileReply(content, options);
        },
      }),
      defineRoute({
        method: 'GET',
        path: '/tasks/:taskId/progress',
        auth: 'tenant',
        summary: { zh: '任务进度（事件流）', en: 'Progress of a task (event stream)' },
        params: taskId,
        query: Type.Object({
          lastEventId: Type.Optional(Type.String({ description: 'as the header Last-Event-ID' })),
        }),
        replyType: 'events',
        reply: Progress,
        errors: ['REPORT_TASK_NOT_FOUND'],
        handler: async ({ principal, params, query, request }) => {
          const lastEventId = lastEventIdOf(request.header('Last-Event-ID'), query.lastEventId);
          const messages = await reports.progress(principal, params.taskId, {
            language: request.language,
            signal: request.signal,
            ...(lastEventId !== undefined && { lastEventId }),
          });
          return messages ? new EventStream(messagesOf(messages), { retryMs: 3000 }) : new EmptyReply(204);
        },
      }),
    ],
  });
