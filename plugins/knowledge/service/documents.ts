import { randomUUID } from 'node:crypto';
import { isDuplicate } from '../../../core/data/errors.ts';
import { type Principal, systemPrincipal } from '../../../core/principal.ts';
import { DocumentBusyError, DocumentNotFoundError, KnowledgeQuotaError } from '../errors.ts';
import type { DocumentDocument, DocumentRecord } from '../models/document.ts';
import type { DocumentScope, KnowledgeFile } from '../public.ts';
import { RUN_KIND } from '../run.ts';
import { type CheckedFile, checkFile } from './files.ts';
import type { KnowledgeParts } from './parts.ts';
import { freeSlot } from './slots.ts';

type Tenant = Pick<Principal, 'tenantId'>;

export type Documents = ReturnType<typeof createDocuments>;

/** An upload that has no run after so long has been cut off; a younger one may still be coming in on another server. */
const ABANDONED_MS = 10 * 60_000;

/** Documents with their files, passages and imports. Who may touch them was decided before, except where a method says so. */
export function createDocuments(parts: KnowledgeParts) {
  const { documents, passages, files, runs, changes, index, options, log } = parts;

  /** @throws {DocumentNotFoundError} */
  const find = async (principal: Principal, documentId: string, scope?: Where): Promise<DocumentDocument> => {
    const found = await documents
      .in(principal)
      .findOne({ _id: documentId, ownerId: principal.accountId, deleted: false, ...scope });
    if (!found) throw new DocumentNotFoundError(documentId);
    return found;
  };

  const start = async (principal: Principal, { _id, runId }: Pick<DocumentDocument, '_id' | 'runId'>) => {
    await runs.start(principal, RUN_KIND, { documentId: _id }, { id: runId, meta: { subject: _id } });
  };

  const store = (principal: Tenant, fileId: string, file: CheckedFile) =>
    files.write(principal, { id: fileId, filename: file.filename, content: file.content() });

  /** The document with its place in the base, which the quota is counted by. */
  const insert = async (principal: Principal, record: Omit<DocumentRecord, 'slot'>): Promise<DocumentDocument> => {
    const { baseId, agentId } = record;
    if (agentId !== undefined) {
      // No documented quota, so one more at the same moment does no harm.
      const used = await documents.in(principal).count({ agentId, deleted: false });
      if (used >= options.documentsPerAgent) throw new KnowledgeQuotaError('document', options.documentsPerAgent, used);
    }
    if (baseId === undefined) return documents.in(principal).insert(record);
    for (;;) {
      const taken = await documents.in(principal).find({ baseId, deleted: false }, { fields: ['slot'] });
      const slot = freeSlot(taken, options.documentsPerBase);
      if (slot === undefined) throw new KnowledgeQuotaError('document', options.documentsPerBase, taken.length);
      try {
        return await documents.in(principal).insert({ ...record, slot });
      } catch (error) {
        if (!isDuplicate(error)) throw error;
      }
    }
  };

  /** What is left of a document that is marked as deleted. May be repeated. */
  const finishRemoval = async (tenant: Tenant, document: DocumentDocument): Promise<void> => {
    const { _id, fileId } = document;
    await runs.delete({ ...systemPrincipal(tenant.tenantId) }, { kind: RUN_KIND, subject: _id });
    await changes.append(tenant, _id);
    await passages.in(tenant).delete({ documentId: _id });
    await files.delete(tenant, fileId);
    await documents.in(tenant).delete({ _id });
    await index.catchUp(tenant).catch((error: unknown) => log.warn({ err: error }, 'knowledge index: left behind'));
  };

  const markDeleted = (tenant: Tenant, where: Record<string, unknown>) =>
    documents.in(tenant).update({ ...where, deleted: false }, { $set: { deleted: true }, $unset: { slot: 1 } });

  const mine = (principal: Principal, fileId: string, file: CheckedFile) => ({
    ownerId: principal.accountId,
    filename: file.filename,
    fileType: file.fileType,
    size: file.size,
    fileId,
    runId: randomUUID(),
    status: 'processing' as const,
    progress: 0,
    error: null,
    uploadedAt: new Date(),
    processedAt: null,
    deleted: false,
  });

  return {
    find,

    async add(principal: Principal, scope: Where, file: KnowledgeFile): Promise<DocumentDocument> {
      const checked = await checkFile(
        file,
        scope.baseId === undefined ? options.agentFileBytes : options.baseFileBytes,
      );
      const fileId = randomUUID();
      const document = await insert(principal, {
        ...mine(principal, fileId, checked),
        ...scope,
        passages: 0,
        tokens: 0,
        pages: null,
      });
      try {
        await store(principal, fileId, checked);
        await start(principal, document);
      } catch (error) {
        await files.delete(principal, fileId);
        await documents.in(principal).delete({ _id: document._id });
        throw error;
      }
      return document;
    },

    async replace(principal: Principal, documentId: string, file: KnowledgeFile): Promise<DocumentDocument> {
      const before = await find(principal, documentId);
      const checked = await checkFile(
        file,
        before.baseId === undefined ? options.agentFileBytes : options.baseFileBytes,
      );
      const fileId = randomUUID();
      await store(principal, fileId, checked);
      const { deleted: _, ownerId: __, ...changed } = mine(principal, fileId, checked);
      const document = await documents
        .in(principal)
        .update(
          { _id: documentId, deleted: false, status: { $ne: 'processing' }, runId: before.runId },
          { $set: changed },
        );
      if (!document) {
        await files.delete(principal, fileId);
        throw new DocumentBusyError(documentId);
      }
      try {
        await start(principal, document);
      } catch (error) {
        // The document is again what it was before.
        const { filename, fileType, size, status, progress, uploadedAt, processedAt } = before;
        const restored = { filename, fileType, size, status, progress, uploadedAt, processedAt, error: before.error };
        await documents
          .in(principal)
          .update({ _id: documentId }, { $set: { ...restored, fileId: before.fileId, runId: before.runId } });
        await files.delete(principal, fileId);
        throw error;
      }
      await files.delete(principal, before.fileId);
      return document;
    },

    list: (principal: Principal, scope: Where): Promise<DocumentDocument[]> =>
      documents
        .in(principal)
        .find({ ownerId: principal.accountId, ...scope, deleted: false }, { sort: { uploadedAt: 1, _id: 1 } }),

    /** Several at once, for the hits of a search; deleted ones are left out. */
    async some(tenant: Tenant, ids: readonly string[]): Promise<ReadonlyMap<string, DocumentDocument>> {
      if (ids.length === 0) return new Map();
      const found = await documents.in(tenant).find({ _id: { $in: [...new Set(ids)] }, deleted: false });
      return new Map(found.map((document) => [document._id, document]));
    },

    async remove(principal: Principal, documentId: string, scope?: Where): Promise<void> {
      await find(principal, documentId, scope);
      const gone = await markDeleted(principal, { _id: documentId });
      if (!gone) throw new DocumentNotFoundError(documentId);
      await finishRemoval(principal, gone);
    },

    async removeAll(tenant: Tenant, scope: Where): Promise<void> {
      for (;;) {
        const gone =
          (await markDeleted(tenant, { ...scope })) ??
          (await documents.in(tenant).findOne({ ...scope, deleted: true }));
        if (!gone) return;
        await finishRemoval(tenant, gone);
      }
    },

    /** Files and bytes of bases. */
    async usage(
      tenant: Tenant,
      baseIds: readonly string[],
    ): Promise<ReadonlyMap<string, { files: number; bytes: number }>> {
      if (baseIds.length === 0) return new Map();
      const counted = await documents
        .in(tenant)
        .aggregate<{ _id: string; files: number; bytes: number }>([
          { $match: { baseId: { $in: [...baseIds] }, deleted: false } },
          { $group: { _id: '$baseId', files: { $sum: 1 }, bytes: { $sum: '$size' } } },
        ]);
      return new Map(counted.map(({ _id, files: number, bytes }) => [_id, { files: number, bytes }]));
    },

    /** Takes up what a crash cut off: deletions, and uploads between the document and its run. */
    async recover(now = Date.now()): Promise<void> {
      const all = documents.acrossTenants('recovery at start');
      for await (const document of all.iterate({ deleted: true })) await finishRemoval(document, document);
      for await (const document of all.iterate({ status: 'processing', deleted: false })) {
        const principal = { ...systemPrincipal(document.tenantId), accountId: document.ownerId };
        if (await runs.get(principal, document.runId)) continue;
        const file = await files.open(principal, document.fileId);
        file?.stream.destroy();
        if (file) await start(principal, document);
        else if (document.uploadedAt.getTime() < now - ABANDONED_MS) {
          await documents.in(document).delete({ _id: document._id });
        }
      }
    },
  };
}

/** Fields that say what a document belongs to. */
export type Where = { baseId?: string; agentId?: string };

export const whereOf = (scope: DocumentScope): Where =>
  'knowledgeBaseId' in scope ? { baseId: scope.knowledgeBaseId } : { agentId: scope.agentId };
