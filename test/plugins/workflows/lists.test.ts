import assert from 'node:assert/strict';
import { test } from 'node:test';
import { graph, openWorkflows } from './harness.ts';

// Lists of large things: an answer has a limit, whatever was stored.

const heavy = graph([['start', 'start', { pad: 'x'.repeat(80_000) }]]);

test('executions: large inputs and outputs are left out of lists, not of the execution itself', async (t) => {
  const w = await openWorkflows(t);
  const flow = graph(['start', 'end'], 'start>end');
  const { id: workflowId } = await w.workflows.create(w.me, { name: 'w', ...flow });
  for (const length of [10, 100_000, 400_000]) await w.execute(workflowId, { text: 'x'.repeat(length) });
  const listed = await w.executions.list(w.me, { workflowId }, { offset: 0, limit: 10 });
  assert.deepEqual(
    listed.map(({ inputData, outputData, workflowId: of }) => [inputData, outputData, of]),
    [
      [{ _truncated: true }, { _truncated: true }, workflowId],
      [{ _truncated: true }, { _truncated: true }, workflowId],
      [{ text: 'x'.repeat(10) }, { text: 'x'.repeat(10) }, workflowId],
    ],
  );
  const whole = await w.executions.get(w.me, listed[0]?.id ?? '');
  assert.equal(whole.outputData?.text, 'x'.repeat(400_000));
});

test('workflows and versions: a page that is too large for one answer is refused, a smaller one is given', async (t) => {
  const w = await openWorkflows(t, {}, { options: { listBytes: 320_000 } });
  const page = (offset: number, limit: number) => ({ offset, limit });
  const sorted = { sortBy: 'created_at', sortOrder: 'desc' } as const;
  for (let at = 0; at < 5; at += 1) await w.workflows.create(w.me, { name: `w${at}`, ...heavy });
  await assert.rejects(w.workflows.list(w.me, sorted, page(0, 100)), { code: 'LIST_TOO_LARGE' });
  const { items } = await w.workflows.list(w.me, sorted, page(0, 3));
  assert.deepEqual(
    items.map(({ name }) => name),
    ['w4', 'w3', 'w2'],
  );

  const [first] = items;
  const id = first?.id ?? '';
  for (let at = 0; at < 5; at += 1) await w.workflows.update(w.me, id, { name: `v${at}` });
  await assert.rejects(w.workflows.versions(w.me, id, page(0, 100)), { code: 'LIST_TOO_LARGE' });
  const versions = await w.workflows.versions(w.me, id, page(1, 2));
  assert.deepEqual(
    versions.map(({ version, name }) => [version, name]),
    [
      [5, 'v3'],
      [4, 'v2'],
    ],
  );
});
