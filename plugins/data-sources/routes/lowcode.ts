import { defineRoute, defineRoutes } from '../../../core/http/route.ts';
import { freeObject, id, nullable, oneOf, Type, text, time } from '../../../core/schema.ts';
import {
  DATA_SOURCE_STATUS,
  DATA_SOURCE_TYPE,
  type DataSource,
  type DataSourceQuery,
  type DataSourceService,
} from '../public.ts';

const NAME = { zh: '名称', en: 'Name' };

const reply = Type.Object({
  id: id('data_source'),
  name: Type.String(),
  type: oneOf(DATA_SOURCE_TYPE),
  description: nullable(Type.String()),
  config: freeObject({ description: 'secrets are shown as ******' }),
  status: oneOf(DATA_SOURCE_STATUS),
  user_id: id('user'),
  last_connected_at: nullable(time()),
  created_at: time(),
  updated_at: time(),
});

const view = ({ ownerId, lastConnectedAt, createdAt, updatedAt, ...rest }: DataSource) => ({
  ...rest,
  user_id: ownerId,
  last_connected_at: lastConnectedAt,
  created_at: createdAt,
  updated_at: updatedAt,
});

const params = Type.Object({ data_source_id: id('data_source') });
const name = () => text({ label: NAME, minLength: 1, maxLength: 100 });
const description = () => nullable(text({ maxLength: 2000 }));
const config = () => freeObject({ label: { zh: '配置', en: 'Configuration' } });

/** Source: low-code document, section on data sources; contracts/lowcode.md rows 24-30. */
export const lowcodeRoutes = (sources: DataSourceService) =>
  defineRoutes('lowcode', {
    tag: { zh: '数据源', en: 'Data sources' },
    codes: {
      QUERY_NOT_ALLOWED: 'QUERY_NOT_ALLOWED',
      DATA_SOURCE_ERROR: 'DATA_SOURCE_ERROR',
      DATA_SOURCE_INACTIVE: 'DATA_SOURCE_ERROR',
      DATA_SOURCE_CANCELLED: 'DATA_SOURCE_ERROR',
    },
    routes: [
      defineRoute({
        method: 'GET',
        path: '/data-sources',
        auth: 'user',
        summary: { zh: '数据源列表，最新的在前', en: 'Lists data sources, newest first' },
        query: Type.Object({
          type: Type.Optional(oneOf(DATA_SOURCE_TYPE)),
          status: Type.Optional(oneOf(DATA_SOURCE_STATUS)),
        }),
        paged: true,
        reply,
        handler: async ({ principal, query, paging }) => {
          const { items, total } = await sources.list(principal, query, paging);
          return { items: items.map(view), total };
        },
      }),
      defineRoute({
        method: 'POST',
        path: '/data-sources',
        auth: 'user',
        status: 201,
        summary: { zh: '创建数据源', en: 'Creates a data source' },
        body: Type.Object({
          name: name(),
          type: oneOf(DATA_SOURCE_TYPE),
          description: Type.Optional(description()),
          config: config(),
        }),
        reply,
        errors: ['DATA_SOURCE_CONFIG_INVALID'],
        handler: async ({ principal, body }) => view(await sources.create(principal, body)),
      }),
      defineRoute({
        method: 'GET',
        path: '/data-sources/:data_source_id',
        auth: 'user',
        summary: { zh: '数据源详情', en: 'One data source' },
        params,
        reply,
        errors: ['DATA_SOURCE_NOT_FOUND'],
        handler: async ({ principal, params }) => view(await sources.get(principal, params.data_source_id)),
      }),
      defineRoute({
        method: 'PUT',
        path: '/data-sources/:data_source_id',
        auth: 'user',
        summary: {
          zh: '更新给出的字段；配置中的 ****** 保留已保存的密文',
          en: 'Changes the given fields; ****** in the configuration keeps a stored secret',
        },
        params,
        body: Type.Object({
          name: Type.Optional(name()),
          description: Type.Optional(description()),
          config: Type.Optional(config()),
          status: Type.Optional(oneOf(['active', 'inactive'])),
        }),
        reply,
        errors: ['DATA_SOURCE_NOT_FOUND', 'DATA_SOURCE_CONFIG_INVALID'],
        handler: async ({ principal, params, body }) =>
          view(await sources.update(principal, params.data_source_id, body)),
      }),
      defineRoute({
        method: 'DELETE',
        path: '/data-sources/:data_source_id',
        auth: 'user',
        summary: { zh: '删除数据源', en: 'Deletes a data source' },
        params,
        message: { zh: '数据源已删除', en: 'The data source was deleted' },
        errors: ['DATA_SOURCE_NOT_FOUND'],
        handler: ({ principal, params }) => sources.delete(principal, params.data_source_id),
      }),
      defineRoute({
        method: 'POST',
        path: '/data-sources/:data_source_id/test',
        auth: 'user',
        summary: { zh: '测试连接，并记录为状态', en: 'Tries to connect and notes the outcome as the status' },
        params,
        reply: Type.Object({ status: oneOf(['success', 'failed']), message: Type.String() }),
        errors: ['DATA_SOURCE_NOT_FOUND'],
        handler: async ({ principal, params, request }) => {
          const { status, message } = await sources.test(principal, params.data_source_id, request.signal);
          return { status, message: message[request.language] };
        },
      }),
      defineRoute({
        method: 'POST',
        path: '/data-sources/:data_source_id/query',
        auth: 'user',
        summary: {
          zh: '查询数据：SQL、接口的路径或请求、文档内的路径',
          en: 'Reads data: SQL, a path or request of the API, a path into the document',
        },
        params,
        body: Type.Object({ query: Type.Union([Type.String(), freeObject()]) }),
        reply: Type.Object({
          data: Type.Array(Type.Unknown()),
          count: Type.Integer(),
          truncated: Type.Optional(Type.Boolean({ description: 'true when there are more rows than the limit' })),
        }),
        errors: ['DATA_SOURCE_NOT_FOUND', 'QUERY_NOT_ALLOWED', 'DATA_SOURCE_ERROR', 'DATA_SOURCE_INACTIVE'],
        handler: async ({ principal, params, body, request }) => {
          // What an object may hold depends on the type of the source; the connector checks it.
          const query = body.query as DataSourceQuery;
          const { data, count, truncated } = await sources.query(
            principal,
            params.data_source_id,
            query,
            request.signal,
          );
          return { data, count, ...(truncated && { truncated }) };
        },
      }),
    ],
  });
