import type { Collection, Database, Document } from '../../../core/data/database.ts';

/** A tenant (`_id` is its id) and who may use it. */
export interface TenantFields {
  ownerId: string;
  /** Accounts that may use it beside the owner. */
  members: string[];
}

export const tenantModel = (database: Database): Collection<TenantFields & Document> =>
  database.globalModel<TenantFields>(
    'tenants',
    { ownerId: { type: String, required: true }, members: { type: [String], default: () => [] } },
    { indexes: [{ fields: { ownerId: 1 } }] },
  );
