import type { ReportDocument } from '../document.ts';
import type { ReportLabels } from '../labels.ts';
import type { Sheet } from './sheet.ts';
import { colors, page } from './style.ts';

export interface PagePlan {
  coverPages: number;
  contentsPages: number;
  /** Chapter that a page shows at its top, by page index. */
  chapterOfPage: string[];
}

/** Running header (title, chapter) and footer (page x of y) on every page but the title page. */
export function drawFurniture(sheet: Sheet, report: ReportDocument, labels: ReportLabels, plan: PagePlan): void {
  const { count } = sheet.document.bufferedPageRange();
  const style = { size: 8.5, color: colors.muted } as const;
  const face = sheet.faces.regular;
  const title = sheet.fit(face.drawable(report.title).replaceAll('\n', ' '), sheet.width * 0.55, style);
  for (let index = 1; index < count; index += 1) {
    sheet.document.switchToPage(index);
    const isContents = index >= plan.coverPages && index < plan.coverPages + plan.contentsPages;
    const chapter = isContents ? labels.contents : (plan.chapterOfPage[index] ?? '');
    const shown = sheet.fit(chapter, sheet.width * 0.4, style);
    sheet.line(title, sheet.left, 46, 14, style);
    sheet.line(shown, sheet.left + sheet.width - face.width(shown, style.size), 46, 14, style);
    sheet.rule(sheet.left, 63, sheet.width, colors.rule, 0.6);
    const number = face.drawable(labels.page(index + 1, count));
    const x = sheet.left + (sheet.width - face.width(number, style.size)) / 2;
    sheet.line(number, x, page.height - 46, 14, style);
  }
}
