import { setFlagsFromString } from 'node:v8';
import { BSONRegExp, toRegExp } from './bson.ts';
import { CommandError } from './errors.ts';

/*
 * A regular expression of a user cannot be interrupted. Two fences: V8 falls back to its linear engine after many
 * backtracks (not for back references and look-around), and the thread that started the store watches the shared
 * cells: when one match runs too long it restarts the worker and that pattern is refused from then on.
 */
try {
  setFlagsFromString('--enable-experimental-regexp-engine-on-excessive-backtracks');
} catch (error) {
  if (!(error instanceof Error)) throw error; // a runtime without V8 flags keeps the second fence
}

let cells: Int32Array | undefined;
let announce: (id: number, pattern: string) => void = () => undefined;
let refused = new Set<string>();
let lastId = 0;

/** Shares the watch cells (0: id of the running pattern, 1: count of matches begun) with the starting thread. */
export function watchRegex(
  shared: Int32Array,
  patterns: string[],
  onPattern: (id: number, pattern: string) => void,
): void {
  cells = shared;
  refused = new Set(patterns);
  announce = onPattern;
}

/** Watches a function of a user that may run without end, as a regular expression does. */
export function watched<A, R>(name: string, run: (argument: A) => R): (argument: A) => R {
  if (refused.has(name)) throw new CommandError(50, `${name.slice(0, 200)} is refused: it took too long before.`);
  if (!cells) return run;
  const id = ++lastId;
  const shared = cells;
  announce(id, name);
  return (argument) => {
    Atomics.store(shared, 0, id);
    Atomics.add(shared, 1, 1);
    try {
      return run(argument);
    } finally {
      Atomics.store(shared, 0, 0);
    }
  };
}

/** Compiles a pattern of a query; `$regex` takes text, BSON and JavaScript expressions. */
export function compileRegex(pattern: unknown, options?: string): (text: string) => boolean {
  let expression: RegExp;
  if (pattern instanceof BSONRegExp) expression = toRegExp(pattern.pattern, options ?? pattern.options);
  else if (pattern instanceof RegExp)
    expression = toRegExp(pattern.source, options ?? pattern.flags.replace(/[gyd]/g, ''));
  else if (typeof pattern === 'string') expression = toRegExp(pattern, options);
  else throw new CommandError(2, '$regex has to be a string');
  const name = String(expression);
  if (refused.has(name)) {
    throw new CommandError(51091, `Regular expression ${name} is refused: it took too long before.`);
  }
  // Without a quantifier inside a group or two in a row nothing backtracks far; most patterns need no watch.
  if (!cells || !/[+*}].*[+*}]|\(.*[+*}|]/s.test(expression.source)) return (text) => expression.test(text);
  return watched(name, (text: string) => expression.test(text));
}
