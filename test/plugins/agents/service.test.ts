import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { createLogger } from '../../../core/log.ts';
import type { Principal } from '../../../core/principal.ts';
import { loadCatalogue } from '../../../plugins/agents/catalogue.ts';
import { agentModel } from '../../../plugins/agents/models/agent.ts';
import { type AgentDeps, createAgentService } from '../../../plugins/agents/service.ts';
import { openTestDatabase } from '../../support/database.ts';

const person = (accountId: string, tenantId = 'tenant', ...roles: 'admin'[]): Principal => ({
  kind: 'user',
  accountId,
  tenantId,
  roles: ['user', ...roles],
});
const [anna, ben] = [person('anna'), person('ben')];
const NEW = { name: 'a', promptTemplate: 'p', model: { provider: 'openai', name: 'gpt-4o' } };
const catalogue = loadCatalogue({ models: ['deepseek-v3', 'qwen3-72b', 'gemini-pro'] });

async function open(t: TestContext, options: Partial<AgentDeps> = {}) {
  const database = await openTestDatabase(t);
  const start = () =>
    createAgentService({
      database,
      log: createLogger('silent'),
      catalogue,
      perAccount: 500,
      accountTools: [],
      ...options,
    });
  const agents = start();
  await database.ready();
  return { database, agents, start };
}

test('agents of others and of other tenants are not found, whatever is asked', async (t) => {
  const { agents } = await open(t);
  const { id } = await agents.create(anna, NEW);
  for (const stranger of [ben, person('anna', 'other'), person('root', 'tenant', 'admin')]) {
    for (const ask of [
      agents.get(stranger, id),
      agents.update(stranger, id, { name: 'x' }),
      agents.delete(stranger, id),
    ]) {
      await assert.rejects(ask, { kind: 'not_found', code: 'AGENT_NOT_FOUND' });
    }
    assert.equal((await agents.list(stranger, { offset: 0, limit: 10 })).total, 0);
    assert.equal((await agents.catalogue(stranger)).length, 12);
  }
  assert.equal((await agents.get(anna, id)).name, 'a');
});

test('the catalogue is everybody’s and nobody’s to change', async (t) => {
  const { agents } = await open(t);
  assert.equal((await agents.get(anna, 'agent-picos')).source, 'catalogue');
  for (const ask of [agents.update(anna, 'agent-picos', { name: 'x' }), agents.delete(anna, 'agent-picos')]) {
    await assert.rejects(ask, { kind: 'forbidden', code: 'AGENT_READ_ONLY' });
  }
});

test('names: catalogue and own ones; administrators see those of the whole installation', async (t) => {
  const { agents } = await open(t);
  const own = await agents.create(anna, NEW);
  const bens = await agents.create(ben, { ...NEW, name: 'b' });
  const far = await agents.create(person('cleo', 'far'), { ...NEW, name: 'c' });
  const ids = [own.id, bens.id, far.id, 'agent-picos', 'gone', own.id];
  assert.deepEqual(Object.fromEntries(await agents.names(anna, ids)), { 'agent-picos': 'PICOS构建', [own.id]: 'a' });
  const all = await agents.names(person('root', 'home', 'admin'), ids);
  assert.deepEqual([all.size, all.get(bens.id), all.get(far.id)], [4, 'b', 'c']);
  assert.equal((await agents.names(anna, [])).size, 0);
});

test('an account has a limit of agents', async (t) => {
  const { agents } = await open(t, { perAccount: 2 });
  const first = await agents.create(anna, NEW);
  await agents.create(anna, NEW);
  await assert.rejects(agents.create(anna, NEW), { kind: 'quota_exceeded', code: 'AGENT_LIMIT' });
  await agents.create(ben, NEW);
  await agents.delete(anna, first.id);
  await agents.create(anna, NEW);
});

test('tools of account’s agents are what the installation allows', async (t) => {
  const { agents } = await open(t, { accountTools: ['category:knowledge'] });
  assert.deepEqual((await agents.create(anna, NEW)).tools, { names: ['category:knowledge'] });
});

test('deletion: listeners are told in the name of the owner, once, and can be taken back', async (t) => {
  const { agents, database } = await open(t);
  const told: string[] = [];
  const stop = agents.onDeleted(async ({ accountId, tenantId }, agentId) => {
    // By then nobody finds the agent.
    await assert.rejects(agents.get(anna, agentId), { code: 'AGENT_NOT_FOUND' });
    told.push(`${tenantId} ${accountId} ${agentId}`);
  });
  const [first, second] = [await agents.create(anna, NEW), await agents.create(anna, NEW)];
  const both = await Promise.allSettled([agents.delete(anna, first.id), agents.delete(anna, first.id)]);
  assert.deepEqual(both.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
  assert.deepEqual(told, [`tenant anna ${first.id}`]);
  stop();
  await agents.delete(anna, second.id);
  assert.equal(told.length, 1);
  assert.equal(await agentModel(database).acrossTenants('test').count({}), 0);
});

test('deletion: what a failure or a crash leaves over is removed after the next start', async (t) => {
  const { agents, database, start } = await open(t);
  agents.onDeleted(() => Promise.reject(new Error('the disk is full')));
  const failed = await agents.create(anna, NEW);
  const kept = await agents.create(anna, NEW);
  await agents.delete(anna, failed.id);
  await assert.rejects(agents.get(anna, failed.id), { code: 'AGENT_NOT_FOUND' });
  // As a process that dies right after the mark leaves it.
  const crashed = await agents.create(person('cleo', 'far'), NEW);
  await agentModel(database)
    .acrossTenants('test')
    .update({ _id: crashed.id }, { $set: { deleted: true } });

  const next = start();
  const told: string[] = [];
  next.onDeleted(async ({ tenantId, accountId }, agentId) => void told.push(`${tenantId} ${accountId} ${agentId}`));
  await next.finishDeletions();
  assert.deepEqual(told.sort(), [`far cleo ${crashed.id}`, `tenant anna ${failed.id}`]);
  const left = await agentModel(database).acrossTenants('test').find({});
  assert.deepEqual(
    left.map(({ _id }) => _id),
    [kept.id],
  );
});

test('update: nothing given changes nothing, also the time', async (t) => {
  const { agents } = await open(t);
  const made = await agents.create(anna, { ...NEW, description: 'd' });
  assert.deepEqual(await agents.update(anna, made.id, { model: {} }), made);
  const changed = await agents.update(anna, made.id, { description: null, model: { temperature: 0 } });
  assert.deepEqual([changed.description, changed.model], [null, { ...made.model, temperature: 0 }]);
  assert.ok(changed.updatedAt >= made.updatedAt);
});
