/** `npm run check`: type check, linter, import arrows, and declared = used packages. Prints every finding and exits with 1 when there is one. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { checkArrows } from './check/arrows.ts';
import { readImports } from './check/imports.ts';
import { checkPackages } from './check/packages.ts';

const root = join(import.meta.dirname, '..');
if (process.argv.includes('--help')) {
  console.log('usage: npm run check');
  process.exit(0);
}

const run = (name: string, command: string, args: string[]): boolean => {
  const { status } = spawnSync(join(root, 'node_modules', '.bin', command), args, { cwd: root, stdio: 'inherit' });
  console.log(`${status === 0 ? 'ok  ' : 'FAIL'} ${name}`);
  return status === 0;
};
const report = (name: string, findings: string[]): boolean => {
  for (const finding of findings) console.error(`  ${finding}`);
  console.log(`${findings.length === 0 ? 'ok  ' : 'FAIL'} ${name}`);
  return findings.length === 0;
};

const imports = readImports(root);
const results = [
  run('types', 'tsc', ['-p', '.']),
  run('linter and format', 'biome', ['check', '--error-on-warnings', '.']),
  report('import arrows', checkArrows(imports)),
  report('packages declared = used', checkPackages(root, imports)),
];
process.exitCode = results.every(Boolean) ? 0 : 1;
