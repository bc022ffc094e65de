import { countTokens } from '../tokens.ts';
import {
  joinBySubject,
  type Language,
  type Scored,
  type Written,
  withMark,
  withoutRepeatedFrame,
  writeFacts,
  writeRows,
} from './sentences.ts';
import { splitUnit } from './series.ts';
import { type Topic, topicOf } from './topics.ts';
import { type Fact, type Row, type Sentence, type Unit, unitText } from './units.ts';
import { coverage, relevance } from './words.ts';

export interface Brief {
  /** What was asked for, without the material. */
  task: string;
  units: Unit[];
  language: Language;
  /** Tokens of the answer. */
  budget: number;
}

/** Part of a question's words, weighted by rarity, that the best passage must share: 公司 alone does not answer 公司的碳排放. */
const ENOUGH = 0.34;

interface Paragraph {
  sentences: Written[];
  /** Opens the paragraph when there are several topics. */
  lead: Topic | undefined;
}

const score = (task: string, units: readonly Unit[]): Scored<Unit>[] => {
  const scores = relevance(task, units.map(unitText));
  return units.map((unit, at) => ({ unit, score: scores[at] ?? 0 }));
};

/**
 * Report prose over all of the material: facts grouped by topic, then records, then running text. When it does not fit,
 * the sentences that have least to do with the task are left out, and the text says so.
 */
export const writeReport = ({ task, units, language, budget }: Brief): string => {
  const own = units.filter(({ background }) => !background);
  const scored = score(task, own.length > 0 ? own : units);
  const paragraphs = fit(arrange(scored, language), budget);
  const texts = render(paragraphs.kept, language);
  if (own.length === 0) {
    texts.unshift(
      language === 'zh'
        ? '本部分没有取得专门的资料，以下仅列出任务中已有的信息。'
        : 'No material was delivered for this part; only what the task itself states is given below.',
    );
  }
  if (paragraphs.dropped) {
    texts.push(
      language === 'zh' ? '限于篇幅，其余资料未予摘录。' : 'The rest of the material is left out for lack of space.',
    );
  }
  return texts.join('\n\n');
};

/** The few passages that have most to do with a question, or nothing when none shares a word with it. */
export const writeAnswer = ({ task, units, language, budget }: Brief): string | undefined => {
  const scored = score(task, units);
  const best = Math.max(0, ...scored.map((entry) => entry.score));
  if (
    best === 0 ||
    coverage(
      task,
      scored.filter((entry) => entry.score === best).map(({ unit }) => unitText(unit)),
      units.map(unitText),
    ) < ENOUGH
  ) {
    return undefined;
  }
  const chosen = new Set(
    scored
      .filter((entry) => entry.score >= best * 0.4)
      .toSorted((a, b) => b.score - a.score)
      .slice(0, 6),
  );
  const paragraphs = fit(
    arrange(
      scored.filter((entry) => chosen.has(entry)),
      language,
    ),
    budget,
  ).kept;
  const byScore = paragraphs.toSorted((a, b) => top(b) - top(a));
  const lead = language === 'zh' ? '根据所给资料：' : 'From the material given:';
  return [
    lead,
    ...render(
      byScore.map(({ sentences }) => ({ sentences, lead: undefined })),
      language,
    ),
  ].join('\n\n');
};

const top = ({ sentences }: Paragraph) => Math.max(...sentences.map((sentence) => sentence.score));

/** Paragraphs in the order in which their topics first appear. */
const arrange = (scored: readonly Scored<Unit>[], language: Language): Paragraph[] => {
  const facts = new Map<string, { lead: Topic; entries: Scored<Fact>[] }>();
  const rows = new Map<string, { lead: Topic; entries: Scored<Row>[] }>();
  const running = new Map<string, { heading: string; entries: Scored<Sentence>[] }>();
  for (const { unit, score: value } of scored) {
    if (unit.kind === 'fact') {
      const topic = topicOf(unit.key, unit.heading);
      const group = facts.get(topic.id) ?? { lead: topic, entries: [] };
      group.entries.push({ unit, score: value });
      facts.set(topic.id, group);
    } else if (unit.kind === 'row') {
      const name = unit.heading || unit.cells[0]?.[0] || '';
      const group = rows.get(name) ?? { lead: { id: `rows:${name}`, zh: name, en: name }, entries: [] };
      group.entries.push({ unit, score: value });
      rows.set(name, group);
    } else {
      const id = `${unit.ref ?? ''}/${unit.paragraph}`;
      const group = running.get(id) ?? { heading: unit.heading, entries: [] };
      group.entries.push({ unit, score: value });
      running.set(id, group);
    }
  }
  return [
    ...[...facts.entries()]
      .toSorted(([a], [b]) => Number(a === 'other') - Number(b === 'other'))
      .map(([, group]) => group)
      .map(({ lead, entries }) => ({ sentences: writeFacts(entries, language), lead })),
    ...[...rows.values()].map(({ lead, entries }) => ({ sentences: writeRows(entries, language), lead })),
    ...[...running.values()].flatMap(({ entries }) =>
      breakUp(joinBySubject(entries.map((entry) => quote(entry, language)))).map((part) => ({
        sentences: withoutRepeatedFrame(part),
        lead: undefined,
      })),
    ),
  ];
};

/** Characters after which running text begins a new paragraph. */
const LONG_PARAGRAPH = 400;

const breakUp = (sentences: readonly Written[]): Written[][] => {
  const parts: Written[][] = [];
  let length = LONG_PARAGRAPH;
  for (const sentence of sentences) {
    if (length + sentence.text.length > LONG_PARAGRAPH) {
      parts.push([]);
      length = 0;
    }
    parts.at(-1)?.push(sentence);
    length += sentence.text.length;
  }
  return parts;
};

const quote = ({ unit: { text, ref }, score: value }: Scored<Sentence>, language: Language): Written => {
  const ended = /[。！？.!?：:；;”’」』）)…]$/.test(text) ? text : `${text}${language === 'zh' ? '。' : '.'}`;
  return { text: ended, ...(ref !== undefined && { ref }), score: value };
};

const fit = (paragraphs: Paragraph[], budget: number): { kept: Paragraph[]; dropped: boolean } => {
  const all = paragraphs.flatMap(({ sentences }) => sentences);
  const keep = new Set<Written>();
  let left = budget;
  for (const sentence of all.toSorted((a, b) => b.score - a.score)) {
    const cost = countTokens(sentence.text) + 4;
    if (cost > left && keep.size > 0) continue;
    left -= cost;
    keep.add(sentence);
  }
  return {
    kept: paragraphs
      .map(({ sentences, lead }) => ({ sentences: sentences.filter((sentence) => keep.has(sentence)), lead }))
      .filter(({ sentences }) => sentences.length > 0),
    dropped: keep.size < all.length,
  };
};

const render = (paragraphs: readonly Paragraph[], language: Language): string[] => {
  const chinese = language === 'zh';
  const several = paragraphs.filter(({ lead }) => lead).length > 1;
  return paragraphs.map(({ sentences, lead }, at) => {
    const marked = sentences.map((sentence, position) => {
      const next = sentences[position + 1];
      // Quoted sentences of one source share the mark of the last one.
      return lead === undefined && next?.ref === sentence.ref ? sentence.text : withMark(sentence, language);
    });
    // A space after a full stop of the Latin kind, also in Chinese: `1.` and `5` must not become a figure.
    const text = marked.reduce((whole, next) => whole + (chinese && !/[.!?]$/.test(whole) ? '' : ' ') + next);
    const title = splitUnit(lead?.[chinese ? 'zh' : 'en'] ?? '').name;
    // A heading that the sentence repeats, or that is a sentence itself, opens nothing.
    const idle = title === '' || title.length > 40 || (chinese && (title.length > 14 || /等共?\d+项/.test(title)));
    const repeated = text.slice(0, title.length + 24).includes(title);
    // Facts under a heading need it: 经营活动 alone does not say that cash flow is meant.
    const needed = several || lead?.id.startsWith('heading:') === true;
    if (!needed || idle || repeated || (at === 0 && title === '基本情况')) return text;
    if (chinese)
      return /(?:构成|结构|分布)$/.test(title)
        ? `${title}中，${text}`
        : `${title}${/方面$|情况$/.test(title) ? '' : '方面'}，${text}`;
    // Headings of the material stand as they were given.
    const own = lead?.id.startsWith('heading:') === true || lead?.id.startsWith('rows:') === true;
    return `${own ? title : title.charAt(0).toUpperCase() + title.slice(1)}: ${text}`;
  });
};
