import { defineService } from '../../core/service.ts';
import type { HostCaller } from '../../runtime/pool/index.ts';
import { DocumentNotFoundError } from './errors.ts';
import type { DocumentDocument } from './models/document.ts';
import { passageId } from './models/passage.ts';
import { bytesOf } from './search/vectors.ts';
import type { KnowledgeParts } from './service/parts.ts';

/** A passage on its way from the reading node to the store. */
export interface NewPassage {
  text: string;
  headings: string[];
  page: number | null;
  pageEnd: number | null;
}

export const PIECE_BYTES = 1024 * 1024;

/**
 * What the reading node does through the host, only for the document that its own run imports: passages go to the store as they are cut,
 * so a document never crosses threads, nor lies in a check-point, as a whole.
 */
export interface ImportHost {
  /** Takes away what an earlier attempt stored. `size` is in bytes. */
  begin(documentId: string): Promise<{ filename: string; size: number }>;
  /** A piece of the file, `PIECE_BYTES` long but for the last: whole files would hold up everything else on their way. */
  piece(documentId: string, start: number): Promise<Uint8Array>;
  /** @param from place of the first of these passages in the document */
  store(documentId: string, from: number, batch: NewPassage[]): Promise<void>;
}

export const importHost = defineService<ImportHost>('knowledge-import');

type ForHost = {
  [Name in keyof ImportHost]: (
    caller: HostCaller,
    ...args: Parameters<ImportHost[Name]>
  ) => ReturnType<ImportHost[Name]>;
};

export function createImportHost({ documents, passages, files, embedder }: KnowledgeParts): ForHost {
  /** @throws {DocumentNotFoundError} also when the run is not the one that imports it */
  const find = async ({ id, tenantId }: HostCaller, documentId: string): Promise<DocumentDocument> => {
    const document = await documents.in({ tenantId }).findOne({ _id: documentId, runId: id, deleted: false });
    if (!document) throw new DocumentNotFoundError(documentId);
    return document;
  };

  return {
    async begin(caller, documentId) {
      const { filename, size } = await find(caller, documentId);
      await passages.in(caller).delete({ documentId, version: caller.id });
      return { filename, size };
    },

    async piece(caller, documentId, start) {
      const { fileId, size } = await find(caller, documentId);
      const file = await files.open(caller, fileId, { start, end: Math.min(size, start + PIECE_BYTES) });
      if (!file) throw new DocumentNotFoundError(documentId);
      const chunks: Buffer[] = [];
      for await (const chunk of file.stream) chunks.push(chunk as Buffer);
      return new Uint8Array(Buffer.concat(chunks));
    },

    async store(caller, documentId, from, batch) {
      const version = caller.id;
      await find(caller, documentId);
      const vectors = await embedder?.embed(
        batch.map(({ text, headings }) => [...headings, text].join('\n')),
        'passage',
        caller.signal,
      );
      await passages.in(caller).insertMany(
        batch.map((passage, at) => {
          const vector = vectors?.[at];
          return {
            ...passage,
            _id: passageId(documentId, version, from + at),
            documentId,
            version,
            position: from + at,
            ...(vector && { vector: Buffer.from(bytesOf(vector)) }),
          };
        }),
      );
    },
  };
}
