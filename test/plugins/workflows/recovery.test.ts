import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Database } from '../../../core/data/database.ts';
import { DyingDatabase } from '../../runtime/runs/harness.ts';
import { openTestDatabase } from '../../support/database.ts';
import { boom, graph, openWorkflows, type TestNode } from './harness.ts';

// A process that dies at any of its writes; the next one goes on. Everything that needs a place is in this one workflow:
// branches, a skipped branch, a loop with pool nodes, an approval, a sub-workflow, a retry.

const nodes: Record<string, TestNode> = {
  'test.effect': ({ config }) => ({ did: config?.b }),
  'test.once-bad': ({ call }) => {
    if (call === 1) throw boom();
    return { did: 'retried' };
  },
};

const child = graph(['start', ['e', 'test.effect', { b: 'sub {n}' }], 'end'], 'start>e>end');

const parent = (childId: string) =>
  graph(
    [
      'start',
      ['c', 'condition', { expression: '{n} > 1' }],
      ['never', 'test.effect', { b: 'never' }],
      ['l', 'loop', { items_path: 'items' }],
      ['w', 'test.effect', { b: 'item {item}' }],
      ['r', 'test.once-bad', { retry: { max: 1 } }],
      ['h', 'human'],
      ['s', 'workflow', { workflow_id: childId, input: { n: '{n}' } }],
      ['m', 'transform', { mapping: { loop: 'l.count', sub: 's.did', retried: 'r.did', by: 'h.comment' } }],
      'end',
    ],
    'start>c',
    'c>l:true',
    'c>never:false',
    'l>w:body',
    'l>m:done',
    'start>r>m',
    'start>h>s>m>end',
  );

const EXPECTED = { loop: 2, sub: 'sub 2', retried: 'retried', by: 'ok' };
/** How often what must be told exactly once. */
const ONCE = ['execution_started', 'execution_finished', 'node_skipped', 'node_waiting'];
const FINISHED = ['start', 'c', 'l[0]/w', 'l[1]/w', 'l', 'r', 'h', 's/start', 's/e', 's/end', 's', 'm', 'end'];

/** The node steps whose result is stored at this moment. */
async function stored(database: Database): Promise<Set<string>> {
  const buckets = await database.connection
    .collection('run_log')
    .find({}, { projection: { steps: 1, runId: 1 } })
    .toArray();
  return new Set(
    buckets.flatMap(({ steps, runId }) =>
      steps ? (JSON.parse(steps) as { key: string }[]).map(({ key }) => `${runId}:${key}`) : [],
    ),
  );
}

test('a crash at every write: the result is right, no finished effect happens again, the log tells each thing once', async (t) => {
  const database = await openTestDatabase(t);
  const setup = await openWorkflows(t, nodes, { database });
  const { id: childId } = await setup.workflows.create(setup.me, { name: 'child', ...child });
  const { id: workflowId } = await setup.workflows.create(setup.me, { name: 'parent', ...parent(childId) });
  await setup.runs.close();

  let crashes = 0;
  for (let at = 1; ; at += 1) {
    let survived = 0;
    for (const carriedOut of [false, true]) {
      const dying = new DyingDatabase(database, at, carriedOut);
      const first = await openWorkflows({ after: async () => undefined }, nodes, { database: dying.database });
      let id = '';
      const driven = (async () => {
        id = await first.start(workflowId, { n: 2, items: ['a', 'b'] });
        await first.seen(id, 'node_waiting', 'h');
        await first.executions.approve(first.me, id, 'h', { approved: true, comment: 'ok' });
        return first.ended(id);
      })();
      driven.catch(() => undefined);
      if ((await Promise.race([driven, dying.died.promise])) === undefined) crashes += 1;
      else survived += 1;
      dying.kill();
      const finished = await stored(database);

      const second = await openWorkflows(t, nodes, { database });
      // It may have died before anybody was told the id.
      id ||=
        (await second.executions.list(second.me, {}, { offset: 0, limit: 1 })).find(
          ({ status }) => status !== 'completed',
        )?.id ?? '';
      if (id !== '') {
        const decide = async () => {
          await second.seen(id, 'node_waiting', 'h');
          await second.executions.approve(second.me, id, 'h', { approved: true, comment: 'ok' });
        };
        await decide().catch((error: { code?: string }) => assert.equal(error.code, 'NODE_NOT_WAITING'));
        const done = await second.ended(id);
        const where = `write ${at} ${carriedOut ? 'carried out' : 'lost'}`;
        assert.deepEqual([done.message, done.outputData], ['', EXPECTED], where);
        for (const { idempotencyKey } of second.calls)
          assert.ok(!finished.has(idempotencyKey), `${where}: ${idempotencyKey} again`);
        const events = await second.events(id);
        assert.deepEqual(
          events.map(({ seq }) => seq),
          events.map((_, seq) => seq),
          where,
        );
        for (const type of ONCE) {
          assert.equal(events.filter((event) => event.type === type).length, 1, `${where}: ${type}`);
        }
        const told = events.filter(({ type }) => type === 'node_finished').map(({ data }) => String(data.key));
        assert.deepEqual(told.toSorted(), FINISHED.toSorted(), where);
      }
      await second.runs.close();
    }
    if (survived === 2) break;
  }
  assert.ok(crashes >= 20, `${crashes} crashes`);
});
