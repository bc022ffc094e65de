import type { Database, Document } from '../../../core/data/database.ts';
import { jsonField } from '../../../core/data/json.ts';
import type { LocalText } from '../../../core/errors.ts';
import type { ReportFormat, ReportStatus } from '../public.ts';

export interface ReportRecord {
  taskId: string;
  outlineId: string;
  title: string;
  format: ReportFormat;
  status: ReportStatus;
  progress: number;
  metadata: Record<string, unknown>;
  /** The run that writes it; a repeated step gives it a new one. */
  runId: string;
  /** File of the stored document model, from which other formats are made. */
  documentId: string | null;
  fileSize: number | null;
  errorMessage: LocalText | null;
  finishTime: Date | null;
}

export type ReportDocumentRecord = ReportRecord & Document & { tenantId: string };

export const reportModel = (database: Database) =>
  database.tenantModel<ReportRecord>(
    'reports',
    {
      taskId: { type: String, required: true },
      outlineId: { type: String, required: true },
      title: { type: String, required: true },
      format: { type: String, required: true },
      status: { type: String, required: true },
      progress: { type: Number, required: true },
      metadata: jsonField({ required: true }),
      runId: { type: String, required: true },
      documentId: { type: String, default: null },
      fileSize: { type: Number, default: null },
      errorMessage: jsonField({ default: () => null }),
      finishTime: { type: Date, default: null },
    },
    { indexes: [{ fields: { taskId: 1 } }, { fields: { status: 1 }, acrossTenants: true }] },
  );
