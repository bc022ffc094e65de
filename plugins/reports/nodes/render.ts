import { defineNode } from '../../../core/node.ts';
import { oneOf, Type } from '../../../core/schema.ts';
import type { ReportDocument } from '../render/document.ts';
import { renderReport } from '../render/index.ts';

/** Renders a finished document. Fonts and layout take seconds of CPU and much memory, so it has a thread of its own. */
export default defineNode({
  type: 'report.render',
  version: 1,
  lane: 'isolated',
  // More than the default, because restarts of the server count too; a document that kills the renderer still ends.
  retries: 4,
  timeoutMs: 180_000,
  config: Type.Object({}),
  input: Type.Object({
    document: Type.Unsafe<ReportDocument>({ type: 'object' }),
    format: oneOf(['PDF', 'DOCX', 'HTML', 'MARKDOWN']),
  }),
  output: Type.Object({ bytes: Type.Unsafe<Uint8Array>({}), pages: Type.Optional(Type.Integer()) }),

  async run({ input: { document, format } }) {
    const { bytes, pages } = await renderReport(document, format);
    return { bytes, ...(pages !== undefined && { pages }) };
  },
});
