import { databaseService } from '../../core/data/database.ts';
import { definePlugin } from '../../core/plugin.ts';
import { Type } from '../../core/schema.ts';
import { modelService } from '../../runtime/models/index.ts';
import { loadCatalogue } from './catalogue.ts';
import { agentService } from './public.ts';
import { researchRoutes } from './routes/research.ts';
import { studioRoutes } from './routes/studio.ts';
import { createAgentService } from './service.ts';

export default definePlugin({
  name: 'agents',
  config: Type.Object({
    folder: Type.Optional(
      Type.String({ minLength: 1, description: 'folder of the catalogue; default config/agents of the project' }),
    ),
    perAccount: Type.Integer({ minimum: 1, maximum: 5000, default: 500, description: 'agents of one account' }),
    accountTools: Type.Array(Type.String(), {
      default: [],
      description: 'tools that agents of accounts may use: names, or category:<name>',
    }),
  }),
  requires: { database: databaseService, models: modelService },
  provides: { agents: agentService },

  setup({ config, services: { database, models }, log }) {
    const { folder, perAccount, accountTools } = config;
    const catalogue = loadCatalogue({ folder, models: models.list().map(({ key }) => key) });
    const agents = createAgentService({ database, log, catalogue, perAccount, accountTools });
    return {
      services: { agents },
      routes: [studioRoutes(agents), researchRoutes(agents)],
      async ready() {
        await database.ready();
        await agents.finishDeletions();
      },
    };
  },
});
