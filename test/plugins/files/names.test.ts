import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cleanName, pathParts } from '../../../plugins/files/names.ts';
import { inOnePass } from '../../support/effort.ts';

test('cleanName: blanks and dots at the ends go, however many there are anywhere', async () => {
  assert.equal(cleanName(' ..a b. .c. .'), 'a b. .c');
  assert.equal(cleanName('\u3000\u00a0a\u2003'), 'a');
  for (const run of [' ', '.', '. ', '/ ', '\\', '\u0301', '*', '\u200e', '字', 'a.']) {
    const long = run.repeat(400_000);
    for (const name of [`x${long}y`, `${long}y`]) {
      assert.ok(Buffer.byteLength(await inOnePass(() => cleanName(name))) <= 255);
    }
  }
});

test('pathParts: a path of any length is decided in one pass', async () => {
  for (const run of ['/', './', 'a/', '../', ' ', '\\']) {
    await inOnePass(() => assert.throws(() => pathParts(`x${run.repeat(500_000)}y`)), run);
  }
});
