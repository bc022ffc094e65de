import { defineNode } from '../../../core/node.ts';
import { oneOf, type Static, Type } from '../../../core/schema.ts';
import { type Material, modelService } from '../../../runtime/models/index.ts';
import { checkBudget, emitUsage } from '../../../runtime/usage/for-nodes.ts';
import type { ParagraphBlock } from '../render/document.ts';
import { divideText } from '../writing/divide.ts';
import { createFigureCheck, type UnverifiedFigure } from '../writing/figures.ts';
import { cutText } from '../writing/material-text.ts';
import {
  missingText,
  noDataText,
  pointerText,
  type ReportBrief,
  type SectionBrief,
  sectionMessages,
} from '../writing/prompt.ts';
import { paragraphsOf } from '../writing/prose.ts';

/** Characters of material in one request, however large the model's window is. */
const MAX_MATERIAL = 32_000;
/** Of what was already written in the chapter, this much is shown to the writer of the next section. */
const MAX_BEFORE = 4000;
const MAX_OUTPUT_TOKENS = 2500;

const Section = Type.Object({
  nodeId: Type.String(),
  paragraphs: Type.Array(Type.Unsafe<ParagraphBlock>({ type: 'object' })),
  unverified: Type.Array(Type.Unsafe<UnverifiedFigure>({ type: 'object' })),
});

/** Writes the sections of one chapter, one after another, each knowing what the chapter already says. */
export default defineNode({
  type: 'report.chapter',
  version: 1,
  lane: 'shared',
  callsModel: true,
  // A restart of the server counts as well as a crash of the thread; only a task that never gets through may fail the run.
  retries: 20,
  config: Type.Object({ model: Type.Optional(Type.String({ description: 'model key; unknown: the default model' })) }),
  input: Type.Object({
    report: Type.Unsafe<ReportBrief>({ type: 'object' }),
    sections: Type.Array(Type.Unsafe<SectionBrief>({ type: 'object' })),
    language: oneOf(['zh', 'en']),
  }),
  output: Type.Object({
    sections: Type.Array(Section),
    /** True when at least one section was arranged by the offline model. */
    offline: Type.Boolean(),
    models: Type.Array(Type.String()),
    tokens: Type.Integer(),
  }),

  async run({ config, input: { report, sections, language }, signal, report: progress, log, service, emit }) {
    const models = service(modelService);
    const { offline: isOffline, contextWindow } = models.resolve(config.model);
    const room = Math.max(2000, Math.min(MAX_MATERIAL, Math.floor((contextWindow - MAX_OUTPUT_TOKENS - 2000) * 0.7)));
    const written: Static<typeof Section>[] = [];
    const used = new Set<string>();
    let [offline, tokens] = [false, 0];

    for (const section of sections) {
      signal.throwIfAborted();
      const refs = section.materials.map(({ ref }) => ref);
      let text: string;
      let literal = true;
      let missing: string[] = [];
      const elsewhere = isOffline ? toldElsewhere(section) : undefined;
      if (section.basis === 'none') {
        text = noDataText(report, section);
      } else if (section.basis === 'chapter' || elsewhere !== undefined) {
        text = pointerText(language, section, elsewhere);
      } else {
        const materials = materialsOf(section, room, isOffline, report);
        if (materials.length === 0) {
          // Only text that is printed word for word anyway, and no model that could put it in other words.
          written.push({ nodeId: section.nodeId, paragraphs: [], unverified: [] });
          continue;
        }
        const before = written
          .flatMap(({ paragraphs }) => paragraphs.map((paragraph) => paragraph.text))
          .join('\n')
          // What was quoted must not open or close the block of the material.
          .replace(/<(?=\/?material\b)/gi, '‹');
        if (used.size > 0) await checkBudget({ service });
        const result = await models.complete(
          {
            model: config.model,
            messages: sectionMessages(
              report,
              section,
              materials,
              isOffline ? '' : cutText(before, MAX_BEFORE, language),
            ),
            maxTokens: MAX_OUTPUT_TOKENS,
            temperature: 0.2,
            metadata: { offlineNotice: false, offlineStyle: 'report', language },
          },
          {
            signal,
            onEvent: (event) => {
              if (event.type === 'retry' || event.type === 'fallback') log('info', `model ${event.type}`, { ...event });
            },
          },
        );
        emitUsage({ emit }, result);
        text = result.text;
        literal = result.offline;
        offline ||= result.offline;
        tokens += result.usage.totalTokens;
        missing = section.missing;
        used.add(result.model);
      }
      const sources = [
        ...section.materials.flatMap(({ text: body, manual }) => [body, manual]),
        ...section.path,
        section.instructions,
        report.taskFacts,
        report.description,
        report.title,
        report.taskName,
      ];
      const check = createFigureCheck(sources, language);
      const unverified: UnverifiedFigure[] = [];
      const paragraphs = paragraphsOf(text, section.title, refs, { literal }).map((paragraph) => {
        const checked = check(paragraph.text);
        unverified.push(...checked.unverified);
        return { ...paragraph, text: checked.text };
      });
      // Its own words and no package's: it carries no mark.
      if (missing.length > 0) paragraphs.push({ type: 'paragraph', text: missingText(language, missing), refs: [] });
      written.push({ nodeId: section.nodeId, paragraphs, unverified });
      progress(written.length / sections.length);
    }
    return { sections: written, offline, models: [...used], tokens };
  },
});

/**
 * The material of a section within the room there is, shared evenly. Manual text is printed word for word below the section, so
 * a model that only excerpts does not get it for a section with data of its own.
 */
function materialsOf(section: SectionBrief, room: number, offline: boolean, report: ReportBrief): Material[] {
  const summarizes = section.basis === 'summary';
  const share = Math.floor(room / Math.max(1, section.materials.length));
  const repeatsManual = offline && section.basis === 'data';
  const materials = section.materials.flatMap(({ ref, title, text, manual, shared }): Material[] => {
    const own = offline && !summarizes ? (divideText(text, shared.titles)[shared.at] ?? '') : text;
    const body = [own, repeatsManual ? '' : manual].filter(Boolean).join('\n');
    return body === '' ? [] : [{ ref, title, text: cutText(body, share, report.language) }];
  });
  if (materials.length === 0 || report.taskFacts === '') return materials;
  const title = report.language === 'zh' ? '任务信息' : 'The task';
  return [...materials, { title, background: true, text: report.taskFacts }];
}

/**
 * Where a section that can only excerpt would repeat others word for word: the section that says it. A language model writes
 * about the subject of its title instead.
 */
function toldElsewhere({ summaryAt, materials, basis }: SectionBrief): string | undefined {
  if (basis === 'summary') return summaryAt;
  let elsewhere: string | undefined;
  for (const { text, shared } of materials) {
    const shares = divideText(text, shared.titles);
    if (shares[shared.at]) return undefined;
    elsewhere ??= shared.titles[shares.findIndex((share) => share !== '')];
  }
  return elsewhere;
}
