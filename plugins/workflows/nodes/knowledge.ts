import { defineNode } from '../../../core/node.ts';
import { Type } from '../../../core/schema.ts';
import { essence, textOf } from '../../../runtime/graph/index.ts';
import { formatMaterial } from '../../../runtime/models/index.ts';
import type { Hit } from '../../knowledge/public.ts';
import { hostService, knowledgeSearch, searchOptions } from './parts/host.ts';

/** A search in knowledge bases; its text is ready to stand in a prompt. */
export default defineNode({
  type: 'knowledge',
  version: 1,
  lane: 'shared',
  timeoutMs: 60_000,
  label: { zh: '知识检索', en: 'Knowledge' },
  summary: { zh: '在知识库中检索相关段落', en: 'Searches knowledge bases for passages' },
  config: Type.Object({
    query: Type.Optional(
      Type.String({
        editor: 'text',
        label: { zh: '检索内容', en: 'Query' },
        hint: { zh: '默认 {input}', en: 'Default {input}' },
      }),
    ),
    knowledge_base_ids: Type.Array(Type.String(), {
      default: [],
      label: { zh: '知识库', en: 'Knowledge bases' },
      hint: { zh: '留空检索全部可用知识库', en: 'Empty: all that the owner has' },
    }),
    top_k: Type.Integer({ minimum: 1, maximum: 50, default: 5, label: { zh: '返回条数', en: 'Most hits' } }),
    min_score: Type.Optional(Type.Number({ minimum: 0, maximum: 1, label: { zh: '最低分数', en: 'Least score' } })),
  }),
  input: Type.Unknown(),
  output: Type.Object({
    hits: Type.Array(Type.Unsafe<Hit>({ type: 'object' })),
    count: Type.Integer(),
    /** The passages as models of Koagent get material. */
    text: Type.String(),
  }),

  async run({ config: { query, knowledge_base_ids, top_k, min_score }, input, service }) {
    const hits = await hostService(service, knowledgeSearch).search(
      query ?? textOf(essence(input)),
      searchOptions({ ids: knowledge_base_ids, limit: top_k, minScore: min_score }),
    );
    return { hits, count: hits.length, text: passages(hits) };
  },
});

const passages = (hits: readonly Hit[]) =>
  formatMaterial(
    hits.map(({ filename, headings, text }, at) => ({
      ref: `K${at + 1}`,
      title: [filename, ...headings].join(' > '),
      text,
    })),
  );
