import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Value } from 'typebox/value';
import { parse, YAMLParseError } from 'yaml';
import { AppError } from './errors.ts';
import { httpSchema } from './http/server.ts';
import { outboundSchema } from './outbound/outbound.ts';
import type { PluginDefinition } from './plugin.ts';
import { type Static, type TSchema, Type } from './schema.ts';

const pluginEntry = Type.Object({
  from: Type.String({ description: 'a folder (relative to the manifest, or absolute) or the name of an npm package' }),
  enabled: Type.Boolean({ default: true }),
  options: Type.Record(Type.String(), Type.Unknown(), { default: {} }),
});

const manifestSchema = Type.Object({
  http: httpSchema,
  outbound: outboundSchema,
  runtime: Type.Record(Type.String(), Type.Unknown(), {
    default: {},
    description: 'checked by the parts of the runtime',
  }),
  plugins: Type.Record(Type.String(), Type.Unknown()),
});

/** What the server is made of: every plugin with its options, and the options of the core and the runtime. */
export interface Manifest extends Omit<Static<typeof manifestSchema>, 'plugins'> {
  plugins: Record<string, Static<typeof pluginEntry>>;
  /** Folder that relative plugin folders start from. */
  folder: string;
}

const refuse = (file: string, zh: string, en: string, cause?: unknown) =>
  new AppError('invalid', 'MANIFEST_INVALID', { zh: `清单 ${file}：${zh}`, en: `Manifest ${file}: ${en}` }, { cause });

/**
 * Reads and checks the manifest.
 *
 * @throws {AppError} MANIFEST_INVALID naming the field
 */
export function readManifest(file: string): Manifest {
  let source: unknown;
  try {
    source = parse(readFileSync(file, 'utf8'));
  } catch (error) {
    if (error instanceof YAMLParseError)
      throw refuse(file, `YAML 无法解析：${error.message}`, `the YAML cannot be read: ${error.message}`, error);
    throw refuse(file, '无法读取', `it cannot be read: ${(error as Error).message}`, error);
  }
  const fail = (path: string, why: string) => refuse(file, `字段 ${path} ${why}`, `field ${path} ${why}`);
  const { plugins, ...rest } = checkOptions(manifestSchema, source, fail);
  const entries = Object.entries(plugins).map(([name, entry]) => [
    name,
    checkOptions(pluginEntry, entry, (path, why) => fail(`plugins.${name}.${path}`, why)),
  ]);
  return { ...rest, plugins: Object.fromEntries(entries), folder: dirname(resolve(file)) };
}

/**
 * Fills defaults and checks options that people wrote; unknown names are refused, because they are usually misspelt.
 *
 * @param fail makes the error to throw from the path of the field and what is wrong with it
 */
export function checkOptions<S extends TSchema>(
  schema: S,
  value: unknown,
  fail: (path: string, why: string) => Error,
): Static<S> {
  const filled = Value.Default(schema, structuredClone(value ?? {}));
  const unknown = unknownField(schema as unknown as Shape, filled, []);
  if (unknown !== undefined) throw fail(unknown, 'is unknown');
  const [error] = Value.Errors(schema, filled);
  if (error === undefined) return filled as Static<S>;
  const missing = (error.params as { requiredProperties?: string[] }).requiredProperties?.[0];
  const path = [...error.instancePath.split('/').slice(1), ...(missing === undefined ? [] : [missing])].join('.');
  throw fail(path || '(whole)', missing === undefined ? error.message : 'is required');
}

interface Shape {
  properties?: Record<string, Shape>;
  patternProperties?: Record<string, Shape>;
}

function unknownField(schema: Shape, value: unknown, path: string[]): string | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const anyName = Object.values(schema.patternProperties ?? {})[0];
  if (schema.properties === undefined && anyName === undefined) return undefined;
  for (const [name, item] of Object.entries(value)) {
    const property = schema.properties?.[name] ?? anyName;
    if (property === undefined) return [...path, name].join('.');
    const inner = unknownField(property, item, [...path, name]);
    if (inner !== undefined) return inner;
  }
  return undefined;
}

export interface PluginEntry {
  definition: PluginDefinition;
  options: Record<string, unknown>;
}

/**
 * Imports the plugins of a manifest. Disabled ones are imported too (that has no effect), so that a missing service can be
 * told by the name of the plugin that would offer it; one that cannot be imported is passed over.
 *
 * @throws {AppError} PLUGIN_NOT_FOUND, PLUGIN_INVALID naming the plugin
 */
export async function importPlugins(
  manifest: Manifest,
): Promise<{ enabled: PluginEntry[]; disabled: PluginDefinition[] }> {
  const found = { enabled: [] as PluginEntry[], disabled: [] as PluginDefinition[] };
  for (const [name, { from, enabled, options }] of Object.entries(manifest.plugins)) {
    if (enabled) found.enabled.push({ definition: await importPlugin(name, from, manifest.folder), options });
    else
      await importPlugin(name, from, manifest.folder).then(
        (definition) => found.disabled.push(definition),
        () => undefined,
      );
  }
  return found;
}

async function importPlugin(name: string, from: string, folder: string): Promise<PluginDefinition> {
  let module: { default?: unknown };
  try {
    module = await import(locate(from, folder));
  } catch (error) {
    throw new AppError(
      'invalid',
      'PLUGIN_NOT_FOUND',
      {
        zh: `插件 ${name}（${from}）无法加载：${(error as Error).message}`,
        en: `Plugin ${name} (${from}) cannot be loaded: ${(error as Error).message}`,
      },
      { cause: error },
    );
  }
  const definition = module.default as Partial<PluginDefinition> | undefined;
  if (typeof definition?.setup !== 'function' || definition.name !== name) {
    throw new AppError('invalid', 'PLUGIN_INVALID', {
      zh: `插件 ${name}（${from}）的默认导出必须是同名的 definePlugin(...)`,
      en: `Plugin ${name} (${from}) must have definePlugin(...) of the same name as its default export`,
    });
  }
  return definition as PluginDefinition;
}

/** A folder with `index.ts` or `index.js`, else a package found from the manifest's folder. */
function locate(from: string, folder: string): string {
  if (!from.startsWith('.') && !isAbsolute(from)) {
    return pathToFileURL(createRequire(join(folder, 'manifest.yaml')).resolve(from)).href;
  }
  const path = resolve(folder, from);
  if (/\.[cm]?[jt]s$/.test(path)) return pathToFileURL(path).href;
  const require = createRequire(join(path, 'index.js'));
  for (const file of ['index.ts', 'index.js', 'index.mjs']) {
    try {
      return pathToFileURL(require.resolve(join(path, file))).href;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw error;
    }
  }
  throw new Error(`no index.ts or index.js in ${path}`);
}
