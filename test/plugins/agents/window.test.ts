import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fitToWindow } from '../../../plugins/agents/loop/window.ts';
import { countRequestTokens, type ModelMessage } from '../../../runtime/models/index.ts';

const words = (count: number) => 'word '.repeat(count).trim();
const user = (content: string): ModelMessage => ({ role: 'user', content });
const said = (content: string, thinking?: string): ModelMessage => ({
  role: 'assistant',
  content,
  ...(thinking !== undefined && { thinking }),
});
const called = (...ids: string[]): ModelMessage => ({
  role: 'assistant',
  content: '',
  toolCalls: ids.map((id) => ({ id, name: 'tool', arguments: {}, raw: '{}' })),
});
const result = (toolCallId: string, content: string): ModelMessage => ({ role: 'tool', toolCallId, content });

const fit = (
  messages: ModelMessage[],
  contextWindow = 100_000,
  more: { maxTokens?: number; multimodal?: boolean } = {},
) =>
  fitToWindow(
    { system: 'S', messages, tools: [], ...(more.maxTokens !== undefined && { maxTokens: more.maxTokens }) },
    { contextWindow, maxOutputTokens: 1000, multimodal: more.multimodal ?? true },
    0.9,
  );
const rest = (messages: ModelMessage[], ...args: [number?, { maxTokens?: number; multimodal?: boolean }?]) =>
  fit(messages, ...args).messages.slice(1);

test('a conversation that fits stays as it is, but for the thoughts of turns that are over', () => {
  const messages = [user('a'), said('b', 'old thought'), user('c'), said('', 'new thought'), user('d')];
  assert.deepEqual(rest(messages), [user('a'), said('b'), user('c'), said(''), user('d')]);
  const present = [
    user('a'),
    said('b', 'old'),
    user('c'),
    { ...called('x'), thinking: 'new' } as ModelMessage,
    result('x', 'r'),
  ];
  assert.deepEqual(rest(present).at(-2), present[3]);
});

test('the answer keeps its room: at most what the model gives, at most half of the window', () => {
  assert.equal(fit([user('a')]).maxTokens, 1000);
  assert.equal(fit([user('a')], 100_000, { maxTokens: 200 }).maxTokens, 200);
  assert.equal(fit([user('a')], 1200).maxTokens, 600);
});

test('tool results of earlier turns are shortened before a turn is left out', () => {
  const messages = [
    user('first'),
    called('x'),
    result('x', words(3000)),
    said('so'),
    user('second'),
    called('y'),
    result('y', words(500)),
  ];
  const { messages: sent, leftOut } = fit(messages, 3000);
  assert.deepEqual(leftOut, { turns: 0, results: 1 });
  assert.equal(sent.length, 1 + messages.length);
  assert.match(String(sent[3]?.content), /\[shortened to fit the context window\]$/);
  assert.equal(sent.at(-1)?.content, words(500));
});

test('whole turns go, oldest first, and the present one stays', () => {
  const messages = [1, 2, 3].flatMap((n) => [user(`q${n} ${words(400)}`), said(`a${n} ${words(400)}`)]);
  const { messages: sent, leftOut } = fit([...messages, user('now')], 3000);
  assert.deepEqual(leftOut, { turns: 1, results: 0 });
  assert.match(String(sent[1]?.content), /^q2/);
  assert.equal(sent.at(-1)?.content, 'now');
});

test('a long present turn: its results are shortened, then its oldest steps go, the question and the last step stay', () => {
  const steps = Array.from({ length: 30 }, (_, n) => [called(`c${n}`), result(`c${n}`, words(1000))]).flat();
  const { messages: sent, leftOut } = fit([user('question'), ...steps], 4000);
  assert.ok(countRequestTokens(sent) <= 2700, `${countRequestTokens(sent)}`);
  assert.deepEqual(sent.slice(0, 2), [{ role: 'system', content: 'S' }, user('question')]);
  assert.deepEqual(sent.at(-1)?.role, 'tool');
  assert.equal(leftOut.results, 30);
});

test('what cannot be cut is sent all the same', () => {
  const { messages: sent, leftOut } = fit([user(words(5000))], 2000);
  assert.deepEqual(leftOut, { turns: 0, results: 0 });
  assert.equal(sent.at(-1)?.content, words(5000));
});

test('calls without a result get one, results without a call go', () => {
  assert.deepEqual(
    rest([result('stray', 'x'), user('a'), called('p', 'q'), result('q', 'Q'), user('b'), called('r')]),
    [
      user('a'),
      called('p', 'q'),
      result('q', 'Q'),
      result('p', 'Error: not carried out'),
      user('b'),
      called('r'),
      result('r', 'Error: not carried out'),
    ],
  );
});

test('pictures of earlier turns are named to a model that does not read pictures; those of the present one stay', () => {
  const picture: ModelMessage = {
    role: 'user',
    content: [
      { type: 'text', text: 'look' },
      { type: 'image', url: 'data:image/png;base64,AAAA' },
    ],
  };
  assert.deepEqual(rest([picture, said('seen'), picture], 100_000, { multimodal: false }), [
    user('look\n[picture]'),
    said('seen'),
    picture,
  ]);
});

test('an empty system text is no message', () => {
  const { messages } = fitToWindow(
    { system: ' ', messages: [user('a')], tools: [] },
    { contextWindow: 1000, maxOutputTokens: 100, multimodal: true },
    0.9,
  );
  assert.deepEqual(messages, [user('a')]);
});
