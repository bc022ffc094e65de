/**
 * The demo's data set: published figures of Kweichow Moutai Co., Ltd. (Shanghai Stock Exchange, 600519), taken from its
 * annual reports 2019 to 2023, rounded to 亿元 with two decimals as the reports' own summaries are quoted. Each package
 * names the reports its figures come from. The assessment in the texts is written for the demo and is no advice.
 */

export interface DemoNode {
  nodeId: string;
  chapterNumber?: string;
  title: string;
  knowledgeUnitId?: string;
  sortOrder?: number;
  children?: DemoNode[];
}

/** Bodies of the reports API, in the order a client sends them. */
export interface DemoData {
  task: { taskName: string; description: string; parameters: Record<string, string> };
  outline: { title: string; type: 'LEVEL1' | 'LEVEL2'; rootNode: DemoNode };
  packages: {
    knowledgeUnitId: string;
    autoData: Record<string, unknown>;
    manualData: string;
    dataSources: Record<string, string>;
  }[];
  report: { title: string };
}

const sse = '上海证券交易所';
const company = '贵州茅台酒股份有限公司';
const report2023 = `${company}2023年年度报告`;
const reports = `${company}2019年至2023年各年年度报告`;
const published = '2024-04-03';
const years = ['2019年', '2020年', '2021年', '2022年', '2023年'];

/** One value per year, 2019 first; fewer values end with 2023. */
const byYear = (...values: (number | string)[]): Record<string, number | string> =>
  Object.fromEntries(values.map((value, index) => [years[years.length - values.length + index], value]));

export const demoData: DemoData = {
  task: {
    taskName: '贵州茅台贷前调查',
    description: '对贵州茅台酒股份有限公司流动资金贷款申请的贷前调查，依据公开披露的年度报告。',
    parameters: { enterpriseId: '600519', reportType: 'PRE_LOAN_INVESTIGATION', 调查期间: '2019年至2023年' },
  },
  outline: {
    title: '贷前调查报告大纲',
    type: 'LEVEL2',
    rootNode: {
      nodeId: 'root',
      title: '贷前调查报告',
      children: [
        { nodeId: 'basic', chapterNumber: '1', title: '企业基本信息', knowledgeUnitId: 'ku_basic', sortOrder: 1 },
        {
          nodeId: 'ownership',
          chapterNumber: '2',
          title: '股权结构与公司治理',
          sortOrder: 2,
          children: [
            { nodeId: 'holders', chapterNumber: '2.1', title: '股权结构', knowledgeUnitId: 'ku_holders', sortOrder: 1 },
            {
              nodeId: 'governance',
              chapterNumber: '2.2',
              title: '公司治理与审计',
              knowledgeUnitId: 'ku_governance',
              sortOrder: 2,
            },
          ],
        },
        {
          nodeId: 'business',
          chapterNumber: '3',
          title: '主营业务',
          sortOrder: 3,
          children: [
            {
              nodeId: 'products',
              chapterNumber: '3.1',
              title: '产品结构与产量',
              knowledgeUnitId: 'ku_products',
              sortOrder: 1,
            },
            {
              nodeId: 'channels',
              chapterNumber: '3.2',
              title: '销售渠道',
              knowledgeUnitId: 'ku_channels',
              sortOrder: 2,
            },
          ],
        },
        {
          nodeId: 'finance',
          chapterNumber: '4',
          title: '财务状况分析',
          sortOrder: 4,
          children: [
            { nodeId: 'income', chapterNumber: '4.1', title: '收入与利润', knowledgeUnitId: 'ku_income', sortOrder: 1 },
            {
              nodeId: 'costs',
              chapterNumber: '4.2',
              title: '税费与期间费用',
              knowledgeUnitId: 'ku_costs',
              sortOrder: 2,
            },
            {
              nodeId: 'balance',
              chapterNumber: '4.3',
              title: '资产与负债',
              knowledgeUnitId: 'ku_balance',
              sortOrder: 3,
            },
            { nodeId: 'returns', chapterNumber: '4.4', title: '股东回报', knowledgeUnitId: 'ku_returns', sortOrder: 4 },
          ],
        },
        { nodeId: 'cash', chapterNumber: '5', title: '现金流分析', knowledgeUnitId: 'ku_cash', sortOrder: 5 },
        { nodeId: 'solvency', chapterNumber: '6', title: '偿债能力', knowledgeUnitId: 'ku_solvency', sortOrder: 6 },
        { nodeId: 'risk', chapterNumber: '7', title: '风险分析', knowledgeUnitId: 'ku_risk', sortOrder: 7 },
        {
          nodeId: 'conclusion',
          chapterNumber: '8',
          title: '调查结论与建议',
          knowledgeUnitId: 'ku_conclusion',
          sortOrder: 8,
        },
      ],
    },
  },
  packages: [
    {
      knowledgeUnitId: 'ku_basic',
      autoData: {
        企业名称: company,
        股票简称: '贵州茅台',
        股票代码: '600519',
        上市地点: `${sse}主板`,
        上市日期: '2001-08-27',
        成立日期: '1999-11-20',
        法定代表人: '丁雄军（2023年年度报告披露时）',
        '总股本（股）': 1256197800,
        '注册资本（元）': 1256197800,
        住所: '贵州省仁怀市茅台镇',
        所属行业: '酒、饮料和精制茶制造业',
        主要业务: '茅台酒及系列酒的生产与销售',
        控股股东: '中国贵州茅台酒厂（集团）有限责任公司',
        实际控制人: '贵州省人民政府国有资产监督管理委员会',
      },
      manualData:
        '企业为国有控股的白酒上市公司，主导产品为飞天53度500ml贵州茅台酒。企业设立以来主营业务未发生变更，经营主体存续时间超过二十年，符合本行授信客户的存续期要求。',
      dataSources: { source: report2023, 章节: '第二节 公司简介和主要财务指标', 披露场所: sse, queryTime: published },
    },
    {
      knowledgeUnitId: 'ku_holders',
      autoData: {
        报告期末: '2023-12-31',
        '总股本（股）': 1256197800,
        主要股东: [
          {
            股东名称: '中国贵州茅台酒厂（集团）有限责任公司',
            股东性质: '国有法人',
            '持股数量（股）': 679211576,
            持股比例: '54.07%',
          },
          {
            股东名称: '贵州省国有资本运营有限责任公司',
            股东性质: '国有法人',
            '持股数量（股）': 56996777,
            持股比例: '4.54%',
          },
          {
            股东名称: '贵州茅台酒厂（集团）技术开发有限公司',
            股东性质: '国有法人',
            '持股数量（股）': 27812088,
            持股比例: '2.21%',
          },
          { 股东名称: '其他股东（按差额计算）', 股东性质: '—', '持股数量（股）': 492177359, 持股比例: '39.18%' },
        ],
      },
      manualData: '控股股东持股比例超过50%，控制权稳定。集团技术开发公司为控股股东的关联方。',
      dataSources: { source: report2023, 章节: '第七节 股份变动及股东情况', 披露场所: sse, queryTime: published },
    },
    {
      knowledgeUnitId: 'ku_governance',
      autoData: {
        董事长: '丁雄军（2023年年度报告披露时）',
        董事会秘书: '蒋焰',
        审计机构: '天职国际会计师事务所（特殊普通合伙）',
        审计意见: '标准无保留意见',
        治理结构: '股东大会、董事会、监事会及经营管理层',
        会计年度: '公历1月1日至12月31日',
      },
      manualData:
        '年度报告经会计师事务所审计并出具标准无保留意见，财务数据可以作为授信分析的依据。董事长等关键人员变动应列入贷后关注事项。',
      dataSources: {
        source: report2023,
        章节: '第四节 公司治理；第十节 财务报告',
        披露场所: sse,
        queryTime: published,
      },
    },
    {
      knowledgeUnitId: 'ku_products',
      autoData: {
        '分产品营业收入（亿元）': {
          茅台酒: byYear(758.02, 848.31, 934.65, 1078.34, 1265.89),
          系列酒: byYear(95.42, 99.91, 125.95, 159.39, 206.3),
        },
        '2023年酒类收入构成': { 茅台酒: '85.99%', 系列酒: '14.01%' },
        分产品毛利率: {
          茅台酒: byYear('94.03%', '94.19%', '94.12%'),
          系列酒: byYear('73.69%', '77.22%', '79.76%'),
        },
        '茅台酒基酒产量（万吨）': byYear(4.99, 5.02, 5.65, 5.68, 5.72),
      },
      manualData:
        '茅台酒是企业收入和利润的主要来源，系列酒近年增速高于茅台酒，收入结构逐步多元。茅台酒生产周期较长，当年基酒经多年贮存后才可上市，产量对以后年度的可供销售量有前置影响。',
      dataSources: {
        source: reports,
        章节: '经营情况讨论与分析（主营业务分产品情况）',
        披露场所: sse,
        queryTime: published,
      },
    },
    {
      knowledgeUnitId: 'ku_channels',
      autoData: {
        '分渠道营业收入（亿元）': {
          直销: byYear(132.4, 240.29, 493.79, 672.33),
          批发代理: byYear(815.82, 820.3, 743.94, 799.86),
        },
        '2023年渠道构成': { 直销: '45.67%', 批发代理: '54.33%' },
      },
      manualData:
        '直销收入占比持续提高，“i茅台”等数字营销平台于2022年上线后，企业对终端价格和客户的掌握能力增强。批发代理渠道一般采用预收货款方式结算，应收账款规模很小。',
      dataSources: {
        source: `${company}2020年至2023年各年年度报告`,
        章节: '经营情况讨论与分析（按销售渠道分类）',
        披露场所: sse,
        queryTime: published,
        计算说明: '渠道构成由分渠道收入计算',
      },
    },
    {
      knowledgeUnitId: 'ku_income',
      autoData: {
        单位: '亿元',
        营业总收入: byYear(888.54, 979.93, 1094.64, 1275.54, 1505.6),
        营业收入: byYear(854.3, 949.15, 1061.9, 1241, 1476.94),
        营业利润: byYear(590.41, 666.35, 747.51, 878.8, 1037.09),
        利润总额: byYear(587.83, 661.97, 745.28, 877.01, 1036.63),
        净利润: byYear(439.7, 495.23, 557.21, 653.75, 775.21),
        归属于上市公司股东的净利润: byYear(412.06, 466.97, 524.6, 627.16, 747.34),
      },
      manualData:
        '企业收入与利润连续五年同步增长，增长主要来自产品结构改善与直销占比提升。利润以主营业务利润为主，对投资收益和政府补助依赖度低，盈利质量较好。',
      dataSources: { source: reports, 章节: '合并利润表', 披露场所: sse, queryTime: published },
    },
    {
      knowledgeUnitId: 'ku_costs',
      autoData: {
        单位: '亿元',
        税金及附加: byYear(127.33, 138.87, 153.04, 184.96, 222.34),
        销售费用: byYear(32.79, 25.48, 27.37, 32.98, 46.49),
        管理费用: byYear(61.68, 67.9, 84.5, 90.12, 97.29),
        财务费用: byYear(0.07, -2.35, -9.35, -13.92, -17.9),
      },
      manualData: '财务费用自2020年起为净收益，主要为存款利息收入，说明企业资金充裕，对外部有息融资没有依赖。',
      dataSources: { source: reports, 章节: '合并利润表', 披露场所: sse, queryTime: published },
    },
    {
      knowledgeUnitId: 'ku_balance',
      autoData: {
        '资产负债主要科目（亿元）': {
          资产总计: byYear(1830.42, 2133.96, 2551.68, 2543.65, 2727),
          货币资金: byYear(132.52, 360.91, 518.1, 582.74, 690.7),
          存货: byYear(252.85, 288.69, 333.94, 388.24, 464.35),
          固定资产: byYear(151.44, 162.25, 174.72, 197.43, 199.09),
          负债合计: byYear(411.66, 456.75, 582.11, 494, 490.43),
          归属于上市公司股东的净资产: byYear(1360.1, 1613.23, 1895.39, 1975.07, 2156.69),
        },
        '合同负债（亿元）': { '2020年': 133.22, '2021年': 127.18, '2022年': 154.72, '2023年': 141.26 },
      },
      manualData:
        '存货主要为在产品和贮存中的基酒，变现时间长但减值风险低。合同负债为经销商预付货款，是负债的重要组成部分，不构成刚性兑付压力。2022年末资产总额较上年末略有下降，与当年实施特别分红有关。',
      dataSources: {
        source: reports,
        章节: '合并资产负债表',
        披露场所: sse,
        queryTime: published,
        口径: '各年年度报告首次披露数',
      },
    },
    {
      knowledgeUnitId: 'ku_returns',
      autoData: {
        加权平均净资产收益率: byYear('33.09%', '31.41%', '29.90%', '30.26%', '34.19%'),
        '基本每股收益（元）': byYear(32.8, 37.17, 41.76, 49.93, 59.49),
        '每10股年度现金分红（含税，元）': byYear(170.25, 192.93, 216.75, 259.11, 308.76),
      },
      manualData:
        '企业分红水平高，除年度分红外，2022年和2023年另实施特别分红。授信期内应关注大额分红对现金储备的影响。',
      dataSources: {
        source: reports,
        章节: '第二节 公司简介和主要财务指标；利润分配方案',
        披露场所: sse,
        queryTime: published,
      },
    },
    {
      knowledgeUnitId: 'ku_cash',
      autoData: {
        '现金流量净额（亿元）': {
          经营活动: byYear(452.11, 516.69, 640.29, 366.99, 665.93),
          投资活动: byYear(-31.66, -18.05, -55.62, -55.37, -97.24),
          筹资活动: byYear(-192.84, -241.28, -265.64, -574.25, -588.89),
        },
      },
      manualData:
        '2019年至2021年经营活动现金流量净额高于当年归属于上市公司股东的净利润，2022年和2023年低于当年净利润。按年度报告说明，2022年下降主要与控股子公司财务公司的客户存款及同业款项变动有关，销售回款未见明显恶化。筹资活动净流出以现金分红为主。',
      dataSources: { source: reports, 章节: '合并现金流量表', 披露场所: sse, queryTime: published },
    },
    {
      knowledgeUnitId: 'ku_solvency',
      autoData: {
        资产负债率: byYear('22.49%', '21.40%', '22.81%', '19.42%', '17.98%'),
        '负债合计（亿元）': byYear(411.66, 456.75, 582.11, 494, 490.43),
        '货币资金（亿元）': byYear(132.52, 360.91, 518.1, 582.74, 690.7),
      },
      manualData:
        '资产负债率处于低位并呈下降趋势，2022年起货币资金已高于负债合计。调查期间各年末合并资产负债表未列示短期借款和长期借款余额，现有债务以合同负债、应交税费和其他应付款等经营性负债为主，偿债能力强。',
      dataSources: {
        source: reports,
        章节: '合并资产负债表',
        披露场所: sse,
        queryTime: published,
        计算说明: '资产负债率由负债合计除以资产总计得出',
      },
    },
    {
      knowledgeUnitId: 'ku_risk',
      autoData: {
        风险清单: [
          {
            风险类别: '行业与政策',
            风险描述: '白酒消费受宏观经济、消费税政策及消费观念变化影响。',
            风险等级: '中',
            缓释措施: '品牌地位突出，产品供不应求；按季跟踪行业政策。',
          },
          {
            风险类别: '产品集中',
            风险描述: '茅台酒收入占酒类收入八成以上，单一产品依赖度高。',
            风险等级: '中',
            缓释措施: '系列酒占比逐年提高；关注批发价格走势。',
          },
          {
            风险类别: '产能与环境',
            风险描述: '生产依赖茅台镇产区的水源与气候，扩产受地理条件限制。',
            风险等级: '低',
            缓释措施: '基酒贮存量充足；关注环保投入与产能建设。',
          },
          {
            风险类别: '治理与人员',
            风险描述: '近年董事长更换较多，经营策略可能调整。',
            风险等级: '低',
            缓释措施: '国有控股，制度健全；重大人事变动后及时回访。',
          },
          {
            风险类别: '资金流出',
            风险描述: '现金分红规模大，可能降低现金储备。',
            风险等级: '低',
            缓释措施: '约定重大利润分配前书面告知本行。',
          },
        ],
      },
      manualData:
        '综合评价，企业信用风险低。主要关注点为产品集中度和行业景气变化，暂未发现影响还款能力的重大不利因素。',
      dataSources: { source: `客户经理根据${report2023}整理`, 整理人: '张三', queryTime: '2024-04-10' },
    },
    {
      knowledgeUnitId: 'ku_conclusion',
      autoData: {
        建议授信结论: '同意进入授信审批流程（演示）',
        建议授信品种: '流动资金贷款',
        还款来源: '经营活动现金流入',
        贷后检查频率: '每季度一次',
        限制性条件: ['资金用途不得违反监管规定', '重大利润分配前书面告知', '按季报送合并财务报表'],
      },
      manualData:
        '企业主营业务突出，盈利与现金创造能力强，资产负债率低，无有息银行借款余额，第一还款来源充足。\n建议在落实限制性条件的前提下提交审批。本结论为演示用途，不构成任何授信或投资建议。',
      dataSources: { source: '客户经理调查结论（演示）', 整理人: '张三', queryTime: '2024-04-10' },
    },
  ],
  report: { title: '贵州茅台酒股份有限公司贷前调查报告' },
};
