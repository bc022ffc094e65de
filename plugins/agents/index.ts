import { databaseService } from '../../core/data/database.ts';
import { createNumbers } from '../../core/data/numbers.ts';
import { outboundService } from '../../core/outbound/outbound.ts';
import { definePlugin } from '../../core/plugin.ts';
import { Type } from '../../core/schema.ts';
import { modelService } from '../../runtime/models/index.ts';
import { poolService } from '../../runtime/pool/index.ts';
import { runService } from '../../runtime/runs/service.ts';
import { toolService } from '../../runtime/tools/service.ts';
import { loadCatalogue } from './catalogue.ts';
import { createAgentHost } from './host.ts';
import { createAgentRunner } from './loop/runner.ts';
import { createProfileService } from './profiles/service.ts';
import { agentRunner, agentService, profileService } from './public.ts';
import { researchRoutes } from './routes/research.ts';
import { studioRoutes } from './routes/studio.ts';
import { tasksRoutes } from './routes/tasks.ts';
import { createAgentService } from './service.ts';
import { httpTool } from './tools/http.ts';

export default definePlugin({
  name: 'agents',
  config: Type.Object({
    folder: Type.Optional(
      Type.String({ minLength: 1, description: 'folder of the catalogue; default config/agents of the project' }),
    ),
    perAccount: Type.Integer({ minimum: 1, maximum: 5000, default: 500, description: 'agents of one account' }),
    profilesPerAccount: Type.Integer({
      minimum: 1,
      maximum: 5000,
      default: 500,
      description: 'prompts, and personalizations, of one API account',
    }),
    accountTools: Type.Array(Type.String(), {
      default: [],
      description: 'tools that agents of accounts may use: names, or category:<name>',
    }),
    modelAttempts: Type.Integer({
      minimum: 1,
      maximum: 20,
      default: 5,
      description: 'how often a call of a model is tried that fails before anything was streamed',
    }),
    modelRetrySeconds: Type.Number({
      minimum: 0,
      maximum: 60,
      default: 10,
      description: 'time between two tries; longer where the provider asks for it',
    }),
  }),
  requires: {
    database: databaseService,
    models: modelService,
    outbound: outboundService,
    pool: poolService,
    runs: runService,
    tools: toolService,
  },
  provides: { agents: agentService, profiles: profileService, runner: agentRunner },

  setup({ config, services: { database, models, outbound, pool, runs, tools }, log }) {
    const { folder, perAccount, accountTools } = config;
    const modelKeys = models.list().map(({ key }) => key);
    const catalogue = loadCatalogue({ folder, models: modelKeys });
    const agents = createAgentService({ database, log, catalogue, perAccount, accountTools });
    pool.expose(agentService, createAgentHost({ agents, models, tools, numbers: createNumbers(database) }));
    const profiles = createProfileService({
      database,
      perAccount: config.profilesPerAccount,
      known: () => ({
        models: modelKeys,
        defaultModel: models.resolve(undefined).key,
        toolCategories: tools.categories(),
      }),
    });
    const retryMs = config.modelRetrySeconds * 1000;
    const retry = { maxAttempts: config.modelAttempts, baseDelayMs: retryMs, maxDelayMs: retryMs, jitter: 0 };
    return {
      services: { agents, profiles, runner: createAgentRunner({ tools, runs, retry }) },
      nodes: [new URL('./nodes/model.ts', import.meta.url)],
      tools: [httpTool(outbound)],
      routes: [studioRoutes(agents), researchRoutes(agents), tasksRoutes(profiles, models)],
      async ready() {
        await database.ready();
        await agents.finishDeletions();
      },
    };
  },
});
