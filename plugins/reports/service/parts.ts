import type { Database, TenantFiles, TenantModel } from '../../../core/data/database.ts';
import type { Logger } from '../../../core/log.ts';
import type { ModelGateway } from '../../../runtime/models/index.ts';
import type { RunService } from '../../../runtime/runs/service.ts';
import type { Catalogue } from '../catalogue.ts';
import { type PackageRecord, packageModel } from '../models/data-package.ts';
import { type OutlineRecord, outlineModel } from '../models/outline.ts';
import { type ReportRecord, reportModel } from '../models/report.ts';
import { type TaskRecord, taskModel } from '../models/task.ts';
import type { ReportFormat } from '../public.ts';

export interface ReportOptions {
  /** Tasks of one tenant that may run a step at the same time. */
  runningPerTenant: number;
  /** Chapters of one report that are written at the same time. */
  chaptersAtOnce: number;
  /** Formats that this installation renders. */
  formats: readonly ReportFormat[];
  /** How long an export waits for a format that has to be rendered first. */
  exportWaitMs: number;
}

/** What the plugin needs of others; tests pass their own. */
export interface ReportDeps {
  database: Database;
  runs: RunService;
  models: Pick<ModelGateway, 'resolve'>;
  catalogue: Catalogue;
  options: ReportOptions;
  log: Logger;
}

/** `ReportDeps` with the collections made: what services and run steps work on. */
export interface ReportParts extends Omit<ReportDeps, 'database'> {
  tasks: TenantModel<TaskRecord>;
  outlines: TenantModel<OutlineRecord>;
  packages: TenantModel<PackageRecord>;
  reports: TenantModel<ReportRecord>;
  /** Rendered reports. */
  files: TenantFiles;
  /** Document models that reports are rendered from. */
  documents: TenantFiles;
}

export const createParts = ({ database, ...deps }: ReportDeps): ReportParts => ({
  ...deps,
  tasks: taskModel(database),
  outlines: outlineModel(database),
  packages: packageModel(database),
  reports: reportModel(database),
  files: database.files('reports'),
  documents: database.files('report-documents'),
});
