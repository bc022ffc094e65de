import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { MessageChannel, type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { AppError } from '../../../core/errors.ts';
import { fromWireError, toWireError } from '../../../runtime/pool/errors.ts';
import { buffersOf, pack, unpack } from '../../../runtime/pool/pack.ts';
import { Scheduler, type Slot } from '../../../runtime/pool/scheduler.ts';
import { openTaskPort } from '../../../runtime/pool/task-port.ts';
import { Outbox } from '../../../runtime/pool/worker-outbox.ts';
import { failure } from './support.ts';

suite('pack', () => {
  test('bytes are taken out, moved, and put back; the value stays as it was', () => {
    const shared = { n: 1 };
    const value = {
      a: [{ b: Buffer.from('abc') }, shared, shared],
      c: new ArrayBuffer(2),
      d: new Date(7),
      e: [undefined, null],
    };
    const packed = pack(value);
    const arrived = unpack(structuredClone(packed, { transfer: buffersOf(packed) }));
    assert.deepEqual(arrived, { ...value, a: [{ b: new Uint8Array([97, 98, 99]) }, shared, shared] });
    assert.equal(value.a[0] && 'b' in value.a[0] && value.a[0].b.toString(), 'abc');
    assert.deepEqual(unpack(pack(new Uint8Array([1]))), new Uint8Array([1]));
  });

  test('a value without bytes is not copied; cycles are no trap', () => {
    const value: Record<string, unknown> = { list: [1, { two: 2 }] };
    value.self = value;
    assert.equal(pack(value).value, value);
  });

  test('what is not plain data is refused with its path', () => {
    class Thing {}
    for (const [odd, what] of [
      [() => 1, 'a function'],
      [Symbol('s'), 'a symbol'],
      [new Thing(), 'an instance of Thing'],
      [Promise.resolve(), 'an instance of Promise'],
      [new Map(), 'an instance of Map'],
    ]) {
      assert.throws(() => pack({ a: [0, { odd }] }), { name: 'NotPlainError', field: 'a.1.odd', what });
    }
  });
});

suite('wire errors', () => {
  test('an AppError crosses twice with everything; odd details do not cost the error', () => {
    const error = new AppError('invalid', 'CODE', { zh: '错', en: 'Wrong' }, { details: { a: 1 }, retryAfter: 3 });
    const back = fromWireError(structuredClone(toWireError(fromWireError(toWireError(error)))));
    assert.deepEqual({ ...back }, { ...error });
    const cycle: Record<string, unknown> = { f: () => 1 };
    assert.deepEqual(toWireError(new AppError('invalid', 'CODE', error.text, { details: cycle })).details, {});
    cycle.self = cycle;
    assert.equal(toWireError(new AppError('invalid', 'CODE', error.text, { details: cycle })).code, 'CODE');
  });

  test('the stack of any other error arrives as cause', () => {
    const back = fromWireError(toWireError(fromWireError(toWireError(new RangeError('odd')))));
    assert.equal(back.code, 'INTERNAL_ERROR');
    assert.match(String(back.cause), /RangeError: odd[\s\S]+parts\.test/);
  });
});

suite('scheduler', () => {
  const slot = (capacity: number): Slot => ({ capacity, running: 0, exclusive: false, stalled: false });
  const request = (idempotencyKey: string, tenantId = 'one') => ({
    type: 'test',
    tenantId,
    idempotencyKey,
    attempt: 1,
  });

  test('least busy slot first; stalled slots get nothing', async () => {
    const slots = [slot(2), slot(2), slot(2)];
    const scheduler = new Scheduler('test', slots, 10);
    const [a, b, c] = slots;
    assert.ok(a && b && c);
    c.stalled = true;
    for (const key of ['1', '2', '3', '4']) await scheduler.acquire(request(key));
    assert.deepEqual(
      slots.map(({ running }) => running),
      [2, 2, 0],
    );
    const fifth = scheduler.acquire(request('5'));
    assert.equal(scheduler.queued, 1);
    c.stalled = false;
    scheduler.pump();
    assert.equal(await fifth, c);
  });

  test('tenants take turns: a hundred tasks of one do not keep the only one of another waiting', async () => {
    const only = slot(1);
    const scheduler = new Scheduler('test', [only], 1000);
    await scheduler.acquire(request('first'));
    const order: string[] = [];
    const take = (key: string, tenant: string, signal?: AbortSignal) =>
      scheduler.acquire(request(key, tenant), signal).then(
        () => void order.push(key),
        () => undefined,
      );
    const many = Array.from({ length: 100 }, (_, at) => take(`a${at}`, 'a'));
    const gone = new AbortController();
    const few = [take('b0', 'b'), take('gone', 'c', gone.signal), take('b1', 'b')];
    gone.abort();
    await few[1];
    for (let at = 0; at < 103; at += 1) {
      scheduler.release(only);
      await setTimeout(0);
    }
    await Promise.all([...many, ...few]);
    assert.deepEqual(order.slice(0, 6), ['a0', 'b0', 'a1', 'b1', 'a2', 'a3']);
    assert.equal(order.length, 102);
    assert.equal(scheduler.queued, 0);
  });

  test('a suspect waits for an empty slot, keeps it for itself, and is not starved by others', async () => {
    const only = slot(2);
    const scheduler = new Scheduler('test', [only], 10);
    scheduler.suspect(['s']);
    const order: string[] = [];
    const take = (key: string) => scheduler.acquire(request(key)).then(() => void order.push(key));
    await take('1');
    const waiting = [take('s'), take('2'), take('3')];
    await setTimeout(0);
    assert.deepEqual(order, ['1'], 'the free place is kept');
    scheduler.release(only);
    await waiting[0];
    assert.deepEqual(order, ['1', 's']);
    assert.equal(only.exclusive, true);
    scheduler.clear('s');
    scheduler.release(only);
    await Promise.all(waiting);
    assert.deepEqual(order, ['1', 's', '2', '3']);
    assert.equal(only.exclusive, false);
  });

  test('many suspects run in small groups, and alone when their group has died', async () => {
    const slots = [slot(500), slot(500)];
    const [a, b] = slots;
    assert.ok(a && b);
    const scheduler = new Scheduler('test', slots, 1000);
    const keys = Array.from({ length: 100 }, (_, at) => `s${at}`);
    scheduler.suspect(keys);
    let started = 0;
    for (const key of keys) void scheduler.acquire(request(key)).then(() => (started += 1));
    void scheduler.acquire(request('innocent')).then(() => (started += 1000));
    await setTimeout(0);
    assert.deepEqual([started, a.running, b.running], [20, 10, 10]);
    scheduler.release(a);
    await setTimeout(0);
    assert.deepEqual([started, a.running], [21, 10], 'the place of one is taken by the next');
    // The group of the first ten has died: each of them is alone next time, the others still go together.
    const next = new Scheduler('test', [slot(500)], 1000);
    next.suspect(keys);
    next.suspect(keys.slice(0, 10));
    const only = await next.acquire(request('s0'));
    const waiting = ['s1', 's20', 's21'].map((key) => next.acquire(request(key)));
    await setTimeout(0);
    assert.deepEqual([only.running, next.queued], [1, 3]);
    next.release(only);
    await waiting[0];
    assert.deepEqual([only.running, next.queued], [1, 2]);
    next.release(only);
    await Promise.all(waiting);
    assert.deepEqual([only.running, only.exclusive], [2, true]);
  });

  test('close fails those that wait', async () => {
    const scheduler = new Scheduler('test', [slot(0)], 1);
    const waiting = failure(scheduler.acquire(request('1')));
    assert.equal((await failure(scheduler.acquire(request('2')))).code, 'POOL_QUEUE_FULL');
    scheduler.close();
    assert.equal((await waiting).code, 'NODE_CUT_OFF');
    assert.equal((await failure(scheduler.acquire(request('3')))).code, 'POOL_CLOSED');
  });
});

suite('outbox', () => {
  test('a host that takes nothing: at most the window is under way, then the node fails', () => {
    const { port1, port2 } = new MessageChannel();
    const outbox = new Outbox(port1, () => undefined, new AbortController().signal, 20);
    const text = 'x'.repeat(1000);
    assert.throws(
      () => {
        for (let i = 0; i < 5000; i += 1) outbox.push(['e', 'token', { text }]);
      },
      { code: 'NODE_EVENTS_STALLED' },
    );
    let chars = 0;
    for (let next = receiveMessageOnPort(port2); next !== undefined; next = receiveMessageOnPort(port2)) {
      if (next.message.t === 'batch') chars += next.message.text.length;
    }
    assert.ok(chars > 900_000 && chars < 1_200_000, `${chars} characters were under way`);
    port1.close();
  });

  test('a node that asks for room waits for the host without holding up its thread', async () => {
    const { port1, port2 } = new MessageChannel();
    const controller = new AbortController();
    const outbox = new Outbox(port1, () => undefined, controller.signal);
    const emit = (chars: number) => outbox.push(['e', 'token', { text: 'x'.repeat(chars) }]);
    emit(100);
    assert.equal(outbox.room(), undefined);
    emit(200_000);
    let waited = false;
    const room = outbox.room()?.then(() => {
      waited = true;
    });
    assert.ok(room);
    outbox.acknowledged(1000);
    await setTimeout(0);
    assert.equal(waited, false);
    outbox.acknowledged(199_000);
    await room;
    assert.equal(outbox.room(), undefined);
    emit(200_000);
    const cancelled = outbox.room();
    assert.ok(cancelled);
    controller.abort();
    await cancelled;
    port1.close();
    port2.close();
  });

  test('one entry that is larger than the window passes, one that is absurd does not', () => {
    const { port1, port2 } = new MessageChannel();
    const outbox = new Outbox(port1, () => undefined, new AbortController().signal, 20);
    outbox.push(['e', 'large', { text: 'x'.repeat(5_000_000) }]);
    assert.equal(receiveMessageOnPort(port2)?.message.t, 'batch');
    assert.throws(() => outbox.push(['e', 'absurd', { text: 'x'.repeat(20_000_000) }]), { code: 'NODE_EVENT_INVALID' });
    port1.close();
  });
});

suite('task port', () => {
  const nothing = { call: async () => ({ value: null }) };
  const sentTo = (port: MessagePort) => {
    const messages: unknown[] = [];
    for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port))
      messages.push(next.message);
    return messages;
  };

  test('small batches are acknowledged together, and at once when the node waits for that', () => {
    const { port1, port2 } = new MessageChannel();
    const taken: string[] = [];
    const port = openTaskPort(port1, { ...nothing, batch: (text) => void taken.push(text) });
    for (const text of ['[1]', '[22]']) port2.postMessage({ t: 'batch', text });
    port.drain();
    assert.deepEqual(sentTo(port2), []);
    port2.postMessage({ t: 'full' });
    port.drain();
    assert.deepEqual(sentTo(port2), [{ t: 'ack', size: 7 }]);
    port2.postMessage({ t: 'batch', text: 'x'.repeat(200_000) });
    port.drain();
    assert.deepEqual(sentTo(port2), [{ t: 'ack', size: 200_000 }]);
    assert.equal(taken.length, 3);
    port.close();
  });

  test('a node that waits learns of every batch that a slow host has taken', async () => {
    const { port1, port2 } = new MessageChannel();
    const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    let at = 0;
    const port = openTaskPort(port1, { ...nothing, batch: () => gates[at++]?.promise });
    for (const text of ['[1]', '[22]']) port2.postMessage({ t: 'batch', text });
    port2.postMessage({ t: 'full' });
    port.drain();
    gates[0]?.resolve();
    await setTimeout(0);
    assert.deepEqual(sentTo(port2), [{ t: 'ack', size: 3 }]);
    gates[1]?.resolve();
    await setTimeout(0);
    assert.deepEqual(sentTo(port2), [{ t: 'ack', size: 4 }]);
    port.close();
  });
});
