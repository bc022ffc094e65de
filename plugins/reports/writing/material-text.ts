import type { Fact } from '../material/facts.ts';
import type { Block, ReportLanguage } from '../render/document.ts';

/** Characters of one package that a writer is given; the report itself prints all of it. */
export const MAX_TEXT = 24_000;
/** Rows of one table that a writer is given; the report itself prints more. */
const MAX_ROWS = 40;

/** One line; a bar in it does not end the cell. */
const cell = (text: string) => text.replaceAll('|', '\\|').replace(/\s+/g, ' ');
/** Signs that would end the name stand behind a backslash. */
const nameOf = (label: string) => label.replace(/[\\：:。！？!?；;]/g, '\\$&');

/**
 * The data of a package as a writer gets it: single values as `- name: value`, tables in Markdown, then what an analyst
 * derives from the series. Charts repeat tables and are left out.
 */
export function materialText(blocks: readonly Block[], facts: readonly Fact[], language: ReportLanguage): string {
  const lines: string[] = [];
  for (const block of blocks) {
    if (block.type === 'keyValues') {
      if (block.title) lines.push(`## ${block.title}`);
      lines.push(...block.rows.map(({ label, value }) => `- ${nameOf(label)}: ${value.replace(/\s*\n\s*/g, ' ')}`));
    } else if (block.type === 'table') {
      if (block.title) lines.push(`## ${block.title}`);
      lines.push(row(block.head), row(block.head.map(() => '---')), ...block.rows.slice(0, MAX_ROWS).map(row));
    } else if (block.type === 'paragraph') {
      lines.push(block.text);
    }
  }
  const derived = derivedFacts(facts);
  if (derived.length > 0) {
    const [heading, end] = language === 'zh' ? ['## 变动情况', '。'] : ['## Changes', '.'];
    lines.push(heading, ...derived.map(({ text }) => `${text}${end}`));
  }
  return lines.join('\n');
}

/**
 * Of a few series everything that was derived; of many only what describes the whole period, or the text would drown in
 * percentages.
 */
function derivedFacts(facts: readonly Fact[]): Fact[] {
  const derived = facts.filter(({ kind }) => kind !== 'value');
  const series = new Set(derived.map(({ path, label }) => `${path} ${label}`)).size;
  if (series <= 2) return derived;
  return derived.filter(
    ({ kind }) => kind === 'change' || kind === 'growth' || (kind === 'latest' && series <= 4) || kind === 'share',
  );
}

const row = (cells: readonly string[]) => `| ${cells.map(cell).join(' | ')} |`;

/** Cuts at a line, and says so. */
export function cutText(text: string, maxChars: number, language: ReportLanguage): string {
  if (text.length <= maxChars) return text;
  const end = text.lastIndexOf('\n', maxChars);
  const note = language === 'zh' ? '（资料较长，其余从略）' : '(the material is long; the rest is left out)';
  return `${text.slice(0, end > 0 ? end : maxChars).toWellFormed()}\n${note}`;
}
