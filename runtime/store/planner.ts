import {
  type Bound,
  boundOf,
  combine,
  descend,
  everything,
  extend,
  maxRanges,
  merge,
  points,
  type Range,
  top,
  width,
} from './bounds.ts';
import { BSONRegExp, type Doc, isDoc, toNumber } from './bson.ts';
import type { Collection } from './database.ts';
import { CommandError } from './errors.ts';
import { type Index, sameKey } from './indexes.ts';
import { equal } from './keys.ts';
import { type Condition, compileFilter, type Filter, type Leaf } from './match.ts';

export interface CollectionScan {
  kind: 'scan';
  reverse: boolean;
}
export interface IndexScan {
  kind: 'index';
  index: Index;
  /** In the order of the index, without overlaps. */
  ranges: Range[];
  reverse: boolean;
  /** The rows come in the wanted order. */
  sorted: boolean;
  /** Number of leading key fields that are bounded. */
  bounded: number;
  /** The bounds say all that the filter says: entries can be counted without reading documents. */
  exact: boolean;
  /** At most one document can be there. */
  single: boolean;
}
export interface UnionScan {
  kind: 'union';
  plans: IndexScan[];
}
export type Plan = CollectionScan | IndexScan | UnionScan;

/** Conditions that must all hold, by path; the groups of one `$elemMatch` belong to one element. */
interface Conjunction {
  leaves: Leaf[];
  /** Conditions of one `$elemMatch`, with full paths. */
  elements: { path: string; leaves: Leaf[] }[];
  unions: Condition[][];
  /** Equalities that do not look into arrays. */
  equalities: { path: string; value: unknown }[];
  complete: boolean;
}

function conjunction(
  condition: Condition,
  found: Conjunction = { leaves: [], elements: [], unions: [], equalities: [], complete: true },
): Conjunction {
  if (condition.kind === 'and') for (const child of condition.children) conjunction(child, found);
  else if (condition.kind === 'or') {
    found.unions.push(condition.children);
    found.complete = false;
  } else if (condition.kind === 'leaf') {
    found.leaves.push(condition);
    if (condition.operator === '$elemMatch') {
      found.complete = false;
      found.elements.push({ path: condition.path, leaves: elementLeaves(condition) });
    }
  } else {
    if (condition.kind === 'other') found.equalities.push(...(condition.equalities ?? []));
    found.complete = false;
  }
  return found;
}

function elementLeaves(leaf: Leaf): Leaf[] {
  if (leaf.inner) {
    return conjunction(leaf.inner).leaves.map((inner) => ({ ...inner, path: `${leaf.path}.${inner.path}` }));
  }
  return isDoc(leaf.operand)
    ? Object.entries(leaf.operand).map(([operator, operand]) => ({
        kind: 'leaf' as const,
        path: leaf.path,
        operator,
        operand,
        test: leaf.test,
      }))
    : [];
}

/** What is known of one key field. On a multikey field conditions cannot be combined: each may hold for another element. */
function boundsOfField(all: Conjunction, path: string, multikey: boolean): Bound | undefined {
  const candidates: Bound[] = [];
  for (const leaf of all.leaves) {
    const bound = leaf.path === path ? boundOf(leaf) : undefined;
    if (bound) candidates.push(bound);
  }
  for (const element of all.elements) {
    const bounds = element.leaves
      .filter((leaf) => leaf.path === path)
      .map(boundOf)
      .filter((bound) => bound !== undefined);
    const combined = combine(bounds);
    if (combined) candidates.push({ ...combined, exact: false });
  }
  if (!multikey) {
    for (const { path: other, value } of all.equalities) {
      if (other === path && !Array.isArray(value))
        candidates.push({ intervals: points(value), present: value !== null && value !== undefined, exact: false });
    }
    return combine(candidates);
  }
  const [best] = candidates.sort((a, b) => width(a) - width(b));
  return best && { ...best, exact: false };
}

export type SortSpec = { path: string; descending: boolean }[];

/** @throws {CommandError} 2 for an order that is neither 1 nor -1 */
export function parseSort(sort: unknown): SortSpec {
  if (sort === undefined || sort === null) return [];
  if (!isDoc(sort)) throw new CommandError(14, 'Expected field sort to be of type object');
  return Object.entries(sort).map(([path, order]) => {
    const number = toNumber(order);
    if (isDoc(order) && '$meta' in order)
      throw new CommandError(2, '$meta sort is not supported by the embedded store');
    if (number !== 1 && number !== -1)
      throw new CommandError(15975, '$sort key ordering must be 1 (for ascending) or -1 (for descending)');
    return { path, descending: number < 0 };
  });
}

/** Whether every document the filter finds is sure to be in a sparse or partial index. */
function usable(index: Index, all: Conjunction, firstBound: Bound | undefined): boolean {
  if (index.spec.hidden) return false;
  if (index.sparse) {
    const present =
      firstBound?.present ||
      all.leaves.some(
        (leaf) => leaf.path === index.fields[0]?.path && leaf.operator === '$exists' && leaf.operand === true,
      );
    if (!present) return false;
  }
  return !index.partial || implies(all, index.partial.root);
}

function implies(all: Conjunction, wanted: Condition): boolean {
  if (wanted.kind === 'and') return wanted.children.every((child) => implies(all, child));
  if (wanted.kind === 'or') return wanted.children.some((child) => implies(all, child));
  if (wanted.kind !== 'leaf') return false;
  return all.leaves.some((leaf) => {
    if (leaf.path !== wanted.path) return false;
    if (leaf.operator === wanted.operator && equal(leaf.operand, wanted.operand)) return true;
    if (wanted.operator === '$exists') return boundOf(leaf)?.present ?? false;
    if (leaf.operator === '$in' && Array.isArray(leaf.operand))
      return leaf.operand.every((value) => valueImplies(value, wanted));
    if (leaf.operator === '$eq') return valueImplies(leaf.operand, wanted);
    const [have, need] = [boundOf(leaf), boundOf(wanted)];
    if (!have || !need?.exact) return false;
    return have.intervals.every((a) =>
      need.intervals.some((b) => Buffer.compare(b.low, a.low) <= 0 && Buffer.compare(a.high, b.high) <= 0),
    );
  });
}

function valueImplies(value: unknown, wanted: Leaf): boolean {
  if (value === null || value === undefined || Array.isArray(value) || value instanceof BSONRegExp) return false;
  const { operator, operand } = wanted;
  return compileFilter({ v: { [operator]: operand } }).test({ v: value });
}

function indexPlan(index: Index, all: Conjunction, sort: SortSpec): IndexScan | undefined {
  const bounds = index.fields.map(({ path }, i) => boundsOfField(all, path, index.multikey[i] ?? false));
  if (!usable(index, all, bounds[0])) return undefined;
  const hashed = Object.values(index.spec.key).includes('hashed');
  let ranges: Range[] = [{ low: Buffer.alloc(0), high: top }];
  let bounded = 0;
  let fixed = 0; // leading fields with one value
  let exact = all.complete && !index.cut && !index.multikey.includes(true);
  const used = new Set<string>();
  const roots = new Set<string>();
  for (const [i, bound] of bounds.entries()) {
    const { path = '', descending = false } = index.fields[i] ?? {};
    const root = path.split('.', 1)[0] ?? '';
    // Two fields below one array: their conditions may hold for different elements.
    if (!bound || (index.multikey[i] && roots.has(root) && !oneElement(all, index, i))) break;
    roots.add(root);
    const intervals = merge(bound.intervals).map((interval) => (descending ? descend(interval) : interval));
    if (descending) intervals.reverse();
    if (ranges.length * Math.max(intervals.length, 1) > maxRanges) break;
    if (i > 0 && ranges.length * intervals.length > 1000) break;
    const next: Range[] = [];
    for (const range of ranges)
      for (const interval of intervals) next.push(extend(i === 0 ? Buffer.alloc(0) : range.low, interval));
    ranges = next;
    bounded++;
    exact &&= bound.exact;
    used.add(path);
    if (!intervals.every((interval) => interval.point)) break;
    if (intervals.length <= 1 && fixed === i) fixed++;
  }
  exact &&= all.leaves.every((leaf) => used.has(leaf.path) && boundOf(leaf) !== undefined);
  const order = hashed ? undefined : sortOrder(index, fixed, sort);
  const single = index.unique && !index.cut && fixed === index.fields.length;
  const [reverse, sorted] = [order === 'backward', order !== undefined];
  return { kind: 'index', index, ranges, reverse, sorted, bounded, exact, single };
}

/** Whether the conditions on this field and those before it come from one `$elemMatch` around their common array. */
function oneElement(all: Conjunction, index: Index, field: number): boolean {
  const paths = index.fields.slice(0, field + 1).map(({ path }) => path);
  return all.elements.some(
    (element) =>
      paths.every((path) => element.leaves.some((leaf) => leaf.path === path)) &&
      !all.leaves.some((leaf) => paths.includes(leaf.path)),
  );
}

function sortOrder(index: Index, fixed: number, sort: SortSpec): 'forward' | 'backward' | undefined {
  if (sort.length === 0) return 'forward';
  if (index.cut) return undefined;
  const constant = new Set(
    index.fields
      .slice(0, fixed)
      .filter((_, i) => !index.multikey[i])
      .map(({ path }) => path),
  );
  let at = 0;
  let backward: boolean | undefined;
  for (const { path, descending } of sort) {
    if (constant.has(path)) continue;
    while (at < fixed) at++;
    const field = index.fields[at];
    if (!field || field.path !== path || index.multikey[at]) return undefined;
    const flipped = field.descending !== descending;
    if (backward !== undefined && backward !== flipped) return undefined;
    backward = flipped;
    at++;
  }
  return backward ? 'backward' : 'forward';
}

export interface PlanRequest {
  filter: Filter;
  sort: SortSpec;
  limited: boolean;
  hint?: unknown;
  /** Entries within the ranges, counted up to a small limit; helps to choose between indexes. */
  estimate(plan: IndexScan, limit: number): number;
}

/** Chooses how the documents of a filter are found. */
export function choosePlan(collection: Collection, request: PlanRequest): Plan {
  const { filter, sort } = request;
  const natural = sort[0]?.path === '$natural' ? sort[0] : undefined;
  if (natural) return { kind: 'scan', reverse: natural.descending };
  const all = conjunction(filter.root);
  if (request.hint !== undefined && request.hint !== null) return hinted(collection, request, all);

  const candidates: IndexScan[] = [];
  for (const index of collection.indexes.values()) {
    const plan = indexPlan(index, all, sort);
    // Nothing can be better, so the others need not be looked at.
    if (plan?.single) return plan;
    if (plan && (plan.bounded > 0 || (sort.length > 0 && plan.sorted))) candidates.push(plan);
  }
  const bounded = candidates.filter((plan) => plan.bounded > 0);
  if (bounded.length === 0) {
    const union = unionPlan(collection, all);
    if (union) return union;
    return candidates[0] ?? { kind: 'scan', reverse: false };
  }
  if (bounded.length === 1 && candidates.length === 1 && bounded[0]) return bounded[0];
  return cheapest(candidates, request);
}

/** Costs are rough: an entry read costs 1, an entry to be sorted one more; a sorted plan with a limit may stop early. */
function cheapest(candidates: IndexScan[], request: PlanRequest): Plan {
  const limit = 2000;
  let best: { plan: IndexScan; cost: number } | undefined;
  for (const plan of candidates) {
    const entries = plan.bounded === 0 ? limit * 4 : request.estimate(plan, limit);
    let cost = entries >= limit ? limit * (4 - Math.min(plan.bounded, 3)) : entries;
    if (request.sort.length > 0) {
      if (!plan.sorted) cost = cost * 2 + 10;
      else if (request.limited && entries >= limit) cost /= 2;
    }
    cost += plan.index.fields.length * 0.1 - plan.bounded * 0.5;
    if (!best || cost < best.cost) best = { plan, cost };
  }
  return best?.plan ?? { kind: 'scan', reverse: false };
}

function unionPlan(collection: Collection, all: Conjunction): UnionScan | undefined {
  for (const children of all.unions) {
    const plans: IndexScan[] = [];
    for (const child of children) {
      const branch = conjunction(child);
      const both: Conjunction = {
        leaves: [...branch.leaves, ...all.leaves],
        elements: [...branch.elements, ...all.elements],
        unions: [],
        equalities: [...branch.equalities, ...all.equalities],
        complete: false,
      };
      let best: IndexScan | undefined;
      for (const index of collection.indexes.values()) {
        const plan = indexPlan(index, both, []);
        if (plan && plan.bounded > (best?.bounded ?? 0)) best = plan;
      }
      const nested = best ? undefined : unionPlan(collection, branch);
      if (best) plans.push(best);
      else if (nested) plans.push(...nested.plans);
      else break;
      if (child === children.at(-1)) return { kind: 'union', plans };
    }
  }
  return undefined;
}

function hinted(collection: Collection, request: PlanRequest, all: Conjunction): Plan {
  const { hint } = request;
  if (isDoc(hint) && '$natural' in hint) return { kind: 'scan', reverse: (toNumber(hint.$natural) ?? 1) < 0 };
  const index = [...collection.indexes.values()].find(({ spec }) =>
    typeof hint === 'string' ? spec.name === hint : isDoc(hint) && sameKey(spec.key, hint),
  );
  if (!index)
    throw new CommandError(2, 'error processing query: hint provided does not correspond to an existing index');
  const plan = indexPlan(index, all, request.sort);
  if (plan) return plan;
  // The index leaves documents out that the filter may want: as in MongoDB the hint wins, for sparse ones.
  return {
    kind: 'index',
    index,
    ranges: [{ low: everything.low, high: top }],
    reverse: false,
    sorted: false,
    bounded: 0,
    exact: false,
    single: false,
  };
}

/** The plan in the words of `explain`. */
export function describePlan(plan: Plan, filter?: Doc): Doc {
  const show = (scan: IndexScan): Doc => ({
    stage: 'FETCH',
    ...(filter && Object.keys(filter).length > 0 && { filter }),
    inputStage: {
      stage: 'IXSCAN',
      keyPattern: scan.index.spec.key,
      indexName: scan.index.spec.name,
      isMultiKey: scan.index.multikey.includes(true),
      isUnique: scan.index.unique,
      isSparse: scan.index.sparse,
      isPartial: scan.index.partial !== undefined,
      direction: scan.reverse ? 'backward' : 'forward',
      ranges: scan.ranges.length,
      boundedFields: scan.bounded,
    },
  });
  if (plan.kind === 'index') return show(plan);
  if (plan.kind === 'union') {
    return {
      stage: 'FETCH',
      ...(filter && { filter }),
      inputStage: { stage: 'OR', inputStages: plan.plans.map((scan) => show(scan).inputStage) },
    };
  }
  return {
    stage: 'COLLSCAN',
    ...(filter && Object.keys(filter).length > 0 && { filter }),
    direction: plan.reverse ? 'backward' : 'forward',
  };
}
