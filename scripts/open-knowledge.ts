import { join } from 'node:path';
import type { Database } from '../core/data/database.ts';
import { AppError } from '../core/errors.ts';
import type { Logger } from '../core/log.ts';
import type { Principal } from '../core/principal.ts';
import { baseModel } from '../plugins/knowledge/models/base.ts';
import { createChanges } from '../plugins/knowledge/models/change.ts';
import { documentModel } from '../plugins/knowledge/models/document.ts';
import { passageModel } from '../plugins/knowledge/models/passage.ts';
import { createIndexSync } from '../plugins/knowledge/search/sync.ts';
import { createSearch } from '../plugins/knowledge/service/search.ts';
import type { TextEmbedder } from '../runtime/models/index.ts';

/** How long a command waits for an index: as long as it takes. */
const PATIENCE_MS = 2 ** 31 - 1;

const noBase = (baseId: string) =>
  new AppError('not_found', 'KNOWLEDGE_BASE_NOT_FOUND', {
    zh: `知识库 ${baseId} 不存在`,
    en: `There is no knowledge base ${baseId}`,
  });

/** The knowledge of the installation for a command: index and search without a server. */
export function openKnowledge(options: {
  database: Database;
  dataDir: string;
  log: Logger;
  embedder?: TextEmbedder | undefined;
}) {
  const { database, dataDir, log, embedder } = options;
  const [bases, documents, passages] = [baseModel(database), documentModel(database), passageModel(database)];
  const index = createIndexSync({
    documents,
    passages,
    changes: createChanges(database),
    folder: join(dataDir, 'knowledge'),
    catchUpMs: PATIENCE_MS,
    log,
  });
  const search = createSearch(
    { index, passages, log, embedder },
    {
      async findBase({ tenantId }, baseId) {
        const base = await bases.in({ tenantId }).findOne({ _id: baseId, deleted: false });
        if (!base) throw noBase(baseId);
        return base;
      },
      async someDocuments(tenant, ids) {
        const found = await documents.in(tenant).find({ _id: { $in: [...new Set(ids)] }, deleted: false });
        return new Map(found.map((document) => [document._id, document]));
      },
    },
  );
  return {
    index,
    search,

    /** A base with its owner, who is the one to search it. */
    async base(baseId: string) {
      const base = await bases.acrossTenants('a command of the operator').findOne({ _id: baseId, deleted: false });
      if (!base) throw noBase(baseId);
      const principal: Principal = { kind: 'user', accountId: base.ownerId, tenantId: base.tenantId, roles: [] };
      return { base, principal };
    },

    /** Tenants that have documents, and how many. */
    async tenants(): Promise<{ tenantId: string; documents: number }[]> {
      const counted = await documents
        .acrossTenants('a command of the operator')
        .aggregate<{ _id: string; documents: number }>([
          { $match: { deleted: false } },
          { $group: { _id: '$tenantId', documents: { $sum: 1 } } },
        ]);
      return counted.map(({ _id, documents: count }) => ({ tenantId: _id, documents: count }));
    },

    close: () => index.close(),
  };
}
