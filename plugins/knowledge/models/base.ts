import type { Database, Document } from '../../../core/data/database.ts';

export interface BaseRecord {
  ownerId: string;
  name: string;
  /** The name without regard to case; unique for its owner. Gone when the base is deleted. */
  nameKey?: string;
  description: string;
  datasetId: string;
  /** Place among the bases that the owner may have: what is unique keeps to the quota whoever asks at the same time. */
  slot?: number;
  deleted: boolean;
}
export type BaseDocument = BaseRecord & Document & { tenantId: string };

export const baseModel = (database: Database) =>
  database.tenantModel<BaseRecord>(
    'knowledge_bases',
    {
      ownerId: { type: String, required: true },
      name: { type: String, required: true },
      nameKey: String,
      description: { type: String, default: '' },
      datasetId: { type: String, required: true },
      slot: Number,
      deleted: { type: Boolean, required: true },
    },
    {
      indexes: [
        { fields: { ownerId: 1, createdAt: -1 } },
        { fields: { ownerId: 1, nameKey: 1 }, unique: true, partial: { nameKey: { $exists: true } } },
        { fields: { ownerId: 1, slot: 1 }, unique: true, partial: { slot: { $exists: true } } },
        { fields: { deleted: 1 }, partial: { deleted: true }, acrossTenants: true },
      ],
    },
  );
