import { AppError } from '../../../../core/errors.ts';
import type { ApiQuery, DataSourceQuery, DataSourceType, QueryResult } from '../../../data-sources/public.ts';
import type { DataSourcesForNodes } from './host.ts';
import { withParameters } from './sql-parameters.ts';

type Parameters = Readonly<Record<string, unknown>>;

/**
 * Asks a data source with values beside the query: in SQL at `:name`; for `api` at `/:name/` in the path, the others as query parameters.
 *
 * @throws {AppError} SQL_PARAMETER_MISSING, SQL_PARAMETER_INVALID, DATA_PARAMETERS_UNSUPPORTED, or what the data source says
 */
export async function queryData(
  sources: DataSourcesForNodes,
  dataSourceId: string,
  query: DataSourceQuery,
  parameters: Parameters,
): Promise<Pick<QueryResult, 'data' | 'count'> & { truncated: boolean }> {
  const asked =
    Object.keys(parameters).length === 0 ? query : bind((await sources.get(dataSourceId)).type, query, parameters);
  const { data, count, truncated = false } = await sources.query(dataSourceId, asked);
  return { data, count, truncated };
}

function bind(type: DataSourceType, query: DataSourceQuery, parameters: Parameters): DataSourceQuery {
  if ((type === 'mysql' || type === 'postgresql') && typeof query === 'string') {
    return withParameters(type, query, parameters);
  }
  if (type === 'api') return bindPath(typeof query === 'string' ? { path: query } : query, parameters);
  throw new AppError('invalid', 'DATA_PARAMETERS_UNSUPPORTED', {
    zh: `${type} 数据源的这种查询不支持参数`,
    en: `Queries of this form of a ${type} data source take no parameters`,
  });
}

function bindPath(query: ApiQuery, parameters: Parameters): ApiQuery {
  const left = new Map(Object.entries(parameters));
  const path = query.path?.replace(/\/:([A-Za-z_]\w*)(?=[/?]|$)/g, (whole, name: string) => {
    if (!Object.hasOwn(parameters, name)) return whole;
    left.delete(name);
    const value = parameters[name];
    return `/${encodeURIComponent(typeof value === 'string' ? value : JSON.stringify(value ?? ''))}`;
  });
  return {
    ...query,
    ...(path !== undefined && { path }),
    ...(left.size > 0 && { params: { ...query.params, ...Object.fromEntries(left) } }),
  };
}
