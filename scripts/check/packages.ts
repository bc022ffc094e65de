import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Import } from './imports.ts';

/** Packages that are used as commands or data, not imported. */
const COMMANDS = ['node', 'deno', 'typescript', '@biomejs/biome'];

/** Findings about packages that are imported but not declared, declared but not used, or of the wrong section. */
export function checkPackages(root: string, imports: readonly Import[]): string[] {
  const { dependencies = {}, devDependencies = {} } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    dependencies?: Record<string, string>;
    devDependencies?: Record<string, string>;
  };
  const declared = { ...dependencies, ...devDependencies };
  const used = new Map<string, string[]>();
  for (const { file, specifier, target } of imports) {
    if (
      target !== undefined ||
      specifier.startsWith('node:') ||
      specifier.startsWith('data:') ||
      /^[a-z]+:/.test(specifier)
    )
      continue;
    const name = specifier
      .split('/')
      .slice(0, specifier.startsWith('@') ? 2 : 1)
      .join('/');
    used.set(name, [...(used.get(name) ?? []), file]);
  }
  const findings: string[] = [];
  for (const [name, files] of used) {
    const product = files.find((file) => /^(core|runtime|plugins|config)\//.test(file));
    if (declared[name] === undefined) findings.push(`${name} is imported by ${files[0]} but not declared`);
    else if (product !== undefined && dependencies[name] === undefined)
      findings.push(`${name} is a dev dependency but ${product} imports it`);
  }
  for (const name of Object.keys(declared)) {
    const typesOf = name.startsWith('@types/') ? name.slice('@types/'.length) : undefined;
    if (typesOf === 'node' || COMMANDS.includes(name) || used.has(name) || (typesOf !== undefined && used.has(typesOf)))
      continue;
    findings.push(`${name} is declared but not used`);
  }
  return findings;
}
