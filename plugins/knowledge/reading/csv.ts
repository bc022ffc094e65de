import { parse } from 'csv-parse/sync';
import type { Block, ReadDocument } from './blocks.ts';
import { hasText, rowText } from './blocks.ts';

const DELIMITERS = [',', ';', '\t', '|'];

/** A table of a text file: its rows stay whole, the head is repeated in every passage. */
export function readCsv(text: string): ReadDocument {
  const head = text.slice(0, 64 * 1024);
  const counts = DELIMITERS.map((delimiter) => ({ delimiter, count: head.split(delimiter).length }));
  const delimiter = counts.sort((a, b) => b.count - a.count)[0]?.delimiter ?? ',';
  const records: string[][] = parse(text, {
    delimiter,
    relaxQuotes: true,
    relaxColumnCount: true,
    skipEmptyLines: true,
  });
  const rows = records.map(rowText).filter(hasText);
  const blocks: Block[] = rows.length > 0 ? [{ kind: 'table', rows, headers: rows.length > 1 ? 1 : 0 }] : [];
  return { blocks };
}
