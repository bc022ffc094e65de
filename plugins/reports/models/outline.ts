import type { Database, Document } from '../../../core/data/database.ts';
import { jsonField } from '../../../core/data/json.ts';
import type { OutlineNode, OutlineType } from '../public.ts';

/** Never changed once stored: whether it is confirmed or superseded is told by its task alone. */
export interface OutlineRecord {
  taskId: string;
  title: string;
  type: OutlineType;
  version: number;
  rootNode: OutlineNode;
}

export type OutlineDocument = OutlineRecord & Document & { tenantId: string };

export const outlineModel = (database: Database) =>
  database.tenantModel<OutlineRecord>(
    'report_outlines',
    {
      taskId: { type: String, required: true },
      title: { type: String, required: true },
      type: { type: String, required: true },
      version: { type: Number, required: true },
      rootNode: jsonField({ required: true }),
    },
    { indexes: [{ fields: { taskId: 1 } }] },
  );
