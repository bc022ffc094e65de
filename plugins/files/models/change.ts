import type { Database, TenantModel } from '../../../core/data/database.ts';

/** A change that a tool is about to make, noted first: a call that is repeated after a crash finds out whether it was made. */
export interface ChangeFields {
  /** SHA-256 of what the file holds afterwards; missing where nothing stands afterwards. */
  sha256?: string;
  /** JSON of what the tool answers. */
  answer: string;
}

/** Long after the last restart that could repeat a call. */
const KEEP_SECONDS = 7 * 24 * 3600;

export const changeModel = (database: Database): TenantModel<ChangeFields> =>
  database.tenantModel<ChangeFields>(
    'file_changes',
    { sha256: String, answer: { type: String, required: true } },
    { indexes: [{ fields: { createdAt: 1 }, expireAfterSeconds: KEEP_SECONDS }] },
  );
