import { type Block, type ReadDocument, rowText } from './blocks.ts';
import { linesOf } from './text.ts';

const HEADING = /^ {0,3}(#{1,6})\s+(.*?)(?:\s+#+)?\s*$/;
const FENCE = /^ {0,3}(`{3,}|~{3,})/;
/** Longer lines are neither; expressions never see them, so that no input is slow. */
const LONGEST_MARKED = 1000;
const TABLE_RULE = /^\s*\|?\s*:?-{2,}:?\s*(?:\|\s*:?-{2,}:?\s*)*\|?\s*$/;

/**
 * Markdown by its blocks: headings, paragraphs, tables, fenced code. Marks inside of a line stay as they are: models and people read
 * them, and search looks past them. One pass over the lines, so that no input is slow.
 */
export function readMarkdown(source: string): ReadDocument {
  const lines = linesOf(withoutFrontMatter(source));
  const blocks: Block[] = [];
  let paragraph: string[] = [];
  const end = () => {
    if (paragraph.length > 0) blocks.push({ kind: 'text', text: paragraph.join('\n') });
    paragraph = [];
  };
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] ?? '';
    const fence = FENCE.exec(line)?.[1];
    if (fence !== undefined) {
      end();
      const code = [line];
      for (at++; at < lines.length; at++) {
        const inner = lines[at] ?? '';
        code.push(inner);
        if (inner.trim().startsWith(fence) && inner.trim().replaceAll(fence[0] ?? '', '') === '') break;
      }
      blocks.push({ kind: 'text', text: code.join('\n') });
      continue;
    }
    const heading = line.length <= LONGEST_MARKED ? HEADING.exec(line) : null;
    if (heading) {
      end();
      blocks.push({ kind: 'heading', level: heading[1]?.length ?? 1, text: heading[2] ?? '' });
      continue;
    }
    const under = /^ {0,3}(=+|-+)\s*$/.exec(line.slice(0, LONGEST_MARKED))?.[1];
    if (under !== undefined && paragraph.length === 1 && (under[0] === '=' || under.length > 1)) {
      blocks.push({ kind: 'heading', level: under[0] === '=' ? 1 : 2, text: paragraph[0]?.trim() ?? '' });
      paragraph = [];
      continue;
    }
    if (line.includes('|') && isTableRule(lines[at + 1] ?? '')) {
      end();
      const rows = [cells(line)];
      for (at += 2; at < lines.length && (lines[at] ?? '').includes('|'); at++) rows.push(cells(lines[at] ?? ''));
      at--;
      blocks.push({ kind: 'table', rows, headers: 1 });
      continue;
    }
    if (line.trim() === '') end();
    else paragraph.push(line.trimEnd());
  }
  end();
  return { blocks };
}

const isTableRule = (line: string): boolean =>
  line.length <= LONGEST_MARKED && line.includes('-') && TABLE_RULE.test(line);

const cells = (line: string): string =>
  rowText(
    line
      .trim()
      .replace(/^\||\|$/g, '')
      .split('|'),
  );

const withoutFrontMatter = (source: string): string => {
  if (!source.startsWith('---\n') && !source.startsWith('---\r\n')) return source;
  const end = /\r?\n(?:---|\.\.\.)\r?\n/.exec(source.slice(3, 64 * 1024));
  return end ? source.slice(3 + end.index + end[0].length) : source;
};
