import assert from 'node:assert/strict';
import { test } from 'node:test';
import { measure } from '../../../plugins/knowledge/evaluation/measure.ts';
import { isRelevant, readQuestions } from '../../../plugins/knowledge/evaluation/questions.ts';

const refused = (text: string, message: RegExp) =>
  assert.throws(() => readQuestions(text), { code: 'QUESTIONS_MALFORMED', message });

test('questions: SQuAD, JSON lines and arrays', () => {
  const squad = JSON.stringify({
    version: 'v2',
    data: [
      {
        paragraphs: [
          {
            context: '隧道长四百米。',
            qas: [
              { question: '隧道多长？', answers: [{ text: '四百米' }, { text: '400 米' }] },
              { question: '谁的隧道？', answers: [], is_impossible: true },
            ],
          },
        ],
      },
    ],
  });
  assert.deepEqual(readQuestions(squad), {
    questions: [{ question: '隧道多长？', context: '隧道长四百米。', answers: ['四百米', '400 米'] }],
    contexts: ['隧道长四百米。'],
  });
  const one = { question: '多长？', answer: '四百米', document: 'a.pdf', page: 3 };
  const read = [{ question: '多长？', answers: ['四百米'], document: 'a.pdf', page: 3 }];
  assert.deepEqual(readQuestions(`\n${JSON.stringify(one)}\n\n`).questions, read);
  assert.deepEqual(readQuestions(JSON.stringify([one], null, 2)).questions, read);
});

test('questions: what is wrong is named with its place', () => {
  refused('', /no questions/);
  refused('not json', /Line 1 is not JSON/);
  refused('{"question":"a","page":1}\n{"x":1}', /Line 2 has no question/);
  refused('[{"question":"a","page":1},{"question":"b"}]', /Question 2 has none of context/);
  refused('[1]', /Question 1 is not an object/);
  refused('{"data":[{"x":1}]}', /SQuAD form/);
});

test('relevance: all that a question gives has to fit', () => {
  const hit = { text: '第一段。隧道长四百米，宽二十米。', documentId: 'd1', filename: 'a.pdf', page: 2, pageEnd: 3 };
  const is = (question: object, of: object = hit) =>
    isRelevant({ question: 'q', ...question }, of as Parameters<typeof isRelevant>[1]);
  assert.ok(is({ answers: ['五百米', '四 百 米'] }) && !is({ answers: ['五百米'] }));
  assert.ok(is({ document: 'a.pdf', page: 3 }) && is({ document: 'd1' }) && !is({ document: 'a.pdf', page: 4 }));
  assert.ok(!is({ page: 1 }, { text: 'x', page: null }));
  assert.ok(is({ context: '隧道长四百米，宽二十米。' }), 'a passage with more around');
  assert.ok(!is({ context: '桥梁长四百米，宽二十米。', answers: ['四百米'] }), 'the same answer elsewhere');
});

test('relevance: the part of a paragraph that has the answer counts, also with the beginning of the next one', () => {
  const context = `${'这一段的开头很长，'.repeat(40)}隧道的长度最后确定为四百米，这是结论。`;
  const question = { question: 'q', context, answers: ['四百米'] };
  const part = context.slice(-60);
  assert.ok(isRelevant(question, { text: part }));
  assert.ok(isRelevant(question, { text: `${part}\n下一段讲的是别的事情。` }));
  assert.ok(!isRelevant(question, { text: context.slice(0, 200) }));
  assert.ok(!isRelevant(question, { text: '桥的长度为四百米，没有别的。' }));
});

test('measure: recall, mean reciprocal rank and times', async () => {
  const ranks = [1, 2, 6, 11, 0];
  const result = await measure(ranks, (rank) => Array.from({ length: 12 }, (_, at) => at + 1 === rank));
  assert.deepEqual(result.recall, { at1: 0.2, at5: 0.4, at10: 0.6 });
  assert.ok(Math.abs(result.mrr - (1 + 1 / 2 + 1 / 6) / 5) < 1e-9 && result.questions === 5);
  assert.ok(result.p50 >= 0 && result.p99 >= result.p50);
});
