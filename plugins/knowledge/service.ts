import { adminRequired } from '../../core/auth.ts';
import { DocumentNotFoundError } from './errors.ts';
import type { KnowledgeService } from './public.ts';
import type { Bases } from './service/bases.ts';
import { type Documents, whereOf } from './service/documents.ts';
import type { KnowledgeParts } from './service/parts.ts';
import type { Search } from './service/search.ts';
import { documentView } from './service/views.ts';

/** The service as other plugins know it: ownership is settled here, the parts do the work. */
export function createKnowledgeService(
  parts: KnowledgeParts,
  { bases, documents, search }: { bases: Bases; documents: Documents; search: Search },
): KnowledgeService {
  const { runs, files } = parts;
  return {
    ...bases.service,

    async addDocument(principal, scope, file) {
      const where = whereOf(scope);
      if (where.baseId !== undefined) await bases.find(principal, where.baseId);
      const document = await documents.add(principal, where, file);
      if (where.baseId !== undefined) await bases.touch(principal, where.baseId);
      return documentView(document);
    },

    async replaceDocument(principal, documentId, file) {
      const document = await documents.replace(principal, documentId, file);
      if (document.baseId !== undefined) await bases.touch(principal, document.baseId);
      return documentView(document);
    },

    async imported(principal, documentId, signal) {
      const { runId } = await documents.find(principal, documentId);
      await runs.ended(principal, runId, signal);
      return documentView(await documents.find(principal, documentId));
    },

    async listDocuments(principal, scope) {
      const where = whereOf(scope);
      if (where.baseId !== undefined) await bases.find(principal, where.baseId);
      return (await documents.list(principal, where)).map(documentView);
    },

    getDocument: async (principal, documentId) => documentView(await documents.find(principal, documentId)),

    async original(principal, documentId) {
      const { filename, fileId } = await documents.find(principal, documentId);
      const bytes = await files.read(principal, fileId);
      if (!bytes) throw new DocumentNotFoundError(documentId);
      return { filename, bytes };
    },

    async deleteDocument(principal, documentId, scope) {
      const where = scope && whereOf(scope);
      if (where?.baseId !== undefined) await bases.find(principal, where.baseId);
      await documents.remove(principal, documentId, where);
      if (where?.baseId !== undefined) await bases.touch(principal, where.baseId);
    },

    deleteAgentDocuments: (principal, agentId) => documents.removeAll(principal, { agentId }),

    search: search.search,
    useReranker: search.useReranker,

    async statistics(principal) {
      if (!principal.roles.includes('admin')) throw adminRequired();
      const why = 'figures of the whole installation for administrators';
      const [held] = await parts.documents
        .acrossTenants(why)
        .aggregate<{ documents: number; bytes: number }>([
          { $match: { deleted: false, baseId: { $exists: true } } },
          { $group: { _id: null, documents: { $sum: 1 }, bytes: { $sum: '$size' } } },
        ]);
      const count = await parts.bases.acrossTenants(why).count({ deleted: false });
      return { bases: count, documents: held?.documents ?? 0, bytes: held?.bytes ?? 0 };
    },
  };
}
