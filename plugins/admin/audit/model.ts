import type { Collection, Database, Document } from '../../../core/data/database.ts';
import type { LocalText } from '../../../core/errors.ts';

export interface AuditFields {
  at: Date;
  tenantId?: string;
  accountId?: string;
  principal?: string;
  contract?: string;
  method: string;
  route: string;
  action: LocalText;
  objectIds: string[];
  status: number;
  ip: string;
  traceId: string;
}

export type AuditDocument = AuditFields & Document;

const text = { type: String, required: true };

/** Of the whole installation: administrators read what happened in every tenant. */
export const auditModel = (database: Database, keepDays: number): Collection<AuditDocument> =>
  database.globalModel<AuditFields>(
    'audit_log',
    {
      at: { type: Date, required: true },
      tenantId: String,
      accountId: String,
      principal: String,
      contract: String,
      method: text,
      route: text,
      action: { zh: text, en: text },
      objectIds: [String],
      status: { type: Number, required: true },
      ip: { type: String },
      traceId: text,
    },
    {
      timestamps: false,
      indexes: [
        { fields: { at: 1 }, ...(keepDays > 0 && { expireAfterSeconds: keepDays * 86_400 }) },
        { fields: { accountId: 1, at: -1 } },
        { fields: { objectIds: 1, at: -1 } },
        { fields: { route: 1, at: -1 } },
      ],
    },
  );
