import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { databaseService } from '../../../core/data/database.ts';
import { documentModel } from '../../../plugins/knowledge/models/document.ts';
import { passageModel } from '../../../plugins/knowledge/models/passage.ts';
import {
  type Hit,
  type KnowledgeDocument,
  type KnowledgeService,
  knowledgeService,
} from '../../../plugins/knowledge/public.ts';
import { indexFile } from '../../../plugins/knowledge/search/database.ts';
import { callApi } from '../../support/api-client.ts';
import { startTestServer } from '../../support/app.ts';
import { startServerProcess } from '../../support/server-process.ts';

const KILLS = 6;
const DOCUMENTS = 3;

/** Moments that differ and are the same in every run of the test. */
function sequence(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return state / 2 ** 31;
  };
}

/** A document of some hundred passages, each with a word that is found nowhere else. */
const long = (name: string) =>
  Array.from(
    { length: 300 },
    (_, at) => `${name}第${at}段的编号是 mark${name}${at}x。${'这里是一些普通的文字，用来凑足长度。'.repeat(40)}`,
  ).join('\n');

test(`kill -9: imports that are cut off ${KILLS} times are completed, no passage is there twice, the index has them all`, async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'koagent-kill-'));
  t.after(() => rmSync(dataDir, { recursive: true, force: true }));
  const random = sequence(7);
  const env = { KOAGENT_DATA_DIR: dataDir };
  let child = await startServerProcess(env);
  t.after(() => child.kill());

  const body = { email: 'user@example.com', password: 'password123', name: '张三' };
  await callApi(child.url, 'POST', '/auth/register', { body });
  const { accessToken: token, user } = (await callApi(child.url, 'POST', '/auth/login', { body })).body.data;
  const { id } = (await callApi(child.url, 'POST', '/knowledge-bases', { token, body: { name: '资料' } })).body.data;
  const path = `/knowledge-bases/${id}/documents`;
  const list = async (): Promise<{ id: string; status: string }[]> =>
    (await callApi(child.url, 'GET', path, { token })).body.data;
  const upload = async (name: string) => {
    const form = new FormData();
    form.set('file', new Blob([long(name)]), `${name}.txt`);
    assert.equal((await callApi(child.url, 'POST', path, { token, body: form })).status, 201);
  };
  for (let at = 0; at < DOCUMENTS; at++) await upload(`a${at}`);

  for (let kill = 0; kill < KILLS; kill++) {
    // Every kill falls into an import, some of them into the first that an idle server takes up again.
    if ((await list()).every(({ status }) => status !== 'processing')) await upload(`k${kill}`);
    // A deletion that is cut off goes on as well; the answer may get lost with the server.
    const [oldest] = await list();
    const deletion = kill === 3 && oldest ? callApi(child.url, 'DELETE', `${path}/${oldest.id}`, { token }) : undefined;
    deletion?.catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, random() * 900));
    await child.kill();
    child = await startServerProcess(env);
  }
  await child.kill();

  const { server } = await startTestServer(t, { KOAGENT_DATA_DIR: dataDir });
  const [knowledge, database] = [server.app.host.find(knowledgeService), server.app.host.find(databaseService)];
  assert.ok(knowledge && database);
  const tenants = await documentModel(database).acrossTenants('test').find({});
  const [{ tenantId, ownerId } = { tenantId: '', ownerId: '' }] = tenants;
  assert.equal(`user-${ownerId}`, user.id);
  const owner = { kind: 'user' as const, accountId: ownerId, tenantId, roles: [] };
  const service: KnowledgeService = knowledge;
  const listed = await service.listDocuments(owner, { knowledgeBaseId: id.replace('kb-', '') });
  for (const document of listed) {
    const done: KnowledgeDocument = await service.imported(owner, document.id);
    const { status, passages, error } = done;
    assert.deepEqual([status, error], ['completed', null]);
    const stored = await passageModel(database)
      .in(owner)
      .find({ documentId: document.id }, { sort: { position: 1 } });
    assert.deepEqual(
      stored.map(({ position }) => position),
      Array.from({ length: passages }, (_, at) => at),
    );
    const name = document.filename.replace('.txt', '');
    assert.equal(
      stored.map(({ text }) => text.match(/的编号是/g)?.length ?? 0).reduce((sum, count) => sum + count, 0),
      300,
    );
    const hits: Hit[] = await service.search(owner, `mark${name}299x`, { limit: 5 });
    assert.deepEqual([hits[0]?.documentId, hits.length], [document.id, 1]);
  }
  const known = await documentModel(database).in(owner).find({});
  assert.ok(known.length >= DOCUMENTS - 1 && known.every(({ deleted }) => !deleted));
  const total = known.reduce((sum, { passages }) => sum + passages, 0);
  assert.equal(
    await passageModel(database).in(owner).count({}),
    total,
    'nothing is left of what was cut off or deleted',
  );
  const index = new DatabaseSync(indexFile(join(dataDir, 'knowledge'), tenantId), { readOnly: true });
  t.after(() => index.close());
  assert.deepEqual(
    [
      index.prepare('SELECT sum(count) AS n FROM documents').get()?.n,
      index.prepare('SELECT count(*) AS n FROM passages').get()?.n,
    ],
    [total, total],
  );
});
