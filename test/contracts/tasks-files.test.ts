import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { link, mkdir, readdir, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fromBuffer } from 'yauzl';
import type { Answer } from '../support/api-client.ts';
import { startTestServer } from '../support/app.ts';
import { apiAccount } from '../support/people.ts';

const server = await startTestServer({ after });
const { token, principal } = await apiAccount(server.server, 'files-bot');
const { accountId } = principal;

const get = (path: string, as = token) => server.call('GET', path, { token: as });
const list = (path?: string, as = token) =>
  get(`/files${path === undefined ? '' : `?path=${encodeURIComponent(path)}`}`, as);

interface Upload {
  filename?: string;
  dir?: string;
  as?: string;
}

function upload(
  name: string,
  content: string | Uint8Array,
  { filename, dir, as = token }: Upload = {},
): Promise<Answer> {
  const form = new FormData();
  form.set('file', new Blob([content as string]), name);
  if (filename !== undefined) form.set('filename', filename);
  if (dir !== undefined) form.set('dir', dir);
  return server.call('POST', '/files/upload', { token: as, body: form });
}

const folder = (...more: string[]) => join(server.dataDir, 'files', accountId, 'project', ...more);

const failure = ({ status, body }: Answer) => {
  assert.deepEqual(Object.keys(body).sort(), ['error', 'success']);
  assert.equal(body.success, false);
  assert.equal(typeof body.error, 'string');
  return status;
};

/** Names and contents of a ZIP archive. */
function unzip(bytes: Buffer): Promise<Map<string, string>> {
  return new Promise((resolve, reject) => {
    fromBuffer(bytes, { lazyEntries: true }, (error, zip) => {
      if (error) return reject(error);
      const entries = new Map<string, string>();
      zip.on('entry', (entry) => {
        if (entry.fileName.endsWith('/')) {
          entries.set(entry.fileName, '');
          return zip.readEntry();
        }
        zip.openReadStream(entry, async (failed, stream) => {
          if (failed) return reject(failed);
          const pieces: Buffer[] = [];
          for await (const piece of stream) pieces.push(piece as Buffer);
          entries.set(entry.fileName, Buffer.concat(pieces).toString());
          zip.readEntry();
        });
      });
      zip.on('end', () => resolve(entries));
      zip.on('error', reject);
      zip.readEntry();
    });
  });
}

async function downloadZip(path: string): Promise<{ entries: Map<string, string>; headers: Headers }> {
  const response = await fetch(`${server.url}/api/v1/files/download?path=${encodeURIComponent(path)}`, {
    headers: { authorization: `Bearer ${token}` },
  });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('content-type'), 'application/zip');
  return { entries: await unzip(Buffer.from(await response.arrayBuffer())), headers: response.headers };
}

test('files: a fresh account has an empty folder', async () => {
  const fresh = await apiAccount(server.server, 'files-fresh');
  assert.deepEqual((await list(undefined, fresh.token)).body, { success: true, base: '', items: [] });
  assert.equal(failure(await list('a', fresh.token)), 404);
});

test('POST /files/upload, GET /files, GET /files/download: the documented way', async () => {
  const began = Date.now() / 1000;
  const made = await upload('报告 2024.txt', '内容');
  assert.equal(made.status, 200);
  const sha256 = createHash('sha256').update('内容').digest('hex');
  assert.deepEqual(made.body, { success: true, path: '报告 2024.txt', filename: '报告 2024.txt', size: 6, sha256 });

  const inside = await upload('b.bin', new Uint8Array([1, 2, 3]), { filename: 'data.bin', dir: 'user_upload/in/deep' });
  assert.equal(inside.body.path, 'in/deep/data.bin');
  await upload('a.txt', 'A', { dir: 'in' });

  const { body } = await list();
  assert.deepEqual(Object.keys(body), ['success', 'base', 'items']);
  assert.equal(body.base, '');
  assert.deepEqual(
    body.items.map(({ name, is_dir, size, path }: Record<string, unknown>) => ({ name, is_dir, size, path })),
    [
      { name: 'in', is_dir: true, size: 0, path: 'in' },
      { name: '报告 2024.txt', is_dir: false, size: 6, path: '报告 2024.txt' },
    ],
  );
  for (const { modified_at } of body.items) assert.ok(modified_at > began - 5 && modified_at < Date.now() / 1000 + 5);
  const nested = (await list('user_upload/in/')).body;
  assert.deepEqual(
    [nested.base, nested.items.map(({ path }: { path: string }) => path)],
    ['in', ['in/a.txt', 'in/deep']],
  );

  const file = await get(`/files/download?path=${encodeURIComponent('报告 2024.txt')}`);
  assert.deepEqual([file.status, file.text], [200, '内容']);
  assert.equal(file.headers.get('content-type'), 'application/octet-stream');
  assert.equal(file.headers.get('content-length'), '6');
  assert.match(
    file.headers.get('content-disposition') ?? '',
    /^attachment; .*filename\*=UTF-8''%E6%8A%A5%E5%91%8A%202024\.txt$/,
  );

  const { entries, headers } = await downloadZip('in');
  assert.match(headers.get('content-disposition') ?? '', /filename="in\.zip"/);
  assert.deepEqual(
    [...entries],
    [
      ['in/a.txt', 'A'],
      ['in/deep/', ''],
      ['in/deep/data.bin', '\u0001\u0002\u0003'],
    ],
  );
  assert.ok((await downloadZip('user_upload')).entries.has('报告 2024.txt'));
});

test('upload: a file of the same name is replaced, a directory of that name is not', async () => {
  await upload('same.txt', 'one');
  await upload('same.txt', 'two');
  assert.equal((await get('/files/download?path=same.txt')).text, 'two');
  await upload('x.txt', 'x', { dir: 'taken' });
  assert.equal(failure(await upload('taken', 'x')), 400);
  assert.equal(failure(await upload('y.txt', 'y', { dir: 'same.txt' })), 400);
  const empty = await upload('empty.txt', '');
  assert.equal(empty.body.size, 0);
  const download = await get('/files/download?path=empty.txt');
  assert.deepEqual([download.status, download.text, download.headers.get('content-length')], [200, '', '0']);
});

test('upload: names are cleaned', async () => {
  const longest = (name: string) => Buffer.byteLength(name) <= 255;
  const cases: [string, string | ((name: string) => boolean)][] = [
    ['../../etc/passwd', 'passwd'],
    ['..\\..\\windows\\system.ini', 'system.ini'],
    ['/abs/olute.txt', 'olute.txt'],
    ['a<b>c:d"e|f?g*.txt', 'a_b_c_d_e_f_g_.txt'],
    ['tab\tnull\u0000bell\u0007.txt', 'tabnullbell.txt'],
    ['invoice\u202Efdp.exe', 'invoicefdp.exe'],
    ['  .hidden. ', 'hidden'],
    ['CON', '_CON'],
    ['nul.txt', '_nul.txt'],
    ['com1.tar.gz', '_com1.tar.gz'],
    ['console.txt', 'console.txt'],
    ['cafe\u0301.txt', 'caf\u00e9.txt'],
    ['日本語 한국어 🇨🇳.md', '日本語 한국어 🇨🇳.md'],
    [`${'a'.repeat(300)}.txt`, (name) => name === `${'a'.repeat(251)}.txt`],
    [`${'报'.repeat(300)}.docx`, (name) => longest(name) && /^报{83}\.docx$/.test(name)],
    [`${'👨‍👩‍👧'.repeat(40)}.png`, (name) => longest(name) && /^(👨‍👩‍👧){13}\.png$/u.test(name)],
    [`a.${'x'.repeat(300)}`, (name) => longest(name) && name.length === 255],
  ];
  for (const [given, wanted] of cases) {
    const { status, body } = await upload('part.txt', 'x', { filename: given, dir: 'names' });
    assert.equal(status, 200, `${JSON.stringify(given)}: ${JSON.stringify(body)}`);
    if (typeof wanted === 'string') assert.equal(body.filename, wanted);
    else assert.ok(wanted(body.filename), body.filename);
    assert.equal(body.path, `names/${body.filename}`);
  }
  for (const given of ['..', '...', '. .', '/', 'a/', '\\', '\u0000\u0001'])
    assert.equal(failure(await upload('part.txt', 'x', { filename: given })), 400, JSON.stringify(given));
});

test('upload: no file, another body, a large file', async () => {
  const form = new FormData();
  form.set('filename', 'a.txt');
  assert.equal(failure(await server.call('POST', '/files/upload', { token, body: form })), 400);
  const text = new FormData();
  text.set('file', 'not a file');
  assert.equal(failure(await server.call('POST', '/files/upload', { token, body: text })), 400);
  assert.equal(failure(await server.call('POST', '/files/upload', { token, body: { file: 'x' } })), 400);
  assert.equal(failure(await server.call('POST', '/files/upload', { token })), 400);
  assert.equal(failure(await upload('big.bin', new Uint8Array(50 * 1024 * 1024 + 1))), 413);
  assert.equal((await upload('largest.bin', new Uint8Array(50 * 1024 * 1024))).status, 200);
  assert.deepEqual(await readdir(join(server.dataDir, 'files', '.drafts')), []);
  assert.ok(!(await readdir(folder('user_upload'))).includes('big.bin'));
});

test('upload: of several files in one form the first is taken', async () => {
  const form = new FormData();
  for (const content of ['first', 'other', 'other']) form.append('file', new Blob([content]), 'several.txt');
  assert.equal((await server.call('POST', '/files/upload', { token, body: form })).status, 200);
  assert.equal((await get('/files/download?path=several.txt')).text, 'first');
});

test('upload: what is called as the folder itself can be had by the path that is told', async () => {
  const { body } = await upload('user_upload', 'a file of that name');
  assert.equal(body.path, 'user_upload/user_upload');
  const { items } = (await list()).body;
  assert.ok(items.some(({ path }: { path: string }) => path === body.path));
  assert.equal((await get(`/files/download?path=${body.path}`)).text, 'a file of that name');
  assert.equal((await upload('x.txt', 'x', { dir: 'user_upload' })).body.path, 'x.txt');
});

test('files lie where no other user of the machine can read them', async () => {
  await upload('private.txt', 'x', { dir: 'new/deep' });
  for (const path of [folder('user_upload', 'new', 'deep'), folder(), join(server.dataDir, 'files', '.drafts')])
    assert.equal((await stat(path)).mode & 0o077, 0, path);
  assert.equal((await stat(folder('user_upload', 'new', 'deep', 'private.txt'))).mode & 0o077, 0);
});

test('paths that lead out are refused everywhere', async () => {
  await writeFile(join(server.dataDir, 'secret.txt'), 'secret');
  await writeFile(folder('notes.txt'), 'beside user_upload');
  await mkdir(folder('user_upload', 'links'));
  const at = (name: string) => folder('user_upload', 'links', name);
  await symlink(join(server.dataDir, 'secret.txt'), at('file'));
  await symlink(server.dataDir, at('directory'));
  await symlink('../../notes.txt', at('project'));
  await symlink('loop', at('loop'));
  await symlink('nowhere', at('dangling'));
  await symlink('..', at('up'));
  await writeFile(at('real.txt'), 'real');
  await symlink('real.txt', at('inside'));
  await link(at('real.txt'), at('hard'));

  const illegal = [
    '../x',
    'a/../../x',
    '..',
    '/etc/passwd',
    '/',
    'a\\b',
    '..\\..',
    'a\u0000b',
    'a\nb',
    `${'x'.repeat(256)}`,
    'a/'.repeat(600),
    'user_upload/../../x',
    'links/file',
    'links/directory',
    'links/directory/secret.txt',
    'links/project',
    'links/loop',
  ]; // prettier-ignore
  for (const path of illegal) {
    const query = encodeURIComponent(path);
    assert.equal(failure(await get(`/files?path=${query}`)), 400, `list ${path}`);
    assert.equal(failure(await get(`/files/download?path=${query}`)), 400, `download ${path}`);
  }
  for (const dir of ['../x', '/tmp', 'a\\b', 'links/directory', 'links/directory/new', 'nul', 'a/con.d', 'x ', 'y.'])
    assert.equal(failure(await upload('a.txt', 'x', { dir })), 400, `upload to ${dir}`);
  assert.ok(!(await readdir(server.dataDir)).includes('new'));

  const { items } = (await list('links')).body;
  assert.deepEqual(
    items.map(({ name, is_dir }: { name: string; is_dir: boolean }) => [name, is_dir]),
    [
      ['hard', false],
      ['inside', false],
      ['real.txt', false],
      ['up', true],
    ],
  );
  const { entries } = await downloadZip('links');
  assert.deepEqual(
    [...entries],
    [
      ['links/hard', 'real'],
      ['links/inside', 'real'],
      ['links/real.txt', 'real'],
    ],
  );
  assert.equal((await get('/files/download?path=links/inside')).text, 'real');

  // A file put over a link takes its place and leaves alone what it led to.
  assert.equal((await upload('file', 'mine', { dir: 'links' })).status, 200);
  assert.equal((await get('/files/download?path=links/file')).text, 'mine');
});

test('GET /files, GET /files/download: what is not there, what is of another kind', async () => {
  await upload('plain.txt', 'x');
  assert.equal(failure(await list('plain.txt')), 400);
  assert.equal(failure(await list('plain.txt/x')), 404);
  assert.equal(failure(await list('missing')), 404);
  assert.equal(failure(await get('/files/download')), 400);
  assert.equal(failure(await get('/files/download?path=')), 400);
  assert.equal(failure(await get('/files/download?path=missing.txt')), 404);
  assert.equal(failure(await get('/files', 'no-such-token')), 401);
  assert.equal(failure(await get('/files/download?path=plain.txt', '')), 401);
});

test('files of other accounts cannot be reached', async () => {
  const other = await apiAccount(server.server, 'files-other');
  await upload('theirs.txt', 'theirs', { as: other.token });
  assert.equal(failure(await get('/files/download?path=theirs.txt')), 404);
  const path = encodeURIComponent(`../../../${other.principal.accountId}/project/user_upload/theirs.txt`);
  assert.equal(failure(await get(`/files/download?path=${path}`)), 400);
  assert.deepEqual((await list(undefined, other.token)).body.items.length, 1);
});

test('zip: a download that is broken off leaves no open file behind, and a large directory goes through', async () => {
  const noise = Buffer.alloc(200_000, 'x');
  for (let at = 0; at < 60; at++) for (let i = 0; i < 1000; i++) noise[(i * 193 + at) % noise.length] = (i * at) % 256;
  await mkdir(folder('user_upload', 'many'), { recursive: true });
  for (let at = 0; at < 60; at++) await writeFile(folder('user_upload', 'many', `${at}.bin`), noise);
  await utimes(folder('user_upload', 'many', '1.bin'), 0, 0);
  const open = () =>
    readdir('/proc/self/fd').then(
      ({ length }) => length,
      () => 0,
    );
  const before = await open();
  for (let at = 0; at < 5; at++) {
    await new Promise<void>((resolve, reject) => {
      const call = request(`${server.url}/api/v1/files/download?path=many`, {
        headers: { authorization: `Bearer ${token}` },
      });
      call.on('response', (response) => response.once('data', () => response.destroy()).once('close', () => resolve()));
      call.on('error', reject).end();
    });
  }
  assert.equal((await downloadZip('many')).entries.size, 60);
  assert.ok((await open()) <= before + 3, 'open files');
});
