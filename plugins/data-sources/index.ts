import { join } from 'node:path';
import { databaseService } from '../../core/data/database.ts';
import { createAddressPolicy } from '../../core/outbound/addresses.ts';
import { outboundService } from '../../core/outbound/outbound.ts';
import { definePlugin } from '../../core/plugin.ts';
import { Type } from '../../core/schema.ts';
import { vaultService } from '../../core/vault.ts';
import { type HostCaller, poolService } from '../../runtime/pool/index.ts';
import { createConnectors } from './connectors/index.ts';
import { type DataSourceQuery, dataSourceService } from './public.ts';
import { lowcodeRoutes } from './routes/lowcode.ts';
import { createDataSourceService } from './service.ts';
import { createSqlGuard } from './sql/guard.ts';
import { dataSourceTools } from './tools.ts';

const MIB = 1024 * 1024;
const count = (value: number, maximum: number, description: string) =>
  Type.Integer({ minimum: 1, maximum, default: value, description });
const names = (description: string) => Type.Array(Type.String(), { default: [], description });

export default definePlugin({
  name: 'data-sources',
  config: Type.Object({
    databaseAddresses: Type.Array(Type.String(), {
      default: ['0.0.0.0/0', '::/0'],
      description: 'where databases may be (CIDR); by default everywhere, also in private networks and on this machine',
    }),
    functions: Type.Object(
      {
        mysql: names('functions that queries may call beside the known ones, * for any text'),
        postgresql: names('the same'),
      },
      { default: {} },
    ),
    rows: count(1000, 100_000, 'rows of one answer'),
    bytes: count(8 * MIB, 64 * MIB, 'bytes of one answer, as JSON'),
    connectMs: count(10_000, 300_000, 'time to connect, milliseconds'),
    queryMs: count(30_000, 3_600_000, 'time for one statement, milliseconds'),
    idleMs: count(60_000, 3_600_000, 'how long an unused connection is kept, milliseconds'),
    connections: count(4, 100, 'connections of one source'),
    sources: count(64, 10_000, 'sources with open connections'),
    atOnce: count(32, 1000, 'queries at once in this process'),
  }),
  requires: { database: databaseService, vault: vaultService, outbound: outboundService, pool: poolService },
  provides: { dataSources: dataSourceService },

  setup({ config, services: { database, vault, outbound, pool }, log, dataDir, onDispose }) {
    const { databaseAddresses, functions, sources, atOnce, ...limits } = config;
    const guard = createSqlGuard({ functions });
    onDispose('data-sources: SQL guard', () => guard.close());
    const connectors = createConnectors(
      {
        limits,
        guard,
        outbound,
        databaseAddresses: createAddressPolicy({ base: 'none', allow: databaseAddresses }),
        filesDir: join(dataDir, 'files'),
      },
      sources,
    );
    onDispose('data-sources: connections', () => connectors.close());
    const dataSources = createDataSourceService({ database, vault, connectors, log, atOnce });
    // Nodes read with the rights of whoever started their run.
    pool.expose(dataSourceService, {
      get: ({ principal }: HostCaller, id: string) => dataSources.get(principal, id),
      query: ({ principal, signal }: HostCaller, id: string, query: DataSourceQuery) =>
        dataSources.query(principal, id, query, signal),
    });
    return {
      services: { dataSources },
      routes: [lowcodeRoutes(dataSources)],
      tools: dataSourceTools(dataSources),
    };
  },
});
