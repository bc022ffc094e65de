import { defineNode } from '../../../core/node.ts';
import { nullable, oneOf, Type } from '../../../core/schema.ts';
import { countTokens } from '../../../runtime/models/tokens.ts';
import { importHost, type NewPassage, PIECE_BYTES } from '../importing.ts';
import { readDocument } from '../reading/index.ts';
import { cutPassages } from '../reading/passages.ts';

/** Passages that are stored at once. */
const BATCH = 64;
/** Share of the work that is reading; storing is the rest. */
const READING = 0.7;

/**
 * Reads the file of a document that its run imports, cuts it into passages and stores them. Files come from strangers and parsers have
 * faults, so it has a thread of its own and ends at its deadline.
 */
export default defineNode({
  type: 'knowledge.read',
  version: 1,
  lane: 'isolated',
  retries: 2,
  timeoutMs: 180_000,
  config: Type.Object({
    pages: Type.Integer({ minimum: 1, default: 2000 }),
    characters: Type.Integer({ minimum: 1, default: 20_000_000 }),
    entries: Type.Integer({ minimum: 1, default: 10_000 }),
    expandedBytes: Type.Integer({ minimum: 1, default: 300 * 1024 * 1024 }),
  }),
  input: Type.Object({ documentId: Type.String() }),
  output: Type.Object({
    kind: oneOf(['pdf', 'docx', 'text', 'markdown', 'html', 'csv']),
    passages: Type.Integer(),
    tokens: Type.Integer(),
    pages: nullable(Type.Integer()),
  }),

  async run({ config, input: { documentId }, signal, report, service }) {
    const host = service(importHost);
    const { filename, size } = await host.begin(documentId);
    const bytes = new Uint8Array(size);
    for (let start = 0; start < size; start += PIECE_BYTES) {
      signal.throwIfAborted();
      bytes.set(await host.piece(documentId, start), start);
    }
    const context = { limits: config, signal, report: (share: number) => report(share * READING) };
    const { kind, blocks, pages } = await readDocument(bytes, filename, context);
    const passages = cutPassages(blocks);
    let tokens = 0;
    for (let from = 0; from < passages.length; from += BATCH) {
      signal.throwIfAborted();
      const batch = passages.slice(from, from + BATCH).map(
        ({ text, headings, page, pageEnd }): NewPassage => ({
          text,
          headings,
          page: page ?? null,
          pageEnd: pageEnd ?? null,
        }),
      );
      for (const { text } of batch) tokens += countTokens(text);
      await host.store(documentId, from, batch);
      report(READING + ((1 - READING) * (from + batch.length)) / passages.length);
    }
    return { kind, passages: passages.length, tokens, pages: pages ?? null };
  },
});
