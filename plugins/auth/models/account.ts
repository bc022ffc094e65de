import type { Collection, Database, Document } from '../../../core/data/database.ts';
import type { Role } from '../../../core/principal.ts';
import { ACCOUNT_STATUS, type Account, type AccountStatus } from '../public.ts';

export interface AccountFields {
  email: string;
  /** Unique: the address in the form in which addresses are compared. */
  emailKey: string;
  username?: string;
  /** Unique: the user name in lower case; `@<id>`, which no name can be, for an account without one. */
  usernameKey: string;
  nickname?: string;
  name?: string;
  avatar?: string;
  passwordHash: string;
  role: Role;
  status: AccountStatus;
  homeTenantId: string;
  trialEndsAt: Date;
  lastLoginAt?: Date;
}

export type AccountDocument = AccountFields & Document;
export type Accounts = Collection<AccountDocument>;

export const accountModel = (database: Database): Accounts =>
  database.globalModel<AccountFields>(
    'accounts',
    {
      email: { type: String, required: true },
      emailKey: { type: String, required: true },
      username: String,
      usernameKey: { type: String, required: true },
      nickname: String,
      name: String,
      avatar: String,
      passwordHash: { type: String, required: true },
      role: { type: String, enum: ['user', 'admin'], required: true },
      status: { type: String, enum: [...ACCOUNT_STATUS], required: true },
      homeTenantId: { type: String, required: true },
      trialEndsAt: { type: Date, required: true },
      lastLoginAt: Date,
    },
    {
      indexes: [
        { fields: { emailKey: 1 }, unique: true },
        { fields: { usernameKey: 1 }, unique: true },
        { fields: { createdAt: -1 } },
      ],
    },
  );

/** What services and routes may see of an account: never the password hash. */
export function toAccount(document: AccountDocument): Account {
  const { _id, email, username, nickname, name, avatar, role, status } = document;
  const { homeTenantId, trialEndsAt, lastLoginAt, createdAt } = document;
  return {
    id: _id,
    email,
    ...(username !== undefined && { username }),
    ...(nickname !== undefined && { nickname }),
    ...(name !== undefined && { name }),
    ...(avatar !== undefined && { avatar }),
    displayName: name ?? nickname ?? username ?? email.slice(0, email.lastIndexOf('@')),
    role,
    status,
    homeTenantId,
    trialEndsAt,
    ...(lastLoginAt && { lastLoginAt }),
    createdAt,
  };
}
