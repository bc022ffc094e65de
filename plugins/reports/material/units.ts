import { type Amount, isBlank, readAmount } from './values.ts';

const unitWords =
  /元|币|%|‰|吨|公斤|千克|克|人|户|家|股|倍|次|天|个|瓶|件|台|辆|度|平方|亩|USD|CNY|RMB|EUR|HKD|yuan|million|billion|thousand|persons?|shares?|units?|tons?|pieces?/i;
const ratioWords = /率|占比|比例|比重|倍数|每股|ratio|rate|margin|per share|percent|\b(?:roe|roa|roic|eps|cagr|irr)\b/i;
const shareWords = /占比|比例|比重|结构|构成|分布|份额|share|mix|breakdown|structure|composition/i;

/** Longest brackets at the end of a label that name a unit. */
const BRACKETS = 50;

/** The last brackets of a label, in parts: 每10股分红(含税,元) has 含税 and 元. Labels can be very long: their ends alone are searched. */
function bracketParts(label: string): { before: string; parts: string[] } | undefined {
  const whole = label.trimEnd();
  const match = /[(\uff08]([^()\uff08\uff09]{1,24})[)\uff09]$/u.exec(whole.slice(-BRACKETS));
  if (!match) return undefined;
  const parts = (match[1] ?? '').split(/[,\uff0c\u3001;\uff1b]/).map((part) => part.normalize('NFKC').trim());
  return { before: whole.slice(0, -match[0].length).trimEnd(), parts };
}

const bareUnit = (text: string): string => text.replace(/^(?:单位|unit)\s*:\s*/i, '').trim();

/** The unit a label names in brackets or after a colon: 营业收入(亿元), Revenue (CNY million), 单位:万元. */
export function unitOfLabel(label: string): string {
  const named = /(?:单位|unit)\s*:\s*(\S{1,12})$/i.exec(label.normalize('NFKC').trim())?.[1];
  const parts = bracketParts(label)?.parts ?? (named ? [named] : []);
  return parts.map(bareUnit).findLast((part) => part.length <= 16 && unitWords.test(part)) ?? '';
}

/** A label without the unit in brackets; what else stands there is kept. */
export function withoutUnit(label: string): string {
  const unit = unitOfLabel(label);
  const bracket = bracketParts(label);
  if (unit === '' || !bracket || bracket.before === '') return label;
  const rest = bracket.parts.filter((part) => bareUnit(part) !== unit);
  if (rest.length === 0) return bracket.before;
  return /\uff09\s*$/.test(label)
    ? `${bracket.before}\uff08${rest.join('\u3001')}\uff09`
    : `${bracket.before} (${rest.join(', ')})`;
}

/** The unit that an entry called 单位 / unit gives to its neighbours. */
export function unitOfEntries(entries: [string, unknown][]): string {
  const entry = entries.find(
    ([key, value]) => /^(?:单位|计量单位|货币单位|unit)$/i.test(key.trim()) && typeof value === 'string',
  );
  return typeof entry?.[1] === 'string' ? entry[1].trim().slice(0, 12) : '';
}

/** Ratios and counts do not take over the unit of the amounts around them. */
export const hasOwnUnit = (label: string): boolean => ratioWords.test(label) || kindOfMeasure(label, '') !== 'amount';

/** What a measure counts, by its name; measures of different kinds never share an axis. */
const kinds: [kind: string, pattern: RegExp][] = [
  ['per share', /每股|per share|\beps\b/i],
  ['days', /天数|\bdays\b/i],
  ['multiple', /比率|倍数|周转率|周转次数|ratio|turnover rate|\btimes\b/i],
  ['percent', /率|占比|比例|比重|rate|margin|percent|\b(?:roe|roa|roic|cagr|irr)\b/i],
  [
    'count',
    /(?:人|户|家|笔|次|件|台|个|店|份|辆|套|客户|订单|专利)数|数量|人员|员工|headcount|employees|staff|number of|\bcount\b|customers/i,
  ],
];

/** `amount` where the name says nothing else. */
export const kindOfMeasure = (name: string, unit: string): string => {
  if (unit === '%' || unit === '％' || unit === '‰') return 'percent';
  return kinds.find(([, pattern]) => pattern.test(name))?.[0] ?? 'amount';
};

export const namesShares = (label: string): boolean => shareWords.test(label);

export interface Measures {
  /** One entry per value; undefined where the value is blank. */
  numbers: (number | undefined)[];
  unit: string;
}

/**
 * Reads values as numbers of one unit: amounts in 万 and 亿 are brought together. Undefined when one of them is a text
 * that is no number, when the units do not agree, or when fewer than two numbers are left.
 */
export function readMeasures(values: unknown[], label: string, inheritedUnit: string): Measures | undefined {
  const amounts: (Amount | undefined)[] = [];
  for (const value of values) {
    const amount = typeof value === 'boolean' ? undefined : readAmount(value);
    if (!amount && !isBlank(value)) return undefined;
    amounts.push(amount);
  }
  const given = amounts.filter((amount) => amount !== undefined);
  if (given.length < 2) return undefined;
  const [first] = given;
  const fallback = unitOfLabel(label) || (hasOwnUnit(label) ? '' : inheritedUnit);
  if (given.every(({ unit }) => unit === first?.unit)) {
    return { numbers: amounts.map((amount) => amount?.value), unit: first?.unit || fallback };
  }
  if (given.every(({ base }) => base === first?.base)) {
    const numbers = amounts.map((amount) => amount && amount.value * amount.factor);
    return { numbers, unit: first?.base || fallback };
  }
  return undefined;
}
