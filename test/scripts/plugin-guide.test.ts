import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { createPlugin } from '../../scripts/new-plugin/create.ts';

const root = join(import.meta.dirname, '..', '..');
const guide = (name: string) => readFileSync(join(root, 'docs', name), 'utf8');

/** Files of a guide: blocks of code whose first line names them. */
const filesOf = (text: string) =>
  [...text.matchAll(/^```ts\n\/\/ (\S+)\n([\s\S]*?)^```$/gm)].map(([, file = '', code = '']) => ({ file, code }));

async function run(cwd: string, ...args: string[]): Promise<{ code: number; out: string }> {
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const child = spawn(process.execPath, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      out += text;
    });
  }
  const [code] = (await once(child, 'close')) as [number];
  return { code, out };
}

test('the plugin that the guide builds type-checks, and its tests pass', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'koagent-guide-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const { folder, files } = createPlugin({ name: 'slugs', folder: join(dir, 'slugs'), root, taken: [] });
  for (const file of files) if (file.endsWith('.ts')) rmSync(file);
  const written = filesOf(guide('plugins.md'));
  assert.ok(written.length >= 8);
  for (const { file, code } of written) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), code);
  }
  const types = await run(folder, join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', '.');
  assert.equal(types.code, 0, types.out);
  const tests = await run(folder, '--test', ...globSync('test/*.test.ts', { cwd: folder }));
  assert.equal(tests.code, 0, tests.out);
  assert.match(tests.out, /pass 3/);
});

test('both languages of the guide have the same code and the same sections', () => {
  const [english, chinese] = [guide('plugins.md'), guide('plugins.zh-CN.md')];
  assert.deepEqual(filesOf(chinese), filesOf(english));
  const outline = (text: string) => [...text.matchAll(/^(#+) /gm)].map(([, level]) => level);
  assert.deepEqual(outline(chinese), outline(english));
  const rows = (text: string) => text.split('\n').filter((line) => line.startsWith('|')).length;
  assert.equal(rows(chinese), rows(english));
});

test('every path of Koagent that the guide names is there', () => {
  for (const text of [guide('plugins.md'), guide('plugins.zh-CN.md')]) {
    const paths = [...text.matchAll(/\b(?:koagent\/)?((?:core|runtime|test\/support)\/[\w./-]+\.ts)\b/g)].map(
      ([, path = '']) => path,
    );
    assert.ok(paths.length > 5);
    for (const path of paths) assert.ok(existsSync(join(root, path)), path);
  }
});
