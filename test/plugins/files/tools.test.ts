import assert from 'node:assert/strict';
import { mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createLogger } from '../../../core/log.ts';
import type { Principal } from '../../../core/principal.ts';
import { toolService } from '../../../runtime/tools/index.ts';
import { startTestServer } from '../../support/app.ts';
import { apiAccount } from '../../support/people.ts';

const { server, dataDir } = await startTestServer({ after });
const { principal } = await apiAccount(server, 'tools-bot');
const registry = server.app.host.find(toolService);
assert.ok(registry);
const tools = registry;

const folder = (...more: string[]) => join(dataDir, 'files', principal.accountId, 'project', ...more);
await mkdir(folder('user_upload'), { recursive: true });

interface Event {
  type: string;
  // biome-ignore lint/suspicious/noExplicitAny: the tests look into trees
  data: any;
}
let calls = 0;

/** One call as an answer makes it; `key` repeats an earlier one. */
async function call(name: string, given: Record<string, unknown>, options: { as?: Principal; key?: string } = {}) {
  const events: Event[] = [];
  const caller = options.as ?? principal;
  const result = await tools.call({
    name,
    arguments: given,
    scope: { principal: caller },
    runId: 'run-1',
    idempotencyKey: options.key ?? `run-1/tool/${++calls}`,
    signal: new AbortController().signal,
    log: createLogger('silent'),
    emit: (type, data) => void events.push({ type, data }),
    node: () => Promise.reject(new Error('no file tool runs a node')),
  });
  return { result: result as Record<string, unknown>, events };
}

test('tools are offered to API accounts alone', async () => {
  const names = async (who: Principal) =>
    (await tools.select({ names: ['category:file_edit', 'category:read_focus'] }, { principal: who })).map(
      ({ name }) => name,
    );
  assert.deepEqual(await names(principal), [
    'delete_file',
    'edit_file',
    'list_files',
    'read_file',
    'rename_file',
    'search_files',
    'write_file',
  ]); // prettier-ignore
  assert.deepEqual(await names({ ...principal, kind: 'user' }), []);
});

test('write, append, edit, rename, delete: the tree is told after each change', async () => {
  const made = await call('write_file', { path: 'user_upload/a/notes.md', content: '# 标题\n一\n' });
  assert.deepEqual(made.result, { path: 'user_upload/a/notes.md', size: 13, created: true });
  assert.deepEqual(made.events, [
    {
      type: 'file_tree_update',
      data: {
        tree: [
          {
            name: 'user_upload',
            path: 'user_upload',
            is_dir: true,
            size: 0,
            children: [
              {
                name: 'a',
                path: 'user_upload/a',
                is_dir: true,
                size: 0,
                children: [{ name: 'notes.md', path: 'user_upload/a/notes.md', is_dir: false, size: 13 }],
              },
            ],
          },
        ],
        total_files: 1,
        total_size: 13,
        truncated: false,
      },
    },
  ]);
  await call('write_file', { path: 'user_upload/a/notes.md', content: '二\n', append: true });
  const edited = await call('edit_file', { path: 'user_upload/a/notes.md', old_text: '一', new_text: '1' });
  assert.deepEqual(edited.result, { path: 'user_upload/a/notes.md', replaced: 1 });
  assert.equal(await readFile(folder('user_upload/a/notes.md'), 'utf8'), '# 标题\n1\n二\n');
  const moved = await call('rename_file', { path: 'user_upload/a', new_path: 'kept/b' });
  assert.deepEqual(moved.result, { renamed: 'user_upload/a', path: 'kept/b' });
  assert.equal(moved.events[0]?.data.total_files, 1);
  const read = await call('read_file', { path: 'kept/b/notes.md' });
  assert.equal(read.result.content, '# 标题\n1\n二');
  const gone = await call('delete_file', { path: 'kept' });
  assert.deepEqual([gone.result, gone.events[0]?.data.total_files], [{ deleted: 'kept' }, 0]);
});

test('a call that is repeated with its key changes nothing more and gives its first answer', async () => {
  const again = async (name: string, given: Record<string, unknown>) => {
    const key = `run-1/again/${name}/${JSON.stringify(given)}`;
    const first = await call(name, given, { key });
    assert.deepEqual((await call(name, given, { key })).result, first.result, name);
  };
  await again('write_file', { path: 'r.txt', content: 'one\n', append: true });
  await again('write_file', { path: 'r.txt', content: 'two\n', append: true });
  assert.equal(await readFile(folder('r.txt'), 'utf8'), 'one\ntwo\n');
  await again('edit_file', { path: 'r.txt', old_text: 'one', new_text: 'one one' });
  assert.equal(await readFile(folder('r.txt'), 'utf8'), 'one one\ntwo\n');
  await again('rename_file', { path: 'r.txt', new_path: 's.txt' });
  await again('delete_file', { path: 's.txt' });
  await assert.rejects(call('delete_file', { path: 's.txt' }), { code: 'PATH_NOT_FOUND' });
});

test('read_file: lines, encodings, long files, no text', async () => {
  const lines = Array.from({ length: 5000 }, (_, at) => `line ${at + 1} ${'x'.repeat(20)}`);
  await writeFile(folder('long.txt'), `${lines.join('\r\n')}\r\n`);
  const part = (await call('read_file', { path: 'long.txt', start_line: 10, end_line: 12 })).result;
  assert.deepEqual([part.total_lines, part.start_line, part.end_line], [5000, 10, 12]);
  assert.equal(part.content, lines.slice(9, 12).join('\n'));
  const whole = (await call('read_file', { path: 'long.txt' })).result;
  assert.equal(whole.truncated, true);
  assert.equal((whole.content as string).length, 60_000);
  const past = (await call('read_file', { path: 'long.txt', start_line: 6000 })).result;
  assert.deepEqual([past.content, past.total_lines], ['', 5000]);

  const gbk = await readFile(join(import.meta.dirname, '../../fixtures/documents/gbk.txt'));
  await writeFile(folder('gbk.txt'), gbk);
  const decoded = (await call('read_file', { path: 'gbk.txt' })).result;
  assert.deepEqual([decoded.encoding, (decoded.content as string).includes('\ufffd')], ['gb18030', false]);
  await writeFile(folder('picture.png'), Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex'));
  await assert.rejects(call('read_file', { path: 'picture.png' }), { code: 'FILE_NOT_TEXT' });
  await writeFile(folder('huge.txt'), 'x'.repeat((4 << 20) + 1));
  await assert.rejects(call('read_file', { path: 'huge.txt' }), { code: 'FILE_TOO_BIG' });
  await writeFile(folder('empty.txt'), '');
  const empty = (await call('read_file', { path: 'empty.txt' })).result;
  assert.deepEqual([empty.content, empty.total_lines], ['', 0]);
  await rm(folder('huge.txt'));
});

test('edit_file: passages that are not there, not once, and files of Windows', async () => {
  await writeFile(folder('crlf.txt'), '\ufeffone\r\ntwo\r\none\r\n');
  await assert.rejects(call('edit_file', { path: 'crlf.txt', old_text: 'three', new_text: '' }), {
    code: 'EDIT_MISMATCH',
  });
  await assert.rejects(call('edit_file', { path: 'crlf.txt', old_text: 'one', new_text: '' }), {
    code: 'EDIT_MISMATCH',
  });
  await call('edit_file', { path: 'crlf.txt', old_text: 'one\ntwo', new_text: '1\n2' });
  assert.equal(await readFile(folder('crlf.txt'), 'utf8'), '\ufeff1\r\n2\r\none\r\n');
  await call('edit_file', { path: 'crlf.txt', old_text: '\r\n', new_text: '$&\n', replace_all: true });
  assert.equal(await readFile(folder('crlf.txt'), 'utf8'), '\ufeff1$&\n2$&\none$&\n');
  const gbk = await call('edit_file', { path: 'gbk.txt', old_text: '。', new_text: '！', replace_all: true });
  assert.match(String(gbk.result.note), /UTF-8/);
  assert.equal((await call('read_file', { path: 'gbk.txt' })).result.encoding, 'utf-8');
});

test('search_files: names and lines, bounded', async () => {
  await mkdir(folder('src'), { recursive: true });
  await writeFile(folder('src/a.ts'), `const Needle = 1;\n${'y'.repeat(1000)}needle${'z'.repeat(1000)}\n`);
  await writeFile(folder('src/needle.md'), 'nothing');
  await writeFile(folder('src/many.txt'), 'needle\n'.repeat(100));
  const { result } = await call('search_files', { query: 'NEEDLE', path: 'src' });
  const matches = result.matches as { path: string; line: number; text: string }[];
  assert.deepEqual(result.names, ['src/needle.md']);
  assert.deepEqual(matches[0], { path: 'src/a.ts', line: 1, text: 'const Needle = 1;' });
  assert.ok(matches[1]?.text.length === 300 && matches[1].text.includes('needle'));
  assert.equal(matches.filter(({ path }) => path === 'src/many.txt').length, 20);
  const exact = await call('search_files', { query: 'Needle', case_sensitive: true, name_pattern: '*.t?' });
  assert.deepEqual((exact.result.matches as unknown[]).length, 1);
  const slow = await call('search_files', { query: 'x', name_pattern: '*a'.repeat(90) });
  assert.deepEqual(slow.result.matches, []);
  await assert.rejects(call('search_files', { query: 'x', path: 'nowhere' }), { code: 'PATH_NOT_FOUND' });
});

test('no tool leaves the project directory', async () => {
  await writeFile(join(dataDir, 'outside.txt'), 'outside');
  await symlink(dataDir, folder('out'));
  await symlink(join(dataDir, 'outside.txt'), folder('out.txt'));
  const refused = async (name: string, given: Record<string, unknown>) =>
    assert.rejects(call(name, given), { code: 'PATH_ILLEGAL' }, `${name} ${JSON.stringify(given)}`);
  for (const path of ['../x', '/etc/passwd', 'a/../../x', 'a\\b', 'out/x', 'out.txt']) {
    await refused('read_file', { path });
    await refused('edit_file', { path, old_text: 'outside', new_text: 'x' });
    if (path !== 'out.txt') {
      await refused('write_file', { path, content: 'x' });
      await refused('rename_file', { path: 'crlf.txt', new_path: path });
      await refused('list_files', { path });
    }
  }
  for (const path of ['../x', '/', '/etc']) await refused('delete_file', { path });
  await assert.rejects(call('delete_file', { path: 'user_upload' }), { code: 'PATH_FIXED' });
  await assert.rejects(call('rename_file', { path: './user_upload/', new_path: 'x' }), { code: 'PATH_FIXED' });
  await assert.rejects(call('rename_file', { path: 'src', new_path: 'src/below' }), { code: 'PATH_ILLEGAL' });
  await assert.rejects(call('rename_file', { path: 'crlf.txt', new_path: 'src' }), { code: 'PATH_TAKEN' });
  const { result } = await call('search_files', { query: 'outside' });
  assert.deepEqual([result.matches, result.names], [[], []]);
  const listed = await call('list_files', { recursive: true });
  assert.ok(!(listed.result.items as { path: string }[]).some(({ path }) => path.startsWith('out')));
  await refused('delete_file', { path: 'out' });
  // A link that leads to something inside is deleted alone.
  await symlink('src', folder('inside'));
  await call('delete_file', { path: 'inside' });
  assert.equal(await readFile(folder('src/needle.md'), 'utf8'), 'nothing');
  assert.equal(await readFile(join(dataDir, 'outside.txt'), 'utf8'), 'outside');
});
