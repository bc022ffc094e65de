import type { OutlineDraft } from '../catalogue.ts';
import type { OutlineNode, OutlineType } from '../public.ts';
import { firstCharacters } from '../render/text.ts';

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const titleOf = (value: unknown): string | undefined => {
  // Numbers come from the position; models like to write them into the title all the same.
  const text =
    typeof value === 'string'
      ? value.replace(/^\s*(?:第[一二三四五六七八九十百\d]+[章节]|\d+(?:\.\d+)*[.、]?)\s*/, '').trim()
      : '';
  return text === '' ? undefined : firstCharacters(text, 200);
};

/**
 * Reads the outline that a model wrote; unknown units and broken entries are left out.
 *
 * @returns undefined when it has fewer than two chapters
 */
export function readDraft(value: unknown, units: ReadonlySet<string>, fallbackTitle: string): OutlineDraft | undefined {
  if (!isObject(value) || !Array.isArray(value.chapters)) return undefined;
  const read = (entry: unknown): { title: string; unit?: string } | undefined => {
    if (!isObject(entry)) return undefined;
    const title = titleOf(entry.title);
    const unit = entry.knowledgeUnitId;
    return title === undefined ? undefined : { title, ...(typeof unit === 'string' && units.has(unit) && { unit }) };
  };
  const chapters = value.chapters.slice(0, 20).flatMap((entry: unknown) => {
    const chapter = read(entry);
    if (!chapter) return [];
    const below = isObject(entry) && Array.isArray(entry.sections) ? entry.sections : [];
    const sections = below.slice(0, 12).flatMap((section: unknown) => read(section) ?? []);
    return [{ ...chapter, ...(sections.length > 0 && { sections }) }];
  });
  return chapters.length < 2 ? undefined : { title: titleOf(value.title) ?? fallbackTitle, chapters };
}

/** Gives a draft the node ids and chapter numbers of an outline. */
export function outlineFromDraft(draft: OutlineDraft): { title: string; type: OutlineType; rootNode: OutlineNode } {
  const node = (
    numbers: number[],
    { title, unit }: { title: string; unit?: string },
    children: OutlineNode[],
  ): OutlineNode => ({
    nodeId: `node_${numbers.join('_')}`,
    title,
    chapterNumber: numbers.join('.'),
    ...(unit !== undefined && { knowledgeUnitId: unit }),
    sortOrder: numbers.at(-1) ?? 1,
    children,
  });
  const children = draft.chapters.map((chapter, at) =>
    node(
      [at + 1],
      chapter,
      (chapter.sections ?? []).map((section, below) => node([at + 1, below + 1], section, [])),
    ),
  );
  return {
    title: `${draft.title}大纲`,
    type: children.some((chapter) => chapter.children.length > 0) ? 'LEVEL2' : 'LEVEL1',
    rootNode: { nodeId: 'root', title: draft.title, sortOrder: 1, children },
  };
}
