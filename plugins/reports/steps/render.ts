import type { RunContext, RunEventInput } from '../../../core/run-kind.ts';
import { ReportNotFoundError } from '../errors.ts';
import type { ReportFormat } from '../public.ts';
import { FORMATS } from '../service/formats.ts';
import type { ReportParts } from '../service/parts.ts';

export interface Rendering {
  documentId: string;
  fileId: string;
  format: ReportFormat;
  /** Go into the log together with the rendered bytes. */
  events?: () => RunEventInput[];
}

/**
 * Renders a stored document in the isolated lane and stores the file under the given id, once.
 *
 * @returns size of the file in bytes
 */
export async function storeRendered<Input>(
  run: RunContext<Input>,
  { documents, files }: Pick<ReportParts, 'documents' | 'files'>,
  { documentId, fileId, format, events = () => [] }: Rendering,
): Promise<number> {
  const stored = await documents.read(run.principal, documentId);
  if (!stored) throw new ReportNotFoundError(documentId);
  const document: unknown = JSON.parse(Buffer.from(stored).toString());
  const { bytes } = await run.node<{ bytes: Uint8Array; pages?: number }>(
    'render',
    { type: 'report.render', input: { document, format } },
    {
      events: ({ bytes: made, pages }) => [
        { type: 'report_rendered', data: { format, bytes: made.byteLength, ...(pages !== undefined && { pages }) } },
        ...events(),
      ],
    },
  );
  return run.step('file', async () => {
    const filename = `report.${FORMATS[format].extension}`;
    const file = await files.write(run.principal, { id: fileId, filename, content: new Uint8Array(bytes) });
    return file.size;
  });
}
