import type { Database, Document } from '../../../core/data/database.ts';
import { jsonField } from '../../../core/data/json.ts';
import type { LocalText } from '../../../core/errors.ts';
import type { DocumentStatus } from '../public.ts';

export interface DocumentRecord {
  ownerId: string;
  /** What it belongs to: a base or an agent. */
  baseId?: string;
  agentId?: string;
  /** Place among the documents of its base, see the slots of bases. */
  slot?: number;
  filename: string;
  fileType: string;
  size: number;
  /** GridFS file of the original. */
  fileId: string;
  /** Import under way, or the last one. */
  runId: string;
  status: DocumentStatus;
  progress: number;
  /** Passages of this version are what searches find; absent before the first import is done. */
  version?: string;
  passages: number;
  tokens: number;
  pages: number | null;
  error: { code: string; message: LocalText } | null;
  uploadedAt: Date;
  processedAt: Date | null;
  deleted: boolean;
}
export type DocumentDocument = DocumentRecord & Document & { tenantId: string };

export const documentModel = (database: Database) =>
  database.tenantModel<DocumentRecord>(
    'knowledge_documents',
    {
      ownerId: { type: String, required: true },
      baseId: String,
      agentId: String,
      slot: Number,
      filename: { type: String, required: true },
      fileType: { type: String, required: true },
      size: { type: Number, required: true },
      fileId: { type: String, required: true },
      runId: { type: String, required: true },
      status: { type: String, required: true },
      progress: { type: Number, required: true },
      version: String,
      passages: { type: Number, default: 0 },
      tokens: { type: Number, default: 0 },
      pages: { type: Number, default: null },
      error: jsonField({ default: () => null }),
      uploadedAt: { type: Date, required: true },
      processedAt: { type: Date, default: null },
      deleted: { type: Boolean, required: true },
    },
    {
      indexes: [
        { fields: { baseId: 1, uploadedAt: 1 } },
        { fields: { agentId: 1, uploadedAt: 1 } },
        { fields: { baseId: 1, slot: 1 }, unique: true, partial: { slot: { $exists: true } } },
        { fields: { status: 1 }, partial: { status: 'processing' }, acrossTenants: true },
        { fields: { deleted: 1 }, partial: { deleted: true }, acrossTenants: true },
      ],
    },
  );
