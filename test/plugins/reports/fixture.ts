import type { Block, ReportDocument, ReportSection } from '../../../plugins/reports/render/document.ts';

const years = ['2019年', '2020年', '2021年', '2022年', '2023年'];

function financeBlocks(chapter: number, ref: string): Block[] {
  const revenue = years.map((_, index) => 888.54 + index * 154.2 + chapter);
  const profit = revenue.map((value) => value * 0.47);
  return [
    {
      type: 'paragraph',
      text: `企业近五年营业收入由${revenue[0]?.toFixed(2)}亿元增至${revenue[4]?.toFixed(2)}亿元[${ref}]，盈利能力保持稳定，毛利率维持在90%以上；经营活动现金流量净额与净利润基本匹配。根据公开披露的年度报告，企业不存在逾期债务，对外担保余额为零，或有负债风险较低。`,
      refs: [ref],
    },
    {
      type: 'table',
      title: `主要财务指标（第${chapter}组）`,
      head: ['项目', ...years],
      rows: [
        ['营业收入（亿元）', ...revenue.map((value) => value.toFixed(2))],
        ['归属于母公司股东的净利润（亿元）', ...profit.map((value) => value.toFixed(2))],
        ['资产负债率', '22.49%', '21.40%', '22.81%', '19.42%', '17.98%'],
      ],
      ref,
    },
    {
      type: 'chart',
      kind: 'bar',
      title: '营业收入与净利润',
      categories: years,
      series: [
        { name: '营业收入', values: revenue },
        { name: '归母净利润', values: profit },
      ],
      unit: '亿元',
      ref,
    },
  ];
}

function chapter(number: number): ReportSection {
  const ref = `D${number}`;
  return {
    id: `chapter-${number}`,
    title: number === 1 ? '企业基本信息' : `财务状况分析（${number}）`,
    blocks: [
      {
        type: 'keyValues',
        title: '基本信息',
        rows: [
          { label: '企业名称', value: '贵州茅台酒股份有限公司' },
          { label: '统一社会信用代码', value: '91110000000000000X' },
          { label: '注册资本', value: '1,256,197,800.00' },
          {
            label: '经营范围',
            value: '白酒及系列产品的生产与销售；饮料、食品、包装材料的生产与销售；防伪技术开发。'.repeat(2),
          },
        ],
        ref,
      },
    ],
    children: [
      { id: `finance-${number}`, title: '收入与利润', blocks: financeBlocks(number, ref), children: [] },
      {
        id: `shares-${number}`,
        title: '构成',
        blocks: [
          {
            type: 'chart',
            kind: 'pie',
            title: '分产品收入构成',
            categories: ['茅台酒', '系列酒'],
            series: [{ name: '占比', values: [85.99, 14.01] }],
            unit: '%',
            ref,
          },
          {
            type: 'chart',
            kind: 'line',
            title: '月度销量',
            categories: Array.from({ length: 12 }, (_, month) => `${month + 1}月`),
            series: [
              {
                name: '销量',
                values: Array.from({ length: 12 }, (_, month) => 1_200_000 + ((month * 37) % 11) * 51_000),
              },
            ],
            unit: '瓶',
            ref,
          },
        ],
        children: [],
      },
    ],
  };
}

/** A report with the given number of chapters; each has key/values, a table, three charts and text. */
export function sampleReport(chapters: number): ReportDocument {
  return {
    title: '贵州茅台酒股份有限公司贷前调查报告',
    taskName: '贷前调查报告',
    description: '某企业贷前调查',
    language: 'zh',
    createdAt: '2024-04-03T08:30:00.000Z',
    parameters: [
      { label: 'enterpriseId', value: '600519' },
      { label: 'reportType', value: 'PRE_LOAN_INVESTIGATION' },
    ],
    notice: '本报告正文由离线摘录生成，未使用大语言模型。',
    sections: Array.from({ length: chapters }, (_, index) => chapter(index + 1)),
    sources: Array.from({ length: chapters }, (_, index) => ({
      ref: `D${index + 1}`,
      title: index === 0 ? '企业基本信息' : `财务状况分析（${index + 1}）`,
      knowledgeUnitId: `ku_${String(index + 1).padStart(3, '0')}`,
      packageId: `package_${index + 1}`,
      source: '2023年年度报告（上海证券交易所）',
      queryTime: '2024-04-03',
      confirmer: '张三（user_123）',
      confirmTime: '2024-04-03 09:00',
      details: [{ label: 'url', value: 'https://www.sse.com.cn/' }],
    })),
  };
}
