import { consecutiveYears, type Point, type Trend, trendOf } from './series.ts';
import type { Fact, Row } from './units.ts';

/** A written sentence with the mark of its source and the units it was made of. */
export interface Written {
  text: string;
  ref?: string;
  /** Highest relevance of its units. */
  score: number;
}

/** A fact or row with its relevance to the request. */
export interface Scored<T> {
  unit: T;
  score: number;
}

const TREND: Record<Trend, { zh: string; en: string }> = {
  rising: { zh: '逐期上升', en: 'rising throughout' },
  falling: { zh: '逐期下降', en: 'falling throughout' },
  level: { zh: '保持不变', en: 'unchanged' },
  above: { zh: '期间有波动，期末高于期初', en: 'with fluctuations, the last value being above the first' },
  below: { zh: '期间有波动，期末低于期初', en: 'with fluctuations, the last value being below the first' },
  to_profit: { zh: '由负转正', en: 'turning from negative to positive' },
  to_loss: { zh: '由正转负', en: 'turning from positive to negative' },
};

const MAX_SERIES_IN_SENTENCE = 3;
const MAX_FACTS_IN_SENTENCE = 4;
const MAX_ROWS = 12;
/** Of one record; the table beside the text has all of them. */
const MAX_CELLS = 8;
const LONG_VALUE = 48;

/** Of the whole answer: names and values are not translated, whatever script they are in. */
export type Language = 'zh' | 'en';

/** Figure and Chinese unit without the space between them. */
const figure = (text: string) => text.replace(/(?<=\d)\s+(?=\p{Script=Han})/gu, '');
/** A value as it was given; the sentence has a full stop of its own. */
const quoted = (text: string) => text.replace(/。$/, '');
/** Ends a sentence whose last value may end in a full stop (`Ltd.`). */
const withStop = (text: string) => (text.endsWith('.') ? text : `${text}.`);

const listZh = (items: readonly string[]) =>
  items.length < 2 ? items.join('') : `${items.slice(0, -1).join('、')}和${items.at(-1)}`;
const listEn = (items: readonly string[]) =>
  items.length < 2 ? items.join('') : `${items.slice(0, -1).join(', ')} and ${items.at(-1)}`;

const periodZh = (period: string) => (/^(?:19|20)\d{2}$/.test(period) ? `${period}年` : period);

const spanZh = (points: readonly Point[]) => {
  const periods = points.map(({ period }) => period);
  const [first = ''] = periods;
  return consecutiveYears(periods)
    ? `${periodZh(first)}至${periodZh(periods.at(-1) ?? '')}`
    : listZh(periods.map(periodZh));
};

const spanEn = (points: readonly Point[]) => {
  const periods = points.map(({ period }) => period);
  return consecutiveYears(periods) ? `from ${periods[0]} to ${periods.at(-1)}` : `in ${listEn(periods)}`;
};

const trendWords = (points: readonly Point[], zh: boolean): string => {
  const trend = trendOf(points);
  if (!trend) return '';
  if (!zh)
    return `, ${points.length === 2 && trend === 'rising' ? 'rising' : points.length === 2 && trend === 'falling' ? 'falling' : TREND[trend].en}`;
  if (points.length === 2 && (trend === 'rising' || trend === 'falling'))
    return `，${trend === 'rising' ? '有所上升' : '有所下降'}`;
  const yearly = consecutiveYears(points.map(({ period }) => period));
  return `，${yearly && (trend === 'rising' || trend === 'falling') ? TREND[trend].zh.replace('逐期', '逐年') : TREND[trend].zh}`;
};

type Series = Fact & { series: Point[] };
const isSeries = (fact: Fact): fact is Series => fact.series !== undefined;
const periodsOf = ({ series }: Series) => series.map(({ period }) => period).join('|');

/** Several series over the same periods in one sentence; `known` leaves the periods out when the sentence before named them. */
const seriesSentence = (facts: readonly Series[], known: boolean, language: Language): string => {
  const [head] = facts;
  if (!head) return '';
  if (language === 'zh') {
    const trends = facts.map(({ series }) => trendWords(series, true));
    const shared = facts.length > 1 && trends.every((trend) => trend === trends[0]) ? trends[0] : undefined;
    const parts = facts.map(({ key, series }, at) => {
      const values = listZh(series.map(({ text }) => figure(text)));
      return `${key}${series.length > 1 ? '分别为' : '为'}${values}${shared === undefined ? trends[at] : ''}`;
    });
    const end = shared ? shared.replace('，', '，均') : '';
    return `${known ? '同期' : spanZh(head.series)}，${parts.join('；')}${end}。`;
  }
  const parts = facts.map(({ key, series }) => {
    const values = listEn(series.map(({ text }) => figure(text)));
    return `${key} ${series.length > 1 ? 'came to' : 'was'} ${values}${series.length > 1 ? ' respectively' : ''}${trendWords(series, false)}`;
  });
  const span = known ? 'over the same period' : spanEn(head.series);
  return `${span.charAt(0).toUpperCase()}${span.slice(1)}, ${parts.join('; ')}.`;
};

const SUBJECT =
  /^(?:企业|公司|客户|借款人|申请人|单位|机构|项目)?(?:名称|全称)$|^(?:company|enterprise|borrower|project)?\s*(?:full )?name$/i;
const FOUNDED = /^(?:成立|设立)(?:时间|日期|年份|年月)?$/;
const NOT_GIVEN = /^(?:不适用|未披露|暂无|不详)$/;
const YES_NO = /^(?:是|否|有|无|true|false|yes|no)$/i;

const factWords = ({ key, value }: Fact, zh: boolean): string => {
  const text = quoted(value);
  if (!zh) return `${key}: ${text}`;
  if (NOT_GIVEN.test(text)) return `${key}${text}`;
  if (YES_NO.test(text)) return `${key}一项为“${text}”`;
  return `${periodZh(key)}为${text}`;
};

/** Up to four short facts; the name of the company, when among them, becomes the subject. */
const factSentence = (facts: readonly Fact[], language: Language): string => {
  const zh = language === 'zh';
  const subject = facts.find(({ key }) => SUBJECT.test(key));
  const others = facts.filter((fact) => fact !== subject);
  if (!subject || others.length === 0) {
    const parts = facts.map((fact) => factWords(fact, zh));
    return zh ? `${parts.join('，')}。` : withStop(parts.join('; '));
  }
  if (zh) {
    const founded = others.find(({ key }) => FOUNDED.test(key));
    const ordered = founded ? [founded, ...others.filter((fact) => fact !== founded)] : others;
    const parts = ordered.map((fact) => (fact === founded ? `成立于${quoted(fact.value)}` : factWords(fact, true)));
    return `${quoted(subject.value)}${founded ? '' : '的'}${parts.join('，')}。`;
  }
  return withStop(`${quoted(subject.value)}: ${others.map((fact) => factWords(fact, false)).join('; ')}`);
};

const longSentence = ({ key, value }: Fact, language: Language): string => {
  const zh = language === 'zh';
  const text = value.replace(/[;；]\s*$/, '');
  return `${key}${zh ? '：' : ': '}${/[。！？.!?]$/.test(text) ? text : `${text}${zh ? '。' : '.'}`}`;
};

/** The name of the company and when it was founded stand together, so that one sentence can begin with them. */
const foundedFirst = (facts: readonly Scored<Fact>[]): readonly Scored<Fact>[] => {
  const name = facts.find(({ unit }) => SUBJECT.test(unit.key) && unit.value !== '');
  const founded = facts.find(({ unit }) => FOUNDED.test(unit.key) && unit.value !== '' && unit.ref === name?.unit.ref);
  if (!name || !founded) return facts;
  return facts.flatMap((entry) => (entry === name ? [name, founded] : entry === founded ? [] : [entry]));
};

/** Sentences over the facts of one topic in their order; neighbours that belong together share a sentence. */
export const writeFacts = (entries: readonly Scored<Fact>[], language: Language): Written[] => {
  const facts = foundedFirst(entries);
  const written: Written[] = [];
  let lastPeriods = '';
  let at = 0;
  const take = (belongs: (fact: Fact, count: number) => boolean): Scored<Fact>[] => {
    const group: Scored<Fact>[] = [];
    while (at < facts.length) {
      const next = facts[at];
      if (!next || (group.length > 0 && (next.unit.ref !== group[0]?.unit.ref || !belongs(next.unit, group.length))))
        break;
      group.push(next);
      at += 1;
    }
    return group;
  };
  const add = (text: string, group: readonly Scored<Fact>[]) => {
    const ref = group[0]?.unit.ref;
    written.push({ text, ...(ref !== undefined && { ref }), score: Math.max(...group.map(({ score }) => score)) });
  };
  const isLong = ({ value }: Fact) => value.length > LONG_VALUE || /[。！？；;]/.test(value);

  while (at < facts.length) {
    const fact = facts[at]?.unit;
    if (!fact) break;
    if (isSeries(fact)) {
      const periods = periodsOf(fact);
      const group = take(
        (next, count) => isSeries(next) && periodsOf(next) === periods && count < MAX_SERIES_IN_SENTENCE,
      );
      const known = periods === lastPeriods && fact.series.length > 1;
      add(seriesSentence(group.map(({ unit }) => unit).filter(isSeries), known, language), group);
      lastPeriods = periods;
    } else if (fact.value === '') {
      const group = take((next) => next.value === '');
      const names = group.map(({ unit }) => unit.key);
      add(language === 'zh' ? `资料未载明${listZh(names)}。` : `The material does not state ${listEn(names)}.`, group);
    } else if (isLong(fact)) {
      at += 1;
      add(longSentence(fact, language), [{ unit: fact, score: facts[at - 1]?.score ?? 0 }]);
    } else {
      const group = take(
        (next, count) => !isSeries(next) && next.value !== '' && !isLong(next) && count < MAX_FACTS_IN_SENTENCE,
      );
      add(
        factSentence(
          group.map(({ unit }) => unit),
          language,
        ),
        group,
      );
    }
  }
  return written;
};

/** Sentences over records: three to a sentence, the first twelve. */
export const writeRows = (rows: readonly Scored<Row>[], language: Language): Written[] => {
  const zh = language === 'zh';
  const written: Written[] = [];
  // Rows with texts in them are read one by one, rows of figures three at a time.
  const wordy = rows.some(({ unit }) =>
    unit.cells.slice(1).some(([, value]) => value.length > 16 || /[，；。,;]\s/.test(value)),
  );
  const step = wordy ? 1 : 3;
  for (let at = 0; at < Math.min(rows.length, MAX_ROWS); at += step) {
    const group = rows.slice(at, Math.min(at + step, MAX_ROWS));
    const parts = group.map(({ unit: { subject, cells } }) => {
      const all = cells.slice(1).filter(([, value]) => value !== '');
      const rest = all.slice(0, MAX_CELLS);
      const more = all.length > rest.length ? (zh ? '等' : ', …') : '';
      if (rest.length === 0) return subject;
      if (wordy && zh)
        return `${subject}：${rest.map(([name, value]) => `${name}为${quoted(value)}`).join('；')}${more}`;
      return zh
        ? `${subject}的${rest.map(([name, value]) => `${name}为${quoted(value)}`).join('、')}${more}`
        : `${subject}: ${rest.map(([name, value]) => `${name} ${quoted(value)}`).join(', ')}${more}`;
    });
    const ref = group[0]?.unit.ref;
    written.push({
      text: zh ? `${parts.join('；')}。` : withStop(parts.join('; ')),
      ...(ref !== undefined && { ref }),
      score: Math.max(...group.map(({ score }) => score)),
    });
  }
  const last = written.at(-1);
  if (rows.length > MAX_ROWS && last) {
    last.text += zh ? '其余各项见所附数据。' : ' The other entries are in the attached data.';
  }
  return written;
};

/** The sentence with the mark of its source before the full stop. */
export const withMark = ({ text, ref }: Written, language: Language): string =>
  ref === undefined
    ? text
    : text.replace(
        /([。！？.!?]*)$/,
        (_, end: string) => `${/[A-Za-z0-9)]$/.test(text.slice(0, -1)) && language === 'en' ? ' ' : ''}[${ref}]${end}`,
      );

/** Where what follows a shared subject may begin. */
const PREDICATE = /^(?:由|从|在|最高|最低|较|占|年均|同比|环比|累计|连续|增|降|上升|下降|(?:19|20)\d{2})/;

/** Lists longer than this give only the first statements about each subject. */
const LONG_LIST = 8;
const MAX_JOINED = 3;

/**
 * Joins neighbouring sentences that begin with the same subject: 茅台酒由…增至…。茅台酒最高为…。 becomes one sentence with the
 * subject written once. Of long lists each subject keeps its first three statements.
 */
export const joinBySubject = (sentences: readonly Written[]): Written[] => {
  const joined: Written[] = [];
  let subject = '';
  let count = 0;
  let before = '';
  for (const sentence of sentences) {
    const last = joined.at(-1);
    const shared = last && last.ref === sentence.ref ? sharedSubject(before, sentence.text) : '';
    before = sentence.text;
    if (last && shared !== '' && (count === 1 || shared === subject)) {
      subject = shared;
      count += 1;
      if (count > MAX_JOINED && sentences.length > LONG_LIST) continue;
      last.text = `${last.text.replace(/。$/, '')}；${sentence.text.slice(shared.length)}`;
      last.score = Math.max(last.score, sentence.score);
    } else {
      joined.push({ ...sentence });
      subject = '';
      count = 1;
    }
  }
  return joined;
};

/** 资产中，存货…。资产中，现金…。: the frame is written for the first of neighbouring sentences only. */
export const withoutRepeatedFrame = (sentences: readonly Written[]): Written[] => {
  let frame = '';
  return sentences.map((sentence) => {
    const own = /^[^，。；\d]{2,24}中，/.exec(sentence.text)?.[0] ?? '';
    const repeated = own !== '' && own === frame;
    frame = own;
    return repeated ? { ...sentence, text: sentence.text.slice(own.length) } : sentence;
  });
};

const sharedSubject = (a: string, b: string): string => {
  if (!/^\p{Script=Han}/u.test(a) || !a.endsWith('。') || !b.endsWith('。')) return '';
  let length = 0;
  while (length < Math.min(a.length, b.length) && a[length] === b[length]) length += 1;
  for (; length >= 3; length -= 1) {
    if (PREDICATE.test(a.slice(length)) && PREDICATE.test(b.slice(length)) && !/[\d由从在为]$/.test(a.slice(0, length)))
      return a.slice(0, length);
  }
  return '';
};
