import type { Database, Document } from '../../../core/data/database.ts';
import type { WorkflowStatus } from '../public.ts';

export interface WorkflowRecord {
  name: string;
  description: string | null;
  /** JSON of `{nodes, edges}`: any keys, kept exactly. */
  graph: string;
  version: number;
  status: WorkflowStatus;
  ownerId: string;
  /** Its versions and executions are being removed; nobody sees it any more. */
  deleted?: boolean;
}

export type WorkflowDocument = WorkflowRecord & Document & { tenantId: string };

export const workflowModel = (database: Database) =>
  database.tenantModel<WorkflowRecord>(
    'workflows',
    {
      name: { type: String, required: true },
      description: { type: String, default: null },
      graph: { type: String, required: true },
      version: { type: Number, required: true },
      status: { type: String, required: true },
      ownerId: { type: String, required: true },
      deleted: Boolean,
    },
    {
      indexes: [
        { fields: { ownerId: 1, createdAt: -1 } },
        { fields: { createdAt: -1 }, acrossTenants: true },
        { fields: { deleted: 1 }, partial: { deleted: true }, acrossTenants: true },
      ],
    },
  );
