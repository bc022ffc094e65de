import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { databaseService } from '../../core/data/database.ts';
import { documentModel } from '../../plugins/knowledge/models/document.ts';
import { startTestServer } from '../support/app.ts';

const FIXTURES = join(import.meta.dirname, '..', 'fixtures', 'documents');
const MOMENT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const idOf = (prefix: string) =>
  new RegExp(`^${prefix}-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`);
const UNKNOWN = '00000000-0000-4000-8000-000000000000';

async function open(t: TestContext) {
  const { call, server } = await startTestServer(t);
  const account = async (email: string) => {
    const body = { email, password: 'password123', name: '张三' };
    await call('POST', '/auth/register', { body });
    return (await call('POST', '/auth/login', { body })).body.data.accessToken as string;
  };
  const token = await account('user@example.com');
  const as = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
    call(method, path, { token, body, headers });
  const makeBase = async (name: string) => (await as('POST', '/knowledge-bases', { name })).body.data.id as string;
  const upload = (base: string, content: Uint8Array | string, name: string, filename?: string) => {
    const form = new FormData();
    form.set('file', new Blob([content as string]), name);
    if (filename !== undefined) form.set('filename', filename);
    return as('POST', `/knowledge-bases/${base}/documents`, form);
  };
  /** The list once nothing in it is being processed; each look at it is one request, as a client would do it. */
  const settled = async (base: string) => {
    for (;;) {
      const list = (await as('GET', `/knowledge-bases/${base}/documents`)).body.data;
      const under = list.find(({ status }: { status: string }) => status === 'processing');
      if (under === undefined) return list;
      await ended(server, under.id);
    }
  };
  return { call, account, server, as, makeBase, upload, settled };
}

/** Waits for the import of a document by the run behind it. */
async function ended({ app, runs }: Awaited<ReturnType<typeof open>>['server'], documentId: string): Promise<void> {
  const database = app.host.find(databaseService);
  assert.ok(database);
  const found = await documentModel(database).acrossTenants('test').get(documentId.replace('doc-', ''));
  if (found)
    await runs.ended({ kind: 'user', accountId: found.ownerId, tenantId: found.tenantId, roles: [] }, found.runId);
}

test('sections 6.1 to 6.6: the samples of the document, from an empty list to deletion', async (t) => {
  const { as, upload, settled } = await open(t);

  const empty = await as('GET', '/knowledge-bases');
  assert.deepEqual(
    [empty.status, empty.body.success, empty.body.data, empty.body.quota],
    [200, true, [], { used: 0, limit: 3 }],
  );
  assert.match(empty.body.timestamp, MOMENT);

  const made = await as('POST', '/knowledge-bases', { name: '肺癌研究资料', description: '肺癌相关的临床研究文献' });
  assert.equal(made.status, 201);
  const { id, difyDatasetId, createdAt, ...rest } = made.body.data;
  assert.match(id, idOf('kb'));
  assert.match(difyDatasetId, idOf('dataset'));
  assert.match(createdAt, MOMENT);
  assert.deepEqual(rest, { name: '肺癌研究资料', description: '肺癌相关的临床研究文献', fileCount: 0 });

  const pdf = readFileSync(join(FIXTURES, 'chromium.pdf'));
  const sent = await upload(id, pdf, 'upload.pdf', '文献综述.pdf');
  assert.equal(sent.status, 201);
  const { id: documentId, uploadedAt, ...shown } = sent.body.data;
  assert.match(documentId, idOf('doc'));
  assert.match(uploadedAt, MOMENT);
  assert.deepEqual(shown, {
    filename: '文献综述.pdf',
    fileType: 'pdf',
    fileSizeBytes: pdf.byteLength,
    status: 'processing',
    progress: 0,
  });

  const [document] = await settled(id);
  assert.deepEqual(Object.keys(document).sort(), [
    'fileSizeMB',
    'fileType',
    'filename',
    'id',
    'processedAt',
    'progress',
    'segmentsCount',
    'status',
    'tokensCount',
    'uploadedAt',
  ]);
  assert.deepEqual(
    [document.status, document.progress, document.fileSizeMB, document.segmentsCount >= 1, document.tokensCount > 100],
    ['completed', 100, 0.2, true, true],
  );
  assert.match(document.processedAt, MOMENT);

  const [listed] = (await as('GET', '/knowledge-bases')).body.data;
  const { createdAt: _, updatedAt, ...base } = listed;
  assert.match(updatedAt, MOMENT);
  assert.deepEqual(base, {
    id,
    name: '肺癌研究资料',
    description: '肺癌相关的临床研究文献',
    fileCount: 1,
    totalSizeMB: 0.2,
    quota: { used: 1, limit: 50 },
  });
  const me = (await as('GET', '/users/me')).body.data;
  assert.deepEqual([me.kbQuota, me.kbUsed], [3, 1]);

  const gone = await as('DELETE', `/knowledge-bases/${id}/documents/${documentId}`);
  assert.deepEqual([gone.status, gone.text], [204, '']);
  assert.deepEqual((await as('GET', `/knowledge-bases/${id}/documents`)).body.data, []);
  assert.equal((await as('DELETE', `/knowledge-bases/${id}/documents/${documentId}`)).status, 404);
  const deleted = await as('DELETE', `/knowledge-bases/${id}`);
  assert.deepEqual([deleted.status, deleted.text], [204, '']);
  assert.equal((await as('GET', `/knowledge-bases/${id}/documents`)).status, 404);
  assert.equal((await as('GET', '/users/me')).body.data.kbUsed, 0);
});

test('quotas: three bases and fifty documents, also when many requests come at once', async (t) => {
  const { as, makeBase, upload, settled } = await open(t);
  const tries = await Promise.all(
    Array.from({ length: 8 }, (_, at) => as('POST', '/knowledge-bases', { name: `资料 ${at}` })),
  );
  assert.deepEqual(tries.map(({ status }) => status).sort(), [201, 201, 201, 403, 403, 403, 403, 403]);
  const refused = tries.find(({ status }) => status === 403);
  assert.deepEqual(refused?.body.error, {
    code: 'QUOTA_EXCEEDED',
    message: '知识库数量已达上限',
    details: { resource: 'knowledge_base', quota: 3, used: 3 },
  });
  const first = (await as('GET', '/knowledge-bases')).body.data[0].id;
  await as('DELETE', `/knowledge-bases/${first}`);
  const base = await makeBase('新的');
  const uploads: Awaited<ReturnType<typeof upload>>[] = [];
  for (let round = 0; round < 5; round++)
    uploads.push(
      ...(await Promise.all(Array.from({ length: 11 }, (_, at) => upload(base, `第 ${round} 轮第 ${at} 份`, 'x.txt')))),
    );
  const counted = Map.groupBy(uploads, ({ status }) => status);
  assert.deepEqual([counted.get(201)?.length, counted.get(403)?.length], [50, 5]);
  assert.deepEqual(counted.get(403)?.[0]?.body.error.details, { resource: 'document', quota: 50, used: 50 });
  const list = await settled(base);
  assert.ok(
    list.every(
      ({ status, filename }: { status: string; filename: string }) => status === 'completed' && filename === 'x.txt',
    ),
  );
});

test('wrong input: names, files and ids get the documented codes', async (t) => {
  const { as, call, account, makeBase, upload, settled } = await open(t);
  const base = await makeBase('资料');
  for (const body of [
    {},
    { name: '  ' },
    { name: 'x'.repeat(51) },
    { name: 'y', description: 'x'.repeat(501) },
    { name: 1 },
  ]) {
    const answer = await as('POST', '/knowledge-bases', body);
    assert.deepEqual([answer.status, answer.body.error.code], [422, 'VALIDATION_ERROR'], JSON.stringify(body));
  }
  const same = await as('POST', '/knowledge-bases', { name: '资料' });
  assert.deepEqual([same.status, same.body.error.code], [409, 'CONFLICT']);

  const files: [string, Uint8Array | string][] = [
    ['x.exe', 'MZ'],
    ['empty.txt', ''],
    ['picture.pdf', readFileSync(join(FIXTURES, 'chromium.pdf')).map((byte, at) => (at < 1100 ? at % 7 : byte))],
    ['large.txt', new Uint8Array(10 * 1024 * 1024 + 1).fill(97)],
  ];
  for (const [name, content] of files) {
    const answer = await upload(base, content, name);
    assert.deepEqual(
      [answer.status, answer.body.error.code, answer.body.error.details?.[0]?.field],
      [422, 'VALIDATION_ERROR', 'file'],
      `${name}: ${answer.text}`,
    );
  }
  const none = new FormData();
  none.set('filename', 'x.txt');
  const missing = await as('POST', `/knowledge-bases/${base}/documents`, none);
  assert.deepEqual([missing.status, missing.body.error.details?.[0]?.field], [422, 'file']);
  assert.equal((await as('POST', `/knowledge-bases/${base}/documents`, { file: 'x' })).status, 400);

  assert.equal((await upload(`kb-${UNKNOWN}`, 'x', 'x.txt')).status, 404);
  assert.equal((await upload('17', 'x', 'x.txt')).status, 404);
  for (const path of [
    `/knowledge-bases/kb-${UNKNOWN}`,
    `/knowledge-bases/${base}/documents/doc-${UNKNOWN}`,
    '/knowledge-bases/nothing',
  ]) {
    const answer = await as('DELETE', path);
    assert.deepEqual([answer.status, answer.body.error.code], [404, 'NOT_FOUND'], path);
  }
  assert.equal((await call('GET', '/knowledge-bases')).status, 401);

  // A document is only found in its own base.
  const other = await makeBase('别的');
  const { id: documentId } = (await upload(base, '文字', 'x.txt')).body.data;
  assert.equal((await as('DELETE', `/knowledge-bases/${other}/documents/${documentId}`)).status, 404);
  const [document] = await settled(base);
  assert.equal(document.id, documentId);
  const stranger = await account('other@example.com');
  assert.deepEqual((await call('GET', '/knowledge-bases', { token: stranger })).body.data, []);
});

test('a document that cannot be read ends as failed and says why, in the language of the request', async (t) => {
  const { as, makeBase, upload, settled } = await open(t);
  const base = await makeBase('资料');
  await upload(base, readFileSync(join(FIXTURES, 'libreoffice.doc')), '旧文档.doc');
  const [document] = await settled(base);
  assert.deepEqual(
    [document.status, document.segmentsCount, document.tokensCount, document.fileType],
    ['failed', 0, 0, 'doc'],
  );
  assert.match(document.errorMessage, /不支持旧版 Word/);
  const english = await as('GET', `/knowledge-bases/${base}/documents`, undefined, { 'accept-language': 'en' });
  assert.match(english.body.data[0].errorMessage, /old Word format/);
  assert.equal((await as('GET', '/knowledge-bases')).body.data[0].quota.used, 1);
});
