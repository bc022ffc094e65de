import { chaptersOf, unitsOf } from '../outline.ts';
import type { OutlineNode, OutlineType } from '../public.ts';
import type { ReportLanguage } from '../render/document.ts';

/** A package that goes into a report, by the name it has there. */
export interface PlannedPackage {
  ref: string;
  packageId: string;
  unitId: string;
}

/**
 * What the text of a section is written from: `data`: the packages of `refs` (none: it has tables only). `summary`: all
 * packages. `none`: nothing was delivered. `chapter`: the text stands at its chapter.
 */
export type Basis = 'data' | 'summary' | 'none' | 'chapter';

/** One section of the report, before it is written. */
export interface PlannedSection {
  nodeId: string;
  title: string;
  path: string[];
  /** Units that it is about and that give its instructions: its own, those below it, or that of the nearest node above. */
  unitIds: string[];
  /** Packages whose tables are printed here. */
  prints: string[];
  basis: Basis;
  /** Packages its text is written from. */
  refs: string[];
  /** For `summary`: the section that sums up all packages, when that is another one. */
  summaryAt?: string;
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
 * Divides an outline into what is written together, one checkpoint each.
 *
 * `LEVEL1`: one text per chapter, at the chapter, from all packages of its sub-tree; the sections below keep their headings
 * and tables. `LEVEL2`: one text per leaf, from its own package or that of the nearest node above. In both a node prints the
 * tables of its own package, each package once.
 */
export function planChapters(
  root: OutlineNode,
  type: OutlineType,
  packages: readonly PlannedPackage[],
  language: ReportLanguage,
): PlannedChapter[] {
  const refOf = new Map(packages.map(({ unitId, ref }) => [unitId, ref]));
  const refsOf = (units: readonly string[]) => units.flatMap((unit) => refOf.get(unit) ?? []);
  const printed = new Set<string>();
  const printsOf = ({ knowledgeUnitId }: OutlineNode): string[] => {
    const prints = knowledgeUnitId === undefined ? [] : refsOf([knowledgeUnitId]).filter((ref) => !printed.has(ref));
    for (const ref of prints) printed.add(ref);
    return prints;
  };
  const writtenFrom = (unitIds: string[]): Pick<PlannedSection, 'unitIds' | 'basis' | 'refs'> => {
    const refs = refsOf(unitIds);
    if (refs.length > 0) return { unitIds, basis: 'data', refs };
    // What asks for a unit says what is missing; what asks for nothing draws on everything.
    if (unitIds.length > 0 || packages.length === 0) return { unitIds, basis: 'none', refs: [] };
    return { unitIds, basis: 'summary', refs: packages.map(({ ref }) => ref) };
  };

  const below = (node: OutlineNode, path: string[], inherited: string | undefined): PlannedSection[] => {
    const unitId = node.knowledgeUnitId ?? inherited;
    const titles = [...path, node.title];
    const base = { nodeId: node.nodeId, title: node.title, path: titles, prints: printsOf(node) };
    const isLeaf = node.children.length === 0;
    const sections = node.children.flatMap((child) => below(child, titles, unitId));
    const tablesOnly: PlannedSection = { ...base, unitIds: [], basis: 'data', refs: [] };
    if (!isLeaf) return base.prints.length > 0 ? [tablesOnly, ...sections] : sections;
    if (type === 'LEVEL2') return [{ ...base, ...writtenFrom(unitId === undefined ? [] : [unitId]) }];
    if (base.prints.length > 0) return [tablesOnly];
    return [{ ...base, unitIds: node.knowledgeUnitId ? [node.knowledgeUnitId] : [], basis: 'chapter', refs: [] }];
  };

  const start = root.children.length > 0 ? [root.title] : [];
  const inherited = root.children.length > 0 ? root.knowledgeUnitId : undefined;
  const chapters = chaptersOf(root).flatMap((node): PlannedChapter[] => {
    const { nodeId, title } = node;
    const path = [...start, title];
    if (type === 'LEVEL1') {
      const own = unitsOf(node);
      const units = own.length === 0 && inherited !== undefined ? [inherited] : own;
      const head: PlannedSection = { nodeId, title, path, prints: printsOf(node), ...writtenFrom(units) };
      const unitId = node.knowledgeUnitId ?? inherited;
      return [{ nodeId, title, sections: [head, ...node.children.flatMap((child) => below(child, path, unitId))] }];
    }
    const sections = below(node, start, inherited);
    if (node.children.length === 0) return [{ nodeId, title, sections }];
    const own = sections.filter((section) => section.nodeId === nodeId);
    let at = own.length;
    const parts = node.children.map((child): PlannedChapter => {
      const size = countSections(child, sections, at);
      at += size;
      return { nodeId: child.nodeId, title: child.title, sections: sections.slice(at - size, at) };
    });
    return own.length > 0 ? [{ nodeId, title, sections: own }, ...parts] : parts;
  });
  const extra = packages.map(({ ref }) => ref).filter((ref) => !printed.has(ref));
  if (extra.length > 0) {
    const title = EXTRA_TITLE[language];
    chapters.push({
      nodeId: EXTRA_NODE,
      title,
      sections: [
        { nodeId: EXTRA_NODE, title, path: [...start, title], unitIds: [], prints: extra, basis: 'data', refs: extra },
      ],
    });
  }
  return summarizedOnce(chapters).filter(({ sections }) => sections.length > 0);
}

const SUMS_UP = /结论|总结|小结|摘要|概述|综述|综合|总体|summary|conclusion|overview/i;

/** Of several sections that ask for no unit one sums up all packages: the one whose title says so, else the last. */
function summarizedOnce(chapters: PlannedChapter[]): PlannedChapter[] {
  const asking = chapters.flatMap(({ sections }) => sections.filter(({ basis }) => basis === 'summary'));
  const chosen = asking.findLast(({ title }) => SUMS_UP.test(title)) ?? asking.at(-1);
  if (!chosen) return chapters;
  return chapters.map((chapter) => ({
    ...chapter,
    sections: chapter.sections.map((section) =>
      section.basis === 'summary' && section !== chosen ? { ...section, summaryAt: chosen.title } : section,
    ),
  }));
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
