import type { LocalText } from '../../core/errors.ts';
import { type ConflictCode, ReportConflictError } from './errors.ts';
import type { StepName } from './models/task.ts';
import type { PackageStatus, TaskStage, TaskStatus } from './public.ts';

/** What may be asked of a task. Source: contracts/reports.md, 2.3. */
export type Action =
  | 'start'
  | 'cancel'
  | 'update'
  | 'postOutline'
  | 'confirmOutline'
  | 'postPackage'
  | 'confirmPackage'
  | 'postReport';

const RUNNING: readonly TaskStatus[] = ['OUTLINE_GENERATING', 'DATA_COLLECTING', 'GENERATING'];

export const isRunning = (status: TaskStatus): boolean => RUNNING.includes(status);
/** No further message comes by itself; `COMPLETED` and `FAILED` can still be left by a person. */
export const isFinal = (status: TaskStatus): boolean =>
  status === 'COMPLETED' || status === 'FAILED' || status === 'CANCELLED';

type Verdict = 'yes' | 'terminal' | 'running' | 'unconfirmed' | 'confirmed' | 'no_outline';

const ORDER: readonly TaskStatus[] = [
  'PENDING_OUTLINE',
  'OUTLINE_GENERATING',
  'PENDING_OUTLINE_CONFIRM',
  'PENDING_DATA',
  'DATA_COLLECTING',
  'GENERATING',
  'COMPLETED',
  'FAILED',
  'CANCELLED',
];

const row = (...verdicts: Verdict[]): Record<TaskStatus, Verdict> =>
  Object.fromEntries(ORDER.map((status, at) => [status, verdicts[at] ?? 'terminal'])) as Record<TaskStatus, Verdict>;

// Columns as in ORDER: no outline, drafting, outline waits, data, collecting, generating, completed, failed, cancelled.
const TABLE: Record<Action, Record<TaskStatus, Verdict>> = {
  start: row('yes', 'running', 'unconfirmed', 'yes', 'running', 'running', 'terminal', 'yes', 'terminal'),
  cancel: row('yes', 'yes', 'yes', 'yes', 'yes', 'yes', 'terminal', 'terminal', 'terminal'),
  update: row('yes', 'running', 'yes', 'yes', 'running', 'running', 'terminal', 'yes', 'terminal'),
  postOutline: row('yes', 'yes', 'yes', 'yes', 'running', 'running', 'terminal', 'yes', 'terminal'),
  confirmOutline: row(
    'no_outline',
    'no_outline',
    'yes',
    'confirmed',
    'confirmed',
    'confirmed',
    'terminal',
    'confirmed',
    'terminal',
  ),
  postPackage: row('yes', 'yes', 'yes', 'yes', 'yes', 'yes', 'terminal', 'yes', 'terminal'),
  confirmPackage: row('yes', 'yes', 'yes', 'yes', 'yes', 'yes', 'terminal', 'yes', 'terminal'),
  postReport: row('no_outline', 'running', 'unconfirmed', 'yes', 'running', 'running', 'yes', 'yes', 'terminal'),
};

const REFUSALS: Record<Exclude<Verdict, 'yes'>, { code: ConflictCode; text: LocalText }> = {
  terminal: {
    code: 'TASK_TERMINAL',
    text: { zh: '任务已结束，不能执行该操作', en: 'The task has ended; the action is not possible' },
  },
  running: {
    code: 'TASK_STEP_RUNNING',
    text: { zh: '任务正在执行，请等待完成或先取消', en: 'A step of the task is running; wait for it or cancel it' },
  },
  unconfirmed: {
    code: 'OUTLINE_NOT_CONFIRMED',
    text: { zh: '大纲尚未确认', en: 'The outline is not confirmed' },
  },
  no_outline: {
    code: 'OUTLINE_NOT_CONFIRMED',
    text: { zh: '任务还没有已确认的大纲', en: 'The task has no confirmed outline' },
  },
  confirmed: {
    code: 'OUTLINE_ALREADY_CONFIRMED',
    text: { zh: '大纲已确认', en: 'The outline is already confirmed' },
  },
};

/** @throws {ReportConflictError} when the action does not fit the status */
export function assertAllowed(action: Action, status: TaskStatus): void {
  const verdict = TABLE[action][status];
  if (verdict === 'yes') return;
  const { code, text } = REFUSALS[verdict];
  throw new ReportConflictError(code, text, { status });
}

/** What the choice of the next step depends on beside the status. */
export interface StartFacts {
  failedStep: StepName | undefined;
  /** Units of the outline in document order. */
  units: readonly string[];
  packages: readonly { knowledgeUnitId: string; status: PackageStatus }[];
}

/** Units that the server may collect for: without a package, or with one whose delivery failed. */
export const missingUnits = ({ units, packages }: Pick<StartFacts, 'units' | 'packages'>): string[] => {
  const delivered = new Set(packages.filter(({ status }) => status !== 'FAILED').map((p) => p.knowledgeUnitId));
  return units.filter((unit) => !delivered.has(unit));
};

/**
 * Packages that hold a report back: somebody's data is there or announced, and nobody has confirmed it. A failed delivery
 * has no data to lose, so it does not.
 */
export const openPackages = <P extends { status: PackageStatus }>(packages: readonly P[]): P[] =>
  packages.filter(({ status }) => status === 'READY' || status === 'PENDING' || status === 'COLLECTING');

/** @throws {ReportConflictError} while a package waits for data or for confirmation */
export function assertPackagesConfirmed(packages: readonly { knowledgeUnitId: string; status: PackageStatus }[]): void {
  const open = openPackages(packages);
  if (open.length === 0) return;
  const names = open.slice(0, 5).map(({ knowledgeUnitId }) => knowledgeUnitId);
  throw new ReportConflictError(
    'DATA_PACKAGE_NOT_CONFIRMED',
    {
      zh: `还有 ${open.length} 个资料包未确认：${names.join('、')}${open.length > names.length ? ' 等' : ''}`,
      en: `${open.length} data packages are not confirmed: ${names.join(', ')}${open.length > names.length ? ', …' : ''}`,
    },
    { knowledgeUnitIds: names, count: open.length },
  );
}

/**
 * The next step that needs no person. Collecting for units that have nothing goes before waiting for a person, because
 * it can be done meanwhile.
 *
 * @throws {ReportConflictError} when there is nothing to start
 */
export function nextStep(status: TaskStatus, facts: StartFacts): StepName {
  assertAllowed('start', status);
  if (status === 'PENDING_OUTLINE') return 'outline';
  if (status === 'FAILED' && facts.failedStep) return facts.failedStep;
  if (missingUnits(facts).length > 0) return 'collect';
  assertPackagesConfirmed(facts.packages);
  return 'report';
}

/** How a task shows itself while a step runs, and where its progress starts. Source: contracts/reports.md, 2.5. */
export const STEPS: Record<
  StepName,
  { status: TaskStatus; stage: TaskStage; start: number; end: number; message: LocalText }
> = {
  outline: {
    status: 'OUTLINE_GENERATING',
    stage: 'outline_generate',
    start: 0,
    end: 20,
    message: { zh: '正在生成大纲...', en: 'Drafting the outline...' },
  },
  collect: {
    status: 'DATA_COLLECTING',
    stage: 'data_collect',
    start: 25,
    end: 40,
    message: { zh: '正在收集资料...', en: 'Collecting data...' },
  },
  report: {
    status: 'GENERATING',
    stage: 'report_generate',
    start: 40,
    end: 95,
    message: { zh: '正在生成报告内容...', en: 'Writing the report...' },
  },
};

/** Progress of the waiting statuses. */
export const REACHED = {
  outlinePosted: 20,
  outlineConfirmed: 25,
  collected: 40,
  rendering: 95,
  stored: 99,
  completed: 100,
} as const;

/** Progress of a step of which `done` of `total` parts are finished; never reaches the end before the last part. */
export const progressOf = (step: StepName, done: number, total: number): number => {
  const { start, end } = STEPS[step];
  return total <= 0 ? end : Math.floor(start + ((end - start) * Math.min(done, total)) / total);
};
