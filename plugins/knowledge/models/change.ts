import type { Database } from '../../../core/data/database.ts';
import { isDuplicate } from '../../../core/data/errors.ts';
import type { Principal } from '../../../core/principal.ts';

/**
 * The order in which documents of a tenant changed for searches. Every server keeps an index of its own and brings it up to the last
 * number here. Numbers have no gaps when they are given out: a number can be taken only after the one before it can be seen.
 */
export interface ChangeRecord {
  seq: number;
  documentId: string;
}

export const changeModel = (database: Database) =>
  database.tenantModel<ChangeRecord>(
    'knowledge_changes',
    { seq: { type: Number, required: true }, documentId: { type: String, required: true } },
    { timestamps: false, indexes: [{ fields: { seq: 1 }, unique: true }, { fields: { documentId: 1, seq: 1 } }] },
  );

export type Changes = ReturnType<typeof createChanges>;

export function createChanges(database: Database) {
  const model = changeModel(database);
  const last = async (principal: Pick<Principal, 'tenantId'>): Promise<number> => {
    const [newest] = await model.in(principal).find({}, { sort: { seq: -1 }, limit: 1, fields: ['seq'] });
    return newest?.seq ?? 0;
  };
  return {
    /** Number of the last change; 0 when there is none. */
    last,

    /** Notes that searches must see another state of a document. May be repeated. */
    async append(principal: Pick<Principal, 'tenantId'>, documentId: string): Promise<void> {
      const changes = model.in(principal);
      for (;;) {
        const seq = (await last(principal)) + 1;
        try {
          await changes.insert({ seq, documentId });
          // Earlier entries of the document say nothing more; the newest of all always stays.
          await changes.delete({ documentId, seq: { $lt: seq } });
          return;
        } catch (error) {
          if (!isDuplicate(error)) throw error;
        }
      }
    },

    /** Changes after a number, oldest first. */
    after: (principal: Pick<Principal, 'tenantId'>, seq: number, limit: number) =>
      model.in(principal).find({ seq: { $gt: seq } }, { sort: { seq: 1 }, limit }),
  };
}
