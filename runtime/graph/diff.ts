import { isRecord, textOf } from './values.ts';

/** One changed field; `undefined` stands for a missing value. */
export interface FieldChange {
  /** Dotted path, for example `data.prompt`. Lists are compared as a whole. */
  field: string;
  before: unknown;
  after: unknown;
}

export interface ItemChange {
  id: string;
  changes: FieldChange[];
}

export interface PartDiff {
  added: { id: string; item: unknown }[];
  removed: { id: string; item: unknown }[];
  changed: ItemChange[];
}

export interface GraphDiff {
  nodes: PartDiff;
  edges: PartDiff;
  /** True when nothing differs; a changed order of nodes or edges does not count. */
  same: boolean;
}

interface Graph {
  nodes: unknown;
  edges: unknown;
}

/**
 * What has to be done to `a` to get `b`. Nodes and edges are matched by id; edges without one by their ends and handle. Takes
 * graphs of any form: what is no list counts as empty.
 */
export function diffGraphs(a: Graph, b: Graph): GraphDiff {
  const nodes = diffPart(byKey(a.nodes, nodeKey), byKey(b.nodes, nodeKey));
  const edges = diffPart(byKey(a.edges, edgeKey), byKey(b.edges, edgeKey));
  const same = [nodes, edges].every((part) => part.added.length + part.removed.length + part.changed.length === 0);
  return { nodes, edges, same };
}

const nodeKey = (item: Record<string, unknown>) => textOf(item.id);

const edgeKey = (item: Record<string, unknown>) => {
  if (typeof item.id === 'string' && item.id !== '') return item.id;
  const handle = textOf(item.sourceHandle);
  return `${textOf(item.source)}${handle === '' ? '' : `:${handle}`} -> ${textOf(item.target)}`;
};

function byKey(list: unknown, keyOf: (item: Record<string, unknown>) => string): Map<string, unknown> {
  const items = new Map<string, unknown>();
  const repeats = new Map<string, number>();
  (Array.isArray(list) ? list : []).forEach((item: unknown, at) => {
    const key = isRecord(item) ? keyOf(item) : `#${at + 1}`;
    const repeat = (repeats.get(key) ?? 0) + 1;
    repeats.set(key, repeat);
    items.set(repeat === 1 ? key : `${key} (${repeat})`, item);
  });
  return items;
}

function diffPart(before: ReadonlyMap<string, unknown>, after: ReadonlyMap<string, unknown>): PartDiff {
  const part: PartDiff = { added: [], removed: [], changed: [] };
  for (const [id, item] of before) {
    if (!after.has(id)) {
      part.removed.push({ id, item });
      continue;
    }
    const changes: FieldChange[] = [];
    diffFields(item, after.get(id), '', changes, 0);
    if (changes.length > 0) part.changed.push({ id, changes });
  }
  for (const [id, item] of after) if (!before.has(id)) part.added.push({ id, item });
  return part;
}

const MAX_DEPTH = 20;

function diffFields(before: unknown, after: unknown, field: string, changes: FieldChange[], depth: number): void {
  if (!isRecord(before) || !isRecord(after) || depth > MAX_DEPTH) {
    if (!identical(before, after)) changes.push({ field, before, after });
    return;
  }
  for (const name of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const [a, b] = [before, after].map((item) => (Object.hasOwn(item, name) ? item[name] : undefined));
    diffFields(a, b, field === '' ? name : `${field}.${name}`, changes, depth + 1);
  }
}

/** Deep equality of JSON. Unlike in expressions, the number 5 and the text 5, and null and missing, differ. */
function identical(a: unknown, b: unknown, depth = 0): boolean {
  if (Object.is(a, b)) return true;
  if (depth > 200) return false;
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((item, at) => identical(item, b[at], depth + 1));
  }
  if (!isRecord(a) || !isRecord(b)) return false;
  const names = Object.keys(a);
  return (
    names.length === Object.keys(b).length &&
    names.every((name) => Object.hasOwn(b, name) && identical(a[name], b[name], depth + 1))
  );
}
