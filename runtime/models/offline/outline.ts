import type { Fact, Row, Unit } from './units.ts';

/** A chapter that the offline model proposes; `id` is that of a knowledge unit of the material. */
export interface Chapter {
  title: string;
  id?: string;
  description?: string;
}

const PRE_LOAN = [
  '企业基本信息',
  '股权结构与公司治理',
  '经营情况分析',
  '财务状况分析',
  '信用与担保情况',
  '风险分析',
  '调查结论与建议',
];
const GENERAL = {
  zh: ['概述', '基本情况', '现状分析', '问题与风险', '结论与建议'],
  en: ['Overview', 'Background', 'Analysis', 'Risks', 'Conclusions'],
};

const ID = /^[A-Za-z][A-Za-z0-9]*[_-][\w-]+$/;
const UNIT_LINE = /^([A-Za-z][A-Za-z0-9]*[_-][\w-]+)[\s|：:、]+([^：:|（(\s][^：:|（(]{0,60})(?:[\s]*[：:|（(](.*))?$/;

/**
 * Chapters for an outline: one for each knowledge unit that the material lists (records with an id and a title, or lines such as
 * `- ku_001: 企业基本信息` or `- ku_001 企业基本信息：说明`), else the usual chapters of the kind of report that the task names.
 */
export const chaptersOf = (units: readonly Unit[], task: string, language: 'zh' | 'en'): Chapter[] => {
  const listed = units.flatMap((unit): Chapter[] => {
    if (unit.kind === 'row') return fromRow(unit);
    if (unit.kind === 'fact') return fromFact(unit);
    const match = UNIT_LINE.exec(unit.text.replace(/[。.]$/, ''));
    return match?.[1] !== undefined && match[2] !== undefined
      ? [chapter(match[2], match[1], match[3]?.replace(/[）)]$/, ''))]
      : [];
  });
  const seen = new Set<string>();
  const distinct = listed.filter(({ title, id }) => {
    const name = id ?? title;
    if (seen.has(name)) return false;
    seen.add(name);
    return true;
  });
  if (distinct.length > 0) return distinct;
  const all = `${task} ${units.map((unit) => (unit.kind === 'fact' ? unit.value : '')).join(' ')}`;
  if (/贷前|授信|信贷|PRE_LOAN|pre-?loan/i.test(all)) return PRE_LOAN.map((title) => ({ title }));
  return GENERAL[language].map((title) => ({ title }));
};

const chapter = (title: string, id?: string, description?: string): Chapter => ({
  title: title.trim(),
  ...(id !== undefined && { id }),
  ...(description !== undefined && description.trim() !== '' && { description: description.trim() }),
});

const fromRow = ({ cells }: Row): Chapter[] => {
  const of = (pattern: RegExp) => cells.find(([name, value]) => pattern.test(name) && value !== '')?.[1];
  const title = of(/^(?:title|name|标题|名称|章节|知识单元)$/i);
  const id =
    of(/^(?:id|knowledgeUnitId|unitId|编号|标识)$/i) ?? cells.map(([, value]) => value).find((value) => ID.test(value));
  return title !== undefined && id !== undefined
    ? [chapter(title, id, of(/^(?:description|instructions|说明|描述)$/i))]
    : [];
};

const fromFact = ({ key, value }: Fact): Chapter[] => {
  if (value === '') return [];
  if (ID.test(key)) {
    const [title = '', ...rest] = value.split(/[：:|（(，,。]/);
    return [chapter(title, key, rest.join(' ').replace(/[）)]$/, ''))];
  }
  const [id = '', ...words] = key.split(/[\s|、]+/);
  return ID.test(id) && words.length > 0 ? [chapter(words.join(' '), id, value)] : [];
};
