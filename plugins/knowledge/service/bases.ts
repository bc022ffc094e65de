import { randomUUID } from 'node:crypto';
import { isDuplicate } from '../../../core/data/errors.ts';
import type { Principal } from '../../../core/principal.ts';
import { KnowledgeBaseNameTakenError, KnowledgeBaseNotFoundError, KnowledgeQuotaError } from '../errors.ts';
import type { BaseDocument } from '../models/base.ts';
import type { KnowledgeBase, KnowledgeService } from '../public.ts';
import type { Documents } from './documents.ts';
import type { KnowledgeParts } from './parts.ts';
import { freeSlot } from './slots.ts';
import { baseView } from './views.ts';

export type Bases = ReturnType<typeof createBases>;

/** Knowledge bases of the caller. */
export function createBases(parts: KnowledgeParts, documents: Documents) {
  const { bases, options, baseQuota } = parts;
  const mine = ({ accountId }: Principal) => ({ ownerId: accountId, deleted: false });

  /** @throws {KnowledgeBaseNotFoundError} */
  const find = async (principal: Principal, baseId: string): Promise<BaseDocument> => {
    const base = await bases.in(principal).findOne({ _id: baseId, ...mine(principal) });
    if (!base) throw new KnowledgeBaseNotFoundError(baseId);
    return base;
  };

  const view = async (principal: Principal, found: readonly BaseDocument[]): Promise<KnowledgeBase[]> => {
    const used = await documents.usage(
      principal,
      found.map(({ _id }) => _id),
    );
    return found.map((base) => baseView(base, used.get(base._id) ?? { files: 0, bytes: 0 }, options.documentsPerBase));
  };

  const remove = async (tenant: { tenantId: string }, baseId: string) => {
    await documents.removeAll(tenant, { baseId });
    await bases.in(tenant).delete({ _id: baseId });
  };

  const service = {
    async listBases(principal) {
      const found = await bases.in(principal).find(mine(principal), { sort: { createdAt: -1, _id: 1 } });
      return { items: await view(principal, found), limit: await baseQuota(principal) };
    },

    async getBase(principal, baseId) {
      const [base] = await view(principal, [await find(principal, baseId)]);
      return base as KnowledgeBase;
    },

    async createBase(principal, { name, description = '' }) {
      const nameKey = name.toLowerCase();
      const quota = await baseQuota(principal);
      for (;;) {
        const taken = await bases.in(principal).find(mine(principal), { fields: ['slot', 'nameKey'] });
        if (taken.some((base) => base.nameKey === nameKey)) throw new KnowledgeBaseNameTakenError(name);
        const slot = freeSlot(taken, quota);
        if (slot === undefined) throw new KnowledgeQuotaError('knowledge_base', quota, taken.length);
        try {
          const made = await bases.in(principal).insert({
            ownerId: principal.accountId,
            name,
            nameKey,
            description,
            slot,
            datasetId: `dataset-${randomUUID()}`,
            deleted: false,
          });
          return baseView(made, { files: 0, bytes: 0 }, options.documentsPerBase);
        } catch (error) {
          // Somebody took the name or the slot meanwhile: look again.
          if (!isDuplicate(error)) throw error;
        }
      }
    },

    async deleteBase(principal, baseId) {
      const gone = await bases
        .in(principal)
        .update({ _id: baseId, ...mine(principal) }, { $set: { deleted: true }, $unset: { slot: 1, nameKey: 1 } });
      if (!gone) throw new KnowledgeBaseNotFoundError(baseId);
      await remove(principal, baseId);
    },
  } satisfies Partial<KnowledgeService>;

  return {
    service,
    find,

    /** Notes that the documents of a base have changed. */
    async touch(principal: Principal, baseId: string): Promise<void> {
      await bases.in(principal).update({ _id: baseId }, { $set: { updatedAt: new Date() } });
    },

    /** How many bases each of these accounts has. */
    async count(accountIds: readonly string[]): Promise<ReadonlyMap<string, number>> {
      const counted = await bases
        .acrossTenants('accounts are counted wherever their bases are')
        .aggregate<{ _id: string; count: number }>([
          { $match: { ownerId: { $in: [...accountIds] }, deleted: false } },
          { $group: { _id: '$ownerId', count: { $sum: 1 } } },
        ]);
      return new Map(counted.map(({ _id, count }) => [_id, count]));
    },

    /** Finishes deletions that a crash cut off. */
    async recover(): Promise<void> {
      for await (const base of bases.acrossTenants('recovery at start').iterate({ deleted: true })) {
        await remove(base, base._id);
      }
    },
  };
}
