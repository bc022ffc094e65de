import { AppError } from '../../../../core/errors.ts';
import { defineService, type ServiceKey } from '../../../../core/service.ts';
import type { AgentsForNodes } from '../../../agents/public.ts';
import type { DataSource, DataSourceQuery, QueryResult } from '../../../data-sources/public.ts';
import type { KnowledgeForNodes } from '../../../knowledge/public.ts';

/*
 * What nodes ask of the host. A plugin offers one of these by `pool.expose(<name of the key>, …)`; its methods get `HostCaller` as first
 * argument, then the arguments named here, and take and return plain data.
 */

/** Key `data-sources`: reading with the rights of the execution's owner. */
export interface DataSourcesForNodes {
  get(dataSourceId: string): Promise<Pick<DataSource, 'type'>>;
  query(
    dataSourceId: string,
    query: DataSourceQuery,
  ): Promise<Omit<QueryResult, 'truncated'> & { truncated?: boolean }>;
}

export const dataSourcesForNodes = defineService<DataSourcesForNodes>('data-sources');

/** Key `knowledge`: search with the rights of the execution's owner. */
export const knowledgeSearch = defineService<KnowledgeForNodes>('knowledge');

export const searchOptions = ({
  ids,
  agentId,
  limit,
  minScore,
}: {
  ids: string[];
  /** Looks into the documents of this agent too; without any place everything is looked into. */
  agentId?: string | undefined;
  limit: number;
  minScore?: number | undefined;
}) => ({
  limit,
  ...((ids.length > 0 || agentId !== undefined) && {
    scope: { ...(ids.length > 0 && { knowledgeBaseIds: ids }), ...(agentId !== undefined && { agentId }) },
  }),
  ...(minScore !== undefined && { minScore }),
});

/** Key `agents`. */
export const agentProfiles = defineService<AgentsForNodes>('agents');

/** A service of the host where it has it. */
export function optionalService<T>(find: (key: ServiceKey<T>) => T, key: ServiceKey<T>): T | undefined {
  try {
    return find(key);
  } catch (error) {
    if (error instanceof AppError && error.code === 'SERVICE_NOT_AVAILABLE') return undefined;
    throw error;
  }
}

/**
 * A service of the host, or a failure that names the plugin to be switched on.
 *
 * @throws {AppError} PLUGIN_REQUIRED
 */
export function hostService<T>(find: (key: ServiceKey<T>) => T, key: ServiceKey<T>): T {
  const service = optionalService(find, key);
  if (service !== undefined) return service;
  throw new AppError(
    'unavailable',
    'PLUGIN_REQUIRED',
    {
      zh: `该节点需要插件 ${key.name}，但本服务器没有启用它`,
      en: `This node needs the plugin ${key.name}, which is not enabled on this server`,
    },
    { details: { plugin: key.name } },
  );
}
