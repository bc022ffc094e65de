import type { Collection, Database, Document } from '../../../core/data/database.ts';

/**
 * One login of an account, the family of all tokens that come from it. A token counts only while its login is here and not
 * revoked, so ending a login ends its tokens.
 */
export interface LoginFields {
  accountId: string;
  /** The APIs that its tokens name. */
  audience: string[];
  /** `operator`: made by a command for an integration; a change of the password leaves it alone. */
  kind: 'user' | 'operator';
  /** The refresh token that counts; absent where there is none (any more). */
  refreshId?: string;
  revokedAt?: Date;
  note?: string;
  /** After the end of the last token; the entry is removed then. */
  expiresAt: Date;
}

export type LoginDocument = LoginFields & Document;

export const loginModel = (database: Database): Collection<LoginDocument> =>
  database.globalModel<LoginFields>(
    'logins',
    {
      accountId: { type: String, required: true },
      audience: { type: [String], required: true },
      kind: { type: String, enum: ['user', 'operator'], required: true },
      refreshId: String,
      revokedAt: Date,
      note: String,
      expiresAt: { type: Date, required: true },
    },
    { indexes: [{ fields: { accountId: 1 } }, { fields: { expiresAt: 1 }, expireAfterSeconds: 0 }] },
  );
