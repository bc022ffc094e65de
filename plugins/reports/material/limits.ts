/**
 * How much of one data package goes into a report: what a bank files, not an excerpt. What is beyond is counted and said in
 * a plain note; the package itself stays whole in the store.
 */
export const limits = {
  /** Nested objects below this depth are written out in one cell. */
  depth: 4,
  /** Entries of one object. */
  entries: 5000,
  /** Rows of one table. */
  rows: 5000,
  columns: 400,
  /** Cells of all tables together; a row counts as four at least: at most 1700 pages. */
  cells: 200_000,
  cellsOfRow: 4,
  /** Characters of all tables together: more than a body of 2 MiB has. */
  chars: 3_000_000,
  /** Tables and lists of key/values. */
  parts: 3000,
  /** Characters of a cell, and of a label. */
  cellChars: 20_000,
  labelChars: 200,
  /** Items of a list of plain values. */
  listItems: 5000,
  chartsPerTable: 4,
  seriesPerChart: 6,
  facts: 240,
  factChars: 400,
} as const;
