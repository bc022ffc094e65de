import { existsSync, lstatSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';

/** Names are parts of paths, URLs and error codes. */
const NAME = /^[a-z][a-z0-9]*(?:-[a-z0-9]+)*$/;
const TEMPLATES = join(import.meta.dirname, 'templates');
const FILES = [
  'index.ts',
  'public.ts',
  'service.ts',
  'measure.ts',
  'nodes/node.ts',
  'routes/lowcode.ts',
  'test/plugin.test.ts',
  'README.md',
];
/** Only a plugin that is a project of its own has these. */
const FILES_OUTSIDE = ['package.json', 'tsconfig.json', 'gitignore'];

export interface NewPlugin {
  name: string;
  /** Where the plugin is written; missing: `plugins/<name>` of the project. */
  folder?: string | undefined;
  /** Folder of Koagent. */
  root: string;
  /** Names that plugins and node types have already. */
  taken: readonly string[];
}

/** A mistake of whoever called the command; the message is all they need. */
export class NewPluginError extends Error {}

/**
 * Writes a plugin with a service, a route, a node type and their tests.
 *
 * Inside the project its files import the core by relative paths. Anywhere else they import the package `koagent`, a link in the
 * plugin's own node_modules: it stays good when the plugin is moved, and both Node and Deno see through it to the one copy of the core
 * that the server runs, outside of node_modules, where TypeScript is allowed.
 *
 * @returns the plugin's folder and what `from` of the manifest has to say
 * @throws {NewPluginError} bad or taken name, folder that exists, folder within the project
 */
export function createPlugin({ name, folder, root, taken }: NewPlugin): {
  folder: string;
  from: string;
  files: string[];
} {
  if (!NAME.test(name) || name.length > 40) {
    throw new NewPluginError(
      `"${name}" is not a plugin name: small letters, digits and single hyphens, beginning with a letter, at most 40 characters`,
    );
  }
  if (taken.includes(name))
    throw new NewPluginError(`"${name}" is the name of a plugin or node type that exists already`);
  const target = folder === undefined ? join(root, 'plugins', name) : resolve(folder);
  const inside = folder === undefined;
  if (!inside && isWithin(target, root)) {
    throw new NewPluginError(
      `${target} is inside the project: leave --folder out, and the plugin is written to plugins/${name}`,
    );
  }
  const tests = inside ? join(root, 'test', 'plugins', name) : join(target, 'test');
  for (const path of inside ? [target, tests] : [target]) {
    if (existsSync(path)) throw new NewPluginError(`${path} exists already; nothing was written`);
  }

  const from = inside ? `../plugins/${name}` : target.replaceAll(sep, '/');
  const testFile = join(tests, `${name}.test.ts`);
  const files: string[] = [];
  for (const template of inside ? FILES : [...FILES, ...FILES_OUTSIDE]) {
    const file = template === 'test/plugin.test.ts' ? testFile : join(target, fileName(template, name));
    mkdirSync(dirname(file), { recursive: true });
    const text = fill(readFileSync(join(TEMPLATES, `${template}.tmpl`), 'utf8'), {
      __name__: name,
      __camel__: camelCase(name),
      __Pascal__: pascalCase(name),
      __UPPER__: name.toUpperCase().replaceAll('-', '_'),
      '@koagent': inside ? importPath(file, root) : 'koagent',
      '@plugin': importPath(file, target),
      '@from@': from,
      '@testfile@': relative(target, testFile).replaceAll(sep, '/'),
      '@testcommand@': inside ? `npm test -- test/plugins/${name}` : 'npm test',
      '@linknote@': inside
        ? ''
        : '\n`node_modules/koagent` is a link to the folder of Koagent. When that folder moves, or the plugin is copied without its\nnode_modules, make it anew from there: `npm run new-plugin -- --link <this folder>`.',
    });
    writeFileSync(file, `${text.trimEnd()}\n`);
    files.push(file);
  }
  if (!inside) linkPlugin(target, root);
  return { folder: target, from, files };
}

/**
 * Makes the link by which a plugin outside the project finds the core; one that is there is replaced.
 *
 * @throws {NewPluginError} the folder is no plugin, or has a real package `koagent`
 */
export function linkPlugin(folder: string, root: string): void {
  const target = resolve(folder);
  if (!existsSync(join(target, 'index.ts')) && !existsSync(join(target, 'index.js'))) {
    throw new NewPluginError(`${target} is not a plugin: it has no index.ts`);
  }
  const link = join(target, 'node_modules', 'koagent');
  const existing = lstatSync(link, { throwIfNoEntry: false });
  if (existing && !existing.isSymbolicLink()) throw new NewPluginError(`${link} is not a link; nothing was changed`);
  if (existing) rmSync(link);
  mkdirSync(dirname(link), { recursive: true });
  // On Windows a junction needs no rights of an administrator.
  symlinkSync(root, link, 'junction');
}

function isWithin(path: string, folder: string): boolean {
  const way = relative(folder, path);
  return way === '' || (!way.startsWith('..') && !isAbsolute(way));
}

const fileName = (template: string, name: string) =>
  template === 'nodes/node.ts' ? `nodes/${name}.ts` : template === 'gitignore' ? '.gitignore' : template;

/** `..`, `../..` and their like; `.` for the same folder. */
const importPath = (file: string, folder: string): string =>
  relative(dirname(file), folder).replaceAll(sep, '/') || '.';

const fill = (text: string, values: Readonly<Record<string, string>>): string =>
  Object.entries(values).reduce((filled, [mark, value]) => filled.replaceAll(mark, value), text);

const pascalCase = (name: string) => name.replace(/(?:^|-)([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

const camelCase = (name: string) => name.replace(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
