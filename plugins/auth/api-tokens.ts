import { createHash, randomBytes, randomUUID } from 'node:crypto';
import type { Identity } from '../../core/auth.ts';
import type { Database } from '../../core/data/database.ts';
import { isDuplicate } from '../../core/data/errors.ts';
import { apiNameInvalid, apiNameTaken } from './errors.ts';
import { apiAccountModel } from './models/api-account.ts';
import { createRecent } from './recent.ts';

const NAME = /^[a-z0-9][a-z0-9._-]{0,63}$/;
const MAX_TOKEN_LENGTH = 512;

export interface ApiAccount {
  id: string;
  name: string;
  note?: string;
  createdAt: Date;
  revokedAt?: Date;
}

export interface ApiTokens {
  /**
   * Makes an API account, or gives a revoked one a new token: what belongs to it is its own again.
   *
   * @returns the token; it is not kept and cannot be shown again
   * @throws {AppError} API_NAME_INVALID, API_ACCOUNT_EXISTS
   */
  create(name: string, note?: string): Promise<string>;
  list(): Promise<ApiAccount[]>;
  /** @returns false when no such account has a token */
  revoke(name: string): Promise<boolean>;
  /** The caller behind a token. */
  check(token: string): Promise<Identity | undefined>;
}

export interface ApiTokenOptions {
  database: Database;
  registerHome(tenantId: string, ownerId: string): Promise<void>;
  cacheMs: number;
  now?: () => number;
}

export function createApiTokens({ database, registerHome, cacheMs, now = Date.now }: ApiTokenOptions): ApiTokens {
  const accounts = apiAccountModel(database);
  const known = createRecent({
    ttlMs: cacheMs,
    size: 10_000,
    load: (tokenSha256) => accounts.findOne({ tokenSha256 }),
  });

  return {
    async create(name, note) {
      const wanted = nameKey(name);
      if (!NAME.test(wanted)) throw apiNameInvalid();
      const token = randomBytes(32).toString('base64url');
      const fields = {
        tokenSha256: sha256(token),
        tokenCreatedAt: new Date(now()),
        ...(note !== undefined && { note }),
      };
      const renewed = await accounts.update(
        { name: wanted, revokedAt: { $ne: null } },
        { $set: { ...fields, revokedAt: null } },
      );
      if (renewed) return token;
      const id = randomUUID();
      const homeTenantId = `api-${id}`;
      try {
        await accounts.insert({ _id: id, name: wanted, homeTenantId, ...fields });
      } catch (error) {
        if (isDuplicate(error, 'name')) throw apiNameTaken(wanted);
        throw error;
      }
      await registerHome(homeTenantId, id);
      return token;
    },

    async list() {
      const all = await accounts.find({}, { sort: { name: 1 } });
      return all.map(({ _id, name, note, createdAt, revokedAt }) => ({
        id: _id,
        name,
        ...(note !== undefined && { note }),
        createdAt,
        ...(revokedAt && { revokedAt }),
      }));
    },

    async revoke(name) {
      const found = await accounts.findOne({ name: nameKey(name), revokedAt: null });
      if (!found) return false;
      const revoked = await accounts.update(
        { _id: found._id, revokedAt: null },
        { $set: { tokenSha256: `revoked:${found._id}`, revokedAt: new Date(now()) } },
      );
      known.forget(found.tokenSha256);
      return revoked !== undefined;
    },

    async check(token) {
      if (token.length > MAX_TOKEN_LENGTH) return undefined;
      const found = await known.get(sha256(token));
      if (!found || found.revokedAt) return undefined;
      const { _id: accountId, homeTenantId: tenantId } = found;
      return { principal: { kind: 'api', accountId, tenantId, roles: ['user'] }, blocked: false };
    },
  };
}

const nameKey = (name: string) => name.trim().toLowerCase();
const sha256 = (token: string) => createHash('sha256').update(token).digest('hex');
