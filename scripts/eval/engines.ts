import type { IndexReader } from '../../plugins/knowledge/search/reader.ts';
import type { IndexWriter } from '../../plugins/knowledge/search/writer.ts';

/** A search over numbered texts: the numbers of the best ones, best first. */
export interface Engine {
  name: string;
  search(query: string, limit: number): Promise<number[]> | number[];
}

const segmenter = new Intl.Segmenter('zh', { granularity: 'word' });
const words = (text: string): string[] =>
  [...segmenter.segment(text)].filter(({ isWordLike }) => isWordLike).map(({ segment }) => segment.toLowerCase());

/** The search of Koagent over texts, without a server. */
export function koagentEngine(
  file: string,
  writer: IndexWriter,
  reader: IndexReader,
  texts: readonly string[],
): Engine {
  const batch = 500;
  for (let from = 0; from < texts.length; from += batch) {
    const passages = texts.slice(from, from + batch).map((text) => ({ text, headings: [] }));
    writer.put(file, 0, { document: String(from), version: '1', scope: ['b1'], passages });
    while (writer.tidy(file));
  }
  return {
    name: 'Koagent',
    search: (text, limit) =>
      reader.search(file, { text, limit, scope: ['b1'] }).map(({ document, position }) => Number(document) + position),
  };
}

/** MiniSearch over the words of Intl.Segmenter. */
export async function miniSearchEngine(texts: readonly string[]): Promise<Engine> {
  const { default: MiniSearch } = await import('minisearch');
  const index = new MiniSearch({ fields: ['text'], tokenize: words });
  index.addAll(texts.map((text, id) => ({ id, text })));
  return {
    name: 'MiniSearch',
    search: (query, limit) =>
      index
        .search(query)
        .slice(0, limit)
        .map(({ id }) => Number(id)),
  };
}

/** Orama over the words of Intl.Segmenter. */
export async function oramaEngine(texts: readonly string[]): Promise<Engine> {
  const { create, insertMultiple, search } = await import('@orama/orama');
  const index = create({
    schema: { number: 'number', text: 'string' } as const,
    components: { tokenizer: { language: 'chinese', normalizationCache: new Map(), tokenize: words } },
  });
  await insertMultiple(
    index,
    texts.map((text, number) => ({ number, text })),
    1000,
  );
  return {
    name: 'Orama',
    async search(term, limit) {
      const { hits } = await search(index, { term, limit, properties: ['text'] });
      return hits.map(({ document }) => document.number);
    },
  };
}
