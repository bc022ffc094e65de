import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { create, type Font, type GlyphRun } from 'fontkit';
import { plainText } from '../text.ts';

const require = createRequire(import.meta.url);
const files = {
  regular: '@expo-google-fonts/noto-sans-sc/400Regular/NotoSansSC_400Regular.ttf',
  bold: '@expo-google-fonts/noto-sans-sc/700Bold/NotoSansSC_700Bold.ttf',
};

export interface FontFiles {
  regular: Uint8Array;
  bold: Uint8Array;
}

let loaded: Promise<FontFiles> | undefined;

/** Reads the two font files (10 MB each) once per thread. */
export function loadFontFiles(): Promise<FontFiles> {
  loaded ??= Promise.all([readFile(require.resolve(files.regular)), readFile(require.resolve(files.bold))]).then(
    ([regular, bold]) => ({ regular, bold }),
    (error: unknown) => {
      loaded = undefined;
      throw error;
    },
  );
  return loaded;
}

const missing = '□';
// Joiners, variation selectors, directional marks and the soft hyphen: they have no shape of their own.
const shapeless = /\p{Default_Ignorable_Code_Point}/u;
const pictograph = /\p{Extended_Pictographic}|\p{Regional_Indicator}/u;
const combining = /\p{M}/u;
const space = /[\p{Zs}\t]/u;

/**
 * One weight of the font: what it can draw, and how wide that is.
 *
 * A typeface is made for one document (13 ms): fontkit keeps the first code point it saw for every glyph, so a shared
 * font would make the extracted text of a document depend on the documents before it.
 */
export class Typeface {
  readonly font: Font;
  #advances = new Map<number, number>();
  #shown = new Map<number, string>();

  constructor(file: Uint8Array) {
    const font = create(file);
    this.font = Object.create(font, { layout: { value: (text: string) => layOut(font, text) } });
  }

  /**
   * The text with a visible sign for everything that the font cannot draw: `[U+1F600]` for pictographs, □ for other
   * characters. Control characters and characters without a shape are left out; line feeds stay.
   */
  drawable(text: string): string {
    let clean = plainText(text);
    if (combining.test(clean)) clean = clean.normalize('NFC');
    let result = '';
    let afterMark = false;
    for (const character of clean) {
      const shown = this.#show(character);
      // A pile of marks on one letter is shown as one sign.
      const isMark = shown === missing && combining.test(character);
      if (!(isMark && afterMark)) result += shown;
      afterMark = isMark;
    }
    return result;
  }

  #show(character: string): string {
    const codePoint = character.codePointAt(0) ?? 0;
    const cached = this.#shown.get(codePoint);
    if (cached !== undefined) return cached;
    const shown = this.#decide(character, codePoint);
    this.#shown.set(codePoint, shown);
    return shown;
  }

  #decide(character: string, codePoint: number): string {
    if (character === '\n') return '\n';
    if (shapeless.test(character)) return '';
    if (space.test(character) && codePoint !== 0x3000) return codePoint === 0xa0 ? '\u00a0' : ' ';
    if (this.font.hasGlyphForCodePoint(codePoint)) return character;
    if (pictograph.test(character)) return `[U+${codePoint.toString(16).toUpperCase()}]`;
    return missing;
  }

  /** Width in points of one line of drawable text. */
  width(text: string, size: number): number {
    let units = 0;
    for (const character of text) units += this.advance(character.codePointAt(0) ?? 0);
    return (units * size) / this.font.unitsPerEm;
  }

  /** Width of a code point in font units. */
  advance(codePoint: number): number {
    let advance = this.#advances.get(codePoint);
    if (advance === undefined) {
      advance = this.font.glyphForCodePoint(codePoint).advanceWidth;
      this.#advances.set(codePoint, advance);
    }
    return advance;
  }
}

/**
 * One glyph per code point, in place of fontkit's shaping: what is drawn is exactly as wide as what was measured, no
 * ligature hides a letter from text extraction, and it is many times faster. The scripts this font draws (Han, kana,
 * Latin, Greek, Cyrillic) need no shaping.
 */
function layOut(font: Font, text: string): GlyphRun {
  const glyphs = Array.from(text, (character) => font.glyphForCodePoint(character.codePointAt(0) ?? 0));
  const positions = glyphs.map(({ advanceWidth }) => ({ xAdvance: advanceWidth, yAdvance: 0, xOffset: 0, yOffset: 0 }));
  return { glyphs, positions, advanceWidth: glyphs.reduce((sum, glyph) => sum + glyph.advanceWidth, 0) };
}
