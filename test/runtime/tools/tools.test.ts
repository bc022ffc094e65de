import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AppError } from '../../../core/errors.ts';
import { createLogger } from '../../../core/log.ts';
import type { Principal } from '../../../core/principal.ts';
import { Type } from '../../../core/schema.ts';
import { defineTool, type ToolDefinition } from '../../../core/tool.ts';
import { createToolService, type ToolCallRequest } from '../../../runtime/tools/index.ts';

const principal: Principal = { kind: 'user', accountId: 'account-1', tenantId: 'tenant-1', roles: ['user'] };
const scope = { principal, agentId: 'agent-1' };
const log = createLogger('silent');

const add = defineTool({
  name: 'add',
  category: 'math',
  description: 'Adds two numbers.',
  parameters: Type.Object({ a: Type.Number(), b: Type.Number({ default: 1 }) }),
  effect: 'reads',
  call: async ({ arguments: { a, b } }) => a + b,
});

const tool = (name: string, parts: Partial<ToolDefinition> = {}): ToolDefinition => ({
  name,
  category: 'test',
  description: `The tool ${name}.`,
  parameters: Type.Object({}),
  effect: 'reads',
  call: async () => name,
  ...parts,
});

const request = (name: string, args: Record<string, unknown> = {}, parts: Partial<ToolCallRequest> = {}) => ({
  name,
  arguments: args,
  scope,
  runId: 'run-1',
  idempotencyKey: 'run-1:t1.1',
  signal: new AbortController().signal,
  log,
  emit: () => undefined,
  node: async () => {
    throw new Error('no nodes here');
  },
  ...parts,
});

const refused = (code: string) => (error: unknown) => error instanceof AppError && error.code === code;

test('add: a wrong declaration and a second tool of the same name are refused; the disposer takes a tool out', () => {
  const tools = createToolService({ log });
  for (const wrong of [
    tool('with space'),
    tool('x'.repeat(65)),
    tool('silent', { description: ' ' }),
    tool('slow', { timeoutMs: 0 }),
    tool('shapeless', { parameters: { type: 'string' } as unknown as ToolDefinition['parameters'] }),
  ]) {
    assert.throws(() => tools.add(wrong), refused('TOOL_INVALID'), wrong.name);
  }
  const remove = tools.add(add);
  assert.throws(() => tools.add(tool('add')), refused('TOOL_DUPLICATE'));
  remove();
  tools.add(tool('add', { category: 'other' }));
  remove();
  assert.deepEqual(tools.categories(), ['other']);
});

test('select: by name and category, without disabled categories and tools that are not available there', async () => {
  const tools = createToolService({ log });
  tools.add(add);
  tools.add(tool('b', { category: 'web', available: ({ agentId }) => agentId === 'agent-1' }));
  tools.add(tool('c', { category: 'web', available: async () => false }));
  tools.add(
    tool('d', {
      available() {
        throw new Error('nobody knows');
      },
    }),
  );
  const names = async (...args: Parameters<typeof tools.select>) =>
    (await tools.select(...args)).map(({ name }) => name);
  assert.deepEqual(
    tools.list().map(({ name }) => name),
    ['add', 'b', 'c', 'd'],
  );
  assert.deepEqual(tools.categories(), ['math', 'test', 'web']);
  assert.deepEqual(await names({}, scope), ['add', 'b']);
  assert.deepEqual(await names({}, { principal }), ['add']);
  assert.deepEqual(await names({ names: [] }, scope), []);
  assert.deepEqual(await names({ names: ['category:web', 'nothing', 'add'] }, scope), ['add', 'b']);
  assert.deepEqual(await names({ names: ['add', 'b'], disabledCategories: ['web'] }, scope), ['add']);
  assert.deepEqual(await tools.select({ names: ['add'] }, scope), [
    {
      name: 'add',
      description: 'Adds two numbers.',
      parameters: {
        type: 'object',
        required: ['a', 'b'],
        properties: { a: { type: 'number' }, b: { type: 'number', default: 1 } },
      },
    },
  ]);
});

test('call: arguments are checked and get their defaults, the ones asked for are left alone', async () => {
  const tools = createToolService({ log });
  tools.add(add);
  const given = { a: 2 };
  assert.equal(await tools.call(request('add', given)), 3);
  assert.deepEqual(given, { a: 2 });
  await assert.rejects(tools.call(request('nothing')), refused('TOOL_UNKNOWN'));
  await assert.rejects(tools.call(request('add', { a: 'x' })), (error: unknown) => {
    assert.ok(error instanceof AppError);
    assert.equal(error.code, 'TOOL_INPUT_INVALID');
    assert.deepEqual(
      error.fields?.map(({ field }) => field),
      ['a'],
    );
    return true;
  });
  tools.add(
    tool('free', {
      checksArguments: true,
      parameters: Type.Object({ a: Type.Number() }),
      call: async (context) => context.arguments,
    }),
  );
  assert.deepEqual(await tools.call(request('free', { a: 'x' })), { a: 'x' });
});

test('call: the tool gets the place it is used in', async () => {
  const tools = createToolService({ log });
  const events: unknown[] = [];
  tools.add(
    tool('look', {
      async call(context) {
        context.emit('seen', { key: context.idempotencyKey });
        return [context.principal, context.scope, context.runId, await context.node({ type: 'n', input: 1 })];
      },
    }),
  );
  const result = await tools.call({
    ...request('look'),
    emit: (type, data) => void events.push({ type, data }),
    node: async <T>() => 'from the pool' as T,
  });
  assert.deepEqual(result, [principal, scope, 'run-1', 'from the pool']);
  assert.deepEqual(events, [{ type: 'seen', data: { key: 'run-1:t1.1' } }]);
});

test('call: a tool that never ends is given up at its deadline and at a cancel, and says nothing afterwards', async () => {
  const tools = createToolService({ log });
  const events: string[] = [];
  const reasons: unknown[] = [];
  tools.add(
    tool('hang', {
      timeoutMs: 20,
      call: ({ signal, emit }) =>
        new Promise(() => {
          signal.addEventListener('abort', () => {
            reasons.push(signal.reason);
            emit('late', {});
          });
        }),
    }),
  );
  const emit = (type: string) => void events.push(type);
  await assert.rejects(tools.call(request('hang', {}, { emit })), refused('TOOL_TIMEOUT'));
  const controller = new AbortController();
  const cancel = new Error('enough');
  const called = tools.call(request('hang', {}, { emit, signal: controller.signal }));
  controller.abort(cancel);
  await assert.rejects(called, cancel);
  await assert.rejects(tools.call(request('hang', {}, { emit, signal: controller.signal })), cancel);
  assert.deepEqual(events, []);
  assert.equal(reasons.length, 2);
});

test('call: what a tool throws comes out, also when it throws at once', async () => {
  const tools = createToolService({ log });
  tools.add(
    tool('broken', {
      call() {
        throw new Error('broken');
      },
    }),
  );
  await assert.rejects(tools.call(request('broken')), /broken/);
});
