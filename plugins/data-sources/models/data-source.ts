import type { Database, Document } from '../../../core/data/database.ts';
import { jsonField } from '../../../core/data/json.ts';
import type { DataSourceStatus, DataSourceType } from '../public.ts';

export interface DataSourceRecord {
  ownerId: string;
  name: string;
  type: DataSourceType;
  description: string | null;
  /** Without secrets: masks stand in their places. */
  config: Record<string, unknown>;
  /** The secrets by place, sealed by the vault for this tenant and id; null when there are none. */
  secrets: string | null;
  status: DataSourceStatus;
  /** Counts changes of config and secrets; connections made for an older one are closed. */
  revision: number;
  lastConnectedAt: Date | null;
}

export type DataSourceDocument = DataSourceRecord & Document & { tenantId: string };

export const dataSourceModel = (database: Database) =>
  database.tenantModel<DataSourceRecord>(
    'data_sources',
    {
      ownerId: { type: String, required: true },
      name: { type: String, required: true },
      type: { type: String, required: true },
      description: { type: String, default: null },
      config: jsonField({ required: true }),
      secrets: { type: String, default: null },
      status: { type: String, required: true },
      revision: { type: Number, required: true },
      lastConnectedAt: { type: Date, default: null },
    },
    {
      indexes: [
        { fields: { ownerId: 1, createdAt: -1 } },
        // Administrators list every one.
        { fields: { createdAt: -1 }, acrossTenants: true },
      ],
    },
  );
