import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fillPrompt, placesOf, systemText } from '../../../plugins/agents/public.ts';
import { inOnePass } from '../../support/effort.ts';

test('fillPrompt: every place, whatever the values hold, in one pass', () => {
  const template =
    '背景：{{projectBackground}} 资料：{{ knowledgeBaseContext }}/{context} 问题：{{userInput}}/{question}';
  const values = { background: '{{userInput}} $& $1', context: '{question}', question: '{{projectBackground}}\u0000' };
  assert.equal(
    fillPrompt(template, values),
    '背景：{{userInput}} $& $1 资料：{question}/{question} 问题：{{projectBackground}}\u0000/{{projectBackground}}\u0000',
  );
});

test('fillPrompt: other braces stay', () => {
  for (const text of [
    '{a} {{b}} {{ {x} }} $`{y}` {',
    '{projectBackground} {userInput}',
    '{ context } {Question}',
    '{{constructor}}',
  ]) {
    assert.equal(fillPrompt(text, { context: 'C', question: 'Q', background: 'B' }), text);
  }
  assert.equal(fillPrompt('{{context}} {{ question }}', { context: 'C', question: 'Q' }), 'C Q');
  // JSON in a prompt is no place.
  assert.equal(fillPrompt('{"question": "{question}"}', { question: 'q' }), '{"question": "q"}');
});

test('fillPrompt: what is missing is said in the language of the template', () => {
  assert.equal(
    fillPrompt('背景 {{projectBackground}}，资料 {context}，{{userInput}}', { context: ' \n' }),
    '背景 （未提供），资料 （无），（见用户消息）',
  );
  assert.equal(fillPrompt('Context: {context}. {question}', {}), 'Context: (none). (see the user’s message)');
});

test('systemText: what the template has no place for follows under headings', () => {
  assert.equal(systemText('你是助手。', {}), '你是助手。');
  assert.equal(
    systemText('你是助手。', { background: 'B', context: 'C', question: 'Q' }),
    '你是助手。\n\n## 项目背景\n\nB\n\n## 参考资料\n\nC',
  );
  assert.equal(systemText('Use {context}', { background: 'B', context: 'C' }), 'Use C\n\n## Project background\n\nB');
  assert.deepEqual([...placesOf('{context} {{knowledgeBaseContext}} {{userInput}}')], ['context', 'question']);
});

test('fillPrompt: a long template full of braces is filled in one pass', async () => {
  const text = '{{ '.repeat(600_000) + '{context'.repeat(200_000);
  assert.equal(await inOnePass(() => fillPrompt(text, {})), text);
});
