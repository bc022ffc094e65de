import { stat } from 'node:fs/promises';
import type { TenantModel } from '../../../core/data/database.ts';
import type { Logger } from '../../../core/log.ts';
import type { Principal } from '../../../core/principal.ts';
import type { Changes } from '../models/change.ts';
import type { DocumentRecord } from '../models/document.ts';
import type { PassageRecord } from '../models/passage.ts';
import { indexFile, isDamaged, scopeTerm } from './database.ts';
import type { IndexHit, IndexQuery } from './reader.ts';
import { startReader, startWriter, unavailable } from './thread.ts';
import type { IndexedPassage } from './writer.ts';

type Tenant = Pick<Principal, 'tenantId'>;

export interface IndexSyncDeps {
  documents: TenantModel<DocumentRecord>;
  passages: TenantModel<PassageRecord>;
  changes: Changes;
  folder: string;
  /** How long a search waits for an index that is behind; then it searches what there is. Milliseconds. */
  catchUpMs: number;
  log: Logger;
}

/**
 * The search index of this server. The passages in the document store are the truth; the index holds the number of the last change
 * that it has, in the same transaction as the change itself, and is brought up to date before it is searched. So it is right after a
 * crash, on a new server with an empty folder, and when another server made the change.
 */
export interface IndexSync {
  search(tenant: Tenant, query: IndexQuery): Promise<IndexHit[]>;
  /** Resolves when the index has every change that was there at the call. */
  catchUp(tenant: Tenant): Promise<void>;
  /** Puts every document of the tenant anew; searches go on meanwhile. */
  rebuild(tenant: Tenant, onDocument?: (done: number) => void): Promise<void>;
  /** Tenants whose index is being brought up to date right now. */
  readonly behind: number;
  close(): Promise<void>;
}

const BATCH = 200;
/** Passages that go to the writer at once: whole documents would hold up this thread on their way. */
const AT_ONCE = 200;

export function createIndexSync({ documents, passages, changes, folder, catchUpMs, log }: IndexSyncDeps): IndexSync {
  const reader = startReader();
  const writer = startWriter();
  /** Number of the last change in the index, as far as this process knows. */
  const applied = new Map<string, number>();
  const underWay = new Map<string, { target: number; done: Promise<void> }>();
  let closed = false;

  const versionOf = async (tenant: Tenant, documentId: string): Promise<string | undefined> => {
    const document = await documents.in(tenant).get(documentId);
    return document?.deleted === false ? document.version : undefined;
  };

  const putDocument = async (tenant: Tenant, documentId: string, seq: number) => {
    const file = indexFile(folder, tenant.tenantId);
    const document = await documents.in(tenant).get(documentId);
    if (!document || document.deleted || document.version === undefined) {
      await writer.call.remove(file, seq, documentId);
      return;
    }
    const { version } = document;
    let rows: IndexedPassage[] = [];
    let staged = 0;
    for await (const { text, headings, vector } of passages
      .in(tenant)
      .iterate({ documentId, version }, { sort: { position: 1 } })) {
      // A copy of its own: what the driver gives is a view into a shared buffer.
      rows.push({ text, headings, ...(vector && { vector: new Uint8Array(bytesOf(vector)) }) });
      if (rows.length < AT_ONCE) continue;
      await writer.call.stage(file, staged, rows);
      staged += rows.length;
      rows = [];
    }
    await writer.call.put(file, seq, {
      document: documentId,
      version,
      scope: scopeOf(document),
      passages: rows,
      staged,
    });
  };

  /** Goes on beside searches and changes, one step after another; what a step cuts off, the next one does. */
  const tidy = async (file: string): Promise<void> => {
    while (!closed && (await writer.call.tidy(file)));
  };

  const applyChanges = async (tenant: Tenant) => {
    const file = indexFile(folder, tenant.tenantId);
    let seq = await writer.call.sequence(file);
    const before = seq;
    if (seq > (await changes.last(tenant))) {
      // The store was put back to an earlier state: what the index has never happened.
      log.warn({ tenantId: tenant.tenantId }, 'knowledge index: ahead of the store, made anew');
      await writer.call.reset(file);
      await reader.call.forget(file);
      seq = await writer.call.sequence(file);
    }
    applied.set(tenant.tenantId, seq);
    for (;;) {
      const batch = await changes.after(tenant, seq, BATCH);
      for (const change of batch) {
        if (closed) return;
        await putDocument(tenant, change.documentId, change.seq);
        seq = change.seq;
        applied.set(tenant.tenantId, seq);
      }
      if (batch.length < BATCH) break;
    }
    if (seq > before)
      tidy(file).catch((error: unknown) => {
        if (!closed) log.warn({ err: error, tenantId: tenant.tenantId }, 'knowledge index: not tidied');
      });
  };

  const bringUp = async (tenant: Tenant): Promise<void> => {
    const { tenantId } = tenant;
    const target = await changes.last(tenant);
    // A tenant without documents needs no index.
    if (target === 0) return;
    if ((applied.get(tenantId) ?? -1) >= target && applied.has(tenantId)) return;
    const running = underWay.get(tenantId);
    if (running && running.target >= target) return running.done;
    const done = (running?.done ?? Promise.resolve())
      .catch(() => undefined)
      .then(async () => {
        try {
          await applyChanges(tenant);
        } catch (error) {
          // A damaged index is gone by now: the next attempt starts from nothing.
          applied.delete(tenantId);
          if (closed) throw error;
          log.warn({ err: error, tenantId }, 'knowledge index: starting over');
          await reader.call.forget(indexFile(folder, tenantId));
          await applyChanges(tenant);
        }
      })
      .finally(() => {
        if (underWay.get(tenantId)?.done === done) underWay.delete(tenantId);
      });
    underWay.set(tenantId, { target, done });
    return done;
  };

  return {
    async search(tenant, query) {
      const { tenantId } = tenant;
      try {
        const inTime = await within(bringUp(tenant), catchUpMs);
        if (!inTime) log.warn({ tenantId }, 'knowledge index: searched while it is behind');
      } catch (error) {
        // A full disk, for example: what the index has is still worth a search.
        const known = await stat(indexFile(folder, tenantId)).catch(() => undefined);
        if (closed || known?.isFile() !== true) throw unavailable(error);
        log.error({ err: error, tenantId }, 'knowledge index: searched although it cannot be brought up');
      }
      const file = indexFile(folder, tenantId);
      try {
        return await reader.call.search(file, query);
      } catch (error) {
        if ((error as { errcode?: number }).errcode === undefined) throw error;
        // Damaged, or replaced under the reader: once more on a fresh one.
        log.warn({ err: error, tenantId }, 'knowledge index: cannot be searched, made anew');
        applied.delete(tenantId);
        await reader.call.forget(file);
        if (isDamaged(error)) await writer.call.reset(file);
        await within(bringUp(tenant), catchUpMs);
        return reader.call.search(file, query);
      }
    },

    catchUp: bringUp,

    async rebuild(tenant, onDocument = () => undefined) {
      const file = indexFile(folder, tenant.tenantId);
      const seq = await changes.last(tenant);
      await writer.call.sequence(file);
      await writer.call.startRebuild(file);
      let done = 0;
      for await (const { _id } of documents.in(tenant).iterate({ deleted: false }, { fields: ['_id'] })) {
        // A server beside this process may change it between the reading and the writing.
        let before: string | undefined;
        do {
          before = await versionOf(tenant, _id);
          await putDocument(tenant, _id, 0);
        } while (before !== (await versionOf(tenant, _id)));
        done += 1;
        onDocument(done);
      }
      await writer.call.finishRebuild(file, seq);
      applied.delete(tenant.tenantId);
      await reader.call.forget(file);
      await bringUp(tenant);
    },

    get behind() {
      return underWay.size;
    },

    async close() {
      closed = true;
      await Promise.allSettled([...underWay.values()].map(({ done }) => done));
      await Promise.all([reader.close(), writer.close()]);
    },
  };
}

export const scopeOf = ({
  ownerId,
  baseId,
  agentId,
}: Pick<DocumentRecord, 'ownerId' | 'baseId' | 'agentId'>): string[] => [
  scopeTerm('owner', ownerId),
  ...(baseId === undefined ? [] : [scopeTerm('base', baseId)]),
  ...(agentId === undefined ? [] : [scopeTerm('agent', agentId)]),
];

/** Bytes of the database come as Buffer or, with some drivers, as a Binary around one. */
const bytesOf = (value: Uint8Array | { buffer: Uint8Array }): Uint8Array =>
  value instanceof Uint8Array ? value : value.buffer;

/** True when the promise was kept in time; what it throws later is left to whoever else waits for it. */
async function within(work: Promise<void>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(resolve, ms, false);
  });
  try {
    return await Promise.race([work.then(() => true), late]);
  } finally {
    clearTimeout(timer);
    work.catch(() => undefined);
  }
}
