import { chaptersOf, unitsOf } from '../outline.ts';
import type { OutlineNode, OutlineType } from '../public.ts';
import type { ReportLanguage } from '../render/document.ts';

/** A package that goes into a report, by the name it has there. */
export interface PlannedPackage {
  ref: string;
  packageId: string;
  unitId: string;
}

/** One section of the report, before it is written. */
export interface PlannedSection {
  nodeId: string;
  title: string;
  path: string[];
  /** The unit that gives its instructions: its own, or that of the nearest node above. */
  unitId: string | undefined;
  /** Packages whose tables are printed here. */
  prints: string[];
  /** Packages its text is written from. */
  basis: 'data' | 'summary' | 'none';
  refs: string[];
}

/** What is written in one go and stored in one checkpoint. */
export interface PlannedChapter {
  nodeId: string;
  title: string;
  sections: PlannedSection[];
}

/** The name of the section that prints packages which no node of the outline asks for. */
export const EXTRA_NODE = 'koagent:additional';

const EXTRA_TITLE: Record<ReportLanguage, string> = { zh: '补充资料', en: 'Additional data' };

/** Gives packages their names in reading order of the outline: D1, D2, …; those of other units come last. */
export function namePackages(
  root: OutlineNode,
  packages: readonly { packageId: string; unitId: string }[],
): PlannedPackage[] {
  const order = new Map(unitsOf(root).map((unit, at) => [unit, at]));
  return packages
    .toSorted(
      (a, b) => (order.get(a.unitId) ?? Number.MAX_SAFE_INTEGER) - (order.get(b.unitId) ?? Number.MAX_SAFE_INTEGER),
    )
    .map(({ packageId, unitId }, at) => ({ ref: `D${at + 1}`, packageId, unitId }));
}

/**
 * Divides an outline into what is written together: `LEVEL1` one checkpoint per chapter, `LEVEL2` one per section of the
 * second level. Text goes to the leaves. A node above them that has a package of its own prints its tables, and the leaves
 * below without a unit of their own are written from it.
 */
export function planChapters(
  root: OutlineNode,
  type: OutlineType,
  packages: readonly PlannedPackage[],
  language: ReportLanguage,
): PlannedChapter[] {
  const refOf = new Map(packages.map(({ unitId, ref }) => [unitId, ref]));
  const printed = new Set<string>();

  const sectionsOf = (node: OutlineNode, path: string[], inherited: string | undefined): PlannedSection[] => {
    const unitId = node.knowledgeUnitId ?? inherited;
    const ownRef = node.knowledgeUnitId === undefined ? undefined : refOf.get(node.knowledgeUnitId);
    const prints = ownRef !== undefined && !printed.has(ownRef) ? [ownRef] : [];
    for (const ref of prints) printed.add(ref);
    const titles = [...path, node.title];
    const below = node.children.flatMap((child) => sectionsOf(child, titles, unitId));
    const base = { nodeId: node.nodeId, title: node.title, path: titles, unitId, prints };
    if (node.children.length > 0) return prints.length > 0 ? [{ ...base, basis: 'data', refs: [] }, ...below] : below;
    const ref = unitId === undefined ? undefined : refOf.get(unitId);
    if (ref !== undefined) return [{ ...base, basis: 'data', refs: [ref] }];
    // A leaf that asks for a unit says what is missing; one that asks for nothing draws on everything.
    if (unitId !== undefined || packages.length === 0) return [{ ...base, basis: 'none', refs: [] }];
    return [{ ...base, basis: 'summary', refs: packages.map((each) => each.ref) }];
  };

  const chapter = (node: OutlineNode, sections: PlannedSection[]): PlannedChapter => ({
    nodeId: node.nodeId,
    title: node.title,
    sections,
  });

  const start = root.children.length > 0 ? [root.title] : [];
  const chapters = chaptersOf(root).flatMap((node) => {
    const inherited = root.children.length > 0 ? root.knowledgeUnitId : undefined;
    const sections = sectionsOf(node, start, inherited);
    if (type === 'LEVEL1' || node.children.length === 0) return [chapter(node, sections)];
    const own = sections.filter(({ nodeId }) => nodeId === node.nodeId);
    let at = own.length;
    const parts = node.children.map((child) => {
      const size = countSections(child, sections, at);
      const part = chapter(child, sections.slice(at, at + size));
      at += size;
      return part;
    });
    return own.length > 0 ? [chapter(node, own), ...parts] : parts;
  });
  const extra = packages.map(({ ref }) => ref).filter((ref) => !printed.has(ref));
  if (extra.length === 0) return chapters.filter(({ sections }) => sections.length > 0);
  const title = EXTRA_TITLE[language];
  const section: PlannedSection = {
    nodeId: EXTRA_NODE,
    title,
    path: [...start, title],
    unitId: undefined,
    prints: extra,
    basis: 'data',
    refs: extra,
  };
  return [
    ...chapters.filter(({ sections }) => sections.length > 0),
    { nodeId: EXTRA_NODE, title, sections: [section] },
  ];
}

/** How many of the sections from `at` on belong to the sub-tree of a node. */
function countSections(node: OutlineNode, sections: readonly PlannedSection[], at: number): number {
  const ids = new Set<string>();
  const collect = (each: OutlineNode) => {
    ids.add(each.nodeId);
    for (const child of each.children) collect(child);
  };
  collect(node);
  let size = 0;
  while (ids.has(sections[at + size]?.nodeId ?? '')) size += 1;
  return size;
}

/** Numbered titles of an outline, one a line, indented by level. */
export function outlineLines(root: OutlineNode): string {
  const lines: string[] = [];
  const visit = (node: OutlineNode, level: number) => {
    lines.push(`${'  '.repeat(level)}${node.chapterNumber ? `${node.chapterNumber} ` : ''}${node.title}`);
    for (const child of node.children) visit(child, level + 1);
  };
  for (const chapter of chaptersOf(root)) visit(chapter, 0);
  return lines.slice(0, 120).join('\n');
}
