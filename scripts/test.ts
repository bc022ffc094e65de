/**
 * Runs the tests: `npm test`, `npm test -- test/core` (paths or patterns), `npm test -- --help`.
 * The last line is `N passed, N failed`; tests that need a server that is not there are skipped with the reason, or fail with CI=true.
 */
import { spawn } from 'node:child_process';
import { existsSync, globSync, statSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const given = process.argv.slice(2);
if (given.includes('--help')) {
  console.log('usage: npm test -- [--only=<title pattern>] [files, folders or patterns; default: test]');
  process.exit(0);
}
const only = given.find((argument) => argument.startsWith('--only='))?.slice('--only='.length);
const places = given.filter((argument) => !argument.startsWith('--'));
const files = (places.length > 0 ? places : ['test']).flatMap((place) =>
  existsSync(place) && statSync(place).isDirectory() ? globSync(join(place, '**/*.test.ts')) : globSync(place),
);
if (files.length === 0) {
  console.error(`no test files in ${places.join(', ')}`);
  process.exit(2);
}

const child = spawn(
  process.execPath,
  [
    '--test',
    '--test-concurrency=2',
    '--test-timeout=600000',
    ...(only === undefined ? [] : [`--test-name-pattern=${only}`]),
    `--test-reporter=${join(root, 'test/support/reporter.ts')}`,
    '--test-reporter-destination=stdout',
    ...files.sort(),
  ],
  { stdio: 'inherit', cwd: root },
);
child.on('exit', (code) => {
  process.exitCode = code ?? 1;
});
