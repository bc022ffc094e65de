import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { TokenStream } from '../../../plugins/conversations/run/token-stream.ts';

type Event = { type: string; data: Record<string, unknown> };
const start = (iteration: number): Event => ({ type: 'text_start', data: { iteration } });
const chunk = (content: string): Event => ({ type: 'text_chunk', data: { content } });
const anew = (iteration: number): Event => ({ type: 'system_message', data: { discards_iteration: iteration } });

/** What a client has put together, and the pieces. */
function sent(...events: Event[]): string[] {
  const stream = new TokenStream();
  return [...events.map((event) => stream.take(event)), stream.end()].filter((piece) => piece !== '');
}

test('the texts of iterations are sent as they come, with an empty line between them', () => {
  assert.deepEqual(sent(start(1), chunk('a'), chunk('b'), start(3), chunk('c'), chunk('d')), ['a', 'b', '\n\nc', 'd']);
  assert.deepEqual(sent(start(1), start(2), chunk('only')), ['only']);
  assert.deepEqual(sent(start(1), chunk('a'), start(1), chunk('b')), ['a', 'b']);
  assert.deepEqual(sent(), []);
});

test('other events say nothing', () => {
  assert.deepEqual(
    sent(
      { type: 'thinking_chunk', data: { content: 'hm' } },
      { type: 'system_message', data: { content: 'x' } },
      { type: 'run_resumed', data: {} },
      { type: 'tool_start', data: {} },
    ),
    [],
  );
});

test('written anew with the same beginning: only what goes beyond it', () => {
  assert.deepEqual(
    sent(
      start(1),
      chunk('one '),
      chunk('two'),
      anew(1),
      start(1),
      chunk('o'),
      chunk('ne tw'),
      chunk('o three'),
      chunk('!'),
    ),
    ['one ', 'two', ' three', '!'],
  );
  assert.deepEqual(sent(start(1), chunk('same'), anew(1), start(1), chunk('same'), start(2), chunk('next')), [
    'same',
    '\n\nnext',
  ]);
});

test('written anew with another text: it follows after an empty line', () => {
  assert.deepEqual(sent(start(1), chunk('one two'), anew(1), start(1), chunk('one '), chunk('else'), chunk('.')), [
    'one two',
    '\n\none else',
    '.',
  ]);
  assert.deepEqual(sent(start(1), chunk('long text'), anew(1), start(1), chunk('long')), ['long text', '\n\nlong']);
  assert.deepEqual(sent(start(1), chunk('long'), anew(1), start(1), chunk('lo'), start(2), chunk('b')), [
    'long',
    '\n\nlo',
    '\n\nb',
  ]);
});

test('cut off twice, or before anything was sent', () => {
  assert.deepEqual(
    sent(
      start(1),
      chunk('abc'),
      anew(1),
      start(1),
      chunk('ab'),
      anew(1),
      start(1),
      chunk('abcd'),
      start(2),
      chunk('e'),
    ),
    ['abc', 'd', '\n\ne'],
  );
  assert.deepEqual(sent(anew(1), start(1), chunk('a')), ['a']);
  assert.deepEqual(sent(start(1), chunk('a'), start(2), anew(2), start(2), chunk('b')), ['a', '\n\nb']);
});

test('any answer: without a new beginning the pieces are the answer; whoever comes back gets the rest', () => {
  const iteration = fc.array(fc.string({ minLength: 1, maxLength: 4 }), { maxLength: 4 });
  fc.assert(
    fc.property(fc.array(iteration, { maxLength: 5 }), fc.nat(30), fc.nat(30), (texts, cutAt, backAt) => {
      const whole = texts.map((pieces) => pieces.join('')).filter((text) => text !== '');
      const events = texts.flatMap((pieces, at) => [start(at + 1), ...pieces.map(chunk)]);
      assert.equal(sent(...events).join(''), whole.join('\n\n'));

      // The model is deterministic, the server dies after `cutAt` events and goes on from the beginning of the iteration.
      const cut = cutAt % (events.length + 1);
      const begin = events.slice(0, cut).findLastIndex(({ type }) => type === 'text_start');
      const died =
        begin < 0
          ? events
          : [...events.slice(0, cut), anew(Number(events[begin]?.data.iteration)), ...events.slice(begin)];
      assert.equal(sent(...died).join(''), whole.join('\n\n'));

      const stream = new TokenStream();
      const pieces = died.map((event) => stream.take(event));
      const back = backAt % (died.length + 1);
      assert.equal(pieces.slice(0, back).join('') + pieces.slice(back).join(''), whole.join('\n\n'));
    }),
  );
});
