import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { defineRoute, defineRoutes } from '../../../core/http/route.ts';
import { Type } from '../../../core/schema.ts';
import { inOnePass } from '../../support/effort.ts';
import { serveRoutes } from '../../support/http.ts';

const B = 'boundary';
/** 报告 in GB18030, as a console of Chinese Windows sends it. */
const REPORT = Buffer.from([0xb1, 0xa8, 0xb8, 0xe6]);

/** A part as it travels: its head line by line, then its content. */
const part = (head: (string | Buffer)[], content: string | Buffer = 'x') =>
  Buffer.concat([
    Buffer.from(`--${B}\r\n`),
    ...head.flatMap((line) => [Buffer.from(line), Buffer.from('\r\n')]),
    Buffer.from('\r\n'),
    Buffer.from(content),
    Buffer.from('\r\n'),
  ]);

const form = (...parts: Buffer[]) => ({
  token: 'api',
  headers: { 'content-type': `multipart/form-data; boundary=${B}` },
  body: new Uint8Array(Buffer.concat([...parts, Buffer.from(`--${B}--\r\n`)])),
});

const field = (name: string, value: string | Buffer, ...head: string[]) =>
  part([`Content-Disposition: form-data; name="${name}"`, ...head], value);

/** The server clears up after the client has seen the end of its connection. */
async function nothingLeft(left: () => string[]): Promise<void> {
  const until = Date.now() + 5000;
  while (left().length > 0 && Date.now() < until) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.deepEqual(left(), []);
}

/** A route that tells what came; temporary files of the test lie in a folder of their own. */
async function serve(t: TestContext, bodyIdleMs?: number) {
  const folder = mkdtempSync(join(tmpdir(), 'koagent-test-'));
  const before = process.env.TMPDIR;
  process.env.TMPDIR = folder;
  t.after(() => {
    if (before === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = before;
    rmSync(folder, { recursive: true, force: true });
  });
  const seen: { mode: string; folderMode: string; content: string }[] = [];
  const routes = [
    defineRoutes('tasks', {
      tag: { zh: 'test', en: 'test' },
      codes: {},
      routes: [
        defineRoute({
          method: 'POST',
          path: '/files/upload',
          auth: 'api',
          bodyType: 'multipart',
          maxBodyBytes: 1 << 20,
          summary: { zh: 'upload', en: 'upload' },
          body: Type.Object({ dir: Type.Optional(Type.String()) }),
          reply: Type.Object({ name: Type.String(), size: Type.Integer(), dir: Type.String() }),
          handler({ body, files: { file } }) {
            if (!file) return { name: 'none', size: 0, dir: body.dir ?? 'none' };
            seen.push({
              mode: (statSync(file.path).mode & 0o077).toString(8),
              folderMode: (statSync(dirname(file.path)).mode & 0o077).toString(8),
              content: readFileSync(file.path, 'latin1'),
            });
            return { name: file.filename, size: file.size, dir: body.dir ?? 'none' };
          },
        }),
        defineRoute({
          method: 'POST',
          path: '/conversations',
          auth: 'api',
          summary: { zh: 'create', en: 'create' },
          body: Type.Object({}),
          reply: Type.Object({}),
          handler: () => ({}),
        }),
      ],
    }),
  ];
  const { call, url } = await serveRoutes(
    t,
    routes,
    {},
    [],
    undefined,
    [],
    bodyIdleMs === undefined ? {} : { bodyIdleMs },
  );
  const send = async (...parts: Buffer[]) => {
    const { status, body } = await call('POST', '/files/upload', form(...parts));
    return status === 200 ? { name: body.name, size: body.size, dir: body.dir } : { status, error: body.error };
  };
  return { call, url, send, seen, left: () => readdirSync(folder) };
}

test('files: a part with a name is a file, with and without a content type', async (t) => {
  const { send } = await serve(t);
  const head = 'Content-Disposition: form-data; name="file"; filename="a.txt"';
  assert.deepEqual(await send(part([head])), { name: 'a.txt', size: 1, dir: 'none' });
  assert.deepEqual(await send(part([head, 'Content-Type: text/plain'], '')), { name: 'a.txt', size: 0, dir: 'none' });
  const bytes = 'Content-Type: application/octet-stream';
  assert.deepEqual(await send(field('file', 'xyz', bytes)), { name: '', size: 3, dir: 'none' });
});

test('fields: text with a content type is a field, as clients in Java and .NET send it', async (t) => {
  const { send } = await serve(t);
  const file = part(['Content-Disposition: form-data; name=file; filename=a.txt']);
  assert.deepEqual(await send(file, field('dir', 'a/b', 'Content-Type: text/plain; charset=utf-8')), {
    name: 'a.txt',
    size: 1,
    dir: 'a/b',
  });
  assert.deepEqual(await send(file, field('dir', '目录')), { name: 'a.txt', size: 1, dir: '目录' });
  assert.deepEqual(await send(file, field('dir', REPORT)), { name: 'a.txt', size: 1, dir: '报告' });
});

test('names of files: UTF-8, GB18030, RFC 5987 and escaped signs', async (t) => {
  const { send } = await serve(t);
  const named = async (disposition: string | Buffer) => {
    const head = Buffer.concat([
      Buffer.from('Content-Disposition: form-data; name="file"; '),
      Buffer.from(disposition),
    ]);
    const answer = await send(part([head, 'Content-Type: text/plain']));
    return 'name' in answer ? answer.name : answer;
  };
  assert.equal(await named('filename="报告 1.txt"'), '报告 1.txt');
  assert.equal(await named(Buffer.concat([Buffer.from('filename="'), REPORT, Buffer.from('.txt"')])), '报告.txt');
  assert.equal(await named("filename*=utf-8''%E6%8A%A5%E5%91%8A.txt"), '报告.txt');
  assert.equal(await named(`filename="%E6%8A%A5.txt"; filename*=UTF-8''%E6%8A%A5%E5%91%8A.txt`), '报告.txt');
  assert.equal(await named(`filename*="utf-8''%E6%8A%A5.txt"; filename="plain.txt"`), '报.txt');
  assert.equal(await named(`filename="plain.txt"; filename*=utf-8''%E6%8`), 'plain.txt');
  assert.equal(await named(`filename="plain.txt"; filename*=utf-16''%E6`), 'plain.txt');
  assert.equal(await named('filename="a\\"b%22c.txt"'), 'a"b"c.txt');
  assert.equal(await named('filename="C:\\dir\\x.txt"'), 'C:\\dir\\x.txt');
  assert.equal(await named('filename="a;b=c.txt"'), 'a;b=c.txt');
  assert.equal(await named('filename=""'), '');
});

test('temporary files: nobody else can read them, and none is left', async (t) => {
  const { call, send, seen, left, url } = await serve(t);
  const file = part(['Content-Disposition: form-data; name="file"; filename="a.txt"', 'Content-Type: text/plain']);
  await send(file, file, part(['Content-Disposition: form-data; name="other"; filename="b.txt"']));
  assert.equal(seen.length, 1);
  assert.equal(seen[0]?.folderMode, '0');
  assert.equal(seen[0]?.content, 'x');
  assert.deepEqual(left(), []);

  // A shared route reads the body before it knows who asks, or that it takes no forms.
  for (const token of ['api', 'nobody']) {
    const { status } = await call('POST', '/conversations', { ...form(file), token });
    assert.equal(status, token === 'api' ? 400 : 401);
    assert.deepEqual(left(), []);
  }

  const big = part(['Content-Disposition: form-data; name="file"; filename="a.bin"'], Buffer.alloc(1 << 20, 'x'));
  assert.equal((await call('POST', '/files/upload', form(big, file))).status, 413);
  const broken = { ...form(), body: new Uint8Array(file) };
  assert.equal((await call('POST', '/files/upload', broken)).status, 400);

  const { port } = new URL(url);
  const socket = connect(Number(port), '127.0.0.1');
  socket.on('error', () => undefined);
  socket.write(
    `POST /api/v1/files/upload HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer api\r\nContent-Type: multipart/form-data; boundary=${B}\r\nContent-Length: 100000\r\n\r\n`,
  );
  socket.write(file);
  while (left().length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  socket.destroy();
  await once(socket, 'close');
  await nothingLeft(left);
});

test('too many fields and files are refused, and the message says so', async (t) => {
  const { send } = await serve(t);
  const fields = Array.from({ length: 201 }, (_, at) => field(`f${at}`, 'x'));
  const tooMany = { status: 413, error: '表单的字段或文件过多，或字段过长' };
  assert.deepEqual(await send(...fields), tooMany);
  assert.deepEqual(await send(field('dir', 'x'.repeat((1 << 20) - 100), ''), field('b', 'x'.repeat(200))), tooMany);
  const files = Array.from({ length: 101 }, (_, at) =>
    part([`Content-Disposition: form-data; name="f${at}"; filename="a.txt"`]),
  );
  assert.deepEqual(await send(...files), tooMany);
});

test('a form of names that objects have already is an ordinary one', async (t) => {
  const { send } = await serve(t);
  const file = part(['Content-Disposition: form-data; name="__proto__"; filename="a.txt"']);
  assert.deepEqual(await send(file, field('__proto__', 'x'), field('constructor', 'y'), field('dir', 'd')), {
    name: 'none',
    size: 0,
    dir: 'd',
  });
});

test('heads of parts: encodings that are said, heads that are endless, broken ones', async (t) => {
  const { send, left } = await serve(t);
  const file = 'Content-Disposition: form-data; name="file"; filename="a.txt"';
  const refused = { status: 400, error: '无法读取表单' };
  for (const encoding of ['binary', '7bit', '8BIT']) {
    const said = `Content-Transfer-Encoding: ${encoding}`;
    assert.deepEqual(await send(part([file, said], 'é'), field('dir', '目录', said)), {
      name: 'a.txt',
      size: 2,
      dir: '目录',
    });
  }
  for (const encoding of ['base64', 'quoted-printable', 'x']) {
    assert.deepEqual(await send(field('dir', 'eA==', `Content-Transfer-Encoding: ${encoding}`)), refused);
  }
  await inOnePass(async () => {
    assert.deepEqual(await send(part([`X: ${'filename="'.repeat(50_000)}`])), refused);
    assert.deepEqual(await send(part([`Content-Disposition: x${'; filename="'.repeat(1300)}`])), {
      name: 'none',
      size: 0,
      dir: 'none',
    });
  });
  for (const head of [
    ['no colon'],
    [': empty'],
    ['a b: c'],
    ['Content-Disposition: form-data; name="a"', '  folded'],
  ]) {
    assert.deepEqual(await send(part(head)), refused);
  }
  assert.deepEqual(left(), []);
});

test('contents: boundaries in pieces, nearly boundaries, and line ends are kept as they are', async (t) => {
  const { send, seen, url } = await serve(t);
  const file = 'Content-Disposition: form-data; name="file"; filename="a.txt"';
  for (const content of [
    '',
    '\r\n',
    '\r\n--',
    `\r\n--boundar`,
    `--${B}--\r`,
    `\n--${B}\n`,
    'a\r\n\r\nb',
    '\r\r\n\r\n',
  ]) {
    await send(part([file], content), field('dir', 'x'));
    assert.equal(seen.at(-1)?.content, content);
  }
  const { port } = new URL(url);
  const body = Buffer.concat([
    Buffer.from('preamble\r\n'),
    part([file], 'in\r\n pieces'),
    Buffer.from(`--${B}--\r\nrest`),
  ]);
  const socket = connect(Number(port), '127.0.0.1').setNoDelay();
  socket.write(
    `POST /api/v1/files/upload HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer api\r\nContent-Type: multipart/form-data; boundary="${B}"\r\nTransfer-Encoding: chunked\r\n\r\n`,
  );
  for (const byte of body) socket.write(Buffer.concat([Buffer.from('1\r\n'), Buffer.of(byte), Buffer.from('\r\n')]));
  socket.write('0\r\n\r\n');
  let answer = '';
  for await (const piece of socket) answer += piece;
  assert.match(answer, /^HTTP\/1.1 200 /);
  assert.equal(seen.at(-1)?.content, 'in\r\n pieces');
});

test('forms that are none: no boundary, another one, an end that is missing', async (t) => {
  const { call } = await serve(t);
  const send = async (type: string, body: string) =>
    (await call('POST', '/files/upload', { token: 'api', headers: { 'content-type': type }, body })).status;
  const whole = `--${B}\r\n\r\nx\r\n--${B}--`;
  assert.equal(await send(`multipart/form-data; boundary=${B}`, whole), 200);
  assert.equal(await send('multipart/form-data', whole), 400);
  assert.equal(await send('multipart/form-data; boundary=', whole), 400);
  assert.equal(await send(`multipart/form-data; boundary=${'b'.repeat(201)}`, whole), 400);
  assert.equal(await send('multipart/form-data; boundary=other', whole), 400);
  assert.equal(await send(`multipart/form-data; boundary=${B}`, whole.slice(0, -2)), 400);
  assert.equal(await send(`multipart/form-data; boundary=${B}`, `--${B}x\r\n\r\nx\r\n--${B}--`), 400);
  assert.equal(await send(`multipart/form-data; boundary=${B}`, 'x'), 400);
});

test('a body that stands still ends its connection, one that comes slowly does not', async (t) => {
  const { url, seen, left } = await serve(t, 300);
  const { port } = new URL(url);
  const body = Buffer.concat([
    part(['Content-Disposition: form-data; name="file"; filename="a.txt"'], 'slow'),
    Buffer.from(`--${B}--\r\n`),
  ]);
  const begin = (connection: string) => {
    const socket = connect(Number(port), '127.0.0.1').setNoDelay();
    socket.write(
      `POST /api/v1/files/upload HTTP/1.1\r\nHost: x\r\nConnection: ${connection}\r\nAuthorization: Bearer api\r\nContent-Type: multipart/form-data; boundary=${B}\r\nContent-Length: ${body.length}\r\n\r\n`,
    );
    return socket;
  };
  const still = begin('close');
  still.write(body.subarray(0, 60));
  still.resume();
  await once(still, 'close');
  await nothingLeft(left);
  assert.equal(seen.length, 0);

  const slow = begin('keep-alive');
  for (let at = 0; at < body.length; at += 20) {
    slow.write(body.subarray(at, at + 20));
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const [first] = await once(slow, 'data');
  assert.match(String(first), /^HTTP\/1.1 200 /);
  assert.equal(seen.at(-1)?.content, 'slow');
  // The pause before the next request is none of its business.
  await new Promise((resolve) => setTimeout(resolve, 500));
  slow.write('GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  const [second] = await once(slow, 'data');
  assert.match(String(second), /^HTTP\/1.1 200 /);
});
