import type { Database, Document } from '../../../core/data/database.ts';
import type { WorkflowStatus } from '../public.ts';

/** The content of a workflow at one version. Never changed: executions refer to it. */
export interface VersionRecord {
  workflowId: string;
  version: number;
  name: string;
  description: string | null;
  /** JSON of `{nodes, edges}`. */
  graph: string;
  status: WorkflowStatus;
  comment: string | null;
  createdBy: string;
}

export type VersionDocument = VersionRecord & Document & { tenantId: string };

export const versionModel = (database: Database) =>
  database.tenantModel<VersionRecord>(
    'workflow_versions',
    {
      workflowId: { type: String, required: true },
      version: { type: Number, required: true },
      name: { type: String, required: true },
      description: { type: String, default: null },
      graph: { type: String, required: true },
      status: { type: String, required: true },
      comment: { type: String, default: null },
      createdBy: { type: String, required: true },
    },
    { indexes: [{ fields: { workflowId: 1, version: -1 }, unique: true }] },
  );
