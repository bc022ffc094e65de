import type { IStylesOptions } from 'docx';
import type { ReportLanguage } from './document.ts';

const font = { ascii: 'Arial', hAnsi: 'Arial', cs: 'Arial', eastAsia: 'Microsoft YaHei' };
const heading = (size: number, before: number, color: string) => ({
  run: { font, size, bold: true, color },
  paragraph: { spacing: { before, after: 120 }, keepNext: true },
});

/** Styles of the Word report; sizes in half points, spacing in twentieths of a point. */
export function docxStyles(language: ReportLanguage): IStylesOptions {
  return {
    default: {
      document: {
        run: {
          font,
          size: 21,
          language: language === 'en' ? { value: 'en-US' } : { value: 'en-US', eastAsia: 'zh-CN' },
        },
      },
      title: {
        run: { font, size: 52, bold: true, color: '1F3F6E' },
        paragraph: { spacing: { before: 2400, after: 800 } },
      },
      heading1: heading(32, 440, '1F3F6E'),
      heading2: heading(26, 320, '1F3F6E'),
      heading3: heading(23, 240, '1C2430'),
      heading4: heading(21, 200, '1C2430'),
      heading5: heading(21, 160, '1C2430'),
      heading6: heading(21, 160, '1C2430'),
      hyperlink: { run: { color: '1F5FA8', underline: { type: 'none' } } },
    },
    paragraphStyles: [
      {
        id: 'Body',
        name: 'Report Body',
        basedOn: 'Normal',
        paragraph: { spacing: { line: 360, after: 100 }, indent: { firstLine: 420 } },
      },
      {
        id: 'TableText',
        name: 'Report Table',
        basedOn: 'Normal',
        run: { size: 18 },
        paragraph: { spacing: { line: 260 } },
      },
      {
        id: 'TableCaption',
        name: 'Report Caption',
        basedOn: 'Normal',
        run: { size: 19 },
        paragraph: { spacing: { before: 200, after: 60 } },
      },
      {
        id: 'ContentsTitle',
        name: 'Report Contents',
        basedOn: 'Normal',
        run: { size: 34, bold: true, color: '1F3F6E' },
      },
      {
        id: 'Notice',
        name: 'Report Notice',
        basedOn: 'Normal',
        run: { size: 19 },
        paragraph: {
          spacing: { before: 320 },
          shading: { type: 'clear', fill: 'FBF5E6', color: 'auto' },
          border: { left: { style: 'single', size: 18, color: 'C9962B', space: 6 } },
        },
      },
      { id: 'Furniture', name: 'Report Furniture', basedOn: 'Normal', run: { size: 17, color: '5D6878' } },
    ],
  };
}
