import { type Chapter, chaptersOf } from './outline.ts';
import { writeAnswer, writeReport } from './prose.ts';
import { type Fact, type Row, type Unit, unitText } from './units.ts';
import { keywords, relevance } from './words.ts';

type Schema = Record<string, unknown>;

export interface JsonBrief {
  task: string;
  units: Unit[];
  language: 'zh' | 'en';
  schema: Schema | undefined;
}

const MAX_DEPTH = 8;
const isObject = (value: unknown): value is Schema =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * Fills a JSON Schema from the material: names are matched with the facts, lists of objects with records, chapter lists with the
 * knowledge units. What the material does not have becomes an empty text, an empty list, null where allowed, or is left
 * out where it is optional.
 */
export const fillSchema = (brief: JsonBrief): unknown => {
  const facts = brief.units.filter((unit): unit is Fact => unit.kind === 'fact' && unit.value !== '');
  if (!brief.schema) return Object.fromEntries(facts.map(({ key, value }) => [key, value]));
  return new Filler(brief, facts, brief.schema).fill(brief.schema, '', {}, 0);
};

/** What is known about the object being filled: the record it stands for, or its place in an outline. */
interface Place {
  record?: Row;
  chapter?: Chapter;
  /** Counts from 1. */
  position?: number;
}

class Filler {
  readonly #brief: JsonBrief;
  readonly #facts: readonly Fact[];
  readonly #root: Schema;

  constructor(brief: JsonBrief, facts: readonly Fact[], root: Schema) {
    this.#brief = brief;
    this.#facts = facts;
    this.#root = root;
  }

  fill(raw: unknown, name: string, place: Place, depth: number): unknown {
    const schema = this.#deref(raw);
    if (Object.hasOwn(schema, 'const')) return schema.const;
    if (Array.isArray(schema.enum)) return this.#choose(schema.enum, name, place);
    const types = [schema.type].flat();
    const type =
      types.find((each) => each !== 'null') ??
      (isObject(schema.properties) ? 'object' : schema.items ? 'array' : types[0]);
    if (type === 'object') return this.#object(schema, place, depth);
    if (type === 'array') return depth > MAX_DEPTH ? [] : this.#array(schema, name, place, depth);
    if (type === 'null') return null;
    const text = this.#text(schema, name, place);
    if (type === 'boolean')
      return text === undefined ? (types.includes('null') ? null : false) : /^(?:是|有|true|yes)$/i.test(text);
    if (type === 'number' || type === 'integer') {
      const number =
        place.position !== undefined && /order|index|number|序/i.test(name) ? place.position : toNumber(text);
      if (number !== undefined) return type === 'integer' ? Math.round(number) : number;
      return types.includes('null') ? null : typeof schema.minimum === 'number' ? schema.minimum : 0;
    }
    if (text === undefined && types.includes('null')) return null;
    const limit = typeof schema.maxLength === 'number' ? schema.maxLength : 4000;
    return [...(text ?? '')].slice(0, limit).join('');
  }

  #deref(raw: unknown, depth = 0): Schema {
    if (!isObject(raw) || depth > MAX_DEPTH) return {};
    if (typeof raw.$ref === 'string') {
      const target =
        raw.$ref === '#'
          ? this.#root
          : raw.$ref
              .replace(/^#\//, '')
              .split('/')
              .reduce<unknown>(
                (node, part) => (isObject(node) && Object.hasOwn(node, part) ? node[part] : undefined),
                this.#root,
              );
      return this.#deref(target, depth + 1);
    }
    const options = [raw.anyOf, raw.oneOf].find(Array.isArray);
    if (!options) return raw;
    const constants = options
      .filter((option) => isObject(option) && Object.hasOwn(option, 'const'))
      .map((option) => option.const);
    if (constants.length === options.length) return { enum: constants };
    return this.#deref(options.find((option) => isObject(option) && option.type !== 'null') ?? options[0], depth + 1);
  }

  #object(schema: Schema, place: Place, depth: number): unknown {
    const properties = isObject(schema.properties) ? schema.properties : {};
    const required = new Set(Array.isArray(schema.required) ? schema.required : []);
    const result: Record<string, unknown> = {};
    for (const [name, property] of Object.entries(properties)) {
      if (depth > MAX_DEPTH && !required.has(name)) continue;
      const value = this.fill(property, name, place, depth + 1);
      const empty =
        value === '' || value === null || (value === 0 && this.#text(this.#deref(property), name, place) === undefined);
      if (!empty || required.has(name)) result[name] = value;
    }
    if (Object.keys(properties).length === 0 && schema.additionalProperties !== false && depth <= 1) {
      for (const { key, value } of this.#facts) result[key] = value;
    }
    return result;
  }

  #array(schema: Schema, name: string, place: Place, depth: number): unknown[] {
    const limit = typeof schema.maxItems === 'number' ? schema.maxItems : 100;
    const items = this.#deref(schema.items);
    const properties = isObject(items.properties) ? items.properties : undefined;
    if (properties) {
      // Chapters of a chapter: the material says nothing about them.
      if (place.chapter) return [];
      const isOutline = 'title' in properties && /chapter|section|child|outline|node|章|节|目录/i.test(name);
      if (isOutline) {
        const chapters = chaptersOf(this.#brief.units, this.#brief.task, this.#brief.language).slice(0, limit);
        return chapters.map((chapter, at) => this.fill(items, name, { chapter, position: at + 1 }, depth + 1));
      }
      const names = Object.keys(properties);
      const records = this.#brief.units.filter(
        (unit): unit is Row => unit.kind === 'row' && unit.cells.some(([cell]) => names.includes(cell)),
      );
      return records
        .slice(0, limit)
        .map((record, at) => this.fill(items, name, { record, position: at + 1 }, depth + 1));
    }
    if (items.type !== undefined && items.type !== 'string') return [];
    if (/keyword|tag|关键词|标签/i.test(name)) return keywords(this.#source(), Math.min(limit, 8));
    const fact = this.#fact(name, schema);
    if (fact)
      return fact.value
        .split(/[、；;,，]\s*/)
        .filter((part) => part !== '')
        .slice(0, limit);
    if (/point|highlight|finding|summary|fact|evidence|要点|发现|摘要|依据/i.test(name))
      return this.#best(Math.min(limit, 5));
    return [];
  }

  #choose(options: unknown[], name: string, place: Place): unknown {
    const own = place.record?.cells.find(([cell]) => cell === name)?.[1] ?? this.#fact(name, {})?.value;
    const haystack = `${own ?? ''} ${this.#source()}`.toLowerCase();
    return (
      options.find((option) => option === own) ??
      options.find((option) => typeof option === 'string' && haystack.includes(option.toLowerCase())) ??
      options[0]
    );
  }

  #text(schema: Schema, name: string, { record, chapter, position }: Place): string | undefined {
    if (chapter) {
      if (/^(?:title|name|heading|标题|名称)$/i.test(name)) return chapter.title;
      if (/^nodeId$|^key$/i.test(name)) return `node_${position}`;
      if (/number|序号|编号/i.test(name)) return String(position);
      if (/unit.*id$|^id$/i.test(name)) return chapter.id;
      if (/description|instruction|summary|说明|描述/i.test(name)) return chapter.description;
      return undefined;
    }
    if (record) return record.cells.find(([cell]) => cell.toLowerCase() === name.toLowerCase())?.[1];
    const fact = this.#fact(name, schema);
    if (fact) return fact.value;
    if (/^(?:nodeId|id)$/i.test(name)) return 'root';
    if (/title|heading|标题/i.test(name)) return this.#title();
    if (/summary|content|text|answer|output|result|analysis|摘要|内容|回答|结论|正文/i.test(name)) return this.#prose();
    return undefined;
  }

  /** A fact with this name, or the one whose name shares words with the property's description. */
  #fact(name: string, schema: Schema): Fact | undefined {
    const same = this.#facts.find(({ key }) => key.toLowerCase() === name.toLowerCase());
    if (same) return same;
    const description = [schema.title, schema.description].filter((part) => typeof part === 'string').join(' ');
    const words = `${description} ${name.replace(/([a-z])([A-Z])/g, '$1 $2').replaceAll('_', ' ')}`;
    const scores = relevance(
      words,
      this.#facts.map(({ key }) => key),
    );
    const best = Math.max(0, ...scores);
    return best > 0 ? this.#facts[scores.indexOf(best)] : undefined;
  }

  #title(): string {
    const named = this.#facts.find(({ key }) => /^(?:任务名称|报告名称|报告标题|名称|taskName|title|name)$/i.test(key));
    return named?.value ?? /《([^》]{1,100})》/.exec(this.#brief.task)?.[1] ?? keywords(this.#brief.task, 4).join(' ');
  }

  #prose(): string {
    const { task, units, language } = this.#brief;
    if (units.length === 0) return '';
    const brief = { task, units, language, budget: 600 };
    return (writeAnswer(brief)?.split('\n\n').slice(1).join('\n') || writeReport(brief)).trim();
  }

  #best(count: number): string[] {
    const texts = this.#brief.units.map((unit) =>
      unit.kind === 'sentence'
        ? unit.text
        : unit.kind === 'fact'
          ? `${unit.key}：${unit.value}`
          : unitText(unit).trim(),
    );
    const scores = relevance(this.#brief.task, texts);
    return texts
      .map((text, at) => ({ text, at, score: scores[at] ?? 0 }))
      .toSorted((a, b) => b.score - a.score)
      .slice(0, count)
      .toSorted((a, b) => a.at - b.at)
      .map(({ text }) => text);
  }

  #source(): string {
    return `${this.#brief.task} ${this.#brief.units.map(unitText).join(' ')}`;
  }
}

/** The figure at the beginning of a text. */
const toNumber = (text: string | undefined): number | undefined => {
  const match = text === undefined ? null : /^[^\d-]{0,3}(-?\d[\d,]*(?:\.\d+)?)/.exec(text.trim());
  const number = match?.[1] === undefined ? Number.NaN : Number(match[1].replaceAll(',', ''));
  return Number.isFinite(number) ? number : undefined;
};
