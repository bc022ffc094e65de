import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type BlockOptions, blocksFromData } from '../../../plugins/reports/material/blocks.ts';
import { factsFromData } from '../../../plugins/reports/material/facts.ts';
import { limits } from '../../../plugins/reports/material/limits.ts';
import { axisKind, readPeriod, readPeriods } from '../../../plugins/reports/material/periods.ts';
import { groupDigits, readAmount } from '../../../plugins/reports/material/values.ts';
import type { Block, ChartBlock, KeyValuesBlock, TableBlock } from '../../../plugins/reports/render/document.ts';
import { inOnePass } from '../../support/effort.ts';

const zh: BlockOptions = { ref: 'D1', language: 'zh' };
const blocks = (data: unknown) => blocksFromData(data, zh);
const tables = (found: Block[]) => found.filter((block): block is TableBlock => block.type === 'table');
const charts = (found: Block[]) => found.filter((block): block is ChartBlock => block.type === 'chart');
const pairs = (found: Block[]) => found.filter((block): block is KeyValuesBlock => block.type === 'keyValues');
const notes = (found: Block[]) => found.flatMap((block) => (block.type === 'paragraph' ? [block.text] : []));

test('amounts: numbers, separators, percent, Chinese units and full-width digits are read', () => {
  const cases: [unknown, number, string][] = [
    [12.5, 12.5, ''],
    ['1,234.56', 1234.56, ''],
    ['12.3%', 12.3, '%'],
    ['12.3\uff05', 12.3, '%'],
    ['\uff0812\uff09', -12, ''],
    ['1.2亿', 1.2, '亿'],
    ['1.2亿元', 1.2, '亿元'],
    ['3,500 万元', 3500, '万元'],
    ['¥8.5', 8.5, ''],
    ['人民币100元', 100, '元'],
    ['(350)', -350, ''],
    ['-5.3', -5.3, ''],
    ['\u22125.3', -5.3, ''],
    ['１２３', 123, ''],
    ['5.68万吨', 5.68, '万吨'],
  ];
  for (const [input, value, unit] of cases) {
    const amount = readAmount(input);
    assert.equal(amount?.value, value, String(input));
    assert.equal(amount?.unit, unit, String(input));
  }
  assert.equal(readAmount('1.2亿元')?.factor, 1e8);
  assert.equal(readAmount('3,500万元')?.base, '元');
});

test('amounts: texts that only begin with digits are not numbers', () => {
  for (const text of [
    '2023年',
    '2010-01-01',
    '91110000000000000X',
    '12:30',
    '1,23',
    '',
    '—',
    'abc',
    '600519.SH',
    '1.2.3',
    '3月',
  ]) {
    assert.equal(readAmount(text), undefined, text);
  }
  assert.equal(readAmount(Number.NaN), undefined);
  assert.equal(readAmount(Number.POSITIVE_INFINITY), undefined);
});

test('digits: thousands separators add and lose no digit', () => {
  assert.equal(groupDigits(1234567.891), '1,234,567.891');
  assert.equal(groupDigits(-1000), '-1,000');
  assert.equal(groupDigits(999), '999');
  assert.equal(groupDigits(1e21), '1e+21');
  assert.equal(groupDigits(0.1), '0.1');
});

test('periods: years, halves, quarters, months and days are told apart and ordered', () => {
  const cases: [string, string][] = [
    ['2023', 'year'],
    ['2023年度', 'year'],
    ['FY2023', 'year'],
    ['2023年上半年', 'half'],
    ['2023H2', 'half'],
    ['2023Q1', 'quarter'],
    ['2023年第三季度', 'quarter'],
    ['四季度', 'quarter'],
    ['2023-06', 'month'],
    ['2023年12月', 'month'],
    ['202312', 'month'],
    ['十二月', 'month'],
    ['Jan', 'month'],
    ['2023-12-31', 'day'],
  ];
  for (const [label, kind] of cases) assert.equal(readPeriod(label)?.kind, kind, label);
  for (const label of ['2023年收入', '13月', '2023-13', '企业', '1999999', 'Q5', 'Janus Ltd']) {
    assert.equal(readPeriod(label), undefined, label);
  }
  const mixed = readPeriods(['2021', '2022', '2023Q1']);
  assert.ok(mixed);
  assert.equal(axisKind(mixed), 'quarter');
  assert.equal(readPeriods(['2021', '2021年']), undefined, 'the same period twice is no axis');
  assert.equal(readPeriods(['2021', '一季度']), undefined, 'with and without a year do not mix');
});

test('blocks: single values become one key/value table, printed as given', () => {
  const found = blocks({
    企业名称: 'ABC公司',
    统一社会信用代码: '91110000000000000X',
    成立时间: '2010-01-01',
    员工人数: 12345,
    上市: false,
    备注: null,
    年份: 2023,
  });
  assert.equal(found.length, 1);
  assert.deepEqual(pairs(found)[0]?.rows, [
    { label: '企业名称', value: 'ABC公司' },
    { label: '统一社会信用代码', value: '91110000000000000X' },
    { label: '成立时间', value: '2010-01-01' },
    { label: '员工人数', value: '12,345' },
    { label: '上市', value: '否' },
    { label: '备注', value: '—' },
    { label: '年份', value: '2023' },
  ]);
  assert.equal(pairs(found)[0]?.ref, 'D1');
});

test('blocks: a measure by year becomes a table and a bar chart in time order', () => {
  const found = blocks({ '营业收入(亿元)': { 2023: 1476.94, 2022: '1,241.00', 2021: 1061.9 } });
  const [table] = tables(found);
  const [chart] = charts(found);
  assert.deepEqual(table?.head, ['项目', '2021', '2022', '2023']);
  assert.deepEqual(table?.rows, [['营业收入(亿元)', '1,061.90', '1,241.00', '1,476.94']]);
  assert.equal(chart?.kind, 'bar');
  assert.equal(chart?.unit, '亿元');
  assert.deepEqual(chart?.categories, ['2021', '2022', '2023']);
  assert.deepEqual(chart?.series, [{ name: '营业收入', values: [1061.9, 1241, 1476.94] }]);
});

test('blocks: several measures by year become one table and charts by unit and size', () => {
  const found = blocks({
    单位: '亿元',
    营业收入: { '2022年': 1241, '2023年': 1476.94 },
    净利润: { '2022年': 653.75, '2023年': 775.21 },
    毛利率: { '2022年': '91.87%', '2023年': '91.96%' },
    研发人员: { '2022年': 3, '2023年': 4 },
  });
  assert.equal(tables(found).length, 1);
  assert.equal(tables(found)[0]?.rows.length, 4);
  assert.match(tables(found)[0]?.title ?? '', /亿元/);
  assert.equal(pairs(found).length, 0, 'the unit stands in the title only');
  const drawn = charts(found).map(({ unit, series }) => [unit, ...series.map(({ name }) => name)]);
  assert.deepEqual(drawn, [
    ['亿元', '营业收入', '净利润'],
    ['%', '毛利率'],
    [undefined, '研发人员'],
  ]);
});

test('blocks: years of measures are turned so that measures run down', () => {
  const found = blocks({ 财务数据: { 2022: { 收入: 100, 利润: 10 }, 2023: { 收入: 120, 利润: 15 } } });
  assert.deepEqual(tables(found)[0]?.head, ['项目', '2022', '2023']);
  assert.deepEqual(tables(found)[0]?.rows, [
    ['收入', '100', '120'],
    ['利润', '10', '15'],
  ]);
  assert.equal(charts(found).length, 1);
});

test('blocks: quarters and months become a line chart', () => {
  const months = Object.fromEntries(Array.from({ length: 12 }, (_, month) => [`${month + 1}月`, month * 10]));
  const [byMonth] = charts(blocks({ 月度销量: months }));
  assert.equal(byMonth?.kind, 'line');
  assert.equal(byMonth?.categories.length, 12);
  const quarters = Object.fromEntries(
    ['2022Q4', '2022Q1', '2022Q3', '2022Q2', '2023Q1'].map((key, index) => [key, index]),
  );
  const [byQuarter] = charts(blocks({ 季度: quarters }));
  assert.deepEqual(byQuarter?.categories, ['2022Q1', '2022Q2', '2022Q3', '2022Q4', '2023Q1']);
});

test('blocks: shares become a table and a pie, as percent or as fractions', () => {
  const [percent] = charts(blocks({ 收入构成: { 茅台酒: '85.99%', 系列酒: '14.01%' } }));
  assert.equal(percent?.kind, 'pie');
  assert.deepEqual(percent?.series[0]?.values, [85.99, 14.01]);
  assert.equal(percent?.unit, '%');
  const [fractions] = charts(blocks({ 股权: { 甲: 0.6, 乙: 0.4 } }));
  assert.deepEqual(fractions?.series[0]?.values, [60, 40]);
  assert.equal(charts(blocks({ 数量: { 甲: 1, 乙: 0 } })).length, 0, 'two counts are no division of a whole');
  assert.equal(charts(blocks({ 资产: { 流动: 300, 固定: 20 } })).length, 0);
  const [holders] = charts(
    blocks({
      股东: [
        { 名称: '甲', 持股比例: '54.07%' },
        { 名称: '乙', 持股比例: '45.93%' },
      ],
    }),
  );
  assert.deepEqual(holders?.categories, ['甲', '乙']);
});

test('blocks: a list of objects becomes a table with all keys as columns; one with a year column is drawn', () => {
  const found = blocks({
    财务: [
      { 年度: 2021, 收入: '1.2亿' },
      { 年度: 2022, 收入: '9,000万', 备注: 'x' },
    ],
  });
  assert.deepEqual(tables(found)[0]?.head, ['年度', '收入', '备注']);
  assert.deepEqual(tables(found)[0]?.rows, [
    ['2021', '1.2亿', '—'],
    ['2022', '9,000万', 'x'],
  ]);
  assert.deepEqual(charts(found)[0]?.series, [{ name: '收入', values: [120_000_000, 90_000_000] }]);
});

test('blocks: a date or year that is a property of the row makes no time series', () => {
  const found = blocks({
    贷款: [
      { 银行: '甲银行', 余额: 3000, 到期日: '2025-01-31', 开户年: 2011 },
      { 银行: '乙银行', 余额: 1250, 到期日: '2026-06-30', 开户年: 2015 },
    ],
    工厂: { 甲: { 面积: 12000, 投产: 2011 }, 乙: { 面积: 2000, 投产: 2015 } },
  });
  assert.equal(charts(found).length, 0);
  assert.deepEqual(tables(found)[0]?.rows[0], ['甲银行', '3,000', '2025-01-31', '2011']);
  assert.deepEqual(tables(found)[1]?.rows[1], ['乙', '2,000', '2015'], 'years keep no separators, amounts do');
});

test('blocks: a chart from non-numbers falls back to the table alone', () => {
  const found = blocks({ 评级: { 2021: 'AAA', 2022: 'AA', 2023: 'AAA' }, 收入: { 2021: '约十亿', 2022: 12 } });
  assert.equal(charts(found).length, 0);
  assert.deepEqual(tables(found)[0]?.rows, [
    ['评级', 'AAA', 'AA', 'AAA'],
    ['收入', '约十亿', '12', '—'],
  ]);
});

test('blocks: nested objects become titled tables; beyond the depth limit they are written out in a cell', () => {
  const found = blocks({ 企业: { 名称: 'ABC', 股东: { 甲: { 国籍: '中国' }, 说明: '—' } } });
  assert.deepEqual(
    found.map((block) => (block.type === 'paragraph' ? '' : block.title)),
    ['企业', '企业 / 股东', '企业 / 股东 / 甲'],
  );
  let deep: unknown = '底';
  for (let level = 0; level < 5000; level += 1) deep = { 层: deep };
  const flat = blocks({ 深: deep });
  assert.equal(flat.length, 1);
  assert.match(pairs(flat)[0]?.rows[0]?.value ?? '', /^层：/);
});

test('blocks: what a bank files is printed whole: rows, columns, long values, lists, nested objects', () => {
  const rows = Array.from({ length: 3000 }, (_, index) => ({ 序号: index, 名称: `第${index}项` }));
  const wide = Object.fromEntries(Array.from({ length: 60 }, (_, index) => [`列${index}`, index]));
  const nested = Object.fromEntries(
    Array.from({ length: 500 }, (_, index) => [`子${index}`, { 深: { 值: `v${index}` } }]),
  );
  const found = blocks({
    明细: rows,
    宽表: [wide, wide],
    文: '长'.repeat(20_000),
    列表: Array.from({ length: 1500 }, (_, index) => `项${index}`),
    嵌套: nested,
  });
  assert.deepEqual(notes(found), []);
  assert.deepEqual(
    tables(found)
      .map(({ head, rows: all }) => [head.length, all.length])
      .slice(0, 2),
    [
      [2, 3000],
      [60, 2],
    ],
  );
  const text = JSON.stringify(found);
  for (const part of ['长'.repeat(20_000), '项1499', 'v499', '第2999项'])
    assert.ok(text.includes(part), part.slice(0, 9));
});

test('blocks: beyond the limits data is cut and the note says how much was left out', () => {
  const rows = Array.from({ length: 8000 }, (_, index) => ({ 序号: index }));
  const found = blocks({ 明细: rows });
  assert.equal(tables(found)[0]?.rows.length, limits.rows);
  assert.match(notes(found)[0] ?? '', /共 8,000 行.*3,000 行/);
  const wide = blocks(Object.fromEntries(Array.from({ length: 6000 }, (_, index) => [`键${index}`, index])));
  assert.equal(pairs(wide)[0]?.rows.length, limits.entries);
  assert.match(notes(wide)[0] ?? '', /1,000 项/);
  const long = blocks({ 文: '长'.repeat(100_000) });
  assert.match(pairs(long)[0]?.rows[0]?.value ?? '', /80,000 字/);
  const shared = blocksFromData({ 明细: rows }, { ...zh, share: 0.01 });
  assert.equal(tables(shared)[0]?.rows.length, (limits.cells * 0.01) / limits.cellsOfRow);
  assert.match(notes(shared)[0] ?? '', /共 8,000 行/);
});

test('blocks: __proto__, constructor and $ keys are ordinary names and change nothing', () => {
  const data = JSON.parse(
    '{"__proto__":{"polluted":1},"constructor":{"prototype":{"x":1}},"$where":"1","a.b":2,"营业":{"__proto__":5,"2022":1,"2023":2}}',
  );
  const text = JSON.stringify(blocks(data));
  for (const name of ['__proto__', 'polluted', 'constructor', '$where', 'a.b']) assert.ok(text.includes(name), name);
  assert.equal(({} as Record<string, unknown>).polluted, undefined);
  assert.equal(Object.getPrototypeOf(Object.prototype), null);
});

test('facts: a series gives change, compound growth, last change and extremes with the figures used', () => {
  const facts = factsFromData({ '营业收入(亿元)': { 2019: 888.54, 2020: 979.93, 2023: 1505.6 } }, { language: 'zh' });
  const of = (kind: string) => facts.find((fact) => fact.kind === kind);
  assert.equal(of('change')?.text, '营业收入由2019年的888.54亿元增至2023年的1,505.60亿元，增长69.45%');
  assert.deepEqual(of('change')?.figures, [
    { label: '2019', value: 888.54, text: '888.54' },
    { label: '2023', value: 1505.6, text: '1,505.60' },
  ]);
  assert.equal(of('growth')?.value, Math.round(((1505.6 / 888.54) ** (1 / 4) - 1) * 10_000) / 100);
  assert.match(of('latest')?.text ?? '', /由2020年的979.93亿元增至2023年的1,505.60亿元，增长53.64%/);
  assert.match(of('extremes')?.text ?? '', /最高为2023年的1,505.60亿元，最低为2019年的888.54亿元/);
});

test('facts: a unit among other remarks in brackets is found, the remarks stay with the name', () => {
  const [change] = factsFromData(
    { '每10股分红\uff08含税\uff0c元\uff09': { 2022: 259.11, 2023: 308.76 } },
    { language: 'zh' },
  );
  assert.match(change?.text ?? '', /^每10股分红\uff08含税\uff09由2022年的259.11元增至2023年的308.76元/);
});

test('facts: percentages change by points, and no percentage is formed from zero or below', () => {
  const facts = factsFromData(
    { 资产负债率: { 2022: '19.42%', 2023: '17.98%' }, 现金流: { 2022: -5, 2023: 7 } },
    { language: 'zh' },
  );
  const changes = facts.filter((fact) => fact.kind === 'change');
  assert.deepEqual(
    changes.map((fact) => fact.text),
    ['资产负债率由2022年的19.42%降至2023年的17.98%，下降1.44个百分点'],
  );
  const english = factsFromData({ Revenue: { 2021: 100, 2022: 110, 2023: 121 } }, { language: 'en' });
  assert.ok(
    english.some((fact) => fact.text === 'Revenue grew at a compound annual rate of 10% from 2021 to 2023 (2 years)'),
  );
});

const sizeOf = (found: Block[]) => JSON.stringify(found).length;
const hostileKeys = fc.constantFrom(
  '__proto__',
  'constructor',
  'toString',
  '$gt',
  '',
  '2022',
  '2023',
  '2023Q1',
  '1月',
  '单位',
  '\ud800',
  '占比',
);
const hostileJson = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 6, withCrossShrink: true },
    fc.oneof(
      fc.double(),
      fc.integer(),
      fc.boolean(),
      fc.constant(null),
      fc.string({ unit: 'binary' }),
      fc.constantFrom('1,234.56', '12.3%', '1.2亿', '—', '(5)', '2023年', '\ud83d', '\u0000', '85.99%'),
    ),
    fc.array(tie('value'), { maxLength: 8 }),
    fc.dictionary(fc.oneof(hostileKeys, fc.string()), tie('value'), { maxKeys: 8 }),
  ),
})).value;

test('property: any JSON gives bounded, JSON-safe, repeatable blocks and facts, and never throws', () => {
  fc.assert(
    fc.property(hostileJson, fc.constantFrom('zh' as const, 'en' as const), (data, language) => {
      const found = blocksFromData(data, { ref: 'D1', language });
      const facts = factsFromData(data, { language });
      assert.deepEqual(JSON.parse(JSON.stringify(found)), found);
      assert.deepEqual(blocksFromData(data, { ref: 'D1', language }), found);
      assert.ok(sizeOf(found) < 400_000);
      assert.ok(facts.length <= limits.facts);
      for (const fact of facts) assert.ok([...fact.text].length <= limits.factChars);
      for (const chart of charts(found)) {
        for (const { values } of chart.series) {
          assert.equal(values.length, chart.categories.length);
          assert.ok(values.every((value) => value === null || Number.isFinite(value)));
        }
      }
    }),
    { numRuns: 400 },
  );
});

test('blocks: data of megabytes stays within the limits, in one pass', async () => {
  const record = Object.fromEntries(Array.from({ length: 300 }, (_, index) => [`列${index}`, '文'.repeat(200)]));
  const data = Object.fromEntries(
    Array.from({ length: 150 }, (_, index) => [`表${index}`, Array.from({ length: 300 }, () => record)]),
  );
  const found = await inOnePass(() => blocks(data));
  assert.ok(found.length <= limits.parts * 8);
  assert.ok(sizeOf(found) < 3 * limits.chars, `${sizeOf(found)}`);
  assert.match(notes(found).at(-1) ?? '', /未在此列出/);
});

test('blocks: the same period in two spellings is one column, and every value stands in it', () => {
  const found = blocks({
    '营业收入(亿元)': { '2021年': 10, '2022年': 12, '2023年': 15 },
    '净利润(亿元)': { 2021: 1, 2022: 2, '2023年度': 3 },
    '总资产(亿元)': { FY2021: 100, 2022: 110, '2023年': 120 },
  });
  assert.deepEqual(tables(found)[0]?.head, ['项目', '2021年', '2022年', '2023年']);
  assert.deepEqual(tables(found)[0]?.rows, [
    ['营业收入(亿元)', '10', '12', '15'],
    ['净利润(亿元)', '1', '2', '3'],
    ['总资产(亿元)', '100', '110', '120'],
  ]);
  for (const chart of charts(found)) {
    assert.deepEqual(chart.categories, ['2021年', '2022年', '2023年']);
    assert.ok(chart.series.every(({ values }) => values.every((value) => value !== null)));
  }
  const twice = JSON.stringify(blocks({ 收入: { 2021: 11.5, '2021年': 22.5 }, 利润: { 2021: 33, 2022: 44 } }));
  for (const value of ['11.5', '22.5', '33', '44']) assert.ok(twice.includes(`"${value}"`), value);
});

test('blocks: measures of different kinds never share an axis, whether their units are written or not', () => {
  const found = blocks({
    营业收入: { 2021: 90, 2022: 95 },
    毛利率: { 2021: 91.5, 2022: 91.9 },
    员工人数: { 2021: 88, 2022: 93 },
    流动比率: { 2021: 60, 2022: 61 },
    净利润: { 2021: 40, 2022: 44 },
    每股收益: { 2021: 39, 2022: 41 },
    应收账款周转天数: { 2021: 39, 2022: 41 },
  });
  const axes = charts(found).map(({ series }) => series.map(({ name }) => name));
  assert.deepEqual(axes.slice(0, 4), [['营业收入', '净利润'], ['毛利率'], ['员工人数'], ['流动比率']]);
  const rows = blocks({
    经营: [
      { 年度: '2021', '收入（亿元）': 90, 毛利率: '91%', 门店数量: 80 },
      { 年度: '2022', '收入（亿元）': 95, 毛利率: '92%', 门店数量: 85 },
    ],
  });
  assert.deepEqual(
    charts(rows).map(({ series, unit }) => [unit ?? '', ...series.map(({ name }) => name)]),
    [
      ['亿元', '收入'],
      ['%', '毛利率'],
      ['', '门店数量'],
    ],
  );
});

test('facts: a rate without its sign has no change in percent', () => {
  const facts = factsFromData({ 毛利率: { 2021: 40, 2022: 41, 2023: 43 } }, { language: 'zh' });
  assert.deepEqual(
    facts.filter(({ kind }) => kind !== 'value').map(({ kind }) => kind),
    ['extremes'],
  );
});
