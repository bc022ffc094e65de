import type { Database, Document } from '../../../core/data/database.ts';

/** One passage of one version of a document. `_id` is `<document>:<version>:<position>`, so that storing it again changes nothing. */
export interface PassageRecord {
  documentId: string;
  version: string;
  /** From 0. */
  position: number;
  text: string;
  headings: string[];
  page: number | null;
  pageEnd: number | null;
  /** Numbers of 32 bits, of length 1, by the model that was configured at the import. */
  vector?: Buffer;
}
export type PassageDocument = PassageRecord & Document & { tenantId: string };

export const passageId = (documentId: string, version: string, position: number): string =>
  `${documentId}:${version}:${position}`;

export const passageModel = (database: Database) =>
  database.tenantModel<PassageRecord>(
    'knowledge_passages',
    {
      documentId: { type: String, required: true },
      version: { type: String, required: true },
      position: { type: Number, required: true },
      text: { type: String, required: true },
      headings: { type: [String], required: true },
      page: { type: Number, default: null },
      pageEnd: { type: Number, default: null },
      vector: Buffer,
    },
    { timestamps: false, indexes: [{ fields: { documentId: 1, version: 1, position: 1 }, unique: true }] },
  );
