/**
 * How much of one data package goes into a report. What is beyond is counted and said in a plain note; the package
 * itself stays whole in the store.
 */
export const limits = {
  /** Nested objects below this depth are written out in one cell. */
  depth: 4,
  /** Entries of one object. */
  entries: 200,
  rows: 200,
  columns: 24,
  /** Cells of all tables together. */
  cells: 8000,
  /** Characters of all tables together: about 150 pages. */
  chars: 150_000,
  /** Tables and lists of key/values. */
  parts: 120,
  /** Characters of a cell, and of a label. */
  cellChars: 1500,
  labelChars: 80,
  /** Items of a list of plain values. */
  listItems: 60,
  chartsPerTable: 4,
  seriesPerChart: 6,
  facts: 240,
  factChars: 400,
} as const;
