import type { Database, TenantModel } from '../../../core/data/database.ts';
import type { Logger } from '../../../core/log.ts';
import type { Pool } from '../../../runtime/pool/index.ts';
import type { RunService } from '../../../runtime/runs/service.ts';
import { type VersionRecord, versionModel } from '../models/version.ts';
import { type WorkflowRecord, workflowModel } from '../models/workflow.ts';

/** Name of the run kind. */
export const RUN_KIND = 'workflow';

export interface WorkflowOptions {
  /** Longest execution; waiting does not count. */
  executionMs: number;
  /** Deadline of one call of a node that asks a model and names no deadline of its own. */
  modelNodeMs: number;
  /** Sub-workflows in sub-workflows. */
  depth: number;
  /** Items of one loop. */
  loopItems: number;
  /** Nodes of one execution that are in the worker pool at the same time. */
  nodesAtOnce: number;
  /** Data up to this size is transformed on the main thread, in bytes of its JSON. */
  inlineBytes: number;
  /** Output of one node and result of an execution, in bytes of its JSON. */
  outputBytes: number;
  /** Data that one execution holds, and that all of this process hold together. */
  dataBytes: number;
  allDataBytes: number;
  /** Graphs of one list of workflows or versions, in bytes of their JSON. */
  listBytes: number;
}

/** What the plugin needs of others; tests pass their own. */
export interface WorkflowDeps {
  database: Database;
  runs: RunService;
  pool: Pick<Pool, 'describe'>;
  options: WorkflowOptions;
  log: Logger;
}

export interface WorkflowParts extends Omit<WorkflowDeps, 'database'> {
  workflows: TenantModel<WorkflowRecord>;
  versions: TenantModel<VersionRecord>;
}

export const createParts = ({ database, ...deps }: WorkflowDeps): WorkflowParts => ({
  ...deps,
  workflows: workflowModel(database),
  versions: versionModel(database),
});
