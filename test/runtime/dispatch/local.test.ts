import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AppError } from '../../../core/errors.ts';
import { DEFAULT_LIMITS, type DispatchJob, type DispatchLimits } from '../../../runtime/dispatch/dispatcher.ts';
import { createLocalDispatcher } from '../../../runtime/dispatch/local.ts';

/** A dispatcher whose jobs end when the test says so. */
function setUp(limits: Partial<DispatchLimits>) {
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  const dispatcher = createLocalDispatcher<DispatchJob>({ ...DEFAULT_LIMITS, ...limits }, (job) => {
    begun.push(job.id);
    const { promise, resolve } = Promise.withResolvers<void>();
    ends.set(job.id, resolve);
    return promise;
  });
  const add = (id: string, tenantId = 'a', kind = 'k') => {
    const place = dispatcher.admit({ id, tenantId, kind });
    place.enter();
    return place.state;
  };
  const end = async (id: string) => {
    ends.get(id)?.();
    ends.delete(id);
    // The place is given back in a reaction to the promise.
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { dispatcher, begun, add, end, ends };
}

const busy = (error: unknown) =>
  error instanceof AppError && error.code === 'TENANT_BUSY' && error.kind === 'rate_limited' && error.retryAfter === 5;

test('limits: at once overall, per tenant, per kind and tenant', async () => {
  const { dispatcher, begun, add, end } = setUp({ total: 4, perTenant: 3, kinds: { report: { running: 1 } } });
  assert.deepEqual(
    [
      add('a1'),
      add('a2', 'a', 'report'),
      add('a3', 'a', 'report'),
      add('a4'),
      add('a5'),
      add('b1', 'b'),
      add('b2', 'b'),
    ],
    ['now', 'now', 'queued', 'now', 'queued', 'now', 'queued'],
  );
  assert.deepEqual(begun, ['a1', 'a2', 'a4', 'b1']);
  assert.equal(dispatcher.running, 4);
  assert.equal(dispatcher.queued, 3);
  // a3 is blocked by the limit of its kind, a5 may pass it.
  await end('a1');
  assert.deepEqual(begun.slice(4), ['a5']);
  await end('a2');
  assert.deepEqual(begun.slice(5), ['b2']);
  await end('b1');
  assert.deepEqual(begun.slice(6), ['a3']);
  assert.equal(dispatcher.queued, 0);
});

test('queue: bounded per tenant and kind, recovered runs pass, what exceeds the memory stays in the store', async () => {
  const { dispatcher, add } = setUp({
    total: 1,
    queuedPerTenant: 3,
    queuedTotal: 5,
    kinds: { report: { queued: 0 } },
  });
  add('running');
  assert.throws(() => add('report', 'a', 'report'), busy);
  for (const id of ['1', '2', '3']) assert.equal(add(id), 'queued');
  assert.throws(() => add('4'), busy);
  assert.equal(dispatcher.admit({ id: 'old', tenantId: 'a', kind: 'k' }, { recovered: true }).state, 'queued');
  assert.equal(add('b1', 'b'), 'queued');
  assert.ok(dispatcher.full);
  assert.equal(add('b2', 'b'), 'stored');
  assert.equal(dispatcher.queued, 5);
});

test('fairness: tenants take turns, one with a thousand jobs delays another one by one turn', async () => {
  const { begun, add, end } = setUp({ total: 1 });
  for (let n = 0; n < 1000; n += 1) add(`big-${n}`, 'big');
  add('small-0', 'small');
  add('small-1', 'small');
  add('late-0', 'late');
  for (let n = 0; n < 6; n += 1) await end(begun.at(-1) ?? '');
  assert.deepEqual(begun, ['big-0', 'big-1', 'small-0', 'late-0', 'big-2', 'small-1', 'big-3']);
});

test('remove, leave and stop: places come back, nothing begins that should not', async () => {
  const { dispatcher, begun, add, end } = setUp({ total: 1 });
  add('1');
  add('2');
  add('3');
  assert.ok(dispatcher.remove('2'));
  assert.ok(!dispatcher.remove('2'));
  assert.ok(!dispatcher.remove('1'));
  const unused = dispatcher.admit({ id: '4', tenantId: 'a', kind: 'k' });
  unused.leave();
  unused.enter();
  await end('1');
  assert.deepEqual(begun, ['1', '3']);
  const reserved = dispatcher.admit({ id: '5', tenantId: 'a', kind: 'k' });
  await end('3');
  const now = dispatcher.admit({ id: '6', tenantId: 'b', kind: 'k' });
  assert.equal(now.state, 'now');
  now.leave();
  reserved.enter();
  assert.deepEqual(begun, ['1', '3', '5']);
  add('7');
  dispatcher.stop();
  await end('5');
  assert.deepEqual(begun, ['1', '3', '5']);
  assert.equal(dispatcher.running, 0);
  assert.equal(dispatcher.queued, 0);
});

test('any series of arrivals and ends: limits hold, order holds within tenant and kind, nothing is forgotten', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.record({ total: fc.integer({ min: 1, max: 4 }), perTenant: fc.integer({ min: 1, max: 3 }) }),
      fc.array(
        fc.record({ tenant: fc.constantFrom('a', 'b', 'c'), kind: fc.constantFrom('k', 'one'), ends: fc.nat(2) }),
        {
          maxLength: 40,
        },
      ),
      async (limits, arrivals) => {
        const { dispatcher, begun, add, end, ends } = setUp({ ...limits, kinds: { one: { running: 1 } } });
        const check = () => {
          const running = [...ends.keys()];
          assert.equal(dispatcher.running, running.length);
          assert.ok(running.length <= limits.total);
          for (const tenant of ['a', 'b', 'c']) {
            const own = running.filter((id) => id.startsWith(tenant));
            assert.ok(own.length <= limits.perTenant);
            assert.ok(own.filter((id) => id.includes('one')).length <= 1);
          }
        };
        for (const [index, { tenant, kind, ends: count }] of arrivals.entries()) {
          add(`${tenant} ${kind} ${index}`, tenant, kind);
          check();
          for (let n = 0; n < count; n += 1) await end(ends.keys().next().value ?? '');
          check();
        }
        while (ends.size > 0) await end(ends.keys().next().value ?? '');
        assert.equal(begun.length, arrivals.length);
        for (const tenant of ['a', 'b', 'c']) {
          for (const kind of ['k', 'one']) {
            const order = begun
              .filter((id) => id.startsWith(`${tenant} ${kind} `))
              .map((id) => Number(id.split(' ')[2]));
            assert.deepEqual(
              order,
              [...order].sort((x, y) => x - y),
            );
          }
        }
      },
    ),
    { numRuns: 100 },
  );
});
