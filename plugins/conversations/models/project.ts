import type { Database, Document } from '../../../core/data/database.ts';

export interface ProjectRecord {
  ownerId: string;
  name: string;
  description: string;
  deleted: boolean;
  deletedAt?: Date;
  /** Deleted, and its conversations are not yet. */
  removing?: boolean;
}
export type ProjectDocument = ProjectRecord & Document & { tenantId: string };

export const projectModel = (database: Database) =>
  database.tenantModel<ProjectRecord>(
    'projects',
    {
      ownerId: { type: String, required: true },
      name: { type: String, required: true },
      // Not `required`: mongoose takes an empty text for a missing one.
      description: String,
      deleted: { type: Boolean, required: true },
      deletedAt: Date,
      removing: Boolean,
    },
    {
      indexes: [
        { fields: { ownerId: 1, createdAt: -1 } },
        { fields: { removing: 1 }, partial: { removing: true }, acrossTenants: true },
      ],
    },
  );
