import { Parser } from 'htmlparser2';
import { broken } from '../errors.ts';
import { type Block, type ReadDocument, rowText } from './blocks.ts';

const SILENT = new Set([
  'script',
  'style',
  'noscript',
  'template',
  'svg',
  'math',
  'head',
  'iframe',
  'object',
  'select',
  'nav',
]);
const BREAKS = new Set(
  'p div section article main aside header footer ul ol li dl dt dd blockquote figure figcaption address form fieldset hr body'.split(
    ' ',
  ),
);
const HEADING = /^h([1-6])$/;
/** The parser takes longer for every level; no page that people read comes near. */
const DEEPEST = 50_000;

/**
 * HTML by its blocks. Scripts, styles and navigation are left out; rows of tables stay whole.
 *
 * @throws {UnreadableError} DOCUMENT_BROKEN when elements are nested beyond all measure
 */
export function readHtml(source: string): ReadDocument {
  const blocks: Block[] = [];
  let text = '';
  let depth = 0;
  let silent = 0;
  let verbatim = 0;
  let heading: number | undefined;
  /** Tables inside of tables are text of their cell. */
  let tables = 0;
  let rows: string[] = [];
  let headers = 0;
  let row: string[] | undefined;
  let headRow = false;

  const flush = () => {
    const shown =
      verbatim > 0
        ? text.trimEnd().replace(/^\n+/, '')
        : text
            .replace(/[ \t\f]+/g, ' ')
            .replace(/ ?\n ?/g, '\n')
            .trim();
    text = '';
    if (shown === '') return;
    if (heading !== undefined) blocks.push({ kind: 'heading', level: heading, text: shown.replace(/\s+/g, ' ') });
    else blocks.push({ kind: 'text', text: shown });
  };
  const endTable = () => {
    if (rows.length > 0) blocks.push({ kind: 'table', rows, headers: Math.min(headers, rows.length - 1) });
    rows = [];
    headers = 0;
  };
  const endCell = () => {
    if (row !== undefined && tables === 1) row.push(text);
    text = '';
  };

  const parser = new Parser({
    onopentag(name) {
      if (++depth > DEEPEST) throw broken();
      if (SILENT.has(name)) silent++;
      if (silent > 0) return;
      const level = HEADING.exec(name)?.[1];
      if (name === 'table') {
        if (tables++ === 0) flush();
      } else if (tables > 0) {
        if (tables > 1) text += ' ';
        else if (name === 'tr') {
          row = [];
          headRow = true;
          text = '';
        } else if (name === 'td' || name === 'th') {
          text = '';
          headRow &&= name === 'th';
        } else if (name === 'br' || BREAKS.has(name)) text += ' ';
      } else if (level !== undefined) {
        flush();
        heading = Number(level);
      } else if (name === 'pre') {
        flush();
        verbatim++;
      } else if (name === 'br') text += '\n';
      else if (BREAKS.has(name)) {
        flush();
        if (name === 'li') text = '- ';
      }
    },
    ontext(data) {
      if (silent === 0) text += verbatim > 0 ? data : data.replace(/\s+/g, ' ');
    },
    onclosetag(name) {
      depth--;
      if (SILENT.has(name)) {
        silent = Math.max(0, silent - 1);
        return;
      }
      if (silent > 0) return;
      if (name === 'table') {
        tables = Math.max(0, tables - 1);
        if (tables === 0) {
          text = '';
          endTable();
        }
      } else if (tables > 0) {
        if (tables > 1) text += ' ';
        else if (name === 'td' || name === 'th') endCell();
        else if (name === 'caption') {
          rows.push(text.trim());
          text = '';
        } else if (name === 'tr' && row !== undefined) {
          if (headRow && headers === rows.length) headers++;
          rows.push(rowText(row));
          row = undefined;
        }
      } else if (HEADING.test(name)) {
        flush();
        heading = undefined;
      } else if (name === 'pre') {
        flush();
        verbatim = Math.max(0, verbatim - 1);
      } else if (BREAKS.has(name)) flush();
    },
  });
  parser.write(source);
  parser.end();
  flush();
  endTable();
  return { blocks };
}
