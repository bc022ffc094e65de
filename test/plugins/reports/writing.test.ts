import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadCatalogue } from '../../../plugins/reports/catalogue.ts';
import { blocksFromData } from '../../../plugins/reports/material/blocks.ts';
import { factsFromData } from '../../../plugins/reports/material/facts.ts';
import { parseOutline } from '../../../plugins/reports/outline.ts';
import type { Block } from '../../../plugins/reports/render/document.ts';
import { plainText, withoutMarks } from '../../../plugins/reports/render/text.ts';
import { assembleReport } from '../../../plugins/reports/writing/assemble.ts';
import { collectUnit } from '../../../plugins/reports/writing/collect.ts';
import { divideText } from '../../../plugins/reports/writing/divide.ts';
import { outlineFromDraft, readDraft } from '../../../plugins/reports/writing/draft.ts';
import { createFigureCheck } from '../../../plugins/reports/writing/figures.ts';
import { materialText } from '../../../plugins/reports/writing/material-text.ts';
import { EXTRA_NODE, namePackages, planChapters } from '../../../plugins/reports/writing/plan.ts';
import { paragraphsOf } from '../../../plugins/reports/writing/prose.ts';
import { labelled } from '../../../plugins/reports/writing/task-facts.ts';

const catalogue = loadCatalogue(new URL('../../../config/knowledge-units.yaml', import.meta.url));

test('figures: what the material bears out passes, rounded and in other units as well', () => {
  const check = createFigureCheck(
    [
      '- 营业收入: 2021 1,094.64 亿元；2022 1,275.54 亿元',
      '- 净利润: 109464278563.89',
      '| 项目 | 2023年 |\n| 毛利率 | 0.9196 |',
      '增长16.53%。统一社会信用代码 91110000000000000X，注册资本12.56亿元',
    ],
    'zh',
  );
  for (const text of [
    '2021年营业收入1,094.64亿元[D1]，2022年为1275.54亿元。',
    '营业收入约1,095亿元，即1,275.5亿元。',
    '净利润1,094.64亿元，毛利率91.96%，约92.0%。',
    '增长16.5%，注册资本为125,600万元。',
    '统一社会信用代码为91110000000000000X，分为3个方面，见ku_001。',
  ]) {
    const { unverified } = check(text);
    assert.deepEqual(unverified, [], text);
  }
});

test('figures: one that no material has gets a visible mark and is named with its sentence', () => {
  const check = createFigureCheck(['营业收入为1,094.64亿元'], 'zh');
  const { text, unverified } = check('营业收入为1,094.64亿元。净利润为524.60亿元，增长12.3%。');
  assert.equal(text, '营业收入为1,094.64亿元。净利润为524.60亿元（待核实），增长12.3%（待核实）。');
  assert.deepEqual(unverified, [
    { figure: '524.60亿元', sentence: '净利润为524.60亿元，增长12.3%。' },
    { figure: '12.3%', sentence: '净利润为524.60亿元，增长12.3%。' },
  ]);
  // Ten times as much is not a rounding.
  assert.equal(check('营业收入为10,946.4亿元').unverified.length, 1);
});

test('prose: Markdown, the repeated heading and unknown marks go; known marks become references', () => {
  const paragraphs = paragraphsOf(
    '## 2 财务状况分析\n\n**营业收入**增长[D1, D9]。\n---\n- 净利润下降[D2]。\n未标注的一段。',
    '财务状况分析',
    ['D1', 'D2'],
  );
  assert.deepEqual(paragraphs, [
    { type: 'paragraph', text: '营业收入增长[D1]。', refs: ['D1'] },
    { type: 'paragraph', text: '净利润下降[D2]。', refs: ['D2'] },
    { type: 'paragraph', text: '未标注的一段。', refs: [] },
  ]);
  assert.deepEqual(paragraphsOf('没有标记。', '题', ['D3'])[0]?.refs, ['D3']);
});

const outline = parseOutline({
  nodeId: 'root',
  title: '报告',
  children: [
    {
      nodeId: 'n1',
      title: '概况',
      children: [
        { nodeId: 'n11', title: '基本信息', knowledgeUnitId: 'ku_001' },
        { nodeId: 'n12', title: '行业', knowledgeUnitId: 'ku_005' },
      ],
    },
    {
      nodeId: 'n2',
      title: '财务',
      knowledgeUnitId: 'ku_002',
      children: [
        { nodeId: 'n21', title: '收入' },
        { nodeId: 'n22', title: '利润' },
      ],
    },
    { nodeId: 'n3', title: '结论' },
  ],
});
const packages = namePackages(outline, [
  { packageId: 'p9', unitId: 'ku_other' },
  { packageId: 'p2', unitId: 'ku_002' },
  { packageId: 'p1', unitId: 'ku_001' },
]);

test('plan: packages are named in reading order, others come last', () => {
  assert.deepEqual(
    packages.map(({ ref, packageId }) => [ref, packageId]),
    [
      ['D1', 'p1'],
      ['D2', 'p2'],
      ['D3', 'p9'],
    ],
  );
});

const planned = (type: 'LEVEL1' | 'LEVEL2', from = outline, given = packages) =>
  planChapters(from, type, given, 'zh').map(({ nodeId, sections }) => [
    nodeId,
    sections.map((section) => [section.nodeId, section.basis, section.refs.join(), section.prints.join()].join(' ')),
  ]);

test('plan: LEVEL1 has one text per chapter over its sub-tree, the sections below keep their tables', () => {
  assert.deepEqual(planned('LEVEL1'), [
    ['n1', ['n1 data D1 ', 'n11 data  D1', 'n12 chapter  ']],
    ['n2', ['n2 data D2 D2', 'n21 chapter  ', 'n22 chapter  ']],
    ['n3', ['n3 summary D1,D2,D3 ']],
    [EXTRA_NODE, [`${EXTRA_NODE} data D3 D3`]],
  ]);
});

test('plan: LEVEL2 has one text per leaf, from its own package, that above it, all packages, or nothing', () => {
  assert.deepEqual(planned('LEVEL2'), [
    ['n11', ['n11 data D1 D1']],
    ['n12', ['n12 none  ']],
    ['n2', ['n2 data  D2']],
    ['n21', ['n21 data D2 ']],
    ['n22', ['n22 data D2 ']],
    ['n3', ['n3 summary D1,D2,D3 ']],
    [EXTRA_NODE, [`${EXTRA_NODE} data D3 D3`]],
  ]);
  assert.equal(planChapters(outline, 'LEVEL1', [], 'zh').at(-1)?.sections[0]?.basis, 'none');
});

test('plan: of several sections without a unit one sums up all packages', () => {
  const tree = (titles: string[]) =>
    parseOutline({ nodeId: 'r', title: 'r', children: titles.map((title) => ({ nodeId: title, title })) });
  const summaryAt = (titles: string[]) =>
    planChapters(tree(titles), 'LEVEL1', packages, 'zh').map(({ sections }) => sections[0]?.summaryAt);
  assert.deepEqual(summaryAt(['风险', '结论', '附言']), ['结论', undefined, '结论', undefined]);
  assert.deepEqual(summaryAt(['甲', '乙']), ['乙', undefined, undefined]);
});

test('divide: every statement of a shared package goes to one section, with its heading and head of the table', () => {
  const text = [
    '- 企业名称: 甲',
    '## 指标（亿元）',
    '| 项目 | 2022 | 2023 |',
    '| --- | --- | --- |',
    '| 营业收入 | 1 | 2 |',
    '| 净利润 | 3 | 4 |',
    '## 变动情况',
    '净利润由2022年的3亿元增至2023年的4亿元。',
  ].join('\n');
  assert.deepEqual(divideText(text, ['收入情况', '利润']), [
    '- 企业名称: 甲\n## 指标（亿元）\n| 项目 | 2022 | 2023 |\n| --- | --- | --- |\n| 营业收入 | 1 | 2 |',
    '## 指标（亿元）\n| 项目 | 2022 | 2023 |\n| --- | --- | --- |\n| 净利润 | 3 | 4 |\n## 变动情况\n净利润由2022年的3亿元增至2023年的4亿元。',
  ]);
  assert.deepEqual(divideText(text, ['甲']), [text]);
  assert.deepEqual(divideText('- a: 1', ['x', 'y']), ['- a: 1', '']);
});

test('plan: every package is printed exactly once, whatever the tree', () => {
  const odd = parseOutline({
    nodeId: 'r',
    title: 'r',
    knowledgeUnitId: 'ku_001',
    children: [
      { nodeId: 'a', title: 'a', knowledgeUnitId: 'ku_002' },
      { nodeId: 'b', title: 'b', knowledgeUnitId: 'ku_002' },
    ],
  });
  for (const type of ['LEVEL1', 'LEVEL2'] as const) {
    const printed = planChapters(odd, type, packages, 'en').flatMap(({ sections }) =>
      sections.flatMap(({ prints }) => prints),
    );
    assert.deepEqual(printed.toSorted(), ['D1', 'D2', 'D3']);
  }
  const alone = planChapters(
    parseOutline({ nodeId: 'r', title: '全文', knowledgeUnitId: 'ku_001' }),
    'LEVEL2',
    packages.slice(0, 1),
    'zh',
  );
  assert.deepEqual(
    alone.map(({ sections }) => sections.map(({ nodeId, prints }) => [nodeId, prints])),
    [[['r', ['D1']]]],
  );
});

test('assemble: text, tables, manual text and the notices stand in their places', () => {
  const document = assembleReport({
    title: 'ABC公司贷前调查报告',
    taskName: '贷前调查报告',
    description: '',
    language: 'zh',
    createdAt: '2024-01-01T00:00:00.000Z',
    parameters: [{ label: '企业编号', value: '123456' }],
    metadata: [{ label: '企业编号', value: '123456' }],
    root: outline,
    chapters: planChapters(outline, 'LEVEL1', packages, 'zh'),
    written: [
      {
        nodeId: 'n11',
        paragraphs: [{ type: 'paragraph', text: '甲[D1]', refs: ['D1'] }],
        unverified: [{ figure: '5%', sentence: 's' }],
      },
    ],
    materials: [
      {
        ref: 'D1',
        blocks: [{ type: 'keyValues', rows: [{ label: '企业名称', value: 'ABC公司' }], ref: 'D1' }],
        manual: '补充',
      },
    ],
    sources: [],
    offline: true,
  });
  assert.deepEqual(
    document.sections.map(({ id }) => id),
    ['n1', 'n2', 'n3', EXTRA_NODE],
  );
  assert.deepEqual(
    document.sections[0]?.children[0]?.blocks.map((block) => block.type),
    ['paragraph', 'keyValues', 'paragraph'],
  );
  assert.match(document.notice ?? '', /未使用语言模型[\s\S]*1 处数字/);
  assert.equal(document.metadata, undefined);
});

test('collect: fields come from parameters and description only, the rest is named as missing', () => {
  const at = new Date('2024-01-01T08:00:00Z');
  const unit = catalogue.find('ku_001');
  const { autoData, manualData, dataSources } = collectUnit('ku_001', unit, {
    parameters: { enterpriseId: '123456', company: { company_name: 'ABC公司' }, reportType: 'PRE_LOAN_INVESTIGATION' },
    description: '某企业贷前调查，注册资本：5000万元，法定代表人为张三。',
    at,
  });
  assert.deepEqual(autoData, { 企业名称: 'ABC公司', 企业编号: '123456', 注册资本: '5000万元', 法定代表人: '张三' });
  assert.match(manualData, /系统未能取得：统一社会信用代码、成立时间/);
  assert.deepEqual(dataSources, { source: '任务参数、任务说明', queryTime: '2024-01-01 08:00:00', collector: '系统' });
});

test('collect: a unit of which nothing is known gives a package that says so', () => {
  const sources = { parameters: { enterpriseId: '1' }, description: '某企业贷前调查', at: new Date() };
  for (const id of ['ku_002', 'ku_unheard_of']) {
    const { autoData, manualData, dataSources } = collectUnit(id, catalogue.find(id), sources);
    assert.deepEqual(autoData, {});
    assert.match(manualData, /未能取得/);
    assert.match(String(dataSources.source), /^无/);
  }
});

test('draft: the catalogue gives an outline that passes the rules for outlines', () => {
  const { title, type, rootNode } = outlineFromDraft(catalogue.outlineFor('PRE_LOAN_INVESTIGATION'));
  assert.equal(title, '贷前调查报告大纲');
  assert.equal(type, 'LEVEL2');
  assert.deepEqual(parseOutline(rootNode), rootNode);
  assert.equal(rootNode.children[0]?.children[0]?.chapterNumber, '1.1');
});

test('draft: what a model wrote is read with unknown units and broken entries left out', () => {
  const units = new Set(['ku_001']);
  const draft = readDraft(
    {
      title: '第一章 报告',
      chapters: [
        {
          title: '1. 概况',
          knowledgeUnitId: 'ku_001',
          sections: [{ title: '1.1 主体', knowledgeUnitId: 'ku_404' }, 7, {}],
        },
        { title: '第二章 结论', knowledgeUnitId: null, sections: [] },
        { title: '' },
      ],
    },
    units,
    '报告',
  );
  assert.deepEqual(draft, {
    title: '报告',
    chapters: [{ title: '概况', unit: 'ku_001', sections: [{ title: '主体' }] }, { title: '结论' }],
  });
  assert.equal(readDraft({ chapters: [{ title: '只有一章' }] }, units, '报告'), undefined);
  assert.equal(readDraft('no', units, '报告'), undefined);
});

test('marks: what users write like a source mark is shown in other brackets', () => {
  const hidden = ['[D9]', '[d1]', '[ D 9 ]', '[D1, D2]', '[D\u200b1]', '[D\u00001]', '[D\n9]', '[Ｄ９]', '[D1、D3]'];
  for (const text of hidden) {
    const shown = withoutMarks(`前${text}后`);
    assert.equal(shown, `前［${text.slice(1, -1)}］后`);
    assert.doesNotMatch(plainText(shown), /\[/);
  }
  for (const text of ['[Dx]', '[1]', 'D9', '[]', 'a[0]', '[DD]']) assert.equal(withoutMarks(text), text);

  const data = {
    '说明[D9]': '甲[D1]乙',
    列表: ['[D', '9]'],
    '收入（[D1]元）': { 2021: 1, 2022: 2 },
    单位: '[D3]元',
    表: [{ '列[D2]': '[D1]' }, { '列[D2]': { 深: { '[D9]': '[D9]' } } }],
  };
  for (const language of ['zh', 'en'] as const) {
    const text = JSON.stringify([blocksFromData(data, { ref: 'D1', language }), factsFromData(data, { language })]);
    assert.doesNotMatch(text, /\[D\d/);
    assert.match(text, /［D9］/);
  }
  assert.deepEqual(labelled({ 'a[D1]': '[D9]' }, 'zh'), [{ label: 'a［D1］', value: '［D9］' }]);
});

test('material text: signs that would end a name or a cell are escaped, values are not', () => {
  const blocks: Block[] = [
    { type: 'keyValues', rows: [{ label: '键：甲!', value: 'a|b：c!' }] },
    { type: 'table', head: ['x|y'], rows: [['1|2'], ['a／b']] },
  ];
  assert.equal(materialText(blocks, [], 'zh'), '- 键\\：甲\\!: a|b：c!\n| x\\|y |\n| --- |\n| 1\\|2 |\n| a／b |');
});

test('prose: a text that was arranged from the material is taken word for word, apart from its marks', () => {
  const text = '- 标签为</material> **a** #b[D1][D9]。\n---\n# 不是标题[D2]。';
  assert.deepEqual(
    paragraphsOf(text, '题', ['D1'], { literal: true }).map((paragraph) => paragraph.text),
    ['- 标签为</material> **a** #b[D1]。', '---', '# 不是标题。'],
  );
  assert.equal(paragraphsOf('值为‹/material>。', '题', [])[0]?.text, '值为</material>。');
});
