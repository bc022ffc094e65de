import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inflateRawSync } from 'node:zlib';
import { getDocumentProxy } from 'unpdf';
import { blocksFromData } from '../../../plugins/reports/material/blocks.ts';
import type { Block, ReportDocument, ReportFormat } from '../../../plugins/reports/render/document.ts';
import { renderReport } from '../../../plugins/reports/render/index.ts';
import { demoData } from '../../../scripts/demo/data.ts';
import { sampleReport } from './fixture.ts';

const nasty = [
  `超长单词${'Pneumonoultramicroscopic'.repeat(12)}`,
  '表情😀👨‍👩‍👧‍👦🇨🇳☺️ 阿拉伯 السلام עברית สวัสดี',
  '控制\u0000\u0007\u001b\u202Eevil\u202C孤\ud83d立\udc00未知\u{10FFFF}\ue000\uffff',
  '𠮷野家 龘靐齉 e\u0301 Z\u0351\u036b\u0343\u036a',
  '<script>alert(1)</script> | a*b_c` # \\ $x$ &amp; ]]> "q" \'s\' datum.v',
].join(' ');

const withBlocks = (blocks: Block[], change: Partial<ReportDocument> = {}): ReportDocument => ({
  ...sampleReport(1),
  sections: [{ id: 'only', title: '唯一章节', blocks, children: [] }],
  ...change,
});

const hostileReport = (): ReportDocument =>
  withBlocks(
    [
      { type: 'paragraph', text: `${nasty.repeat(5)}\n[D1][D99]`, refs: ['D1', 'D77'] },
      {
        type: 'keyValues',
        title: nasty,
        rows: [
          { label: nasty, value: nasty.repeat(20) },
          { label: '', value: '' },
        ],
        ref: 'D1',
      },
      { type: 'table', head: [], rows: [], ref: 'D1' },
      { type: 'table', head: ['只有表头'], rows: [] },
      { type: 'table', head: ['a'.repeat(5000), 'b'], rows: [['1', '2'], ['3']] },
      {
        type: 'table',
        title: '宽表',
        head: Array.from({ length: 24 }, (_, index) => `列${index}`),
        rows: [Array.from({ length: 24 }, () => '123,456.78')],
        ref: 'D1',
      },
      {
        type: 'chart',
        kind: 'bar',
        title: nasty,
        categories: [nasty, '"];alert(1)', '2023', '2023'],
        series: [
          { name: nasty, values: [1, null, 3, Number.NaN] },
          { name: nasty, values: [1, 2, -3, Number.POSITIVE_INFINITY] },
        ],
        unit: nasty,
        ref: 'D1',
      },
      {
        type: 'chart',
        kind: 'pie',
        title: '负数',
        categories: ['甲', '乙'],
        series: [{ name: 'x', values: [-1, 2] }],
        ref: 'D1',
      },
      {
        type: 'chart',
        kind: 'line',
        title: '平',
        categories: ['a', 'b'],
        series: [{ name: 'x', values: [0, 0] }],
        ref: 'D1',
      },
      { type: 'chart', kind: 'bar', title: '空', categories: [], series: [], ref: 'D1' },
    ],
    { title: nasty, taskName: nasty, description: nasty, notice: nasty, parameters: [{ label: nasty, value: nasty }] },
  );

interface PdfPage {
  text: string;
  /** Right end of every piece of text, points. */
  rightEnds: number[];
  lowest: number;
}

async function readPdf(bytes: Uint8Array) {
  const pdf = await getDocumentProxy(bytes.slice());
  const pages: PdfPage[] = [];
  const links: { page: number; dest: string }[] = [];
  for (let number = 1; number <= pdf.numPages; number += 1) {
    const page = await pdf.getPage(number);
    const { items } = await page.getTextContent();
    const found = items.flatMap((item) => ('str' in item && item.str.trim() ? [item] : []));
    pages.push({
      text: found.map(({ str }) => str).join('\n'),
      rightEnds: found.map(({ transform, width }) => Number(transform[4]) + width),
      lowest: Math.min(...found.map(({ transform }) => Number(transform[5]))),
    });
    for (const annotation of await page.getAnnotations()) links.push({ page: number, dest: String(annotation.dest) });
  }
  const pageOf = async (dest: string) => {
    const target = await pdf.getDestination(dest);
    return target ? (await pdf.getPageIndex(target[0])) + 1 : undefined;
  };
  return { pdf, pages, links, pageOf };
}

test('pdf: contents show the page every chapter is on, and link to it', async () => {
  const report = sampleReport(3);
  const { bytes, pages: count, contentType, extension } = await renderReport(report, 'PDF');
  assert.deepEqual([contentType, extension], ['application/pdf', 'pdf']);
  const { pdf, pages, links, pageOf } = await readPdf(bytes);
  assert.equal(pdf.numPages, count);
  const entries = [...(pages[1]?.text ?? '').matchAll(/^(\d[\d.]* .+)\n(\d+)$/gm)].map(([, title, page]) => [
    title,
    Number(page),
  ]);
  assert.equal(entries.length, 9);
  for (const [title, page] of entries) {
    assert.ok(pages[Number(page) - 1]?.text.split('\n').includes(String(title)), `${title} is on page ${page}`);
  }
  const fromContents = links.filter((link) => link.page === 2);
  assert.equal(fromContents.length, 10);
  assert.equal(await pageOf(fromContents[0]?.dest ?? ''), entries[0]?.[1]);
});

test('pdf: has bookmarks, document information, language, header and footer', async () => {
  const report = sampleReport(2);
  const { pdf, pages } = await readPdf((await renderReport(report, 'PDF')).bytes);
  const outline = await pdf.getOutline();
  assert.deepEqual(
    outline.map(({ title }) => title),
    ['1 企业基本信息', '2 财务状况分析（2）', '附录 资料来源'],
  );
  assert.deepEqual(
    outline[0]?.items.map(({ title }: { title: string }) => title),
    ['1.1 收入与利润', '1.2 构成'],
  );
  const { info } = (await pdf.getMetadata()) as unknown as { info: Record<string, string> };
  assert.equal(info.Title, report.title);
  assert.equal(info.CreationDate, 'D:20240403083000Z');
  assert.equal(info.Language, 'zh-CN');
  assert.ok(!pages[0]?.text.includes('/ 共'), 'the title page carries no page number');
  pages.slice(1).forEach(({ text }, index) => {
    assert.ok(text.includes(`第 ${index + 2} 页 / 共 ${pages.length} 页`));
    assert.ok(text.startsWith(report.title) || text.includes(`\n${report.title}\n`));
  });
});

test('pdf: the title page shows task, parameters, time and notice', async () => {
  const { pages } = await readPdf((await renderReport(sampleReport(1), 'PDF')).bytes);
  for (const text of ['贷前调查报告', 'PRE_LOAN_INVESTIGATION', '2024年4月3日 08:30', '未使用大语言模型']) {
    assert.ok(pages[0]?.text.includes(text), text);
  }
});

test('pdf: tables, charts and paragraphs link to the entry of their data package', async () => {
  const report = sampleReport(2);
  const { pages, links, pageOf } = await readPdf((await renderReport(report, 'PDF')).bytes);
  const text = pages.map((page) => page.text).join('\n');
  // Per chapter: key/values, table and three charts carry a caption link, the paragraph a mark.
  assert.equal(links.filter(({ dest }) => dest === 'source-D2').length, 6);
  assert.equal(text.match(/^资料 D2$/gm)?.length, 5);
  assert.ok(text.includes('[D2]'));
  const appendix = await pageOf('source-D2');
  assert.ok(appendix && pages[appendix - 1]?.text.includes('package_2'));
  for (const value of ['ku_002', '2023年年度报告', '张三', 'https://www.sse.com.cn/']) {
    assert.ok(text.includes(value), value);
  }
});

test('pdf: a mark of an unknown package stays text, a known one links once per place', async () => {
  const report = withBlocks([{ type: 'paragraph', text: '甲[D1]乙[D9]', refs: ['D1', 'D8'] }]);
  const { pages, links } = await readPdf((await renderReport(report, 'PDF')).bytes);
  assert.equal(links.filter(({ dest }) => dest === 'source-D1').length, 1);
  assert.ok(!links.some(({ dest }) => /D[89]/.test(dest)));
  assert.ok(pages.some(({ text }) => text.includes('[D9]')));
  assert.ok(!pages.some(({ text }) => text.includes('[D8]')));
});

test('pdf: a heading never stands alone at the foot of a page, nor does a chapter above its first section', async () => {
  const filler = (count: number): Block[] =>
    Array.from({ length: count }, () => ({ type: 'paragraph', text: '填充段落。', refs: [] }));
  for (let count = 18; count <= 27; count += 1) {
    const child = { id: 'b1', title: '第一节', blocks: filler(1), children: [] };
    const report: ReportDocument = {
      ...sampleReport(1),
      sections: [
        { id: 'a', title: '前章', blocks: filler(count), children: [] },
        { id: 'b', title: '后章', blocks: [], children: [child] },
      ],
    };
    const { pages } = await readPdf((await renderReport(report, 'PDF')).bytes);
    const page = pages.findIndex(({ text }, index) => index > 1 && text.includes('2 后章'));
    assert.ok(pages[page]?.text.includes('2.1 第一节\n填充段落。'), `with ${count} paragraphs before`);
  }
});

test('pdf: a long table repeats its head and keeps every row', async () => {
  const rows = Array.from({ length: 300 }, (_, index) => [`第${index}行`, String(index * 1000)]);
  const report = withBlocks([{ type: 'table', title: '长表', head: ['名称甲', '金额乙'], rows, ref: 'D1' }]);
  const { pages } = await readPdf((await renderReport(report, 'PDF')).bytes);
  const withRows = pages.filter(({ text }) => /^第\d+行$/m.test(text));
  assert.ok(withRows.length > 5);
  for (const { text } of withRows) assert.ok(text.includes('名称甲') && text.includes('金额乙'));
  assert.ok(withRows.slice(1).every(({ text }) => text.includes('表 1 长表（续）')));
  const found = pages.flatMap(({ text }) => text.match(/^第\d+行$/gm) ?? []);
  assert.deepEqual(
    found,
    rows.map(([name]) => name),
  );
});

test('pdf: a row taller than a page is cut between lines and loses none', async () => {
  const lines = Array.from({ length: 200 }, (_, index) => `行${index}。`);
  const report = withBlocks([{ type: 'table', head: ['甲', '乙'], rows: [['标签', lines.join('\n')]], ref: 'D1' }]);
  const { pages } = await readPdf((await renderReport(report, 'PDF')).bytes);
  assert.deepEqual(
    pages.flatMap(({ text }) => text.match(/^行\d+。$/gm) ?? []),
    lines,
  );
});

test('pdf: a table wider than the page is drawn in parts that repeat the first column', async () => {
  const head = ['项目', ...Array.from({ length: 20 }, (_, index) => `列${index}`)];
  const rows = [['营业收入', ...Array.from({ length: 20 }, (_, index) => `1,234,567.${index}`)]];
  const { pages } = await readPdf((await renderReport(withBlocks([{ type: 'table', head, rows }]), 'PDF')).bytes);
  const text = pages.map((page) => page.text).join('\n');
  for (const cell of [...head, ...(rows[0] ?? [])]) assert.ok(text.split('\n').includes(cell), cell);
  assert.ok((text.match(/^营业收入$/gm)?.length ?? 0) > 1);
});

test('pdf: charts are vector drawings whose texts can be read; large amounts are scaled', async () => {
  const values = [120_000_000_000, 150_560_330_316];
  const report = withBlocks([
    {
      type: 'chart',
      kind: 'bar',
      title: '收入',
      categories: ['2022年', '2023年'],
      series: [{ name: '收入', values }],
      unit: '元',
      ref: 'D1',
    },
  ]);
  const { pages } = await readPdf((await renderReport(report, 'PDF')).bytes);
  const text = pages.map((page) => page.text).join('\n');
  assert.match(text, /图 1 收入 \(单位：亿元\)/);
  assert.ok(text.split('\n').includes('1,506'), 'the bar carries its value');
  assert.ok(text.split('\n').includes('2023年'));
});

test('pdf: a chart that cannot be drawn is given as a table', async () => {
  const report = withBlocks([
    {
      type: 'chart',
      kind: 'pie',
      title: '负数',
      categories: ['甲方', '乙方'],
      series: [{ name: '值', values: [-1, 2] }],
      ref: 'D1',
    },
  ]);
  const { pages } = await readPdf((await renderReport(report, 'PDF')).bytes);
  const lines = pages.flatMap(({ text }) => text.split('\n'));
  for (const cell of ['甲方', '-1', '乙方', '2', '值']) assert.ok(lines.includes(cell), cell);
});

test('pdf: no line begins with closing punctuation, and nothing is set outside the margins', async () => {
  const sentence = '经营活动现金流量净额与净利润基本匹配，“盈利质量”较好；无逾期（含垫款）债务。';
  const report = withBlocks([
    { type: 'paragraph', text: sentence.repeat(60), refs: [] },
    { type: 'table', head: ['窄', '很窄', '更窄', '也窄'], rows: [[sentence, sentence, sentence, 'W'.repeat(300)]] },
  ]);
  for (const document of [report, hostileReport()]) {
    const { pages } = await readPdf((await renderReport(document, 'PDF')).bytes);
    for (const { rightEnds, lowest } of pages) {
      assert.ok(Math.max(...rightEnds) <= 595.28 - 62 + 0.6, `${Math.max(...rightEnds)}`);
      assert.ok(lowest > 30);
    }
    if (document === report) {
      for (const { text } of pages) assert.doesNotMatch(text, /^[，。；：、）”]/m);
    }
  }
});

test('pdf: what the font lacks is shown as a sign, control characters vanish', async () => {
  const report = withBlocks([
    { type: 'paragraph', text: '甲😀乙السلام丙\u0007\u202E丁孤\ud83d立戊e\u0301己龘', refs: [] },
  ]);
  const { pages } = await readPdf((await renderReport(report, 'PDF')).bytes);
  const text = pages.map((page) => page.text).join('');
  assert.ok(text.includes('甲[U+1F600]乙□□□□□□丙丁孤'), text.slice(0, 400));
  assert.ok(text.includes('立戊é己龘'));
});

test('pdf: the same document gives the same bytes, whatever was rendered before', async () => {
  const first = await renderReport(sampleReport(2), 'PDF');
  await renderReport(hostileReport(), 'PDF');
  const second = await renderReport(sampleReport(2), 'PDF');
  assert.ok(Buffer.from(first.bytes).equals(second.bytes));
});

test('pdf: an empty report still has its pages, an invalid time is printed as given', async () => {
  const empty: ReportDocument = {
    ...sampleReport(1),
    sections: [],
    sources: [],
    createdAt: '无效',
    language: 'en',
    notice: '',
  };
  const { pages } = await readPdf((await renderReport(empty, 'PDF')).bytes);
  assert.equal(pages.length, 3);
  assert.ok(pages[0]?.text.includes('无效'));
  assert.ok(pages[2]?.text.includes('No confirmed data package was used'));
});

test('pdf: a report beyond the page limit is refused', async () => {
  const text = '很长的一段。\n'.repeat(120_000);
  await assert.rejects(renderReport(withBlocks([{ type: 'paragraph', text, refs: [] }]), 'PDF'), {
    code: 'REPORT_TOO_LARGE',
  });
});

test('every format: hostile texts never break it', async () => {
  for (const format of ['PDF', 'DOCX', 'HTML', 'MARKDOWN'] satisfies ReportFormat[]) {
    const { bytes } = await renderReport(hostileReport(), format);
    assert.ok(bytes.length > 5000, format);
  }
});

test('html: one file without scripts or outside addresses; every text is escaped, every link has its target', async () => {
  const { bytes, contentType } = await renderReport(hostileReport(), 'HTML');
  const html = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  assert.equal(contentType, 'text/html; charset=utf-8');
  assert.doesNotMatch(html, /<script|<img|<link|<iframe|onerror=|javascript:/i);
  assert.ok(html.includes('&lt;script&gt;alert(1)&lt;/script&gt;'));
  assert.doesNotMatch(html, /\s(?:src|href|xlink:href)="(?!#)/);
  const ids = new Set([...html.matchAll(/\sid="([^"]+)"/g)].map(([, id]) => id));
  for (const [, target] of html.matchAll(/href="#([^"]+)"/g)) assert.ok(ids.has(target), target);
  const sample = new TextDecoder().decode((await renderReport(sampleReport(2), 'HTML')).bytes);
  assert.equal(sample.match(/<svg/g)?.length, 6);
  assert.ok(sample.includes('<html lang="zh-CN">'));
});

test('markdown: nothing of a text becomes markup; tables keep their columns', async () => {
  const { bytes } = await renderReport(hostileReport(), 'MARKDOWN');
  const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  assert.doesNotMatch(text, /<script|(?!\n)\p{Cc}/u);
  assert.ok(text.includes('&lt;script&gt;alert(1)&lt;/script&gt; \\| a\\*b\\_c\\` # \\\\ \\$x\\$ &amp;amp;'));
  const lines = text.split('\n');
  lines.forEach((line, index) => {
    if (!/^\| (?:---:?|---)/.test(line)) return;
    const columns = (row: string) => row.replace(/\\\|/g, '').split('|').length;
    for (let at = index - 1; lines[at]?.startsWith('|'); at += 1) assert.equal(columns(lines[at] ?? ''), columns(line));
  });
});

/** The parts of a zip file as text, by name: enough to look into a DOCX. */
function unzip(bytes: Uint8Array): Map<string, string> {
  const file = Buffer.from(bytes);
  const parts = new Map<string, string>();
  const directory = file.readUInt32LE(file.length - 22 + 16);
  for (let at = directory; file.readUInt32LE(at) === 0x02014b50; ) {
    const [size, name, extra, comment] = [
      file.readUInt32LE(at + 20),
      file.readUInt16LE(at + 28),
      file.readUInt16LE(at + 30),
      file.readUInt16LE(at + 32),
    ];
    const local = file.readUInt32LE(at + 42);
    const start = local + 30 + file.readUInt16LE(local + 26) + file.readUInt16LE(local + 28);
    const data = file.subarray(start, start + size);
    const stored = file.readUInt16LE(at + 10) === 0;
    parts.set(file.toString('utf8', at + 46, at + 46 + name), (stored ? data : inflateRawSync(data)).toString('utf8'));
    at += 46 + name + extra + comment;
  }
  return parts;
}

test('docx: real headings, a contents field, repeated table heads, charts and page fields', async () => {
  const { bytes, extension } = await renderReport(sampleReport(2), 'DOCX');
  assert.equal(extension, 'docx');
  const parts = unzip(bytes);
  const body = parts.get('word/document.xml') ?? '';
  assert.equal(body.match(/<w:pStyle w:val="Heading1"\/>/g)?.length, 3);
  assert.match(body, /TOC \\h \\o (?:&quot;|")1-3/);
  assert.ok((body.match(/<w:tblHeader\/>/g)?.length ?? 0) >= 5);
  assert.equal(body.match(/<c:chart /g)?.length, 6);
  assert.ok(body.includes('资料 D2') && body.includes('package_2') && body.includes('[D2]'));
  assert.match(
    [...parts]
      .filter(([name]) => name.includes('footer'))
      .map(([, xml]) => xml)
      .join(''),
    /NUMPAGES/,
  );
  const hostile = unzip((await renderReport(hostileReport(), 'DOCX')).bytes);
  for (const [name, xml] of hostile) {
    if (name.endsWith('.xml')) assert.doesNotMatch(xml, /(?![\t\n\r])\p{Cc}|[\ufffe\uffff]|<script/u, name);
  }
});

test('demo data: every chapter has its package, and the report is long enough to be looked at', async () => {
  const units = new Set<string>();
  const toSection = (node: typeof demoData.outline.rootNode): ReportDocument['sections'][number] => {
    const index = demoData.packages.findIndex((item) => item.knowledgeUnitId === node.knowledgeUnitId);
    const data = demoData.packages[index];
    if (data) units.add(data.knowledgeUnitId);
    else assert.ok(node.children?.length, `${node.title} has data or sections`);
    const ref = `D${index + 1}`;
    const blocks: Block[] = data
      ? [
          ...blocksFromData(data.autoData, { ref, language: 'zh' }),
          { type: 'paragraph', text: data.manualData, refs: [ref] },
        ]
      : [];
    return {
      id: node.nodeId,
      number: node.chapterNumber,
      title: node.title,
      blocks,
      children: (node.children ?? []).map(toSection),
    };
  };
  const sections = (demoData.outline.rootNode.children ?? []).map(toSection);
  assert.equal(units.size, demoData.packages.length, 'no package is left without a chapter');
  assert.ok(sections.length >= 6);
  assert.ok(demoData.packages.every(({ dataSources }) => dataSources.source && dataSources.queryTime));
  const report: ReportDocument = { ...sampleReport(1), title: demoData.report.title, sections };
  const { pages = 0 } = await renderReport(report, 'PDF');
  assert.ok(pages >= 8, `${pages} pages`);
});

test('captions: only what is drawn has a figure number, in every format', async () => {
  const chart = (title: string, value: number, tabled: boolean): Block => ({
    type: 'chart',
    kind: 'bar',
    title,
    categories: ['2022', '2023'],
    series: [{ name: '甲', values: [1, value] }],
    tabled,
    ref: 'D1',
  });
  const report = withBlocks([chart('巨数', -1e308, true), chart('表代图', 1e308, false), chart('可画', 2, true)]);
  for (const format of ['PDF', 'DOCX', 'HTML'] as const) {
    const text = await printed(report, format);
    assert.match(text, /图 1 可画/, format);
    assert.match(text, /表 1 表代图/, format);
    assert.doesNotMatch(text, /图 [23]|巨数/, format);
  }
  const markdown = await printed(report, 'MARKDOWN');
  assert.match(markdown, /表 1 表代图/);
  assert.doesNotMatch(markdown, /图 \d|巨数|可画/);
});

test('appendix: times without a zone say that they are UTC, others stay as given', async () => {
  const report = sampleReport(3);
  const [first, second, third] = report.sources;
  assert.ok(first && second && third);
  Object.assign(first, { queryTime: '2024-01-01T00:00:00', confirmTime: '2024-01-02 08:30:15' });
  Object.assign(second, { queryTime: '2024年一季度', confirmTime: '2024-01-03T09:00:00+08:00' });
  for (const format of ['PDF', 'DOCX', 'HTML', 'MARKDOWN'] as const) {
    const text = (await printed(report, format)).replaceAll('\\', '');
    for (const shown of [
      '2024-01-01 00:00:00（UTC）',
      '2024-01-02 08:30:15（UTC）',
      '2024年一季度',
      '2024-01-03T09:00:00+08:00',
    ])
      assert.ok(text.includes(shown), `${format}: ${shown}`);
    assert.doesNotMatch(text, /一季度（UTC）|08:00（UTC）/);
  }
});

/** The text of a rendered report, as far as it can be read without its program. */
async function printed(report: ReportDocument, format: ReportFormat): Promise<string> {
  const { bytes } = await renderReport(report, format);
  if (format === 'PDF') return (await readPdf(bytes)).pages.map(({ text }) => text).join('\n');
  if (format !== 'DOCX') return new TextDecoder().decode(bytes);
  return (unzip(bytes).get('word/document.xml') ?? '').replace(/<[^>]+>/g, '');
}

test('wide tables: groups of columns with their place in the caption, in every format, and no value is lost', async () => {
  const head = Array.from({ length: 60 }, (_, index) => `列${index}`);
  const rows = [head.map((_, index) => `值${index}`)];
  const report = withBlocks([{ type: 'table', title: '宽表', head, rows, ref: 'D1' }]);
  for (const format of ['PDF', 'DOCX', 'HTML', 'MARKDOWN'] as const) {
    const text = await printed(report, format);
    const groups = Number(/（第 1 组，共 (\d+) 组）/.exec(text)?.[1]);
    assert.ok(groups > 2, format);
    assert.ok(text.includes(`（第 ${groups} 组，共 ${groups} 组）`), format);
    assert.doesNotMatch(text, /（续）（续）/);
    for (const cell of [...head, ...(rows[0] ?? [])]) assert.ok(text.includes(cell), `${format}: ${cell}`);
  }
});

test('docx: a document of very many cells gives the rows as lines, all of them', async () => {
  const rows = Array.from({ length: 4000 }, (_, index) => [`行${index}`, `${index}`, 'x', 'y', 'z', `末${index}`]);
  const report = withBlocks([
    { type: 'table', title: '大表', head: ['甲', '乙', '丙', '丁', '戊', '己'], rows, ref: 'D1' },
  ]);
  const { bytes } = await renderReport(report, 'DOCX');
  const body = unzip(bytes).get('word/document.xml') ?? '';
  assert.ok((body.match(/<w:tc>/g)?.length ?? 0) < 1000);
  assert.equal(body.match(/<w:cr\/>/g)?.length, 3900);
  for (const index of [0, 39, 40, 3999]) assert.ok(body.includes(`行${index}\t${index}\tx\ty\tz\t末${index}`));
});
