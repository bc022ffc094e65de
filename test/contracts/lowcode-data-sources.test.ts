import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { databaseService } from '../../core/data/database.ts';
import { accountService } from '../../plugins/auth/public.ts';
import type { Answer } from '../support/api-client.ts';
import { startTestServer } from '../support/app.ts';
import { openMysql, openPostgresql } from '../support/servers.ts';

// Source: low-code document, section on data sources; contracts/lowcode.md rows 24-30 and 2.7.

const dataDir = mkdtempSync(join(tmpdir(), 'koagent-sources-'));
const plugins = new URL('../../plugins/', import.meta.url).pathname;
const ROOT = { email: 'root@example.com', password: 'Root12345' };

/** Two plugins, and leave for requests to this machine by one address of it. */
const manifest = (allow: string[]) => {
  const file = join(dataDir, `manifest-${allow.length}.yaml`);
  const entries = ['auth', 'data-sources'].map((name) => `  ${name}: { from: ${join(plugins, name)} }`);
  writeFileSync(file, `plugins:\n${entries.join('\n')}\nhttp: {}\noutbound: { allow: ${JSON.stringify(allow)} }\n`);
  return file;
};

const { call, server } = await startTestServer(
  { after: (dispose) => after(dispose as () => Promise<void>) },
  {
    KOAGENT_DATA_DIR: dataDir,
    KOAGENT_MANIFEST: manifest(['127.0.0.1']),
    KOAGENT_ADMIN_EMAIL: ROOT.email,
    KOAGENT_ADMIN_PASSWORD: ROOT.password,
  },
);
after(() => rmSync(dataDir, { recursive: true, force: true }));

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$/;

async function login(username: string): Promise<string> {
  const person = { username, email: `${username}@example.com`, password: 'password123' };
  assert.equal((await call('POST', '/auth/register', { body: person })).status, 201);
  const form = new URLSearchParams({ username, password: person.password });
  return (await call('POST', '/auth/login', { body: form })).body.access_token;
}

const token = await login('owner');
const other = await login('other');
const accounts = server.app.host.find(accountService);
assert.ok(accounts);
const { accessToken: root } = await accounts.login('lowcode', ROOT.email, ROOT.password);

function failure({ status, body }: Answer, wanted: number, code: string, field?: string) {
  assert.deepEqual([status, body.error_code, body.status_code], [wanted, code, wanted], JSON.stringify(body));
  assert.equal(typeof body.detail, 'string');
  if (field !== undefined) assert.equal(body.errors[0].loc.join('.'), field, JSON.stringify(body));
}

const create = async (type: string, config: object, name = 'a source'): Promise<string> => {
  const answer = await call('POST', '/data-sources', { token, body: { name, type, config } });
  assert.equal(answer.status, 201, answer.text);
  return answer.body.id;
};
const query = (id: string, text: unknown, as = token) =>
  call('POST', `/data-sources/${id}/query`, { token: as, body: { query: text } });

/** The sample of the document. */
const SAMPLE = {
  name: 'MySQL数据源',
  type: 'mysql',
  description: '描述',
  config: { host: 'localhost', port: 3306, database: 'test', username: 'user', password: 'password' },
};

test('POST /data-sources: the sample; the password is never shown', async () => {
  const { status, body } = await call('POST', '/data-sources', { token, body: SAMPLE });
  assert.equal(status, 201);
  const { id, user_id, created_at, updated_at, ...rest } = body;
  assert.match(id, UUID);
  assert.match(user_id, UUID);
  assert.match(created_at, TIME);
  assert.match(updated_at, TIME);
  assert.deepEqual(rest, {
    ...SAMPLE,
    config: { ...SAMPLE.config, password: '******' },
    status: 'active',
    last_connected_at: null,
  });
  assert.deepEqual((await call('GET', `/data-sources/${id}`, { token })).body, body);
});

test('POST /data-sources: wrong fields are named', async () => {
  const post = (fields: object) => call('POST', '/data-sources', { token, body: { ...SAMPLE, ...fields } });
  failure(await post({ name: '' }), 422, 'VALIDATION_ERROR', 'name');
  failure(await post({ name: 'x'.repeat(101) }), 422, 'VALIDATION_ERROR', 'name');
  failure(await post({ type: 'oracle' }), 422, 'VALIDATION_ERROR', 'type');
  failure(await post({ config: undefined }), 422, 'VALIDATION_ERROR', 'config');
  failure(await post({ config: [] }), 422, 'VALIDATION_ERROR', 'config');
  const configs: [string, object, string][] = [
    ['mysql', { ...SAMPLE.config, host: '' }, 'config.host'],
    ['mysql', { ...SAMPLE.config, host: '/var/run/mysqld/mysqld.sock' }, 'config.host'],
    ['mysql', { ...SAMPLE.config, port: 70000 }, 'config.port'],
    ['mysql', { ...SAMPLE.config, username: undefined }, 'config.username'],
    ['mysql', { ...SAMPLE.config, password: '******' }, 'config.password'],
    ['postgresql', { ...SAMPLE.config, host: 'a b' }, 'config.host'],
    ['postgresql', { ...SAMPLE.config, ssl: 'yes' }, 'config.ssl'],
    ['api', {}, 'config.base_url'],
    ['api', { base_url: 'ftp://example.com' }, 'config.base_url'],
    ['api', { base_url: 'https://example.com', method: 'DELETE' }, 'config.method'],
    ['api', { base_url: 'https://example.com', headers: { Host: 'x' } }, 'config.headers.Host'],
    ['api', { base_url: 'https://example.com', timeout: 5000 }, 'config.timeout'],
    ['api', { base_url: 'https://example.com', data_path: 'a[' }, 'config.data_path'],
    ['json', {}, 'config.data'],
    ['json', { data: [], file_path: 'a.json' }, 'config.data'],
    ['json', { file_path: '../secret.keys' }, 'config.file_path'],
    ['json', { file_path: '/etc/passwd' }, 'config.file_path'],
  ];
  for (const [type, config, field] of configs) failure(await post({ type, config }), 422, 'VALIDATION_ERROR', field);
});

test('GET /data-sources: newest first, paged and filtered, only the caller’s own', async () => {
  const ids = [await create('json', { data: 1 }, 'first'), await create('json', { data: 2 }, 'second')].reverse();
  const list = async (search: string, as = token) => (await call('GET', `/data-sources${search}`, { token: as })).body;
  assert.deepEqual(
    (await list('?skip=0&limit=10&type=json&status=active')).map(({ id }: { id: string }) => id),
    ids,
  );
  assert.deepEqual(
    (await list('?type=json&skip=1&limit=1')).map(({ name }: { name: string }) => name),
    ['first'],
  );
  assert.deepEqual(
    (await list('?type=mysql')).map(({ name }: { name: string }) => name),
    [SAMPLE.name],
  );
  assert.deepEqual(await list('?status=error'), []);
  assert.deepEqual(await list('', other), []);
  for (const search of ['?limit=101', '?skip=-1', '?type=x', '?status=x'])
    failure(await call('GET', `/data-sources${search}`, { token }), 422, 'VALIDATION_ERROR');
});

test('somebody else’s source is not there; an administrator sees and changes every one', async () => {
  const id = await create('json', { data: [1] });
  const path = `/data-sources/${id}`;
  const attempts: [string, string, object?][] = [
    ['GET', path],
    ['PUT', path, { name: 'mine' }],
    ['POST', `${path}/test`],
    ['POST', `${path}/query`, { query: '$' }],
    ['DELETE', path],
  ];
  for (const [method, at, body] of attempts) {
    failure(await call(method, at, { token: other, body }), 404, 'NOT_FOUND');
    failure(await call(method, at, { body }), 401, 'UNAUTHORIZED');
  }
  failure(await query('00000000-0000-4000-8000-000000000000', '$'), 404, 'NOT_FOUND');
  assert.equal((await call('GET', path, { token: root })).body.id, id);
  assert.ok((await call('GET', '/data-sources', { token: root })).body.some((each: { id: string }) => each.id === id));
  assert.equal((await call('PUT', path, { token: root, body: { name: 'kept' } })).body.name, 'kept');
  assert.deepEqual((await query(id, '$', root)).body, { data: [1], count: 1 });
});

test('PUT: each field alone; ****** keeps the stored secret and a new one replaces it', async () => {
  const id = await create('api', {
    base_url: 'https://user:url-secret@example.com/v1?api_key=query-secret&page=1',
    headers: { Authorization: 'Bearer header-secret', 'X-Version': '2' },
    params: { access_token: 'param-secret', size: 10 },
    body: { nested: [{ password: 'body-secret' }], max_tokens: 5 },
  });
  const path = `/data-sources/${id}`;
  const shown = {
    base_url: 'https://user:******@example.com/v1?api_key=******&page=1',
    headers: { Authorization: '******', 'X-Version': '2' },
    params: { access_token: '******', size: 10 },
    body: { nested: [{ password: '******' }], max_tokens: 5 },
  };
  assert.deepEqual((await call('GET', path, { token })).body.config, shown);
  const renamed = (await call('PUT', path, { token, body: { name: 'new', description: null } })).body;
  assert.deepEqual([renamed.name, renamed.description, renamed.config], ['new', null, shown]);
  const kept = await call('PUT', path, { token, body: { config: shown } });
  assert.deepEqual([kept.status, kept.body.config], [200, shown]);
  const wrong = { ...shown, headers: { 'X-Api-Key': '******' } };
  failure(
    await call('PUT', path, { token, body: { config: wrong } }),
    422,
    'VALIDATION_ERROR',
    'config.headers.X-Api-Key',
  );
  failure(await call('PUT', path, { token, body: { status: 'error' } }), 422, 'VALIDATION_ERROR', 'status');
  failure(
    await call('PUT', path, { token, body: { config: { base_url: 'x' } } }),
    422,
    'VALIDATION_ERROR',
    'config.base_url',
  );
});

test('secrets are encrypted at rest, and a value copied to another source does not open', async () => {
  const first = await create('mysql', { ...SAMPLE.config, password: 'plain-at-rest' });
  const second = await create('mysql', { ...SAMPLE.config, password: 'another-one' });
  const keys = readFileSync(join(dataDir, 'secret.keys'), 'utf8');
  assert.doesNotMatch(keys, /plain-at-rest/);
  for (const file of readdirSync(join(dataDir, 'store'), { recursive: true, withFileTypes: true })) {
    if (!file.isFile()) continue;
    const bytes = readFileSync(join(file.parentPath, file.name));
    assert.equal(bytes.includes('plain-at-rest') || bytes.includes('another-one'), false, file.name);
  }
  const stored = server.app.host
    .find(databaseService)
    ?.connection.collection<{ _id: string; secrets: string }>('data_sources');
  assert.ok(stored);
  const { secrets } = (await stored.findOne({ _id: first })) ?? {};
  assert.match(String(secrets), /^v1\./);
  await stored.updateOne({ _id: second }, { $set: { secrets: String(secrets) } });
  const { body } = await call('POST', `/data-sources/${second}/test`, { token });
  assert.deepEqual(body, { status: 'failed', message: '已保存的密文无法解密' });
});

test('json: inline data, paths into it, always a list', async () => {
  const id = await create('json', {
    data: {
      items: [
        { name: 'a', tags: ['x', 'y'] },
        { name: 'b', tags: [] },
      ],
      total: 2,
      password: 'shown: this is data',
    },
  });
  const shown = (await call('GET', `/data-sources/${id}`, { token })).body.config.data;
  assert.equal(shown.password, 'shown: this is data');
  const cases: [string, unknown[]][] = [
    ['', [shown]],
    ['$', [shown]],
    ['items', shown.items],
    ['$.items[0]', [shown.items[0]]],
    ['items[-1].name', ['b']],
    ['items[*].name', ['a', 'b']],
    ['$.items[*].tags', ['x', 'y']],
    ["$['total']", [2]],
    ['nothing.here', []],
    ['constructor', []],
    ['items.length', []],
    ['__proto__', []],
  ];
  for (const [path, data] of cases) assert.deepEqual((await query(id, path)).body, { data, count: data.length }, path);
  for (const path of ['items[', 'items[?(@.a)]', 'a..b', 'items[0', '$.items[(1)]'])
    failure(await query(id, path), 400, 'QUERY_NOT_ALLOWED');
  failure(await query(id, 7), 422, 'VALIDATION_ERROR', 'query');
  const inner = await create('json', { data: { result: { rows: [1, 2] } }, data_path: 'result.rows' });
  assert.deepEqual((await query(inner, '$')).body, { data: [1, 2], count: 2 });
});

test('json: files of the data folder only, no links out of it, no file of another tenant', async () => {
  const files = join(dataDir, 'files');
  mkdirSync(join(files, 'sub'), { recursive: true });
  mkdirSync(join(files, 'tenants', 'somebody'), { recursive: true });
  writeFileSync(join(files, 'sub', 'list.json'), '\uFEFF[{"a":1},{"a":2}]');
  writeFileSync(join(files, 'broken.json'), '{');
  writeFileSync(join(files, 'large.json'), JSON.stringify('x'.repeat(9 * 1024 * 1024)));
  writeFileSync(join(files, 'tenants', 'somebody', 'private.json'), '[1]');
  writeFileSync(join(dataDir, 'outside.json'), '["outside"]');
  symlinkSync(join(dataDir, 'outside.json'), join(files, 'link.json'));
  symlinkSync(dataDir, join(files, 'up'));
  symlinkSync(join(files, 'tenants', 'somebody', 'private.json'), join(files, 'alias.json'));
  const good = await create('json', { file_path: 'sub/list.json' });
  assert.deepEqual((await query(good, '[*].a')).body, { data: [1, 2], count: 2 });
  assert.deepEqual((await call('POST', `/data-sources/${good}/test`, { token })).body, {
    status: 'success',
    message: '连接成功',
  });
  for (const path of [
    'link.json',
    'up/outside.json',
    'up/secret.keys',
    'none.json',
    'sub',
    'alias.json',
    'tenants/somebody/private.json',
  ]) {
    const answer = await query(await create('json', { file_path: path }), '$');
    failure(answer, 400, 'DATA_SOURCE_ERROR');
    assert.equal(answer.body.detail, '数据文件不存在或无法读取', path);
  }
  for (const path of ['broken.json', 'large.json'])
    failure(await query(await create('json', { file_path: path }), '$'), 400, 'DATA_SOURCE_ERROR');
});

test('api: requests below the base address, with the secrets of the config', async (t) => {
  const seen: {
    method: string | undefined;
    url: string | undefined;
    headers: Record<string, unknown>;
    body: string;
  }[] = [];
  const remote = createServer(async (request, response) => {
    let body = '';
    for await (const piece of request) body += piece;
    const { method, url = '', headers } = request;
    seen.push({ method, url, headers, body });
    if (url.includes('/fail')) response.writeHead(500).end('secret-key echoed');
    else if (url.includes('/denied')) response.writeHead(401).end();
    else if (url.includes('/html')) response.end('<html>');
    else if (url.includes('/inside')) response.writeHead(302, { location: 'http://127.0.0.2/' }).end();
    else if (url.includes('/slow')) return;
    else response.end(JSON.stringify({ data: { rows: [{ id: 1 }, { id: 2 }] } }));
  });
  await new Promise<void>((done) => remote.listen(0, '127.0.0.1', done));
  t.after(() => {
    remote.closeAllConnections();
    remote.close();
  });
  const { port } = remote.address() as AddressInfo;
  const id = await create('api', {
    base_url: `http://127.0.0.1:${port}/v1?version=2`,
    headers: { 'X-Api-Key': 'secret-key' },
    params: { token: 'secret-token', size: 10 },
    data_path: 'data.rows',
    timeout: 0.3,
  });
  assert.deepEqual((await call('POST', `/data-sources/${id}/test`, { token })).body, {
    status: 'success',
    message: '连接成功',
  });
  assert.match((await call('GET', `/data-sources/${id}`, { token })).body.last_connected_at, TIME);
  assert.deepEqual((await query(id, '/users?size=5')).body, { data: [{ id: 1 }, { id: 2 }], count: 2 });
  const last = () => seen.at(-1);
  assert.deepEqual([last()?.method, last()?.headers['x-api-key']], ['GET', 'secret-key']);
  assert.equal(last()?.url?.split('?')[0], '/v1/users');
  const sent = new URLSearchParams(last()?.url?.split('?')[1]);
  assert.deepEqual([sent.get('version'), sent.get('token')], ['2', 'secret-token']);

  const post = { path: 'search', method: 'POST', params: { q: ['a', 'b'] }, body: { text: '中' } };
  for (const form of [post, JSON.stringify(post)]) {
    assert.equal((await query(id, form)).body.count, 2);
    assert.deepEqual(
      [last()?.method, last()?.body, last()?.headers['content-type']],
      ['POST', '{"text":"中"}', 'application/json'],
    );
    assert.deepEqual(new URLSearchParams(last()?.url?.split('?')[1]).getAll('q'), ['a', 'b']);
  }
  const before = seen.length;
  const escapes = [
    '../admin',
    '/../admin',
    'a/../../admin',
    '%2e%2e/admin',
    'a/..%2f..%2fadmin',
    '%252e%252e/admin',
    '..\\admin',
    './x',
    'a#b',
  ];
  for (const path of [...escapes, '{bad json', '{"host":"x"}', '{"method":"DELETE"}', '{"path":1}'])
    failure(await query(id, path), 400, 'QUERY_NOT_ALLOWED');
  assert.equal(seen.length, before, 'nothing was sent');
  await query(id, '//evil.example/x');
  assert.equal(last()?.url?.split('?')[0], '/v1/evil.example/x', 'another host is a path');
  await query(id, 'http://evil.example/x');
  assert.match(String(last()?.url), /^\/v1\/http/);

  for (const path of ['fail', 'denied', 'html', 'inside', 'slow']) {
    const answer = await query(id, path);
    failure(answer, 400, 'DATA_SOURCE_ERROR');
    assert.doesNotMatch(answer.text, /secret/, path);
  }
});

test('api: private targets need the operator’s permission', async () => {
  for (const base_url of [
    'http://127.0.0.2/',
    'http://localhost:1/',
    'http://169.254.169.254/latest',
    'http://[::1]/',
    'http://0x7f.2/',
    'http://10.0.0.1/',
  ]) {
    const id = await create('api', { base_url });
    failure(await query(id, ''), 400, 'DATA_SOURCE_ERROR');
    const { status, body } = await call('POST', `/data-sources/${id}/test`, { token });
    assert.deepEqual([status, body.status], [200, 'failed'], base_url);
    assert.equal((await call('GET', `/data-sources/${id}`, { token })).body.status, 'error');
    if (base_url.includes('127.0.0.2')) assert.match(body.message, /不允许访问/);
  }
});

for (const [type, open] of [
  ['mysql', openMysql],
  ['postgresql', openPostgresql],
] as const) {
  test(`${type}: test, query, refusals and switching off`, async (t) => {
    const database = await open(t);
    if (!database) return;
    await database.exec(
      "create table people (id int, name varchar(20)); insert into people values (1, '张三'), (2, 'Bob')",
    );
    const id = await create(type, database.config);
    const path = `/data-sources/${id}`;
    assert.deepEqual((await call('POST', `${path}/test`, { token })).body, { status: 'success', message: '连接成功' });
    const shown = (await call('GET', path, { token })).body;
    assert.equal(shown.status, 'active');
    assert.match(shown.last_connected_at, TIME);
    const answer = await query(id, 'SELECT * FROM people ORDER BY id LIMIT 10');
    assert.deepEqual(
      [answer.status, answer.body],
      [
        200,
        {
          data: [
            { id: 1, name: '张三' },
            { id: 2, name: 'Bob' },
          ],
          count: 2,
        },
      ],
    );
    for (const sql of [
      'DELETE FROM people',
      'SELECT 1; DROP TABLE people',
      'hello',
      '',
      "SELECT 1 INTO OUTFILE '/tmp/x'",
    ])
      failure(await query(id, sql), 400, 'QUERY_NOT_ALLOWED');
    failure(await query(id, { sql: 'select 1' }), 400, 'QUERY_NOT_ALLOWED');
    failure(await query(id, 'SELECT * FROM missing_table'), 400, 'DATA_SOURCE_ERROR');

    const broken = await call('PUT', path, { token, body: { config: { ...database.config, database: 'no_such_db' } } });
    assert.equal(broken.status, 200);
    const failed = (await call('POST', `${path}/test`, { token })).body;
    assert.deepEqual([failed.status, failed.message], ['failed', '数据库 no_such_db 不存在']);
    const english = await call('POST', `${path}/test`, { token, headers: { 'accept-language': 'en' } });
    assert.match(english.body.message, /does not exist/);
    assert.equal((await call('GET', path, { token })).body.status, 'error');

    await call('PUT', path, { token, body: { config: database.config, status: 'inactive' } });
    failure(await query(id, 'SELECT 1'), 400, 'DATA_SOURCE_ERROR');
    assert.equal((await call('POST', `${path}/test`, { token })).body.status, 'success');
    assert.equal((await call('GET', path, { token })).body.status, 'inactive', 'a test switches nothing on');
    await call('PUT', path, { token, body: { status: 'active' } });
    assert.equal((await query(id, 'SELECT 1 AS one')).body.count, 1);
  });
}

test('DELETE: 200 with a message, and then it is gone', async () => {
  const id = await create('json', { data: 1 });
  const { status, body } = await call('DELETE', `/data-sources/${id}`, { token });
  assert.deepEqual([status, Object.keys(body), typeof body.message], [200, ['message'], 'string']);
  failure(await call('GET', `/data-sources/${id}`, { token }), 404, 'NOT_FOUND');
  failure(await call('DELETE', `/data-sources/${id}`, { token }), 404, 'NOT_FOUND');
});
