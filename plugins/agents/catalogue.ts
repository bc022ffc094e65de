import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { AppError } from '../../core/errors.ts';
import { checkOptions } from '../../core/manifest.ts';
import { oneOf, type Static, Type } from '../../core/schema.ts';
import { catalogueInvalid } from './errors.ts';
import { AGENT_STATUS, type Agent, OUTPUT_FORMATS } from './public.ts';

const FOLDER = join(import.meta.dirname, '..', '..', 'config', 'agents');
const EXTENSION = /\.ya?ml$/;
/** Letters and digits in groups; never digits alone, which are ids of another API, and never a UUID, which accounts' agents have. */
const ID = '^agent(-[a-z0-9]+)+$';

const short = (maxLength: number) => Type.String({ minLength: 1, maxLength });
const flag = (value: boolean) => Type.Boolean({ default: value });
const settings = Type.Object({
  temperature: Type.Number({ minimum: 0, maximum: 2 }),
  maxTokens: Type.Integer({ minimum: 1, maximum: 128_000 }),
});

/** One file of the catalogue. */
const fileSchema = Type.Object({
  id: Type.String({ pattern: ID, maxLength: 64 }),
  order: Type.Number({ default: 1000, description: 'place in lists; equal ones by id' }),
  name: short(100),
  description: short(1000),
  category: short(50),
  icon: short(50),
  status: oneOf(AGENT_STATUS, { default: 'active' }),
  ragEnabled: flag(true),
  fileUploadEnabled: flag(false),
  requiresProject: flag(false),
  outputFormat: oneOf(OUTPUT_FORMATS, { default: 'text' }),
  outputSchema: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  models: Type.Record(Type.String(), settings, {
    minProperties: 1,
    description: 'settings by model key; the first one answers when nobody names a model',
  }),
  tags: Type.Array(short(30), { default: [], maxItems: 20 }),
  tools: Type.Array(short(100), { default: [], maxItems: 50, description: 'names of tools, or category:<name>' }),
  toolSettings: Type.Record(Type.String(), Type.Record(Type.String(), Type.Unknown()), { default: {} }),
  maxIterations: Type.Integer({ minimum: 1, maximum: 100, default: 8 }),
  promptTemplate: short(20_000),
});

/**
 * Reads the agents of the installation: one YAML file each, named by the agent's id.
 *
 * @param options.folder default `config/agents` of the project
 * @param options.models keys of the configured models
 * @throws {AppError} AGENT_CATALOGUE_INVALID naming the file and the field
 */
export function loadCatalogue({ folder, models }: { folder?: string | undefined; models: readonly string[] }): Agent[] {
  const directory = folder ?? FOLDER;
  const files = listFiles(directory);
  const found = files.map((file) => readAgent(join(directory, file), file, models));
  return found.sort((a, b) => a.order - b.order || (a.agent.id < b.agent.id ? -1 : 1)).map(({ agent }) => agent);
}

function listFiles(folder: string): string[] {
  try {
    return readdirSync(folder).filter((file) => EXTENSION.test(file));
  } catch (error) {
    throw unreadable(folder, error);
  }
}

function readAgent(path: string, file: string, models: readonly string[]): { order: number; agent: Agent } {
  let source: unknown;
  let changedAt: Date;
  try {
    changedAt = statSync(path).mtime;
    source = parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw unreadable(file, error);
  }
  const fail = (field: string, zh: string, en = zh): AppError =>
    catalogueInvalid(file, { zh: `字段 ${field} ${zh}`, en: `field ${field} ${en}` });
  const { order, id, models: byKey, tools, ...rest } = checkOptions(fileSchema, source, fail);
  if (id !== file.replace(EXTENSION, '')) {
    throw fail('id', `应与文件名一致，现为 ${id}`, `must be the name of the file, it is ${id}`);
  }
  for (const key of Object.keys(byKey)) {
    if (!models.includes(key)) {
      const known = models.join(', ');
      throw fail(`models.${key}`, `不是已配置的模型，可用：${known}`, `is no configured model; there are ${known}`);
    }
  }
  return {
    order,
    agent: { ...rest, id, source: 'catalogue', ...modelsOf(byKey), tools: { names: tools }, ...times(changedAt) },
  };
}

function modelsOf(byKey: Static<typeof fileSchema>['models']): Pick<Agent, 'model' | 'models'> {
  const [first] = Object.entries(byKey);
  // The schema asks for at least one.
  if (first === undefined) throw new TypeError('an agent without a model');
  const [name, chosen] = first;
  return { model: { name, ...chosen }, models: byKey };
}

const times = (at: Date) => ({ createdAt: at, updatedAt: at });

function unreadable(file: string, error: unknown): AppError {
  const why = error instanceof Error ? error.message : String(error);
  return catalogueInvalid(file, { zh: `无法读取：${why}`, en: `cannot be read: ${why}` }, error);
}
