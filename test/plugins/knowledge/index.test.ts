import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { indexFile, scopeTerm } from '../../../plugins/knowledge/search/database.ts';
import { IndexReader } from '../../../plugins/knowledge/search/reader.ts';
import { bytesOf } from '../../../plugins/knowledge/search/vectors.ts';
import { indexedText, queryTerms, termsOf } from '../../../plugins/knowledge/search/words.ts';
import { IndexWriter } from '../../../plugins/knowledge/search/writer.ts';

const FACTS: Readonly<Record<string, string>> = {
  vitamin: '干预组每日服用维生素D三千单位，对照组服用安慰剂。主要终点是腰椎骨密度的变化。',
  hospital: '本研究由青岚医院与云岭大学合作完成，共纳入三百二十名绝经后女性。',
  bridge: '云岭大桥全长四千二百米，于二〇一九年建成通车，是当地最长的公路桥。',
  english: 'The durable runtime stores the result of every finished step before its successors are started.',
  mixed: '系统通过 Kubernetes 部署，支持 GPU 节点的弹性伸缩，版本号为 v2.15.3。',
  disease: '骨质疏松症是以骨量减少为特征的代谢性疾病，常见于老年人。',
  tradition: '本院提供骨質疏鬆症的檢查與治療。',
};

function open(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'koagent-index-'));
  const writer = new IndexWriter();
  const reader = new IndexReader();
  t.after(() => {
    reader.close();
    writer.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return { folder, file: indexFile(folder, 'tenant'), writer, reader };
}

type Opened = ReturnType<typeof open>;

let seq = 0;
const put = ({ writer, file }: Opened, document: string, texts: string[], scope: string[] = [], version = 'v1') =>
  writer.put(file, ++seq, {
    document,
    version,
    scope,
    passages: texts.map((text) => ({ text, headings: [] })),
  });

const found = ({ reader, file }: Opened, text: string, options: object = {}) =>
  reader.search(file, { text, limit: 10, ...options }).map(({ document }) => document);

function putFacts(index: Opened) {
  for (const [name, text] of Object.entries(FACTS)) put(index, name, [text]);
}

test('words: Chinese and English, folded, stemmed; questions lose what only asks', () => {
  assert.deepEqual(termsOf('ＡＢＣ Running café the-end'), ['abc', 'run', 'cafe', 'the', 'end']);
  assert.deepEqual(queryTerms('What is the capital of France?').slice(-2), ['of', 'franc']);
  assert.ok(!queryTerms('骨质疏松症是什么？').some((term) => term.includes('什么')));
  assert.deepEqual(queryTerms('为什么？'), termsOf('为什么？'));
  assert.deepEqual(queryTerms('？！…'), []);
  assert.equal(indexedText('第一句。第二句！ 3.5 is one. Next'), indexedText('第一句。\n第二句！\n3.5 is one.\nNext'));
  assert.deepEqual(termsOf('隧\u200b道 soft\u00adware ｶﾀｶﾅ 😀❤\ufe0f'), termsOf('隧道 software カタカナ 😀❤'));
  assert.deepEqual(queryTerms('😀'), ['😀']);
  assert.equal(termsOf('हिन्दी')[0], 'हिन्दी', 'marks are part of their letters');
  assert.ok(termsOf('a"b OR c* NEAR(d) ^e: -f {g} h+i 3.5 v2.15.3 "').every((term) => /^[\p{L}\p{N}_]+$/u.test(term)));
});

test('search: questions in both languages find their passage first', (t) => {
  const index = open(t);
  putFacts(index);
  const questions: [string, string][] = [
    ['干预组每天服用多少维生素D？', 'vitamin'],
    ['这项研究是谁和谁合作的？', 'hospital'],
    ['云岭大桥有多长', 'bridge'],
    ['What is stored before the successors start?', 'english'],
    ['kubernetes gpu', 'mixed'],
    ['ＧＰＵ 节点', 'mixed'],
    ['2.15.3', 'mixed'],
    ['骨质疏松症常见于哪些人', 'disease'],
  ];
  for (const [question, document] of questions) assert.equal(found(index, question)[0], document, question);
});

test('search: words that the index cuts differently or holds in a longer form are found', (t) => {
  const index = open(t);
  putFacts(index);
  assert.deepEqual(found(index, '疏松').sort(), ['disease', 'tradition'], 'the inner part of a word');
  assert.equal(found(index, '骨')[0] !== undefined, true, 'one character');
  assert.ok(found(index, '鬆').includes('tradition'), 'one traditional character');
  assert.equal(found(index, 'kubern')[0], 'mixed', 'the beginning of a word');
  assert.deepEqual(found(index, '量子纠缠'), []);
});

test('search: traditional questions find simplified text and the other way round, with the same ranks', (t) => {
  const index = open(t);
  putFacts(index);
  assert.deepEqual(termsOf('骨質疏鬆症'), termsOf('骨质疏松症'));
  assert.deepEqual(queryTerms('雲嶺大橋是甚麼時候建成的？'), queryTerms('云岭大桥是什么时候建成的？'));
  assert.equal(found(index, '雲嶺大橋全長多少米')[0], 'bridge');
  assert.deepEqual(found(index, '骨质疏松症的检查与治疗'), found(index, '骨質疏鬆症的檢查與治療'));
  assert.equal(found(index, '骨质疏松症的检查与治疗')[0], 'tradition');
  assert.deepEqual(termsOf('著名的发明'), ['著名', '的', '发明'], 'what simplified text uses itself stays');
});

test('search: what people type is never an operator, and nothing fails', (t) => {
  const index = open(t);
  putFacts(index);
  const queries = [
    '',
    ' ',
    '？！。，',
    '"',
    "'",
    '*',
    'AND',
    'OR NOT',
    'NEAR(a b)',
    'body:云岭',
    '{body} : x',
    '^云岭',
    '-云岭',
    'a" OR scope:"x',
    '\u0000',
    '😀',
    '云',
    'x'.repeat(1000),
    '云岭大桥'.repeat(250),
  ];
  for (const query of queries) assert.ok(Array.isArray(found(index, query)), query);
  assert.equal(found(index, '"云岭大桥" AND (NOT 医院)')[0], 'bridge');
});

test('search: scores are 0-1, descending, and higher for a better fit', (t) => {
  const index = open(t);
  putFacts(index);
  const hits = index.reader.search(index.file, { text: '云岭大桥全长多少米', limit: 10 });
  assert.ok(hits.every(({ score }, at) => score >= 0 && score <= 1 && score <= (hits[at - 1]?.score ?? 1)));
  const [good] = hits;
  const [poor] = index.reader.search(index.file, { text: '云岭火星基地的氧气供应方案', limit: 10 });
  assert.ok(good && poor && good.score > 2 * poor.score, `${good?.score} ${poor?.score}`);
});

test('filters: owner and place are part of the query; a limit is never used up by what may not be seen', (t) => {
  const index = open(t);
  const [anna, ben] = [scopeTerm('owner', 'anna'), scopeTerm('owner', 'ben')];
  const [one, two, agent] = [scopeTerm('base', '1'), scopeTerm('base', '2'), scopeTerm('agent', '1')];
  for (let at = 0; at < 200; at++) put(index, `ben-${at}`, [FACTS.bridge ?? ''], [ben, two]);
  put(index, 'anna-1', ['隧道'], [anna, one]);
  put(index, 'anna-a', [`很长的一段话里提到了云岭大桥，${'还有许多别的内容。'.repeat(30)}`], [anna, agent]);
  assert.deepEqual(found(index, '云岭大桥', { owner: anna, limit: 5 }), ['anna-a']);
  assert.deepEqual(found(index, '隧道', { owner: anna, scope: [one] }), ['anna-1']);
  assert.deepEqual(found(index, '云岭大桥', { owner: anna, scope: [two] }), []);
  assert.deepEqual(found(index, '云岭大桥', { scope: [] }), []);
  assert.equal(found(index, '云岭大桥', { owner: ben, scope: [one, two], limit: 50 }).length, 50);
  assert.deepEqual(found({ ...index, file: indexFile(index.folder, 'other') }, '云岭大桥'), []);
});

test('writing: a new version takes the place of the old one; a change is applied once; removal leaves nothing', (t) => {
  const index = open(t);
  const { writer, reader, file } = index;
  putFacts(index);
  const at = writer.sequence(file);
  assert.equal(at, seq);
  put(index, 'bridge', ['新的内容讲的是隧道。', '第二段讲的是铁路。'], [], 'v2');
  assert.deepEqual(found(index, '云岭大桥全长'), ['hospital']);
  assert.deepEqual(
    reader
      .search(file, { text: '铁路', limit: 5 })
      .map(({ document, version, position }) => [document, version, position]),
    [['bridge', 'v2', 1]],
  );
  // An older change that comes late must not bring the old text back.
  writer.put(file, at, {
    document: 'bridge',
    version: 'v1',
    scope: [],
    passages: [{ text: FACTS.bridge ?? '', headings: [] }],
  });
  assert.deepEqual(found(index, '四千二百米'), []);
  writer.remove(file, ++seq, 'bridge');
  assert.deepEqual([found(index, '铁路'), found(index, '隧道')], [[], []]);
  writer.put(file, ++seq, { document: 'empty', version: 'v1', scope: [], passages: [] });
  putFacts(index);
  assert.equal(found(index, '云岭大桥全长')[0], 'bridge');
});

test('an index that is damaged or of another version is made anew; a rebuild leaves out what is gone', (t) => {
  const index = open(t);
  const { writer, reader, file } = index;
  putFacts(index);
  writer.startRebuild(file);
  assert.equal(found(index, '云岭大桥全长')[0], 'bridge', 'searches go on during a rebuild');
  writer.put(file, 0, {
    document: 'bridge',
    version: 'v1',
    scope: [],
    passages: [{ text: FACTS.bridge ?? '', headings: [] }],
  });
  writer.finishRebuild(file, seq);
  assert.deepEqual([found(index, '云岭大桥全长'), found(index, '青岚医院')], [['bridge'], []]);
  assert.equal(writer.sequence(file), seq);

  const other = new DatabaseSync(file);
  other.exec("UPDATE meta SET value = 'old' WHERE name = 'version'");
  other.close();
  const fresh = new IndexWriter();
  t.after(() => fresh.close());
  assert.equal(fresh.sequence(file), 0);
  reader.forget(file);
  assert.deepEqual(found(index, '云岭大桥'), []);

  const broken = indexFile(index.folder, 'broken');
  writeFileSync(broken, 'this is no database'.repeat(1000));
  assert.throws(() => reader.search(broken, { text: 'x', limit: 5 }), { errcode: 26 });
  assert.equal(fresh.sequence(broken), 0);
  assert.ok(statSync(broken).size > 0);
});

test('vectors: fused with the words by rank; those of another model are passed over', (t) => {
  const index = open(t);
  const unit = (...values: number[]) => Float32Array.from(values, (value) => value / Math.hypot(...values));
  const vectors: Record<string, Float32Array> = {
    vitamin: unit(1, 0, 0),
    hospital: unit(0, 1, 0),
    bridge: unit(0, 0.9, 0.4),
    english: unit(1, 1, 1, 1),
  };
  for (const [document, vector] of Object.entries(vectors)) {
    index.writer.put(index.file, ++seq, {
      document,
      version: 'v1',
      scope: [scopeTerm('base', document === 'hospital' ? '1' : '2')],
      passages: [{ text: FACTS[document] ?? '', headings: [], vector: bytesOf(vector) }],
    });
  }
  const vector = unit(0, 1, 0.1);
  assert.deepEqual(found(index, '完全不相干的词语', { vector }).slice(0, 2), ['hospital', 'bridge']);
  assert.deepEqual(found(index, '云岭大桥', { vector }).slice(0, 2).sort(), ['bridge', 'hospital']);
  assert.ok(!found(index, 'zzz', { vector }).includes('english'));
  assert.deepEqual(found(index, 'zzz', { vector, scope: [scopeTerm('base', '1')] }), ['hospital']);
});

test('vectors: among many, the nearest by their exact values are found, also after changes', (t) => {
  const index = open(t);
  const random = (() => {
    let state = 3;
    return () => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return state / 2 ** 32 - 0.5;
    };
  })();
  const length = 97;
  const unit = () => {
    const vector = Float32Array.from({ length }, random);
    const size = Math.hypot(...vector);
    return vector.map((value) => value / size);
  };
  const all: { document: string; vector: Float32Array }[] = [];
  for (let number = 0; number < 30; number++) {
    const vectors = Array.from({ length: number === 7 ? 1300 : 40 }, unit);
    index.writer.put(index.file, ++seq, {
      document: `d${number}`,
      version: 'v1',
      scope: [],
      passages: vectors.map((vector, at) => ({
        text: `段落${at}`,
        headings: [],
        ...(at % 9 !== 0 && { vector: bytesOf(vector) }),
      })),
    });
    if (number !== 4)
      for (const [at, vector] of vectors.entries())
        if (at % 9 !== 0) all.push({ document: `d${number}:${at}`, vector });
  }
  index.writer.remove(index.file, ++seq, 'd4');
  for (let asked = 0; asked < 20; asked++) {
    const vector = unit();
    const cosine = (other: Float32Array) => other.reduce((sum, value, at) => sum + value * (vector[at] ?? 0), 0);
    const nearest = all.toSorted((a, b) => cosine(b.vector) - cosine(a.vector)).slice(0, 10);
    const hits = index.reader.search(index.file, { text: 'zzz', limit: 10, vector });
    assert.deepEqual(
      hits.map(({ document, position }) => `${document}:${position}`),
      nearest.map(({ document }) => document),
    );
  }
});
