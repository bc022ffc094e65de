import type { ParagraphBlock } from '../render/document.ts';

const MAX_PARAGRAPHS = 60;

/**
 * Turns what a model wrote into paragraphs: Markdown signs, a repeated heading and marks of packages that were not given are
 * taken out; the marks that stay name the packages a paragraph draws on.
 *
 * @param refs the packages that the writer had; when there is only one, unmarked paragraphs are taken to draw on it
 */
export function paragraphsOf(text: string, title: string, refs: readonly string[]): ParagraphBlock[] {
  const known = new Set(refs);
  const paragraphs: ParagraphBlock[] = [];
  for (const line of text.replace(/^```\w*$/gm, '').split(/\n+/)) {
    const plain = line
      .trim()
      .replace(/^#{1,6}\s+/, '')
      .replace(/^[-*•]\s+/, '')
      .replace(/\*\*(.+?)\*\*/g, '$1')
      .replace(/\[(D\d+(?:\s*[,，、]\s*D\d+)*)\]/g, (_, marks: string) =>
        marks
          .split(/\s*[,，、]\s*/)
          .filter((mark) => known.has(mark))
          .map((mark) => `[${mark}]`)
          .join(''),
      )
      .trim();
    const isRule = /^[-=*_|:\s]*$/.test(plain);
    const isTitle = plain.replace(/^[\d.、\s]+/, '') === title;
    if (isRule || isTitle) continue;
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
