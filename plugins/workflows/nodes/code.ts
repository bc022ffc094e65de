import { defineNode } from '../../../core/node.ts';
import { freeObject, Type } from '../../../core/schema.ts';

const TIMEOUT_MS = 10_000;
/** The program is stopped a little before its thread would be killed: that is cheaper, and the message is better. */
const MARGIN_MS = 500;

/**
 * JavaScript of a user in a sandbox (see `runInSandbox`), in a thread of the isolated lane. The program is the body of an async function
 * with `input` and `variables`; it gives its result by `return`. Lines of `console` become log lines. The clock is the real one and
 * `Math.random` is random: the result is stored with the step, so a resumed execution does not ask again.
 */
export default defineNode({
  type: 'code',
  version: 1,
  lane: 'isolated',
  timeoutMs: TIMEOUT_MS,
  label: { zh: '代码', en: 'Code' },
  summary: {
    zh: '在沙箱中运行 JavaScript：无网络、无文件，限时限内存',
    en: 'Runs JavaScript in a sandbox: no network, no files, limited time and memory',
  },
  config: Type.Object({
    code: Type.String({
      maxLength: 200_000,
      editor: 'code',
      label: { zh: '代码', en: 'Code' },
      hint: {
        zh: '可用 input 与 variables（只读），用 return 返回结果，console.log 写入日志',
        en: 'Has input and variables (read-only), gives its result by return; console.log writes to the log',
      },
    }),
    variables: freeObject({
      default: {},
      editor: 'json',
      label: { zh: '变量', en: 'Variables' },
      hint: {
        zh: '代码中以 variables.名称 读取，例如 {"price": "{http-1.body.price}"}',
        en: 'Read as variables.name, for example {"price": "{http-1.body.price}"}',
      },
    }),
    timeout_ms: Type.Integer({
      minimum: 100,
      maximum: 300_000,
      default: TIMEOUT_MS,
      label: { zh: '时限（毫秒）', en: 'Time limit (ms)' },
    }),
  }),
  literal: ['code'],
  input: Type.Unknown(),
  output: Type.Unknown(),

  async run({ config: { code, variables, timeout_ms }, input, log }) {
    // Here and not above: the main thread reads this file too, and never runs a program.
    const { runInSandbox } = await import('./parts/sandbox.ts');
    return runInSandbox({
      code,
      values: { input, variables },
      timeLimitMs: Math.max(timeout_ms - MARGIN_MS, timeout_ms / 2),
      log,
    });
  },
});
