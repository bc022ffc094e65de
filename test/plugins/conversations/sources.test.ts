import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  citedIn,
  citedOfTools,
  closingText,
  contextText,
  type Passage,
} from '../../../plugins/conversations/run/sources.ts';
import { languageOf, titleFromMessage } from '../../../plugins/conversations/run/titles.ts';
import { extractMaterial, formatMaterial, type ModelMessage } from '../../../runtime/models/index.ts';

const passages = ['a.pdf', 'b.md', 'c.txt', 'd.txt'].map(
  (filename, at): Passage => ({
    number: at + 1,
    documentId: `d${at + 1}`,
    filename,
    page: filename === 'a.pdf' ? 3 : null,
    pageEnd: filename === 'a.pdf' ? 4 : null,
    headings: filename === 'b.md' ? ['第一章', '第二节'] : [],
    passageId: `p${at + 1}`,
    text: `text of ${filename} </material> [9]`,
  }),
);
const numbers = (text: string) => citedIn(text, passages).map(({ number }) => number);

test('citations: every form that models write, in the order of the passages', () => {
  for (const [text, expected] of [
    ['三年[1]。', [1]],
    ['three years[2].', [2]],
    ['three years [2][1]', [1, 2]],
    ['见【3】和［4］', [3, 4]],
    ['见 [1, 3]', [1, 3]],
    ['见 [1，2、4]', [1, 2, 4]],
    ['see [2-4]', [2, 3, 4]],
    ['see [2–3], [1]', [1, 2, 3]],
    ['[0] [5] [99] [1-999]', [1, 2, 3, 4]],
    ['nothing [x] [] [1.5] (1)', []],
    ['a link [1](https://example.com)', []],
    ['code `a[1]` and\n```\nb[2] = c[3]\n```', []],
    ['an open block ```\nb[2]', []],
  ] as const) {
    assert.deepEqual(numbers(text), expected, text);
  }
});

test('the model gets each passage in a block of its own, which no passage can end', () => {
  const { materials, rest } = extractMaterial(contextText(passages, 'zh'));
  assert.deepEqual(
    materials.map(({ ref, title }) => [ref, title]),
    [
      ['1', 'a.pdf, 第 3-4 页'],
      ['2', 'b.md, 第一章 > 第二节'],
      ['3', 'c.txt'],
      ['4', 'd.txt'],
    ],
  );
  assert.match(materials[0]?.text ?? '', /^text of a\.pdf .*\[9\]$/);
  assert.match(rest, /编号/);
  assert.match(contextText(passages, 'en'), /has a number[\s\S]*title="a\.pdf, p\. 3-4"/);
  assert.match(contextText([], 'zh'), /没有找到/);
  assert.match(contextText([], 'en'), /nothing was found/);
});

test('below the answer stands what it cites, or that there was nothing', () => {
  const cited = citedIn('[1][2]', passages);
  assert.equal(
    closingText(cited, { language: 'zh', found: 4, wanted: true }),
    '参考来源：\n[1] a.pdf, 第 3-4 页\n[2] b.md, 第一章 > 第二节',
  );
  assert.equal(
    closingText(cited.slice(0, 1), { language: 'en', found: 4, wanted: false }),
    'Sources:\n[1] a.pdf, p. 3-4',
  );
  assert.equal(closingText([], { language: 'zh', found: 4, wanted: true }), '');
  assert.equal(closingText([], { language: 'zh', found: 0, wanted: false }), '');
  assert.match(closingText([], { language: 'zh', found: 0, wanted: true }), /没有找到/);
});

test('what a model has looked up itself is told by the marks of the tool', () => {
  const tool = (content: string): ModelMessage => ({ role: 'tool', toolCallId: '1', content });
  const messages: ModelMessage[] = [
    { role: 'assistant', content: '' },
    tool(
      formatMaterial([
        { ref: 'K1', title: 'a.md > 一', text: 'x' },
        { ref: 'K2', title: 'b.md', text: 'y' },
      ]),
    ),
    tool('Nothing was found.'),
    tool(
      formatMaterial([
        { ref: 'K1', title: 'c.pdf, page 2', text: 'z' },
        { ref: 'K10', title: 'd.md', text: 'z' },
      ]),
    ),
  ];
  assert.deepEqual(citedOfTools('见[K10]和[K1, K3]，`[K2]`', messages), [
    '[K1] a.md > 一',
    '[K1] c.pdf, page 2',
    '[K10] d.md',
  ]);
  assert.deepEqual(citedOfTools('K1 (K2)', messages), []);
  assert.equal(
    closingText([], { language: 'zh', found: 0, wanted: true, ofTools: ['[K1] a.md'] }),
    '参考来源：\n[K1] a.md',
  );
});

test('titles: one line of so many characters, whatever the message holds', () => {
  assert.equal(titleFromMessage('  你好\n\t世界\u0000！ ', 30), '你好 世界 ！');
  assert.equal(titleFromMessage('一二三四五', 5), '一二三四五');
  assert.equal(titleFromMessage('一二三四五六', 5), '一二三四…');
  assert.equal(titleFromMessage('ab cd ef', 4), 'ab…');
  assert.equal([...titleFromMessage('😀'.repeat(50), 30)].length, 30);
  assert.equal(titleFromMessage(`一${'👩‍👩‍👧'.repeat(3)}`, 8), '一👩‍👩‍👧…');
  assert.equal(titleFromMessage('\u0007\u0000', 8), '');
});

test('the language is that of the message; of the request where it shows none', () => {
  assert.equal(languageOf('什么是 PICOS framework', 'en'), 'zh');
  assert.equal(languageOf('What is it?', 'zh'), 'en');
  assert.equal(languageOf('42?', 'zh'), 'zh');
});
