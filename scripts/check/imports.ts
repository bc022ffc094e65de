import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

export interface Import {
  /** Importing file, relative to the project. */
  file: string;
  /** As written: a package, `node:` module, or relative path. */
  specifier: string;
  /** For relative imports: the imported file, relative to the project. */
  target: string | undefined;
}

/** Static imports and exports, dynamic imports, `new URL('./x.ts', import.meta.url)`, and files of packages named in text. */
const FORMS = [
  /^\s*(?:import|export)\b[^'"`;]*?from\s*'([^']+)'/gm,
  /^\s*import\s*'([^']+)'/gm,
  /\bimport\(\s*'([^']+)'/g,
  /new URL\(\s*'([^']+)',\s*import\.meta\.url/g,
  /require\.resolve\(\s*'([^']+)'/g,
  /'(@[a-z-]+\/[a-z-]+\/[^']+\.[a-z]+)'/g,
];

/** Every import of the project's own sources. */
export function readImports(root: string): Import[] {
  const files = globSync('{core,runtime,plugins,config,scripts,test,docs}/**/*.ts', { cwd: root });
  return files.flatMap((file) => {
    const source = readFileSync(join(root, file), 'utf8').replace(/\/\*[\s\S]*?\*\//g, '');
    const specifiers = FORMS.flatMap((form) => [...source.matchAll(form)].map(([, specifier]) => String(specifier)));
    return specifiers.map((specifier) => ({
      file,
      specifier,
      target: specifier.startsWith('.') ? relative(root, join(root, dirname(file), specifier)) : undefined,
    }));
  });
}
