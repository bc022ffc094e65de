import type { Readable } from 'node:stream';
import type { Language } from '../../core/contracts/contract.ts';
import type { LocalText } from '../../core/errors.ts';
import type { Page, Paging } from '../../core/http/route.ts';
import type { Principal } from '../../core/principal.ts';
import { defineService } from '../../core/service.ts';
import type { ReportFormat } from './render/document.ts';

export const TASK_STATUS = [
  'PENDING_OUTLINE',
  'OUTLINE_GENERATING',
  'PENDING_OUTLINE_CONFIRM',
  'PENDING_DATA',
  'DATA_COLLECTING',
  'GENERATING',
  'COMPLETED',
  'FAILED',
  'CANCELLED',
] as const;
export type TaskStatus = (typeof TASK_STATUS)[number];

export const TASK_STAGE = ['outline_generate', 'data_collect', 'report_generate', 'report_export'] as const;
export type TaskStage = (typeof TASK_STAGE)[number];

export const OUTLINE_TYPE = ['LEVEL1', 'LEVEL2'] as const;
export type OutlineType = (typeof OUTLINE_TYPE)[number];
export type OutlineStatus = 'DRAFT' | 'CONFIRMED' | 'SUPERSEDED';

/** Statuses that a client may deliver a package with. */
export const DELIVERED_STATUS = ['PENDING', 'COLLECTING', 'READY', 'FAILED'] as const;
export type DeliveredStatus = (typeof DELIVERED_STATUS)[number];
export type PackageStatus = DeliveredStatus | 'CONFIRMED';

export type ReportStatus = 'GENERATING' | 'COMPLETED' | 'FAILED' | 'CANCELLED';
export type { ReportFormat };

export interface ReportTask {
  taskId: string;
  taskName: string;
  description: string;
  modelConfigId: string | null;
  parameters: Record<string, unknown>;
  status: TaskStatus;
  stage: TaskStage | null;
  /** 0-100 */
  progress: number;
  message: LocalText | null;
  errorMessage: LocalText | null;
  createTime: Date;
  updateTime: Date;
  startTime: Date | null;
  finishTime: Date | null;
}

export interface ReportTaskDetail extends ReportTask {
  outline: ReportOutline | null;
  dataPackages: DataPackage[];
  reports: Report[];
}

/** `nodeId` and `knowledgeUnitId` are the client's own text. */
export interface OutlineNode {
  nodeId: string;
  title: string;
  chapterNumber?: string;
  knowledgeUnitId?: string;
  sortOrder: number;
  children: OutlineNode[];
}

export interface ReportOutline {
  outlineId: string;
  taskId: string;
  title: string;
  type: OutlineType;
  status: OutlineStatus;
  /** Counts from 1 within the task. */
  version: number;
  rootNode: OutlineNode;
  confirmerId: string | null;
  confirmerName: string | null;
  confirmTime: Date | null;
  createTime: Date;
  updateTime: Date;
}

/** The facts of one knowledge unit for one task. */
export interface DataPackage {
  packageId: string;
  taskId: string;
  knowledgeUnitId: string;
  status: PackageStatus;
  /** Free keys, any JSON values. */
  autoData: Record<string, unknown>;
  manualData: string;
  dataSources: Record<string, unknown>;
  confirmerId: string | null;
  confirmerName: string | null;
  confirmTime: Date | null;
  createTime: Date;
  updateTime: Date;
}

export interface Report {
  reportId: string;
  taskId: string;
  outlineId: string;
  title: string;
  format: ReportFormat;
  status: ReportStatus;
  /** 0-100 */
  progress: number;
  metadata: Record<string, unknown>;
  /** Bytes; null until the file exists. */
  fileSize: number | null;
  errorMessage: LocalText | null;
  createTime: Date;
  finishTime: Date | null;
}

export interface NewTask {
  taskName: string;
  description?: string;
  modelConfigId?: string | null;
  parameters?: Record<string, unknown>;
}

export interface NewOutline {
  title: string;
  type?: OutlineType;
  /** Not yet checked: `parseOutline` does. */
  rootNode: unknown;
}

export interface NewPackage {
  knowledgeUnitId: string;
  status?: DeliveredStatus;
  autoData?: Record<string, unknown>;
  manualData?: string;
  dataSources?: Record<string, unknown>;
}

export interface NewReport {
  title: string;
  format?: ReportFormat;
  outlineId?: string;
  metadata?: Record<string, unknown>;
}

export interface Confirmer {
  confirmerId?: string;
  confirmerName?: string;
}

/** One message of the progress stream. `id` is its number in the task's event log. */
export interface ProgressMessage {
  id: number;
  data: {
    taskId: string;
    status: TaskStatus;
    stage: TaskStage;
    progress: number;
    message: string;
    timestamp: Date;
  };
}

export interface ReportFile {
  content: Readable | Uint8Array;
  filename: string;
  contentType: string;
  size: number;
}

/**
 * Pre-loan report tasks: outline, data packages, report. Ids of other tenants are not found.
 * Source: reports document and contracts/reports.md.
 */
export interface ReportService {
  createTask(principal: Principal, task: NewTask): Promise<ReportTask>;
  /** Newest first. `keyword` is looked for in the task name. */
  listTasks(
    principal: Principal,
    filter: { status?: TaskStatus; keyword?: string },
    paging: Pick<Paging, 'offset' | 'limit'>,
  ): Promise<Page<ReportTask>>;
  /** @throws {AppError} REPORT_TASK_NOT_FOUND */
  getTask(principal: Principal, taskId: string): Promise<ReportTaskDetail>;
  /**
   * Changes the given fields only.
   *
   * @throws {AppError} REPORT_TASK_NOT_FOUND, TASK_STEP_RUNNING, TASK_TERMINAL
   */
  updateTask(principal: Principal, taskId: string, changes: Partial<NewTask>): Promise<ReportTask>;
  /**
   * Does the next step that needs no person: drafts an outline, collects data, writes the report, or repeats what failed.
   *
   * @throws {AppError} REPORT_TASK_NOT_FOUND, TASK_STEP_RUNNING, TASK_TERMINAL, OUTLINE_NOT_CONFIRMED,
   *   DATA_PACKAGE_NOT_CONFIRMED, REPORT_TASKS_BUSY, REPORT_MODEL_UNAVAILABLE
   */
  start(principal: Principal, taskId: string): Promise<ReportTask>;
  /** Resolves when a running step has stopped. @throws {AppError} REPORT_TASK_NOT_FOUND, TASK_TERMINAL */
  cancel(principal: Principal, taskId: string): Promise<ReportTask>;

  /** Replaces the task's outline; a draft that is being made is stopped. @throws {AppError} REPORT_INPUT_INVALID and others */
  postOutline(principal: Principal, taskId: string, outline: NewOutline): Promise<ReportOutline>;
  /** @throws {AppError} OUTLINE_ALREADY_CONFIRMED, OUTLINE_SUPERSEDED, TASK_TERMINAL, REPORT_OUTLINE_NOT_FOUND */
  confirmOutline(principal: Principal, outlineId: string, confirmer: Required<Confirmer>): Promise<ReportOutline>;

  /** Delivers or replaces the package of one unit. @throws {AppError} DATA_PACKAGE_CONFIRMED, TASK_TERMINAL and others */
  postPackage(principal: Principal, taskId: string, delivery: NewPackage): Promise<DataPackage>;
  /** @throws {AppError} DATA_PACKAGE_NOT_READY, DATA_PACKAGE_CONFIRMED, TASK_TERMINAL, DATA_PACKAGE_NOT_FOUND */
  confirmPackage(principal: Principal, packageId: string, confirmer: Confirmer): Promise<DataPackage>;

  /** Starts writing a report. @throws {AppError} the same conflicts as `start` */
  createReport(principal: Principal, taskId: string, report: NewReport): Promise<Report>;
  /**
   * The report's file; other formats than its own are made from the stored document when first asked for.
   *
   * @param format default: the report's own
   * @throws {AppError} REPORT_NOT_FOUND, REPORT_NOT_COMPLETED, REPORT_INPUT_INVALID
   */
  exportReport(principal: Principal, reportId: string, format?: ReportFormat): Promise<ReportFile>;

  /**
   * The task's states: the present one first, or everything after `lastEventId`, then live ones. Ends after a terminal one.
   *
   * @returns undefined when the task is terminal and `lastEventId` is its last state: there is nothing to wait for
   */
  progress(
    principal: Principal,
    taskId: string,
    options: { language: Language; lastEventId?: number; signal: AbortSignal },
  ): Promise<AsyncIterable<ProgressMessage> | undefined>;
}

export const reportService = defineService<ReportService>('reports');
