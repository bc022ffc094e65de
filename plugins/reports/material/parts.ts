import type { ReportLanguage } from '../render/document.ts';
import type { Period } from './periods.ts';

/** One number of a series, with the label and the text it was given under. */
export interface Point {
  label: string;
  period?: Period;
  value: number;
  text: string;
}

/** Numbers of one measure over time, or shares of a whole. */
export interface Series {
  name: string;
  path: string;
  unit: string;
  points: Point[];
  /** What the measures beside it belong to: 分产品营业收入 of 茅台酒. Empty when the name says all. */
  context: string;
}

export interface ValuesPart {
  kind: 'values';
  title: string;
  items: { label: string; text: string; value: unknown; path: string }[];
}

export interface GridPart {
  kind: 'grid';
  title: string;
  path: string;
  head: string[];
  rows: string[][];
  /** What of the table is a time axis, a division of a whole, or neither. */
  axis: 'period' | 'share' | 'none';
  series: Series[];
}

/** What was left out, said plainly. */
export interface NotePart {
  kind: 'note';
  text: string;
}

/** What a data package is made of, in reading order. */
export type Part = ValuesPart | GridPart | NotePart;

export interface ReadOptions {
  language: ReportLanguage;
  /** Part of the limits that the package may use, 0-1; default 1. */
  share?: number;
}

/** Sentences of the material reader. */
export function materialTexts(language: ReportLanguage) {
  return language === 'en'
    ? {
        item: 'Item',
        period: 'Period',
        value: 'Value',
        share: 'Share',
        inUnit: (title: string, unit: string) => `${title} (${unit})`,
        column: (index: number) => `Column ${index}`,
        content: 'Content',
        and: ', ',
        etc: (count: number) => ` and ${count} more`,
        moreRows: (title: string, total: string, left: string) =>
          `“${title}” has ${total} rows; ${left} of them are not printed here.`,
        moreColumns: (title: string, total: string, left: string) =>
          `“${title}” has ${total} columns; ${left} of them are not printed here.`,
        moreEntries: (title: string, left: string) =>
          `${left} further entries${title && ` of “${title}”`} are not printed here.`,
      }
    : {
        item: '项目',
        period: '期间',
        value: '数值',
        share: '占比',
        inUnit: (title: string, unit: string) => `${title}（${unit}）`,
        column: (index: number) => `列${index}`,
        content: '内容',
        and: '、',
        etc: (count: number) => `等共${count}项`,
        moreRows: (title: string, total: string, left: string) =>
          `“${title}”共 ${total} 行，其中 ${left} 行未在此列出。`,
        moreColumns: (title: string, total: string, left: string) =>
          `“${title}”共 ${total} 列，其中 ${left} 列未在此列出。`,
        moreEntries: (title: string, left: string) => `${title && `“${title}”`}另有 ${left} 项未在此列出。`,
      };
}
