import LineBreaker from 'linebreak';
import type { Typeface } from './typeface.ts';

export interface Line {
  text: string;
  /** Offset of the line in the text it was taken from. */
  start: number;
  /** Points, without trailing spaces. */
  width: number;
}

export interface LineOptions {
  /** Indent of the first line, points. */
  indent?: number;
  /** Offsets at which no line may begin, unless a word is longer than a line. */
  glued?: ReadonlySet<number>;
}

/**
 * Breaks drawable text into lines by the Unicode line breaking rules (no line begins with closing punctuation).
 * A word that is wider than a line is cut. An empty text is one empty line.
 */
export function breakLines(
  text: string,
  face: Typeface,
  size: number,
  width: number,
  options: LineOptions = {},
): Line[] {
  const lines: Line[] = [];
  let start = 0;
  let end = 0; // of what is on the line so far
  let room = width - (options.indent ?? 0);
  let used = 0;

  const flush = (next: number) => {
    const content = text.slice(start, end).trimEnd();
    lines.push({ text: content, start, width: face.width(content, size) });
    start = next;
    end = next;
    used = 0;
    room = width;
  };

  for (const word of words(text, options.glued)) {
    const content = text.slice(word.start, word.end);
    const tight = content.trimEnd();
    const tightWidth = face.width(tight, size);
    if (used + tightWidth > room && end > start) flush(word.start);
    if (tightWidth > room) {
      for (const character of tight) {
        const advance = face.width(character, size);
        if (used + advance > room && end > start) flush(end);
        end += character.length;
        used += advance;
      }
      used += face.width(content.slice(tight.length).replaceAll('\n', ''), size);
    } else {
      used += tightWidth + face.width(content.slice(tight.length).replaceAll('\n', ''), size);
    }
    end = word.end;
    if (word.required) flush(word.end);
  }
  if (end > start || lines.length === 0) flush(end);
  return lines;
}

interface Word {
  start: number;
  end: number;
  required: boolean;
}

function* words(text: string, glued: ReadonlySet<number> | undefined): Generator<Word> {
  const breaker = new LineBreaker(text);
  let start = 0;
  for (let next = breaker.nextBreak(); next; next = breaker.nextBreak()) {
    if (!next.required && glued?.has(next.position)) continue;
    // The library reports a required break also for the end of the text.
    yield { start, end: next.position, required: next.required && next.position < text.length };
    start = next.position;
  }
}
