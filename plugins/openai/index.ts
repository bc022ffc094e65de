import { databaseService } from '../../core/data/database.ts';
import { createNumbers } from '../../core/data/numbers.ts';
import { definePlugin } from '../../core/plugin.ts';
import { repeatEvery } from '../../core/repeat.ts';
import { Type } from '../../core/schema.ts';
import { modelService } from '../../runtime/models/index.ts';
import { runService } from '../../runtime/runs/service.ts';
import { agentRunner, agentService } from '../agents/public.ts';
import { knowledgeService } from '../knowledge/public.ts';
import { createAnswerers } from './answerers.ts';
import { createKeeping } from './keeping.ts';
import { openAiMounts } from './mounts.ts';
import { completionService } from './public.ts';
import { completionRunKind } from './run.ts';
import { createCompletionService } from './service.ts';

export default definePlugin({
  name: 'openai',
  config: Type.Object({
    keepDays: Type.Number({ minimum: 0.01, maximum: 3650, default: 7, description: 'how long answers are kept, days' }),
    sweepMinutes: Type.Number({ minimum: 0.01, maximum: 1440, default: 10, description: 'between two clean-ups' }),
    passages: Type.Integer({
      minimum: 1,
      maximum: 50,
      default: 5,
      description: 'passages of an agent’s documents that an answer is given to rest on',
    }),
  }),
  requires: {
    database: databaseService,
    runs: runService,
    models: modelService,
    agents: agentService,
    runner: agentRunner,
  },
  uses: { knowledge: knowledgeService },
  provides: { completions: completionService },

  setup({ config, services, log, onDispose }) {
    const { database, runs, models, agents, runner, knowledge } = services;
    const answerers = createAnswerers({ models, agents, numbers: createNumbers(database) });
    const keeping = createKeeping({ database, runs, log, keepMs: config.keepDays * 86_400_000 });
    const completions = createCompletionService({ runs, models, answerers, keeping, log });
    const sweepMs = config.sweepMinutes * 60_000;
    onDispose(
      'openai: sweep',
      repeatEvery(sweepMs, (signal) => keeping.sweep(new Date(), signal), log, 'openai: removing old answers'),
    );
    return {
      services: { completions },
      mounts: openAiMounts(completions),
      runKinds: [completionRunKind({ runner, knowledge, passages: config.passages })],
      ready: () => database.ready(),
    };
  },
});
