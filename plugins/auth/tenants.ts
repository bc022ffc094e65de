import type { Database } from '../../core/data/database.ts';
import { isDuplicate } from '../../core/data/errors.ts';
import { AppError } from '../../core/errors.ts';
import type { Principal } from '../../core/principal.ts';
import { tenantForbidden, tenantInvalid } from './errors.ts';
import { tenantModel } from './models/tenant.ts';
import { createRecent } from './recent.ts';

const TENANT_ID = /^[A-Za-z0-9._:-]{1,64}$/;
/** Home tenants are registered with their account; ids of their form are nobody else's to claim. */
const HOME_TENANT = /^(account|api)-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const MAX_MEMBERS = 1000;

export interface TenantOptions {
  database: Database;
  /** Tenants that one account may come to own by using them first. */
  perAccount: number;
  /** How long another process may still use what this one changed. */
  cacheMs: number;
}

export interface Tenants {
  /** Makes sure that the account owns its home tenant. */
  registerHome(tenantId: string, ownerId: string): Promise<void>;
  removeHome(tenantId: string, ownerId: string): Promise<void>;
  /**
   * Lets the account use the tenant, or refuses it. A tenant that nobody has used belongs to the account from now on.
   *
   * @param allowed the list of the token; it decides alone
   * @throws {AppError} TENANT_INVALID, TENANT_FORBIDDEN
   */
  enter(accountId: string, tenantId: string, allowed: readonly string[] | undefined): Promise<void>;
  addMember(principal: Principal, tenantId: string, accountId: string): Promise<void>;
  removeMember(principal: Principal, tenantId: string, accountId: string): Promise<void>;
}

export function createTenants({ database, perAccount, cacheMs }: TenantOptions): Tenants {
  const tenants = tenantModel(database);
  const known = createRecent({ ttlMs: cacheMs, size: 10_000, load: (id) => tenants.get(id) });

  /** The tenant, which is the account's if nobody had it: the unique id lets one of many win. */
  const claim = async (tenantId: string, ownerId: string) => {
    try {
      return await tenants.insert({ _id: tenantId, ownerId, members: [] });
    } catch (error) {
      if (!isDuplicate(error, '_id')) throw error;
      return tenants.get(tenantId);
    } finally {
      known.forget(tenantId);
    }
  };

  const owned = async (principal: Principal, tenantId: string) => {
    const tenant = await tenants.get(tenantId);
    if (!tenant || (principal.kind !== 'system' && tenant.ownerId !== principal.accountId)) throw tenantForbidden();
  };

  return {
    async registerHome(tenantId, ownerId) {
      await claim(tenantId, ownerId);
    },

    async removeHome(tenantId, ownerId) {
      await tenants.delete({ _id: tenantId, ownerId });
      known.forget(tenantId);
    },

    async enter(accountId, tenantId, allowed) {
      if (!TENANT_ID.test(tenantId)) throw tenantInvalid();
      if (allowed && !allowed.includes(tenantId)) throw tenantForbidden();
      let tenant = await known.get(tenantId);
      if (!tenant) {
        if (HOME_TENANT.test(tenantId)) throw tenantForbidden();
        if (!allowed && (await tenants.count({ ownerId: accountId })) > perAccount) throw tenantForbidden();
        // Also for a token with a list: what it writes there must not fall to whoever names the tenant next.
        tenant = await claim(tenantId, accountId);
      }
      if (allowed || tenant?.ownerId === accountId || tenant?.members.includes(accountId)) return;
      throw tenantForbidden();
    },

    async addMember(principal, tenantId, accountId) {
      if (!TENANT_ID.test(tenantId)) throw tenantInvalid();
      // The operator's word about a tenant that nobody has used is an assignment.
      if (principal.kind === 'system' && (await claim(tenantId, accountId))?.ownerId === accountId) return;
      await owned(principal, tenantId);
      const room = { _id: tenantId, [`members.${MAX_MEMBERS - 1}`]: { $exists: false } };
      const changed = await tenants.update(room, { $addToSet: { members: accountId } });
      known.forget(tenantId);
      if (!changed) {
        throw new AppError('quota_exceeded', 'TENANT_FULL', {
          zh: `租户成员不能超过 ${MAX_MEMBERS} 个`,
          en: `A tenant has at most ${MAX_MEMBERS} members`,
        });
      }
    },

    async removeMember(principal, tenantId, accountId) {
      await owned(principal, tenantId);
      await tenants.update({ _id: tenantId }, { $pull: { members: accountId } });
      known.forget(tenantId);
    },
  };
}
