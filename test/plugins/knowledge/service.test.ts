import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { databaseService } from '../../../core/data/database.ts';
import { createLogger } from '../../../core/log.ts';
import type { Principal } from '../../../core/principal.ts';
import { createChanges } from '../../../plugins/knowledge/models/change.ts';
import { documentModel } from '../../../plugins/knowledge/models/document.ts';
import { passageModel } from '../../../plugins/knowledge/models/passage.ts';
import { type KnowledgeService, knowledgeService } from '../../../plugins/knowledge/public.ts';
import { indexFile } from '../../../plugins/knowledge/search/database.ts';
import { createIndexSync } from '../../../plugins/knowledge/search/sync.ts';
import { startTestServer } from '../../support/app.ts';

const FIXTURES = join(import.meta.dirname, '..', '..', 'fixtures', 'documents');
const person = (accountId: string, tenantId = 'tenant'): Principal => ({
  kind: 'user',
  accountId,
  tenantId,
  roles: ['user'],
});
const anna = person('anna');
const text = (content: string, filename = 'x.txt') => ({ filename, content: new TextEncoder().encode(content) });

async function serve(t: TestContext, env: Record<string, string> = {}) {
  const { server, dataDir } = await startTestServer(t, env);
  const knowledge = server.app.host.find(knowledgeService);
  assert.ok(knowledge);
  return { server, dataDir, knowledge };
}

/** Documents of an agent need no account behind them. */
const agent = { agentId: 'agent-1' };
const scope = { scope: agent };

async function imported(
  knowledge: KnowledgeService,
  principal: Principal,
  file: { filename: string; content: Uint8Array },
) {
  const { id } = await knowledge.addDocument(principal, agent, file);
  return knowledge.imported(principal, id);
}

test('import: a file becomes passages with pages and headings that a search finds; the original is kept', async (t) => {
  const { knowledge } = await serve(t);
  const content = new Uint8Array(readFileSync(join(FIXTURES, 'libreoffice.pdf')));
  const document = await imported(knowledge, anna, { filename: '研究/../专题.pdf', content });
  assert.deepEqual(
    [document.status, document.progress, document.filename, document.fileType, document.pages, document.error],
    ['completed', 100, '专题.pdf', 'pdf', 1, null],
  );
  assert.ok(document.passages >= 1 && document.tokens > 100 && document.processedAt instanceof Date);

  const [hit, ...rest] = await knowledge.search(anna, '干预组每天服用多少维生素D？', scope);
  assert.ok(hit);
  assert.ok(hit.text.includes('三千单位'));
  assert.deepEqual(
    [hit.documentId, hit.filename, hit.agentId, hit.knowledgeBaseId, hit.page, hit.headings[0], hit.position],
    [document.id, '专题.pdf', 'agent-1', null, 1, '骨质疏松专题研究', 0],
  );
  assert.ok(rest.every(({ score }) => score <= hit.score));
  assert.deepEqual(await knowledge.search(anna, '量子纠缠', scope), []);
  assert.deepEqual(Buffer.from((await knowledge.original(anna, document.id)).bytes), Buffer.from(content));
});

test('import: files that cannot be read fail alone, with a reason', async (t) => {
  const { knowledge } = await serve(t);
  const bad = await imported(knowledge, anna, {
    filename: 'old.doc',
    content: readFileSync(join(FIXTURES, 'libreoffice.doc')),
  });
  assert.deepEqual([bad.status, bad.error?.code, bad.passages], ['failed', 'DOCUMENT_LEGACY_WORD', 0]);
  assert.match(bad.error?.message.zh ?? '', /\.docx/);
  assert.equal((await imported(knowledge, anna, text('正常的文字'))).status, 'completed');
  for (const [file, code] of [
    [text(''), 'FILE_EMPTY'],
    [text('x', 'x.exe'), 'FILE_TYPE_UNSUPPORTED'],
    [
      { filename: 'x.pdf', content: new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0, 1, 2, 3, 4, 5, 6]) },
      'FILE_TYPE_UNSUPPORTED',
    ],
    [{ filename: 'x.txt', content: new Uint8Array(21 * 1024 * 1024).fill(97) }, 'FILE_TOO_LARGE'],
  ] as const)
    await assert.rejects(knowledge.addDocument(anna, agent, file), { code });
  assert.equal((await knowledge.listDocuments(anna, agent)).length, 2);
});

test('import: every passage of a long document is found', async (t) => {
  const { knowledge } = await serve(t);
  const paragraphs = Array.from({ length: 450 }, (_, at) => `第${at}段 mark${at}x ${'普通的文字，'.repeat(100)}`);
  const done = await imported(knowledge, anna, text(paragraphs.join('\n\n')));
  assert.ok(done.passages >= 450);
  for (const at of [0, 199, 200, 201, 399, 400, 449])
    assert.match(
      (await knowledge.search(anna, `mark${at}x`, { ...scope, limit: 1 }))[0]?.text ?? '',
      new RegExp(`mark${at}x`),
    );
});

test('replace: the new passages take the place of the old ones; a version that fails changes nothing', async (t) => {
  const { knowledge, server } = await serve(t);
  const { id } = await imported(knowledge, anna, text('云岭大桥全长四千二百米。'));
  await knowledge.replaceDocument(anna, id, text('云岭大桥全长五千三百米。'));
  await assert.rejects(knowledge.replaceDocument(anna, id, text('又一个版本')), { code: 'KNOWLEDGE_DOCUMENT_BUSY' });
  assert.equal((await knowledge.imported(anna, id)).status, 'completed');
  const hits = await knowledge.search(anna, '云岭大桥全长', scope);
  assert.deepEqual(
    hits.map((hit) => hit.text),
    ['云岭大桥全长五千三百米。'],
  );

  await knowledge.replaceDocument(anna, id, text('？！', 'x.txt'));
  const failed = await knowledge.imported(anna, id);
  assert.deepEqual([failed.status, failed.error?.code], ['failed', 'DOCUMENT_NO_TEXT']);
  assert.equal((await knowledge.search(anna, '云岭大桥全长', scope)).length, 1);
  const database = server.app.host.find(databaseService);
  assert.ok(database);
  assert.equal(await passageModel(database).in(anna).count({}), 1);
});

test('deletion: documents are gone from searches, stores and the index; an import under way ends', async (t) => {
  const { knowledge, server } = await serve(t);
  const { id } = await imported(knowledge, anna, text('云岭大桥全长四千二百米。'));
  const slow = await knowledge.addDocument(anna, agent, text('很长的文字。'.repeat(100_000)));
  await knowledge.deleteDocument(anna, slow.id);
  await knowledge.deleteDocument(anna, id);
  await assert.rejects(knowledge.getDocument(anna, id), { code: 'KNOWLEDGE_DOCUMENT_NOT_FOUND' });
  assert.deepEqual(await knowledge.search(anna, '云岭大桥', scope), []);
  const database = server.app.host.find(databaseService);
  assert.ok(database);
  assert.deepEqual(
    [await passageModel(database).in(anna).count({}), await documentModel(database).in(anna).count({})],
    [0, 0],
  );
  assert.equal(await database.connection.collection('knowledge.files').countDocuments(), 0);
  assert.equal(await server.runs.active(anna), 0);
});

test('strangers: of the same tenant and of others find nothing, by any way', async (t) => {
  const { knowledge } = await serve(t);
  const { id } = await imported(knowledge, anna, text('云岭大桥全长四千二百米。'));
  for (const stranger of [person('ben'), person('anna', 'other'), person('ben', 'other')]) {
    assert.deepEqual(await knowledge.search(stranger, '云岭大桥', scope), []);
    assert.deepEqual(await knowledge.search(stranger, '云岭大桥'), []);
    assert.deepEqual(await knowledge.listDocuments(stranger, agent), []);
    for (const call of [
      knowledge.getDocument(stranger, id),
      knowledge.original(stranger, id),
      knowledge.deleteDocument(stranger, id),
      knowledge.replaceDocument(stranger, id, text('x')),
      knowledge.imported(stranger, id),
    ])
      await assert.rejects(call, { code: 'KNOWLEDGE_DOCUMENT_NOT_FOUND' });
  }
  await assert.rejects(knowledge.search(anna, 'x', { scope: { knowledgeBaseIds: ['nobody'] } }), {
    code: 'KNOWLEDGE_BASE_NOT_FOUND',
  });
  assert.equal((await knowledge.search(anna, '云岭大桥')).length, 1);
  await assert.rejects(knowledge.statistics(anna), { code: 'ADMIN_REQUIRED' });
  assert.equal((await knowledge.statistics({ ...anna, roles: ['admin'] })).documents, 0, 'documents of bases only');
});

test('index: a server with an empty folder, one that is behind and one with a damaged file find the same', async (t) => {
  const { knowledge, server, dataDir } = await serve(t);
  for (let at = 0; at < 5; at++) await imported(knowledge, anna, text(`第${at}号隧道的长度是${at}百米。`));
  const database = server.app.host.find(databaseService);
  assert.ok(database);
  const folder = mkdtempSync(join(tmpdir(), 'koagent-index-'));
  const log = createLogger('silent');
  const other = createIndexSync({
    documents: documentModel(database),
    passages: passageModel(database),
    changes: createChanges(database),
    folder,
    catchUpMs: 20_000,
    log,
  });
  t.after(async () => {
    await other.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const count = async () => (await other.search(anna, { text: '隧道的长度', limit: 50 })).length;
  assert.equal(await count(), 5, 'from an empty folder');
  const added = await imported(knowledge, anna, text('第六号隧道的长度还不知道。'));
  assert.equal(await count(), 6, 'after a change elsewhere');
  await knowledge.deleteDocument(anna, added.id);
  assert.equal(await count(), 5, 'after a deletion elsewhere');
  await Promise.all(
    Array.from({ length: 8 }, (_, at) =>
      knowledge.addDocument(anna, agent, text(`新${at}号隧道的长度。`)).then(({ id }) => knowledge.imported(anna, id)),
    ),
  );
  assert.equal(await count(), 13, 'changes at the same time get different numbers');
  const during: Promise<(string | undefined)[]>[] = [];
  await other.rebuild(anna, () => {
    during.push(other.search(anna, { text: '隧道的长度', limit: 50 }).then((hits) => hits.map((hit) => hit.version)));
  });
  for (const versions of await Promise.all(during))
    assert.ok(
      versions.length === 13 && versions.every((one) => one !== ''),
      'a rebuild hides nothing while it goes on',
    );
  assert.equal(await count(), 13, 'after a rebuild');

  // Where an index cannot be written: said, and not taken for an empty one.
  const nowhere = mkdtempSync(join(tmpdir(), 'koagent-index-'));
  const stuck = createIndexSync({
    documents: documentModel(database),
    passages: passageModel(database),
    changes: createChanges(database),
    folder: nowhere,
    catchUpMs: 20_000,
    log,
  });
  t.after(async () => {
    await stuck.close();
    rmSync(nowhere, { recursive: true, force: true });
  });
  mkdirSync(indexFile(nowhere, anna.tenantId));
  await assert.rejects(stuck.search(anna, { text: '隧道', limit: 5 }), { code: 'KNOWLEDGE_INDEX_UNAVAILABLE' });

  const own = indexFile(join(dataDir, 'knowledge'), anna.tenantId);
  await server.close();
  rmSync(`${own}-wal`, { force: true });
  rmSync(own);
  const again = await serve(t, { KOAGENT_DATA_DIR: dataDir });
  assert.equal(
    (await again.knowledge.search(anna, '隧道的长度', { ...scope, limit: 50 })).length,
    13,
    'without a file',
  );
  await again.server.close();

  // Pages in the middle: the index opens, and only a search or a change comes upon them.
  const bytes = readFileSync(own);
  bytes.fill(0xa5, 3 * 8192);
  writeFileSync(own, bytes);
  const healed = await serve(t, { KOAGENT_DATA_DIR: dataDir });
  for (let at = 0; at < 2; at++)
    assert.equal(
      (await healed.knowledge.search(anna, '隧道的长度', { ...scope, limit: 50 })).length,
      13,
      'with damaged pages',
    );
});

test('rerank: a hook orders the candidates anew; one that fails is passed over', async (t) => {
  const { knowledge } = await serve(t);
  for (const name of ['甲', '乙', '丙']) await imported(knowledge, anna, text(`${name}号隧道的长度。`, `${name}.txt`));
  const stop = knowledge.useReranker(async (_, texts) => texts.map((passage) => (passage.startsWith('丙') ? 1 : 0.1)));
  const [first] = await knowledge.search(anna, '甲号隧道', { ...scope, limit: 1 });
  assert.deepEqual([first?.filename, first?.score], ['丙.txt', 1]);
  stop();
  for (const broken of [
    () => Promise.reject(new Error('out of reach')),
    () => Promise.resolve([1]),
    async (_: string, texts: readonly string[]) => texts.map(() => Number.NaN),
    () => {
      throw new Error('at once');
    },
  ]) {
    const end = knowledge.useReranker(broken);
    const hits = await knowledge.search(anna, '甲号隧道', scope);
    assert.deepEqual([hits[0]?.filename, hits.length], ['甲.txt', 3]);
    end();
  }
});

test('embeddings: passages and questions get vectors from the configured endpoint; without it words still find', async (t) => {
  let broken: boolean | 'silent' = false;
  const seen: string[] = [];
  const endpoint = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (chunk: string) => {
      body += chunk;
    });
    request.on('end', () => {
      if (broken === 'silent') return;
      if (broken) return response.writeHead(400).end('{"error":{"message":"broken"}}');
      const { input, model } = JSON.parse(body) as { input: string[]; model: string };
      seen.push(model);
      // Everything about cars points one way: a stand-in for meaning.
      const data = input.map((item, index) => ({
        index,
        object: 'embedding',
        embedding: /汽车|轿车/.test(item) ? [1, 0] : [0, 1],
      }));
      response
        .writeHead(200, { 'content-type': 'application/json' })
        .end(JSON.stringify({ object: 'list', data, model, usage: { prompt_tokens: 1, total_tokens: 1 } }));
    });
  });
  await new Promise<void>((resolve) => endpoint.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    endpoint.closeAllConnections();
    endpoint.close();
  });
  const { knowledge } = await serve(t, {
    OPENAI_API_KEY: 'k',
    OPENAI_BASE_URL: `http://127.0.0.1:${(endpoint.address() as AddressInfo).port}/v1`,
    EMBEDDING_MODEL: 'text-embedding-3-small',
  });
  await imported(knowledge, anna, text('轿车的保养周期为一年。', 'car.txt'));
  await imported(knowledge, anna, text('隧道的通行费为十元。', 'tunnel.txt'));
  assert.equal((await knowledge.search(anna, '汽车', scope))[0]?.filename, 'car.txt');
  assert.ok(seen.length >= 3 && seen.every((model) => model === 'text-embedding-3-small'));
  broken = 'silent';
  const started = performance.now();
  assert.equal((await knowledge.search(anna, '隧道', scope))[0]?.filename, 'tunnel.txt');
  const waited = performance.now() - started;
  assert.ok(waited < 20_000, 'a search does not wait for an endpoint that says nothing');
  const again = performance.now();
  assert.equal((await knowledge.search(anna, '隧道', scope))[0]?.filename, 'tunnel.txt');
  assert.ok(performance.now() - again < waited, 'nor does the next one');
});
