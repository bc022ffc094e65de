import { AppError } from '../../core/errors.ts';
import type { Principal } from '../../core/principal.ts';
import { Type } from '../../core/schema.ts';
import { defineTool, type ToolDefinition } from '../../core/tool.ts';
import type { DataSource, DataSourceService } from './public.ts';

const MOST = 100;
const NAME = 'query_data';

const QUERY = Type.String({
  minLength: 1,
  maxLength: 65_536,
  description:
    'databases: one reading SQL statement; api: a path below the base address, or a JSON object {path, method, params, body}; json: a path into the document',
});

/** Reading of data sources for models. Settings of `query_data`: `data_source_id`, the only one that may be asked. */
export function dataSourceTools(dataSources: Pick<DataSourceService, 'list' | 'get' | 'query'>): ToolDefinition[] {
  const usable = async (principal: Principal): Promise<DataSource[]> => {
    const { items } = await dataSources.list(principal, {}, { offset: 0, limit: MOST });
    return items.filter(({ status }) => status !== 'inactive');
  };
  const find = async (principal: Principal, wanted: string): Promise<DataSource> => {
    const sources = await usable(principal);
    const found = sources.find(({ id }) => id === wanted) ?? onlyOne(sources, wanted);
    return found ?? dataSources.get(principal, wanted);
  };

  return [
    defineTool({
      name: 'list_data_sources',
      category: 'data',
      description: 'Lists the data sources that query_data can ask: id, name, type, description.',
      parameters: Type.Object({}),
      effect: 'reads',
      available: async ({ principal }) => (await usable(principal)).length > 0,
      call: async ({ principal }) =>
        (await usable(principal)).map(({ id, name, type, description }) => ({ id, name, type, description })),
    }),
    defineTool({
      name: NAME,
      category: 'data',
      description: 'Queries a data source, reading only. Returns rows; asks for few of them where a summary will do.',
      parameters: Type.Object({
        data_source: Type.String({ minLength: 1, maxLength: 200, description: 'id or name, see list_data_sources' }),
        query: QUERY,
      }),
      effect: 'reads',
      tailored: ({ data_source_id }) =>
        data_source_id === undefined ? {} : { parameters: Type.Object({ query: QUERY }) },
      available: async ({ principal }) => (await usable(principal)).length > 0,
      async call({ arguments: { data_source, query }, principal, scope, signal }) {
        const wanted = scope.settings?.[NAME]?.data_source_id ?? data_source;
        const { id } = await find(principal, String(wanted));
        return dataSources.query(principal, id, query, signal);
      },
    }),
  ];
}

/** @throws {AppError} DATA_SOURCE_AMBIGUOUS */
function onlyOne(sources: readonly DataSource[], name: string): DataSource | undefined {
  const [first, ...others] = sources.filter((source) => source.name === name);
  if (others.length === 0) return first;
  throw new AppError('invalid', 'DATA_SOURCE_AMBIGUOUS', {
    zh: `有多个名为“${name}”的数据源，请使用 ID`,
    en: `Several data sources are named "${name}"; use the id`,
  });
}
