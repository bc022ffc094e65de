import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import mongoose from 'mongoose';
import type { StoredFile, TenantFiles } from './database.ts';
import { isDuplicate, translated } from './errors.ts';
import { decodeJson, encodeJson } from './json.ts';
import { requireTenant } from './tenant.ts';

type FileId = mongoose.mongo.ObjectId;

interface FileDocument {
  _id: FileId;
  filename: string;
  length: number;
  metadata: { tenantId: string; fileId: string; own: unknown };
}

/** Noted before the first chunk and removed after the last, so that what a crash left can be found without reading chunks. */
interface UploadDocument {
  _id: FileId;
  startedAt: Date;
}

/** An upload that is noted for longer than this has been cut off. */
const ABANDONED_MS = 24 * 3600_000;

export interface TenantFilesParts extends TenantFiles {
  ready(): Promise<void>;
}

/**
 * GridFS files of tenants. The public id is not the GridFS id: each upload gets its own, and the entry that makes it a file
 * (unique by tenant and public id) is written last. So two writers of one id never mix their chunks, an upload that
 * was cut off is no file, and an id of one tenant says nothing about another's.
 */
export function createTenantFiles(connection: mongoose.Connection, name: string): TenantFilesParts {
  const database = () => {
    if (!connection.db) throw new Error('The database connection is not open');
    return connection.db;
  };
  const bucket = () => new mongoose.mongo.GridFSBucket(database(), { bucketName: name });
  const entries = () => database().collection<FileDocument>(`${name}.files`);
  const chunks = () => database().collection<{ files_id: FileId }>(`${name}.chunks`);
  const uploads = () => database().collection<UploadDocument>(`${name}.uploads`);

  const find = (principal: { tenantId: string }, fileId: string) =>
    translated(() =>
      entries().findOne({ 'metadata.tenantId': requireTenant(principal), 'metadata.fileId': String(fileId) }),
    );

  const view = (entry: FileDocument): StoredFile => ({
    id: entry.metadata.fileId,
    filename: entry.filename,
    size: entry.length,
    metadata: decodeJson(entry.metadata.own) as Record<string, unknown>,
  });

  return {
    async write(principal, { id = randomUUID(), filename, content, metadata = {} }) {
      const tenantId = requireTenant(principal);
      const known = await find(principal, id);
      if (known) {
        if ('destroy' in content && typeof content.destroy === 'function') content.destroy();
        return view(known);
      }
      const upload = bucket().openUploadStream(filename, {
        metadata: { tenantId, fileId: id, own: encodeJson(metadata) },
      });
      const source = content instanceof Uint8Array ? Readable.from([content], { objectMode: false }) : content;
      await translated(() => uploads().insertOne({ _id: upload.id, startedAt: new Date() }));
      try {
        await translated(() => pipeline(source, upload));
      } catch (error) {
        await chunks().deleteMany({ files_id: upload.id });
        const winner = isDuplicate(error) ? await find(principal, id) : undefined;
        if (winner) return view(winner);
        throw error;
      } finally {
        await uploads().deleteOne({ _id: upload.id });
      }
      return { id, filename, size: upload.length, metadata };
    },

    async open(principal, fileId, range) {
      const entry = await find(principal, fileId);
      return entry ? { ...view(entry), stream: bucket().openDownloadStream(entry._id, range) } : undefined;
    },

    async read(principal, fileId) {
      const entry = await find(principal, fileId);
      if (!entry) return undefined;
      const chunks: Buffer[] = [];
      for await (const chunk of bucket().openDownloadStream(entry._id)) chunks.push(chunk);
      return Buffer.concat(chunks);
    },

    async delete(principal, fileId) {
      const entry = await find(principal, fileId);
      if (!entry) return false;
      await translated(() => bucket().delete(entry._id));
      return true;
    },

    async ready() {
      await entries().createIndex({ 'metadata.tenantId': 1, 'metadata.fileId': 1 }, { unique: true });
      await chunks().createIndex({ files_id: 1, n: 1 }, { unique: true });
      const abandoned = uploads().find({ startedAt: { $lt: new Date(Date.now() - ABANDONED_MS) } });
      for await (const { _id } of abandoned) {
        if (!(await entries().findOne({ _id }, { projection: { _id: 1 } })))
          await chunks().deleteMany({ files_id: _id });
        await uploads().deleteOne({ _id });
      }
    },
  };
}
