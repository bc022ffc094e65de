import type { Principal } from '../../core/principal.ts';
import { Type } from '../../core/schema.ts';
import { defineTool, type ToolDefinition, type ToolScope } from '../../core/tool.ts';
import { formatMaterial } from '../../runtime/models/index.ts';
import type { Hit, KnowledgeService, SearchScope } from './public.ts';

const NAME = 'search_knowledge';
const DEFAULT_LIMIT = 5;

/** Search for models. Settings: `top_k` (default 5), `min_score`, `knowledge_base_ids`. */
export function knowledgeTools(
  knowledge: Pick<KnowledgeService, 'search' | 'listBases' | 'listDocuments'>,
): ToolDefinition[] {
  const basesOf = async (principal: Principal) =>
    (await knowledge.listBases(principal)).items.filter(({ fileCount }) => fileCount > 0).map(({ id }) => id);

  /** Where an answer may look: the bases that it names, else all of the caller, and the documents of its agent. */
  const placesOf = async (scope: ToolScope): Promise<SearchScope> => {
    const { principal, agentId, knowledgeBaseIds = idsIn(scope) } = scope;
    return {
      knowledgeBaseIds: knowledgeBaseIds ?? (await basesOf(principal)),
      ...(agentId !== undefined && { agentId }),
    };
  };

  return [
    defineTool({
      name: NAME,
      category: 'knowledge',
      description:
        "Searches the user's documents and returns numbered passages with document and page. Cite a passage by its number, such as [K1].",
      parameters: Type.Object({
        query: Type.String({ minLength: 1, maxLength: 2000, description: 'what to look for, in words of the topic' }),
        limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 20, description: 'most passages' })),
      }),
      effect: 'reads',

      async available(scope) {
        // Accounts of the tasks API have no documents here.
        if (scope.principal.kind !== 'user') return false;
        const { knowledgeBaseIds = [], agentId } = await placesOf(scope);
        if (knowledgeBaseIds.length > 0) return true;
        return agentId !== undefined && (await knowledge.listDocuments(scope.principal, { agentId })).length > 0;
      },

      async call({ arguments: { query, limit }, principal, scope, signal }) {
        const { top_k, min_score } = scope.settings?.[NAME] ?? {};
        const hits = await knowledge.search(principal, query, {
          scope: await placesOf(scope),
          limit: limit ?? (Number.isInteger(top_k) ? Number(top_k) : DEFAULT_LIMIT),
          ...(typeof min_score === 'number' && { minScore: min_score }),
          signal,
        });
        return hits.length === 0 ? 'Nothing was found.' : passages(hits);
      },
    }),
  ];
}

function idsIn({ settings }: ToolScope): string[] | undefined {
  const ids = settings?.[NAME]?.knowledge_base_ids;
  return Array.isArray(ids) ? ids.filter((id): id is string => typeof id === 'string') : undefined;
}

const passages = (hits: readonly Hit[]): string =>
  formatMaterial(
    hits.map(({ filename, headings, page, pageEnd, text }, at) => ({
      ref: `K${at + 1}`,
      title: [[filename, ...headings].join(' > '), pagesOf(page, pageEnd)].filter(Boolean).join(', '),
      text,
    })),
  );

const pagesOf = (first: number | null, last: number | null): string => {
  if (first === null) return '';
  return last === null || last === first ? `page ${first}` : `pages ${first}-${last}`;
};
