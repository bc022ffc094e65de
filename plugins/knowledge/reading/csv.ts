import { CsvError, parse } from 'csv-parse/sync';
import type { Block, ReadDocument } from './blocks.ts';
import { hasText, rowText } from './blocks.ts';

const DELIMITERS = [',', ';', '\t', '|'];

/** A table of a text file: its rows stay whole, the head is repeated in every passage. */
export function readCsv(text: string): ReadDocument {
  const head = text.slice(0, 64 * 1024);
  const counts = DELIMITERS.map((delimiter) => ({ delimiter, count: head.split(delimiter).length }));
  const delimiter = counts.sort((a, b) => b.count - a.count)[0]?.delimiter ?? ',';
  const rows = parsed(text, delimiter).filter(hasText);
  const blocks: Block[] = rows.length > 0 ? [{ kind: 'table', rows, headers: rows.length > 1 ? 1 : 0 }] : [];
  return { blocks };
}

function parsed(text: string, delimiter: string): string[] {
  const options = { delimiter, relaxQuotes: true, relaxColumnCount: true, skipEmptyLines: true };
  // Each record is made a text at once: millions of small ones would not fit otherwise.
  const onRecord = (record: string[]) => [rowText(record)];
  try {
    return firsts(parse(text, { ...options, onRecord }));
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    // A quote that never ends is one that means nothing: inches, or a program that knows no quoting.
    return firsts(parse(text, { ...options, onRecord, quote: null }));
  }
}

const firsts = (records: string[][]): string[] => records.map(([first = '']) => first);
