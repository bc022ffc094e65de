import { SaxesParser, type SaxesTagPlain } from 'saxes';
import { AppError } from '../../../core/errors.ts';
import { broken, tooLong, unknownKind } from '../errors.ts';
import { type Archive, openArchive } from './archive.ts';
import { type Block, hasText, type ReadContext, type ReadDocument, rowText } from './blocks.ts';

const MAIN_PART = 'word/document.xml';

/** Word documents: paragraphs with their heading levels, tables, notes. Page numbers where Word left them. */
export async function readDocx(bytes: Uint8Array, context: ReadContext): Promise<ReadDocument> {
  const archive = await openArchive(bytes, context.limits);
  try {
    const main = archive.has(MAIN_PART) ? MAIN_PART : await mainPart(archive, context);
    if (main === undefined) throw unknownKind();
    const levels = await readStyles(archive, context);
    context.report(0.2);
    const body = await readBody(archive, main, levels, context);
    context.report(0.8);
    const notes: Block[] = [];
    for (const part of ['word/footnotes.xml', 'word/endnotes.xml'])
      notes.push(...(await readBody(archive, part, levels, context)).blocks);
    return { ...body, blocks: [...body.blocks, ...notes.map(({ page: _, ...block }) => block as Block)] };
  } finally {
    archive.close();
  }
}

interface Handlers {
  open(tag: SaxesTagPlain): void;
  close(name: string): void;
  text(text: string): void;
}

/** Runs a part through the parser; what is not well-formed makes the document a broken one. */
async function readXml(archive: Archive, name: string, context: ReadContext, handlers: Handlers): Promise<boolean> {
  const stream = await archive.open(name);
  if (stream === undefined) return false;
  const parser = new SaxesParser();
  parser.on('opentag', (tag) => handlers.open(tag));
  parser.on('closetag', (tag) => handlers.close(tag.name));
  parser.on('text', (text) => handlers.text(text));
  parser.on('error', (error) => {
    throw broken(error);
  });
  const decoder = new TextDecoder();
  try {
    for await (const chunk of stream) {
      context.signal.throwIfAborted();
      parser.write(decoder.decode(chunk as Uint8Array, { stream: true }));
    }
    parser.write(decoder.decode()).close();
  } catch (error) {
    if (error instanceof AppError) throw error;
    context.signal.throwIfAborted();
    throw broken(error);
  }
  return true;
}

/** Some programs give the text another name; the package says which. */
async function mainPart(archive: Archive, context: ReadContext): Promise<string | undefined> {
  let target: string | undefined;
  await readXml(archive, '_rels/.rels', context, {
    open(tag) {
      if (attribute(tag, 'Type')?.endsWith('/officeDocument')) target = attribute(tag, 'Target')?.replace(/^\//, '');
    },
    close: () => undefined,
    text: () => undefined,
  });
  return target !== undefined && /^word\/.*\.xml$/.test(target) && archive.has(target) ? target : undefined;
}

const attribute = (tag: SaxesTagPlain, name: string): string | undefined => tag.attributes[name];

/** Heading levels (1-9) by style id: the style's own outline level or name, else that of the style it is based on. */
async function readStyles(archive: Archive, context: ReadContext): Promise<ReadonlyMap<string, number>> {
  const styles = new Map<string, { level?: number; base?: string }>();
  let current: { level?: number; base?: string } | undefined;
  await readXml(archive, 'word/styles.xml', context, {
    open(tag) {
      const value = attribute(tag, 'w:val');
      if (tag.name === 'w:style') {
        current = {};
        styles.set(attribute(tag, 'w:styleId') ?? '', current);
      } else if (current === undefined || value === undefined) return;
      else if (tag.name === 'w:name') {
        const level =
          /^(?:heading|标题)\s*([1-9])$/i.exec(value)?.[1] ?? (/^(?:title|标题)$/i.test(value) ? '1' : undefined);
        if (level !== undefined) current.level = Number(level);
      } else if (tag.name === 'w:basedOn') current.base = value;
      else if (tag.name === 'w:outlineLvl' && Number(value) < 9) current.level = Number(value) + 1;
    },
    close(name) {
      if (name === 'w:style') current = undefined;
    },
    text: () => undefined,
  });
  const levels = new Map<string, number>();
  for (const id of styles.keys()) {
    let style = styles.get(id);
    for (let step = 0; style !== undefined && step < 20; step++) {
      if (style.level !== undefined) {
        levels.set(id, style.level);
        break;
      }
      style = style.base === undefined ? undefined : styles.get(style.base);
    }
  }
  return levels;
}

interface Paragraph {
  text: string;
  level: number | undefined;
  page: number;
}

interface Table {
  rows: string[];
  headers: number;
  row: string[];
  cell: string;
  isHead: boolean;
  page: number;
}

/** Shapes stand there a second time for old readers, and moved text where it was before. */
const TWICE = new Set(['mc:Fallback', 'w:moveFrom']);

async function readBody(
  archive: Archive,
  name: string,
  levels: ReadonlyMap<string, number>,
  context: ReadContext,
): Promise<ReadDocument> {
  const blocks: Block[] = [];
  // Text boxes hold paragraphs inside of a paragraph, cells hold tables.
  const paragraphs: Paragraph[] = [];
  const tables: Table[] = [];
  let page = 1;
  let skipped = 0;
  let inText = false;
  let characters = 0;

  const addText = (text: string) => {
    characters += text.length;
    if (characters > context.limits.characters) throw tooLong(context.limits.characters);
    const paragraph = paragraphs.at(-1);
    if (paragraph) paragraph.text += text;
  };
  const endParagraph = ({ text, level, page: at }: Paragraph) => {
    const shown = text.trim();
    if (!hasText(shown)) return;
    const table = tables.at(-1);
    if (table) table.cell += `${table.cell === '' ? '' : ' '}${shown}`;
    else if (level !== undefined) blocks.push({ kind: 'heading', level, text: shown.replace(/\s+/g, ' '), page: at });
    else blocks.push({ kind: 'text', text: shown, page: at });
  };
  const endTable = ({ rows, headers, page: at }: Table) => {
    const filled = rows.filter(hasText);
    const outer = tables.at(-1);
    if (outer) outer.cell += ` ${filled.join(' ; ')}`;
    else if (filled.length > 0)
      blocks.push({ kind: 'table', rows: filled, headers: Math.min(headers || 1, filled.length - 1), page: at });
  };

  await readXml(archive, name, context, {
    open(tag) {
      if (TWICE.has(tag.name)) skipped++;
      if (skipped > 0) return;
      const table = tables.at(-1);
      switch (tag.name) {
        case 'w:p':
          paragraphs.push({ text: '', level: undefined, page });
          break;
        case 'w:pStyle': {
          const paragraph = paragraphs.at(-1);
          if (paragraph) paragraph.level = levels.get(attribute(tag, 'w:val') ?? '');
          break;
        }
        case 'w:outlineLvl': {
          const paragraph = paragraphs.at(-1);
          const level = Number(attribute(tag, 'w:val'));
          if (paragraph && level < 9) paragraph.level = level + 1;
          break;
        }
        case 'w:t':
        case 'm:t':
          inText = true;
          break;
        case 'w:noBreakHyphen':
          addText('-');
          break;
        case 'w:tab':
          addText('\t');
          break;
        case 'w:br':
          if (attribute(tag, 'w:type') === 'page') page++;
          else addText('\n');
          break;
        case 'w:lastRenderedPageBreak':
          page++;
          break;
        case 'w:tbl':
          tables.push({ rows: [], headers: 0, row: [], cell: '', isHead: false, page });
          break;
        case 'w:tblHeader':
          if (table) table.isHead = true;
          break;
        default:
      }
    },
    close(tag) {
      if (TWICE.has(tag)) skipped--;
      if (skipped > 0) return;
      const table = tables.at(-1);
      switch (tag) {
        case 'w:t':
        case 'm:t':
          inText = false;
          break;
        case 'w:p': {
          const paragraph = paragraphs.pop();
          if (paragraph) endParagraph(paragraph);
          break;
        }
        case 'w:tc':
          if (table) {
            table.row.push(table.cell);
            table.cell = '';
          }
          break;
        case 'w:tr':
          if (table) {
            if (table.isHead && table.headers === table.rows.length) table.headers++;
            table.rows.push(rowText(table.row));
            table.row = [];
            table.isHead = false;
          }
          break;
        case 'w:tbl': {
          const ended = tables.pop();
          if (ended) endTable(ended);
          break;
        }
        default:
      }
    },
    text(text) {
      if (inText && skipped === 0) addText(text);
    },
  });
  if (page > 1) return { blocks, pages: page };
  return { blocks: blocks.map(({ page: _, ...block }) => block as Block) };
}
