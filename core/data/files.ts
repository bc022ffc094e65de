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

/** Chunks whose upload never ended are older than this when they are cleared away. */
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
        if (!(content instanceof Uint8Array)) Readable.from(content).destroy();
        return view(known);
      }
      const upload = bucket().openUploadStream(filename, {
        metadata: { tenantId, fileId: id, own: encodeJson(metadata) },
      });
      const source = content instanceof Uint8Array ? Readable.from([content], { objectMode: false }) : content;
      try {
        await translated(() => pipeline(source, upload));
      } catch (error) {
        await database().collection(`${name}.chunks`).deleteMany({ files_id: upload.id });
        const winner = isDuplicate(error) ? await find(principal, id) : undefined;
        if (winner) return view(winner);
        throw error;
      }
      return { id, filename, size: upload.length, metadata };
    },

    async open(principal, fileId) {
      const entry = await find(principal, fileId);
      return entry ? { ...view(entry), stream: bucket().openDownloadStream(entry._id) } : undefined;
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
      await database().collection(`${name}.chunks`).createIndex({ files_id: 1, n: 1 }, { unique: true });
      await clearAbandoned(database(), name);
    },
  };
}

/** Removes the chunks of uploads that a crash cut off. */
async function clearAbandoned(database: mongoose.mongo.Db, name: string): Promise<void> {
  const chunks = database.collection(`${name}.chunks`);
  const entries = database.collection(`${name}.files`);
  const before = mongoose.mongo.ObjectId.createFromTime(Math.floor((Date.now() - ABANDONED_MS) / 1000));
  // Every upload has exactly one chunk 0, so this reads one small document per file.
  const first = chunks.find({ n: 0, _id: { $lt: before } }, { projection: { files_id: 1 } });
  for await (const { files_id } of first) {
    if (!(await entries.findOne({ _id: files_id }, { projection: { _id: 1 } }))) await chunks.deleteMany({ files_id });
  }
}
