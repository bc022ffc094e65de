import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RunEvent } from '../../../runtime/runs/index.ts';
import { boom, graph, openWorkflows, user } from './harness.ts';

const of = (events: RunEvent[], type: string, nodeId?: string) =>
  events.filter((event) => event.type === type && (nodeId === undefined || event.data.node_id === nodeId));

test('parallel branches run at the same time and are merged in the order of their edges', async (t) => {
  const meet = Promise.withResolvers<void>();
  let there = 0;
  const w = await openWorkflows(t, {
    'test.meet': async ({ config }) => {
      there += 1;
      if (there === 3) meet.resolve();
      await meet.promise;
      return { [String(config?.b)]: true, last: config?.b };
    },
  });
  const branches = ['x', 'y', 'z'].map((id): [string, string, object] => [id, 'test.meet', { b: id }]);
  const done = await w.execute(
    graph(['start', ...(branches as []), 'end'], 'start>x>end', 'start>y>end', 'start>z>end'),
  );
  assert.deepEqual(done.outputData, { x: true, y: true, z: true, last: 'z' });
});

test('configuration: templates keep types, literal fields stay, empty fields are left out', async (t) => {
  const w = await openWorkflows(t);
  const data = { a: { deep: ['{n}', 'n is {n}'] }, b: '{list}', n: '{n}', raw: '{n}', label: 'x', retry: { max: 1 } };
  const { outputData } = await w.execute(graph(['start', ['e', 'test.echo', data], 'end'], 'start>e>end'), {
    n: 5,
    list: [1],
  });
  assert.deepEqual(outputData, {
    input: { n: 5, list: [1] },
    config: { a: { deep: [5, 'n is 5'] }, b: '[1]', n: 5, raw: '{n}' },
  });
  const empty = await w.execute(graph(['start', ['e', 'test.echo', { n: '', a: null, b: '' }]], 'start>e'));
  assert.deepEqual(empty.outputData?.config, { b: '' });
});

test('errors: retry with back-off, then fail, continue or default; times and attempts are in the log', async (t) => {
  const w = await openWorkflows(t, {
    'test.third': ({ call }) => {
      if (call < 3) throw boom();
      return { call };
    },
    'test.never': () => {
      throw boom();
    },
    'test.bug': () => {
      throw new TypeError('secret detail');
    },
  });
  const retried = await w.execute(
    graph(['start', ['r', 'test.third', { retry: { max: 2, delay_ms: 5, factor: 2 } }]], 'start>r'),
  );
  assert.deepEqual(retried.outputData, { call: 3 });
  const events = await w.events(retried.id);
  assert.deepEqual(
    of(events, 'node_retrying').map(({ data }) => [data.attempt, data.delay_ms]),
    [
      [2, 5],
      [3, 10],
    ],
  );
  assert.deepEqual(
    of(events, 'node_started', 'r').map(({ data }) => data.attempt),
    [1, 2, 3],
  );
  assert.equal(of(events, 'node_finished', 'r').length, 1);
  assert.equal(new Set(w.calls.map(({ idempotencyKey }) => idempotencyKey)).size, 1, 'one key for all attempts');

  const failed = await w.execute(graph(['start', ['bad-node', 'test.never', { retry: { max: 1 } }]], 'start>bad-node'));
  assert.equal(failed.status, 'failed');
  assert.equal(failed.message, '节点 bad-node 执行失败：测试失败');
  assert.equal(of(await w.events(failed.id), 'node_failed').length, 1);
  const bug = await w.execute(graph(['start', ['b', 'test.bug']], 'start>b'));
  assert.ok(!JSON.stringify([bug, await w.events(bug.id)]).includes('secret detail'));

  const policies = graph(
    [
      'start',
      ['c', 'test.never', { on_error: 'continue' }],
      ['d', 'test.never', { on_error: 'default', default_value: 7 }],
      ['o', 'transform', { mapping: { c: 'c', d: 'd', why: '{c.error.code}' } }],
    ],
    'start>c>o',
    'start>d>o',
  );
  const gone = await w.execute(policies);
  assert.deepEqual(gone.outputData, { c: null, d: 7, why: 'TEST_FAILED' });
  assert.equal((await w.executions.logSummary(w.me, gone.id)).levelStats.warn, 2);
});

test('time limits: of one node, and of the whole execution; waiting does not count', async (t) => {
  const w = await openWorkflows(
    t,
    {
      'test.hang': (_task, signal) =>
        new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    },
    { options: { executionMs: 150 } },
  );
  const done = await w.execute(graph(['start', ['h', 'test.hang', { timeout_ms: 1234 }]], 'start>h'));
  assert.equal(w.calls[0]?.timeoutMs, 1234, 'the pool keeps the time');
  assert.equal(done.run.error?.code, 'EXECUTION_TOO_LONG');
  const slow = await w.execute(graph(['start', ['d', 'delay', { seconds: 1.2 }], 'end'], 'start>d>end'), { x: 1 });
  assert.deepEqual([slow.status, slow.outputData], ['completed', { x: 1 }]);
});

test('cancel: nodes are told, the execution ends as failed with a terminal event', async (t) => {
  const told = Promise.withResolvers<void>();
  const w = await openWorkflows(t, {
    'test.hang': (_task, signal) =>
      new Promise((_, reject) =>
        signal.addEventListener('abort', () => {
          told.resolve();
          reject(signal.reason);
        }),
      ),
  });
  const id = await w.start(graph(['start', ['h', 'test.hang'], 'end'], 'start>h>end'));
  await w.seen(id, 'hello');
  assert.deepEqual(await w.executions.progress(w.me, id), { status: 'running', progress: 33, currentNode: 'h' });
  const cancelled = await w.executions.cancel(w.me, id);
  await told.promise;
  assert.deepEqual([cancelled.status, cancelled.error?.zh], ['failed', '执行已取消']);
  const events = await w.events(id);
  assert.equal(events.at(-1)?.type, 'execution_finished');
  assert.equal(events.at(-1)?.data.cancelled, true);
  assert.deepEqual(await w.executions.progress(w.me, id), { status: 'failed', progress: 33, currentNode: null });
  assert.equal((await w.executions.nodes(w.me, id)).find(({ nodeId }) => nodeId === 'h')?.status, 'failed');
});

test('loops: nested, concurrent, with failing items; what is not wanted any more is stopped', async (t) => {
  let most = 0;
  let now = 0;
  const stopped: unknown[] = [];
  const w = await openWorkflows(t, {
    'test.work': async ({ config }) => {
      now += 1;
      most = Math.max(most, now);
      await new Promise((resolve) => setImmediate(resolve));
      now -= 1;
      if (config?.n === 3) throw boom();
      return { v: Number(config?.n) * 10 };
    },
    'test.slow': ({ config }, signal) =>
      new Promise((_resolve, reject) => {
        if (config?.n === 0) {
          setImmediate(() => reject(boom()));
          return;
        }
        signal.addEventListener('abort', () => {
          stopped.push(config?.n);
          reject(signal.reason);
        });
      }),
  });
  const nested = graph(
    [
      'start',
      ['outer', 'loop', { items_path: 'rows', item_variable: 'row', concurrency: 2 }],
      ['inner', 'loop', { items_path: 'row', item_variable: 'cell', error_handling: 'remove', concurrency: 3 }],
      ['work', 'test.work', { n: '{cell}' }],
      'end',
    ],
    'start>outer>inner:body',
    'inner>work:body',
    'outer>end:done',
  );
  const done = await w.execute(nested, { rows: [[1, 2, 3], [4], []] });
  const results =
    (done.outputData?.results as { results: unknown[]; count: number; errors: { index: number }[] }[]) ?? [];
  assert.deepEqual(
    results.map((row) => row.results),
    [[{ v: 10 }, { v: 20 }], [{ v: 40 }], []],
  );
  assert.deepEqual(
    results.map((row) => row.errors.map(({ index }) => index)),
    [[2], [], []],
  );
  assert.ok(most >= 2 && most <= 6, `${most} at once`);
  const detail = await w.executions.node(w.me, done.id, 'work', 'outer[0]/inner[1]/work');
  assert.deepEqual(
    [detail.input, detail.output],
    [{ rows: [[1, 2, 3], [4], []], row: [1, 2, 3], cell: 2, index: 1, total: 3 }, { v: 20 }],
  );
  const summary = (await w.executions.nodes(w.me, done.id)).find(({ nodeId }) => nodeId === 'work');
  assert.deepEqual([summary?.runs, summary?.failures, summary?.keys.length], [4, 1, 4]);

  const stop = graph(
    ['start', ['l', 'loop', { items_path: 'n', concurrency: 3 }], ['s', 'test.slow', { n: '{item}' }], 'end'],
    'start>l>s:body',
    'l>end:done',
  );
  const failed = await w.execute(stop, { n: [0, 1, 2, 3, 4] });
  assert.match(failed.message, /节点 s /);
  assert.deepEqual(stopped.sort(), [1, 2]);
  assert.equal(w.calls.filter(({ type }) => type === 'test.slow').length, 3, 'later items are not begun');
});

test('human: waits without a place, survives a restart, is decided once', async (t) => {
  const first = await openWorkflows(t);
  const approval = graph(
    [
      'start',
      ['h', 'human', { prompt: '请审批 {what}' }],
      ['yes', 'output', { template: '通过 {h.comment} {h.data.n}' }],
      ['no', 'output', { template: '拒绝 {h.comment}' }],
      ['side', 'test.echo'],
    ],
    'start>h>yes:approved',
    'h>no:rejected',
    'start>side',
  );
  const { id: workflowId } = await first.workflows.create(first.me, { name: 'w', ...approval });
  const [a, b, c] = await Promise.all([1, 2, 3].map(() => first.start(workflowId, { what: '合同' })));
  for (const id of [a, b, c]) await first.resting(String(id));
  assert.equal(first.runs.running, 0);
  assert.equal(first.calls.length, 3, 'the other branch went on');
  const waiting = await first.seen(String(a), 'node_waiting');
  assert.deepEqual([waiting.data.for, waiting.data.prompt], ['approval', '请审批 合同']);
  assert.equal((await first.executions.progress(first.me, String(a))).currentNode, 'h');
  await assert.rejects(first.executions.approve(first.me, String(a), 'side', { approved: true }), {
    code: 'NODE_NOT_WAITING',
  });
  await assert.rejects(first.executions.approve(user('other'), String(a), 'h', { approved: true }), {
    code: 'EXECUTION_NOT_FOUND',
  });
  await first.runs.close();

  const second = await openWorkflows(t, {}, { database: first.database });
  await second.executions.approve(second.me, String(a), 'h', { approved: true, comment: '好', data: { n: 1 } });
  assert.deepEqual((await second.ended(String(a))).outputData, { result: '通过 好 1' });
  const decisions = await Promise.allSettled(
    [true, false, false].map((approved) => second.executions.approve(second.me, String(b), 'h', { approved })),
  );
  assert.equal(decisions.filter(({ status }) => status === 'fulfilled').length, 1);
  await second.ended(String(b));
  await second.executions.approve(second.me, String(c), 'h', { approved: false, comment: '不行' });
  assert.equal((await second.ended(String(c))).outputData?.result, '拒绝 不行');
  assert.equal(second.calls.length, 0, 'what was done is not done again');
  for (const id of [a, b, c]) {
    const events = await second.events(String(id));
    for (const type of ['execution_started', 'node_waiting', 'execution_finished'])
      assert.equal(of(events, type).length, 1);
    assert.equal(of(events, 'node_finished', 'start').length, 1);
  }
});

test('human: a refusal that nothing leads on from fails, several in a loop need a key, time-outs fail', async (t) => {
  const w = await openWorkflows(t);
  const plain = await w.start(graph(['start', ['h', 'human'], 'end'], 'start>h>end'));
  await w.resting(plain);
  await w.executions.approve(w.me, plain, 'h', { approved: false, comment: '理由' });
  const refused = await w.ended(plain);
  assert.match(refused.message, /节点 h 执行失败：审批被拒绝：理由/);

  const looped = await w.start(
    graph(
      ['start', ['l', 'loop', { items_path: 'n', concurrency: 5 }], ['h', 'human'], 'end'],
      'start>l>h:body',
      'l>end:done',
    ),
    { n: [1, 2] },
  );
  await w.resting(looped);
  await assert.rejects(w.executions.approve(w.me, looped, 'h', { approved: true }), { code: 'NODE_KEY_REQUIRED' });
  await w.executions.approve(w.me, looped, 'h', { approved: true, key: 'l[1]/h', data: 'b' });
  await w.resting(looped);
  await w.executions.approve(w.me, looped, 'h', { approved: true, data: 'a' });
  const done = await w.ended(looped);
  assert.deepEqual(
    (done.outputData?.results as { data: string }[] | undefined)?.map(({ data }) => data),
    ['a', 'b'],
  );

  const late = await w.execute(
    graph(['start', ['h', 'human', { timeout_ms: 50, on_error: 'default', default_value: 'late' }]], 'start>h'),
  );
  assert.deepEqual(late.outputData, { result: 'late' });
});

test('delay: longer ones give the place back and are woken, also after a restart', async (t) => {
  const first = await openWorkflows(t);
  const waits = graph(['start', ['d', 'delay', { seconds: '{s}' }], ['e', 'test.echo', { b: 'after' }]], 'start>d>e');
  const short = await first.execute(waits, { s: 0.02 });
  assert.equal((short.outputData?.config as { b: string } | undefined)?.b, 'after');
  const id = await first.start(waits, { s: 1.5 });
  await first.resting(id);
  await first.runs.close();
  const second = await openWorkflows(t, {}, { database: first.database });
  const done = await second.ended(id);
  assert.equal(done.status, 'completed');
  assert.ok(Number(done.executionTime) >= 1500, `${done.executionTime}`);
  const past = await second.execute(graph(['start', ['d', 'delay', { until: '2020-01-01T00:00:00' }]], 'start>d'));
  assert.equal(past.status, 'completed');
  for (const data of [{ seconds: '{x}' }, { until: 'tomorrow' }, { seconds: '-1' }]) {
    const wrong = await second.execute(graph(['start', ['d', 'delay', data]], 'start>d'), { x: 'abc' });
    assert.equal((wrong.run.error?.details as { reason?: string } | undefined)?.reason, 'DELAY_INVALID');
  }
});

test('sub-workflows: input, result, errors, nodes inside, the version of their beginning, their owner', async (t) => {
  const go = Promise.withResolvers<void>();
  const w = await openWorkflows(t, {
    'test.gate': async ({ input }) => {
      await go.promise;
      return input;
    },
    'test.never': () => {
      throw boom();
    },
  });
  const child = await w.workflows.create(w.me, {
    name: 'child',
    ...graph(
      ['start', ['g', 'test.gate'], ['m', 'transform', { mapping: { sum: '{n}', from: 'child' } }], 'end'],
      'start>g>m>end',
    ),
  });
  const parent = graph(
    [
      'start',
      ['sub', 'workflow', { workflow_id: child.id, input: { n: '{x}' } }],
      ['o', 'transform', { mapping: { got: 'sub.sum' } }],
    ],
    'start>sub>o',
  );
  const id = await w.start(parent, { x: 21 });
  await w.seen(id, 'node_started', 'sub/g');
  await w.workflows.update(w.me, child.id, { nodes: [{ id: 's', type: 'start' }], edges: [] });
  go.resolve();
  assert.deepEqual((await w.ended(id)).outputData, { got: 21 });
  const inner = await w.executions.node(w.me, id, 'sub/m');
  assert.deepEqual([inner.input, inner.output], [{ n: 21 }, { sum: 21, from: null }]);
  assert.deepEqual((await w.executions.node(w.me, id, 'sub')).output, { sum: 21, from: null });

  const old = await w.execute(graph(['start', ['s', 'workflow', { workflow_id: child.id, version: 1 }]], 'start>s'), {
    n: 1,
  });
  assert.deepEqual(old.outputData, { sum: 1, from: null });
  const broken = await w.workflows.create(w.me, { name: 'b', ...graph(['start', ['x', 'test.never']], 'start>x') });
  const failed = await w.execute(graph(['start', ['s', 'workflow', { workflow_id: broken.id }]], 'start>s'));
  assert.equal(failed.message, '节点 s/x 执行失败：测试失败');

  const self = await w.workflows.create(w.me, { name: 'self', ...graph(['start'], '') });
  await w.workflows.update(w.me, self.id, graph(['start', ['s', 'workflow', { workflow_id: self.id }]], 'start>s'));
  const deep = await w.execute(self.id);
  assert.match(deep.message, /超过 8 层/);
  const foreign = await w.workflows.create(user('other'), { name: 'f', ...graph(['start']) });
  const stolen = await w.execute(graph(['start', ['s', 'workflow', { workflow_id: foreign.id }]], 'start>s'));
  assert.match(stolen.message, /工作流不存在/);
});

test('sub-workflows in a loop that wait for people go on one by one', async (t) => {
  const w = await openWorkflows(t);
  const child = await w.workflows.create(w.me, {
    name: 'c',
    ...graph(['start', ['h', 'human'], 'end'], 'start>h>end'),
  });
  const id = await w.start(
    graph(
      ['start', ['l', 'loop', { items_path: 'n' }], ['sub', 'workflow', { workflow_id: child.id }], 'end'],
      'start>l>sub:body',
      'l>end:done',
    ),
    { n: [1, 2, 3] },
  );
  for (let at = 0; at < 3; at += 1) {
    await w.resting(id);
    await w.executions.approve(w.me, id, 'sub/h', { approved: true, data: at });
    if (at < 2)
      while ((await w.runs.get(w.me, id))?.attempt !== at + 2) await new Promise((next) => setImmediate(next));
  }
  const done = await w.ended(id);
  assert.deepEqual(
    (done.outputData?.results as { data: number }[] | undefined)?.map(({ data }) => data),
    [0, 1, 2],
  );
});

test('retry: from the beginning, or from a node with the earlier outputs', async (t) => {
  let broken = true;
  const w = await openWorkflows(t, {
    'test.count': ({ config }) => ({ by: config?.b }),
    'test.flaky': () => {
      if (broken) throw boom();
      return { ok: true };
    },
  });
  const flow = graph(
    [
      'start',
      ['a', 'test.count', { b: 'a' }],
      ['l', 'loop', { items_path: 'n' }],
      ['i', 'test.count', { b: '{item}' }],
      ['f', 'test.flaky'],
      ['z', 'test.count', { b: '{a.by}z' }],
      'end',
    ],
    'start>a>l',
    'l>i:body',
    'l>f:done',
    'f>z>end',
  );
  const failed = await w.execute(flow, { n: [1, 2] });
  assert.equal(failed.status, 'failed');
  broken = false;
  const before = w.calls.length;
  const again = await w.executions.retry(w.me, failed.id, 'f');
  assert.notEqual(again.id, failed.id);
  const done = await w.ended(again.id);
  assert.deepEqual([done.status, done.outputData], ['completed', { by: 'az' }]);
  assert.deepEqual(
    w.calls.slice(before).map(({ type }) => type),
    ['test.flaky', 'test.count'],
    'only from the node on',
  );
  const reused = of(await w.events(again.id), 'node_finished').filter(({ data }) => data.reused);
  assert.deepEqual(
    reused.map(({ data }) => data.node_id),
    ['start', 'a', 'l'],
  );
  assert.deepEqual((await w.executions.node(w.me, again.id, 'a')).output, { by: 'a' });
  await w.workflows.update(w.me, failed.workflowId, { nodes: [{ id: 's', type: 'start' }], edges: [] });
  const whole = await w.ended((await w.executions.retry(w.me, failed.id)).id);
  assert.deepEqual(whole.outputData, { by: 'az' }, 'of the same version');
  assert.equal(w.calls.slice(before).length, 2 + 5);
  await assert.rejects(w.executions.retry(w.me, failed.id, 'nobody'), { code: 'EXECUTION_NODE_NOT_FOUND' });
  const waiting = await w.start(graph(['start', ['h', 'human']], 'start>h'));
  await assert.rejects(w.executions.retry(w.me, waiting), { code: 'EXECUTION_RUNNING' });
});

test('large data: transforms go to the pool, outputs to the value store, and come back whole', async (t) => {
  const seen: unknown[] = [];
  const w = await openWorkflows(t, {
    'test.big': () => ({ rows: Array.from({ length: 30_000 }, (_, n) => ({ n, text: `row ${n}` })) }),
    'transform.large': ({ input, config }) => {
      seen.push(Object.keys(input as object), config);
      return { value: { count: 30_000 }, unresolved: [] };
    },
  });
  const flow = graph(
    [
      'start',
      ['b', 'test.big'],
      [
        't',
        'transform',
        { mode: 'filter', items_path: 'rows', filter_rules: [{ field: 'n', operator: '<', value: 3 }] },
      ],
      'end',
    ],
    'start>b>t>end',
  );
  const done = await w.execute(flow);
  assert.deepEqual(done.outputData, { count: 30_000 });
  assert.deepEqual(seen[0], ['input', 'predecessors', 'found']);
  const { output } = await w.executions.node(w.me, done.id, 'b');
  assert.equal((output as { rows: unknown[] }).rows.length, 30_000);
  const { input } = await w.executions.node(w.me, done.id, 't');
  assert.equal((input as { rows: unknown[] }).rows.length, 30_000);
});

test('large outputs of many quick nodes wait for the store instead of filling the memory', async (t) => {
  const w = await openWorkflows(t);
  const compute = { mode: 'compute', compute_rules: { v: '{item} + 1' } };
  const flow = graph(
    [
      'start',
      ['l', 'loop', { items_path: 'items' }],
      ['c', 'transform', compute],
      ['m', 'transform', { mapping: { v: 'v' } }],
      'end',
    ],
    'start>l>c:body',
    'c>m',
    'l>end:done',
  );
  // Every iteration's output holds the whole input: more than may wait in all.
  const done = await w.execute(flow, { items: Array.from({ length: 500 }, (_, n) => n), pad: 'x'.repeat(70_000) });
  assert.deepEqual([done.message, done.outputData?.count], ['', 500]);
});

test('hostile graphs and data get plain errors', async (t) => {
  const w = await openWorkflows(t);
  const reason = async (type: string, data: object, input: Record<string, unknown> = {}) => {
    const done = await w.execute(
      graph(['start', ['x', type, data as Record<string, unknown>], ['y', 'output']], 'start>x>y'),
      input,
    );
    return { output: done.outputData, code: (done.run.error?.details as { reason?: string } | undefined)?.reason };
  };
  for (const expression of ['{constructor}', '{__proto__.polluted}', '{process}', '{x.constructor.constructor}']) {
    const done = await w.execute(
      graph(
        ['start', ['x', 'condition', { expression }], ['y', 'output'], ['z', 'test.echo']],
        'start>x>y:true',
        'x>z:false',
      ),
      { x: {} },
    );
    assert.equal(w.calls.pop()?.type, 'test.echo', `${expression} reaches nothing`);
    assert.equal(done.status, 'completed');
  }
  for (const expression of ['constructor', 'process.exit()', '{x}.constructor', '(() => 1)()', '('.repeat(200)]) {
    const bad = graph(['start', ['c', 'condition', { expression }]], 'start>c');
    await assert.rejects(w.execute(bad), { code: 'WORKFLOW_INVALID' }, expression);
  }
  assert.deepEqual((await reason('output', { template: '{unclosed {{a} {"json": 1} {' }, { a: 1 })).output, {
    x: '{unclosed {1 {"json": 1} {',
    y: '{unclosed {1 {"json": 1} {',
  });
  assert.equal(
    (await reason('loop', { items_path: 'n' }, { n: Array.from({ length: 10_001 }, () => 0) })).code,
    'LOOP_TOO_LONG',
  );
  for (const n of ['text', 5, null, { length: 3 }])
    assert.equal((await reason('loop', { items_path: 'n' }, { n })).code, 'LOOP_ITEMS_INVALID');
  const polluted = await reason('transform', { mapping: { 'a.b': 'x' } }, JSON.parse('{"x":{"__proto__":{"bad":1}}}'));
  assert.deepEqual(polluted.output !== null && ({} as { bad?: number }).bad, undefined);
  const long = `1${'+1'.repeat(6000)}`;
  await assert.rejects(w.execute(graph(['start', ['c', 'condition', { expression: long }]], 'start>c')), {
    code: 'WORKFLOW_INVALID',
  });
});

test('size: a thousand parallel branches and ten thousand items leave the event loop free', async (t) => {
  const w = await openWorkflows(t);
  const ids = Array.from({ length: 1000 }, (_, n) => `n${n}`);
  const wide = graph(
    ['start', ...ids.map((id): [string, string, Record<string, unknown>] => [id, 'test.echo', { b: id }]), 'end'],
    ...ids.map((id) => `start>${id}>end`),
  );
  const done = await w.execute(wide);
  assert.equal(done.status, 'completed');
  assert.equal(w.calls.length, 1000);
  let turns = 0;
  let watching = true;
  const watch = () => {
    turns += 1;
    if (watching) setImmediate(watch);
  };
  watch();
  const items = Array.from({ length: 10_000 }, (_, n) => n);
  const loop = graph(
    ['start', ['l', 'loop', { items_path: 'items' }], ['m', 'transform', { mapping: { v: 'item' } }], 'end'],
    'start>l>m:body',
    'l>end:done',
  );
  const looped = await w.execute(loop, { items });
  watching = false;
  assert.equal(looped.outputData?.count, 10_000);
  // A slice of work is a few milliseconds long.
  assert.ok(turns > 10, `others had ${turns} turns`);
  const { total } = await w.executions.logs(w.me, looped.id, { nodeId: 'm' }, { offset: 0, limit: 1 });
  assert.equal(total, 20_000);
});

test('follow: nothing that happens after it was asked for is missed, however late it is read', async (t) => {
  const gate = Promise.withResolvers<void>();
  const w = await openWorkflows(t, { 'test.gate': () => gate.promise });
  const id = await w.start(graph(['start', ['g', 'test.gate'], 'end'], 'start>g>end'));
  await w.seen(id, 'node_started', 'g');
  const { events } = await w.executions.follow(w.me, id, Number.MAX_SAFE_INTEGER);
  gate.resolve();
  await w.ended(id);
  const types: string[] = [];
  for await (const { type } of events) types.push(type);
  assert.equal(types.at(-1), 'execution_finished');
  assert.ok(types.includes('node_finished'));
});

test('concurrent changes of one workflow all count, one after another', async (t) => {
  const w = await openWorkflows(t);
  const { id } = await w.workflows.create(w.me, { name: 'w', ...graph(['start']) });
  const names = Array.from({ length: 30 }, (_, at) => `name ${at}`);
  const changed = await Promise.all(names.map((name) => w.workflows.update(w.me, id, { name })));
  assert.deepEqual(
    changed.map(({ version }) => version).toSorted((a, b) => a - b),
    names.map((_, at) => at + 2),
  );
  const versions = await w.workflows.versions(w.me, id, { offset: 0, limit: 100 });
  assert.equal(versions.length, 31);
  assert.equal(new Set(versions.map(({ name }) => name)).size, 31);
});

test('rollback: without a comment there is none', async (t) => {
  const w = await openWorkflows(t);
  const { id } = await w.workflows.create(w.me, { name: 'w', ...graph(['start']) });
  await w.workflows.update(w.me, id, { name: 'v' });
  await w.workflows.rollback(w.me, id, 1);
  await w.workflows.rollback(w.me, id, 1, 'because');
  const [second, first] = await w.workflows.versions(w.me, id, { offset: 0, limit: 2 });
  assert.deepEqual([first?.comment, second?.comment], [null, 'because']);
  const diff = await w.workflows.diff(w.me, id, 1, 2);
  assert.deepEqual([diff.fields, diff.same], [{ name: { from: 'w', to: 'v' } }, false]);
});
