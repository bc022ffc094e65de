import type { Collection, Database, Document } from '../../../core/data/database.ts';

/** An account of the tasks API: a name and an opaque token, of which only the SHA-256 is kept. */
export interface ApiAccountFields {
  name: string;
  /** Hexadecimal; a revoked account has `revoked:<id>`, which is no hash. */
  tokenSha256: string;
  note?: string;
  homeTenantId: string;
  tokenCreatedAt: Date;
  revokedAt?: Date | null;
}

export type ApiAccountDocument = ApiAccountFields & Document;

export const apiAccountModel = (database: Database): Collection<ApiAccountDocument> =>
  database.globalModel<ApiAccountFields>(
    'api_accounts',
    {
      name: { type: String, required: true },
      tokenSha256: { type: String, required: true },
      note: String,
      homeTenantId: { type: String, required: true },
      tokenCreatedAt: { type: Date, required: true },
      revokedAt: Date,
    },
    {
      indexes: [
        { fields: { name: 1 }, unique: true },
        { fields: { tokenSha256: 1 }, unique: true },
      ],
    },
  );
