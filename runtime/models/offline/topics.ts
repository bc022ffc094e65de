export interface Topic {
  id: string;
  /** Opens the paragraph: 盈利方面，… */
  zh: string;
  en: string;
}

/** Tried from top to bottom, so the narrower topic stands first: 应收账款周转率 is turnover and not assets. */
const TOPICS: readonly (Topic & { pattern: RegExp })[] = [
  { id: 'basic', zh: '基本情况', en: 'basic data', pattern: /(?:代码|名称)$|股本|credit code/i },
  { id: 'turnover', zh: '营运效率', en: 'efficiency', pattern: /周转|turnover|days of/i },
  {
    id: 'cash',
    zh: '现金流',
    en: 'cash flow',
    pattern: /现金流|现金净|经营活动|投资活动|筹资活动|cash ?flow|free cash/i,
  },
  {
    id: 'solvency',
    zh: '偿债能力',
    en: 'solvency',
    pattern:
      /流动比率|速动比率|现金比率|利息保障|偿债|有息|资产负债率|产权比率|current ratio|quick ratio|coverage|leverage|gearing|debt/i,
  },
  {
    id: 'credit',
    zh: '信用与担保',
    en: 'credit',
    pattern:
      /征信|逾期|担保|授信|信用|评级|抵押|质押|欠税|纳税|贷款|借款|rating|guarant|collateral|overdue|loan|credit/i,
  },
  {
    id: 'legal',
    zh: '合规与诉讼',
    en: 'compliance',
    pattern: /诉讼|仲裁|被执行|处罚|失信|司法|违规|舆情|lawsuit|litigation|penalt|complian/i,
  },
  {
    id: 'people',
    zh: '人员与研发',
    en: 'people and research',
    pattern: /员工|人数|研发|专利|技术人员|employee|staff|headcount|r&d|research|patent/i,
  },
  {
    id: 'profit',
    zh: '经营规模与盈利',
    en: 'scale and profitability',
    pattern:
      /收入|营收|利润|毛利|净利|损益|收益|费用|成本|盈利|roe|roa|eps|revenue|sales|profit|income|margin|earning|expense|cost/i,
  },
  {
    id: 'ownership',
    zh: '股权与治理',
    en: 'ownership and governance',
    pattern: /股东|持股|实际控制|控股|股权|董事|监事|高管|总经理|治理|关联方|sharehold|owner|director|governance/i,
  },
  {
    id: 'business',
    zh: '业务与市场',
    en: 'business and market',
    pattern:
      /主营|产品|客户|供应商|市场|产能|产量|销量|订单|业务|渠道|竞争|product|customer|supplier|market|capacity|order/i,
  },
  {
    id: 'assets',
    zh: '资产与负债',
    en: 'assets and liabilities',
    pattern: /资产|负债|权益|存货|应收|应付|货币资金|商誉|asset|liabilit|equity|inventor|receivable|payable|goodwill/i,
  },
  {
    id: 'basic',
    zh: '基本情况',
    en: 'basic data',
    pattern:
      /名称|简称|代码|法定代表|法人|资本|实缴|成立|注册|住所|地址|地点|经营范围|行业|类型|登记|上市|股票|网址|电话|所属|name|code|capital|established|founded|registered|address|industry|listed|ticker|website/i,
  },
];

const OTHER: Topic = { id: 'other', zh: '', en: '' };

/** The topic of a fact by its name; a heading of the source wins. */
export const topicOf = (name: string, heading: string): Topic => {
  if (heading !== '') return { id: `heading:${heading}`, zh: heading, en: heading };
  return TOPICS.find(({ pattern }) => pattern.test(name)) ?? OTHER;
};
