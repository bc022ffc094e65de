import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { databaseService } from '../../../core/data/database.ts';
import { agentModel } from '../../../plugins/agents/models/agent.ts';
import { documentModel } from '../../../plugins/knowledge/models/document.ts';
import { startTestServer, type TestServer } from '../../support/app.ts';
import { signIn } from '../../support/people.ts';

const databaseOf = ({ server }: TestServer) => server.app.host.find(databaseService) ?? assert.fail();

test('an agent whose deletion was cut off is gone with its documents after the next start', async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'koagent-deletion-'));
  t.after(() => rmSync(dataDir, { recursive: true, force: true }));
  const first = await startTestServer(t, { KOAGENT_DATA_DIR: dataDir });
  const as = await signIn(first, 'studio', 'user@example.com');
  const agent = { name: 'a', prompt_template: 'p', model_config: { provider: 'openai', model_name: 'gpt-4o' } };
  const ids: number[] = [];
  for (const name of ['kept.txt', 'gone.txt']) {
    const { id } = (await as('POST', '/agents', { ...agent, name })).body.data;
    const form = new FormData();
    form.set('agent_id', String(id));
    form.set('file', new Blob(['苹果在仓库里']), name);
    assert.equal((await as('POST', '/knowledge/documents/upload', form)).status, 200);
    ids.push(id);
  }
  // What a process leaves that dies right after the mark.
  await agentModel(databaseOf(first))
    .acrossTenants('test')
    .update({ name: 'gone.txt' }, { $set: { deleted: true } });
  await first.server.close();

  const second = await startTestServer(t, { KOAGENT_DATA_DIR: dataDir });
  const database = databaseOf(second);
  const agents = await agentModel(database).acrossTenants('test').find({});
  const documents = await documentModel(database).acrossTenants('test').find({});
  assert.deepEqual(
    [agents.map(({ name }) => name), documents.map(({ filename }) => filename)],
    [['kept.txt'], ['kept.txt']],
  );
  const again = await signIn(second, 'studio', 'user@example.com');
  const search = (agent_id: number | undefined) => again('POST', '/knowledge/search', { agent_id, query: '苹果' });
  assert.equal((await search(ids[0])).body.data.total, 1);
  assert.equal((await search(ids[1])).body.code, 40401);
});
