import type { ReportLanguage } from './document.ts';

/** The renderers' own words. Everything else in a report comes from its document. */
export interface ReportLabels {
  contents: string;
  taskName: string;
  description: string;
  createdAt: string;
  notice: string;
  parameters: string;
  sources: string;
  sourcesIntro: string;
  /** Name of a data package in captions and links. */
  data: (ref: string) => string;
  page: (page: number, pages: number) => string;
  continued: string;
  /** Of a table whose columns do not fit side by side. */
  group: (group: number, groups: number) => string;
  table: (number: number, title: string) => string;
  chart: (number: number, title: string) => string;
  item: string;
  value: string;
  unit: (unit: string) => string;
  knowledgeUnit: string;
  packageId: string;
  source: string;
  queryTime: string;
  confirmer: string;
  confirmTime: string;
  share: string;
  noSources: string;
  emptySection: string;
  time: (iso: string) => string;
  /** A time of the appendix: of a date and a clock without a zone it says that they are UTC, as all times of the API are. */
  moment: (text: string) => string;
}

const withoutZone = /^\d{4}[-/.]\d{1,2}[-/.]\d{1,2}[T ]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?$/;

function utc(iso: string): { date: Date; clock: string } | undefined {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return undefined;
  return { date, clock: date.toISOString().slice(11, 16) };
}

const zh: ReportLabels = {
  contents: '目录',
  taskName: '任务名称',
  description: '任务说明',
  createdAt: '生成时间',
  notice: '说明',
  parameters: '任务参数',
  sources: '附录 资料来源',
  sourcesIntro: '正文、表格和图中以“资料 D1”“[D1]”等标记注明所用数据包，各数据包的来源、查询时间与确认情况如下。',
  data: (ref) => `资料 ${ref}`,
  page: (page, pages) => `第 ${page} 页 / 共 ${pages} 页`,
  continued: '（续）',
  group: (group, groups) => `（第 ${group} 组，共 ${groups} 组）`,
  table: (number, title) => `表 ${number} ${title}`.trim(),
  chart: (number, title) => `图 ${number} ${title}`.trim(),
  item: '项目',
  value: '内容',
  unit: (unit) => `单位：${unit}`,
  knowledgeUnit: '知识单元',
  packageId: '数据包编号',
  source: '来源',
  queryTime: '查询时间',
  confirmer: '确认人',
  confirmTime: '确认时间',
  share: '占比',
  noSources: '本报告没有使用已确认的数据包。',
  emptySection: '本章暂无内容。',
  time: (iso) => {
    const at = utc(iso);
    if (!at) return iso;
    return `${at.date.getUTCFullYear()}年${at.date.getUTCMonth() + 1}月${at.date.getUTCDate()}日 ${at.clock}（UTC）`;
  },
  moment: (text) => (withoutZone.test(text.trim()) ? `${text.trim().replace('T', ' ')}（UTC）` : text),
};

const en: ReportLabels = {
  contents: 'Contents',
  taskName: 'Task',
  description: 'Description',
  createdAt: 'Created',
  notice: 'Note',
  parameters: 'Parameters',
  sources: 'Appendix: Sources',
  sourcesIntro:
    'Marks such as “Data D1” and “[D1]” name the data package a statement, table or chart is based on. Source, query time and confirmation of each package:',
  data: (ref) => `Data ${ref}`,
  page: (page, pages) => `Page ${page} of ${pages}`,
  continued: ' (continued)',
  group: (group, groups) => ` (part ${group} of ${groups})`,
  table: (number, title) => `Table ${number} ${title}`.trim(),
  chart: (number, title) => `Figure ${number} ${title}`.trim(),
  item: 'Item',
  value: 'Value',
  unit: (unit) => `Unit: ${unit}`,
  knowledgeUnit: 'Knowledge unit',
  packageId: 'Data package',
  source: 'Source',
  queryTime: 'Query time',
  confirmer: 'Confirmed by',
  confirmTime: 'Confirmed at',
  share: 'Share',
  noSources: 'No confirmed data package was used in this report.',
  emptySection: 'This chapter has no content.',
  time: (iso) => {
    const at = utc(iso);
    if (!at) return iso;
    const day = at.date.toLocaleDateString('en-GB', {
      day: 'numeric',
      month: 'long',
      year: 'numeric',
      timeZone: 'UTC',
    });
    return `${day}, ${at.clock} UTC`;
  },
  moment: (text) => (withoutZone.test(text.trim()) ? `${text.trim().replace('T', ' ')} UTC` : text),
};

export const labelsOf = (language: ReportLanguage): ReportLabels => (language === 'en' ? en : zh);
