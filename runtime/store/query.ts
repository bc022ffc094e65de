import { decode, FieldSet, pick, type Raw } from './bson.ts';
import type { Collection, Database } from './database.ts';
import type { Filter } from './match.ts';
import type { Operation } from './operation.ts';
import { choosePlan, type Plan, type SortSpec } from './planner.ts';
import { countEntries, estimate, type Row, Scan } from './scan.ts';
import { Sorter, sortKeyer } from './sorter.ts';

export interface Query {
  filter: Filter;
  sort: SortSpec;
  skip: number;
  /** 0 means all. */
  limit: number;
  hint?: unknown;
}

export interface Statistics {
  keysExamined: number;
  docsExamined: number;
}

export function planQuery(database: Database, collection: Collection, query: Query): Plan {
  database.checkAlive(collection);
  return choosePlan(collection, {
    filter: query.filter,
    sort: query.sort,
    limited: query.limit > 0,
    hint: query.hint,
    estimate: (plan, limit) => estimate(database, plan, limit),
  });
}

/** A function that tests stored documents, decoding only what the filter looks at. */
export function rawTest(filter: Filter): (raw: Raw) => boolean {
  if (filter.matchesAll) return () => true;
  const { paths, typed } = filter;
  if (!paths) return (raw) => filter.test(decode(raw));
  const fields = new FieldSet(paths);
  return (raw) => filter.test(pick(raw, fields, typed));
}

/** The matching rows in no particular order but that of the plan. */
export async function* matching(
  database: Database,
  collection: Collection,
  plan: Plan,
  filter: Filter,
  operation: Operation,
  statistics?: Statistics,
): AsyncGenerator<Row[]> {
  const scan = new Scan(database, collection, plan);
  const test = rawTest(filter);
  // Without a filter every row counts, so reading ahead of the client is waste.
  const wasteful = filter.matchesAll || (plan.kind === 'index' && plan.exact);
  for (;;) {
    const rows = scan.next(wasteful ? operation.wanted : Number.POSITIVE_INFINITY);
    if (!rows) return;
    const hits: Row[] = [];
    for (const row of rows) {
      if (test(row.raw)) hits.push(row);
      if (operation.due) await operation.pause();
    }
    if (statistics) {
      statistics.keysExamined = scan.keysExamined;
      statistics.docsExamined += rows.length;
    }
    if (hits.length > 0) yield hits;
  }
}

/** The rows of a query: filtered, in order, cut to skip and limit. */
export async function* find(
  database: Database,
  collection: Collection,
  query: Query,
  operation: Operation,
  plan: Plan = planQuery(database, collection, query),
  statistics?: Statistics,
): AsyncGenerator<Row[]> {
  const sorted =
    query.sort.length === 0 || query.sort[0]?.path === '$natural' || (plan.kind === 'index' && plan.sorted);
  const outer = operation.wanted;
  if (query.limit > 0) operation.wanted = Math.min(outer, query.skip + query.limit);
  const source = sorted
    ? matching(database, collection, plan, query.filter, operation, statistics)
    : inOrder(database, collection, plan, query, operation, statistics);
  let skip = query.skip;
  let left = query.limit > 0 ? query.limit : Number.POSITIVE_INFINITY;
  for await (const rows of source) {
    let part = rows;
    if (skip > 0) {
      part = rows.slice(skip);
      skip -= rows.length - part.length;
    }
    if (part.length > left) part = part.slice(0, left);
    left -= part.length;
    if (part.length > 0) yield part;
    if (left <= 0) return;
  }
}

async function* inOrder(
  database: Database,
  collection: Collection,
  plan: Plan,
  query: Query,
  operation: Operation,
  statistics?: Statistics,
): AsyncGenerator<Row[]> {
  const keyer = sortKeyer(query.sort);
  const sorter = new Sorter(operation, query.limit > 0 ? query.skip + query.limit : undefined);
  const test = rawTest(query.filter);
  const demand = operation.wanted;
  operation.wanted = Number.POSITIVE_INFINITY;
  try {
    for await (const rows of matching(database, collection, plan, query.filter, operation, statistics)) {
      for (const { rid, raw } of rows) sorter.add(keyer.key(pick(raw, keyer.fields)), rid);
      await sorter.settle();
    }
    operation.wanted = demand;
    for await (const rids of sorter.drain()) {
      let rows: Row[] = [];
      for (const rid of rids) {
        // Read again: between sorting and reading the document may have gone or changed.
        const raw = database.read(collection, Number(rid));
        if (raw && test(raw)) rows.push({ rid: Number(rid), raw });
        if (rows.length >= Math.min(256, operation.wanted)) {
          yield rows;
          rows = [];
        }
        if (operation.due) await operation.pause();
      }
      if (rows.length > 0) yield rows;
    }
  } finally {
    sorter.close();
  }
}

/** How many documents a query finds, sort, skip and limit aside; from the entries of an index alone where they say it all. */
export async function countMatches(
  database: Database,
  collection: Collection,
  query: Query,
  operation: Operation,
): Promise<number> {
  if (query.filter.matchesAll && query.hint === undefined) return database.count(collection);
  const plan = planQuery(database, collection, query);
  if (plan.kind === 'index' && plan.exact && query.limit === 0) {
    return countEntries(database, collection, plan, () => (operation.due ? operation.pause() : undefined));
  }
  let total = 0;
  for await (const rows of find(database, collection, query, operation, plan)) total += rows.length;
  return total;
}
