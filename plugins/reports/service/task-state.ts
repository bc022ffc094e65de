import type { LocalText } from '../../../core/errors.ts';
import type { RunEventInput, RunOutcome } from '../../../core/run-kind.ts';
import type { RunEvent } from '../../../runtime/runs/service.ts';
import type { StepName, TaskRecord } from '../models/task.ts';
import type { TaskStage, TaskStatus } from '../public.ts';
import { REACHED } from '../rules.ts';

/** Type of the events that the progress stream shows. */
export const STATE_EVENT = 'state';
/** Kind of all runs of this plugin. */
export const RUN_KIND = 'report';

/** The whole progress of a task at one moment, as it stands in the log. */
export interface TaskState {
  revision: number;
  status: TaskStatus;
  stage: TaskStage;
  progress: number;
  message: LocalText;
}

/** What a transition writes. */
export type Change = Partial<Omit<TaskRecord, 'revision' | 'ownerId'>>;

const EMPTY: LocalText = { zh: '', en: '' };

export const stateEvent = (task: TaskRecord): RunEventInput => ({
  type: STATE_EVENT,
  data: {
    revision: task.revision,
    status: task.status,
    stage: task.stage ?? 'outline_generate',
    progress: task.progress,
    message: task.message ?? EMPTY,
  } satisfies TaskState as unknown as Record<string, unknown>,
});

/** The state in an event of type `state`; undefined for other events. */
export const stateOf = (event: RunEvent | undefined): TaskState | undefined =>
  event?.type === STATE_EVENT ? (event.data as unknown as TaskState) : undefined;

/** What a step of a run gave, for the change of its task. */
export type StepResult =
  | { step: 'outline'; outlineId: string; version: number }
  | { step: 'collect'; filled: number; empty: number }
  | { step: 'report'; fileSize: number; documentId: string };

export interface StepInput {
  step: StepName;
  taskId: string;
  reportId?: string;
}

const STEP_NAMES: Record<StepName, LocalText> = {
  outline: { zh: '大纲生成', en: 'Drafting the outline' },
  collect: { zh: '资料收集', en: 'Collecting data' },
  report: { zh: '报告生成', en: 'Writing the report' },
};

const UNEXPECTED: LocalText = { zh: '服务器内部错误', en: 'Internal server error' };

/** Why a step failed, in words for people; what was a bug stays in the log. */
export const reasonOf = (outcome: Extract<RunOutcome<StepResult>, { status: 'failed' }>): LocalText =>
  outcome.error.kind === 'internal' ? UNEXPECTED : outcome.error.message;

/** The task after its step has ended. */
export function afterStep(input: StepInput, outcome: RunOutcome<StepResult>): Change {
  const finishTime = new Date();
  if (outcome.status === 'cancelled') {
    return { status: 'CANCELLED', step: null, message: { zh: '任务已取消', en: 'The task was cancelled' }, finishTime };
  }
  if (outcome.status === 'failed') {
    const [name, reason] = [STEP_NAMES[input.step], reasonOf(outcome)];
    const message = { zh: `${name.zh}失败：${reason.zh}`, en: `${name.en} failed: ${reason.en}` };
    return {
      status: 'FAILED',
      step: null,
      failedStep: { name: input.step, ...(input.reportId && { reportId: input.reportId }) },
      message,
      errorMessage: message,
      finishTime,
    };
  }
  const { result } = outcome;
  if (result.step === 'outline') {
    return {
      status: 'PENDING_OUTLINE_CONFIRM',
      step: null,
      progress: REACHED.outlinePosted,
      outlineId: result.outlineId,
      outlineVersion: result.version,
      confirmation: null,
      message: { zh: '大纲已生成，等待确认', en: 'The outline is drafted and waits for confirmation' },
    };
  }
  if (result.step === 'collect') {
    return {
      status: 'PENDING_DATA',
      step: null,
      progress: REACHED.collected,
      message: {
        zh: `资料收集完成，${result.filled + result.empty} 个资料包等待确认${result.empty > 0 ? `（其中 ${result.empty} 个未取得资料）` : ''}`,
        en: `Data collected: ${result.filled + result.empty} packages wait for confirmation${result.empty > 0 ? ` (${result.empty} without data)` : ''}`,
      },
    };
  }
  return {
    status: 'COMPLETED',
    step: null,
    stage: 'report_export',
    progress: REACHED.completed,
    message: { zh: '报告已生成', en: 'The report is ready' },
    finishTime,
  };
}
