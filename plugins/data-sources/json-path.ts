/** One step into a document: a name, a position (from the end when negative), or every item. */
type Step = { name: string } | { index: number } | 'all';

const STEP = /\.?\[\s*(?:(-?\d{1,9})|(\*)|'([^']*)'|"([^"]*)")\s*\]|\.?([^.[\]]+)/gy;

/**
 * Reads a path: `$`, `a.b[0].c`, `$.a['x y'][-1]`, `items[*].name`. Nothing in it is evaluated.
 *
 * @returns undefined when the text is no path
 */
export function parsePath(text: string): Step[] | undefined {
  const rest = text.trim().replace(/^\$/, '');
  const steps: Step[] = [];
  let at = 0;
  STEP.lastIndex = 0;
  for (let match = STEP.exec(rest); match !== null; match = STEP.exec(rest)) {
    const [, index, every, single, double, bare] = match;
    if (index !== undefined) steps.push({ index: Number(index) });
    else if (every !== undefined || bare === '*') steps.push('all');
    else steps.push({ name: single ?? double ?? (bare as string) });
    at = STEP.lastIndex;
  }
  return at === rest.length ? steps : undefined;
}

/** What a path leads to; undefined when there is no such thing. `*` gives a list, and lists in it are joined. */
export function readPath(document: unknown, steps: readonly Step[]): unknown {
  let value = document;
  for (const [at, step] of steps.entries()) {
    if (step === 'all') {
      const rest = steps.slice(at + 1);
      return itemsOf(value).flatMap((item) => {
        const found = readPath(item, rest);
        return found === undefined ? [] : found;
      });
    }
    value = 'name' in step ? propertyOf(value, step.name) : Array.isArray(value) ? value.at(step.index) : undefined;
  }
  return value;
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

const itemsOf = (value: unknown): unknown[] =>
  Array.isArray(value) ? value : isObject(value) ? Object.values(value) : [];

function propertyOf(value: unknown, name: string): unknown {
  if (Array.isArray(value)) return /^\d+$/.test(name) ? value[Number(name)] : undefined;
  return isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
}

/** The form of every answer: a list, a single value as a list of one, nothing as an empty one. */
export const asList = (value: unknown): unknown[] =>
  Array.isArray(value) ? value : value === undefined || value === null ? [] : [value];
