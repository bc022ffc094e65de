import { reports as contract } from '../../../core/contracts/reports.ts';
import type { LocalText } from '../../../core/errors.ts';
import type { RunEventInput } from '../../../core/run-kind.ts';
import { OutlineNotFoundError, ReportNotFoundError } from '../errors.ts';
import type { TaskDocument } from '../models/task.ts';
import { nodesOf } from '../outline.ts';
import type { OutlineNode, TaskStage } from '../public.ts';
import type { ReportLanguage, SourceEntry } from '../render/document.ts';
import { shorten, withoutMarks } from '../render/text.ts';
import { progressOf, REACHED, STEPS } from '../rules.ts';
import { fileIdOf } from '../service/formats.ts';
import { STATE_EVENT, type StepResult, stateOf } from '../service/task-state.ts';
import { assembleReport, type ReadMaterial, type WrittenSection } from '../writing/assemble.ts';
import { cutText, MAX_TEXT } from '../writing/material-text.ts';
import { namePackages, outlineLines, type PlannedChapter, type PlannedPackage, planChapters } from '../writing/plan.ts';
import type { ReportBrief, SectionBrief } from '../writing/prompt.ts';
import { factLines, labelled } from '../writing/task-facts.ts';
import { mapLimited, type StepContext, taskOf } from './context.ts';
import { storeRendered } from './render.ts';

type Material = ReadMaterial & { text: string };

interface ChapterResult {
  sections: WrittenSection[];
  offline: boolean;
  models: string[];
  tokens: number;
}

const SECTION_MS = 5 * 60_000;
const LONGEST_CHAPTER_MS = 60 * 60_000;

export const documentIdOf = (runId: string): string => `${runId}.json`;

/** Writes a report: reads the packages, writes the chapters side by side, puts them together, renders, stores. */
export async function writeReport(context: StepContext): Promise<Extract<StepResult, { step: 'report' }>> {
  const { run, parts } = context;
  const task = await taskOf(context);
  const report = await parts.reports.in(run.principal).get(run.input.reportId ?? '');
  if (!report) throw new ReportNotFoundError(run.input.reportId ?? '');
  const outline = await parts.outlines.in(run.principal).get(report.outlineId);
  if (!outline) throw new OutlineNotFoundError(report.outlineId);
  const root = unmarked(outline.rootNode);
  const language: ReportLanguage = (report.metadata.language ?? task.parameters.language) === 'en' ? 'en' : 'zh';

  // What goes into the report is fixed now: packages that are delivered later belong to the next one.
  const plan = await run.step('plan', async () => {
    const confirmed = await parts.packages
      .in(run.principal)
      .find({ taskId: task._id, status: 'CONFIRMED' }, { sort: { createdAt: 1, _id: 1 }, fields: ['knowledgeUnitId'] });
    const packages = confirmed.map(({ _id, knowledgeUnitId }) => ({ packageId: _id, unitId: knowledgeUnitId }));
    return { createdAt: new Date().toISOString(), packages: namePackages(root, packages) };
  });
  const chapters = planChapters(root, outline.type, plan.packages, language);
  const parameters = labelled(task.parameters, language);
  const brief: ReportBrief = {
    language,
    title: withoutMarks(report.title),
    taskName: withoutMarks(task.taskName),
    description: withoutMarks(task.description),
    taskFacts: factLines(parameters),
    outline: outlineLines(root),
  };

  const titles = new Map([...nodesOf(root)].map((node) => [node.knowledgeUnitId, node.title]));
  const titleOf = (unitId: string) => parts.catalogue.find(unitId)?.title ?? titles.get(unitId) ?? withoutMarks(unitId);
  const materials = await readMaterials(context, plan.packages, language);
  const planned = chapters.flatMap(({ sections }) => sections);
  const unitOf = new Map(plan.packages.map(({ ref, unitId }) => [ref, unitId]));
  const delivered = new Set(plan.packages.map(({ unitId }) => unitId));
  const firstWithout = planned.find(({ basis }) => basis === 'none');
  const sharing = (ref: string) => planned.filter(({ basis, refs }) => basis === 'data' && refs.includes(ref));
  const written = await writeChapters(
    context,
    task,
    chapters,
    brief,
    (section): SectionBrief => ({
      nodeId: section.nodeId,
      title: section.title,
      path: section.path,
      instructions: section.unitIds.flatMap((unitId) => parts.catalogue.find(unitId)?.instructions || []).join('\n'),
      basis: section.basis,
      missing: section.unitIds.filter((unitId) => !delivered.has(unitId)).map(titleOf),
      withFacts: section === firstWithout,
      ...(section.summaryAt !== undefined && { summaryAt: section.summaryAt }),
      materials: section.refs.flatMap((ref) => {
        const unit = unitOf.get(ref);
        const material = materials.get(ref);
        if (!material || unit === undefined) return [];
        const users = sharing(ref);
        const shared = { titles: users.map(({ title }) => title), at: users.indexOf(section) };
        return [
          {
            ref,
            title: titleOf(unit),
            text: material.text,
            manual: cutText(material.manual, MAX_TEXT, language),
            shared,
          },
        ];
      }),
    }),
  );

  const documentId = documentIdOf(run.runId);
  const rendering: LocalText = { zh: '正在生成报告文件...', en: 'Rendering the report...' };
  await run.step(
    'document',
    async () => {
      const document = assembleReport({
        ...brief,
        createdAt: plan.createdAt,
        parameters,
        metadata: labelled(report.metadata, language),
        root,
        chapters,
        written: written.flatMap(({ sections }) => sections),
        materials: [...materials.values()],
        sources: await sourcesOf(context, plan.packages, titleOf, language),
        offline: written.some(({ offline }) => offline),
      });
      const content = Buffer.from(JSON.stringify(document));
      await parts.documents.write(run.principal, { id: documentId, filename: `${report._id}.json`, content });
    },
    { events: () => [stateAt(task, 'report_export', REACHED.rendering, rendering)] },
  );
  await advance(context, task, 'report_export', REACHED.rendering, rendering);

  const stored: LocalText = { zh: '正在保存报告文件...', en: 'Storing the report...' };
  const fileSize = await storeRendered(context.run, parts, {
    documentId,
    fileId: fileIdOf(run.runId, report.format),
    format: report.format,
    events: () => [stateAt(task, 'report_export', REACHED.stored, stored)],
  });
  await advance(context, task, 'report_export', REACHED.stored, stored);
  return { step: 'report', fileSize, documentId };
}

const stateAt = (task: TaskDocument, stage: TaskStage, progress: number, message: LocalText): RunEventInput => ({
  type: STATE_EVENT,
  data: { revision: task.revision, status: STEPS.report.status, stage, progress, message },
});

const advance = (
  { run, states }: StepContext,
  task: TaskDocument,
  stage: TaskStage,
  progress: number,
  message: LocalText,
) => states.advance(run.principal, task._id, run.runId, { stage, progress, message });

/** Packages of so many bytes together stay within the limits of one file without being divided. */
const WHOLE_BYTES = 2.5 * 1024 * 1024;
/** Room for a page of every package, however large the others are. */
const SMALLEST_SHARE = 0.0005;

/** Reads each package once, in a node: its data may be large, and all chapters work from the same reading. */
async function readMaterials(
  { run, parts }: StepContext,
  packages: readonly PlannedPackage[],
  language: ReportLanguage,
): Promise<Map<string, Material>> {
  const sizes = await parts.packages
    .in(run.principal)
    .find({ _id: { $in: packages.map(({ packageId }) => packageId) } }, { fields: ['bytes'] });
  const total = sizes.reduce((sum, { bytes }) => sum + bytes, 0);
  const bytesOf = new Map(sizes.map(({ _id, bytes }) => [_id, bytes]));
  // Small packages are printed whole; large ones divide what a file can hold by their sizes.
  const shareOf = (packageId: string) =>
    total <= WHOLE_BYTES ? 1 : Math.max(SMALLEST_SHARE, (bytesOf.get(packageId) ?? 0) / total);
  const read = await mapLimited(packages, parts.options.chaptersAtOnce, async ({ ref, packageId }) => {
    const item = await parts.packages.in(run.principal).get(packageId);
    const input = {
      ref,
      language,
      autoData: item?.autoData ?? {},
      manualData: item?.manualData ?? '',
      share: shareOf(packageId),
    };
    return { ...(await run.node<Omit<Material, 'ref'>>(`material:${ref}`, { type: 'report.material', input })), ref };
  });
  return new Map(read.map((material) => [material.ref, material]));
}

/** Writes all chapters, several at a time. Each is a checkpoint, with its progress in the same write. */
async function writeChapters(
  context: StepContext,
  task: TaskDocument,
  chapters: readonly PlannedChapter[],
  brief: ReportBrief,
  briefOf: (section: PlannedChapter['sections'][number]) => SectionBrief,
): Promise<ChapterResult[]> {
  const { run, parts } = context;
  const before = run.attempt > 1 ? await finishedBefore(context) : { done: 0, progress: STEPS.report.start };
  let { done } = before;
  const messageAt = (count: number): LocalText => ({
    zh: `${STEPS.report.message.zh}（${count}/${chapters.length}）`,
    en: `${STEPS.report.message.en} (${count}/${chapters.length})`,
  });
  const progressAt = (count: number) => Math.max(before.progress, progressOf('report', count, chapters.length));
  const { stage } = STEPS.report;

  return mapLimited(chapters, parts.options.chaptersAtOnce, async (chapter) => {
    const result = await run.node<ChapterResult>(
      `chapter:${chapter.nodeId}`,
      {
        type: 'report.chapter',
        config: task.modelConfigId ? { model: task.modelConfigId } : {},
        input: { report: brief, sections: chapter.sections.map(briefOf), language: brief.language },
        timeoutMs: Math.min(LONGEST_CHAPTER_MS, SECTION_MS * Math.max(1, chapter.sections.length)),
      },
      {
        events: (finished) => {
          done += 1;
          return [...chapterEvents(chapter, finished), stateAt(task, stage, progressAt(done), messageAt(done))];
        },
      },
    );
    await advance(context, task, stage, progressAt(done), messageAt(done));
    return result;
  });
}

function chapterEvents(chapter: PlannedChapter, { sections, offline, models, tokens }: ChapterResult): RunEventInput[] {
  const characters = sections.reduce(
    (sum, { paragraphs }) => sum + paragraphs.reduce((length, { text }) => length + text.length, 0),
    0,
  );
  return [
    {
      type: 'chapter_done',
      data: { nodeId: chapter.nodeId, title: chapter.title, characters, offline, models, tokens },
    },
    ...sections.flatMap(({ nodeId, unverified }) =>
      unverified.slice(0, 50).map((found) => ({ type: 'figure_unverified', data: { nodeId, ...found } })),
    ),
  ];
}

/** How far this run came before it was cut off, from its own log. */
async function finishedBefore({ run, parts }: StepContext): Promise<{ done: number; progress: number }> {
  const { principal, runId } = run;
  const page = 500;
  let [done, progress]: [number, number] = [0, STEPS.report.start];
  const last = await parts.runs.lastEvent(principal, run.input.taskId);
  for (let from = 0; last && from <= last.seq; from += page) {
    for (const event of await parts.runs.events(principal, run.input.taskId, from, page)) {
      if (event.runId !== runId) continue;
      if (event.type === 'chapter_done') done += 1;
      progress = Math.max(progress, stateOf(event)?.progress ?? 0);
    }
  }
  return { done, progress };
}

async function sourcesOf(
  { run, parts }: StepContext,
  packages: readonly PlannedPackage[],
  titleOf: (unitId: string) => string,
  language: ReportLanguage,
): Promise<SourceEntry[]> {
  const found = await parts.packages
    .in(run.principal)
    .find(
      { _id: { $in: packages.map(({ packageId }) => packageId) } },
      { fields: ['knowledgeUnitId', 'dataSources', 'confirmerId', 'confirmerName', 'confirmTime'] },
    );
  const byId = new Map(found.map((item) => [item._id, item]));
  return packages.map(({ ref, packageId, unitId }) => {
    const item = byId.get(packageId);
    const { source, queryTime, ...others } = item?.dataSources ?? {};
    const confirmer = withoutMarks(item?.confirmerName ?? item?.confirmerId ?? '');
    return {
      ref,
      title: titleOf(unitId),
      knowledgeUnitId: withoutMarks(unitId),
      packageId: contract.formatId('package', packageId),
      ...(isShown(source) && { source: textOf(source) }),
      ...(isShown(queryTime) && { queryTime: textOf(queryTime) }),
      ...(confirmer && { confirmer }),
      ...(item?.confirmTime && { confirmTime: item.confirmTime.toISOString().slice(0, 19).replace('T', ' ') }),
      details: labelled(others, language, SOURCE_LIMITS),
    };
  });
}

/** An outline whose titles cannot be taken for source marks. */
const unmarked = (node: OutlineNode): OutlineNode => ({
  ...node,
  title: withoutMarks(node.title),
  ...(node.chapterNumber !== undefined && { chapterNumber: withoutMarks(node.chapterNumber) }),
  children: node.children.map(unmarked),
});

/** Sources are printed whole: they are what a reader checks the report by. */
const SOURCE_LIMITS = { entries: 5000, chars: 20_000 };

const isShown = (value: unknown): boolean => value !== undefined && value !== null && value !== '';
const textOf = (value: unknown): string =>
  withoutMarks(shorten(typeof value === 'object' ? JSON.stringify(value) : String(value), 20_000));
