import type { ParagraphBlock } from '../render/document.ts';

const MAX_PARAGRAPHS = 60;

/**
 * Turns what a model wrote into paragraphs: Markdown signs, a repeated heading and marks of packages that were not given are
 * taken out; the marks that stay name the packages a paragraph draws on.
 *
 * @param refs the packages that the writer had; when there is only one, unmarked paragraphs are taken to draw on it
 * @param literal the text was arranged from the material without a model: nothing in it is markup
 */
export function paragraphsOf(
  text: string,
  title: string,
  refs: readonly string[],
  { literal = false }: { literal?: boolean } = {},
): ParagraphBlock[] {
  const known = new Set(refs);
  const paragraphs: ParagraphBlock[] = [];
  for (const line of (literal ? text : text.replace(/^```\w*$/gm, '')).split(/\n+/)) {
    const plain = knownMarks(literal ? line : withoutMarkup(line), known).trim();
    const isRule = /^[-=*_|:\s]*$/.test(plain);
    const isTitle = plain.replace(/^[\d.、\s]+/, '') === title;
    if (plain === '' || (!literal && (isRule || isTitle))) continue;
    const marked = [...new Set([...plain.matchAll(/\[(D\d+)\]/g)].flatMap(([, mark]) => mark ?? []))];
    paragraphs.push({
      type: 'paragraph',
      text: plain,
      refs: marked.length > 0 || refs.length !== 1 ? marked : [...refs],
    });
    if (paragraphs.length >= MAX_PARAGRAPHS) break;
  }
  return paragraphs;
}

const withoutMarkup = (line: string): string =>
  line
    .trim()
    .replace(/^#{1,6}\s+/, '')
    .replace(/^[-*•]\s+/, '')
    .replace(/\*\*(.+?)\*\*/g, '$1')
    // The material was given with its own tags disarmed (`formatMaterial`).
    .replace(/‹(?=\/?material\b)/gi, '<');

const knownMarks = (line: string, known: ReadonlySet<string>): string =>
  line.replace(/\[(D\d+(?:\s*[,，、]\s*D\d+)*)\]/g, (_, marks: string) =>
    marks
      .split(/\s*[,，、]\s*/)
      .filter((mark) => known.has(mark))
      .map((mark) => `[${mark}]`)
      .join(''),
  );
