import { shorten } from '../render/text.ts';
import { periodGrid, shareGrid } from './grids.ts';
import { limits } from './limits.ts';
import { materialTexts, type Part, type ReadOptions, type ValuesPart } from './parts.ts';
import { readPeriod, readPeriods } from './periods.ts';
import { Budget, isPlainObject, isUnitKey, type Place } from './place.ts';
import { memberGrid, recordGrid } from './records.ts';
import { unitOfEntries, unitOfLabel } from './units.ts';
import { entriesOf, groupDigits, isScalar, printLabel, printNested, printValue } from './values.ts';

/**
 * Reads the free-form data of a package into lists of values, tables and series. Every input gives a result of
 * bounded size; what is left out is said in notes.
 *
 * @param data any JSON value
 */
export function readParts(data: unknown, options: ReadOptions): Part[] {
  const texts = materialTexts(options.language);
  const root = isPlainObject(data) ? data : isScalar(data) && isNothing(data) ? {} : { [texts.content]: data };
  const reader = new Reader(options);
  reader.readObject(root, { title: '', path: '', depth: 0, unit: '' });
  return reader.parts;
}

const isNothing = (value: unknown): boolean => value === null || value === undefined;

class Reader {
  readonly parts: Part[] = [];
  #options: ReadOptions;
  #budget: Budget;

  constructor(options: ReadOptions) {
    this.#options = options;
    this.#budget = new Budget(options.share);
  }

  readObject(object: Record<string, unknown>, place: Place): void {
    const { language } = this.#options;
    const texts = materialTexts(language);
    const all = entriesOf(object);
    const entries = all.slice(0, limits.entries);
    const unit = unitOfEntries(entries) || place.unit;
    const within = (key: string): Place => ({
      title: place.title ? `${place.title} / ${printLabel(key)}` : printLabel(key),
      path: place.path ? `${place.path}.${printLabel(key)}` : printLabel(key),
      depth: place.depth + 1,
      unit: unitOfLabel(key) || unit,
    });

    const values: ValuesPart = { kind: 'values', title: place.title, items: [] };
    const shared = sharedPeriods(entries);
    const unitInTitle = shared.size > 0 && unitOfEntries(entries) !== '';
    const nested: [string, unknown][] = [];
    for (const [key, value] of entries) {
      if (shared.has(key) || (unitInTitle && isUnitKey(key))) continue;
      if (isScalar(value) || isShortList(value) || isEmpty(value) || place.depth >= limits.depth) {
        const text = isScalar(value) ? printValue(value, key, language) : this.#printList(value, key);
        values.items.push({ label: printLabel(key), text, value, path: within(key).path });
      } else {
        nested.push([key, value]);
      }
    }
    let left = all.length - entries.length;
    const affordable = this.#budget.take(values.items.map(({ label, text: shown }) => [label, shown]));
    left += values.items.length - affordable;
    values.items.length = affordable;
    if (affordable > 0) this.#add(values);
    if (shared.size > 0) {
      const rows = entries.filter(([key]) => shared.has(key)) as [string, Record<string, unknown>][];
      const names = rows
        .slice(0, 3)
        .map(([key]) => printLabel(key))
        .join(texts.and);
      const name = place.title || (rows.length > 3 ? names + texts.etc(rows.length) : names);
      const title = unitInTitle ? texts.inUnit(name, printLabel(unit)) : name;
      this.#addAll(periodGrid(rows, { ...place, title, unit }, this.#options, this.#budget));
    }
    for (const [key, value] of nested) {
      if (this.#budget.spent) left += 1;
      else this.#readNested(value, within(key));
    }
    if (left > 0) this.parts.push({ kind: 'note', text: texts.moreEntries(place.title, groupDigits(left)) });
  }

  #readNested(value: unknown, place: Place): void {
    if (Array.isArray(value)) {
      this.#addAll(recordGrid(value, place, this.#options, this.#budget));
      return;
    }
    if (!isPlainObject(value)) return;
    const entries = entriesOf(value);
    if (entries.length > limits.entries) {
      this.readObject(value, place);
      return;
    }
    const scalars = entries.filter(([key, item]) => isScalar(item) && !isUnitKey(key));
    if (scalars.length === entries.filter(([key]) => !isUnitKey(key)).length) {
      const unit = unitOfEntries(entries) || place.unit;
      if (readPeriods(scalars.map(([key]) => key))) {
        this.#addAll(
          periodGrid(
            [[lastName(place.title), Object.fromEntries(scalars)]],
            { ...place, unit },
            this.#options,
            this.#budget,
          ),
        );
        return;
      }
      const share = shareGrid(scalars, { ...place, unit }, this.#options, this.#budget);
      if (share) {
        this.#addAll(share);
        return;
      }
    }
    const members = memberGrid(entries, place, this.#options, this.#budget);
    if (members) this.#addAll(members);
    else this.readObject(value, place);
  }

  #printList(value: unknown, key: string): string {
    const { language } = this.#options;
    if (!Array.isArray(value) || !value.every(isScalar)) return printNested(value, key, language);
    const texts = materialTexts(language);
    const shown = value.slice(0, limits.listItems).map((item) => printValue(item, key, language));
    const text = shown.join(texts.and) || '—';
    const cut = shorten(text, limits.cellChars);
    return value.length > limits.listItems ? cut + texts.etc(value.length) : cut;
  }

  #add(part: Part): void {
    this.#budget.parts -= 1;
    this.parts.push(part);
  }

  #addAll(parts: Part[]): void {
    for (const part of parts) this.#add(part);
  }
}

const lastName = (title: string): string => title.split(' / ').at(-1) ?? title;

const isEmpty = (value: unknown): boolean =>
  Array.isArray(value) ? value.length === 0 : isPlainObject(value) && Object.keys(value).length === 0;

const isShortList = (value: unknown): boolean => Array.isArray(value) && value.every(isScalar);

/** Keys whose values are objects by period, when there are at least two of them: together they are one table. */
function sharedPeriods(entries: [string, unknown][]): Set<string> {
  const keys = new Set<string>();
  let axis: string | undefined;
  for (const [key, value] of entries) {
    if (!isPlainObject(value) || readPeriod(key)) continue;
    const inner = entriesOf(value);
    const periods = inner.every(([, item]) => isScalar(item)) ? readPeriods(inner.map(([name]) => name)) : undefined;
    if (!periods) continue;
    // Years and months are different tables.
    const kind = `${periods[0]?.kind}${periods[0]?.year === undefined}`;
    axis ??= kind;
    if (kind === axis) keys.add(key);
  }
  return keys.size >= 2 ? keys : new Set();
}
