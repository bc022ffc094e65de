import { chartTable } from './chart.ts';
import type { Block, RenderedReport, ReportDocument } from './document.ts';
import { labelsOf, type ReportLabels } from './labels.ts';
import {
  blockCaptions,
  columnGroups,
  coverRows,
  markSpans,
  paragraphsOf,
  placeSections,
  sourceAnchor,
  sourceRows,
} from './structure.ts';
import { numericColumns, plainLine, plainText } from './text.ts';

/** Renders a report as Markdown (CommonMark with GFM tables). Charts are given as tables. */
export function renderMarkdown(report: ReportDocument): RenderedReport {
  const labels = labelsOf(report.language);
  const placed = placeSections(report);
  const captions = blockCaptions(placed, labels, false);
  const known = new Set(report.sources.map(({ ref }) => ref));
  const cover = coverRows(report, labels).map(({ label, value }) => [label, value]);
  const out: string[] = [`# ${inline(report.title)}`, table([labels.item, labels.value], cover)];
  if (report.notice) out.push(`> ${inline(report.notice)}`);

  out.push(`**${labels.contents}**`);
  const entries = placed.map(
    ({ heading, level, anchor }) => `${'  '.repeat(Math.min(level, 6) - 1)}- [${inline(heading)}](#${anchor})`,
  );
  out.push([...entries, `- [${labels.sources}](#sources)`].join('\n'));

  for (const { section, level, heading, anchor } of placed) {
    out.push(headline(heading, level + 1, anchor));
    for (const block of section.blocks) out.push(...renderBlock(block));
    if (section.blocks.length === 0 && section.children.length === 0) out.push(labels.emptySection);
  }

  out.push(headline(labels.sources, 2, 'sources'));
  out.push(report.sources.length ? inline(labels.sourcesIntro) : labels.noSources);
  for (const entry of report.sources) {
    out.push(headline(`${labels.data(entry.ref)}  ${entry.title}`, 3, sourceAnchor(entry.ref)));
    const rows = sourceRows(entry, labels).map(({ label, value }) => [label, value]);
    if (rows.length > 0) out.push(table([labels.item, labels.value], rows));
  }
  const bytes = new TextEncoder().encode(`${out.join('\n\n')}\n`);
  return { bytes, contentType: 'text/markdown; charset=utf-8', extension: 'md' };

  function renderBlock(block: Block): string[] {
    if (block.type === 'paragraph') {
      const parts = paragraphsOf(plainText(block.text));
      return parts.map((part, index) => {
        const refs = index === parts.length - 1 ? block.refs.filter((ref) => !block.text.includes(`[${ref}]`)) : [];
        return markSpans(part, refs, known)
          .map(({ text, ref }) => (ref ? `[${inline(text)}](#${sourceAnchor(ref)})` : inline(text)))
          .join('');
      });
    }
    if (block.type === 'chart' && block.tabled) return [];
    const shown =
      block.type === 'keyValues'
        ? { head: [labels.item, labels.value], rows: block.rows.map(({ label, value }) => [label, value]) }
        : block.type === 'chart'
          ? chartTable(block, labels)
          : block;
    return columnGroups(shown.head, shown.rows, labels).flatMap(({ head, rows, name }) =>
      [captionLine(block, (captions.get(block) ?? '') + name, labels, known), table(head, rows)].filter(Boolean),
    );
  }
}

function captionLine(block: Block, caption: string, labels: ReportLabels, known: ReadonlySet<string>): string {
  const ref = 'ref' in block && block.ref && known.has(block.ref) ? block.ref : undefined;
  const parts = [caption && `**${inline(caption)}**`, ref && `[${inline(labels.data(ref))}](#${sourceAnchor(ref)})`];
  return parts.filter(Boolean).join(' · ');
}

const headline = (text: string, level: number, anchor: string): string =>
  `<a id="${anchor}"></a>\n\n${'#'.repeat(Math.min(level, 6))} ${inline(text)}`;

/** Escapes everything that could be read as markup, HTML included, anywhere in a line. */
function inline(text: string): string {
  return plainLine(text)
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replace(/[\\`*_{}[\]|~$^]/g, '\\$&')
    .replace(/^(#{1,6}|[-+])(?=\s|$)|^(=+|-+)$/, '\\$&')
    .replace(/^(\d{1,9})([.)])(?=\s|$)/, '$1\\$2');
}

const cell = (text: string): string => plainText(text).split('\n').map(inline).join('<br>');

function table(head: string[], rows: string[][]): string {
  const numeric = numericColumns(rows, head.length);
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`;
  return [
    line(head.map(cell)),
    line(numeric.map((isNumeric) => (isNumeric ? '---:' : '---'))),
    ...rows.map((row) => line(head.map((_, index) => cell(row[index] ?? '')))),
  ].join('\n');
}
