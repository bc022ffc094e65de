import type { Database, Document } from '../../../core/data/database.ts';
import { jsonField } from '../../../core/data/json.ts';
import type { PackageStatus } from '../public.ts';

/** One per task and knowledge unit. */
export interface PackageRecord {
  taskId: string;
  knowledgeUnitId: string;
  status: PackageStatus;
  /** Free keys, any JSON values. */
  autoData: Record<string, unknown>;
  manualData: string;
  dataSources: Record<string, unknown>;
  /** Size of `autoData` and `manualData`, for the limit of a task. */
  bytes: number;
  confirmerId: string | null;
  confirmerName: string | null;
  confirmTime: Date | null;
}

export type PackageDocument = PackageRecord & Document & { tenantId: string };

export const packageModel = (database: Database) =>
  database.tenantModel<PackageRecord>(
    'report_data_packages',
    {
      taskId: { type: String, required: true },
      knowledgeUnitId: { type: String, required: true },
      status: { type: String, required: true },
      autoData: jsonField({ required: true }),
      manualData: { type: String, default: '' },
      dataSources: jsonField({ required: true }),
      bytes: { type: Number, required: true },
      confirmerId: { type: String, default: null },
      confirmerName: { type: String, default: null },
      confirmTime: { type: Date, default: null },
    },
    { indexes: [{ fields: { taskId: 1, knowledgeUnitId: 1 }, unique: true }] },
  );
