import { AppError } from '../../../../core/errors.ts';
import { colors, contentWidth, page } from './style.ts';
import type { Typeface } from './typeface.ts';

export type Weight = 'regular' | 'bold';

export interface TextStyle {
  size: number;
  weight?: Weight;
  color?: string;
}

const maxPages = 3000;
// Where the baseline lies in a line box: Han characters look centred so.
const baselineShift = 0.36;

/** The document being drawn: where the next thing goes, and the few strokes everything is made of. */
export class Sheet {
  readonly document: PDFKit.PDFDocument;
  readonly faces: Record<Weight, Typeface>;
  readonly left = page.left;
  readonly width = contentWidth;
  readonly bottom = page.height - page.bottom;
  /** Top of what is drawn next. */
  y: number = page.top;
  /** Index of the current page, from 0. */
  pageIndex = -1;
  #onPage: ((pageIndex: number) => void) | undefined;

  constructor(document: PDFKit.PDFDocument, faces: Record<Weight, Typeface>) {
    this.document = document;
    this.faces = faces;
    document.registerFont('regular', faces.regular.font as never).registerFont('bold', faces.bold.font as never);
  }

  /** Called after every new page, to note what its header shows. */
  set onPage(listener: (pageIndex: number) => void) {
    this.#onPage = listener;
  }

  get room(): number {
    return this.bottom - this.y;
  }

  /** Whether nothing has been drawn on this page yet. */
  get fresh(): boolean {
    return this.y <= page.top;
  }

  /** @throws {AppError} REPORT_TOO_LARGE */
  newPage(): void {
    if (this.pageIndex + 1 >= maxPages) {
      throw new AppError('too_large', 'REPORT_TOO_LARGE', {
        zh: `报告超过 ${maxPages} 页，无法生成`,
        en: `The report is longer than ${maxPages} pages`,
      });
    }
    this.document.addPage();
    this.pageIndex += 1;
    this.y = page.top;
    this.#onPage?.(this.pageIndex);
  }

  /** Starts a new page unless `height` points are left. */
  need(height: number): void {
    if (this.room < height && !this.fresh) this.newPage();
  }

  space(height: number): void {
    if (!this.fresh) this.y += height;
  }

  /** Writes one line of drawable text into a line box of `leading` points whose top left corner is given. */
  line(text: string, x: number, top: number, leading: number, style: TextStyle): void {
    if (text === '') return;
    this.document
      .font(style.weight ?? 'regular')
      .fontSize(style.size)
      .fillColor(style.color ?? colors.text)
      .text(text, x, top + leading / 2 + style.size * baselineShift, { lineBreak: false, baseline: 'alphabetic' });
  }

  rule(x: number, y: number, width: number, color: string, weight: number): void {
    this.document
      .moveTo(x, y)
      .lineTo(x + width, y)
      .lineWidth(weight)
      .strokeColor(color)
      .stroke();
  }

  fill(x: number, y: number, width: number, height: number, color: string): void {
    this.document.rect(x, y, width, height).fill(color);
  }

  link(x: number, y: number, width: number, height: number, anchor: string): void {
    this.document.goTo(x, y, width, height, anchor);
  }

  /** Names the current place, for links. */
  anchor(name: string): void {
    this.document.addNamedDestination(name, 'XYZ', 0, Math.max(0, this.y - 12), null as never);
  }

  /** The longest beginning of a drawable text that fits, with an ellipsis when it was cut. */
  fit(text: string, width: number, style: TextStyle): string {
    const face = this.faces[style.weight ?? 'regular'];
    if (face.width(text, style.size) <= width) return text;
    const room = width - face.width('…', style.size);
    let used = 0;
    let kept = '';
    for (const character of text) {
      used += face.width(character, style.size);
      if (used > room) break;
      kept += character;
    }
    return `${kept.trimEnd()}…`;
  }
}
