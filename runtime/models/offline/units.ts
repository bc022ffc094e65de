import type { Material } from '../material.ts';
import { inOrder, isPeriod, type Point, parseSeries, splitUnit, toPoint, withUnit } from './series.ts';

interface Placed {
  ref?: string;
  /** Heading of the source under which it stands. */
  heading: string;
  /** Material that may be used when there is no other. */
  background: boolean;
}

export interface Fact extends Placed {
  kind: 'fact';
  key: string;
  /** As in the source; empty when the source leaves it open. */
  value: string;
  series?: Point[];
}

/** One line of a table or list of records. */
export interface Row extends Placed {
  kind: 'row';
  subject: string;
  cells: [name: string, value: string][];
}

/** One sentence of running text. */
export interface Sentence extends Placed {
  kind: 'sentence';
  text: string;
  /** Sentences of one source paragraph have the same number. */
  paragraph: number;
}

export type Unit = Fact | Row | Sentence;

/** Characters of material that are read; what is beyond is left out. */
const MAX_MATERIAL = 400_000;
const MAX_UNITS = 4000;

// Signs that would end a name stand behind a backslash in it.
const FACT =
  /^(?:[-*•·]\s*|\d{1,2}[.、)）]\s*)?((?:\\.|[^\\：:。！？!?；;]){1,200}?)\s*(?:：|:(?!\/\/)(?!\d{2}(?!\d)))\s*(.*)$/;
const unescapeName = (name: string): string => name.replace(/\\([\\：:。！？!?；;])/g, '$1');
const BULLET = /^(?:[-*•·]|\d{1,2}[.、)）])\s*/;

/** Reads facts, records and sentences out of material. */
export const readUnits = (materials: readonly Material[]): Unit[] => {
  const units: Unit[] = [];
  let paragraph = 0;
  let left = MAX_MATERIAL;
  for (const { ref, text, background = false } of materials) {
    const read = text.slice(0, left);
    left -= read.length;
    // `formatMaterial` disarms these; here they are text again.
    const body = read.replace(/‹(?=\/?material\b)/gi, '<');
    const place = (heading: string): Placed => ({ ...(ref !== undefined && { ref }), heading, background });
    const json = parseJson(body);
    if (json !== undefined) {
      units.push(...fromJson(json, place, ''));
      continue;
    }
    let heading = '';
    let inList = false;
    const lines = body.split(/\r?\n/);
    for (let at = 0; at < lines.length; at += 1) {
      const line = lines[at]?.trim() ?? '';
      if (line === '') {
        inList = false;
        continue;
      }
      const title = /^#{1,6}\s+(.+)$/.exec(line)?.[1] ?? /^【(.{1,40})】$/.exec(line)?.[1];
      if (title !== undefined) {
        heading = title.replace(/\s+#+\s*$/, '').trim();
        inList = false;
        continue;
      }
      if (line.startsWith('|')) {
        const table: string[] = [];
        while (at < lines.length && lines[at]?.trim().startsWith('|')) table.push((lines[at++] ?? '').trim());
        at -= 1;
        units.push(...fromTable(table, place(heading)));
        continue;
      }
      const fact = FACT.exec(line);
      const value = fact?.[2]?.trim() ?? '';
      const bulleted = BULLET.test(line);
      const name = unescapeName(fact?.[1] ?? '');
      if (name !== '' && (bulleted || name.length <= 24)) {
        const next = lines[at + 1] ?? '';
        // A name without value above a deeper list is a heading.
        if (value === '' && /^\s+[-*•·]/.test(next) && indent(next) > indent(lines[at] ?? '')) heading = name;
        else units.push(toFact(name, value, place(heading)));
        continue;
      }
      const sentences = splitSentences(line.replace(BULLET, ''));
      // A list of single sentences is one paragraph, as long as nothing stands between them.
      const listed = sentences.length === 1 && line.length <= 100;
      if (!(listed && inList)) paragraph += 1;
      inList = listed;
      for (const sentence of sentences) {
        units.push({ kind: 'sentence', text: sentence, paragraph, ...place(heading) });
      }
    }
  }
  return units.slice(0, MAX_UNITS);
};

const NOTHING = /^(?:-+|—+|null|undefined|none|n\/a)$/i;

const inUnit = (point: Point, unit: string): Point => {
  const text = withUnit(point.text, unit);
  return text === point.text ? point : { ...point, text, unit };
};

const indent = (line: string) => line.length - line.trimStart().length;

/** Without the Markdown signs around the whole of it. */
const plainName = (text: string): string =>
  text
    .trim()
    .replace(/^\*\*([^*]+)\*\*$/, '$1')
    .replace(/^`([^`]+)`$/, '$1');

const toFact = (key: string, value: string, placed: Placed): Fact => {
  // `**Name:** value` opens its bold text in the name and closes it in the value.
  const [label, content] =
    /^\*\*[^*]+$/.test(key) && /^\*\*/.test(value)
      ? [key.slice(2), value.slice(2)]
      : [plainName(key), plainName(value)];
  const { name, unit } = splitUnit(label.trim());
  const text = NOTHING.test(content) ? '' : withUnit(content.trim(), unit);
  const series = text === '' ? undefined : parseSeries(text)?.map((point) => inUnit(point, unit));
  return { kind: 'fact', key: name, value: text, ...(series && { series }), ...placed };
};

/** Sentences with their end marks; a text without any is one sentence. */
export const splitSentences = (text: string): string[] =>
  (text.match(/[^。！？]*?(?:[。！？]+[”’」』）)]*|[!?]+[”’」』）)"]*(?=\s|$)|\.(?=\s+[A-Z"“(])|$)/gu) ?? [])
    .map((sentence) => sentence.trim())
    .filter((sentence) => sentence !== '');

const parseJson = (text: string): unknown => {
  if (!/^[[{]/.test(text)) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    // Not JSON after all: it is read as text.
    return undefined;
  }
};

const scalar = (value: unknown): string => (value === null || value === undefined ? '' : String(value));

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Names become facts, inner objects headings, lists of objects rows, objects with years as names series. */
const fromJson = (value: unknown, place: (heading: string) => Placed, name: string, depth = 0): Unit[] => {
  const placed = place(name);
  if (depth > 6) return [];
  if (Array.isArray(value)) {
    const records = value.filter(isRecord);
    if (records.length > 0 && records.length === value.length) {
      const columns = [...new Set(records.flatMap((record) => Object.keys(record)))].filter((column) =>
        records.some((record) => typeof record[column] !== 'object' || record[column] === null),
      );
      return tableUnits(
        columns,
        records.map((record) => columns.map((column) => scalar(record[column]))),
        placed,
      );
    }
    const texts = value.filter((item) => typeof item !== 'object').map(scalar);
    return texts.length > 0 ? [toFact(name, texts.join('、'), place(''))] : [];
  }
  if (!isRecord(value)) return name === '' ? [] : [toFact(name, scalar(value), place(''))];
  const entries = Object.entries(value);
  if (entries.length > 0 && entries.every(([key, item]) => isPeriod(key) && typeof item !== 'object')) {
    return [toFact(name, entries.map(([key, item]) => `${key} ${scalar(item)}`).join('；'), place(''))];
  }
  return entries.flatMap(([key, item]) =>
    typeof item === 'object' && item !== null
      ? fromJson(item, place, key, depth + 1)
      : [toFact(key, scalar(item), placed)],
  );
};

const fromTable = (lines: string[], placed: Placed): Unit[] => {
  const rows = lines
    .map((line) =>
      line
        .replace(/^\||(?<!\\)\|$/g, '')
        .split(/(?<!\\)\|/)
        .map((cell) => cell.trim().replaceAll('\\|', '|')),
    )
    .filter((cells) => !cells.every((cell) => /^:?-{1,}:?$/.test(cell)));
  const [head, ...body] = rows;
  return head ? tableUnits(head, body, placed) : [];
};

const tableUnits = (head: string[], body: string[][], placed: Placed): Unit[] => {
  const inherited = splitUnit(placed.heading).unit;
  const series = (label: string, pairs: [string, string][]): Fact => {
    const { name: key, unit: own } = splitUnit(label);
    const points = pairs.map(([period, text]) => {
      const point = toPoint(period, text);
      return point && inUnit(point, own || inherited);
    });
    const value = pairs.map((pair) => pair.join(' ')).join('；');
    const complete = points.every((point) => point !== undefined) ? inOrder(points) : undefined;
    return { kind: 'fact', key, value, ...(complete && { series: complete }), ...placed };
  };
  const [corner = '', ...columns] = head;
  if (columns.length > 0 && columns.every(isPeriod)) {
    return body.map(([key = '', ...cells]) =>
      series(
        key,
        columns.map((period, at) => [period, cells[at] ?? '']),
      ),
    );
  }
  if (body.length > 1 && body.every(([first = '']) => isPeriod(first))) {
    return columns.map((key, at) =>
      series(
        key,
        body.map((cells) => [cells[0] ?? '', cells[at + 1] ?? '']),
      ),
    );
  }
  return body.map((cells) => ({
    kind: 'row',
    subject: cells[0] || corner,
    cells: head.map((label, at): [string, string] => {
      const { name, unit } = splitUnit(label);
      const value = cells[at] ?? '';
      return [name, NOTHING.test(value) ? '' : withUnit(value, at === 0 ? '' : unit || inherited)];
    }),
    ...placed,
  }));
};

/** The words of a unit, for ranking; the name of a fact counts twice. */
export const unitText = (unit: Unit): string => {
  if (unit.kind === 'sentence') return `${unit.heading} ${unit.text}`;
  if (unit.kind === 'fact') return `${unit.heading} ${unit.key} ${unit.key} ${unit.value}`;
  return `${unit.heading} ${unit.subject} ${unit.cells.flat().join(' ')}`;
};
