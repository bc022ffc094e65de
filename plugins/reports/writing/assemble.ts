import { chaptersOf } from '../outline.ts';
import type { OutlineNode } from '../public.ts';
import type {
  Block,
  LabelledValue,
  ParagraphBlock,
  ReportDocument,
  ReportLanguage,
  ReportSection,
  SourceEntry,
} from '../render/document.ts';
import { EXTRA_NODE, type PlannedChapter } from './plan.ts';

export interface WrittenSection {
  nodeId: string;
  paragraphs: ParagraphBlock[];
  unverified: { figure: string; sentence: string }[];
}

export interface ReadMaterial {
  ref: string;
  blocks: Block[];
  manual: string;
}

export interface ReportParts {
  title: string;
  taskName: string;
  description: string;
  language: ReportLanguage;
  createdAt: string;
  parameters: LabelledValue[];
  metadata: LabelledValue[];
  root: OutlineNode;
  chapters: readonly PlannedChapter[];
  written: readonly WrittenSection[];
  materials: readonly ReadMaterial[];
  sources: SourceEntry[];
  /** At least one section was arranged without a language model. */
  offline: boolean;
}

/** Puts the written sections, the tables and charts of the packages and their manual texts under the headings of the outline. */
export function assembleReport(parts: ReportParts): ReportDocument {
  const { language, root, chapters, written, materials, sources } = parts;
  const texts = new Map(written.map(({ nodeId, paragraphs }) => [nodeId, paragraphs]));
  const material = new Map(materials.map((each) => [each.ref, each]));
  const prints = new Map(
    chapters.flatMap(({ sections }) => sections.map(({ nodeId, prints: refs }) => [nodeId, refs])),
  );

  const blocksOf = (nodeId: string): Block[] => {
    const packages = (prints.get(nodeId) ?? []).flatMap((ref) => material.get(ref) ?? []);
    return [
      ...(texts.get(nodeId) ?? []),
      ...packages.flatMap(({ blocks }) => blocks),
      ...packages.flatMap(({ ref, manual }): Block[] =>
        manual
          .split(/\n+/)
          .filter((text) => text.trim() !== '')
          .map((text) => ({ type: 'paragraph', text: text.trim(), refs: [ref] })),
      ),
    ];
  };

  const sectionOf = (node: OutlineNode): ReportSection => ({
    id: node.nodeId,
    ...(node.chapterNumber !== undefined && { number: node.chapterNumber }),
    title: node.title,
    blocks: blocksOf(node.nodeId),
    children: node.children.map(sectionOf),
  });

  const sections = chaptersOf(root).map(sectionOf);
  const extra = chapters.find(({ nodeId }) => nodeId === EXTRA_NODE);
  if (extra) sections.push({ id: EXTRA_NODE, title: extra.title, blocks: blocksOf(EXTRA_NODE), children: [] });

  const known = new Set(parts.parameters.map(({ label, value }) => `${label} ${value}`));
  const metadata = parts.metadata.filter(({ label, value }) => !known.has(`${label} ${value}`));
  const notice = noticeOf(parts);
  return {
    title: parts.title,
    taskName: parts.taskName,
    ...(parts.description !== '' && { description: parts.description }),
    language,
    createdAt: parts.createdAt,
    parameters: parts.parameters,
    ...(metadata.length > 0 && { metadata }),
    ...(notice !== '' && { notice }),
    sections,
    sources,
  };
}

function noticeOf({ language, offline, written }: ReportParts): string {
  const open = written.reduce((sum, { unverified }) => sum + unverified.length, 0);
  const zh = language === 'zh';
  return [
    offline &&
      (zh
        ? '本报告未使用语言模型，正文由系统按已确认的资料摘录整理。'
        : 'No language model was used; the text was arranged by the system from the confirmed data.'),
    open > 0 &&
      (zh
        ? `正文中有 ${open} 处数字未能与资料核对，已标注“（待核实）”。`
        : `${open} figures in the text could not be found in the data and are marked “(unverified)”.`),
  ]
    .filter(Boolean)
    .join('\n');
}
