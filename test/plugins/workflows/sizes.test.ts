import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Database } from '../../../core/data/database.ts';
import { inOnePass } from '../../support/effort.ts';
import { graph, openWorkflows } from './harness.ts';

// Small workflows that make much of little: what is held and stored stays within its limits.

const MIB = 2 ** 20;

/** Bytes of the steps and events of all runs. */
async function storedBytes(database: Database): Promise<number> {
  const buckets = await database.connection.collection('run_log').find({}).toArray();
  return buckets.reduce((sum, { steps, events }) => sum + String(steps ?? '').length + String(events).length, 0);
}

test('what passes through a node is not stored again: a condition in a loop does not store the list for every item', async (t) => {
  const w = await openWorkflows(t);
  const flow = graph(
    [
      'start',
      ['l', 'loop', { items_path: 'items' }],
      ['c', 'condition', { expression: '{item.n} > 1' }],
      ['m', 'transform', { mapping: { n: 'item.n' } }],
      'end',
    ],
    'start>l>c:body',
    'c>m:true',
    'l>end:done',
  );
  const items = Array.from({ length: 500 }, (_, n) => ({ n, text: 'x'.repeat(100) }));
  const done = await w.execute(flow, { items });
  assert.deepEqual([done.message, done.outputData?.count], ['', 500]);
  const stored = await storedBytes(w.database);
  assert.ok(stored < 1.5 * MIB, `${(stored / MIB).toFixed(1)} MiB`);

  const state = await w.executions.node(w.me, done.id, 'c', 'l[7]/c');
  const body = { items, item: items[7], index: 7, total: 500 };
  assert.deepEqual([state.input, state.output], [body, body], 'it can be read all the same');
  const again = await w.ended((await w.executions.retry(w.me, done.id, 'end')).id);
  assert.deepEqual(again.outputData, done.outputData);
});

test('data that doubles from node to node ends with a clear error, at once', async (t) => {
  const w = await openWorkflows(t);
  const ids = Array.from({ length: 50 }, (_, at) => `t${at}`);
  const doubling = (make: (from: string) => [type: string, data: Record<string, unknown>]) => {
    const nodes = ids.map((id, at): [string, string, Record<string, unknown>] => [
      id,
      ...make(at === 0 ? 'text' : `t${at - 1}`),
    ]);
    return graph(['start', ...nodes], ['start', ...ids].join('>'));
  };
  const objects = doubling((from) => ['transform', { mapping: { a: `{${from}}`, b: `{${from}}` } }]);
  const texts = doubling((from) => ['template', { template: `{${from}}{${from}}` }]);
  for (const [flow, message] of [
    [objects, /^节点 t\d+ 执行失败：输出超过上限 32 MiB$/],
    [texts, /^节点 t\d+ 执行失败：模板生成的文本超过 10000000 个字符$/],
  ] as const) {
    const done = await inOnePass(() => w.execute(flow, { text: 'hello' }));
    assert.match(done.message, message);
  }
});

test('one large value that a node names many times is not copied to a worker', async (t) => {
  const w = await openWorkflows(t);
  const names = Object.fromEntries(Array.from({ length: 100 }, (_, at) => [`v${at}`, '{text}']));
  const flow = graph(['start', ['e', 'test.echo', { a: names }], 'end'], 'start>e>end');
  const done = await w.execute(flow, { text: 'x'.repeat(MIB) });
  assert.equal(done.message, '节点 e 执行失败：节点的输入与配置超过上限 32 MiB');
  assert.equal(w.calls.length, 0);
  const sub = await w.workflows.create(w.me, { name: 'sub', ...graph(['start', 'end'], 'start>end') });
  const called = await w.execute(
    graph(['start', ['s', 'workflow', { workflow_id: sub.id, input: names }]], 'start>s'),
    {
      text: 'x'.repeat(MIB),
    },
  );
  assert.equal(called.message, '节点 s 执行失败：节点的输入与配置超过上限 32 MiB');
});

test('what an execution holds is limited, and what all hold together', async (t) => {
  const gate = Promise.withResolvers<void>();
  const nodes = { 'test.large': () => 'x'.repeat(MIB), 'test.gate': () => gate.promise };
  const w = await openWorkflows(t, nodes, { options: { dataBytes: 5 * MIB, allDataBytes: 9 * MIB } });
  const ids = Array.from({ length: 7 }, (_, at) => `b${at}`);
  const wide = (count: number, ...more: string[]) => {
    const used = ids.slice(0, count);
    return graph(
      [
        'start',
        ...used.map((id): [string, string] => [id, 'test.large']),
        ['g', 'test.gate'],
        ['e', 'template', { template: 'x' }],
      ],
      ...used.map((id) => `start>${id}`),
      ...more,
    );
  };
  assert.match((await w.execute(wide(7))).message, /^节点 b\d 执行失败：执行中的数据合计超过上限 5 MiB$/);

  // Two that go on holding their data leave no room for a third.
  const both = [await w.start(wide(4, 'start>g')), await w.start(wide(4, 'start>g'))];
  for (const id of both) for (const node of ids.slice(0, 4)) await w.seen(id, 'node_finished', node);
  assert.match((await w.execute(wide(1))).message, /^节点 b0 执行失败：服务器上各执行的数据合计超过上限 9 MiB/);
  gate.resolve();
  for (const id of both) assert.equal((await w.ended(id)).message, '');
  assert.equal((await w.execute(wide(1))).message, '', 'there is room again');
});

test('a result of several ends is limited as a whole', async (t) => {
  const w = await openWorkflows(t, { 'test.large': () => 'x'.repeat(MIB) }, { options: { outputBytes: 2 * MIB } });
  const flow = graph(
    ['start', ['b', 'test.large'], ['e1', 'end'], ['e2', 'end'], ['e3', 'end']],
    'start>b>e1',
    'b>e2',
    'b>e3',
  );
  assert.equal((await w.execute(flow)).message, '执行结果超过上限 2 MiB');
});
