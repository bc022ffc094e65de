/** One value of a series, as it stands in the source. */
export interface Point {
  /** `2021`, `2023年末`, `2024-06`. */
  period: string;
  /** Figure and unit, unchanged. */
  text: string;
  /** Missing when the text is not a number (不适用). */
  number?: number;
  unit: string;
}

const PERIOD =
  '(?:19|20)\\d{2}(?:\\s*年(?:度|末|底|初|上半年|下半年|前三季度|第?[一二三四1-4]季度|\\d{1,2}月(?:\\d{1,2}日|末|底)?)?|[-./](?:0?[1-9]|1[0-2])(?:[-./]\\d{1,2})?|\\s?[QHqh][1-4])?';
const PERIOD_ONLY = new RegExp(`^${PERIOD}$`);
const POINT = new RegExp(`^(${PERIOD})(?:\\s*[:：=]\\s*|\\s+|(?<=\\p{Script=Han})\\s*)(.+)$`, 'u');
const NUMBER = /^\(?([-+−]?)\s*[¥￥$€£]?\s*(\d[\d,]*(?:\.\d+)?)\)?/;
const NO_NUMBER = /^(?:无|不适用|未披露|暂无|n\/a|-|—)$/i;

export const isPeriod = (text: string): boolean => PERIOD_ONLY.test(text.trim());

/** The point of a period, or nothing when the text is not a figure. */
export const toPoint = (period: string, text: string): Point | undefined => {
  const value = text.trim();
  const match = NUMBER.exec(value);
  if (!match) return NO_NUMBER.test(value) ? { period: period.trim(), text: value, unit: '' } : undefined;
  const size = Number((match[2] ?? '').replaceAll(',', ''));
  const negative = match[1] === '-' || match[1] === '−' || value.startsWith('(');
  const unit = value.slice(match[0].length).trim();
  // A sentence that happens to begin with a figure is not a point of a series.
  if (unit.length > 20 || /[。！？]/.test(unit)) return undefined;
  return { period: period.trim(), text: value, number: negative ? -size : size, unit };
};

/** Reads `2021 1,094.64 亿元；2022 1,275.54 亿元`; nothing when any part is something else. */
export const parseSeries = (value: string): Point[] | undefined => {
  const parts = value
    .split(/[；;]|[，,、]\s*(?=(?:19|20)\d{2}(?!\d))/)
    .map((part) => part.trim())
    .filter((part) => part !== '');
  const points = parts.map((part) => {
    const match = POINT.exec(part);
    return match?.[1] !== undefined && match[2] !== undefined ? toPoint(match[1], match[2]) : undefined;
  });
  return points.length > 0 && points.every((point) => point !== undefined) ? inOrder(points) : undefined;
};

/** Oldest first; sources often put the latest year first. */
export const inOrder = (points: Point[]): Point[] =>
  points.every(({ period }) => /^\d{4}/.test(period))
    ? points.toSorted((a, b) => (a.period < b.period ? -1 : a.period > b.period ? 1 : 0))
    : points;

export type Trend = 'rising' | 'falling' | 'level' | 'above' | 'below' | 'to_profit' | 'to_loss';

/** What can be said of the direction without computing a figure; nothing when units differ or a value is missing. */
export const trendOf = (points: readonly Point[]): Trend | undefined => {
  const numbers = points.map(({ number }) => number).filter((number) => number !== undefined);
  const [first] = numbers;
  const last = numbers.at(-1);
  if (numbers.length < 2 || numbers.length < points.length || first === undefined || last === undefined)
    return undefined;
  if (points.some(({ unit }) => unit !== points[0]?.unit)) return undefined;
  if (first < 0 && last > 0) return 'to_profit';
  if (first > 0 && last < 0) return 'to_loss';
  const steps = numbers.slice(1).map((number, at) => number - (numbers[at] ?? number));
  if (steps.every((step) => step === 0)) return 'level';
  if (steps.every((step) => step > 0)) return 'rising';
  if (steps.every((step) => step < 0)) return 'falling';
  if (first === last) return undefined;
  return last > first ? 'above' : 'below';
};

const year = (period: string): number | undefined =>
  /^\d{4}(?:年度?)?$/.test(period) ? Number(period.slice(0, 4)) : undefined;

/** Years without a gap can be named by the first and the last one. */
export const consecutiveYears = (periods: readonly string[]): boolean =>
  periods.length > 2 &&
  periods.every((period, at) => year(period) !== undefined && year(period) === (year(periods[0] ?? '') ?? 0) + at);

const NAMED_UNIT =
  /[（(]\s*(?:单位\s*[:：]?\s*)?((?:百万|千万|万亿|[千百万亿])?(?:元|美元|港元|欧元|日元|股|吨|千克|公斤|升|千升|人|户|家|个|件|台|套|辆|次|笔|天|年|倍|平方米|亩)|%|％)\s*[）)]\s*$/;

/** Splits `总股本（股）` into the name and the unit of its figures. */
export const splitUnit = (name: string): { name: string; unit: string } => {
  const unit = NAMED_UNIT.exec(name)?.[1];
  return unit === undefined ? { name, unit: '' } : { name: name.replace(NAMED_UNIT, '').trim(), unit };
};

/** The figure with the unit that its name or heading states; what has a unit or is no plain figure stays. */
export const withUnit = (text: string, unit: string): string =>
  unit !== '' && /^[-+−]?\d[\d,]*(?:\.\d+)?$/.test(text) ? `${text}${unit}` : text;
