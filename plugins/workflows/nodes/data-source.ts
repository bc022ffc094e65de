import { defineNode } from '../../../core/node.ts';
import { freeObject, Type } from '../../../core/schema.ts';
import { queryData } from './parts/data-query.ts';
import { dataSourcesForNodes, hostService } from './parts/host.ts';

/** One query of a data source that the execution's owner may use. */
export default defineNode({
  type: 'data_source',
  version: 1,
  lane: 'shared',
  timeoutMs: 60_000,
  label: { zh: '数据源查询', en: 'Data source' },
  summary: { zh: '查询数据源（只读）', en: 'Queries a data source (reading only)' },
  config: Type.Object({
    data_source_id: Type.String({ minLength: 1, label: { zh: '数据源', en: 'Data source' } }),
    query: Type.Union([Type.String({ maxLength: 65_536 }), freeObject()], {
      default: '',
      editor: 'code',
      label: { zh: '查询', en: 'Query' },
      hint: {
        zh: 'SQL、路径，或（api 数据源）JSON 对象；不是模板，数值请用参数传入，在 SQL 和 api 路径中写作 :name',
        en: 'SQL, a path, or (api sources) an object. No template: values come in as parameters, as :name in SQL and in paths of an api',
      },
    }),
    parameters: freeObject({
      default: {},
      editor: 'json',
      label: { zh: '参数', en: 'Parameters' },
      hint: { zh: '名称到值，值可使用模板', en: 'Names and values; values may be templates' },
    }),
    dynamic_query: Type.Optional(
      Type.String({
        maxLength: 65_536,
        label: { zh: '整条查询', en: 'Whole query' },
        hint: {
          zh: '由前面节点生成的整条查询，例如 {llm-1}；仅当“查询”为空时使用',
          en: 'A whole query that an earlier node made, such as {llm-1}; used when the query is empty',
        },
      }),
    ),
  }),
  // Values pasted into SQL would be an injection: the query is taken as it stands.
  literal: ['query'],
  input: Type.Unknown(),
  output: Type.Object({
    data: Type.Array(Type.Unknown()),
    count: Type.Integer(),
    truncated: Type.Boolean({ description: 'there was more than the limit of rows' }),
  }),

  async run({ config: { data_source_id, query, parameters, dynamic_query }, service, signal, log }) {
    const sources = hostService(service, dataSourcesForNodes);
    signal.throwIfAborted();
    const result = await queryData(sources, data_source_id, query === '' ? (dynamic_query ?? '') : query, parameters);
    if (result.truncated) log('warn', `The answer was cut off after ${result.count} rows`);
    return result;
  },
});
