import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { AppError } from '../../../../core/errors.ts';
import { createLogger } from '../../../../core/log.ts';
import { createNodeRecord, runNode } from '../../../../core/testing.ts';
import node from '../../../../plugins/workflows/nodes/code.ts';
import { createPool, type Pool } from '../../../../runtime/pool/index.ts';
import { runNodeInPool } from '../../../support/node-pool.ts';

const FILE = new URL('../../../../plugins/workflows/nodes/code.ts', import.meta.url);

const run = (code: string, more: { input?: unknown; variables?: Record<string, unknown>; timeout_ms?: number } = {}) =>
  runNode(node, {
    config: { code, ...(more.variables && { variables: more.variables }), timeout_ms: more.timeout_ms ?? 2000 },
    ...(more.input !== undefined && { input: more.input }),
  });

const output = async (...args: Parameters<typeof run>) => (await run(...args)).output;

async function refused(promise: Promise<unknown>): Promise<AppError> {
  const error = await promise.then(
    (value) => new Error(`expected a failure, got ${JSON.stringify(value).slice(0, 200)}`),
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof AppError)) throw error;
  return error;
}

describe('code: what a program can do', () => {
  test('input and variables come in, the return value goes out', async () => {
    const input = { items: [{ price: 2 }, { price: 3 }] };
    const code =
      'const sum = input.items.reduce((all, { price }) => all + price, 0);\nreturn { sum, taxed: sum * variables.rate };';
    assert.deepEqual(await output(code, { input, variables: { rate: 1.5 } }), { sum: 5, taxed: 7.5 });
  });

  test('no return, null, text, number, list: as JSON keeps it', async () => {
    assert.equal(await output(''), null);
    assert.equal(await output('return null'), null);
    assert.equal(await output('return "中文 😀 \\u0000"'), '中文 😀 \u0000');
    assert.equal(await output('return 0.1 + 0.2'), 0.1 + 0.2);
    assert.deepEqual(await output('return [undefined, NaN, new Date(0)]'), [null, null, '1970-01-01T00:00:00.000Z']);
    assert.deepEqual(await output('return input', { input: { 'a"b': '</script>`$x`\u2028' } }), {
      'a"b': '</script>`$x`\u2028',
    });
  });

  test('async functions and promises settle; comments at the end do not swallow anything', async () => {
    const code = 'const f = async (n) => n * 2;\nreturn (await Promise.all([1, 2, 3].map(f))).join() // end';
    assert.equal(await output(code), '2,4,6');
  });

  test('console lines become log lines of their level', async () => {
    const { logs } = await run(
      'console.log("a", { b: 1 }, [2], null, undefined); console.warn("w"); console.error(new Error("e")); console.debug(() => 1); console.info(1n)',
    );
    assert.deepEqual(
      logs.map(({ level, message }) => [level, message]),
      [
        ['info', 'a {"b":1} [2] null undefined'],
        ['warn', 'w'],
        ['error', 'Error: e'],
        ['debug', '() => 1'],
        ['info', '1'],
      ],
    );
  });

  test('input is frozen, a clone is not', async () => {
    const input = { list: [3, 1, 2], deep: { x: 1 } };
    for (const change of ['input.list.sort()', 'input.deep.x = 2', 'input.new = 1', 'delete input.deep']) {
      const error = await refused(run(change, { input }));
      assert.equal(error.code, 'CODE_FAILED');
      assert.equal(error.details?.name, 'TypeError');
    }
    assert.deepEqual(await output('return structuredClone(input).list.sort()', { input }), [1, 2, 3]);
  });

  test('what it throws tells the line and keeps to a length', async () => {
    const error = await refused(run('const a = 1;\n\nthrow new TypeError("wrong " + "x".repeat(100000));'));
    assert.equal(error.code, 'CODE_FAILED');
    assert.equal(error.kind, 'invalid');
    assert.equal(error.details?.line, 3);
    assert.match(error.message, /line 3.*TypeError: wrong/);
    assert.ok(error.message.length < 3000);
  });

  test('a syntax error tells the line', async () => {
    const error = await refused(run('const a = 1;\nconst b = ;'));
    assert.equal(error.code, 'CODE_SYNTAX');
    assert.equal(error.details?.line, 2);
  });
});

describe('code: hostile programs', () => {
  test('nothing of the host is in reach', async () => {
    const names = [
      'process',
      'require',
      'module',
      'fetch',
      'XMLHttpRequest',
      'WebSocket',
      'setTimeout',
      'Deno',
      'Buffer',
      'os',
      'std',
      'Worker',
      'WebAssembly',
      'global',
    ];
    assert.deepEqual(
      await output(`return [${names.map((name) => `typeof ${name}`).join()}]`),
      names.map(() => 'undefined'),
    );
  });

  const escapes: Record<string, string> = {
    'constructor of this': 'return this.constructor.constructor("return process")()',
    'constructor of console': 'return console.log.constructor("return process.env")()',
    'constructor of input': 'return input.constructor.constructor("return process")()',
    'generator constructor': 'return (function*(){}).constructor("yield process")().next().value',
    'async constructor': 'return await (async () => {}).constructor("return process")()',
    'dynamic import': 'return await import("node:fs")',
    'dynamic import of a path': 'return await import("/etc/passwd")',
    'stack preparation': 'Error.prepareStackTrace = (_, s) => s; return new Error().stack[0].getThis().process',
    'breaking out of the wrapper': '}); globalThis.process.exit(1); (async function () {',
  };
  for (const [name, code] of Object.entries(escapes)) {
    test(`${name}: an error, and nothing else`, async () => {
      const error = await refused(run(code, { input: { a: 1 } }));
      assert.ok(['CODE_FAILED', 'CODE_SYNTAX'].includes(error.code), error.code);
    });
  }

  const thrown: Record<string, string> = {
    null: 'throw null',
    undefined: 'throw undefined',
    'a symbol': 'throw Symbol("s")',
    'a function': 'throw () => 1',
    'an object': 'throw { a: 1 }',
    'a proxy that throws':
      'throw new Proxy({}, { get() { throw 1 }, getPrototypeOf() { throw 2 }, ownKeys() { throw 3 } })',
    'an error with getters that throw':
      'const e = new Error("x"); Object.defineProperty(e, "message", { get() { throw e } }); throw e',
    'an error with a message that is no text':
      'const e = new Error(); e.message = { toString() { throw 1 } }; e.stack = 5; throw e',
    'a cyclic object': 'const a = {}; a.a = a; throw a',
    'a huge text': 'throw "x".repeat(5e6)',
    'an error that claims to be of the host':
      'const e = new Error("m"); e.kind = "internal"; e.code = "X"; e.text = 1; throw e',
  };
  for (const [name, code] of Object.entries(thrown)) {
    test(`throwing ${name}: CODE_FAILED, short`, async () => {
      const error = await refused(run(code));
      assert.equal(error.code, 'CODE_FAILED');
      assert.ok(JSON.stringify([error.text, error.details]).length < 20_000);
    });
  }

  const endless: Record<string, string> = {
    'for (;;)': 'for (;;);',
    'for (;;) that catches': 'for (;;) try { for (;;); } catch (e) {} finally { for (;;); }',
    'a promise chain': 'const f = () => Promise.resolve().then(f); await f();',
    'a promise chain beside a result': 'const f = () => { Promise.resolve().then(f); }; f(); return 1;',
    'a catastrophic regex': 'return /^(a+)+$/.test("a".repeat(50) + "b")',
    'a getter of the result': 'return { get x() { for (;;); } }',
    'a toJSON of the result': 'return { toJSON() { for (;;); } }',
    'a comparison function': '[3, 2, 1].sort(() => { for (;;); })',
    'a proxy of the error': 'throw new Proxy({}, { get() { for (;;); } })',
  };
  for (const [name, code] of Object.entries(endless)) {
    test(`${name}: CODE_TIMEOUT`, async () => {
      const error = await refused(run(code, { timeout_ms: 400 }));
      assert.equal(error.code, 'CODE_TIMEOUT');
      assert.equal(error.kind, 'timeout');
    });
  }

  const greedy: Record<string, string> = {
    'growing lists': 'const all = []; for (;;) all.push(new Array(10000).fill(1));',
    'one large buffer': 'return new Uint8Array(100e6).length',
    'growing text': 'let parts = []; for (;;) parts.push("x".repeat(1e6) + Math.random());',
    'a list of a billion': 'return new Array(1e9).fill(0)',
    'fill of a length of 2^53': 'return [].fill.call({ length: 2 ** 53 - 1 }, 0)',
  };
  for (const [name, code] of Object.entries(greedy)) {
    test(`${name}: CODE_MEMORY`, async () => {
      const error = await refused(run(code, { timeout_ms: 60_000 }));
      assert.equal(error.code, 'CODE_MEMORY');
    });
  }

  const deep: Record<string, string> = {
    recursion: 'const f = () => f() + 1; return f()',
    'recursion that catches': 'const f = () => { try { f() } catch (e) { f() } }; f(); for (;;);',
    'JSON of brackets': 'return JSON.parse("[".repeat(200000))',
    'a program of brackets': 'return eval("(".repeat(200000))',
    'a deep result': 'let a = []; for (let i = 0; i < 1e5; i++) a = [a]; return a',
    'a result of 600 levels': 'let a = []; for (let i = 0; i < 600; i++) a = [a]; return a',
  };
  for (const [name, code] of Object.entries(deep)) {
    test(`${name}: a clear error`, async () => {
      const error = await refused(run(code, { timeout_ms: 1000 }));
      assert.match(error.code, /^CODE_(STACK|FAILED|TIMEOUT|RESULT_INVALID|MEMORY)$/);
    });
  }

  test('results that are no JSON: CODE_RESULT_INVALID', async () => {
    for (const code of [
      'return 1n',
      'const a = {}; a.a = a; return a',
      'return () => 1',
      'return Symbol()',
      'return { toJSON() { throw 1 } }',
    ]) {
      assert.equal((await refused(run(code))).code, 'CODE_RESULT_INVALID', code);
    }
    assert.equal((await refused(run('return "x".repeat(9 * 1024 * 1024)'))).code, 'CODE_RESULT_INVALID');
  });

  test('a promise that never settles: CODE_UNSETTLED', async () => {
    assert.equal((await refused(run('await new Promise(() => {})'))).code, 'CODE_UNSETTLED');
  });

  test('built-in objects that were changed harm only the program', async () => {
    const code = `
      JSON.stringify = () => '{"status":"done","json":"\\\\"forged\\\\""}'; JSON.parse = () => 1;
      Object.prototype.status = 'done'; Object.prototype.toJSON = () => 7; Array.prototype.toJSON = () => 8;
      Promise.prototype.then = () => { throw 1 }; String.prototype.slice = () => 'no'; Reflect.apply = null;
      return { a: [1] };`;
    const error = await run(code).then(
      ({ output: value }) => value,
      (thrown: unknown) => (thrown as AppError).code,
    );
    assert.ok(error === 7 || error === 'CODE_RESULT_INVALID' || error === 'CODE_FAILED', JSON.stringify(error));
    assert.equal(await output('return 1'), 1, 'the next program has objects of its own');
  });

  test('a result with __proto__ pollutes nothing', async () => {
    const value = await output(`return JSON.parse('{"__proto__":{"polluted":true}}')`);
    assert.equal((value as { polluted?: unknown }).polluted, undefined);
    assert.equal(Reflect.get({}, 'polluted'), undefined);
  });

  test('endless console output is cut off', async () => {
    const { logs } = await run('for (let i = 0; i < 20000; i++) console.log("line", i, "x".repeat(50)); return 1', {
      timeout_ms: 20_000,
    });
    assert.ok(logs.length <= 1001);
    assert.equal(logs.at(-1)?.level, 'warn');
  });
});

describe('code: in its lane', () => {
  let pool: Pool;
  before(async () => {
    pool = await createPool({ log: createLogger('fatal'), nodes: [FILE], isolated: { threads: 2 }, env: {} });
  });
  after(() => pool.close({ graceMs: 0 }));

  const inPool = (code: string, timeoutMs = 5000, record = createNodeRecord()) =>
    runNodeInPool(FILE, { pool, config: { code, timeout_ms: timeoutMs }, timeoutMs, record });

  test('a program gives its result and its lines', async () => {
    const record = createNodeRecord();
    const { output: value } = await inPool('console.log("hello"); return { ok: true }', 5000, record);
    assert.deepEqual(value, { ok: true });
    assert.deepEqual(record.logs, [{ level: 'info', message: 'hello' }]);
  });

  test('a built-in loop that cannot be interrupted: the thread is killed, others go on', async () => {
    const stuck = refused(inPool('return [].indexOf.call({ length: 2 ** 53 - 1 }, 1)', 1200));
    assert.equal((await inPool('return 1')).output, 1);
    const error = await stuck;
    assert.equal(error.code, 'NODE_TIMEOUT');
    assert.equal((await inPool('return 2')).output, 2);
  });

  test('memory bombs one after another leave the pool as it was', async () => {
    const bombs = Array.from({ length: 6 }, () =>
      refused(inPool('const a = []; for (;;) a.push(new Array(1e5).fill({}))', 20_000)),
    );
    for (const error of await Promise.all(bombs)) assert.equal(error.code, 'CODE_MEMORY');
    assert.equal((await inPool('return 3')).output, 3);
    assert.equal(pool.stats().isolated.restarts, 0);
  });
});
