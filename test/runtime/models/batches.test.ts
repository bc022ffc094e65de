import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createBatches } from '../../../runtime/models/index.ts';

function collected(limits: { ms: number; chars: number }) {
  const sent: string[] = [];
  return { sent, ...createBatches((kind: 'text' | 'thinking', text) => sent.push(`${kind}: ${text}`), limits) };
}

test('the first piece goes out at once, those that follow closely go together', () => {
  const { sent, add, flush } = collected({ ms: 10_000, chars: 5 });
  add('text', 'a');
  assert.deepEqual(sent, ['text: a']);
  add('text', 'b');
  add('thinking', 'c');
  assert.deepEqual(sent, ['text: a', 'text: b']);
  add('thinking', '12345');
  assert.deepEqual(sent, ['text: a', 'text: b', 'thinking: c12345']);
  add('text', 'end');
  flush();
  flush();
  assert.deepEqual(sent.slice(3), ['text: end']);
});

test('a sign whose halves come in two pieces goes out whole', () => {
  const { sent, add, flush } = collected({ ms: 0, chars: 100 });
  add('text', 'a\ud83d');
  add('text', '\ude00');
  add('text', '\ud83d');
  assert.deepEqual(sent, ['text: a', 'text: 😀']);
  add('thinking', 'b');
  add('text', 'c\ud83d');
  flush();
  // A half that is never made whole is told as it came.
  assert.deepEqual(sent.slice(2), ['text: \ud83d', 'thinking: b', 'text: c', 'text: \ud83d']);
});
