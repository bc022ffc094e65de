import type { Import } from './imports.ts';

/** A part of the tree and the parts it may import. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  core: ['core'],
  runtime: ['runtime', 'core'],
  plugins: ['plugins', 'runtime', 'core', 'config'],
  config: ['config', 'core', 'runtime'],
  scripts: ['scripts', 'plugins', 'runtime', 'core', 'config', 'test'],
  test: ['test', 'scripts', 'plugins', 'runtime', 'core', 'config'],
};

/** Folders that import nothing of their siblings. */
const ALONE = ['runtime/graph', 'core/contracts'];

/** Findings about imports that point the wrong way. */
export function checkArrows(imports: readonly Import[]): string[] {
  return imports.flatMap(({ file, target }) => {
    if (target === undefined) return [];
    const from = partsOf(file);
    const to = partsOf(target);
    const say = (rule: string) => [`${file} imports ${target}: ${rule}`];
    if (!(MAY_IMPORT[from.area] ?? []).includes(to.area)) return say(`${from.area} may not import ${to.area}`);
    if (from.area === 'plugins' && to.area === 'plugins' && from.part !== to.part && !target.endsWith('/public.ts')) {
      return say(`of another plugin only its public.ts may be imported`);
    }
    const alone = ALONE.find((folder) => file.startsWith(`${folder}/`));
    const sibling = alone !== undefined && to.area === from.area && to.nested && !target.startsWith(`${alone}/`);
    return sibling ? say(`${alone} imports nothing of its siblings`) : [];
  });
}

function partsOf(path: string): { area: string; part: string; nested: boolean } {
  const [area = '', part = '', ...rest] = path.split('/');
  return { area, part, nested: rest.length > 0 };
}
