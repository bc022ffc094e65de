import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import PDFDocument from 'pdfkit';
import { readDocument } from '../../../plugins/knowledge/reading/index.ts';
import { fileTypeOf, magicOf } from '../../../plugins/knowledge/reading/kind.ts';
import { cutPassages, cutText } from '../../../plugins/knowledge/reading/passages.ts';
import { linesOfPage } from '../../../plugins/knowledge/reading/pdf-lines.ts';
import { inOnePass } from '../../support/effort.ts';
import { zip } from '../../support/zip.ts';

const FIXTURES = join(import.meta.dirname, '..', '..', 'fixtures', 'documents');
const fixture = (name: string) => new Uint8Array(readFileSync(join(FIXTURES, name)));
const LIMITS = { pages: 2000, characters: 20_000_000, entries: 1000, expandedBytes: 100_000_000 };

const read = (bytes: Uint8Array | string, filename: string, limits = LIMITS) =>
  readDocument(typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes, filename, {
    limits,
    signal: new AbortController().signal,
    report: () => undefined,
  });

const refused = (bytes: Uint8Array | string, filename: string, code: string, limits = LIMITS) =>
  assert.rejects(read(bytes, filename, limits), { code }, filename);

type Read = Awaited<ReturnType<typeof read>>;
const textOf = ({ blocks }: Read) =>
  blocks.map((block) => (block.kind === 'table' ? block.rows.join('\n') : block.text)).join('\n');
const headingsOf = ({ blocks }: Read) =>
  blocks.flatMap((block) => (block.kind === 'heading' ? [[block.level, block.text]] : []));

function pdf(draw: (document: InstanceType<typeof PDFDocument>) => void, options: object = {}): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const document = new PDFDocument({ margin: 50, ...options });
    const chunks: Buffer[] = [];
    document.on('data', (chunk: Buffer) => chunks.push(chunk));
    document.on('end', () => resolve(new Uint8Array(Buffer.concat(chunks))));
    document.on('error', reject);
    draw(document);
    document.end();
  });
}

const FACTS = [
  '本研究由青岚医院与云岭大学合作完成，共纳入三百二十名绝经后女性，随访时间为二十四个月。',
  '主要终点是腰椎骨密度的变化，次要终点是骨折发生率。',
  'Daily vitamin D of three thousand units raised the bone density of the lumbar spine, and the number of fractures fell from nineteen to seven.',
];

test('files of Chromium and LibreOffice: whole sentences, headings with their levels, pages', async () => {
  for (const [name, pages] of [
    ['chromium.pdf', 1],
    ['libreoffice.pdf', 1],
    ['libreoffice.docx', undefined],
  ] as const) {
    const found = await read(fixture(name), name);
    const text = textOf(found).replaceAll('维生素 D', '维生素D');
    for (const fact of FACTS) assert.ok(text.includes(fact), `${name}: ${fact}\n${text}`);
    assert.deepEqual(
      headingsOf(found),
      [
        [1, '骨质疏松专题研究'],
        [2, '一、研究方法'],
        [2, '二、研究结果'],
        [2, '3. Summary in English'],
      ],
      name,
    );
    assert.equal(found.pages, pages);
    assert.ok(pages === undefined || found.blocks.every(({ page }) => page === 1));
  }
  const docx = await read(fixture('libreoffice.docx'), 'x.docx');
  assert.deepEqual(
    docx.blocks.find(({ kind }) => kind === 'table'),
    { kind: 'table', rows: ['组别 | 人数 | 骨折例数', '干预组 | 160 | 7', '对照组 | 160 | 19'], headers: 1 },
  );
});

test('what a file is read as follows from its content, not from its name', async () => {
  assert.equal((await read(fixture('libreoffice.docx'), 'wrong.pdf')).kind, 'docx');
  assert.equal((await read(fixture('chromium.pdf'), 'wrong.txt')).kind, 'pdf');
  assert.equal((await read('<!DOCTYPE html><p>网页文字</p>', 'page.txt')).kind, 'html');
  assert.equal((await read('a < b and c > d', 'x.html')).kind, 'text');
  assert.equal((await read('# 标题\n\n- 一\n', 'x.txt')).kind, 'markdown');
  assert.equal(magicOf(new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0, 0, 0, 13, 0, 0, 0, 1])), 'binary');
  assert.deepEqual([fileTypeOf('A.PDF'), fileTypeOf('x.tar.gz'), fileTypeOf('pdf')], ['pdf', undefined, undefined]);
});

test('encodings are found by content: UTF-8, UTF-16 with and without mark, GBK, Big5', async () => {
  for (const name of ['gbk.txt', 'utf16le.txt', 'utf16be-without-mark.txt'])
    assert.ok(textOf(await read(fixture(name), name)).includes(FACTS[0] ?? ''), name);
  assert.ok(
    textOf(await read(fixture('big5.txt'), 'big5.txt')).includes('青嵐醫院與雲嶺大學合作完成，共納入三百二十名'),
  );
  assert.equal(textOf(await read('\ufeff一二三', 'bom.txt')), '一二三');
  const cut = fixture('gbk.txt').subarray(0, -1);
  assert.ok(textOf(await read(cut, 'cut.txt')).includes('青岚医院'), 'half a character at the end');
});

test('PDF of pdfkit: page numbers and running heads are left out, paragraphs go on over pages, tables stay together', async () => {
  const font = join(
    import.meta.dirname,
    '../../../node_modules/@expo-google-fonts/noto-sans-sc/400Regular/NotoSansSC_400Regular.ttf',
  );
  const long = Array.from({ length: 120 }, (_, at) => `本段第${at}次重复没有句号的文字，它会一直延续到下一页，`).join(
    '',
  );
  const bytes = await pdf(
    (document) => {
      document.font(font).fontSize(11);
      document.text(`${long}到此结束。`);
      document.text('表格如下：');
      const y = document.y + 10;
      for (const [row, cells] of [
        ['年份', '营业收入', '净利润'],
        ['2022', '100.5', '20.1'],
        ['2023', '130.2', '25.6'],
      ].entries())
        for (const [column, cell] of cells.entries())
          document.text(cell, 60 + column * 150, y + row * 20, { lineBreak: false });
      const { count } = document.bufferedPageRange();
      for (let page = 0; page < count; page++) {
        document.switchToPage(page);
        document.page.margins.bottom = 0;
        document.fontSize(9).text('某某公司年度报告', 50, 20, { lineBreak: false });
        document.text(`第 ${page + 1} 页`, 280, 760, { lineBreak: false });
      }
    },
    { bufferPages: true, size: [420, 800] },
  );
  const found = await read(bytes, 'x.pdf');
  assert.ok((found.pages ?? 0) >= 3, `${found.pages} pages`);
  const text = textOf(found);
  assert.ok(!text.includes('某某公司年度报告') && !/第 ?\d 页/.test(text), text.slice(-300));
  assert.ok(text.includes(`${long}到此结束。`));
  const first = found.blocks[0];
  assert.deepEqual(first?.kind === 'text' && [first.page, first.pageEnd], [1, found.pages]);
  const table = found.blocks.find(({ kind }) => kind === 'table');
  assert.deepEqual(table?.kind === 'table' && table.rows, [
    '年份 | 营业收入 | 净利润',
    '2022 | 100.5 | 20.1',
    '2023 | 130.2 | 25.6',
  ]);
});

test('PDF: justified Chinese lines are words again, signs of symbol fonts are dots', () => {
  const piece = (text: string, x: number, ends = false) => ({
    text,
    x,
    y: 700,
    width: text.length * 10,
    size: 10,
    ends,
  });
  const spread = [...'样本量充足，随访'].map((character, at) => piece(character, 50 + at * 14));
  assert.equal(linesOfPage(spread)[0]?.text, '样本量充足，随访');
  assert.equal(linesOfPage([piece('目', 50), piece('录', 65)])[0]?.text, '目录');
  assert.equal(
    linesOfPage([piece('样本 量 充 足 ， 随 访时间 GPU 数 据', 50)])[0]?.text,
    '样本量充足，随访时间 GPU 数 据',
  );
  assert.equal(linesOfPage([piece('\uf0b7 第一项', 50)])[0]?.text, '• 第一项');
});

test('DOCX: endnotes, formulas, moved text once, a main part of another name', async () => {
  const word = (body: string) => `<w:document xmlns:w="w" xmlns:m="m"><w:body>${body}</w:body></w:document>`;
  const paragraph = (inner: string) => `<w:p>${inner}</w:p>`;
  const run = (text: string) => `<w:r><w:t>${text}</w:t></w:r>`;
  const found = await read(
    zip([
      {
        name: '_rels/.rels',
        content:
          '<Relationships><Relationship Type="http://x/officeDocument" Target="/word/document2.xml"/></Relationships>',
      },
      {
        name: 'word/document2.xml',
        content: word(
          paragraph(`${run('公式')}<m:oMath><m:r><m:t>E=mc</m:t></m:r></m:oMath>`) +
            paragraph(
              `<w:moveFrom>${run('移走的句子')}</w:moveFrom>${run('第一')}<w:r><w:noBreakHyphen/></w:r>${run('二')}`,
            ) +
            paragraph(`<w:moveTo>${run('移走的句子')}</w:moveTo>`),
        ),
      },
      { name: 'word/endnotes.xml', content: `<w:endnotes xmlns:w="w">${paragraph(run('尾注的内容'))}</w:endnotes>` },
    ]),
    'x.docx',
  );
  assert.deepEqual(textOf(found).split('\n'), ['公式E=mc', '第一-二', '移走的句子', '尾注的内容']);
});

test('text, Markdown, HTML and CSV: blocks as people see them', async () => {
  assert.deepEqual(
    (await read('第一行\n第二行\n', 'a.txt')).blocks.map((block) => block.kind === 'text' && block.text),
    ['第一行', '第二行'],
  );
  const wrapped =
    'The service keeps every result of a finished step and goes\non after a crash from the last one that was stored, so that\nnothing is done twice.\n\nNext.';
  assert.equal((await read(wrapped, 'a.txt')).blocks.length, 2);

  const markdown = await read(
    '---\ntitle: x\n---\n# 一级\n\n正文\n\n二级\n---\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```js\n# not a heading\n```\n',
    'a.md',
  );
  assert.deepEqual(markdown.blocks, [
    { kind: 'heading', level: 1, text: '一级' },
    { kind: 'text', text: '正文' },
    { kind: 'heading', level: 2, text: '二级' },
    { kind: 'table', rows: ['a | b', '1 | 2'], headers: 1 },
    { kind: 'text', text: '```js\n# not a heading\n```' },
  ]);

  const html = await read(
    '<html><head><title>t</title><style>p{}</style></head><body><nav>菜单</nav><h2>标题</h2><p>一段&nbsp;文字<br>换行</p>' +
      '<script>alert(1)</script><table><tr><th>甲<th>乙<tr><td>1<td>2</table><ul><li>项<li>目</ul></body>',
    'a.html',
  );
  assert.deepEqual(html.blocks, [
    { kind: 'heading', level: 2, text: '标题' },
    { kind: 'text', text: '一段 文字\n换行' },
    { kind: 'table', rows: ['甲 | 乙', '1 | 2'], headers: 1 },
    { kind: 'text', text: '- 项' },
    { kind: 'text', text: '- 目' },
  ]);

  const csv = await read('姓名;城市\n"张三; 李四";北京\n王五;上海\n', 'a.csv');
  assert.deepEqual(csv.blocks, [
    { kind: 'table', rows: ['姓名 | 城市', '张三; 李四 | 北京', '王五 | 上海'], headers: 1 },
  ]);
});

test('CSV: a quote that never ends does not swallow the table', async () => {
  const csv = await read('尺寸,价格\n"5 英寸,100\n7",200\n6 英寸,300\n"8" 英寸,400\n', 'a.csv');
  assert.ok(textOf(csv).split('\n').length >= 4, textOf(csv));
  const open = await read(`a,b\n"x,y\n${'1,2\n'.repeat(1000)}`, 'b.csv');
  assert.equal(open.blocks[0]?.kind === 'table' && open.blocks[0].rows.length, 1002);
});

test('passages: cut at the ends of paragraphs and sentences, headings kept, tables whole or with their head', () => {
  const sentence = '这是一个用来测试的完整句子，长度为二十几个字左右。';
  const passages = cutPassages([
    { kind: 'heading', level: 1, text: '总则', page: 1 },
    { kind: 'text', text: sentence.repeat(10), page: 1 },
    { kind: 'heading', level: 2, text: '范围', page: 2 },
    { kind: 'text', text: sentence.repeat(100), page: 2, pageEnd: 4 },
    { kind: 'heading', level: 1, text: '附则', page: 5 },
    { kind: 'text', text: '𠮷'.repeat(2000), page: 5 },
  ]);
  assert.ok(passages.every(({ text }) => text.length <= 900));
  const whole = passages.map(({ text }) => text.replaceAll('\n', '')).join('');
  const given = `总则${sentence.repeat(10)}范围${sentence.repeat(100)}附则${'𠮷'.repeat(2000)}`;
  assert.ok(whole === given, 'nothing is lost, nothing is twice');
  assert.deepEqual([passages[0]?.headings, passages[0]?.page], [['总则'], 1]);
  const scope = passages.filter(({ headings }) => headings.at(-1) === '范围');
  assert.ok(scope.length >= 3 && scope.every(({ text }) => text.endsWith('。')));
  assert.deepEqual(scope.at(-1)?.headings, ['总则', '范围']);
  assert.equal(scope.at(-1)?.pageEnd, 4);
  assert.ok(passages.every(({ text }) => text.isWellFormed()));

  const rows = Array.from({ length: 100 }, (_, at) => `项目${at} | ${at * 1000} | 说明文字${at}`);
  const tables = cutPassages([{ kind: 'table', rows: ['名称 | 金额 | 说明', ...rows], headers: 1 }]);
  assert.ok(tables.length > 1 && tables.every(({ text }) => text.startsWith('名称 | 金额 | 说明\n')));
  for (const row of rows) assert.equal(tables.filter(({ text }) => text.split('\n').includes(row)).length, 1, row);
  assert.equal(cutPassages([{ kind: 'table', rows: rows.slice(0, 40), headers: 0 }]).length, 1);
  assert.deepEqual(
    [...cutText('a'.repeat(25), 10)].map(({ length }) => length),
    [10, 10, 5],
  );
});

test('hostile and broken files fail with their reason, and none takes long', async () => {
  await refused('', 'empty.txt', 'DOCUMENT_NO_TEXT');
  await refused(' \n\t\n —— ！ \n', 'blank.txt', 'DOCUMENT_NO_TEXT');
  await refused(
    await pdf((document) => document.rect(50, 50, 200, 200).fill('red')),
    'picture.pdf',
    'DOCUMENT_NO_TEXT',
  );
  const locked = await pdf((document) => document.text('secret'), { userPassword: 'pw', ownerPassword: 'pw' });
  await refused(locked, 'locked.pdf', 'DOCUMENT_ENCRYPTED');
  const many = await pdf((document) => {
    for (let page = 0; page < 5000; page++) document.addPage();
  });
  await refused(many, 'many.pdf', 'DOCUMENT_TOO_MANY_PAGES');
  await refused(new TextEncoder().encode('%PDF-1.7\nnothing of a PDF follows'), 'fake.pdf', 'DOCUMENT_BROKEN');
  await refused(fixture('libreoffice.doc'), 'old.doc', 'DOCUMENT_LEGACY_WORD');
  await refused(fixture('libreoffice.docx').subarray(0, 3000), 'cut.docx', 'DOCUMENT_BROKEN');
  const oldEncrypted = Buffer.concat([
    fixture('libreoffice.doc').subarray(0, 512),
    Buffer.from('EncryptedPackage', 'utf16le'),
  ]);
  await refused(new Uint8Array(oldEncrypted), 'locked.docx', 'DOCUMENT_ENCRYPTED');
  await refused(
    zip([{ name: 'word/document.xml', content: '<a/>', encrypted: true }]),
    'locked.docx',
    'DOCUMENT_ENCRYPTED',
  );
  await refused(zip([{ name: 'xl/workbook.xml', content: '<a/>' }]), 'sheet.docx', 'DOCUMENT_KIND_UNKNOWN');
  await refused(zip([{ name: 'word/document.xml', content: '<w:document><w:p>' }]), 'open.docx', 'DOCUMENT_BROKEN');

  const bomb = Buffer.alloc(40_000_000, 0x20);
  await refused(zip([{ name: 'word/document.xml', content: bomb }]), 'bomb.docx', 'DOCUMENT_EXPANDS');
  await refused(zip([{ name: 'word/document.xml', content: bomb, claimedSize: 1000 }]), 'liar.docx', 'DOCUMENT_BROKEN');
  await refused(
    zip([
      { name: 'word/document.xml', content: '<a/>' },
      { name: 'word/media/1.png', content: bomb },
    ]),
    'large.docx',
    'DOCUMENT_EXPANDS',
    { ...LIMITS, expandedBytes: 30_000_000 },
  );
  const entries = Array.from({ length: 1500 }, (_, at) => ({ name: `e${at}`, content: '' }));
  await refused(zip(entries), 'entries.docx', 'DOCUMENT_EXPANDS');

  await refused('一页\f'.repeat(3000), 'sheets.txt', 'DOCUMENT_TOO_MANY_PAGES');
  await refused(`<html>${'<table><tr><td>'.repeat(200_000)}x`, 'deep.html', 'DOCUMENT_BROKEN');

  const cut = fixture('chromium.pdf').subarray(0, 60_000);
  await assert.rejects(read(cut, 'cut.pdf'), /./);
  await refused('长'.repeat(1000), 'long.txt', 'DOCUMENT_TOO_LONG', { ...LIMITS, characters: 999 });
});

test('inputs that make careless parsers slow: one pass each', async () => {
  const million = 1_000_000;
  const inputs: [string, string][] = [
    ['line.txt', `${'一行到底没有换行'.repeat(million)}`],
    ['blanks.html', `<pre>${' '.repeat(5 * million)}x</pre>${'<b>'.repeat(40_000)}`],
    ['heading.md', `# a${' '.repeat(5 * million)}b\n${'|'.repeat(million)}\n|${' '.repeat(million)}-`],
    ['wrapped.txt', `x\n\n${'The quick brown fox jumps over the lazy dog again\n'.repeat(100_000)}`],
    ['quotes.csv', `a,b\n${'"x""y",'.repeat(500_000)}`],
  ];
  for (const [name, text] of inputs) {
    const passages = await inOnePass(async () => cutPassages((await read(text, name)).blocks), name);
    assert.ok(passages.length > 0, name);
  }
});
