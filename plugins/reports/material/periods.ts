export type PeriodKind = 'year' | 'half' | 'quarter' | 'month' | 'day';

export interface Period {
  kind: PeriodKind;
  /** Its end in years, for the order: 2023 is 2024, 2023Q1 is 2023.25. Without a year the part of one year alone. */
  at: number;
  /** Calendar year, when the label has one. */
  year?: number;
}

const ordinals: Record<string, number> = { 一: 1, 二: 2, 三: 3, 四: 4, 五: 5, 六: 6, 七: 7, 八: 8, 九: 9, 十: 10 };
const months = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const year = String.raw`(?:FY\s?)?((?:19|20)\d{2})`;
const patterns = {
  year: new RegExp(String.raw`^${year}\s*(?:年度?|年末|年底|财年|年报|FY|A|E)?$`, 'i'),
  half: new RegExp(String.raw`^${year}\s*[-年/.]?\s*(?:H([12])|([上下])半年|(半年度?|中期|半年报))$`, 'i'),
  quarter: new RegExp(String.raw`^(?:${year}\s*[-年/.]?\s*)?(?:Q([1-4])|第?([1-4一二三四])季度?)$`, 'i'),
  quarters: new RegExp(String.raw`^${year}\s*年?\s*(?:前三季度|1-9月)$`),
  month: new RegExp(String.raw`^${year}\s*[-年/.]\s*(\d{1,2})\s*月?末?$`),
  compactMonth: /^((?:19|20)\d{2})(0[1-9]|1[0-2])$/,
  day: new RegExp(String.raw`^${year}\s*[-年/.]\s*(\d{1,2})\s*[-月/.]\s*(\d{1,2})\s*日?$`),
  bareMonth: /^(\d{1,2}|十[一二]?|[一二三四五六七八九])月份?$/,
};

/** Reads a label such as 2023, 2023年度, 2023Q1, 2023年第一季度, 2023年上半年, 2023-06, 6月 or 2023-12-31. */
export function readPeriod(label: string): Period | undefined {
  if (label.length > 24) return undefined;
  const text = label.normalize('NFKC').trim();
  const whole = patterns.year.exec(text);
  if (whole) return at('year', whole[1], 1);
  const half = patterns.half.exec(text);
  if (half) return at('half', half[1], half[2] === '2' || half[3] === '下' ? 1 : 0.5);
  const quarter = patterns.quarter.exec(text);
  if (quarter) return at('quarter', quarter[1], small(quarter[2] ?? quarter[3]) / 4);
  const quarters = patterns.quarters.exec(text);
  if (quarters) return at('quarter', quarters[1], 0.75);
  const month = patterns.month.exec(text) ?? patterns.compactMonth.exec(text);
  if (month) return within(Number(month[2]), 12) ? at('month', month[1], Number(month[2]) / 12) : undefined;
  const day = patterns.day.exec(text);
  if (day) {
    const [, ofYear, monthText, dayText] = day;
    if (!within(Number(monthText), 12) || !within(Number(dayText), 31)) return undefined;
    return at('day', ofYear, (Number(monthText) - 1) / 12 + Number(dayText) / 372);
  }
  const bare = patterns.bareMonth.exec(text);
  if (bare && within(small(bare[1]), 12)) return at('month', undefined, small(bare[1]) / 12);
  const english = months.indexOf(text.slice(0, 3).toLowerCase());
  if (english >= 0 && /^[a-z]{3,9}\.?$/i.test(text)) return at('month', undefined, (english + 1) / 12);
  return undefined;
}

function at(kind: PeriodKind, yearText: string | undefined, part: number): Period {
  if (yearText === undefined) return { kind, at: part };
  return { kind, at: Number(yearText) + part, year: Number(yearText) };
}

const within = (value: number, max: number): boolean => value >= 1 && value <= max;

function small(text: string | undefined): number {
  if (text === undefined) return 0;
  if (/^\d+$/.test(text)) return Number(text);
  return [...text].reduce((sum, character) => sum + (ordinals[character] ?? 0), 0);
}

/** Reads labels as one time axis: all are periods, none twice, all with a year or all without. */
export function readPeriods(labels: string[]): Period[] | undefined {
  if (labels.length < 2 || labels.length > 400) return undefined;
  const periods: Period[] = [];
  const seen = new Set<number>();
  for (const label of labels) {
    const period = readPeriod(label);
    if (!period || seen.has(period.at)) return undefined;
    if (periods[0] && (periods[0].year === undefined) !== (period.year === undefined)) return undefined;
    seen.add(period.at);
    periods.push(period);
  }
  return periods;
}

/** The finest kind of a time axis: years with one quarter at the end count as quarters. */
export function axisKind(periods: Period[]): PeriodKind {
  const order: PeriodKind[] = ['day', 'month', 'quarter', 'half', 'year'];
  return order.find((kind) => periods.some((period) => period.kind === kind)) ?? 'year';
}

/** The same for every spelling of a period: 2021, 2021年 and FY2021; other texts stay as they are. */
export function periodKey(label: string): string {
  const period = readPeriod(label);
  return period ? `${period.kind} ${period.year === undefined ? 'any ' : ''}${period.at}` : label;
}
