import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cleanName, pathParts } from '../../../plugins/files/names.ts';

test('cleanName: blanks and dots at the ends go, however many there are anywhere', () => {
  assert.equal(cleanName(' ..a b. .c. .'), 'a b. .c');
  assert.equal(cleanName('\u3000\u00a0a\u2003'), 'a');
  const started = performance.now();
  for (const run of [' ', '.', '. ', '/ ', '\\', '\u0301', '*', '\u200e', '字', 'a.']) {
    const long = run.repeat(400_000);
    for (const name of [`x${long}y`, `${long}y`]) {
      assert.ok(Buffer.byteLength(cleanName(name)) <= 255);
    }
  }
  assert.ok(performance.now() - started < 10_000);
});

test('pathParts: a path of any length is decided at once', () => {
  const started = performance.now();
  for (const run of ['/', './', 'a/', '../', ' ', '\\']) assert.throws(() => pathParts(`x${run.repeat(500_000)}y`));
  assert.ok(performance.now() - started < 3000);
});
