import type { RenderedReport, ReportDocument, ReportFormat } from './document.ts';

/**
 * Renders a report. Each format loads its libraries when it is first asked for; meant for a worker thread, as a long
 * report takes seconds of CPU.
 *
 * @throws {AppError} REPORT_TOO_LARGE (PDF beyond 3000 pages)
 */
export async function renderReport(report: ReportDocument, format: ReportFormat): Promise<RenderedReport> {
  switch (format) {
    case 'PDF':
      return (await import('./pdf/index.ts')).renderPdf(report);
    case 'DOCX':
      return (await import('./docx.ts')).renderDocx(report);
    case 'HTML':
      return (await import('./html.ts')).renderHtml(report);
    case 'MARKDOWN':
      return (await import('./markdown.ts')).renderMarkdown(report);
  }
}
