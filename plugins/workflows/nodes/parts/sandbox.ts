import {
  newQuickJSWASMModuleFromVariant,
  newVariant,
  type QuickJSContext,
  type QuickJSHandle,
  type QuickJSRuntime,
  RELEASE_SYNC,
} from 'quickjs-emscripten';
import { AppError, type LocalText } from '../../../../core/errors.ts';
import { PRELUDE } from './sandbox-prelude.ts';

/** Not among the types of Node without those of browsers. */
declare const WebAssembly: { readonly Memory: new (pages: { initial: number; maximum: number }) => object };

export const MEMORY_LIMIT_MB = 64;
const PAGES_PER_MB = 16;
/** QuickJS aborts as a whole beyond 256 KiB; deep recursion of the program ends well before. */
const STACK_BYTES = 192 * 1024;
/** Characters of the result's JSON. */
const MAX_RESULT = 8 * 1024 * 1024;
const MAX_LOG_LINES = 1000;
const MAX_LOG_CHARS = 256 * 1024;
/** Deeper data breaks whoever walks it later. */
const MAX_DEPTH = 500;

export type ConsoleLevel = 'debug' | 'info' | 'warn' | 'error';

export interface SandboxOptions {
  /** The body of an async function that may use the names of `values`; its `return` is the result. */
  code: string;
  /** Names and JSON values; the program gets them frozen. */
  values: Readonly<Record<string, unknown>>;
  timeLimitMs: number;
  /** Lines of `console`. */
  log(level: ConsoleLevel, message: string): void;
}

/**
 * Runs a JavaScript program of a user in QuickJS: a WebAssembly heap of its own per program, no network, files, timers, modules or
 * host objects. Built-in functions that loop by themselves in C (`indexOf` on a length of 2^53) cannot be interrupted: the caller's thread
 * must be one that may be killed.
 *
 * @returns the result as JSON keeps it; null for none
 * @throws {AppError} CODE_SYNTAX, CODE_FAILED (what the program threw), CODE_TIMEOUT, CODE_MEMORY, CODE_STACK, CODE_UNSETTLED,
 *   CODE_RESULT_INVALID
 */
export async function runInSandbox({ code, values, timeLimitMs, log }: SandboxOptions): Promise<unknown> {
  // Never shared and never disposed: what one program does to its heap is gone with the instance.
  // The engine's own memory limit does not see fragmentation (2 GiB were reached under a limit of 64 MiB): the heap itself ends.
  const wasmMemory = new WebAssembly.Memory({ initial: 256, maximum: MEMORY_LIMIT_MB * PAGES_PER_MB });
  const quickjs = await newQuickJSWASMModuleFromVariant(newVariant(RELEASE_SYNC, { wasmMemory }));
  const runtime = quickjs.newRuntime();
  runtime.setMaxStackSize(STACK_BYTES);
  const deadline = performance.now() + timeLimitMs;
  let timedOut = false;
  const isLate = () => {
    timedOut ||= performance.now() > deadline;
    return timedOut;
  };
  runtime.setInterruptHandler(isLate);
  const context = runtime.newContext();
  const guest = new Guest(runtime, context);
  try {
    const toolkit = guest.evaluate(PRELUDE, 'prelude.js');
    const call = (name: string, ...args: QuickJSHandle[]) => guest.call(context.getProp(toolkit, name), args);
    call('connect', context.newFunction('log', createConsole(context, log)));

    const names = Object.keys(values);
    const frozen = names.map((name) => {
      const text = context.newString(JSON.stringify(values[name] ?? null));
      const value = call('parse', text);
      text.dispose();
      return value;
    });
    // On the first line, so that line numbers are the program's own.
    const program = guest.compile(`(async function (${names.join(', ')}) { "use strict"; ${code}\n})`, 'code.js');
    const settled = call('start', program, ...frozen);
    guest.runJobs(isLate);
    if (timedOut) throw timeout(timeLimitMs);
    const state = JSON.parse(context.getString(call('state', settled, context.newNumber(MAX_RESULT)))) as State;
    return read(state);
  } catch (error) {
    if (timedOut) throw timeout(timeLimitMs);
    throw error instanceof GuestError ? explain(error.report) : failure(error);
  }
}

type State = { status: 'pending' } | { status: 'done'; json: string } | { status: 'failed'; error: Report };

/** What the prelude makes of a thrown value; all text is cut there. */
interface Report {
  name: string;
  message: string;
  stack: string;
}

class GuestError extends Error {
  readonly report: Report;

  constructor(report: Report) {
    super(report.message);
    this.report = report;
  }
}

/** Calls into the sandbox; what is thrown there becomes a `GuestError`. */
class Guest {
  readonly #runtime: QuickJSRuntime;
  readonly #context: QuickJSContext;

  constructor(runtime: QuickJSRuntime, context: QuickJSContext) {
    this.#runtime = runtime;
    this.#context = context;
  }

  evaluate(code: string, file: string): QuickJSHandle {
    return this.#value(this.#context.evalCode(code, file));
  }

  compile(code: string, file: string): QuickJSHandle {
    try {
      return this.evaluate(code, file);
    } catch (error) {
      if (error instanceof GuestError && error.report.name === 'SyntaxError') throw syntaxError(error.report);
      throw error;
    }
  }

  call(fn: QuickJSHandle, args: QuickJSHandle[]): QuickJSHandle {
    return this.#value(this.#context.callFunction(fn, this.#context.undefined, ...args));
  }

  /** Runs promise reactions until there are none. */
  runJobs(isLate: () => boolean): void {
    while (this.#runtime.hasPendingJob()) {
      // A chain of small jobs never trips the interrupt handler by itself.
      if (isLate()) return;
      const result = this.#runtime.executePendingJobs(500);
      if (result.error) throw new GuestError(this.#report(result.error));
    }
  }

  #value(result: ReturnType<QuickJSContext['evalCode']>): QuickJSHandle {
    if (result.error) throw new GuestError(this.#report(result.error));
    return result.value;
  }

  /** Reads an error of the engine itself; those of the program were made plain by the prelude. */
  #report(handle: QuickJSHandle): Report {
    const text = (name: string) => {
      const property = this.#context.getProp(handle, name);
      return this.#context.typeof(property) === 'string' ? this.#context.getString(property).slice(0, 2000) : '';
    };
    return { name: text('name'), message: text('message'), stack: text('stack') };
  }
}

function createConsole(context: QuickJSContext, log: SandboxOptions['log']) {
  let [lines, chars, full] = [0, 0, false];
  return (level: QuickJSHandle, message: QuickJSHandle) => {
    if (full) return;
    const text = context.getString(message);
    lines += 1;
    chars += text.length;
    full = lines > MAX_LOG_LINES || chars > MAX_LOG_CHARS;
    if (full) log('warn', 'console: too much output, the rest is left out');
    else log(context.getString(level) as ConsoleLevel, text);
  };
}

function read(state: State): unknown {
  if (state.status === 'failed') throw explain(state.error);
  if (state.status === 'pending') {
    throw new AppError('invalid', 'CODE_UNSETTLED', {
      zh: '代码等待一个永远不会完成的 Promise（沙箱中没有定时器和网络）',
      en: 'The code waits for a promise that never settles (there are no timers and no network in the sandbox)',
    });
  }
  const value: unknown = JSON.parse(state.json);
  if (isDeeper(value, MAX_DEPTH)) throw resultInvalid(`nested deeper than ${MAX_DEPTH} levels`);
  return value;
}

function isDeeper(value: unknown, most: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return most === 0 || Object.values(value).some((item) => isDeeper(item, most - 1));
}

const timeout = (timeLimitMs: number) =>
  new AppError(
    'timeout',
    'CODE_TIMEOUT',
    { zh: `代码运行超过 ${timeLimitMs} 毫秒`, en: `The code ran for more than ${timeLimitMs} ms` },
    { details: { timeLimitMs } },
  );

const memory = () =>
  new AppError(
    'too_large',
    'CODE_MEMORY',
    { zh: `代码使用的内存超过 ${MEMORY_LIMIT_MB} MiB`, en: `The code used more than ${MEMORY_LIMIT_MB} MiB of memory` },
    { details: { limitMb: MEMORY_LIMIT_MB } },
  );

const stack = () =>
  new AppError('invalid', 'CODE_STACK', {
    zh: '代码递归过深',
    en: 'The code recurses too deeply',
  });

const resultInvalid = (why: string) =>
  new AppError(
    'invalid',
    'CODE_RESULT_INVALID',
    { zh: `代码的返回值不能作为 JSON：${why}`, en: `The result of the code is not usable as JSON: ${why}` },
    { details: { reason: why } },
  );

const syntaxError = ({ message, stack: trace }: Report) => {
  const line = lineOf(trace);
  return new AppError('invalid', 'CODE_SYNTAX', place(line, '语法错误', 'syntax error', message), {
    ...(line !== undefined && { details: { line } }),
  });
};

const place = (line: number | undefined, zh: string, en: string, message: string): LocalText => ({
  zh: `代码${line === undefined ? '' : `第 ${line} 行`}${zh}：${message}`,
  en: `${en}${line === undefined ? '' : ` in line ${line}`} of the code: ${message}`,
});

const lineOf = (trace: string): number | undefined => {
  const found = /code\.js:(\d+)/.exec(trace)?.[1];
  return found === undefined ? undefined : Number(found);
};

/** Gives an error of the sandbox its code. A program may throw an error that looks like one of the engine's: that changes only its code. */
function explain({ name, message, stack: trace }: Report): AppError {
  const at = lineOf(trace);
  if (name === 'InternalError' && message === 'out of memory') return memory();
  if ((name === 'InternalError' || name === 'RangeError') && /stack overflow|call stack/i.test(message)) return stack();
  if (name === 'ResultError') return resultInvalid(message);
  const text = name === '' || name === 'Error' ? message : `${name}: ${message}`;
  return new AppError('invalid', 'CODE_FAILED', place(at, '出错', 'error', text), {
    details: { name, message, ...(at !== undefined && { line: at }), ...(trace && { stack: trace }) },
  });
}

/** The engine itself gave up: the wasm stack of V8, or an abort. Its instance is not used again. */
function failure(error: unknown): unknown {
  if (error instanceof AppError) return error;
  if (error instanceof RangeError && /call stack/i.test(error.message)) return stack();
  if (error instanceof Error && error.name === 'RuntimeError') return memory();
  return error;
}
