import type { ReportLanguage } from '../render/document.ts';
import { countCharacters, firstCharacters, plainLine, plainText, shorten } from '../render/text.ts';
import { limits } from './limits.ts';

/** A number as it was written: 1.2亿元 is `{ value: 1.2, unit: '亿元', factor: 1e8, base: '元' }`. */
export interface Amount {
  value: number;
  unit: string;
  /** `value * factor` is the amount in `base`. */
  factor: number;
  base: string;
}

const amount =
  /^(?:人民币|RMB|CNY|USD|US\$|HK\$|HKD|EUR|[¥$€£])?\s*([-\u2212–+]?)\s*(?:[¥$€£])?\s*(\d{1,3}(?:,\d{3})+|\d{1,15})(\.\d+)?\s*([^\d\s.,:;()[\]{}-]{0,8})$/u;
const factors: [string, number][] = [
  ['万亿', 1e12],
  ['亿', 1e8],
  ['百万', 1e6],
  ['千万', 1e7],
  ['万', 1e4],
  ['billion', 1e9],
  ['million', 1e6],
  ['bn', 1e9],
  ['mn', 1e6],
];
/** Words that follow a number without measuring anything. */
const notUnits = /^(?:年|月|日|号|届|版|期|第|年度|季度|时|[a-z])$/i;

/** Reads a number, or a text that is one: `1,234.56`, `12.3%`, `1.2亿`, `(350)`, `¥8.5万`, full-width digits too. */
export function readAmount(value: unknown): Amount | undefined {
  if (typeof value === 'number') {
    return Number.isFinite(value) ? { value, unit: '', factor: 1, base: '' } : undefined;
  }
  if (typeof value !== 'string' || value.length > 48) return undefined;
  const text = value.normalize('NFKC').trim();
  const inBrackets = /^\((.+)\)$/.exec(text);
  const match = amount.exec(inBrackets?.[1] ?? text);
  if (!match) return undefined;
  const [, sign = '', whole = '', fraction = '', unit = ''] = match;
  if (notUnits.test(unit)) return undefined;
  const negative = inBrackets !== null || /[-\u2212–]/.test(sign);
  const number = Number(whole.replaceAll(',', '') + fraction) * (negative ? -1 : 1);
  const step = factors.find(([name]) => unit.toLowerCase().startsWith(name));
  return { value: number, unit, factor: step?.[1] ?? 1, base: step ? unit.slice(step[0].length) : unit };
}

const blank = /^[\s—–\-/]*$|^(?:n\/?a|null|nil|无|暂无|不适用)$/i;

/** Whether a value says that there is none. */
export const isBlank = (value: unknown): boolean =>
  value === null || value === undefined || (typeof value === 'string' && blank.test(value));

export type Scalar = string | number | boolean | null;

export function isScalar(value: unknown): boolean {
  return value === null || typeof value !== 'object' || value instanceof Date;
}

/** Numbers under such names are names themselves: no thousands separators. */
const nameLike =
  /(?:代码|编号|证号|号码|账号|卡号|单号|邮编|电话|手机|年份|年度|年|code|number|year|phone|zip|no\.?|id)$/i;

const hasUnit = /[(\uff08][^()\uff08\uff09]+[)\uff09]\s*$/;

/** Numbers that name something, such as years and codes; of years all values of a column have to look so. */
export function isNameLike(values: unknown[], label: string): boolean {
  const numbers = values.filter((value) => typeof value === 'number');
  if (numbers.length === 0 || !numbers.every(Number.isInteger)) return false;
  return nameLike.test(label) || (!hasUnit.test(label) && numbers.every((value) => value >= 1900 && value <= 2100));
}

/** Thousands separators for a number as JavaScript prints it; no digit is added or lost. */
export function groupDigits(value: number): string {
  const text = String(value);
  if (!/^-?\d+(?:\.\d+)?$/.test(text)) return text;
  const [whole = '', fraction] = text.split('.');
  const grouped = whole.replace(/\B(?=(?:\d{3})+$)/g, ',');
  return fraction === undefined ? grouped : `${grouped}.${fraction}`;
}

/**
 * Digits after the point that a row of figures is printed with, so that 2,727 stands as 2,727.00 under 1,830.42.
 * 0 where nothing is to be filled up.
 */
export function sharedDecimals(values: unknown[]): number {
  let decimals = 0;
  for (const value of values) {
    if (typeof value !== 'number') continue;
    const digits = /^-?\d+(?:\.(\d+))?$/.exec(String(value));
    if (!digits) return 0;
    decimals = Math.max(decimals, digits[1]?.length ?? 0);
  }
  return decimals <= 4 ? decimals : 0;
}

/** A number with at least so many digits after the point. */
export function padDecimals(value: number, decimals: number): string {
  const text = groupDigits(value);
  if (decimals === 0 || !/^-?[\d,]+(?:\.\d+)?$/.test(text)) return text;
  const [whole = '', fraction = ''] = text.split('.');
  return `${whole}.${fraction.padEnd(decimals, '0')}`;
}

/** Prints one value under its label. Texts are printed as given, cut with a remark when they are very long. */
export function printValue(value: unknown, label: string, language: ReportLanguage): string {
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? '—' : value.toISOString();
  switch (typeof value) {
    case 'number':
      return isNameLike([value], label) ? String(value) : groupDigits(value);
    case 'boolean':
      if (language === 'en') return value ? 'yes' : 'no';
      return value ? '是' : '否';
    case 'string':
      return value.trim() === '' ? '—' : cutText(value, language);
    case 'bigint':
      return String(value).slice(0, limits.cellChars);
    default:
      return '—';
  }
}

function cutText(text: string, language: ReportLanguage): string {
  // Cleaning a text of megabytes to print a few pages of it would be waste.
  const kept = firstCharacters(text, limits.cellChars);
  const clean = plainText(kept).trim();
  if (kept.length === text.length) return clean;
  const left = groupDigits(countCharacters(text.slice(kept.length)));
  return clean + (language === 'en' ? `… (${left} more characters)` : `……（后略 ${left} 字）`);
}

export function printLabel(key: string): string {
  return shorten(plainLine(key.slice(0, limits.labelChars * 4)), limits.labelChars) || '—';
}

/** Own entries of an object, in its order; a `__proto__` key is one like any other. */
export const entriesOf = (value: object): [string, unknown][] => Object.entries(value);

/** Data is refused beyond twenty levels. */
const maxNested = 20;

/** A nested value in one line: `营业收入:120;净利润:15`. Stops at the limit of a cell. */
export function printNested(value: unknown, label: string, language: ReportLanguage): string {
  let text = '';
  let cut = false;
  const full = () => {
    cut ||= text.length > limits.cellChars;
    return cut;
  };
  const colon = language === 'en' ? ': ' : '：';
  const semicolon = language === 'en' ? '; ' : '；';
  const visit = (item: unknown, name: string, depth: number) => {
    if (full()) return;
    if (isScalar(item)) {
      text += printValue(item, name, language);
    } else if (depth > maxNested) {
      text += '…';
    } else if (Array.isArray(item)) {
      visitList(
        item.map((_, index) => index),
        (index) => visit(item[index], name, depth + 1),
      );
    } else if (item !== null && typeof item === 'object') {
      visitList(entriesOf(item), ([key, child]) => {
        text += printLabel(key) + colon;
        visit(child, key, depth + 1);
      });
    }
  };
  const visitList = <Item>(items: Item[], each: (item: Item) => void) => {
    for (const [index, item] of items.entries()) {
      if (full()) return;
      if (index > 0) text += semicolon;
      each(item);
    }
  };
  visit(value, label, 0);
  if (text === '') return '—';
  return shorten(text, limits.cellChars);
}
