import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { broken, encrypted, tooLong, tooManyPages } from '../errors.ts';
import type { ReadContext, ReadDocument } from './blocks.ts';
import { blocksOfPages } from './pdf-blocks.ts';
import { type Line, linesOfPage, type Piece } from './pdf-lines.ts';

/**
 * PDF by pdf.js. Its character maps are needed for Chinese documents whose fonts are not embedded.
 */
export async function readPdf(bytes: Uint8Array, { limits, signal, report }: ReadContext): Promise<ReadDocument> {
  const { getDocument } = await import('pdfjs-dist/legacy/build/pdf.mjs');
  const folder = dirname(createRequire(import.meta.url).resolve('pdfjs-dist/package.json'));
  const loading = getDocument({
    // pdf.js takes the bytes over.
    data: new Uint8Array(bytes),
    cMapUrl: `${join(folder, 'cmaps')}/`,
    cMapPacked: true,
    standardFontDataUrl: `${join(folder, 'standard_fonts')}/`,
    disableFontFace: true,
    useSystemFonts: false,
    stopAtErrors: false,
    verbosity: 0,
  });
  try {
    const document = await loading.promise;
    if (document.numPages > limits.pages) throw tooManyPages(document.numPages, limits.pages);
    const pages: Line[][] = [];
    let characters = 0;
    for (let number = 1; number <= document.numPages; number++) {
      signal.throwIfAborted();
      const page = await document.getPage(number);
      const { items } = await page.getTextContent();
      const pieces: Piece[] = [];
      for (const item of items) {
        if (!('str' in item)) continue;
        characters += item.str.length;
        const [, , shear = 0, scale = 0, x = 0, y = 0] = item.transform as number[];
        pieces.push({ text: item.str, x, y, width: item.width, size: Math.hypot(shear, scale), ends: item.hasEOL });
      }
      if (characters > limits.characters) throw tooLong(limits.characters);
      pages.push(linesOfPage(pieces));
      page.cleanup();
      report(number / document.numPages);
    }
    return { blocks: blocksOfPages(pages), pages: document.numPages };
  } catch (error) {
    const { name } = error as Error;
    if (name === 'PasswordException') throw encrypted(error);
    if (/^(?:InvalidPDFException|MissingPDFException|UnknownErrorException|FormatError|XRefEntryException)$/.test(name))
      throw broken(error);
    throw error;
  } finally {
    await loading.destroy();
  }
}
