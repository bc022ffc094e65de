import { databaseService } from '../../core/data/database.ts';
import { createNumbers } from '../../core/data/numbers.ts';
import { definePlugin } from '../../core/plugin.ts';
import { repeatEvery } from '../../core/repeat.ts';
import { Type } from '../../core/schema.ts';
import { modelService } from '../../runtime/models/index.ts';
import { poolService } from '../../runtime/pool/index.ts';
import { runService } from '../../runtime/runs/service.ts';
import { agentRunner, agentService, profileService } from '../agents/public.ts';
import { accountService } from '../auth/public.ts';
import { fileService } from '../files/public.ts';
import { knowledgeService } from '../knowledge/public.ts';
import { conversationService, projectService } from './public.ts';
import { researchRoutes } from './routes/research.ts';
import { chatRoutes } from './routes/research-chat.ts';
import { projectRoutes } from './routes/research-projects.ts';
import { studioRoutes } from './routes/studio.ts';
import { createConversationCore } from './service.ts';
import { createTasks } from './tasks/index.ts';

export default definePlugin({
  name: 'conversations',
  config: Type.Object({
    titleLength: Type.Integer({
      minimum: 2,
      maximum: 200,
      default: 30,
      description: 'characters of a title that is taken from a message',
    }),
    passages: Type.Integer({
      minimum: 1,
      maximum: 50,
      default: 5,
      description: 'passages of knowledge bases, or of the documents of an agent, that an answer is given to rest on',
    }),
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
    accounts: accountService,
  },
  uses: { knowledge: knowledgeService, files: fileService },
  provides: { conversations: conversationService, projects: projectService },

  setup({ config, services, log, onDispose }) {
    const { accounts, pool, profiles, files, ...others } = services;
    const { database } = others;
    const { tasks: taskOptions, ...options } = config;
    const core = createConversationCore({ ...others, options, log });
    const { conversations, projects } = core;
    onDispose('conversations: usage of accounts', accounts.countUsage('conversations', core.count));
    const tasks = createTasks({ ...core, database, pool, profiles, files, options: taskOptions });
    const sweepMs = taskOptions.sweepMinutes * 60_000;
    onDispose(
      'conversations: sweep',
      repeatEvery(sweepMs, (signal) => tasks.sweep(signal), log, 'conversations: removing old tasks'),
    );
    return {
      services: { conversations, projects },
      routes: [
        studioRoutes(conversations, createNumbers(database)),
        researchRoutes(conversations),
        projectRoutes(projects),
        chatRoutes(conversations),
        ...tasks.routes,
      ],
      nodes: tasks.nodes,
      runKinds: [...core.runKinds, ...tasks.runKinds],
      tools: tasks.tools,
      async ready() {
        await database.ready();
        await core.recover();
        await tasks.recover();
      },
    };
  },
});
