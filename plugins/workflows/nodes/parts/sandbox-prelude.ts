/**
 * Runs inside QuickJS before the user's program and keeps its own references to what it needs, so that a program that tampers with
 * built-in objects harms only itself. Gives back functions that only the host holds.
 */
export const PRELUDE = `(() => {
  'use strict';
  const { parse, stringify } = JSON;
  const { freeze, defineProperty, keys } = Object;
  const { apply } = Reflect;
  const then = Promise.prototype.then;
  const toText = String;
  const push = Array.prototype.push;
  const slice = String.prototype.slice;
  const cut = (text, most) => (text.length > most ? apply(slice, text, [0, most]) + '…' : text);

  const freezeAll = (root) => {
    const open = [root];
    while (open.length > 0) {
      const value = open[open.length - 1];
      open.length -= 1;
      if (typeof value !== 'object' || value === null) continue;
      const names = keys(value);
      for (let at = 0; at < names.length; at += 1) open[open.length] = value[names[at]];
      freeze(value);
    }
    return root;
  };

  const show = (value) => {
    if (typeof value === 'string') return value;
    try {
      if (value instanceof Error) return toText(value.stack ? value.name + ': ' + value.message : value);
      if (typeof value === 'object' && value !== null) {
        const text = stringify(value);
        return typeof text === 'string' ? text : toText(value);
      }
      return toText(value);
    } catch (error) {
      return '[' + typeof value + ']';
    }
  };

  const report = (thrown) => {
    const read = (name) => {
      try {
        const value = thrown[name];
        return typeof value === 'string' ? cut(value, 2000) : '';
      } catch (error) {
        return '';
      }
    };
    const isError = typeof thrown === 'object' && thrown !== null;
    const message = isError ? read('message') : '';
    return { name: isError ? read('name') : '', message: message || cut(show(thrown), 2000), stack: isError ? read('stack') : '' };
  };

  let write = () => undefined;
  const line = (level) => (...parts) => {
    let text = '';
    for (let at = 0; at < parts.length; at += 1) text += (at === 0 ? '' : ' ') + show(parts[at]);
    write(level, cut(text, 10000));
  };
  const define = (name, value) => defineProperty(globalThis, name, { value, writable: true, configurable: true });
  define('console', { log: line('info'), info: line('info'), warn: line('warn'), error: line('error'), debug: line('debug') });
  define('structuredClone', (value) => (value === undefined ? undefined : parse(stringify(value))));

  return {
    connect: (log) => { write = log; },
    parse: (text) => freezeAll(parse(text)),
    start: (program, ...values) => {
      const outcome = { status: 'pending', value: undefined };
      apply(then, apply(program, undefined, values), [
        (value) => { outcome.status = 'done'; outcome.value = value; },
        (error) => { outcome.status = 'failed'; outcome.value = error; },
      ]);
      return outcome;
    },
    state: ({ status, value }, most) => {
      const fail = (error) => stringify({ __proto__: null, status: 'failed', error: { __proto__: null, ...error } });
      if (status === 'pending') return '{"status":"pending"}';
      if (status === 'failed') return fail(report(value));
      let json;
      try {
        json = stringify(value === undefined ? null : value);
        if (typeof json !== 'string') return fail({ name: 'ResultError', message: 'a ' + typeof value, stack: '' });
      } catch (error) {
        const { name, message, stack } = report(error);
        if (name === 'InternalError') return fail({ name, message, stack });
        return fail({ name: 'ResultError', message, stack });
      }
      if (json.length > most) return fail({ name: 'ResultError', message: 'larger than ' + most + ' characters', stack: '' });
      return stringify({ __proto__: null, status: 'done', json });
    },
  };
})()`;
