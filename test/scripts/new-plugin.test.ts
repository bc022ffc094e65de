import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { parse } from 'yaml';
import { createPlugin, linkPlugin, NewPluginError } from '../../scripts/new-plugin/create.ts';
import { startPluginServer } from '../support/plugin-server.ts';

const root = join(import.meta.dirname, '..', '..');

function temporary(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'koagent-new-plugin-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

async function run(cwd: string, ...args: string[]): Promise<{ code: number; out: string }> {
  // A test runner inside a test runner would report to the outer one.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const child = spawn(process.execPath, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (out += text));
  const [code] = (await once(child, 'close')) as [number];
  return { code, out };
}

const command = (...args: string[]) => run(root, join(root, 'scripts', 'new-plugin.ts'), ...args);

test('a plugin outside the project: its tests and types pass, it survives a move, a server runs its route and its node', async (t) => {
  const dir = temporary(t);
  const first = join(dir, 'first', 'word-count');
  const { code, out } = await command('word-count', '--folder', first);
  assert.equal(code, 0, out);
  const lines = parse(out.slice(out.indexOf('  word-count:'), out.indexOf('Test it:')));
  assert.deepEqual(lines, { 'word-count': { from: first, enabled: true, options: {} } });

  const moved = join(dir, 'elsewhere', 'deeper', 'plugin');
  mkdirSync(join(dir, 'elsewhere', 'deeper'), { recursive: true });
  renameSync(first, moved);
  const tests = await run(moved, '--test', 'test/word-count.test.ts');
  assert.equal(tests.code, 0, tests.out);
  assert.match(tests.out, /pass 3/);
  const types = await run(moved, join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', '.');
  assert.equal(types.code, 0, types.out);

  const { call, runNode, url } = await startPluginServer(t, moved, { name: 'word-count', beside: ['workflows'] });
  const measured = await call('POST', '/word-count/measure', { body: { text: '今天天气很好' } });
  assert.equal(measured.status, 200);
  assert.equal(measured.body.characters, 6);
  assert.equal((await call('POST', '/word-count/measure', { body: {} })).status, 422);
  assert.equal((await fetch(`${url}/api/v1/word-count/measure`, { method: 'POST' })).status, 401);
  assert.deepEqual(await runNode('word-count', { text: 'a b' }), { characters: 3, words: 2 });
  const document = (await (await fetch(`${url}/openapi/lowcode.json`)).json()) as { paths: object };
  assert.ok('/api/v1/word-count/measure' in document.paths);

  const types2 = (await call('GET', '/node-types')).body as { type: string; label: object }[];
  assert.ok(types2.some(({ type }) => type === 'word-count'));
  const nodes = [
    { id: 'start', type: 'start', position: { x: 0, y: 0 }, data: {} },
    { id: 'count', type: 'word-count', position: { x: 1, y: 0 }, data: { text: '{message}' } },
    { id: 'end', type: 'end', position: { x: 2, y: 0 }, data: {} },
  ];
  const edges = [
    { id: 'a', source: 'start', target: 'count' },
    { id: 'b', source: 'count', target: 'end' },
  ];
  const workflow = (await call('POST', '/workflows', { body: { name: 'count', nodes, edges } })).body;
  const execution = (
    await call('POST', '/executions', { body: { workflow_id: workflow.id, input_data: { message: 'Hello 世界' } } })
  ).body;
  // The stream ends with the execution.
  await call('GET', `/executions/${execution.id}/events`);
  const done = (await call('GET', `/executions/${execution.id}`)).body;
  assert.deepEqual([done.status, done.output_data], ['completed', { characters: 8, words: 2 }], JSON.stringify(done));
});

test('a plugin inside the project imports by relative paths, and its test stands in the mirror tree', async (t) => {
  const project = temporary(t);
  for (const part of ['core', 'runtime', 'config', 'scripts', 'node_modules', 'package.json'])
    symlinkSync(join(root, part), join(project, part));
  mkdirSync(join(project, 'test'));
  mkdirSync(join(project, 'plugins'));
  symlinkSync(join(root, 'test', 'support'), join(project, 'test', 'support'));
  const { folder, from, files } = createPlugin({ name: 'measure-2', root: project, taken: [] });
  assert.equal(folder, join(project, 'plugins', 'measure-2'));
  assert.equal(from, '../plugins/measure-2');
  assert.ok(files.includes(join(project, 'test', 'plugins', 'measure-2', 'measure-2.test.ts')));
  assert.ok(!existsSync(join(folder, 'node_modules')) && !existsSync(join(folder, 'package.json')));
  assert.match(
    readFileSync(join(folder, 'routes', 'lowcode.ts'), 'utf8'),
    /from '\.\.\/\.\.\/\.\.\/core\/http\/route\.ts'/,
  );
  for (const file of files)
    assert.doesNotMatch(readFileSync(file, 'utf8'), /__(name|camel|Pascal|UPPER)__|@koagent|@plugin/, file);
  const tests = await run(project, '--test', 'test/plugins/measure-2/measure-2.test.ts');
  assert.equal(tests.code, 0, tests.out);
  assert.match(tests.out, /pass 3/);
});

test('bad and taken names, folders that exist or lie inside the project: refused, nothing is written', (t) => {
  const dir = temporary(t);
  const folder = join(dir, 'new');
  for (const name of [
    '',
    'A',
    'a_b',
    'a b',
    '1a',
    '-a',
    'a-',
    'a--b',
    '../a',
    'a/b',
    'a.b',
    '名',
    `a${'b'.repeat(40)}`,
    '__proto__',
    'a\n',
  ]) {
    assert.throws(() => createPlugin({ name, folder, root, taken: [] }), NewPluginError, name);
  }
  assert.throws(() => createPlugin({ name: 'auth', folder, root, taken: ['auth'] }), NewPluginError);
  assert.throws(
    () => createPlugin({ name: 'fresh', folder: join(root, 'plugins', 'x'), root, taken: [] }),
    /inside the project/,
  );
  assert.throws(() => createPlugin({ name: 'fresh', folder: root, root, taken: [] }), /inside the project/);
  assert.throws(() => createPlugin({ name: 'reports', root, taken: [] }), /exists already/);
  assert.throws(() => createPlugin({ name: 'fresh', folder: dir, root, taken: [] }), /exists already/);
  assert.deepEqual(readdirSync(dir), []);
});

test('the command: names of plugins and node types are taken; mistakes are told in a sentence', async (t) => {
  const dir = temporary(t);
  for (const name of ['reports', 'llm', 'loop', 'koagent']) {
    const { code, out } = await command(name, '--folder', join(dir, name));
    assert.equal(code, 2, name);
    assert.match(out, /exists already/);
  }
  for (const args of [[], ['a', 'b'], ['a', '--nonsense']]) {
    const { code, out } = await command(...args);
    assert.equal(code, 2);
    assert.doesNotMatch(out, /^\s+at /m);
  }
  assert.match((await command('--help')).out, /^usage:/);
  assert.deepEqual(readdirSync(dir), []);
});

test('a link that broke is made anew; what is no plugin or no link is left alone', (t) => {
  const dir = temporary(t);
  const folder = join(dir, 'p');
  createPlugin({ name: 'linked', folder, root, taken: [] });
  const link = join(folder, 'node_modules', 'koagent');
  rmSync(link);
  symlinkSync(join(dir, 'gone'), link);
  linkPlugin(folder, root);
  assert.equal(JSON.parse(readFileSync(join(link, 'package.json'), 'utf8')).name, 'koagent');
  rmSync(link);
  mkdirSync(link);
  writeFileSync(join(link, 'package.json'), '{}');
  assert.throws(() => linkPlugin(folder, root), NewPluginError);
  assert.throws(() => linkPlugin(dir, root), NewPluginError);
});
