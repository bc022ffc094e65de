import type { DatabaseSync } from 'node:sqlite';
import { type Block, blocksOf, type Postings, readBlock } from './postings.ts';

/** Segments of about one size that are merged into one. */
const TOGETHER = 8;
/** Passages of a segment that is merged no more: what merges at once keeps the writer busy for seconds only. */
const LARGEST = 200_000;
/** Rows that are written at once: reading and writing take turns. */
const ROWS = 2000;
/** A segment of which a larger share is gone is written anew without it. */
const MOST_GONE = 1 / 3;

/** Does one piece of work, in the transaction of the caller. False when there is nothing to do. */
export function mergeSegments(database: DatabaseSync): boolean {
  const sizes = database
    .prepare(
      `SELECT segments.id, passages, coalesce(held.live, 0) AS live FROM segments
       LEFT JOIN (SELECT segment, sum(count) AS live FROM documents GROUP BY segment) held ON held.segment = segments.id
       ORDER BY segments.id`,
    )
    .all()
    .map(({ id, passages, live }) => ({ id: Number(id), passages: Number(passages), live: Number(live) }));
  const poor = sizes.find(({ passages, live }) => passages - live > passages * MOST_GONE || live === 0);
  if (poor !== undefined) {
    merge(database, [poor.id], poor.live);
    return true;
  }
  const classes = Map.groupBy(
    sizes.filter(({ live }) => live < LARGEST),
    ({ live }) => Math.floor(Math.log(live) / Math.log(TOGETHER)),
  );
  for (const same of classes.values()) {
    if (same.length < TOGETHER) continue;
    const chosen = same.slice(0, TOGETHER);
    merge(
      database,
      chosen.map(({ id }) => id),
      chosen.reduce((sum, { live }) => sum + live, 0),
    );
    return true;
  }
  return false;
}

function merge(database: DatabaseSync, segments: readonly number[], passages: number): void {
  const list = segments.join(', ');
  if (passages > 0) {
    const made = Number(database.prepare('INSERT INTO segments(passages) VALUES (?)').run(passages).lastInsertRowid);
    const insert = database.prepare('INSERT INTO postings VALUES (?, ?, ?, ?, ?, ?)');
    const isLive = liveness(database, list);
    // Each part comes sorted from its table: SQLite joins them as it goes.
    const rows = database
      .prepare(
        `${segments
          .map((segment) => `SELECT term, first, last, count, data FROM postings WHERE segment = ${segment}`)
          .join(' UNION ALL ')} ORDER BY term, first`,
      )
      .iterate();
    let waiting: [string, Block][] = [];
    const write = () => {
      for (const [term, { first, last, count, data }] of waiting) insert.run(made, term, first, last, count, data);
      waiting = [];
    };
    let current = '';
    let postings: Postings = { ids: [], units: [] };
    const end = () => {
      for (const block of blocksOf(inOrder(postings, isLive))) waiting.push([current, block]);
      postings = { ids: [], units: [] };
      if (waiting.length >= ROWS) write();
    };
    for (const { term, first, data } of rows) {
      if (term !== current) {
        end();
        current = String(term);
      }
      readBlock(Number(first), data as Uint8Array, postings);
    }
    end();
    write();
    database.exec(`UPDATE documents SET segment = ${made} WHERE segment IN (${list})`);
  }
  database.exec(`DELETE FROM postings WHERE segment IN (${list}); DELETE FROM segments WHERE id IN (${list})`);
}

/** Whether a passage is one of a document that is there. */
function liveness(database: DatabaseSync, list: string): (id: number) => boolean {
  const ranges = database
    .prepare(`SELECT first, first + count AS after FROM documents WHERE segment IN (${list}) AND count > 0 ORDER BY 1`)
    .all()
    .map(({ first, after }) => [Number(first), Number(after)] as const);
  return (id) => {
    let [low, high] = [0, ranges.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((ranges[middle]?.[1] ?? 0) > id) high = middle;
      else low = middle + 1;
    }
    return id >= (ranges[low]?.[0] ?? Number.POSITIVE_INFINITY);
  };
}

/** Segments hold passages of any time: their blocks may lie within one another. */
function inOrder({ ids, units }: Postings, isLive: (id: number) => boolean): Postings {
  const places: number[] = [];
  let ascending = true;
  for (const [at, id] of ids.entries()) {
    if (at > 0 && id < (ids[at - 1] ?? 0)) ascending = false;
    if (isLive(id)) places.push(at);
  }
  if (ascending && places.length === ids.length) return { ids, units };
  if (!ascending) places.sort((a, b) => (ids[a] ?? 0) - (ids[b] ?? 0));
  return { ids: places.map((at) => ids[at] ?? 0), units: places.map((at) => units[at] ?? 0) };
}

/** Forgets characters of terms that no passage has any more. */
export function pruneParts(database: DatabaseSync): void {
  database.exec(`
    CREATE TEMP TABLE used AS SELECT DISTINCT term FROM postings;
    CREATE INDEX temp.used_term ON used(term);
    DELETE FROM parts WHERE term NOT IN (SELECT term FROM used);
    DROP TABLE temp.used;
  `);
}
