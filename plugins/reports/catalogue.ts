import { readFileSync } from 'node:fs';
import { Compile } from 'typebox/compile';
import { parse } from 'yaml';
import { AppError } from '../../core/errors.ts';
import { type Static, Type } from '../../core/schema.ts';

const short = (max = 200) => Type.String({ minLength: 1, maxLength: max });

const Field = Type.Object({ name: short(), aliases: Type.Optional(Type.Array(short(), { maxItems: 50 })) });

const Unit = Type.Object({
  id: short(100),
  title: short(),
  instructions: Type.Optional(Type.String({ maxLength: 4000 })),
  fields: Type.Optional(Type.Array(Field, { maxItems: 200 })),
  sources: Type.Optional(Type.Array(short(), { maxItems: 50 })),
});

const Section = Type.Object({ title: short(), unit: Type.Optional(short(100)) });
const Draft = Type.Object({
  title: short(),
  chapters: Type.Array(
    Type.Object({
      title: short(),
      unit: Type.Optional(short(100)),
      sections: Type.Optional(Type.Array(Section, { maxItems: 50 })),
    }),
    { minItems: 1, maxItems: 50 },
  ),
});

const File = Type.Object({
  units: Type.Array(Unit, { maxItems: 1000 }),
  outlines: Type.Record(Type.String(), Draft),
});

export interface KnowledgeUnit {
  id: string;
  title: string;
  /** How a chapter of this kind is written; given to the model. */
  instructions: string;
  /** What the server looks for when it collects data itself. */
  fields: { name: string; aliases?: string[] }[];
  /** Where people usually get the facts. */
  sources: string[];
}

/** An outline before it gets node ids and numbers. */
export type OutlineDraft = Static<typeof Draft>;

/** The knowledge units of the installation; plain data inside, so parts of it can be sent to nodes. */
export interface Catalogue {
  readonly units: readonly KnowledgeUnit[];
  /** undefined for ids that are not in the catalogue, which is no error. */
  find(unitId: string): KnowledgeUnit | undefined;
  /** The draft of a report type, or the default one. */
  outlineFor(reportType: string | undefined): OutlineDraft;
}

const validator = Compile(File);

const invalid = (source: string, where: string, why: string, cause: unknown) =>
  new AppError(
    'invalid',
    'KNOWLEDGE_UNITS_INVALID',
    { zh: `知识单元目录 ${source} 有误：${where} ${why}`, en: `Knowledge units ${source}: ${where} ${why}` },
    { cause },
  );

/**
 * Reads the catalogue file (YAML).
 *
 * @throws {AppError} KNOWLEDGE_UNITS_INVALID naming the place
 */
export function loadCatalogue(path: string | URL): Catalogue {
  const source = String(path).split('/').at(-1) ?? 'catalogue';
  try {
    return parseCatalogue(readFileSync(path, 'utf8'), source);
  } catch (error) {
    throw error instanceof AppError ? error : invalid(source, '', error instanceof Error ? error.message : '', error);
  }
}

/** `loadCatalogue` on text; `source` stands in messages. */
export function parseCatalogue(text: string, source: string): Catalogue {
  const refuse = (where: string, why: string, cause?: unknown): never => {
    throw invalid(source, where, why, cause);
  };
  let file: unknown;
  try {
    file = parse(text);
  } catch (error) {
    refuse('YAML', error instanceof Error ? error.message : String(error), error);
  }
  if (!validator.Check(file)) {
    const first = validator.Errors(file)[0];
    return refuse(first?.instancePath || '/', first?.message ?? 'is invalid');
  }
  const units = new Map<string, KnowledgeUnit>();
  for (const unit of file.units) {
    if (units.has(unit.id)) refuse(unit.id, 'is listed twice');
    units.set(unit.id, {
      ...unit,
      instructions: unit.instructions ?? '',
      fields: unit.fields ?? [],
      sources: unit.sources ?? [],
    });
  }
  const fallback = file.outlines.default;
  if (!fallback) return refuse('/outlines/default', 'is missing');
  for (const [type, draft] of Object.entries(file.outlines)) {
    const named = draft.chapters.flatMap((chapter) => [chapter.unit, ...(chapter.sections ?? []).map((s) => s.unit)]);
    const unknown = named.find((unit) => unit !== undefined && !units.has(unit));
    if (unknown) refuse(`/outlines/${type}`, `names the unknown unit ${unknown}`);
  }
  return {
    units: [...units.values()],
    find: (unitId) => units.get(unitId),
    outlineFor: (reportType) =>
      (reportType !== undefined && Object.hasOwn(file.outlines, reportType) ? file.outlines[reportType] : undefined) ??
      fallback,
  };
}
