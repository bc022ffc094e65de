import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { indexFile, scopeTerm } from '../../../plugins/knowledge/search/database.ts';
import {
  BODY_UNITS,
  blocksOf,
  HEAD_UNITS,
  type Postings,
  readBlock,
} from '../../../plugins/knowledge/search/postings.ts';
import { IndexReader } from '../../../plugins/knowledge/search/reader.ts';
import { IndexWriter } from '../../../plugins/knowledge/search/writer.ts';

function sequence(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

test('postings: what is written in blocks is read back, whatever the distances and counts', () => {
  const random = sequence(1);
  for (const spread of [1, 3, 63, 64, 65, 8191, 8192, 100_000, 2 ** 40]) {
    const given: Postings = { ids: [], units: [] };
    let id = random(spread);
    for (let at = 0; at < 5000; at++) {
      given.ids.push(id);
      given.units.push([BODY_UNITS, BODY_UNITS, HEAD_UNITS, 1 + random(255)][random(4)] ?? 1);
      id += 1 + random(spread);
    }
    const read: Postings = { ids: [], units: [] };
    let count = 0;
    for (const block of blocksOf(given)) {
      assert.ok(block.data.length < 2000 && block.first <= block.last);
      assert.equal(block.first, given.ids[count]);
      count += block.count;
      assert.equal(block.last, given.ids[count - 1]);
      readBlock(block.first, block.data, read);
    }
    assert.deepEqual(read, given, `distances up to ${spread}`);
  }
  const [loud] = blocksOf({ ids: [7], units: [1000] });
  const read: Postings = { ids: [], units: [] };
  readBlock(7, loud?.data ?? new Uint8Array(), read);
  assert.deepEqual(read, { ids: [7], units: [255] }, 'a count ends at what a byte holds');
});

const WORDS =
  '隧道 桥梁 长度 医院 骨质疏松 维生素 系统 部署 节点 版本 合同 期限 利率 贷款 行业 收入 𠮷野家 ｶﾅ risk bank loan'.split(
    ' ',
  );

function open(t: TestContext, name: string) {
  const folder = mkdtempSync(join(tmpdir(), 'koagent-segments-'));
  const writer = new IndexWriter();
  const reader = new IndexReader();
  t.after(() => {
    reader.close();
    writer.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const file = indexFile(folder, name);
  const tidy = () => {
    while (writer.tidy(file));
  };
  return { file, writer, reader, tidy };
}

test('merging: after any changes an index finds what one of the last state finds, with the same scores', (t) => {
  const random = sequence(5);
  const text = () => Array.from({ length: 5 + random(20) }, () => WORDS[random(WORDS.length)]).join('，');
  const owners = [scopeTerm('owner', 'anna'), scopeTerm('owner', 'ben')];
  const bases = [scopeTerm('base', '1'), scopeTerm('base', '2'), scopeTerm('base', '3')];
  const make = (name: string, version: string) => ({
    document: name,
    version,
    scope: [owners[random(2)] ?? '', bases[random(3)] ?? ''],
    passages: Array.from({ length: random(9) }, () => ({ text: text(), headings: random(2) ? [text()] : [] })),
  });
  const { file, writer, reader, tidy } = open(t, 'changed');
  const state = new Map<string, ReturnType<typeof make>>();
  for (let seq = 1; seq <= 400; seq++) {
    const name = `d${random(60)}`;
    if (random(4) === 0) {
      writer.remove(file, seq, name);
      state.delete(name);
    } else {
      const made = make(name, `v${seq}`);
      writer.put(file, seq, made);
      state.delete(name);
      state.set(name, made);
    }
    if (random(3) === 0) writer.tidy(file);
    if (random(50) === 0) tidy();
  }
  const fresh = open(t, 'fresh');
  for (const [at, document] of [...state.values()].entries()) fresh.writer.put(fresh.file, at + 1, document);

  const compare = (message: string) => {
    for (let at = 0; at < 60; at++) {
      const query = {
        text: `${WORDS[random(WORDS.length)]} ${WORDS[random(WORDS.length)]} ${WORDS[random(WORDS.length)]}`,
        limit: 50,
        ...(random(2) && { owner: owners[random(2)] }),
        ...(random(2) && { scope: bases.slice(random(3)) }),
      };
      assert.deepEqual(reader.search(file, query), fresh.reader.search(fresh.file, query), `${message}: ${query.text}`);
    }
  };
  compare('before');
  tidy();
  compare('after merging');
  const database = new DatabaseSync(file, { readOnly: true });
  t.after(() => database.close());
  const segments = Number(database.prepare('SELECT count(*) AS n FROM segments').get()?.n);
  assert.ok(segments >= 1 && segments < 24, `${segments} segments`);
  writer.startRebuild(file);
  writer.finishRebuild(file, 400);
  assert.deepEqual(reader.search(file, { text: '隧道', limit: 5 }), []);
  for (const table of ['segments', 'postings', 'passages', 'parts', 'documents'])
    assert.equal(database.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.n, 0, `${table}: nothing is left`);
});

test('a reader sees one state of the index while it changes, and the next one afterwards', (t) => {
  const { file, writer, reader, tidy } = open(t, 'live');
  const put = (seq: number, name: string, text: string) =>
    writer.put(file, seq, { document: name, version: 'v', scope: [], passages: [{ text, headings: [] }] });
  for (let seq = 1; seq <= 30; seq++) {
    put(seq, `d${seq}`, `第${seq}号隧道`);
    assert.equal(reader.search(file, { text: '隧道', limit: 50 }).length, seq);
    if (seq % 7 === 0) tidy();
  }
  writer.remove(file, 31, 'd3');
  assert.equal(reader.search(file, { text: '隧道', limit: 50 }).length, 29);
});

test('a long document comes in parts: all of them or nothing', (t) => {
  const { file, writer, reader } = open(t, 'parts');
  const passages = Array.from({ length: 4500 }, (_, at) => ({ text: `第${at}号隧道 mark${at}x`, headings: [] }));
  const document = { document: 'd', version: 'v', scope: [] };
  for (let from = 0; from < 4400; from += 200) writer.stage(file, from, passages.slice(from, from + 200));
  assert.throws(() => writer.stage(file, 200, passages.slice(0, 200)), /do not follow/);
  writer.put(file, 1, { ...document, passages: passages.slice(4400), staged: 4400 });
  for (const at of [0, 199, 200, 1999, 2000, 4399, 4400, 4499])
    assert.equal(reader.search(file, { text: `mark${at}x`, limit: 1 })[0]?.position, at);
  // The thread died in between.
  assert.throws(() => writer.put(file, 2, { ...document, passages: [], staged: 200 }), /0 of 200/);
  assert.equal(writer.sequence(file), 1);
  assert.equal(reader.search(file, { text: 'mark7x', limit: 1 })[0]?.position, 7);
});
