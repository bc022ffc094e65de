import { AppError, type FieldError, type LocalText } from '../../core/errors.ts';

/** The task does not exist, or belongs to another tenant; callers are never told which. */
export class TaskNotFoundError extends AppError {
  constructor(taskId: string) {
    super(
      'not_found',
      'REPORT_TASK_NOT_FOUND',
      { zh: '任务不存在', en: 'The task does not exist' },
      { details: { taskId } },
    );
  }
}

/** The outline does not exist in the tenant, or is not one of the task that names it. */
export class OutlineNotFoundError extends AppError {
  constructor(outlineId: string) {
    super(
      'not_found',
      'REPORT_OUTLINE_NOT_FOUND',
      { zh: '大纲不存在', en: 'The outline does not exist' },
      { details: { outlineId } },
    );
  }
}

export class PackageNotFoundError extends AppError {
  constructor(packageId: string) {
    super(
      'not_found',
      'DATA_PACKAGE_NOT_FOUND',
      { zh: '资料包不存在', en: 'The data package does not exist' },
      { details: { packageId } },
    );
  }
}

export class ReportNotFoundError extends AppError {
  constructor(reportId: string) {
    super(
      'not_found',
      'REPORT_NOT_FOUND',
      { zh: '报告不存在', en: 'The report does not exist' },
      { details: { reportId } },
    );
  }
}

/** Why a task, outline, package or report refuses an action in its present state. */
export type ConflictCode =
  | 'TASK_STEP_RUNNING'
  | 'TASK_TERMINAL'
  | 'TASK_CHANGED'
  | 'OUTLINE_NOT_CONFIRMED'
  | 'OUTLINE_ALREADY_CONFIRMED'
  | 'OUTLINE_SUPERSEDED'
  | 'DATA_PACKAGE_NOT_CONFIRMED'
  | 'DATA_PACKAGE_CONFIRMED'
  | 'DATA_PACKAGE_NOT_READY'
  | 'DATA_PACKAGE_LIMIT'
  | 'REPORT_NOT_COMPLETED';

/** The action does not fit the present state; the same request may succeed later. */
export class ReportConflictError extends AppError {
  constructor(code: ConflictCode, text: LocalText, details?: Record<string, unknown>) {
    super('conflict', code, text, details ? { details } : {});
  }
}

/** The tenant already has as many running steps as it may. */
export class TooManyRunningTasksError extends AppError {
  constructor(limit: number) {
    super(
      'rate_limited',
      'REPORT_TASKS_BUSY',
      {
        zh: `正在执行的任务已达上限（${limit} 个），请稍后再试`,
        en: `The limit of ${limit} running tasks is reached, try again later`,
      },
      { details: { limit }, retryAfter: 10 },
    );
  }
}

/** No model can be called: none has credentials and the offline model may not stand in. */
export class NoModelError extends AppError {
  constructor(cause?: unknown) {
    super(
      'unavailable',
      'REPORT_MODEL_UNAVAILABLE',
      { zh: '没有可用的模型，请联系管理员配置', en: 'No model is available; ask the operator to configure one' },
      { cause, retryAfter: 60 },
    );
  }
}

/** Fields that the schemas of the routes cannot check: the outline tree, free JSON. */
export class ReportInputError extends AppError {
  constructor(fields: FieldError[]) {
    super('invalid', 'REPORT_INPUT_INVALID', { zh: '参数校验失败', en: 'Validation failed' }, { fields });
  }
}

/** A run finds that its task has gone on without it: cancelled, or the step was replaced. */
export class StepReplacedError extends AppError {
  constructor(taskId: string) {
    super(
      'cancelled',
      'REPORT_STEP_REPLACED',
      { zh: '该步骤已被取消或取代', en: 'The step was cancelled or replaced' },
      { details: { taskId } },
    );
  }
}
