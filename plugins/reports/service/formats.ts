import type { ReportFormat } from '../public.ts';

export const FORMATS: Record<ReportFormat, { extension: string; contentType: string }> = {
  PDF: { extension: 'pdf', contentType: 'application/pdf' },
  DOCX: {
    extension: 'docx',
    contentType: 'application/vnd.openxmlformats-officedocument.wordprocessingml.document',
  },
  HTML: { extension: 'html', contentType: 'text/html; charset=utf-8' },
  MARKDOWN: { extension: 'md', contentType: 'text/markdown; charset=utf-8' },
};

/** Files are named by the run that wrote the report, so that storing one twice gives one. */
export const fileIdOf = (runId: string, format: ReportFormat): string => `${runId}.${FORMATS[format].extension}`;
