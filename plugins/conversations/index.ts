import { databaseService } from '../../core/data/database.ts';
import { definePlugin } from '../../core/plugin.ts';
import { Type } from '../../core/schema.ts';
import { modelService } from '../../runtime/models/index.ts';
import { poolService } from '../../runtime/pool/index.ts';
import { runService } from '../../runtime/runs/service.ts';
import { agentRunner, agentService, profileService } from '../agents/public.ts';
import { fileService } from '../files/public.ts';
import { knowledgeService } from '../knowledge/public.ts';
import { createParts } from './service/parts.ts';
import { createStore } from './service/store.ts';
import { createTurns } from './service/turns.ts';
import { createTasks } from './tasks/index.ts';

export default definePlugin({
  name: 'conversations',
  config: Type.Object({
    titleLength: Type.Integer({ minimum: 1, default: 60, description: 'characters of a title taken from a message' }),
    passages: Type.Integer({ minimum: 1, default: 8, description: 'passages that an answer is given to rest on' }),
    tasks: Type.Object(
      {
        tasksPerAccount: Type.Integer({
          minimum: 1,
          maximum: 100,
          default: 1,
          description: 'tasks that an API account may have running at once',
        }),
        maxIterations: Type.Integer({ minimum: 1, default: 100, description: 'model calls of a task that names none' }),
        keepDays: Type.Number({ minimum: 0.01, default: 7, description: 'how long finished tasks can be read, days' }),
        sweepMinutes: Type.Number({ minimum: 0.01, default: 10, description: 'between two clean-ups' }),
      },
      { default: {} },
    ),
  }),
  requires: {
    database: databaseService,
    runs: runService,
    models: modelService,
    pool: poolService,
    agents: agentService,
    runner: agentRunner,
    profiles: profileService,
  },
  uses: { knowledge: knowledgeService, files: fileService },

  setup({ config, services, log, onDispose }) {
    const { database, pool, profiles, files, ...others } = services;
    const { titleLength, passages } = config;
    const parts = createParts({ ...others, database, options: { titleLength, passages }, log });
    const store = createStore(parts);
    const turns = createTurns(parts);
    const tasks = createTasks({ parts, store, turns, database, pool, profiles, files, options: config.tasks });
    const timer = setInterval(
      () => tasks.sweep().catch((error: unknown) => log.error({ err: error }, 'tasks: the clean-up failed')),
      config.tasks.sweepMinutes * 60_000,
    );
    onDispose('conversations: sweep of tasks', () => clearInterval(timer));
    return {
      routes: tasks.routes,
      nodes: tasks.nodes,
      runKinds: tasks.runKinds,
      tools: tasks.tools,
      async ready() {
        await database.ready();
        await store.recover();
        await turns.recover();
        await tasks.recover();
      },
    };
  },
});
